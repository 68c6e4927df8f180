// What the store is filled with, and what must be found of it: pure, so that the process that dies and the one that
// judges agree without talking. Message n is the same in every run: its lanes, its bytes.
//
// The process under test speaks in marks, one JSON array a line, written before or after the deed:
//   ["found", Inventory]     what was there when the store was opened
//   ["send", n]              message n is about to be appended     ["ack", n]      … is acknowledged
//   ["confirm", lane, n]     … everything up to n is about to be confirmed   ["confirmed", lane, n]   … is
//   ["save", key, n]         document `key` is about to become n   ["saved", key, n]
//   ["refused", n, code]     ["closed"]

import type { Lane } from '../../src/model/lane.ts';
import { priorityUnset } from '../../src/model/lane.ts';
import type { Message } from '../../src/model/message.ts';
import { numberedMessage } from '../support/messages.ts';

export const lanes: readonly Lane[] = [
  { queue: '$upstream', priority: priorityUnset, live: false },
  { queue: '$upstream', priority: 1, live: false },
  { queue: 'relay/inputs/in', priority: priorityUnset, live: false },
];
export const documentKeys = ['deployment', 'routes', 'clients'] as const;

export type Size = 'small' | 'large';

export interface Found {
  readonly offset: number;
  readonly n: number;
  readonly hop: string;
  readonly whole: boolean;
}

export interface Inventory {
  readonly epoch: string;
  /** By index in `lanes`. */
  readonly lanes: readonly (readonly Found[])[];
  /** What the store says each lane holds. */
  readonly counts: readonly number[];
  /** Messages that it says it has lost or dropped. */
  readonly dropped: number;
  readonly documents: Readonly<Record<string, number>>;
  readonly quarantined: number;
}

export type Mark =
  | readonly ['found', Inventory]
  | readonly ['send' | 'ack', number]
  | readonly ['confirm' | 'confirmed', number, number]
  | readonly ['save' | 'saved', string, number]
  | readonly ['refused', number, string]
  | readonly ['closed'];

/** Indices into `lanes` of message n. */
export function lanesOf(n: number): readonly number[] {
  const kind = scramble(n) % 10;
  if (kind < 5) return [0];
  if (kind < 7) return [1];
  return kind < 8 ? [2] : [0, 2];
}

export function messageOf(n: number, size: Size): Message {
  return numberedMessage(n, { body: bodyOf(n, size), hop: { stream: 'workload', sequence: n } });
}

export function isWhole(message: Message, size: Size): boolean {
  const n = Number(message.properties['sequenceNumber']);
  return Buffer.from(message.body).equals(bodyOf(n, size)) && message.system['messageId'] === `m-${n}`;
}

function bodyOf(n: number, size: Size): Buffer {
  const drawn = scramble(n * 3 + 1);
  const large = size === 'large' ? 100_000 + (drawn % 100_000) : drawn % 20 === 0 ? drawn % 30_000 : 20 + (drawn % 400);
  const body = Buffer.alloc(large);
  for (let at = 0; at + 4 <= large; at += 4) body.writeUInt32LE(scramble(n + at), at);
  return body;
}

/** A hash of 32 bits: neighbours have nothing in common. */
function scramble(n: number): number {
  let mixed = (n ^ 0x9e3779b9) >>> 0;
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}

/** Everything that was said so far, and whether what is found agrees with it. */
export class Ledger {
  /** Of each life, in order. */
  readonly faults: string[] = [];
  acknowledged = 0;
  /** Highest message that was acknowledged, and that was sent. */
  last = 0;
  #sent = 0;
  #acked = new Set<number>();
  #asked = lanes.map(() => 0);
  #gone = lanes.map(() => 0);
  readonly #saving = new Map<string, number>();
  readonly #saved = new Map<string, number>();
  readonly #hops = new Map<string, string>();
  #epoch: string | undefined;
  /** A message was acknowledged: from then on the epoch is on the disk. Until then the outbox need not have a file. */
  #promised = false;
  #quarantined = 0;

