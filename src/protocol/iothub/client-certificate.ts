// Does a client certificate prove that the client is who it says? The rule, without any cryptography: TLS has seen the
// private key at work, and tells whether a trusted authority vouches for the certificate.
//
//   selfSigned            its SHA-1 or SHA-256 fingerprint is one of the identity's two thumbprints, whoever issued it
//   certificateAuthority  a trusted authority vouches for it, and its common name is the identity: `device` or
//                         `device/module`
//
// Either way it must be valid now, where the time is known.

import { type Identity, identityKey } from '../../model/address.ts';

/** What is known of a certificate from its TLS handshake. */
export interface ShownCertificate {
  readonly commonName: string;
  /** SHA-256 and SHA-1 of the DER form, lower-case hexadecimal digits. */
  readonly fingerprint: string;
  readonly thumbprint: string;
  /** Whether a trusted authority vouches for it, and why not. */
  readonly authorised: boolean;
  readonly problem: string | undefined;
  readonly validFromMs: number;
  readonly validToMs: number;
}

export type CertificateRule =
  | { readonly kind: 'selfSigned'; readonly thumbprints: readonly string[] }
  | { readonly kind: 'certificateAuthority' };

export type CertificateVerdict =
  | { readonly ok: true; readonly expiresAtMs: number }
  | { readonly ok: false; readonly detail: string };

/** `nowMs`: undefined where no clock can be trusted. */
export function judgeCertificate(
  certificate: ShownCertificate | undefined,
  { rule, identity, nowMs }: { readonly rule: CertificateRule; readonly identity: Identity; readonly nowMs?: number },
): CertificateVerdict {
  const key = identityKey(identity);
  if (certificate === undefined)
    return refused(`'${key}' proves itself with a certificate, and showed none (it needs TLS, port 8883 or 443)`);
  const { validFromMs, validToMs, fingerprint, thumbprint, commonName, authorised, problem } = certificate;
  if (rule.kind === 'selfSigned' && !rule.thumbprints.some((known) => known === fingerprint || known === thumbprint))
    return refused(`the certificate's thumbprint ${thumbprint} (SHA-256 ${fingerprint}) is none of those of '${key}'`);
  if (rule.kind === 'certificateAuthority' && commonName !== key)
    return refused(`the certificate is for '${commonName}', not for '${key}'`);
  if (nowMs !== undefined && nowMs < validFromMs)
    return refused(`the certificate is valid from ${timeText(validFromMs)} only (check the clocks of both sides)`);
  if (nowMs !== undefined && nowMs >= validToMs)
    return refused(`the certificate ended ${timeText(validToMs)} (check the clocks of both sides)`);
  if (rule.kind === 'certificateAuthority' && !authorised)
    return refused(`no trusted authority vouches for the certificate of '${key}' (${problem ?? 'UNVERIFIED'})`);
  return { ok: true, expiresAtMs: validToMs };
}

function timeText(ms: number): string {
  return Number.isFinite(ms) ? new Date(ms).toISOString() : 'at an unknown time';
}

function refused(detail: string): CertificateVerdict {
  return { ok: false, detail };
}
