// The twins: desired and reported properties and tags of every identity, each section with its own version.
//
// Owns table `twin`. The rules of what may stand in a twin are model/twin-rules.ts; the merge is model/twin.ts.
//
// Invariants
//   A section's version grows by one with every accepted change and never goes back.
//   Sections keep to their size after the merge; a refused patch changes nothing.
//   Whatever returns is on stable storage.
//   Listeners hear of a desired change only after its transaction is committed: a caller that works inside a
//   larger transaction (deployments.ts) collects the changes and announces them itself.

import { twinSectionBytesMax, twinTagsBytesMax } from '../limits.ts';
import { type Identity, identityKey } from '../model/address.ts';
import { isJsonObject, type JsonObject, parseJson } from '../model/json.ts';
import { diffPatch, isEmptyPatch, mergePatch } from '../model/twin.ts';
import { twinProblems, twinSizeProblem, withoutCarrier } from '../model/twin-rules.ts';
import type { Clock } from '../platform/clock.ts';
import type { HubDatabase } from './database.ts';
import { deviceNotFound, etagMismatch, moduleNotFound, twinRefused } from './errors.ts';
import type { Notices } from './notices.ts';
import type { DesiredChange } from './ports.ts';
import type { TwinDocument } from './twin-json.ts';
import { metadataJson, type Stamp, stamped } from './twin-metadata.ts';

/** A change by a service: what is absent stays, null deletes; a section that is null is emptied. */
export interface TwinPatch {
  readonly tags?: JsonObject | null | undefined;
  readonly desired?: JsonObject | null | undefined;
}

type SectionName = 'desired' | 'reported' | 'tags';

interface TwinRow {
  readonly version: number;
  readonly desired: string;
  readonly desired_version: number;
  readonly desired_ms: number;
  readonly reported: string;
  readonly reported_version: number;
  readonly reported_ms: number;
  readonly tags: string;
  readonly desired_metadata: string;
  readonly reported_metadata: string;
}

const bytesMaxOf: Readonly<Record<SectionName, number>> = {
  desired: twinSectionBytesMax,
  reported: twinSectionBytesMax,
  tags: twinTagsBytesMax,
};
const pathOf: Readonly<Record<SectionName, string>> = {
  desired: '$.properties.desired',
  reported: '$.properties.reported',
  tags: '$.tags',
};

export class Twins {
  readonly #database: HubDatabase;
  readonly #clock: Clock;
  readonly #notices: Notices | undefined;
  readonly #listeners = new Set<(change: DesiredChange) => void>();

  constructor(ports: {
    readonly database: HubDatabase;
    readonly clock: Clock;
    readonly notices?: Notices | undefined;
  }) {
    this.#database = ports.database;
    this.#clock = ports.clock;
    this.#notices = ports.notices;
  }

  onDesired(listener: (change: DesiredChange) => void): void {
    this.#listeners.add(listener);
  }

