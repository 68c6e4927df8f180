// The device's own copy of every twin that lives on it: its modules', `$edgeAgent`'s and `$edgeHub`'s.
//
// Owns the copy and tells who wants to know when desired properties changed. Does not talk to the hub: that is
// twin-sync.ts. Serves offline whatever it last saw.
//
// Invariants
//   patchReported() resolves after the merged twin and the patch still owed to the hub are on stable storage.
//   desired properties change only by what the hub sent; reported ones only by what their owner sent, except on
//   the very first contact, when the hub's reported properties are the base.
//   Saves of one twin reach the table in the order of the changes.

import { type Identity, identityKey, parseIdentityKey } from '../model/address.ts';
import type { JsonObject } from '../model/json.ts';
import { composePatches, diffPatch, emptyTwin, mergePatch, type Twin, type TwinSection } from '../model/twin.ts';
import { twinSectionBytesMax } from '../limits.ts';
import { patchInvalidError, sectionTooLargeError } from './errors.ts';
import { findPatchProblem } from './patch-rules.ts';
import type { TwinRecord, TwinTable } from './ports.ts';

export interface DesiredNews {
  readonly identity: Identity;
  /** What changed, as a merge patch. */
  readonly patch: JsonObject;
  readonly version: number;
}

interface Entry {
  readonly identity: Identity;
  twin: Twin;
  pendingReported: JsonObject | undefined;
}

export class TwinCache {
  readonly #table: TwinTable;
  readonly #entries = new Map<string, Entry>();
  readonly #desiredListeners: ((news: DesiredNews) => void)[] = [];
  readonly #pendingListeners: ((identity: Identity) => void)[] = [];

  constructor(table: TwinTable) {
    this.#table = table;
  }

  /** Loads what the last run knew. */
  async start(): Promise<void> {
    for (const record of await this.#table.twins()) {
      const identity = parseIdentityKey(record.key);
      if (identity !== undefined) this.#entries.set(record.key, { identity, twin: record.twin, pendingReported: record.pendingReported });
    }
  }

  identities(): readonly Identity[] {
    return [...this.#entries.values()].map((entry) => entry.identity);
  }

  twin(identity: Identity): Twin {
    return this.#entries.get(identityKey(identity))?.twin ?? emptyTwin;
  }

  pendingReported(identity: Identity): JsonObject | undefined {
    return this.#entries.get(identityKey(identity))?.pendingReported;
  }

  onDesired(listener: (news: DesiredNews) => void): void {
    this.#desiredListeners.push(listener);
  }

  /** Called when reported properties wait for the hub. */
  onPending(listener: (identity: Identity) => void): void {
    this.#pendingListeners.push(listener);
  }

  /** Merges what the owner reports. Resolves with the new version of the reported section once it is durable. */
  async patchReported(identity: Identity, patch: JsonObject): Promise<number> {
    const problem = findPatchProblem(patch);
    if (problem !== undefined) throw patchInvalidError(problem.path, problem.reason);
    const entry = this.#entry(identity);
    const properties = mergePatch(entry.twin.reported.properties, patch);
    const bytes = Buffer.byteLength(JSON.stringify(properties));
    if (bytes > twinSectionBytesMax) throw sectionTooLargeError(bytes, twinSectionBytesMax);
    const version = entry.twin.reported.version + 1;
    entry.twin = { ...entry.twin, reported: { properties, version } };
    entry.pendingReported = composePatches(entry.pendingReported ?? {}, patch);
    await this.#save(entry);
    for (const listener of this.#pendingListeners) listener(identity);
    return version;
  }

  /** A desired patch from the hub. False when versions in between are missing: the whole twin has to be read. */
  async applyDesiredPatch({ identity, patch, version }: DesiredNews): Promise<boolean> {
    const entry = this.#entry(identity);
    const { desired } = entry.twin;
    if (version <= desired.version) return true;
    if (version !== desired.version + 1) return false;
    await this.#changeDesired(entry, { properties: mergePatch(desired.properties, patch), version });
    return true;
  }

  /** The whole twin as the hub has it. Resolves with the reported patch that would bring the hub up to date, if any. */
  async reconcile(identity: Identity, hub: Twin): Promise<JsonObject | undefined> {
    const entry = this.#entry(identity);
    const firstContact = entry.twin.desired.version === 0;
    if (firstContact) {
      const properties = mergePatch(hub.reported.properties, entry.pendingReported ?? {});
      entry.twin = { ...entry.twin, reported: { properties, version: Math.max(entry.twin.reported.version, hub.reported.version) } };
    }
    const owed = diffPatch(hub.reported.properties, entry.twin.reported.properties);
    entry.pendingReported = Object.keys(owed).length === 0 ? undefined : owed;
    await this.#changeDesired(entry, hub.desired);
    return entry.pendingReported;
  }

  /** The hub has `patch`. What was reported since stays owed. */
  async acknowledgeReported(identity: Identity, patch: JsonObject): Promise<void> {
    const entry = this.#entry(identity);
    if (entry.pendingReported !== patch) return;
    entry.pendingReported = undefined;
    await this.#save(entry);
  }

  /** The identity is no longer on this device. */
  async forget(identity: Identity): Promise<void> {
    const key = identityKey(identity);
    if (!this.#entries.delete(key)) return;
    await this.#table.deleteTwin(key);
  }

  async #changeDesired(entry: Entry, desired: TwinSection): Promise<void> {
    const patch = diffPatch(entry.twin.desired.properties, desired.properties);
    const changed = desired.version !== entry.twin.desired.version || Object.keys(patch).length > 0;
    entry.twin = { ...entry.twin, desired };
    await this.#save(entry);
    if (!changed) return;
    for (const listener of this.#desiredListeners) listener({ identity: entry.identity, patch, version: desired.version });
  }

  #entry(identity: Identity): Entry {
    const key = identityKey(identity);
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { identity, twin: emptyTwin, pendingReported: undefined };
      this.#entries.set(key, entry);
    }
    return entry;
  }

  #save(entry: Entry): Promise<void> {
    const record: TwinRecord = { key: identityKey(entry.identity), twin: entry.twin, pendingReported: entry.pendingReported };
    return this.#table.saveTwin(record);
  }
}
