// One message as conditions see it.
//
// A view is made once and looks at one message after another: nothing is allocated for a message, the body is
// parsed at most once for each, and only when a condition asks for it. Values that several conditions share are
// remembered in numbered slots for as long as the message is looked at.
//
// Names of properties are compared without regard to case, as in IoT Edge. Reading the body needs contentType
// `application/json` and contentEncoding utf-8, utf-16 or utf-32 (in any case), and an object at its root; else every
// path is undefined. Text that looks like a date is undefined too: IoT Edge's JSON library makes dates of it.

import { routeBodyBytesMax } from '../../limits.ts';
import type { JsonObject } from '../../model/json.ts';
import { isJsonObject, parseJson } from '../../model/json.ts';
import type { Message } from '../../model/message.ts';
import { type BodyPath, valueAt } from './body-path.ts';
import type { ConnectionFact } from './reference.ts';
import { noText, nothing, type Value } from './value.ts';

/** A message; tests give properties without a value, too, which MQTT knows none of. */
export interface ViewedMessage extends Omit<Message, 'properties' | 'system'> {
  readonly properties: Readonly<Record<string, string | null>>;
  readonly system: Readonly<Record<string, string | null>>;
}

/** The JSON of a body, or why conditions do not look into it. */
export type BodyReading =
  | { readonly ok: true; readonly root: JsonObject }
  | { readonly ok: false; readonly reason: string };

const jsonType = 'application/json';
const encodings: ReadonlyMap<string, (bytes: Buffer) => string> = new Map([
  ['utf-8', (bytes) => bytes.toString('utf8')],
  ['utf-16', (bytes) => bytes.toString('utf16le')],
  ['utf-32', textOfUtf32],
]);
const datePattern =
  /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d(?::?\d\d)?)?$|^\/Date\(-?\d+(?:[+-]\d{4})?\)\/$/;
const dollar = 36;

export class MessageView {
  readonly #deviceId: string | undefined;
  #message: ViewedMessage | undefined;
  #body: BodyReading | undefined;
  #hasDollarProperty: boolean | undefined;
  #turn = 0;
  #values: Value[] = [];
  #turns: number[] = [];

  /** `deviceId`: of this gateway. */
  constructor(deviceId?: string) {
    this.#deviceId = deviceId;
  }

  /** Everything asked from now on is about `message`; undefined lets go of the last one. */
  look(message: ViewedMessage | undefined): void {
    this.#message = message;
    this.#body = undefined;
    this.#hasDollarProperty = undefined;
    this.#turn += 1;
  }

  /** Makes room for this many remembered values. */
  reserve(slots: number): void {
    this.#values = new Array<Value>(slots).fill(undefined);
    this.#turns = new Array<number>(slots).fill(0);
  }

  /** The value of a slot, once for each message. */
  remembered(slot: number, evaluate: (view: MessageView) => Value): Value {
    if (this.#turns[slot] === this.#turn) return this.#values[slot];
    const value = evaluate(this);
    this.#turns[slot] = this.#turn;
    this.#values[slot] = value;
    return value;
  }

  property(name: string): Value {
    return lookUp(this.#seen.properties, name);
  }

  /** For a name that begins with `$`: hardly any message has such a property. */
  dollarProperty(name: string): Value {
    this.#hasDollarProperty ??= Object.keys(this.#seen.properties).some((key) => key.charCodeAt(0) === dollar);
    return this.#hasDollarProperty ? this.property(name) : undefined;
  }

  system(key: string): Value {
    return lookUp(this.#seen.system, key);
  }

  fact(fact: ConnectionFact): Value {
    const { sender, output, enqueuedMs } = this.#seen;
    switch (fact) {
      case 'deviceId':
        return sender.deviceId;
      case 'moduleId':
        return sender.moduleId;
      case 'output':
        return output;
      case 'enqueued':
        return new Date(enqueuedMs).toISOString();
      case 'origin':
        return this.#deviceId === undefined || sender.deviceId === this.#deviceId ? 'internal' : 'downstream';
    }
  }

  /** The value at a path of the body: undefined for what conditions cannot handle, `nothing` where there is none. */
  bodyValue(path: BodyPath): Value {
    const body = this.body();
    if (!body.ok) return undefined;
    const found = valueAt(body.root, path);
    if (found === undefined) return nothing;
    if (typeof found === 'string') return datePattern.test(found) ? undefined : found;
    return typeof found === 'object' && found !== null ? undefined : found;
  }

  /** Whether the path leads to anything, an object or null included; undefined when the body cannot be read. */
  bodyHas(path: BodyPath): boolean | undefined {
    const body = this.body();
    return body.ok ? valueAt(body.root, path) !== undefined : undefined;
  }

  body(): BodyReading {
    this.#body ??= readBody(this.#seen, (name) => this.system(name));
    return this.#body;
  }

  get #seen(): ViewedMessage {
    return this.#message as ViewedMessage;
  }
}

/** By its exact name, else by one that differs in case. */
function lookUp(properties: Readonly<Record<string, string | null>>, name: string): Value {
  const exact = properties[name];
  if (typeof exact === 'string') return exact;
  for (const key in properties) {
    if (key.length !== name.length || key.toLowerCase() !== name.toLowerCase()) continue;
    return properties[key] ?? noText;
  }
  return undefined;
}

function readBody({ body }: ViewedMessage, system: (name: string) => Value): BodyReading {
  const type = system('contentType');
  if (typeof type !== 'string' || type.toLowerCase() !== jsonType)
    return refused(`contentType is ${shown(type)}; the sender has to set ${jsonType} ($.ct)`);
  const encoding = system('contentEncoding');
  const decode = typeof encoding === 'string' ? encodings.get(encoding.toLowerCase()) : undefined;
  if (decode === undefined) return refused(`contentEncoding is ${shown(encoding)}; the sender has to set utf-8 ($.ce)`);
  if (body.byteLength > routeBodyBytesMax) return refused(`the body has more than ${routeBodyBytesMax} bytes`);
  const bytes = Buffer.from(body.buffer, body.byteOffset, body.byteLength);
  const parsed = parseJson(decode(bytes).replace(/^\uFEFF/, ''));
  if (!parsed.ok) return refused(`the body is no JSON: ${parsed.reason}`);
  return isJsonObject(parsed.value) ? { ok: true, root: parsed.value } : refused('the body is no JSON object');
}

function refused(reason: string): BodyReading {
  return { ok: false, reason };
}

function shown(value: Value): string {
  return typeof value === 'string' ? JSON.stringify(value) : 'missing';
}

const utf32Bytes = 4;
const codePointMax = 0x10ffff;
const replacement = 0xfffd;

function textOfUtf32(bytes: Buffer): string {
  let text = '';
  for (let at = 0; at + utf32Bytes <= bytes.length; at += utf32Bytes) {
    const codePoint = bytes.readUInt32LE(at);
    text += String.fromCodePoint(codePoint > codePointMax ? replacement : codePoint);
  }
  return text;
}