  take(mark: Mark): void {
    switch (mark[0]) {
      case 'send':
        this.#sent = Math.max(this.#sent, mark[1]);
        return;
      case 'ack':
        this.acknowledged += this.#acked.has(mark[1]) ? 0 : 1;
        this.#acked.add(mark[1]);
        this.last = Math.max(this.last, mark[1]);
        this.#promised = true;
        return;
      case 'confirm':
        this.#asked[mark[1]] = Math.max(this.#asked[mark[1]] ?? 0, mark[2]);
        return;
      case 'confirmed':
        this.#gone[mark[1]] = Math.max(this.#gone[mark[1]] ?? 0, mark[2]);
        return;
      case 'save':
        this.#saving.set(mark[1], mark[2]);
        return;
      case 'saved':
        this.#saved.set(mark[1], mark[2]);
        return;
      case 'found':
        this.faults.push(...this.judge(mark[1]));
        return;
      default:
        return;
    }
  }

  /** What is wrong with what was found, in sentences. */
  judge(inventory: Inventory): readonly string[] {
    const faults: string[] = [];
    if (this.#promised && this.#epoch !== undefined && this.#epoch !== inventory.epoch)
      faults.push(`the epoch changed from ${this.#epoch} to ${inventory.epoch}`);
    this.#epoch = inventory.epoch;
    if (!this.#promised) this.#quarantined = inventory.quarantined;
    if (inventory.dropped > 0) faults.push(`${inventory.dropped} messages are counted as dropped`);
    // A file that held no promise yet may be taken for a damaged one.
    if (this.#promised && inventory.quarantined > this.#quarantined)
      faults.push(`${inventory.quarantined} files are in quarantine`);
    for (const [lane, found] of inventory.lanes.entries()) {
      faults.push(...this.#judgeLane(lane, found));
      const count = inventory.counts[lane] ?? 0;
      if (count !== found.length) faults.push(`lane ${lane}: ${count} messages by its count, ${found.length} read`);
    }
    for (const key of documentKeys) {
      const found = inventory.documents[key] ?? 0;
      const least = this.#saved.get(key) ?? 0;
      if (found < least || found > (this.#saving.get(key) ?? 0))
        faults.push(`document ${key} is ${found}, was saved as ${least}, then as ${this.#saving.get(key) ?? 0}`);
    }
    return faults;
  }

  #judgeLane(lane: number, found: readonly Found[]): readonly string[] {
    const faults = this.#missing(lane, found);
    let before: Found | undefined;
    for (const one of found) {
      const { n, offset, hop, whole } = one;
      const what = `lane ${lane}: message ${n} at offset ${offset}`;
      if (!whole) faults.push(`${what} is not what was sent`);
      if (!lanesOf(n).includes(lane)) faults.push(`${what} does not belong there`);
      if (n > this.#sent) faults.push(`${what} was never sent`);
      if (n <= (this.#gone[lane] ?? 0)) faults.push(`${what} is back although it was confirmed away`);
      if (before !== undefined && n <= before.n) faults.push(`${what} comes after ${before.n}`);
      if (before !== undefined && offset <= before.offset) faults.push(`${what} comes after offset ${before.offset}`);
      const known = this.#hops.get(`${lane} ${n}`);
      if (known !== undefined && known !== hop) faults.push(`${what} was ${known} for the next receiver, now ${hop}`);
      // A stream that is called as the epoch is one lane's own (the outbox before it had priorities).
      const place = hop.startsWith(`${this.#epoch} `) ? `${lane} ${hop}` : hop;
      const other = this.#hops.get(place);
      if (other !== undefined && other !== `${lane} ${n}`) faults.push(`${what} is ${hop}, as ${other} was`);
      this.#hops.set(`${lane} ${n}`, hop);
      this.#hops.set(place, `${lane} ${n}`);
      before = one;
    }
    return faults;
  }

  #missing(lane: number, found: readonly Found[]): string[] {
    const numbers = new Set(found.map(({ n }) => n));
    return [...this.#acked]
      .filter((n) => n > (this.#asked[lane] ?? 0) && lanesOf(n).includes(lane) && !numbers.has(n))
      .map((n) => `lane ${lane}: message ${n} was acknowledged and is missing`);
  }
}

export function parseMarks(text: string): readonly Mark[] {
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Mark);
}
