// When each property of a twin section was last set: Azure's `$metadata`, which services see and devices do not.
//
//   kept:    {"":[1767225600000,4],"speed":[1767225600000,4],"limits":{"":[…],"low":[…]}}
//   written: {"$lastUpdated":"2026-01-01T00:00:00.000Z","$lastUpdatedVersion":4,"speed":{"$lastUpdated":…},…}
//
// The tree follows the section: an object has its own stamp under the empty key, which no property may have, and one
// for each member; anything else is a stamp, milliseconds and the section's version. A change stamps what the patch
// names and every object above it. A property without a stamp was set before stamps were kept: the section's own time
// stands for it. Pure.

import { isJsonObject, type JsonObject, type JsonValue } from '../model/json.ts';

export interface Stamp {
  readonly ms: number;
  readonly version: number;
}

const own = '';

/** The tree after `patch` made `properties` of a section. */
export function stamped(
  tree: JsonObject,
  patch: JsonObject,
  {
    properties,
    stamp,
  }: {
    readonly properties: JsonObject;
    readonly stamp: Stamp;
  },
): JsonObject {
  const mark: JsonValue = [stamp.ms, stamp.version];
  const next: Record<string, JsonValue> = { ...tree, [own]: mark };
  for (const [key, change] of Object.entries(patch)) {
    const value = ownMember(properties, key);
    if (value === undefined) delete next[key];
    else if (isJsonObject(value) && isJsonObject(change)) {
      const before = ownMember(tree, key);
      next[key] = stamped(isJsonObject(before) ? before : {}, change, { properties: value, stamp });
    } else next[key] = mark;
  }
  return next;
}

/** Azure's `$metadata` of a section. `since` stands for what has no stamp; versions are shown where `withVersion`. */
export function metadataJson(
  properties: JsonObject,
  tree: JsonObject,
  { sinceMs, withVersion }: { readonly sinceMs: number; readonly withVersion: boolean },
): JsonObject {
  const shown: Record<string, JsonValue> = stampJson(ownMember(tree, own), { sinceMs, withVersion });
  for (const [key, value] of Object.entries(properties)) {
    const mark = ownMember(tree, key);
    shown[key] = isJsonObject(value)
      ? metadataJson(value, isJsonObject(mark) ? mark : {}, { sinceMs, withVersion })
      : stampJson(mark, { sinceMs, withVersion });
  }
  return shown;
}

function stampJson(
  mark: JsonValue | undefined,
  { sinceMs, withVersion }: { readonly sinceMs: number; readonly withVersion: boolean },
): Record<string, JsonValue> {
  const [ms, version] = Array.isArray(mark) ? (mark as readonly JsonValue[]) : [];
  return {
    $lastUpdated: new Date(typeof ms === 'number' ? ms : sinceMs).toISOString(),
    ...(withVersion && typeof version === 'number' ? { $lastUpdatedVersion: version } : {}),
  };
}

function ownMember(object: JsonObject, key: string): JsonValue | undefined {
  return Object.hasOwn(object, key) ? object[key] : undefined;
}
