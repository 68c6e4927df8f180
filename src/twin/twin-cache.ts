// The device's own copy of every twin that lives on it: its modules', those of devices behind it, `$edgeAgent`'s and
// `$edgeHub`'s.
//
// Owns the copy and tells who wants to know when desired properties changed. Does not talk to the hub: that is
// twin-sync.ts. Serves offline whatever it last saw.
//
// Invariants
//   patchReported() resolves after the merged twin is on stable storage; a report that changes nothing is not written.
//   What is owed to the hub is the difference between what it is known to have and what is reported here, made
//   when it is sent: patches cannot be added up (null, then an object), differences need not be.
//   desired properties change only by what the hub sent. Reported ones change by what their owner sent here, and are
//   taken over from the hub in two cases: on the very first contact, as the base of what was reported here; and when
//   the hub has a newer version although nothing is owed to it: then their owner spoke to it by another way.
//   Versions do not go back for the owner, except that of desired properties when the hub itself lost its past.
//   A site may serve desired properties of its own in place of the hub's (serveLocal): only in what the owner gets to
//   see, and only over the version that the hub had then. What the hub sent is kept beside, and a newer one ends it.
//   Bounded by twinsMax and twinsJsonBytesMax: a further identity, or a report that grows, is refused.

import { twinSectionBytesMax, twinsJsonBytesMax, twinsMax } from '../limits.ts';
import { type Identity, identityKey, parseIdentityKey } from '../model/address.ts';
import type { JsonObject } from '../model/json.ts';
import {
  diffPatch,
  emptyTwin,
  isEmptyPatch,
  mergePatch,
  type Twin,
  type TwinSection,
  unitePatches,
} from '../model/twin.ts';
import { twinProblems, twinSizeProblem } from '../model/twin-rules.ts';
import { noRoomError, patchInvalidError, sectionTooLargeError, tooManyTwinsError } from './errors.ts';
import { KeptTwin } from './kept-twin.ts';
import type { TwinTable } from './ports.ts';

export interface DesiredNews {
  readonly identity: Identity;
  /**
   * A merge patch: what the hub sent, or the difference where a whole twin came. For listeners it leads on from what
   * the owner saw last, which may be older than the last change.
   */
  readonly patch: JsonObject;
  readonly version: number;
}

export interface TwinLimits {
  readonly twinsMax: number;
  /** JSON text of all properties kept. */
  readonly jsonBytesMax: number;
}

/** Desired properties that this site serves itself. */
export interface LocalDesired {
  readonly properties: JsonObject;
  /** They stand over the hub's of this version; 0: the hub never sent any. */
  readonly overVersion: number;
}

/** What the owner of a twin may have seen last: one more with each crash in between, until it is back. */
const candidatesMax = 4;

export class TwinCache {
  readonly #table: TwinTable;
  readonly #limits: TwinLimits;
  readonly #twins = new Map<string, KeptTwin>();
  readonly #desiredListeners: ((news: DesiredNews) => void)[] = [];
  readonly #owedListeners: ((identity: Identity) => void)[] = [];
  #local: ReadonlyMap<string, LocalDesired> = new Map();
  #jsonBytes = 0;

  constructor(table: TwinTable, limits: TwinLimits = { twinsMax, jsonBytesMax: twinsJsonBytesMax }) {
    this.#table = table;
    this.#limits = limits;
  }

  /** Loads what the last run knew. */
  async start(): Promise<void> {
    for (const { key, twin, seen = [] } of await this.#table.twins()) {
      const identity = parseIdentityKey(key);
      if (identity === undefined) continue;
      this.#jsonBytes += jsonBytes(twin);
      // Its owner may have been told in the very last moment, before that could be written.
      const mayHaveSeen = seen.length === 0 ? [] : withCandidate(seen, twin.desired);
      const state = { twin, seen: mayHaveSeen };
      this.#twins.set(key, new KeptTwin(identity, (next) => this.#table.saveTwin({ key, ...next }), state));
    }
  }

