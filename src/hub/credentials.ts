// By what an identity proves itself: a pair of keys, the thumbprints of its certificates, or an authority's word.
//
//   sas                   two keys, base64 of 16 to 64 bytes; absent ones are made
//   selfSigned            one or two thumbprints: SHA-1 or SHA-256 of the certificate's DER form, hexadecimal
//   certificateAuthority  any certificate that a trusted authority made out to the device's id
//
// Two of each, so that one can be replaced while the device still uses the other. Pure: what is chosen, what is kept of
// before, and why a choice is refused.

import { hubKeyBytesMax, hubKeyBytesMin } from '../limits.ts';
import { invalidArgument } from './errors.ts';

export type AuthenticationKind = 'sas' | 'selfSigned' | 'certificateAuthority';

export interface SymmetricKeys {
  /** Base64 of 16 to 64 bytes. */
  readonly primaryKey: string;
  readonly secondaryKey: string;
}

export interface Credentials {
  readonly authentication: AuthenticationKind;
  readonly keys: SymmetricKeys;
  /** Lower-case hexadecimal digits. */
  readonly thumbprints: { readonly primary: string | undefined; readonly secondary: string | undefined };
}

/** What a caller may choose. */
export interface AuthenticationSettings {
  readonly kind: AuthenticationKind;
  readonly primaryThumbprint?: string | undefined;
  readonly secondaryThumbprint?: string | undefined;
}

/** Of an identity that has none: they fit nothing. */
export const noKeys: SymmetricKeys = { primaryKey: '', secondaryKey: '' };

const noThumbprints: Credentials['thumbprints'] = { primary: undefined, secondary: undefined };
const base64Text = /^[A-Za-z0-9+/]+={0,2}$/;
const thumbprintText = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;

/** What holds after a choice. Throws HUB_ARGUMENT_INVALID. */
export function chosenCredentials(
  settings: { readonly keys?: SymmetricKeys | undefined; readonly authentication?: AuthenticationSettings | undefined },
  { before, newKey }: { readonly before?: Credentials; readonly newKey: () => string },
): Credentials {
  const kind = settings.authentication?.kind ?? before?.authentication ?? 'sas';
  if (kind === 'sas') {
    const kept = before?.authentication === 'sas' ? before.keys : undefined;
    const keys = settings.keys === undefined ? kept : checkedKeys(settings.keys);
    return {
      authentication: kind,
      keys: keys ?? { primaryKey: newKey(), secondaryKey: newKey() },
      thumbprints: noThumbprints,
    };
  }
  if (settings.keys !== undefined)
    throw invalidArgument(`Keys do not go with authentication type ${kind}. Leave them out, or use type sas.`);
  if (kind === 'certificateAuthority') return { authentication: kind, keys: noKeys, thumbprints: noThumbprints };
  const { primaryThumbprint, secondaryThumbprint } = settings.authentication ?? {};
  const thumbprints = {
    primary: checkedThumbprint(primaryThumbprint) ?? before?.thumbprints.primary,
    secondary: checkedThumbprint(secondaryThumbprint) ?? before?.thumbprints.secondary,
  };
  if (thumbprints.primary === undefined && thumbprints.secondary === undefined)
    throw invalidArgument('Authentication type selfSigned needs the thumbprint of the certificate.');
  return { authentication: kind, keys: noKeys, thumbprints };
}

export function sameCredentials(a: Credentials, b: Credentials): boolean {
  return (
    a.authentication === b.authentication &&
    a.keys.primaryKey === b.keys.primaryKey &&
    a.keys.secondaryKey === b.keys.secondaryKey &&
    a.thumbprints.primary === b.thumbprints.primary &&
    a.thumbprints.secondary === b.thumbprints.secondary
  );
}

function checkedKeys(keys: SymmetricKeys): SymmetricKeys {
  for (const [name, key] of Object.entries(keys) as readonly [string, string][]) {
    const bytes = Buffer.from(key, 'base64').length;
    if (!base64Text.test(key) || bytes < hubKeyBytesMin || bytes > hubKeyBytesMax) {
      throw invalidArgument(
        `${name} must be the base64 of ${hubKeyBytesMin} to ${hubKeyBytesMax} bytes. Leave both keys out to have them made.`,
      );
    }
  }
  return keys;
}

function checkedThumbprint(text: string | undefined): string | undefined {
  if (text === undefined || text === '') return undefined;
  const plain = text.replaceAll(':', '').toLowerCase();
  if (thumbprintText.test(plain)) return plain;
  throw invalidArgument(
    `${JSON.stringify(text)} is no thumbprint: 40 (SHA-1) or 64 (SHA-256) hexadecimal digits are. Print it with: openssl x509 -in device.pem -noout -fingerprint -sha256`,
  );
}
