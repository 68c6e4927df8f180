// What may stand in a twin: IoT Hub's rules for keys, values, depth and size, as pure checks.
//
// The same rules hold for a patch (null deletes) and for a whole section. Every fault is reported with the JSON
// path of the culprit, all of them at once, so that a document is mended in one go.
//
// Size is counted as IoT Hub does: UTF-8 bytes of all keys and text values, 8 a number, 4 a boolean, `$…` keys
// excluded. That says little about the JSON text (many short members, control characters), so the text has a bound
// of its own: both sections must travel in one message. Depth counts objects and arrays; the section's own object is
// level 0. A null is a deletion, so an array cannot hold one; inside an object of an array it is a value.
// `$version` and `$metadata` at the top are the carrier's: tools send back what they read, so they are dropped
// silently. Any other key with a `$` is a fault.

import {
  problemsMax,
  twinDepthMax,
  twinIntegerMax,
  twinIntegerMin,
  twinKeyBytesMax,
  twinSectionJsonBytesMax,
  twinTextBytesMax,
} from '../limits.ts';
import type { JsonObject, JsonValue } from './json.ts';
import { isJsonObject } from './json.ts';
import type { Problem } from './problem.ts';

const numberBytes = 8;
const booleanBytes = 4;
const firstPrintable = 0x20;
const deleteCharacter = 0x7f;
const lastControl = 0x9f;

/** The section without the carrier's own keys. */
export function withoutCarrier(section: JsonObject): JsonObject {
  if (!('$version' in section) && !('$metadata' in section)) return section;
  return Object.fromEntries(Object.entries(section).filter(([key]) => key !== '$version' && key !== '$metadata'));
}

/** All faults of a patch or section under `path`; none when it may be stored. Size is checked apart, on the merged whole. */
export function twinProblems(section: JsonObject, path: string): readonly Problem[] {
  const problems: Problem[] = [];
  checkObject(section, { path, depth: 0, problems });
  return problems;
}

/** Bytes of a section by IoT Hub's count. */
export function twinBytes(value: JsonValue): number {
  if (value === null) return 0;
  if (typeof value === 'string') return Buffer.byteLength(value);
  if (typeof value === 'number') return numberBytes;
  if (typeof value === 'boolean') return booleanBytes;
  let bytes = 0;
  if (!isJsonObject(value)) {
    for (const item of value) bytes += twinBytes(item);
    return bytes;
  }
  for (const [key, member] of Object.entries(value)) {
    if (!key.startsWith('$')) bytes += Buffer.byteLength(key) + twinBytes(member);
  }
  return bytes;
}

/** The fault of a merged section that is over `bytesMax` by IoT Hub's count, or too long as JSON; undefined when it fits. */
export function twinSizeProblem(section: JsonObject, path: string, bytesMax: number): Problem | undefined {
  const mend = 'Remove properties, or send large values as messages.';
  const bytes = twinBytes(section);
  if (bytes > bytesMax)
    return { path, message: `it would have ${bytes} bytes, at most ${bytesMax} are allowed. ${mend}` };
  const jsonBytes = Buffer.byteLength(JSON.stringify(section));
  if (jsonBytes <= twinSectionJsonBytesMax) return undefined;
  return {
    path,
    message: `it would have ${jsonBytes} bytes as JSON, at most ${twinSectionJsonBytesMax} are allowed. ${mend}`,
  };
}

/** A text that may be of any length, as a twin can hold it: cut at a character, with `…` for the rest. */
export function cutTwinText(text: string): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= twinTextBytesMax) return text;
  const kept = bytes.subarray(0, twinTextBytesMax - Buffer.byteLength('…')).toString('utf8');
  return `${kept.replace(/\ufffd+$/, '')}…`;
}

/** `$.a` + `b` is `$.a.b`; a key that is no plain word is quoted: `$.a["properties.desired"]`. */
export function memberPath(path: string, key: string): string {
  return /^[$A-Za-z_][\w$-]*$/.test(key) ? `${path}.${key}` : `${path}[${JSON.stringify(key)}]`;
}

interface Place {
  readonly path: string;
  readonly depth: number;
  readonly problems: Problem[];
}

function checkObject(value: JsonObject, place: Place): void {
  for (const [key, member] of Object.entries(value)) {
    if (place.problems.length >= problemsMax) return;
    const path = memberPath(place.path, key);
    const fault = keyFault(key);
    if (fault !== undefined) place.problems.push({ path, message: fault });
    checkValue(member, { ...place, path });
  }
}

function keyFault(key: string): string | undefined {
  if (key === '') return 'an empty key is not allowed. Name it.';
  if (/[.$ ]/.test(key)) return "keys must not contain '.', '$' or blanks. Use '_' or '-' instead.";
  if (key === '__proto__') return 'this key is reserved. Choose another.';
  if (hasControlCharacter(key)) return 'keys must not contain control characters. Remove them.';
  if (Buffer.byteLength(key) > twinKeyBytesMax) return `the key is over ${twinKeyBytesMax} bytes. Shorten it.`;
  return undefined;
}

function hasControlCharacter(text: string): boolean {
  for (let index = 0; index < text.length; index += 1) {
    const code = text.charCodeAt(index);
    if (code < firstPrintable || (code >= deleteCharacter && code <= lastControl)) return true;
  }
  return false;
}

function checkValue(value: JsonValue, place: Place): void {
  const { path, problems } = place;
  if (typeof value === 'string') {
    const bytes = Buffer.byteLength(value);
    if (bytes > twinTextBytesMax)
      problems.push({
        path,
        message: `the text has ${bytes} bytes, at most ${twinTextBytesMax} are allowed. Split it.`,
      });
  } else if (typeof value === 'number') {
    if (!Number.isFinite(value)) {
      problems.push({ path, message: 'the number is too large for any computer. Send it as text.' });
    } else if (Number.isInteger(value) && (value > twinIntegerMax || value < twinIntegerMin)) {
      problems.push({ path, message: 'whole numbers must lie between -2^52 and 2^52-1. Send it as text.' });
    }
  } else if (typeof value === 'object' && value !== null) {
    checkNested(value, place);
  }
}

function checkNested(value: JsonObject | readonly JsonValue[], { path, depth, problems }: Place): void {
  const inside = depth + 1;
  if (inside > twinDepthMax) {
    problems.push({ path, message: `nested deeper than ${twinDepthMax} levels. Flatten it.` });
    return;
  }
  if (isJsonObject(value)) {
    checkObject(value, { path, depth: inside, problems });
    return;
  }
  for (const [index, item] of value.entries()) {
    if (problems.length >= problemsMax) return;
    const place = { path: `${path}[${index}]`, depth: inside, problems };
    if (item === null) problems.push({ path: place.path, message: 'an array must not hold null. Leave it out.' });
    else checkValue(item, place);
  }
}