  /** Tells the listeners of changes that are committed. */
  announce(changes: readonly DesiredChange[]): void {
    for (const change of changes) {
      for (const listener of this.#listeners) listener(change);
    }
  }

  /** Throws HUB_DEVICE_NOT_FOUND or HUB_MODULE_NOT_FOUND. */
  read(identity: Identity): TwinDocument {
    const row = this.#row(identity);
    return {
      identity,
      twin: {
        desired: { properties: section(row.desired), version: row.desired_version },
        reported: { properties: section(row.reported), version: row.reported_version },
      },
      tags: section(row.tags),
      version: row.version,
      desiredUpdatedMs: row.desired_ms,
      reportedUpdatedMs: row.reported_ms,
      metadata: { desired: section(row.desired_metadata), reported: section(row.reported_metadata) },
    };
  }

  /** Merges `patch` into the reported properties and returns their new version. Throws HUB_TWIN_INVALID, HUB_TWIN_TOO_LARGE. */
  patchReported(identity: Identity, patch: JsonObject): number {
    const before = this.#row(identity);
    const clean = withoutCarrier(patch);
    const merged = merge(identity, { name: 'reported', before: section(before.reported), patch: clean });
    const stamp = { ms: this.#clock.wallMs(), version: before.reported_version + 1 };
    const metadata = stamped(section(before.reported_metadata), clean, { properties: merged, stamp });
    this.#database.transaction(() => {
      this.#database.run(
        `UPDATE twin SET reported = ?, reported_version = ?, reported_ms = ?, reported_metadata = ?
         WHERE device = ? AND module = ?`,
        JSON.stringify(merged),
        stamp.version,
        stamp.ms,
        JSON.stringify(metadata),
        identity.deviceId,
        identity.moduleId ?? '',
      );
      const changed = { reported: changedJson({ patch: clean, metadata, stamp }, { withVersion: false }) };
      this.#notices?.tell('twin-changes', () => ({
        identity,
        opType: 'updateTwin',
        body: { version: before.version, properties: changed },
      }));
    });
    return stamp.version;
  }

  /** A service's change of tags and desired properties; announced when done. `expectedVersion` refuses a change of something newer. */
  patch(identity: Identity, patch: TwinPatch, expectedVersion?: number): TwinDocument {
    const before = this.#expected(identity, expectedVersion);
    if (patch.tags === undefined && patch.desired === undefined) return before;
    const tags = patch.tags === undefined ? undefined : this.#tags(before, patch.tags ?? {}, patch.tags === null);
    const change = patch.desired ?? (patch.desired === null ? deletionOf(before.twin.desired.properties) : undefined);
    const news = this.#database.transaction(() =>
      this.#change(before, { tags, desired: change && withoutCarrier(change), opType: 'updateTwin' }),
    );
    if (news !== undefined) this.announce([news]);
    return this.read(identity);
  }

  /** Puts whole sections in place of the old ones; an absent one stays. Otherwise as patch(). */
  replace(identity: Identity, whole: TwinPatch, expectedVersion?: number): TwinDocument {
    const before = this.#expected(identity, expectedVersion);
    if (whole.tags === undefined && whole.desired === undefined) return before;
    const tags = whole.tags === undefined ? undefined : this.#tags(before, whole.tags ?? {}, true);
    const desired = whole.desired === undefined ? undefined : this.#wholeDesired(before, whole.desired ?? {});
    const news = this.#database.transaction(() => this.#change(before, { tags, desired, opType: 'replaceTwin' }));
    if (news !== undefined) this.announce([news]);
    return this.read(identity);
  }

  /**
   * Makes `whole` the desired properties. Returns the change to announce after commit, or undefined when they were
   * equal already: then neither version nor module notices, so that applying the same manifest again is harmless.
   */
  replaceDesired(identity: Identity, whole: JsonObject): DesiredChange | undefined {
    const before = this.read(identity);
    const desired = this.#wholeDesired(before, whole);
    if (isEmptyPatch(desired)) return undefined;
    return this.#change(before, { tags: undefined, desired, opType: 'replaceTwin' });
  }

  #expected(identity: Identity, version: number | undefined): TwinDocument {
    const before = this.read(identity);
    if (version !== undefined && version !== before.version) throw etagMismatch(`The twin of ${identityKey(identity)}`);
    return before;
  }

  #tags({ identity, tags }: TwinDocument, patch: JsonObject, isWhole: boolean): JsonObject {
    return merge(identity, { name: 'tags', before: isWhole ? {} : tags, patch });
  }

  /** The patch that makes `whole` the desired properties; checked. */
  #wholeDesired({ identity, twin }: TwinDocument, whole: JsonObject): JsonObject {
    const desired = merge(identity, { name: 'desired', before: {}, patch: whole });
    return diffPatch(twin.desired.properties, desired);
  }

  #change(
    before: TwinDocument,
    change: {
      readonly tags: JsonObject | undefined;
      readonly desired: JsonObject | undefined;
      readonly opType: string;
    },
  ): DesiredChange | undefined {
    const { identity, metadata } = before;
    const old = before.twin.desired;
    const patch = change.desired;
    const properties =
      patch === undefined ? old.properties : merge(identity, { name: 'desired', before: old.properties, patch });
    const stamp =
      patch === undefined
        ? { ms: before.desiredUpdatedMs, version: old.version }
        : { ms: this.#clock.wallMs(), version: old.version + 1 };
    const marks = patch === undefined ? metadata.desired : stamped(metadata.desired, patch, { properties, stamp });
    const tags = change.tags ?? before.tags;
    this.#database.run(
      `UPDATE twin SET version = ?, tags = ?, desired = ?, desired_version = ?, desired_ms = ?, desired_metadata = ?
       WHERE device = ? AND module = ?`,
      before.version + 1,
      JSON.stringify(tags),
      JSON.stringify(properties),
      stamp.version,
      stamp.ms,
      JSON.stringify(marks),
      identity.deviceId,
      identity.moduleId ?? '',
    );
    this.#notices?.tell('twin-changes', () => {
      const shown = change.opType === 'replaceTwin' ? properties : (patch ?? {});
      const desired = changedJson({ patch: shown, metadata: marks, stamp }, { withVersion: true });
      return {
        identity,
        opType: change.opType,
        body: {
          version: before.version + 1,
          ...(change.tags === undefined ? {} : { tags }),
          ...(patch === undefined ? {} : { properties: { desired } }),
        },
      };
    });
    return patch === undefined ? undefined : { identity, patch, version: stamp.version };
  }

  #row({ deviceId, moduleId }: Identity): TwinRow {
    const find = (module: string): TwinRow | undefined =>
      this.#database.get<TwinRow>('SELECT * FROM twin WHERE device = ? AND module = ?', deviceId, module);
    const row = find(moduleId ?? '');
    if (row !== undefined) return row;
    if (moduleId === undefined || find('') === undefined) throw deviceNotFound(deviceId);
    throw moduleNotFound(deviceId, moduleId);
  }
}

/** A section, or a part of it, as notices show it. */
function changedJson(
  { patch, metadata, stamp }: { readonly patch: JsonObject; readonly metadata: JsonObject; readonly stamp: Stamp },
  options: { readonly withVersion: boolean },
): JsonObject {
  const there = Object.fromEntries(Object.entries(patch).filter(([, value]) => value !== null));
  const $metadata = metadataJson(there, metadata, { sinceMs: stamp.ms, ...options });
  return { ...patch, $metadata, $version: stamp.version };
}

function deletionOf(properties: JsonObject): JsonObject {
  return Object.fromEntries(Object.keys(properties).map((key) => [key, null]));
}

interface Merge {
  readonly name: SectionName;
  readonly before: JsonObject;
  readonly patch: JsonObject;
}

function merge(identity: Identity, { name, before, patch }: Merge): JsonObject {
  const clean = withoutCarrier(patch);
  const problems = twinProblems(clean, pathOf[name]);
  if (problems.length > 0) throw twinRefused(identityKey(identity), problems, { tooLarge: false });
  const merged = mergePatch(before, clean);
  const tooLarge = twinSizeProblem(merged, pathOf[name], bytesMaxOf[name]);
  if (tooLarge !== undefined) throw twinRefused(identityKey(identity), [tooLarge], { tooLarge: true });
  return merged;
}

// Our own writing read back: anything but an object would be a damaged row.
function section(text: string): JsonObject {
  const parsed = parseJson(text);
  return parsed.ok && isJsonObject(parsed.value) ? parsed.value : {};
}
