// The books of a run: who was told what, and where each message is. Every violation of a guarantee is found here.
//
//   G1  what append() acknowledged waits in the store, has arrived, or was dropped for a reason that is true
//   G2  only what has arrived is confirmed; a drop is counted, by lane and reason
//   a message arrives at the hub's log at most once, and in each stream those of one sender in their order
//   an offset of a lane names one message for ever; a message has one offset in a lane; a lane has one stream
//   what was not there at a start does not appear later
//
// The ledger sees what crosses the seams: append, read and confirm of the store, what the endpoints' other ends log,
// and the drops that commits report. At each start it reads the whole store and balances.

import { strict as assert } from 'node:assert';
import { type Lane, laneKey } from '../../src/model/lane.ts';
import type { Message } from '../../src/model/message.ts';
import type { RouterStore, StoredMessage, StoreTarget } from '../../src/router/ports.ts';
import type { SimTime } from './time.ts';

export type Dropped = Readonly<Record<string, number>>;

/** A message in one lane. */
interface Entry {
  readonly id: number;
  ttlMs: number | undefined;
  readonly sinceMs: number;
  /** 'maybe': nobody was told that it is there. 'absent': it was not, at a later start. */
  state: 'maybe' | 'owed' | 'absent';
  offset: number | undefined;
}

interface LaneBook {
  readonly lane: Lane;
  readonly entries: Map<number, Entry>;
  readonly byOffset: Map<number, number>;
  stream: string | undefined;
  confirmed: number;
  /** Ids by offset, growing: to be looked at by the next confirmation. */
  readonly unconfirmed: Map<number, number>;
  /** Reported by commits of this run. */
  expiriesReported: number;
  hasDrops: boolean;
}

interface Arrival {
  readonly atMs: number;
  readonly queue: string;
}

export class Violation extends Error {}

export interface LedgerPorts {
  readonly time: SimTime;
  /** Ages by the device's wall clock mean something. */
  readonly agesAreTrue: () => boolean;
}

export class Ledger {
  readonly #ports: LedgerPorts;
  readonly #lanes = new Map<string, LaneBook>();
  readonly #arrivals = new Map<string, Arrival>();
  readonly #orders = new Map<string, number>();
  readonly #senders = new Map<number, { readonly sender: string; readonly sequence: number }>();
  #epoch: string | undefined;
  acknowledged = 0;
  arrived = 0;
  repeated = 0;
  balances = 0;
  /**
   * The store thread died: what a read had found expired died with it uncounted, and the drain may have gone past it.
   */
  forgetsExpiries = false;
  firstViolation: Violation | undefined;

  constructor(ports: LedgerPorts) {
    this.#ports = ports;
  }

  /** Remembers and throws, because who is called may swallow it. */
  violated(what: string): never {
    const violation = new Violation(what);
    this.firstViolation ??= violation;
    throw violation;
  }

  /** Before anything was stored each start may begin anew. */
  epochIs(epoch: string): void {
    if (this.acknowledged === 0) this.#epoch = epoch;
    this.#epoch ??= epoch;
    if (this.#epoch !== epoch) this.violated(`the epoch changed from ${this.#epoch} to ${epoch}`);
  }

  sent(id: number, sender: string, sequence: number): void {
    this.#senders.set(id, { sender, sequence });
  }

  // ── into the store ──

  /** The attempt to store a message; answers what to call with what came of it. */
  attempt(id: number, targets: readonly StoreTarget[]): (outcome: 'stored' | 'duplicate' | 'rejected') => void {
    const entries = targets.map((target) => this.#tried(id, target));
    return (outcome) => {
      if (outcome === 'rejected') return;
      this.acknowledged++;
      if (outcome === 'stored') for (const entry of entries) entry.state = 'owed';
      else this.#isSomewhere(id);
    };
  }

  #tried(id: number, target: StoreTarget): Entry {
    const book = this.#book(target);
    const known = book.entries.get(id);
    if (known !== undefined) {
      if (known.state === 'absent') known.state = 'maybe';
      // Of two attempts under different routes either may be the one that counts.
      known.ttlMs = Math.min(known.ttlMs ?? Number.POSITIVE_INFINITY, target.timeToLiveMs ?? Number.POSITIVE_INFINITY);
      return known;
    }
    const entry: Entry = {
      id,
      ttlMs: target.timeToLiveMs,
      sinceMs: this.#ports.time.nowMs,
      state: 'maybe',
      offset: undefined,
    };
    book.entries.set(id, entry);
    return entry;
  }

  /** A duplicate was acknowledged: an earlier attempt must have got it into the store. */
  #isSomewhere(id: number): void {
    for (const { entries } of this.#lanes.values()) {
      const entry = entries.get(id);
      if (entry !== undefined && entry.state !== 'absent') return;
    }
    this.violated(`message ${id} was acknowledged as a repetition and was never stored`);
  }

