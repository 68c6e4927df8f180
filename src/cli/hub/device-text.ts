// What several hub commands say about a device: its connection string, and what to do with it.

import { isJsonObject, type JsonObject, type JsonValue } from '../../model/json.ts';
import { formatConnectionString } from '../../protocol/iothub/index.ts';
import type { HubAddress } from './hub-client.ts';

/** The port that clients take when the connection string names none. */
const mqttTlsPort = 8883;

/** `device` is the Device of the service API. */
export function connectionStringOf(
  device: JsonObject,
  { hostname, mqttPort }: HubAddress,
  key: 'primaryKey' | 'secondaryKey' = 'primaryKey',
): string {
  const shared = member(device, 'authentication', 'symmetricKey', key);
  const text = formatConnectionString({
    hostName: hostname,
    deviceId: String(device['deviceId']),
    ...(typeof shared === 'string' ? { sharedAccessKey: shared } : {}),
    ...(mqttPort === mqttTlsPort ? {} : { port: mqttPort }),
  });
  return typeof shared === 'string' ? text : `${text};x509=true`;
}

/** For a device behind a gateway: what its SDK is given. The gateway's name is for the person to fill in. */
export function leafConnectionString(device: JsonObject, { hostname }: HubAddress): string {
  const key = member(device, 'authentication', 'symmetricKey', 'primaryKey');
  const base = formatConnectionString({ hostName: hostname, deviceId: String(device['deviceId']) });
  const proof = typeof key === 'string' ? `SharedAccessKey=${key}` : 'x509=true';
  return `${base};${proof};GatewayHostName=HOSTNAME-OF-THE-GATEWAY`;
}

/** What to do with it. */
export function leafStep(gateway: string): string {
  return [
    `Next: put the host name of ${gateway} (hostname in its config.toml) into this string and give it to the device's SDK.`,
    `The device trusts the certificate in certs/authority.crt of the data directory of ${gateway}.`,
    '',
  ].join('\n');
}

/** Id of the gateway that a leaf device stands behind. */
export function parentOf(device: JsonObject): string | undefined {
  const { parentScopes } = device;
  const scope = Array.isArray(parentScopes) ? parentScopes[0] : undefined;
  return typeof scope === 'string' ? /^ms-azure-iot-edge:\/\/(.+)-\d+$/.exec(scope)?.[1] : undefined;
}

/** az's word for how a device proves itself. */
export function authMethodOf(device: JsonObject): string {
  const type = member(device, 'authentication', 'type');
  if (type === 'selfSigned') return 'x509_thumbprint';
  return type === 'certificateAuthority' ? 'x509_ca' : 'shared_private_key';
}

/** For a device that connects to the hub itself. */
export function deviceStep({ caPath }: HubAddress): string {
  return [
    "Next: give this string to the device's SDK. (--edge makes a gateway, --parent a device behind one.)",
    `The device trusts the certificate in ${caPath}.`,
    '',
  ].join('\n');
}

/** What to write into the gateway's configuration. */
export function gatewayStep(connectionString: string, { caPath }: HubAddress): string {
  return [
    'Next: put this into config.toml of the gateway (weir config init writes a commented one), then start weir run there:',
    '',
    `  trust_bundle_cert = "file://${caPath}"`,
    '',
    '  [provisioning]',
    '  source = "manual"',
    `  connection_string = "${connectionString}"`,
    '',
    'On another machine, copy that certificate there first.',
    '',
  ].join('\n');
}

export function isEdge(device: JsonObject): boolean {
  return member(device, 'capabilities', 'iotEdge') === true;
}

function member(value: JsonValue, ...path: readonly string[]): JsonValue | undefined {
  let current: JsonValue | undefined = value;
  for (const key of path) current = isJsonObject(current) ? current[key] : undefined;
  return current;
}
