// The property bag: a message's properties as the last part of an MQTT topic.
//
//   $.mid=42&$.ct=application%2Fjson&$.on=alerts&$.hop=gw-1f9c:17&batchId=7f&empty=
//   └ system ─────────────────────┘ └ output ──┘ └ weir's hop ──┘ └ application ──┘
//
// `key=value` pairs joined by `&`, keys and values percent-encoded UTF-8. Keys that start with `$.` belong to
// the system; so do `ack` and `iothub-operation`. `$.on` is a module's output, `$.hop` is the idempotence key of
// the last hop (model/message.ts). Clients write `$` as `%24` too: keys are compared after decoding.
//
// Written bags hold no `/`: clients cut a topic at every slash. Read bags may hold one inside a value, because
// people type `$.ct=application/json`; a slash in a key is a mistyped topic and is refused.
// An unknown `$.x` key is kept as an application property, so that it reaches the other end unchanged.
// A bare key is a property without a value and is read as the empty string; written it becomes `key=`, because
// Microsoft's Node client turns a bare key into the text "undefined".

import type { StreamPosition } from '../../model/message.ts';

export interface PropertyBag {
  /** By IoT Hub's names: messageId, contentType … (model/message.ts). */
  readonly system: Readonly<Record<string, string>>;
  readonly properties: Readonly<Record<string, string>>;
  readonly output?: string | undefined;
  readonly hop?: StreamPosition | undefined;
}

export type DecodedPropertyBag =
  | {
      readonly ok: true;
      readonly system: Readonly<Record<string, string>>;
      readonly properties: Readonly<Record<string, string>>;
      readonly output: string | undefined;
      readonly hop: StreamPosition | undefined;
    }
  | { readonly ok: false; readonly reason: string };

const systemNameByKey: ReadonlyMap<string, string> = new Map([
  ['$.mid', 'messageId'],
  ['$.cid', 'correlationId'],
  ['$.uid', 'userId'],
  ['$.to', 'to'],
  ['$.ct', 'contentType'],
  ['$.ce', 'contentEncoding'],
  ['$.exp', 'absoluteExpiryTime'],
  ['$.schema', 'messageSchema'],
  ['$.ctime', 'creationTime'],
  ['$.sub', 'componentName'],
  ['$.ifid', 'interfaceId'],
  ['ack', 'ack'],
  ['iothub-operation', 'operation'],
  ['$.cdid', 'connectionDeviceId'],
  ['$.cmid', 'connectionModuleId'],
]);
const keyBySystemName: ReadonlyMap<string, string> = new Map([...systemNameByKey].map(([key, name]) => [name, key]));
/** Names a message that a gateway is to settle; between a hub and a gateway of weir only (topics.ts). */
export const lockProperty = '$.lock';

const outputKey = '$.on';
const hopKey = '$.hop';
const hopPattern = /^[A-Za-z0-9._-]{1,64}:[1-9]\d{0,15}$/;

/** The bag's text, without slashes around it. System properties without a wire key are left out. */
export function encodePropertyBag(bag: PropertyBag): string {
  let text = '';
  const add = (key: string, value: string): void => {
    text += text === '' ? `${key}=${value}` : `&${key}=${value}`;
  };
  for (const name of Object.keys(bag.system)) {
    const key = keyBySystemName.get(name);
    if (key !== undefined) add(key, encodeText(bag.system[name] as string));
  }
  if (bag.output !== undefined) add(outputKey, encodeText(bag.output));
  if (bag.hop !== undefined) add(hopKey, `${bag.hop.stream}:${bag.hop.sequence}`);
  for (const key of Object.keys(bag.properties)) add(encodeText(key), encodeText(bag.properties[key] as string));
  return text;
}

/** The reverse. A key given twice keeps its last value, as in Microsoft's clients. */
export function decodePropertyBag(text: string): DecodedPropertyBag {
  const system: Record<string, string> = {};
  const properties: Record<string, string> = {};
  let output: string | undefined;
  let hop: StreamPosition | undefined;
  for (const pair of text.split('&')) {
    if (pair === '') continue;
    const equals = pair.indexOf('=');
    const rawKey = equals < 0 ? pair : pair.slice(0, equals);
    if (rawKey.includes('/')) return { ok: false, reason: `a slash in the property name '${rawKey}'` };
    const key = decodeText(rawKey);
    const value = equals < 0 ? '' : decodeText(pair.slice(equals + 1));
    if (key === undefined || value === undefined) return { ok: false, reason: `bad percent-encoding in '${pair}'` };
    if (key === '') return { ok: false, reason: `no property name in '${pair}'` };
    const systemName = systemNameByKey.get(key);
    if (systemName !== undefined) {
      system[systemName] = value;
    } else if (key === outputKey) {
      output = value === '' ? undefined : value;
    } else if (key === hopKey) {
      hop = parseHop(value);
      if (hop === undefined) return { ok: false, reason: `$.hop is not '<stream>:<sequence>': '${value}'` };
    } else {
      setOwn(properties, key, value);
    }
  }
  return { ok: true, system, properties, output, hop };
}

/** A property called `__proto__` is one like any other. */
function setOwn(properties: Record<string, string>, key: string, value: string): void {
  if (key !== '__proto__') properties[key] = value;
  else Object.defineProperty(properties, key, { value, writable: true, enumerable: true, configurable: true });
}

function parseHop(text: string): StreamPosition | undefined {
  if (!hopPattern.test(text)) return undefined;
  const colon = text.indexOf(':');
  const sequence = Number(text.slice(colon + 1));
  return Number.isSafeInteger(sequence) ? { stream: text.slice(0, colon), sequence } : undefined;
}

/** What percent-encoding leaves as it is: most names and values. */
const plainText = /^[\w.!~*'()-]*$/;

// Half of a surrogate pair is no character and has no UTF-8 form; encodeURIComponent would throw.
function encodeText(text: string): string {
  if (plainText.test(text)) return text;
  return encodeURIComponent(text.replace(/\p{Surrogate}/gu, '\ufffd'));
}

function decodeText(text: string): string | undefined {
  if (!text.includes('%')) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}
