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
import { diffPatch, jsonEqual, mergePatch, type Twin } from '../model/twin.ts';
import { twinProblems, twinSizeProblem, withoutCarrier } from '../model/twin-rules.ts';
import type { Clock } from '../platform/clock.ts';
import type { HubDatabase } from './database.ts';
import { deviceNotFound, etagMismatch, moduleNotFound, twinRefused } from './errors.ts';
import type { DesiredChange } from './ports.ts';

export interface TwinDocument {
  readonly identity: Identity;
  readonly twin: Twin;
  readonly tags: JsonObject;
  /** Grows with every change of tags or desired properties. */
  readonly version: number;
  readonly desiredUpdatedMs: number;
  readonly reportedUpdatedMs: number;
}

/** A change by a service: what is absent stays, null deletes. */
export interface TwinPatch {
  readonly tags?: JsonObject | undefined;
  readonly desired?: JsonObject | undefined;
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
  readonly #listeners = new Set<(change: DesiredChange) => void>();

  constructor(ports: { readonly database: HubDatabase; readonly clock: Clock }) {
    this.#database = ports.database;
    this.#clock = ports.clock;
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
    };
  }

  /** Merges `patch` into the reported properties and returns their new version. Throws HUB_TWIN_INVALID, HUB_TWIN_TOO_LARGE. */
  patchReported(identity: Identity, patch: JsonObject): number {
    const before = this.#row(identity);
    const merged = merge(identity, { name: 'reported', before: section(before.reported), patch });
    const version = before.reported_version + 1;
    this.#database.run(
      'UPDATE twin SET reported = ?, reported_version = ?, reported_ms = ? WHERE device = ? AND module = ?',
      JSON.stringify(merged),
      version,
      this.#clock.wallMs(),
      identity.deviceId,
      identity.moduleId ?? '',
    );
    return version;
  }

  /** A service's change of tags and desired properties; announced when done. `expectedVersion` refuses a change of something newer. */
  patch(identity: Identity, patch: TwinPatch, expectedVersion?: number): TwinDocument {
    const before = this.read(identity);
    if (expectedVersion !== undefined && expectedVersion !== before.version)
      throw etagMismatch(`The twin of ${identityKey(identity)}`);
    const tags =
      patch.tags === undefined
        ? before.tags
        : merge(identity, { name: 'tags', before: before.tags, patch: patch.tags });
    const old = before.twin.desired;
    const desired =
      patch.desired === undefined
        ? old.properties
        : merge(identity, { name: 'desired', before: old.properties, patch: patch.desired });
    const version = patch.desired === undefined ? old.version : old.version + 1;
    this.#writeService(before, { tags, desired, desiredVersion: version });
    if (patch.desired !== undefined) this.announce([{ identity, patch: withoutCarrier(patch.desired), version }]);
    return this.read(identity);
  }

  /**
   * Makes `whole` the desired properties. Returns the change to announce after commit, or undefined when they were
   * equal already: then neither version nor module notices, so that applying the same manifest again is harmless.
   */
  replaceDesired(identity: Identity, whole: JsonObject): DesiredChange | undefined {
    const before = this.read(identity);
    const old = before.twin.desired;
    const desired = merge(identity, { name: 'desired', before: {}, patch: whole });
    if (jsonEqual(old.properties, desired)) return undefined;
    const version = old.version + 1;
    this.#writeService(before, { tags: before.tags, desired, desiredVersion: version });
    return { identity, patch: diffPatch(old.properties, desired), version };
  }

  #writeService(
    before: TwinDocument,
    after: { readonly tags: JsonObject; readonly desired: JsonObject; readonly desiredVersion: number },
  ): void {
    const { deviceId, moduleId } = before.identity;
    const desiredMs =
      after.desiredVersion === before.twin.desired.version ? before.desiredUpdatedMs : this.#clock.wallMs();
    this.#database.run(
      'UPDATE twin SET version = ?, tags = ?, desired = ?, desired_version = ?, desired_ms = ? WHERE device = ? AND module = ?',
      before.version + 1,
      JSON.stringify(after.tags),
      JSON.stringify(after.desired),
      after.desiredVersion,
      desiredMs,
      deviceId,
      moduleId ?? '',
    );
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
