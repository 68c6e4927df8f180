// A twin as services see it, in Azure's shape: its sections with `$metadata` and `$version`, its tags, version and etag.
//
//   {"deviceId":"gw-7","moduleId":"pump","etag":"AAAAAAAAAAU=", …facts…, "version":5,"tags":{…},
//    "properties":{"desired":{…,"$metadata":{…},"$version":4},"reported":{…}}}
//
// The etag is the version, eight bytes in base64. The facts are what others know of the identity: api/shapes.ts adds the
// registry's and the broker's; a notice that an identity came or went (registry.ts) has none. Pure.

import type { Identity } from '../model/address.ts';
import type { JsonObject } from '../model/json.ts';
import type { Twin } from '../model/twin.ts';
import { metadataJson } from './twin-metadata.ts';

export interface TwinDocument {
  readonly identity: Identity;
  readonly twin: Twin;
  readonly tags: JsonObject;
  /** Grows with every change of tags or desired properties. */
  readonly version: number;
  readonly desiredUpdatedMs: number;
  readonly reportedUpdatedMs: number;
  /** When each property was last set (twin-metadata.ts). */
  readonly metadata: { readonly desired: JsonObject; readonly reported: JsonObject };
}

const versionBytes = 8;

export function twinJson(document: TwinDocument, facts: JsonObject = {}): JsonObject {
  const { identity, twin, metadata, tags, version } = document;
  const desired = { sinceMs: document.desiredUpdatedMs, withVersion: true };
  const reported = { sinceMs: document.reportedUpdatedMs, withVersion: false };
  return {
    deviceId: identity.deviceId,
    ...(identity.moduleId === undefined ? {} : { moduleId: identity.moduleId }),
    etag: twinEtag(version),
    ...facts,
    version,
    tags,
    properties: {
      desired: sectionJson(twin.desired, metadata.desired, desired),
      reported: sectionJson(twin.reported, metadata.reported, reported),
    },
  };
}

/** The version that a twin's etag names; undefined for text that is none. */
export function versionOfTwinEtag(etag: string): number | undefined {
  const bytes = Buffer.from(etag, 'base64');
  return bytes.length === versionBytes ? Number(bytes.readBigUInt64BE()) : undefined;
}

function twinEtag(version: number): string {
  const bytes = Buffer.alloc(versionBytes);
  bytes.writeBigUInt64BE(BigInt(version));
  return bytes.toString('base64');
}

function sectionJson(
  { properties, version }: { readonly properties: JsonObject; readonly version: number },
  metadata: JsonObject,
  options: { readonly sinceMs: number; readonly withVersion: boolean },
): JsonObject {
  return { ...properties, $metadata: metadataJson(properties, metadata, options), $version: version };
}
