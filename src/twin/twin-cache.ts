// The device's own copy of every twin that lives on it: its modules', `$edgeAgent`'s and `$edgeHub`'s.
//
// Owns the copy and tells who wants to know when desired properties changed. Does not talk to the hub: that is
// twin-sync.ts. Serves offline whatever it last saw.
//
// Invariants
//   patchReported() resolves after the merged twin is on stable storage.
//   What is owed to the hub is the difference between what it is known to have and what is reported here, made
//   when it is sent: patches cannot be added up (null, then an object), differences need not be.
//   desired properties change only by what the hub sent; reported ones only by what their owner sent, except on
//   the very first contact, when the hub's reported properties are the base.
//   Saves of one twin reach the table in the order of the changes.

import { twinSectionBytesMax } from '../limits.ts';
import { type Identity, identityKey, parseIdentityKey } from '../model/address.ts';
import type { JsonObject } from '../model/json.ts';
import { diffPatch, emptyTwin, mergePatch, type Twin, type TwinSection } from '../model/twin.ts';
import { twinBytes, twinProblems } from '../model/twin-rules.ts';
import { patchInvalidError, sectionTooLargeError } from './errors.ts';
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
  /** The reported properties the hub is known to have. Empty after a start: the hub is read before anything is sent. */
  acknowledged: JsonObject;
}

export class TwinCache {
  readonly #table: TwinTable;
  readonly #entries = new Map<string, Entry>();
  readonly #desiredListeners: ((news: DesiredNews) => void)[] = [];
  readonly #owedListeners: ((identity: Identity) => void)[] = [];

  constructor(table: TwinTable) {
    this.#table = table;
  }

  /** Loads what the last run knew. */
  async start(): Promise<void> {
    for (const record of await this.#table.twins()) {
      const identity = parseIdentityKey(record.key);
      if (identity !== undefined) this.#entries.set(record.key, { identity, twin: record.twin, acknowledged: {} });
    }
  }

  identities(): readonly Identity[] {
    return [...this.#entries.values()].map((entry) => entry.identity);
  }

  twin(identity: Identity): Twin {
    return this.#entries.get(identityKey(identity))?.twin ?? emptyTwin;
  }

  /** The patch that brings the hub's reported properties up to date; undefined when they are. */
  owedReported(identity: Identity): JsonObject | undefined {
    const entry = this.#entries.get(identityKey(identity));
    if (entry === undefined) return undefined;
    const owed = diffPatch(entry.acknowledged, entry.twin.reported.properties);
    return Object.keys(owed).length === 0 ? undefined : owed;
  }

  onDesired(listener: (news: DesiredNews) => void): void {
    this.#desiredListeners.push(listener);
  }

  /** Called when something is owed to the hub. */
  onOwed(listener: (identity: Identity) => void): void {
    this.#owedListeners.push(listener);
  }

  /** Merges what the owner reports. Resolves with the new version of the reported section once it is durable. */
  async patchReported(identity: Identity, patch: JsonObject): Promise<number> {
    const problems = twinProblems(patch, '$');
    if (problems.length > 0) throw patchInvalidError(problems);
    const entry = this.#entry(identity);
    const properties = mergePatch(entry.twin.reported.properties, patch);
    const bytes = twinBytes(properties);
    if (bytes > twinSectionBytesMax) throw sectionTooLargeError(bytes, twinSectionBytesMax);
    const version = entry.twin.reported.version + 1;
    entry.twin = { ...entry.twin, reported: { properties, version } };
    await this.#save(entry);
    for (const listener of this.#owedListeners) listener(identity);
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

  /** The whole twin as the hub has it: its desired properties hold here, and it is known what it has of the reported ones. */
  async reconcile(identity: Identity, hub: Twin): Promise<void> {
    const entry = this.#entry(identity);
    const firstContact = entry.twin.desired.version === 0;
    if (firstContact) {
      const properties = mergePatch(hub.reported.properties, entry.twin.reported.properties);
      entry.twin = {
        ...entry.twin,
        reported: { properties, version: Math.max(entry.twin.reported.version, hub.reported.version) },
      };
    }
    entry.acknowledged = hub.reported.properties;
    await this.#changeDesired(entry, hub.desired);
  }

  /** The hub has merged `patch`. */
  acknowledgeReported(identity: Identity, patch: JsonObject): void {
    const entry = this.#entry(identity);
    entry.acknowledged = mergePatch(entry.acknowledged, patch);
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
    for (const listener of this.#desiredListeners)
      listener({ identity: entry.identity, patch, version: desired.version });
  }

  #entry(identity: Identity): Entry {
    const key = identityKey(identity);
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { identity, twin: emptyTwin, acknowledged: {} };
      this.#entries.set(key, entry);
    }
    return entry;
  }

  #save(entry: Entry): Promise<void> {
    const record: TwinRecord = { key: identityKey(entry.identity), twin: entry.twin };
    return this.#table.saveTwin(record);
  }
}
