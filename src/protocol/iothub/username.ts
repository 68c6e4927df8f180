// The MQTT user name of IoT Hub's device protocol.
//
//   {hub host}/{device}[/{module}]/[?]api-version=2021-04-12[&DeviceClientType=…][&model-id=…][&auth-chain=…]
//
// Decides exactly as Azure's edgeHub does: three or four segments; the last starts with `?` or at once with
// `api-version=`; api-version is mandatory, its value is not checked; unknown parameters are ignored; the first
// of a repeated name wins; values are percent-encoded. One old form is tolerated, six segments with
// `DeviceClientType=product/version` cut by its own slash.
//
// The client id must be the identity key, character by character. Who may use the name is not decided here.

import { type Identity, identityKey, isValidId } from '../../model/address.ts';

export interface IotHubUsername {
  readonly hubHostname: string;
  readonly identity: Identity;
  readonly apiVersion: string;
  readonly deviceClientType: string | undefined;
  readonly modelId: string | undefined;
  readonly authChain: string | undefined;
}

export type ParsedUsername = ({ readonly ok: true } & IotHubUsername) | { readonly ok: false; readonly reason: string };

export const deviceApiVersion = '2021-04-12';

const deviceSegments = 3;
const moduleSegments = 4;
const legacySegments = 6;
const versionParameter = 'api-version=';

export function parseUsername(username: string, clientId: string): ParsedUsername {
  const cut = cutSegments(username);
  if (cut === undefined) return refused(`'${username}' is not {hub}/{device}[/{module}]/?api-version=…`);
  const { hubHostname, deviceId, moduleId, query } = cut;
  const parameters = parseParameters(query);
  if (parameters === undefined) return refused(`bad percent-encoding in '${query}'`);
  const apiVersion = parameters.get('api-version');
  if (apiVersion === undefined) return refused(`no api-version in '${username}'`);
  if (hubHostname === '') return refused('no host name');
  if (!isValidId(deviceId)) return refused(`'${deviceId}' is no device id`);
  if (moduleId !== undefined && !isValidId(moduleId)) return refused(`'${moduleId}' is no module id`);
  const identity: Identity = moduleId === undefined ? { deviceId } : { deviceId, moduleId };
  if (clientId !== identityKey(identity)) return refused(`client id '${clientId}' is not '${identityKey(identity)}'`);
  return {
    ok: true,
    hubHostname,
    identity,
    apiVersion,
    deviceClientType: parameters.get('DeviceClientType'),
    modelId: parameters.get('model-id'),
    authChain: parameters.get('auth-chain'),
  };
}

/** Whether the name is meant to be one of IoT Hub's, right or wrong: such a name is no ordinary user's. */
export function isIotHubUsername(username: string): boolean {
  return cutSegments(username) !== undefined;
}

export function formatUsername(hubHostname: string, identity: Identity): string {
  return `${hubHostname}/${identityKey(identity)}/?api-version=${deviceApiVersion}`;
}

interface CutUsername {
  readonly hubHostname: string;
  readonly deviceId: string;
  readonly moduleId: string | undefined;
  readonly query: string;
}

function cutSegments(username: string): CutUsername | undefined {
  const segments = username.split('/');
  const [hubHostname = '', deviceId = '', third = '', fourth = '', fifth = '', sixth = ''] = segments;
  if (segments.length === deviceSegments && startsQuery(third)) {
    return { hubHostname, deviceId, moduleId: undefined, query: third.replace(/^\?/, '') };
  }
  if (segments.length === moduleSegments && startsQuery(fourth)) {
    return { hubHostname, deviceId, moduleId: third, query: fourth.replace(/^\?/, '') };
  }
  if (segments.length === legacySegments && startsQuery(fourth) && fifth.startsWith('DeviceClientType=')) {
    return {
      hubHostname,
      deviceId,
      moduleId: third,
      query: `${fourth.replace(/^\?/, '')}&${fifth}/${sixth}`,
    };
  }
  return undefined;
}

function startsQuery(segment: string): boolean {
  return segment.startsWith('?') || segment.startsWith(versionParameter);
}

function parseParameters(query: string): ReadonlyMap<string, string> | undefined {
  const parameters = new Map<string, string>();
  for (const pair of query.split('&')) {
    const equals = pair.indexOf('=');
    if (equals <= 0) continue;
    const name = pair.slice(0, equals);
    if (parameters.has(name)) continue;
    try {
      parameters.set(name, decodeURIComponent(pair.slice(equals + 1)));
    } catch {
      return undefined;
    }
  }
  return parameters;
}

function refused(reason: string): ParsedUsername {
  return { ok: false, reason };
}
