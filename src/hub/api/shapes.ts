// The JSON of the service API, in the shapes of Azure's: devices and modules, and what stands in a twin beside what is
// the twin's own (twin-json.ts), written and read.
//
// Written: Device, Module and Twin with the members Azure's clients look at; times never set are year 1.
// Read: only what this hub can honour. Members that tools send back unchanged (etag, generationId, reported
// properties) are ignored; an authentication type that is not known is refused, not silently turned into SAS.
//
// A device's place: `deviceScope` of an edge device is its own (`ms-azure-iot-edge://{id}-{generation}`), of a leaf
// device its parent's, which also stands in `parentScopes`. Either may be written to move a leaf device.

import { isJsonObject, type JsonObject, type JsonValue } from '../../model/json.ts';
import type { AuthenticationSettings, SymmetricKeys } from '../credentials.ts';
import { invalidArgument } from '../errors.ts';
import type { IdentityRecord, IdentitySettings } from '../registry.ts';
import { authenticationJson, type GatewayLife, parseScopeText, scopeText, thumbprintsJson } from '../scope-text.ts';
import { versionOfTwinEtag } from '../twin-json.ts';
import type { TwinPatch } from '../twins.ts';

const neverTime = '0001-01-01T00:00:00Z';

export interface Presented {
  readonly record: IdentityRecord;
  readonly isConnected: boolean;
  /** Cloud-to-device messages that wait for it. */
  readonly waiting?: number;
  /** The scope the device belongs to: its own of an edge device, its parent's of a leaf device. */
  readonly scope?: GatewayLife | undefined;
}

/** What a body's words about a device's place are held against. */
export interface PlaceFacts {
  /** The device as it is now, or will be. */
  readonly isEdge: boolean;
  /** Generation of a device by id; undefined when there is none. */
  generationOf(deviceId: string): string | undefined;
}

export function deviceJson({ record, isConnected, scope, waiting = 0 }: Presented): JsonObject {
  const { identity } = record;
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
    cloudToDeviceMessageCount: waiting,
    authentication: authenticationJson(record),
    capabilities: { iotEdge: record.edge },
    ...scopeJson(record, scope),
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
    authentication: authenticationJson(record),
  };
}

/** What the registry and the broker know of whose twin it is. */
export function twinFacts({ record, isConnected, scope, waiting = 0 }: Presented): JsonObject {
  return {
    deviceEtag: record.etag,
    status: record.enabled ? 'enabled' : 'disabled',
    statusUpdateTime: neverTime,
    connectionState: connectionState(isConnected),
    lastActivityTime: neverTime,
    cloudToDeviceMessageCount: waiting,
    authenticationType: record.authentication,
    x509Thumbprint: thumbprintsJson(record.thumbprints),
    modelId: '',
    capabilities: { iotEdge: record.edge },
    ...scopeJson(record, scope),
  };
}

/** What a PUT of a device or module may set. Throws HUB_ARGUMENT_INVALID. */
export function readIdentitySettings(
  body: JsonObject,
  expected: { readonly deviceId: string; readonly moduleId?: string },
  place: PlaceFacts,
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
    authentication: readAuthentication(body['authentication']),
    keys: readKeys(body['authentication']),
    edge,
    parent: expected.moduleId === undefined ? readParent(body, { ...place, isEdge: edge ?? place.isEdge }) : undefined,
    managedBy: expected.moduleId === undefined ? undefined : textOf(body['managedBy']),
  };
}

/** What a PATCH or PUT of a twin may change. Throws HUB_ARGUMENT_INVALID. */
export function readTwinPatch(body: JsonObject): TwinPatch {
  const properties = body['properties'];
  const desired = isJsonObject(properties) ? properties['desired'] : undefined;
  return { tags: objectOrAbsent('$.tags', body['tags']), desired: objectOrAbsent('$.properties.desired', desired) };
}

/** The twin version an If-Match header names; undefined for `*` and for none. A foreign etag is -1: no twin has it. */
export function twinVersionOf(ifMatch: string | undefined): number | undefined {
  const etag = etagOf(ifMatch);
  if (etag === undefined || etag === '*') return undefined;
  return versionOfTwinEtag(etag) ?? -1;
}

/** The etag inside an If-Match header: `"abc"` is abc, `*` stays. */
export function etagOf(ifMatch: string | undefined): string | undefined {
  return ifMatch?.trim().replace(/^(?:W\/)?"(.*)"$/, '$1');
}

/** Of a module none: it goes with its device. */
function scopeJson({ identity, edge }: IdentityRecord, scope: GatewayLife | undefined): JsonObject {
  if (scope === undefined || identity.moduleId !== undefined) return {};
  return { deviceScope: scopeText(scope), ...(edge ? {} : { parentScopes: [scopeText(scope)] }) };
}

function readAuthentication(body: JsonValue | undefined): AuthenticationSettings | undefined {
  if (body === undefined || body === null) return undefined;
  if (!isJsonObject(body)) throw invalidArgument('authentication must be an object.');
  const type = body['type'];
  if (type === undefined || type === null) return undefined;
  if (type !== 'sas' && type !== 'selfSigned' && type !== 'certificateAuthority') {
    throw invalidArgument(
      `Authentication type ${JSON.stringify(type)} is not supported. Use sas, selfSigned or certificateAuthority.`,
    );
  }
  const pair = body['x509Thumbprint'];
  if (!isJsonObject(pair)) return { kind: type };
  return {
    kind: type,
    primaryThumbprint: textOf(pair['primaryThumbprint']),
    secondaryThumbprint: textOf(pair['secondaryThumbprint']),
  };
}

function readKeys(authentication: JsonValue | undefined): SymmetricKeys | undefined {
  const pair = isJsonObject(authentication) ? authentication['symmetricKey'] : undefined;
  if (!isJsonObject(pair)) return undefined;
  const primaryKey = textOf(pair['primaryKey']);
  const secondaryKey = textOf(pair['secondaryKey']);
  if (primaryKey === undefined && secondaryKey === undefined) return undefined;
  if (primaryKey === undefined || secondaryKey === undefined)
    throw invalidArgument('Give both keys or none: absent keys are made.');
  return { primaryKey, secondaryKey };
}

/** The parent that a body names; null: none; undefined: it does not say. */
function readParent(body: JsonObject, place: PlaceFacts): string | null | undefined {
  const { parentScopes } = body;
  // Of an edge device `deviceScope` is its own.
  const deviceScope = place.isEdge ? undefined : body['deviceScope'];
  const written = Array.isArray(parentScopes) ? (parentScopes[0] ?? '') : (parentScopes ?? deviceScope);
  if (written === undefined) return undefined;
  if (written === null || written === '') return null;
  const life = typeof written === 'string' ? parseScopeText(written) : undefined;
  if (life !== undefined && place.generationOf(life.deviceId) === life.generationId) return life.deviceId;
  throw invalidArgument(
    `${JSON.stringify(written)} is not the scope of an edge device. Copy deviceScope of the gateway (weir hub device show GATEWAY --json).`,
  );
}

function textOf(value: JsonValue | undefined): string | undefined {
  return typeof value === 'string' && value !== '' ? value : undefined;
}

function objectOrAbsent(path: string, value: JsonValue | undefined): JsonObject | null | undefined {
  if (value === undefined || value === null) return value;
  if (isJsonObject(value)) return value;
  throw invalidArgument(`${path} must be an object.`, [{ path, message: 'it must be an object.' }]);
}

function connectionState(isConnected: boolean): string {
  return isConnected ? 'Connected' : 'Disconnected';
}
