// A device twin and the rules by which it changes.
//
// Owns the twin's shape (desired and reported properties, each with a version) and the pure merge: JSON merge
// patch (RFC 7396) where null deletes. Used by the gateway's twin copy and by the hub's registry alike.
// Keys starting with `$` (`$version`, `$metadata`) belong to the carrier, never to the properties.

import type { JsonObject, JsonValue } from './json.ts';
import { isJsonObject } from './json.ts';

export interface TwinSection {
  readonly properties: JsonObject;
  /** Starts at 1, grows by one with every change. 0 means never seen. */
  readonly version: number;
}

export interface Twin {
  readonly desired: TwinSection;
  readonly reported: TwinSection;
}

export const emptyTwin: Twin = {
  desired: { properties: {}, version: 0 },
  reported: { properties: {}, version: 0 },
};

/** RFC 7396: members of `patch` replace those of `target`, objects merge, null deletes. What is untouched is shared with `target`. */
export function mergePatch(target: JsonObject, patch: JsonObject): JsonObject {
  const merged: Record<string, JsonValue> = { ...target };
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete merged[key];
    else if (isJsonObject(value)) setOwn(merged, key, mergePatch(ownObject(target, key), value));
    else setOwn(merged, key, value);
  }
  return merged;
}

/**
 * One patch that does what `first` and then `second` do; undefined when no single patch can: an object that comes
 * after a null or a value would have to replace, and a merge patch only merges objects.
 */
export function composePatches(first: JsonObject, second: JsonObject): JsonObject | undefined {
  const composed: Record<string, JsonValue> = { ...first };
  for (const [key, value] of Object.entries(second)) {
    const before = own(composed, key);
    if (!isJsonObject(value) || before === undefined) {
      setOwn(composed, key, value);
      continue;
    }
    const inner = isJsonObject(before) ? composePatches(before, value) : undefined;
    if (inner === undefined) return undefined;
    setOwn(composed, key, inner);
  }
  return composed;
}

/** The smallest merge patch that turns `before` into `after`; an empty object when they are equal. */
export function diffPatch(before: JsonObject, after: JsonObject): JsonObject {
  const patch: Record<string, JsonValue> = {};
  for (const key of Object.keys(before)) {
    if (!Object.hasOwn(after, key)) setOwn(patch, key, null);
  }
  for (const [key, value] of Object.entries(after)) {
    const old = own(before, key);
    if (old === value) continue;
    if (isJsonObject(old) && isJsonObject(value)) {
      const inner = diffPatch(old, value);
      if (Object.keys(inner).length > 0) setOwn(patch, key, inner);
    } else if (!jsonEqual(old, value)) {
      setOwn(patch, key, value);
    }
  }
  return patch;
}

/** One patch from two that lead to the same object from different ones: it leads there from both. */
export function unitePatches(first: JsonObject, second: JsonObject): JsonObject {
  const united: Record<string, JsonValue> = { ...first };
  for (const [key, value] of Object.entries(second)) {
    const other = own(united, key);
    setOwn(united, key, isJsonObject(other) && isJsonObject(value) ? unitePatches(other, value) : value);
  }
  return united;
}

/** True for a patch that changes nothing. */
export function isEmptyPatch(patch: JsonObject): boolean {
  return Object.keys(patch).length === 0;
}

export function jsonEqual(a: JsonValue | undefined, b: JsonValue | undefined): boolean {
  if (a === b) return true;
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((item, index) => jsonEqual(item, b[index]));
  if (!isJsonObject(a) || !isJsonObject(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => jsonEqual(own(a, key), own(b, key)));
}

/** The properties without carrier keys (`$version`, `$metadata`). */
export function withoutCarrierKeys(section: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(section).filter(([key]) => !key.startsWith('$')));
}

// Keys come from anybody: `constructor` must not find what every object inherits, nor `__proto__` change it.

function own(object: JsonObject, key: string): JsonValue | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}

function ownObject(object: JsonObject, key: string): JsonObject {
  const value = own(object, key);
  return isJsonObject(value) ? value : {};
}

function setOwn(object: Record<string, JsonValue>, key: string, value: JsonValue): void {
  if (key === '__proto__')
    Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
  else object[key] = value;
}
