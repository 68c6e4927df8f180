// The JSON of the service API, in the shapes of Azure's: devices, modules and twins, written and read.
//
// Written: Device, Module and Twin with the members Azure's clients look at; times never set are year 1.
// Read: only what this hub can honour. Members that tools send back unchanged (etag, generationId, reported
// properties) are ignored; an authentication type other than SAS is refused, not silently turned into SAS.

import { isJsonObject, type JsonObject, type JsonValue } from '../../model/json.ts';
import { invalidArgument } from '../errors.ts';
import type { IdentityRecord, IdentitySettings, SymmetricKeys } from '../registry.ts';
import type { TwinDocument, TwinPatch } from '../twins.ts';

const neverTime = '0001-01-01T00:00:00Z';
const versionBytes = 8;

interface Presented {
  readonly record: IdentityRecord;
  readonly isConnected: boolean;
}

export function deviceJson({ record, isConnected }: Presented): JsonObject {
  const { identity, keys } = record;
  return {
    deviceId: identity.deviceId,
    generationId: record.generationId,
    etag: record.etag,
    connectionState: connectionState(isConnected),
    status: record.enabled ? 'enabled' : 'disabled',
    statusReason: record.statusReason ?? null,
    connectionStateUpdatedTime: neverTime,
    statusUpdatedTime: neverTime,
    lastActivityTime: neverTime,
    createdTime: new Date(record.createdMs).toISOString(),
    cloudToDeviceMessageCount: 0,
    authentication: authenticationJson(keys),
    capabilities: { iotEdge: record.edge },
    ...(record.edge ? { deviceScope: `ms-azure-iot-edge://${identity.deviceId}-${record.generationId}` } : {}),
  };
}

export function moduleJson({ record, isConnected }: Presented): JsonObject {
  return {
    moduleId: record.identity.moduleId ?? '',
    managedBy: record.managedBy ?? '',
    deviceId: record.identity.deviceId,
    generationId: record.generationId,
    etag: record.etag,
    connectionState: connectionState(isConnected),
    connectionStateUpdatedTime: neverTime,
    lastActivityTime: neverTime,
    createdTime: new Date(record.createdMs).toISOString(),
    cloudToDeviceMessageCount: 0,
    authentication: authenticationJson(record.keys),
  };
}

export function twinJson(document: TwinDocument, { record, isConnected }: Presented): JsonObject {
  const { identity, twin } = document;
  return {
    deviceId: identity.deviceId,
    ...(identity.moduleId === undefined ? {} : { moduleId: identity.moduleId }),
    etag: twinEtag(document.version),
    deviceEtag: record.etag,
    status: record.enabled ? 'enabled' : 'disabled',
    statusUpdateTime: neverTime,
    connectionState: connectionState(isConnected),
    lastActivityTime: neverTime,
    cloudToDeviceMessageCount: 0,
    authenticationType: 'sas',
    x509Thumbprint: { primaryThumbprint: null, secondaryThumbprint: null },
    modelId: '',
    version: document.version,
    tags: document.tags,
    properties: {
      desired: sectionJson(twin.desired, document.desiredUpdatedMs),
      reported: sectionJson(twin.reported, document.reportedUpdatedMs),
    },
    capabilities: { iotEdge: record.edge },
  };
}

/** What a PUT of a device or module may set. Throws HUB_ARGUMENT_INVALID. */
export function readIdentitySettings(
  body: JsonObject,
  expected: { readonly deviceId: string; readonly moduleId?: string },
): IdentitySettings {
  for (const [name, id] of Object.entries(expected)) {
    if (body[name] !== undefined && body[name] !== id)
      throw invalidArgument(`${name} in the body is not the ${name} of the path.`);
  }
  const status = body['status'];
  if (status !== undefined && status !== 'enabled' && status !== 'disabled')
    throw invalidArgument('status must be enabled or disabled.');
  const capabilities = body['capabilities'];
  const edge = isJsonObject(capabilities) ? capabilities['iotEdge'] : undefined;
  if (edge !== undefined && typeof edge !== 'boolean')
    throw invalidArgument('capabilities.iotEdge must be true or false.');
  return {
    enabled: status === undefined ? undefined : status === 'enabled',
    statusReason: textOf(body['statusReason']),
    keys: readKeys(body['authentication']),
    edge,
    managedBy: expected.moduleId === undefined ? undefined : textOf(body['managedBy']),
  };
}

/** What a PATCH of a twin may change. Throws HUB_ARGUMENT_INVALID. */
export function readTwinPatch(body: JsonObject): TwinPatch {
  const properties = body['properties'];
  const desired = isJsonObject(properties) ? properties['desired'] : undefined;
  return { tags: objectOrAbsent('$.tags', body['tags']), desired: objectOrAbsent('$.properties.desired', desired) };
}

/** The twin version an If-Match header names; undefined for `*` and for none. A foreign etag is -1: no twin has it. */
export function twinVersionOf(ifMatch: string | undefined): number | undefined {
  const etag = etagOf(ifMatch);
  if (etag === undefined || etag === '*') return undefined;
  const bytes = Buffer.from(etag, 'base64');
  return bytes.length === versionBytes ? Number(bytes.readBigUInt64BE()) : -1;
}

/** The etag inside an If-Match header: `"abc"` is abc, `*` stays. */
export function etagOf(ifMatch: string | undefined): string | undefined {
  return ifMatch?.trim().replace(/^(?:W\/)?"(.*)"$/, '$1');
}

function twinEtag(version: number): string {
  const bytes = Buffer.alloc(versionBytes);
  bytes.writeBigUInt64BE(BigInt(version));
  return bytes.toString('base64');
}

function sectionJson(
  { properties, version }: { readonly properties: JsonObject; readonly version: number },
  updatedMs: number,
): JsonObject {
  return { ...properties, $metadata: { $lastUpdated: new Date(updatedMs).toISOString() }, $version: version };
}

function authenticationJson(keys: SymmetricKeys): JsonObject {
  return {
    symmetricKey: { primaryKey: keys.primaryKey, secondaryKey: keys.secondaryKey },
    x509Thumbprint: { primaryThumbprint: null, secondaryThumbprint: null },
    type: 'sas',
  };
}

function readKeys(authentication: JsonValue | undefined): SymmetricKeys | undefined {
  if (authentication === undefined || authentication === null) return undefined;
  if (!isJsonObject(authentication)) throw invalidArgument('authentication must be an object.');
  const type = authentication['type'];
  if (type !== undefined && type !== 'sas' && type !== 'none') {
    throw invalidArgument(
      `Authentication type ${JSON.stringify(type)} is not supported: this hub knows SAS keys only. Use type sas.`,
    );
  }
  const pair = authentication['symmetricKey'];
  if (!isJsonObject(pair)) return undefined;
  const primaryKey = textOf(pair['primaryKey']);
  const secondaryKey = textOf(pair['secondaryKey']);
  if (primaryKey === undefined && secondaryKey === undefined) return undefined;
  if (primaryKey === undefined || secondaryKey === undefined)
    throw invalidArgument('Give both keys or none: absent keys are made.');
  return { primaryKey, secondaryKey };
}

function textOf(value: JsonValue | undefined): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function objectOrAbsent(path: string, value: JsonValue | undefined): JsonObject | undefined {
  if (value === undefined) return undefined;
  if (isJsonObject(value)) return value;
  throw invalidArgument(`${path} must be an object.`, [{ path, message: 'it must be an object.' }]);
}

function connectionState(isConnected: boolean): string {
  return isConnected ? 'Connected' : 'Disconnected';
}
