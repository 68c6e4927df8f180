// Shared access signatures: the text of the token, not the cryptography.
//
//   SharedAccessSignature sr={resource}&sig={percent-encoded base64}&se={unix seconds}[&skn={policy}]
//
// signature = HMAC-SHA256(key, `{sr exactly as it stands in the token}\n{se}`). Because the text is signed as
// written, a resource travels here in its written form (`resource`) and is decoded only to be compared.
// The fields may come in any order.
//
// A resource covers whatever lies below it, cut at whole segments: `h/devices/a` covers `h/devices/a/modules/m`
// and not `h/devices/ab`. Hosts compare without case, ids with case. Clients encode ids once or twice
// (`%24edgeHub`, `%2524edgeHub`): both are read.

import { type Identity, isValidId } from '../../model/address.ts';

export interface SasToken {
  /** As written in the token. */
  readonly resource: string;
  readonly expirySeconds: number;
  /** Base64. */
  readonly signature: string;
  /** Name of a shared access policy; absent in tokens of devices and modules. */
  readonly policy?: string | undefined;
}

export type ParsedSas = ({ readonly ok: true } & SasToken) | { readonly ok: false; readonly reason: string };

const scheme = 'SharedAccessSignature ';
const base64Pattern = /^[A-Za-z0-9+/]+={0,2}$/;
const secondsPattern = /^\d{1,12}$/;

export function formatSas({ resource, expirySeconds, signature, policy }: SasToken): string {
  const name = policy === undefined ? '' : `&skn=${encodeStrict(policy)}`;
  return `${scheme}sr=${resource}&sig=${encodeStrict(signature)}${name}&se=${expirySeconds}`;
}

export function parseSas(text: string): ParsedSas {
  if (!text.startsWith(scheme)) return refused(`does not start with '${scheme}'`);
  const fields = new Map<string, string>();
  for (const pair of text.slice(scheme.length).trim().split('&')) {
    const equals = pair.indexOf('=');
    if (equals > 0 && !fields.has(pair.slice(0, equals))) fields.set(pair.slice(0, equals), pair.slice(equals + 1));
  }
  const resource = fields.get('sr');
  const expiry = fields.get('se');
  const signature = decodeText(fields.get('sig'));
  const policy = decodeText(fields.get('skn'));
  if (resource === undefined || resource === '') return refused('no sr');
  if (expiry === undefined || !secondsPattern.test(expiry)) return refused('no se, or it is not seconds');
  if (signature === undefined || !base64Pattern.test(signature)) return refused('no sig, or it is not base64');
  return {
    ok: true,
    resource,
    expirySeconds: Number(expiry),
    signature,
    policy: policy === '' ? undefined : policy,
  };
}

/** What the signature is made over. `resource` as it will stand, or stands, in the token. */
export function sasStringToSign(resource: string, expiry: number | string): string {
  return `${resource}\n${expiry}`;
}

/** The resource of one identity as Microsoft's Node client writes it into `sr`. */
export function sasResource(hostname: string, { deviceId, moduleId }: Identity): string {
  const device = `${hostname}/devices/${encodeStrict(deviceId)}`;
  return encodeStrict(moduleId === undefined ? device : `${device}/modules/${encodeStrict(moduleId)}`);
}

/**
 * True when a token for `resource` may be used by `identity` at one of `hostnames`: it names the identity
 * itself, or a module's device. A token for a bare host (a policy's) names nobody and covers nobody here.
 */
export function sasCovers(
  resource: string,
  { hostnames, identity }: { readonly hostnames: readonly string[]; readonly identity: Identity },
): boolean {
  const decoded = decodeText(resource);
  if (decoded === undefined) return false;
  const [host = '', devices, deviceId = '', modules, moduleId, ...rest] = decoded.split('/');
  if (!hostnames.some((hostname) => hostname.toLowerCase() === host.toLowerCase())) return false;
  if (devices !== 'devices' || rest.length > 0 || !isId(deviceId, identity.deviceId)) return false;
  if (modules === undefined) return true;
  return (
    modules === 'modules' &&
    moduleId !== undefined &&
    identity.moduleId !== undefined &&
    isId(moduleId, identity.moduleId)
  );
}

function isId(written: string, id: string): boolean {
  return isValidId(id) && (written === id || decodeText(written) === id);
}

// encodeURIComponent leaves ! ' ( ) * alone; Microsoft's clients encode them, hexadecimal in lower case.
function encodeStrict(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (character) => `%${character.charCodeAt(0).toString(16)}`);
}

function decodeText(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

function refused(reason: string): ParsedSas {
  return { ok: false, reason };
}
