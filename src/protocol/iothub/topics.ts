// The topics of IoT Hub's device protocol over MQTT: text ⇄ meaning, in both directions.
//
//   from the device                                              to the device
//   devices/{d}[/modules/{m}]/messages/events[/{bag}][/]         devices/{d}/messages/devicebound/{bag}
//                                                                devices/{d}/modules/{m}/inputs/{input}/{bag}
//   $iothub/twin/GET/?$rid={r}                                   $iothub/twin/res/{status}/?$rid={r}[&$version={n}]
//   $iothub/twin/PATCH/properties/reported/?$rid={r}             $iothub/twin/PATCH/properties/desired/?$version={n}
//   $iothub/methods/res/{status}/?$rid={r}                       $iothub/methods/POST/{name}/?$rid={r}
//   $iothub/messages/res/{status}/?$rid={r}
//   $iothub/frames/POST/                                         (telemetry-frame.ts)
//
// `&$identity={percent-encoded identity key}` is weir's own addition: a gateway's `$edgeHub` speaks for a module
// of its device, or for a leaf device behind it. Azure's clients never write it and ignore it. With it go, between a
// hub and a gateway of weir:
//   methods/POST …&$connect={ms}&$timeout={ms}    how long the gateway waits for the callee, and for its answer
//   methods/res  …&$problem={code}                the status is the gateway's own: nobody answered, and why
//   devicebound/{bag with $.lock=r}, messages/res/{status}/?$rid={r}
//                                                 what became of a message that the gateway was to pass on
//
// Ids stand in topics as they are (clients do not encode them); an id with `#`, `+` or `/` has no topic. Slashes
// at the end matter: clients drop a message when the one after `devicebound` or the input's name is missing.
// `$rid` is opaque: it is given back exactly as it was written.

import { type Identity, identityKey, isValidId, parseIdentityKey } from '../../model/address.ts';
import { frameTopic } from './telemetry-frame.ts';

/** A topic that a device or module publishes to. */
export type DeviceTopic =
  | {
      readonly kind: 'telemetry';
      readonly deviceId: string;
      readonly moduleId: string | undefined;
      readonly bag: string;
    }
  | { readonly kind: 'twin-get'; readonly rid: string; readonly onBehalfOf: Identity | undefined }
  | { readonly kind: 'twin-patch'; readonly rid: string; readonly onBehalfOf: Identity | undefined }
  | {
      readonly kind: 'method-response';
      readonly status: number;
      readonly rid: string;
      /** The gateway's own answer in place of the callee's: an error code. */
      readonly problem?: string;
    }
  | { readonly kind: 'settlement'; readonly status: number; readonly rid: string }
  /** Telemetry, several messages of it in the payload. */
  | { readonly kind: 'frame' };

/** A topic that a device or module receives. */
export type ServerTopic =
  | {
      readonly kind: 'twin-response';
      readonly status: number;
      readonly rid: string;
      readonly version: number | undefined;
    }
  | { readonly kind: 'desired-patch'; readonly version: number; readonly onBehalfOf: Identity | undefined }
  | {
      readonly kind: 'method-request';
      readonly name: string;
      readonly rid: string;
      readonly onBehalfOf: Identity | undefined;
      /** Absent from a hub that is none of weir's. */
      readonly patience?: CallPatience;
    }
  | {
      readonly kind: 'input';
      readonly deviceId: string;
      readonly moduleId: string;
      readonly input: string;
      readonly bag: string;
    }
  | { readonly kind: 'devicebound'; readonly deviceId: string; readonly bag: string };

/** How long a method may take: until the callee is there, and from then on until its answer. */
export interface CallPatience {
  readonly connectTimeoutMs: number;
  readonly timeoutMs: number;
}

export const twinResponseFilter = '$iothub/twin/res/#';
export const desiredPatchFilter = '$iothub/twin/PATCH/properties/desired/#';
export const methodRequestFilter = '$iothub/methods/POST/#';