  identities(): readonly Identity[] {
    return [...this.#twins.values()].map(({ identity }) => identity);
  }

  /** True when the hub's side of the twin has been here. */
  isKnown(identity: Identity): boolean {
    return this.twin(identity).desired.version > 0;
  }

  /** As it is on stable storage; empty, versions 0, for an identity that has none here. */
  twin(identity: Identity): Twin {
    return this.#served(identity, this.#find(identity)?.kept.twin ?? emptyTwin);
  }

  /** Version of the desired properties that the hub sent last; 0: none. */
  hubVersion(identity: Identity): number {
    return this.#find(identity)?.kept.twin.desired.version ?? 0;
  }

  /** Serves exactly these in place of the hub's. Their owners, and those of the ones that end, are told. Not kept. */
  serveLocal(sections: readonly (LocalDesired & { readonly identity: Identity })[]): void {
    const earlier = this.#local;
    const next = new Map(sections.map(({ identity, ...section }) => [identityKey(identity), section]));
    const keys = new Set([...earlier.keys(), ...next.keys()]);
    const before = new Map([...keys].map((key) => [key, this.#desiredOf(key)]));
    this.#local = next;
    for (const key of keys) {
      const identity = parseIdentityKey(key);
      const was = before.get(key);
      const is = this.#desiredOf(key);
      if (identity === undefined || was === undefined || sameSection(was, is)) continue;
      const patch = diffPatch(was.properties, is.properties);
      for (const listener of this.#desiredListeners) listener({ identity, patch, version: is.version });
    }
  }

  /** The twin for its owner, who from now on has seen these desired properties. Empty while there is no room for it. */
  show(identity: Identity): Twin {
    if (this.#find(identity) === undefined && this.#twins.size >= this.#limits.twinsMax) return emptyTwin;
    const { kept } = this.#take(identity);
    this.saw(identity);
    return this.#served(identity, kept.twin);
  }

  /** What its owner has missed since it last saw the desired properties; undefined when nothing, or when it never did. */
  unseen(identity: Identity): DesiredNews | undefined {
    const known = this.#find(identity);
    if (known === undefined || known.draft.seen.length === 0) return undefined;
    const { properties, version } = this.twin(identity).desired;
    const patch = known.draft.seen.map((seen) => diffPatch(seen.properties, properties)).reduce(unitePatches);
    return isEmptyPatch(patch) ? undefined : { identity, patch, version };
  }

  /** Its owner was given the desired properties as they are. Written down in passing: told twice is better than never. */
  saw(identity: Identity): void {
    const kept = this.#find(identity);
    if (kept === undefined) return;
    const { desired } = this.twin(identity);
    const [seen, ...others] = kept.draft.seen;
    if (seen !== undefined && others.length === 0 && sameSection(seen, desired)) return;
    kept.change({ ...kept.draft, seen: [desired] }).catch(() => undefined);
  }

  /** The patch that brings the hub's reported properties up to date; undefined when they are, or when it was not read yet. */
  owedReported(identity: Identity): JsonObject | undefined {
    const kept = this.#find(identity);
    if (kept?.atHub === undefined) return undefined;
    const owed = diffPatch(kept.atHub.properties, kept.kept.twin.reported.properties);
    return isEmptyPatch(owed) ? undefined : owed;
  }

  onDesired(listener: (news: DesiredNews) => void): void {
    this.#desiredListeners.push(listener);
  }

  /** Called when something is owed to the hub. */
  onOwed(listener: (identity: Identity) => void): void {
    this.#owedListeners.push(listener);
  }

  /**
   * Merges what the owner reports. Resolves with the version of the reported section once it is durable. Rejects
   * TWIN_PATCH_INVALID, TWIN_TOO_LARGE, TWIN_TOO_MANY, TWIN_NO_ROOM, TWIN_GONE, or what the table says.
   */
  async patchReported(identity: Identity, patch: JsonObject): Promise<number> {
    const problems = twinProblems(patch, '$');
    if (problems.length > 0) throw patchInvalidError(problems);
    const kept = this.#take(identity);
    const { twin, seen } = kept.draft;
    const before = twin.reported;
    const properties = mergePatch(before.properties, patch);
    const isChanged = !isEmptyPatch(diffPatch(before.properties, properties));
    // What is only on its way to storage is not acknowledged for being the same.
    if (!isChanged && kept.draft.twin === kept.kept.twin) return before.version;
    const tooLarge = twinSizeProblem(properties, '$', twinSectionBytesMax);
    if (tooLarge !== undefined) throw sectionTooLargeError(tooLarge);
    const reported = isChanged ? { properties, version: before.version + 1 } : before;
    const next = { ...twin, reported };
    const growth = jsonBytes(next) - jsonBytes(twin);
    if (growth > 0 && this.#jsonBytes + growth > this.#limits.jsonBytesMax)
      throw noRoomError(identity, this.#limits.jsonBytesMax);
    await this.#change(kept, { twin: next, seen });
    for (const listener of this.#owedListeners) listener(identity);
    return reported.version;
  }

  /** A desired patch from the hub. False when versions in between are missing: the whole twin has to be read. */
  async applyDesiredPatch({ identity, patch, version }: DesiredNews): Promise<boolean> {
    const kept = this.#take(identity);
    const { desired } = kept.draft.twin;
    if (version <= desired.version) return true;
    if (version !== desired.version + 1) return false;
    const next = { ...kept.draft.twin, desired: { properties: mergePatch(desired.properties, patch), version } };
    await this.#change(kept, { ...kept.draft, twin: next }, patch);
    return true;
  }

  /** The whole twin as the hub has it: its desired properties hold here, and it is known what it has of the reported ones. */
  async reconcile(identity: Identity, hub: Twin): Promise<void> {
    const kept = this.#take(identity);
    const { twin, seen } = kept.draft;
    const reported = reconciledReported(kept, hub);
    kept.atHub = hub.reported;
    const desired = sameSection(twin.desired, hub.desired) ? twin.desired : hub.desired;
    if (desired === twin.desired && reported === twin.reported && twin === kept.kept.twin) return;
    await this.#change(kept, { twin: { desired, reported }, seen });
  }

  /** The hub has merged `patch`; `version` is its new one when it told. */
  acknowledgeReported(identity: Identity, patch: JsonObject, version?: number): void {
    const kept = this.#find(identity);
    if (kept?.atHub === undefined) return;
    const properties = mergePatch(kept.atHub.properties, patch);
    const current = kept.kept.twin.reported.properties;
    // The same object, so that a twin in step is in memory once.
    kept.atHub = {
      properties: isEmptyPatch(diffPatch(properties, current)) ? current : properties,
      version: version ?? kept.atHub.version + 1,
    };
  }

  /** Nobody knows whether the hub has merged the last patch: until it is read, what is reported here is what counts. */
  doubtReported(identity: Identity): void {
    const kept = this.#find(identity);
    if (kept !== undefined) kept.atHub = undefined;
  }

  /** The identity is no longer on this device. */
  async forget(identity: Identity): Promise<void> {
    const key = identityKey(identity);
    const kept = this.#twins.get(key);
    if (kept === undefined) return;
    kept.forget();
    this.#twins.delete(key);
    this.#jsonBytes -= jsonBytes(kept.kept.twin);
    await this.#table.deleteTwin(key);
  }

  async #change(kept: KeptTwin, state: KeptTwin['kept'], sent?: JsonObject): Promise<void> {
    const { twin: before, seen } = kept.draft;
    await kept.change(state);
    const { identity } = kept;
    const served = this.#served(identity, before).desired;
    const { desired } = this.#served(identity, state.twin);
    if (this.#find(kept.identity) === kept) this.#jsonBytes += jsonBytes(state.twin) - jsonBytes(before);
    if (desired === served || sameLocal(desired, served)) return;
    const isBehind = seen.some((section) => !sameSection(section, served));
    const missed = isBehind ? this.unseen(identity)?.patch : undefined;
    // What the hub sent leads on from its own; the owner may have had the site's.
    const whole = served === before.desired ? sent : undefined;
    const patch = missed ?? whole ?? diffPatch(served.properties, desired.properties);
    for (const listener of this.#desiredListeners) listener({ identity, patch, version: desired.version });
  }

  #desiredOf(key: string): TwinSection {
    const identity = parseIdentityKey(key);
    return identity === undefined ? emptyTwin.desired : this.twin(identity).desired;
  }

  /** One version further than the hub's, so that its owner takes it for news. */
  #served(identity: Identity, twin: Twin): Twin {
    const local = this.#local.get(identityKey(identity));
    if (local === undefined || local.overVersion !== twin.desired.version) return twin;
    return { ...twin, desired: { properties: local.properties, version: local.overVersion + 1 } };
  }

  #find(identity: Identity): KeptTwin | undefined {
    return this.#twins.get(identityKey(identity));
  }

  #take(identity: Identity): KeptTwin {
    const key = identityKey(identity);
    const known = this.#twins.get(key);
    if (known !== undefined) return known;
    if (this.#twins.size >= this.#limits.twinsMax) throw tooManyTwinsError(identity, this.#limits.twinsMax);
    const kept = new KeptTwin(identity, (state) => this.#table.saveTwin({ key, ...state }));
    this.#twins.set(key, kept);
    return kept;
  }
}

function reconciledReported({ atHub, draft }: KeptTwin, hub: Twin): TwinSection {
  const { desired, reported } = draft.twin;
  const version = Math.max(reported.version, hub.reported.version);
  const isFirstContact = desired.version === 0;
  if (isFirstContact) return { properties: mergePatch(hub.reported.properties, reported.properties), version };
  const isOwed = atHub === undefined || !isEmptyPatch(diffPatch(atHub.properties, reported.properties));
  if (
    !isOwed &&
    hub.reported.version > atHub.version &&
    !isEmptyPatch(diffPatch(atHub.properties, hub.reported.properties))
  )
    return { properties: hub.reported.properties, version };
  return version === reported.version ? reported : { ...reported, version };
}

function withCandidate(seen: readonly TwinSection[], desired: TwinSection): readonly TwinSection[] {
  if (seen.some((section) => sameSection(section, desired))) return seen;
  return [...seen, desired].slice(-candidatesMax);
}

/** The site's own stayed what they are, whatever the hub's did. */
function sameLocal(a: TwinSection, b: TwinSection): boolean {
  return a.version === b.version && a.properties === b.properties;
}

function sameSection(a: TwinSection, b: TwinSection): boolean {
  return a.version === b.version && isEmptyPatch(diffPatch(a.properties, b.properties));
}

function jsonBytes({ desired, reported }: Twin): number {
  return Buffer.byteLength(JSON.stringify(desired.properties)) + Buffer.byteLength(JSON.stringify(reported.properties));
}
