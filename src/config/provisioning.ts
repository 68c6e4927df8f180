// The [provisioning] table: from one of two spellings to one ManualProvisioning.
//
//   connection_string = "HostName=…;DeviceId=…;SharedAccessKey=…[;GatewayHostName=…][;Port=…]"
//   iothub_hostname + device_id + [provisioning.authentication] device_id_pk      (as in Azure's config.toml)
//
// Secrets may stand in files of their own ({ uri = "file:///…" }); one that group or world can read is warned
// about. The key is checked to be base64 here, so that nobody after this has to.

import { isValidId } from '../model/address.ts';
import type { Disk } from '../platform/disk.ts';
import { parseConnectionString } from '../protocol/iothub/connection-string.ts';
import type { SettingsReader } from './reader.ts';
import { defaultHubPort, type Provisioning } from './schema.ts';

const hostnamePattern =
  /^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,62})(\.[A-Za-z0-9-]{1,63})*$|^\[?[0-9A-Fa-f:]+:[0-9A-Fa-f:.]*\]?$/;
const portMax = 65_535;
const groupOrWorldBits = 0o077;
const secretFileBytesMax = 65_536;

/** Keys of less than 128 bits are typing errors, not keys. */
const keyBytesMin = 16;

export function isHostname(text: string): boolean {
  return hostnamePattern.test(text);
}

export async function readProvisioning(reader: SettingsReader, disk: Disk): Promise<Provisioning> {
  const none: Provisioning = { source: 'none' };
  const source = readSource(reader);
  if (source === 'none') return none;
  if (reader.has('provisioning.connection_string')) return (await fromConnectionString(reader, disk)) ?? none;
  return (await fromParts(reader, disk)) ?? none;
}

function readSource(reader: SettingsReader): 'none' | 'manual' {
  const source = reader.value('provisioning.source');
  if (source === 'dps') {
    reader.problem('provisioning.source', '"dps" (the device provisioning service) is not supported by this version.');
    return 'none';
  }
  return (
    reader.choice('provisioning.source', ['none', 'manual']) ??
    (reader.has('provisioning.connection_string') || reader.has('provisioning.iothub_hostname') ? 'manual' : 'none')
  );
}

async function fromConnectionString(reader: SettingsReader, disk: Disk): Promise<Provisioning | undefined> {
  const key = 'provisioning.connection_string';
  for (const other of ['iothub_hostname', 'device_id', 'authentication.device_id_pk']) {
    if (reader.has(`provisioning.${other}`)) {
      reader.warning(`provisioning.${other}`, 'has no effect beside connection_string.', 'Remove one of the two.');
    }
  }
  const text = await readSecret(reader, { key, disk });
  if (text === undefined) return undefined;
  const parsed = parseConnectionString(text);
  if (!parsed.ok) {
    reader.problem(key, `the connection string cannot be used: ${parsed.reason}.`);
    return undefined;
  }
  if (parsed.sharedAccessKey === undefined) {
    reader.problem(key, 'the connection string has no SharedAccessKey.');
    return undefined;
  }
  if (parsed.moduleId !== undefined) {
    reader.problem(key, `the connection string is for module '${parsed.moduleId}', not for a device.`);
    return undefined;
  }
  checkKey(reader, { key, keyBase64: parsed.sharedAccessKey });
  return {
    source: 'manual',
    hubHostname: parsed.hostName,
    hubPort: parsed.port ?? readHubPort(reader),
    deviceId: parsed.deviceId,
    deviceKeyBase64: parsed.sharedAccessKey,
    gatewayHostname: parsed.gatewayHostName ?? reader.text('parent_hostname', isHostname),
  };
}

async function fromParts(reader: SettingsReader, disk: Disk): Promise<Provisioning | undefined> {
  reader.choice('provisioning.authentication.method', ['sas']);
  const hubHostname = required(reader, 'provisioning.iothub_hostname', isHostname);
  const deviceId = required(reader, 'provisioning.device_id', isValidId);
  const hubPort = readHubPort(reader);
  const key = 'provisioning.authentication.device_id_pk';
  if (!reader.has(key)) reader.problem(key, 'the key of the device is missing.');
  const deviceKeyBase64 = await readSecret(reader, { key, disk });
  if (deviceKeyBase64 !== undefined) checkKey(reader, { key, keyBase64: deviceKeyBase64 });
  const gatewayHostname = reader.text('parent_hostname', isHostname);
  if (hubHostname === undefined || deviceId === undefined || deviceKeyBase64 === undefined) return undefined;
  return { source: 'manual', hubHostname, hubPort, deviceId, deviceKeyBase64, gatewayHostname };
}

function required(reader: SettingsReader, key: string, isAllowed: (text: string) => boolean): string | undefined {
  if (!reader.has(key)) reader.problem(key, 'is missing: without a connection_string, source = "manual" needs it.');
  return reader.text(key, isAllowed);
}

function readHubPort(reader: SettingsReader): number {
  return reader.integer('provisioning.iothub_port', { min: 1, max: portMax, fallback: defaultHubPort });
}

export async function readSecret(
  reader: SettingsReader,
  { key, disk }: { readonly key: string; readonly disk: Disk },
): Promise<string | undefined> {
  const secret = reader.secret(key);
  if (secret === undefined) return undefined;
  if (secret.kind === 'value') return secret.text.trim();
  const path = secret.path;
  try {
    const facts = await disk.facts('config:secret-facts', path);
    if (facts === undefined) {
      reader.problem(key, `the file ${path} does not exist.`, 'Create it, or correct the path.');
      return undefined;
    }
    if (facts.isDirectory || facts.bytes > secretFileBytesMax) {
      reader.problem(key, `${path} is not a file with a secret in it.`, 'Correct the path.');
      return undefined;
    }
    if ((facts.mode & groupOrWorldBits) !== 0) {
      reader.warning(
        key,
        `the secret in ${path} can be read by others (mode ${facts.mode.toString(8)}).`,
        `chmod 600 ${path}`,
      );
    }
    return (await disk.readFile('config:secret', path)).toString('utf8').trim();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    reader.problem(key, `the file ${path} cannot be read: ${reason}.`, `Let the user that runs weir read it.`);
    return undefined;
  }
}

function checkKey(
  reader: SettingsReader,
  { key, keyBase64 }: { readonly key: string; readonly keyBase64: string },
): void {
  const isBase64 = /^[A-Za-z0-9+/]+={0,2}$/.test(keyBase64) && keyBase64.replace(/=+$/, '').length % 4 !== 1;
  const base64Digits = 4;
  const base64Bytes = 3;
  const bytes = Math.floor((keyBase64.replace(/=+$/, '').length * base64Bytes) / base64Digits);
  if (!isBase64) reader.problem(key, 'the key is not base64.', 'Copy the whole key, with its = signs.');
  else if (bytes < keyBytesMin) reader.problem(key, `the key is only ${bytes} bytes long.`, 'Copy the whole key.');
}