const serviceRoot = '$iothub/';
const deviceRoot = 'devices/';
const twinGetStart = '$iothub/twin/GET/?';
const twinPatchStart = '$iothub/twin/PATCH/properties/reported/?';
const twinResponseStart = '$iothub/twin/res/';
const desiredPatchStart = '$iothub/twin/PATCH/properties/desired/?';
const methodRequestStart = '$iothub/methods/POST/';
const methodResponseStart = '$iothub/methods/res/';
const settlementStart = '$iothub/messages/res/';
const telemetryPattern = /^devices\/([^/]+)(?:\/modules\/([^/]+))?\/messages\/events(?:\/(.*))?$/s;
const inputPattern = /^devices\/([^/]+)\/modules\/([^/]+)\/inputs\/([^/]+)(?:\/(.*))?$/s;
const deviceboundPattern = /^devices\/([^/]+)\/messages\/devicebound(?:\/(.*))?$/s;
const deviceboundFilterPattern = /^devices\/([^/+#]+)\/messages\/devicebound\/#$/;
const integerPattern = /^\d{1,15}$/;

/** True for every topic or filter in IoT Hub's name space, also for those it has no meaning for. */
export function isIotHubTopic(topicOrFilter: string): boolean {
  return topicOrFilter.startsWith(serviceRoot) || topicOrFilter.startsWith(deviceRoot);
}

/** `devices/{d}/modules/{m}/inputs/#`: a module's inputs. */
export function inputFilter(module: Identity): string {
  return `devices/${module.deviceId}/modules/${module.moduleId ?? ''}/inputs/#`;
}

/** `devices/{d}/messages/devicebound/#`: cloud-to-device messages. */
export function cloudToDeviceFilter(device: Identity): string {
  return `devices/${device.deviceId}/messages/devicebound/#`;
}

/** The device of a filter as cloudToDeviceFilter() writes it. */
export function deviceOfDeviceboundFilter(filter: string): Identity | undefined {
  const deviceId = deviceboundFilterPattern.exec(filter)?.[1];
  return deviceId === undefined || !isValidId(deviceId) ? undefined : { deviceId };
}

/** Undefined when the topic is none that a device may publish to. The bag is not looked into. */
export function parseDeviceTopic(topic: string): DeviceTopic | undefined {
  if (topic.startsWith(deviceRoot)) return parseTelemetry(topic);
  if (topic === frameTopic) return { kind: 'frame' };
  if (topic.startsWith(twinGetStart)) {
    const query = parseRequestQuery(topic.slice(twinGetStart.length));
    return query === undefined ? undefined : { kind: 'twin-get', ...query };
  }
  if (topic.startsWith(twinPatchStart)) {
    const query = parseRequestQuery(topic.slice(twinPatchStart.length));
    return query === undefined ? undefined : { kind: 'twin-patch', ...query };
  }
  if (topic.startsWith(methodResponseStart)) {
    const response = parseResponse(topic.slice(methodResponseStart.length));
    if (response === undefined) return undefined;
    const { status, rid, problem } = response;
    return { kind: 'method-response', status, rid, ...(problem === undefined ? {} : { problem }) };
  }
  if (topic.startsWith(settlementStart)) {
    const response = parseResponse(topic.slice(settlementStart.length));
    return response === undefined ? undefined : { kind: 'settlement', status: response.status, rid: response.rid };
  }
  return undefined;
}

/** Undefined when the topic is none that the hub or gateway sends. */
export function parseServerTopic(topic: string): ServerTopic | undefined {
  if (topic.startsWith(deviceRoot)) return parseInput(topic) ?? parseDevicebound(topic);
  if (topic.startsWith(twinResponseStart)) {
    const response = parseResponse(topic.slice(twinResponseStart.length));
    if (response === undefined) return undefined;
    return { kind: 'twin-response', status: response.status, rid: response.rid, version: response.version };
  }
  if (topic.startsWith(desiredPatchStart)) {
    const query = parseQuery(topic.slice(desiredPatchStart.length));
    const onBehalfOf = query && behalfOf(query);
    const version = parseInteger(query?.get('$version'));
    if (onBehalfOf === undefined || version === undefined) return undefined;
    return { kind: 'desired-patch', version, onBehalfOf: onBehalfOf.identity };
  }
  if (topic.startsWith(methodRequestStart)) return parseMethodRequest(topic.slice(methodRequestStart.length));
  return undefined;
}

export function telemetryTopic(identity: Identity, bag: string): string {
  return `${identityRoot(identity)}/messages/events/${bag}`;
}

export function inputTopic(module: Identity, input: string, bag: string): string {
  return `${identityRoot(module)}/inputs/${encodeSegment(input)}/${bag}`;
}

export function cloudToDeviceTopic(device: Identity, bag: string): string {
  return `devices/${device.deviceId}/messages/devicebound/${bag}`;
}

export function twinGetTopic(rid: string, onBehalfOf?: Identity): string {
  return `${twinGetStart}$rid=${rid}${identityParameter(onBehalfOf)}`;
}

export function twinPatchTopic(rid: string, onBehalfOf?: Identity): string {
  return `${twinPatchStart}$rid=${rid}${identityParameter(onBehalfOf)}`;
}

export function twinResponseTopic(status: number, rid: string, version?: number): string {
  return `${twinResponseStart}${status}/?$rid=${rid}${version === undefined ? '' : `&$version=${version}`}`;
}

export function desiredPatchTopic(version: number, onBehalfOf?: Identity): string {
  return `${desiredPatchStart}$version=${version}${identityParameter(onBehalfOf)}`;
}

/** `relayed`: to the gateway that is to call whom it speaks for. */
export function methodRequestTopic(
  name: string,
  rid: string,
  relayed?: CallPatience & { readonly callee: Identity },
): string {
  const patience =
    relayed === undefined
      ? ''
      : `${identityParameter(relayed.callee)}&$connect=${relayed.connectTimeoutMs}&$timeout=${relayed.timeoutMs}`;
  return `${methodRequestStart}${encodeSegment(name)}/?$rid=${rid}${patience}`;
}

/** `problem`: the answer is the gateway's own, with this error code. */
export function methodResponseTopic(status: number, rid: string, problem?: string): string {
  return `${methodResponseStart}${status}/?$rid=${rid}${problem === undefined ? '' : `&$problem=${problem}`}`;
}

export function settlementTopic(status: number, rid: string): string {
  return `${settlementStart}${status}/?$rid=${rid}`;
}

function identityRoot({ deviceId, moduleId }: Identity): string {
  return moduleId === undefined ? `devices/${deviceId}` : `devices/${deviceId}/modules/${moduleId}`;
}

function identityParameter(onBehalfOf: Identity | undefined): string {
  return onBehalfOf === undefined ? '' : `&$identity=${encodeURIComponent(identityKey(onBehalfOf))}`;
}

function parseTelemetry(topic: string): DeviceTopic | undefined {
  const [, deviceId, moduleId, rest = ''] = telemetryPattern.exec(topic) ?? [];
  if (deviceId === undefined || !isValidId(deviceId)) return undefined;
  if (moduleId !== undefined && !isValidId(moduleId)) return undefined;
  return { kind: 'telemetry', deviceId, moduleId, bag: withoutLastSlash(rest) };
}

function parseInput(topic: string): ServerTopic | undefined {
  const [, deviceId, moduleId, segment, rest = ''] = inputPattern.exec(topic) ?? [];
  const input = decodeText(segment);
  if (deviceId === undefined || moduleId === undefined || input === undefined) return undefined;
  return { kind: 'input', deviceId, moduleId, input, bag: withoutLastSlash(rest) };
}

function parseDevicebound(topic: string): ServerTopic | undefined {
  const [, deviceId, rest = ''] = deviceboundPattern.exec(topic) ?? [];
  return deviceId === undefined ? undefined : { kind: 'devicebound', deviceId, bag: withoutLastSlash(rest) };
}

/** `{name}/?$rid=…` */
function parseMethodRequest(rest: string): ServerTopic | undefined {
  const slash = rest.indexOf('/?');
  if (slash <= 0) return undefined;
  const name = decodeText(rest.slice(0, slash));
  const text = rest.slice(slash + '/?'.length);
  const request = parseRequestQuery(text);
  if (name === undefined || request === undefined) return undefined;
  const query = parseQuery(text);
  const connectTimeoutMs = parseInteger(query?.get('$connect'));
  const timeoutMs = parseInteger(query?.get('$timeout'));
  const patience =
    connectTimeoutMs === undefined || timeoutMs === undefined ? {} : { patience: { connectTimeoutMs, timeoutMs } };
  return { kind: 'method-request', name, ...request, ...patience };
}

interface ParsedResponse {
  readonly status: number;
  readonly rid: string;
  readonly version: number | undefined;
  readonly problem: string | undefined;
}

/** `{status}/?$rid=…[&$version=…][&$problem=…]` */
function parseResponse(rest: string): ParsedResponse | undefined {
  const slash = rest.indexOf('/?');
  const status = parseInteger(rest.slice(0, Math.max(0, slash)));
  const query = slash < 0 ? undefined : parseQuery(rest.slice(slash + '/?'.length));
  const rid = query?.get('$rid');
  if (status === undefined || query === undefined || rid === undefined || rid === '') return undefined;
  return { status, rid, version: parseInteger(query.get('$version')), problem: query.get('$problem') };
}

/** `$rid=…[&$identity=…]` */
function parseRequestQuery(
  text: string,
): { readonly rid: string; readonly onBehalfOf: Identity | undefined } | undefined {
  const query = parseQuery(text);
  const rid = query?.get('$rid');
  if (query === undefined || rid === undefined || rid === '') return undefined;
  const onBehalfOf = behalfOf(query);
  return onBehalfOf === undefined ? undefined : { rid, onBehalfOf: onBehalfOf.identity };
}

/** Undefined when `$identity` is there and is no identity: that must not fall back to the speaker's own. */
function behalfOf(query: ReadonlyMap<string, string>): { readonly identity: Identity | undefined } | undefined {
  const text = query.get('$identity');
  if (text === undefined) return { identity: undefined };
  const key = decodeText(text);
  const identity = key === undefined ? undefined : parseIdentityKey(key);
  return identity === undefined ? undefined : { identity };
}

/** Names decoded (clients may write `%24rid`), values as written. The first of a name wins. */
function parseQuery(text: string): ReadonlyMap<string, string> | undefined {
  const query = new Map<string, string>();
  for (const pair of text.split('&')) {
    const equals = pair.indexOf('=');
    if (equals <= 0) continue;
    const name = decodeText(pair.slice(0, equals));
    if (name === undefined) return undefined;
    if (!query.has(name)) query.set(name, pair.slice(equals + 1));
  }
  return query;
}

function parseInteger(text: string | undefined): number | undefined {
  return text !== undefined && integerPattern.test(text) ? Number(text) : undefined;
}

function withoutLastSlash(bag: string): string {
  return bag.endsWith('/') ? bag.slice(0, -1) : bag;
}

// Clients compare input and method names without decoding them, so only what would break the topic is encoded.
function encodeSegment(text: string): string {
  return text.replace(/[%/#+?\0]/g, encodeURIComponent);
}

function decodeText(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
