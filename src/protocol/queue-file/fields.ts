// The JSON objects in queue files and receipts, read with distrust: each field by its name and type, or a refusal.
//
// A field that is absent or of another type throws FieldFault, which does not leave this folder: the readers turn it
// into their result. Fields that this version does not know are ignored.

import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../../model/json.ts';
import { type Lane, priorityUnset } from '../../model/lane.ts';

/** Names of streams, as in model/message.ts, and epochs. */
const streamPattern = /^[A-Za-z0-9._-]{1,64}$/;

export class FieldFault extends Error {}

export function readObject(text: string): JsonObject {
  const parsed = parseJson(text);
  if (parsed.ok && isJsonObject(parsed.value)) return parsed.value;
  throw new FieldFault(parsed.ok ? 'it is not an object' : parsed.reason);
}

export function text(object: JsonObject, name: string): string {
  const value = object[name];
  if (typeof value === 'string' && value !== '') return value;
  throw new FieldFault(`${name} is not a text`);
}

export function stream(object: JsonObject, name: string): string {
  const value = text(object, name);
  if (streamPattern.test(value)) return value;
  throw new FieldFault(`${name} is not the name of a stream`);
}

/** A whole number from `min`. */
export function count(object: JsonObject, name: string, min = 0): number {
  const value = object[name];
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= min) return value;
  throw new FieldFault(`${name} is not a whole number from ${min}`);
}

export function lane(object: JsonObject): Lane {
  const queue = text(object, 'queue');
  const priority = count(object, 'priority');
  const live = object['live'];
  if (priority <= priorityUnset && typeof live === 'boolean') return { queue, priority, live };
  throw new FieldFault('priority and live name no lane');
}

/** An object of texts: properties. */
export function texts(value: JsonValue | undefined, name: string): Readonly<Record<string, string>> {
  if (isJsonObject(value) && Object.values(value).every((member) => typeof member === 'string'))
    return value as Readonly<Record<string, string>>;
  throw new FieldFault(`${name} are not texts by name`);
}
