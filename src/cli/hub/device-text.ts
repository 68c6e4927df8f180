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
  return formatConnectionString({
    hostName: hostname,
    deviceId: String(device['deviceId']),
    sharedAccessKey: String(member(device, 'authentication', 'symmetricKey', key)),
    ...(mqttPort === mqttTlsPort ? {} : { port: mqttPort }),
  });
}

/** What to write into the gateway's configuration. */
export function nextStep(connectionString: string, { caPath }: HubAddress): string {
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
