// A page of the scope: the devices behind this gateway and their modules, as the hub writes them → members with their
// keys. Pure; the only place that reads these texts.
//
//   { version, devices: [{ deviceId, generationId, status, authentication }], modules: [{ …, moduleId }],
//     continuationLink? }                                        authentication: as in hub/scope-text.ts
//
// A member that cannot be read is left out and named: one bad row at the hub must not lock everybody else out.

import { createHash } from 'node:crypto';
import { scopePageBytesMax } from '../limits.ts';
import { type Identity, isValidId } from '../model/address.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../model/json.ts';
import type { CertificateRule } from '../protocol/iothub/client-certificate.ts';
import { badScopeError } from './errors.ts';

export type ScopeProof = { readonly kind: 'sas'; readonly keys: readonly Buffer[] } | CertificateRule;

export interface ScopeMember {
  readonly identity: Identity;
  readonly enabled: boolean;
  readonly proof: ScopeProof;
  /** Changes with everything that a standing connection depends on: generation, status, keys, thumbprints. */
  readonly stamp: string;
}

export interface ScopePage {
  readonly version: string;
  readonly members: readonly ScopeMember[];
  /** What of the page could not be read. */
  readonly unreadable: number;
  readonly continuationLink: string | undefined;
  /** The page's rows as they came, for the sealed copy. */
  readonly rows: { readonly devices: readonly JsonObject[]; readonly modules: readonly JsonObject[] };
}

const thumbprintPattern = /^(?:[0-9a-f]{40}|[0-9a-f]{64})$/;

/** Throws IDENTITY_SCOPE_INVALID. */
export function parseScopePage(text: Buffer, bytesMax: number = scopePageBytesMax): ScopePage {
  if (text.length > bytesMax) throw badScopeError(`a page has ${text.length} bytes, and ${bytesMax} are allowed`);
  const parsed = parseJson(text.toString('utf8'));
  if (!parsed.ok) throw badScopeError(parsed.reason);
  const page = isJsonObject(parsed.value) ? parsed.value : {};
  const { version, continuationLink } = page;
  if (typeof version !== 'string' || version === '') throw badScopeError('a page has no version');
  if (continuationLink !== undefined && typeof continuationLink !== 'string')
    throw badScopeError('a continuationLink is no text');
  const rows = { devices: objectsOf(page['devices']), modules: objectsOf(page['modules']) };
  const all = [...rows.devices, ...rows.modules];
  const members = all.flatMap((row) => readMember(row) ?? []);
  return { version, members, unreadable: all.length - members.length, continuationLink, rows };
}

function objectsOf(value: JsonValue | undefined): readonly JsonObject[] {
  return Array.isArray(value) ? value.filter((item): item is JsonObject => isJsonObject(item)) : [];
}

function readMember(row: JsonObject): ScopeMember | undefined {
  const { deviceId, moduleId, generationId, status, authentication } = row;
  if (typeof deviceId !== 'string' || !isValidId(deviceId)) return undefined;
  if (moduleId !== undefined && (typeof moduleId !== 'string' || !isValidId(moduleId))) return undefined;
  const proof = isJsonObject(authentication) ? readProof(authentication) : undefined;
  if (proof === undefined) return undefined;
  const identity: Identity = moduleId === undefined ? { deviceId } : { deviceId, moduleId };
  const stamp = createHash('sha256')
    .update(JSON.stringify([generationId ?? null, status ?? null, authentication ?? null]))
    .digest('base64');
  return { identity, enabled: status !== 'disabled', proof, stamp };
}

function readProof(authentication: JsonObject): ScopeProof | undefined {
  const { type } = authentication;
  if (type === 'certificateAuthority') return { kind: type };
  if (type === 'selfSigned') {
    const thumbprints = textsOf(authentication['x509Thumbprint'], ['primaryThumbprint', 'secondaryThumbprint'])
      .map((text) => text.toLowerCase())
      .filter((text) => thumbprintPattern.test(text));
    return thumbprints.length === 0 ? undefined : { kind: type, thumbprints };
  }
  if (type !== 'sas') return undefined;
  const keys = textsOf(authentication['symmetricKey'], ['primaryKey', 'secondaryKey'])
    .map((text) => Buffer.from(text, 'base64'))
    .filter((key) => key.length > 0);
  return keys.length === 0 ? undefined : { kind: type, keys };
}

function textsOf(value: JsonValue | undefined, names: readonly string[]): readonly string[] {
  if (!isJsonObject(value)) return [];
  return names.map((name) => value[name]).filter((text): text is string => typeof text === 'string' && text !== '');
}