  // ── out of the store ──

  read(lane: Lane, messages: readonly StoredMessage[]): void {
    const book = this.#book(lane);
    for (const stored of messages) this.#found(book, stored);
  }

  #found(book: LaneBook, { offset, message, hop }: StoredMessage): void {
    const id = idOf(message);
    const name = laneKey(book.lane);
    const entry = book.entries.get(id);
    if (entry === undefined) this.violated(`lane ${name} gives message ${id}, which never went there`);
    if (entry.state === 'absent') this.violated(`message ${id} was not in lane ${name} at a start, and is now`);
    const other = book.byOffset.get(offset);
    if (other !== undefined && other !== id) this.violated(`offset ${offset} of lane ${name} is ${other} and ${id}`);
    if (entry.offset !== undefined && entry.offset !== offset)
      this.violated(`message ${id} has offsets ${entry.offset} and ${offset} in lane ${name}`);
    book.stream ??= hop.stream;
    if (book.stream !== hop.stream || hop.sequence !== offset)
      this.violated(
        `lane ${name} is stream ${book.stream} and ${hop.stream}, offset ${offset} sequence ${hop.sequence}`,
      );
    entry.state = 'owed';
    if (entry.offset === undefined) {
      entry.offset = offset;
      book.byOffset.set(offset, id);
      if (offset > book.confirmed) book.unconfirmed.set(offset, id);
    }
  }

  confirmed(lane: Lane, offset: number): void {
    const book = this.#book(lane);
    for (const [at, id] of book.unconfirmed) {
      if (at > offset) break;
      const entry = book.entries.get(id) as Entry;
      if (!this.#hasArrived(lane.queue, id) && !book.hasDrops && !this.#mayHaveExpired(entry))
        this.violated(`lane ${laneKey(lane)} is confirmed up to ${offset}: message ${id} at ${at} has not arrived`);
      book.unconfirmed.delete(at);
    }
    book.confirmed = Math.max(book.confirmed, offset);
  }

  dropsReported(lane: Lane, reason: string, messages: number): void {
    const book = this.#book(lane);
    book.hasDrops = true;
    if (reason === 'damaged') this.violated(`${messages} messages of lane ${laneKey(lane)} were called damaged`);
    if (reason !== 'ttl_expiry') return;
    book.expiriesReported += messages;
    if (!this.#ports.agesAreTrue()) return;
    const mortal = [...book.entries.values()].filter((entry) => this.#mayHaveExpired(entry)).length;
    if (book.expiriesReported > mortal)
      this.violated(`lane ${laneKey(lane)}: ${book.expiriesReported} expired, the time of only ${mortal} is over`);
  }

  // ── at the destinations ──

  /** A message new to its receiver. `once`: the receiver recognises repetitions, so there must be none. */
  logged(queue: string, message: Message, once: boolean): void {
    const id = idOf(message);
    const key = `${queue} ${id}`;
    const known = this.#arrivals.get(key);
    if (known !== undefined && once) this.violated(`message ${id} is in the log of ${queue} twice`);
    if (known !== undefined) {
      this.repeated++;
      return;
    }
    this.#arrivals.set(key, { atMs: this.#ports.time.nowMs, queue });
    this.arrived++;
    this.#inOrder(queue, message, id);
  }

  #inOrder(queue: string, message: Message, id: number): void {
    const sent = this.#senders.get(id);
    if (sent === undefined) this.violated(`message ${id} arrived at ${queue} and was never sent`);
    const order = `${queue} ${message.hop?.stream} ${sent.sender}`;
    const before = this.#orders.get(order) ?? 0;
    if (sent.sequence <= before)
      this.violated(`${order}: number ${sent.sequence} arrived behind number ${before} of its sender`);
    this.#orders.set(order, sent.sequence);
  }

  #hasArrived(queue: string, id: number): boolean {
    return this.#arrivals.has(`${queue} ${id}`);
  }

  // ── balance ──

  /** Reads all the store holds, and compares. Rejects as the store does. */
  async balance(store: RouterStore): Promise<void> {
    this.epochIs(store.epoch);
    const present = new Map<string, Set<number>>();
    const facts = await store.lanes();
    for (const lane of facts) present.set(laneKey(lane), await this.#readAll(store, lane));
    const dropped = new Map((await store.lanes()).map((lane) => [laneKey(lane), lane.dropped]));
    for (const book of this.#lanes.values()) {
      const key = laneKey(book.lane);
      this.#balanceLane(book, present.get(key) ?? new Set(), dropped.get(key) ?? {});
    }
    this.balances++;
  }

  async #readAll(store: RouterStore, lane: Lane): Promise<Set<number>> {
    const ids = new Set<number>();
    for (let afterOffset = 0; ; ) {
      const messages = await store.read(lane, { afterOffset, messagesMax: 500, bytesMax: 4_000_000 });
      this.read(lane, messages);
      for (const { message } of messages) ids.add(idOf(message));
      const last = messages.at(-1);
      if (last === undefined) return ids;
      assert(last.offset > afterOffset);
      afterOffset = last.offset;
    }
  }

  #balanceLane(book: LaneBook, present: ReadonlySet<number>, dropped: Dropped): void {
    const key = laneKey(book.lane);
    const missing: Entry[] = [];
    for (const entry of book.entries.values()) {
      if (present.has(entry.id) || this.#hasArrived(book.lane.queue, entry.id)) continue;
      if (entry.state === 'owed') missing.push(entry);
      else entry.state = 'absent';
    }
    const total = Object.values(dropped).reduce((sum, messages) => sum + messages, 0);
    const tell = (some: readonly Entry[]): string =>
      some
        .slice(0, 5)
        .map(({ id }) => id)
        .join(' ');
    const certain = this.forgetsExpiries ? missing.filter((entry) => !this.#mayHaveExpired(entry)) : missing;
    if (certain.length > total)
      this.violated(
        `lane ${key}: ${missing.length} messages are lost (${tell(missing)} …), ${total} counted as dropped`,
      );
    const fresh = this.#ports.agesAreTrue() ? missing.filter((entry) => !this.#mayHaveExpired(entry)) : [];
    const full = dropped['quota'] ?? 0;
    if (fresh.length > full)
      this.violated(
        `lane ${key}: ${fresh.length} messages are lost in time (${tell(fresh)} …), ${full} for want of room`,
      );
    const left = book.entries.size - present.size;
    if (total > left) this.violated(`lane ${key}: ${total} counted as dropped, at most ${left} have left`);
  }

  /** Messages owed to a queue that are neither there nor known to have left; an upper bound. */
  owed(queue: string): number {
    let count = 0;
    for (const { lane, entries } of this.#lanes.values()) {
      if (lane.queue !== queue) continue;
      for (const { id, state } of entries.values()) if (state === 'owed' && !this.#hasArrived(queue, id)) count++;
    }
    return count;
  }

  /** By a clock that lied and was believed, at any moment. */
  #mayHaveExpired({ ttlMs, sinceMs }: Entry): boolean {
    if (ttlMs === undefined) return false;
    return !this.#ports.agesAreTrue() || this.#ports.time.nowMs - sinceMs >= ttlMs;
  }

  #book(lane: Lane): LaneBook {
    const key = laneKey(lane);
    let book = this.#lanes.get(key);
    if (book === undefined) {
      const { queue, priority, live } = lane;
      book = {
        lane: { queue, priority, live },
        entries: new Map(),
        byOffset: new Map(),
        stream: undefined,
        confirmed: 0,
        unconfirmed: new Map(),
        expiriesReported: 0,
        hasDrops: false,
      };
      this.#lanes.set(key, book);
    }
    return book;
  }
}

export function idOf({ properties }: Pick<Message, 'properties'>): number {
  const id = Number(properties['n']);
  assert(Number.isSafeInteger(id) && id > 0, 'messages of the simulation are numbered');
  return id;
}

/** The store with the ledger looking on. What it finds is kept there: the router must not have to cope with it. */
export function audited(store: RouterStore, ledger: Ledger): RouterStore {
  return {
    get epoch() {
      return store.epoch;
    },
    async append(message, targets, options) {
      const done = ledger.attempt(idOf(message), targets);
      try {
        const outcome = await store.append(message, targets, options);
        quietly(() => {
          ledger.epochIs(store.epoch);
          done(outcome);
        });
        return outcome;
      } catch (error) {
        done('rejected');
        throw error;
      }
    },
    async read(lane, from) {
      const messages = await store.read(lane, from);
      quietly(() => ledger.read(lane, messages));
      return messages;
    },
    confirm(lane, offset) {
      quietly(() => ledger.confirmed(lane, offset));
      return store.confirm(lane, offset);
    },
    onAppended: (listener) => store.onAppended(listener),
    lanes: () => store.lanes(),
  };
}

function quietly(look: () => void): void {
  try {
    look();
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
  }
}
