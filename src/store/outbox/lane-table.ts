// All lanes, found by what they are and by their number.
//
// A lane is born with its first message, in the commit of that message: until that is on storage it is `fresh` and
// goes away with a commit that fails. Numbers are never given twice in an epoch, because a lane's stream towards
// the next receiver is made of them.

import { strict as assert } from 'node:assert';
import { outboxLanesMax } from '../../limits.ts';
import { type Lane, laneKey, laneOfKey } from '../../model/lane.ts';
import { LaneState, noDrops } from './lane-state.ts';
import type { LaneSeed } from './shapes.ts';

export class LaneTable {
  readonly #byKey = new Map<string, LaneState>();
  readonly #byId = new Map<number, LaneState>();
  /** Callers mostly pass the same objects again: their key need not be made. */
  #byObject = new WeakMap<Lane, LaneState>();
  /** The one asked for last, mostly the next as well. */
  #latest: { readonly lane: Lane; readonly state: LaneState } | undefined;
  readonly #fresh: LaneState[] = [];
  #next = 1;
  #epoch: string;

  constructor(epoch: string) {
    this.#epoch = epoch;
  }

  get next(): number {
    return this.#next;
  }

  raiseNext(next: number): void {
    this.#next = Math.max(this.#next, next);
  }

  get size(): number {
    return this.#byKey.size;
  }

  get all(): Iterable<LaneState> {
    return this.#byId.values();
  }

  /** Lanes that the log does not know yet. */
  get fresh(): readonly LaneState[] {
    return this.#fresh;
  }

  find(lane: Lane): LaneState | undefined {
    const latest = this.#latest;
    if (latest !== undefined && latest.lane === lane) return latest.state;
    const found = this.#byObject.get(lane) ?? this.#byKey.get(laneKey(lane));
    if (found === undefined) return undefined;
    this.#byObject.set(lane, found);
    this.#latest = { lane, state: found };
    return found;
  }

  /** A lane that was kept elsewhere begins here behind what it has given out; its messages follow, or have left. */
  addEmpty({ lane, stream, offsetNext, dropped }: LaneSeed): void {
    const added = this.add({ id: this.#next, key: laneKey(lane), stream });
    assert(added !== undefined, 'a lane has a key');
    added.offsetNext = offsetNext;
    added.floor = offsetNext - 1;
    added.dropped = { ...noDrops, ...dropped };
  }

  byId(id: number): LaneState | undefined {
    return this.#byId.get(id);
  }

  /** Undefined when there are too many. */
  findOrCreate(lane: Lane): LaneState | undefined {
    const found = this.find(lane);
    if (found !== undefined || this.#byKey.size >= outboxLanesMax) return found;
    const id = this.#next;
    const created = this.add({ id, key: laneKey(lane), stream: `${this.#epoch}.${id}` });
    if (created !== undefined) this.#fresh.push(created);
    return created;
  }

  /** A lane by its key as the log has it; undefined for a key that is none. */
  add({
    id,
    key,
    stream,
  }: {
    readonly id: number;
    readonly key: string;
    readonly stream: string;
  }): LaneState | undefined {
    const lane = laneOfKey(key);
    if (lane === undefined) return undefined;
    const known = this.#byId.get(id);
    if (known !== undefined) return known;
    const state = new LaneState({ id, lane: Object.freeze(lane), key, stream });
    this.#byKey.set(key, state);
    this.#byId.set(id, state);
    this.#next = Math.max(this.#next, id + 1);
    return state;
  }

  settle(): void {
    this.#fresh.length = 0;
  }

  discard(): void {
    if (this.#fresh.length === 0) return;
    for (const state of this.#fresh) {
      this.#byKey.delete(state.key);
      this.#byId.delete(state.id);
    }
    this.#fresh.length = 0;
    this.#forgetObjects();
  }

  /** Forgets empty lanes, oldest first, until half of the table is free. Only while nobody has a place in one. */
  forgetEmpty(): void {
    if (this.#byKey.size <= outboxLanesMax / 2) return;
    this.#forgetObjects();
    for (const state of [...this.#byId.values()]) {
      if (this.#byKey.size <= outboxLanesMax / 2) return;
      if (state.messages > 0 || state.parts.length > 0) continue;
      this.#byKey.delete(state.key);
      this.#byId.delete(state.id);
    }
  }

  #forgetObjects(): void {
    this.#byObject = new WeakMap();
    this.#latest = undefined;
  }
}
