// Connection strings: what a person copies from the hub into a device's configuration.
//
//   HostName=hub.example;DeviceId=gw-7[;ModuleId=m];SharedAccessKey=base64[;GatewayHostName=h][;Port=8883]
//
// `Port` is weir's own: a hub that does not listen on 8883. Names compare without case, unknown ones are
// ignored, the last of a repeated one wins (as in Microsoft's clients). Reasons never quote the key.

import { type Identity, isValidId } from '../../model/address.ts';

export interface ConnectionString {
  readonly hostName: string;
  readonly deviceId: string;
  readonly moduleId?: string | undefined;
  /** Base64. Absent for identities with a certificate. */
  readonly sharedAccessKey?: string | undefined;
  /** Where to connect instead of `hostName`; user name and tokens still carry `hostName`. */
  readonly gatewayHostName?: string | undefined;
  readonly port?: number | undefined;
}

export type ParsedConnectionString =
  | ({ readonly ok: true } & ConnectionString)
  | { readonly ok: false; readonly reason: string };

const base64Pattern = /^[A-Za-z0-9+/]+={0,2}$/;
const portMax = 65_535;

export function parseConnectionString(text: string): ParsedConnectionString {
  const fields = new Map<string, string>();
  for (const part of text.trim().split(';')) {
    const equals = part.indexOf('=');
    if (equals > 0) fields.set(part.slice(0, equals).trim().toLowerCase(), part.slice(equals + 1).trim());
  }
  const field = (name: string): string | undefined => fields.get(name.toLowerCase()) || undefined;
  const hostName = field('HostName');
  const deviceId = field('DeviceId');
  const moduleId = field('ModuleId');
  const sharedAccessKey = field('SharedAccessKey');
  const portText = field('Port');
  const port = portText === undefined ? undefined : Number(portText);
  if (hostName === undefined) return refused('no HostName');
  if (deviceId === undefined) return refused('no DeviceId');
  if (!isValidId(deviceId)) return refused(`DeviceId '${deviceId}' is no device id`);
  if (moduleId !== undefined && !isValidId(moduleId)) return refused(`ModuleId '${moduleId}' is no module id`);
  if (sharedAccessKey !== undefined && !base64Pattern.test(sharedAccessKey))
    return refused('SharedAccessKey is not base64');
  if (port !== undefined && !(Number.isInteger(port) && port > 0 && port <= portMax))
    return refused(`Port '${portText}' is not 1 to ${portMax}`);
  return {
    ok: true,
    hostName,
    deviceId,
    moduleId,
    sharedAccessKey,
    gatewayHostName: field('GatewayHostName'),
    port,
  };
}

export function formatConnectionString(connection: ConnectionString): string {
  const fields: readonly (readonly [string, string | number | undefined])[] = [
    ['HostName', connection.hostName],
    ['DeviceId', connection.deviceId],
    ['ModuleId', connection.moduleId],
    ['SharedAccessKey', connection.sharedAccessKey],
    ['GatewayHostName', connection.gatewayHostName],
    ['Port', connection.port],
  ];
  return fields
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${value}`)
    .join(';');
}

/** Who the string is for. */
export function connectionIdentity({ deviceId, moduleId }: ConnectionString): Identity {
  return moduleId === undefined ? { deviceId } : { deviceId, moduleId };
}

function refused(reason: string): ParsedConnectionString {
  return { ok: false, reason };
}
