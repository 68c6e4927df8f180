// The messages of one commit, from the buffers they crossed in to the outbox.
//
// Owns the decoding of commit.entries (thread-protocol.ts has its bytes) and what becomes of each message: stored, a
// repetition, refused, or held because an earlier one of its stream was refused. Nothing here writes: the outbox
// stages, engine.ts commits. Nothing is allocated for a message either: what the outbox is told lies in objects that
// are filled anew for each.

import { strict as assert } from 'node:assert';
import { Buffer } from 'node:buffer';
import { storeTargetsMax } from '../limits.ts';
import type { Lane } from '../model/lane.ts';
import type { StreamPosition } from '../model/message.ts';
import { ByteReader } from './byte-buffer.ts';
import { crc, type Outbox, type RecordPlace, recordAlignment } from './outbox/index.ts';
import { shiftEnqueued } from './record.ts';
import { type CommitSpec, outcome } from './thread-protocol.ts';

export interface Staged {
  readonly outcomes: Uint8Array;
  /** Indexes of the lanes that got a message. */
  readonly appended: readonly number[];
  /** Streams of messages that were refused. */
  readonly refused: readonly string[];
}

interface Target {
  lane: Lane;
  timeToLiveMs: number | undefined;
}

/** Of a commit that is refused as a whole. */
export function nothingStaged({ count }: CommitSpec): Staged {
  return { outcomes: new Uint8Array(count), appended: [], refused: [] };
}

/** Stages all messages of a commit, but for streams that are `held`. Its memory is the outbox's until that commits or discards. */
export function stageMessages(outbox: Outbox, spec: CommitSpec, held: readonly string[] = []): Staged {
  outbox.adopt(spec.records.bytes);
  const staging = new Staging(outbox, spec, held);
  const outcomes = new Uint8Array(spec.count);
  for (let index = 0; index < spec.count; index++) outcomes[index] = staging.one();
  return { outcomes, ...staging.end() };
}

class Staging {
  readonly #outbox: Outbox;
  readonly #spec: CommitSpec;
  readonly #entries: ByteReader;
  /** Of the wall clock, while these messages waited. */
  readonly #step: { readonly offsetMs: number; readonly stepMs: number } | undefined;
  readonly #appended: boolean[];
  /** Streams that take nothing more in this commit, and those of them of which it refused a message itself. */
  readonly #held: Set<string>;
  readonly #refused = new Set<string>();
  readonly #targets: Target[] = [];
  readonly #indexes: number[] = [];
  readonly #place = { start: 0, length: 0, crc: 0 };
  readonly #hop = { stream: '', sequence: 0 };
  readonly #message: { targets: readonly Target[]; place: RecordPlace; hop: StreamPosition | undefined };

  constructor(outbox: Outbox, spec: CommitSpec, held: readonly string[]) {
    const { stamp, wallStepMs, entries } = spec;
    this.#outbox = outbox;
    this.#spec = spec;
    this.#entries = new ByteReader(Buffer.from(entries.bytes, 0, entries.byteLength));
    this.#step =
      wallStepMs === 0 ? undefined : { offsetMs: stamp.wallMs - stamp.monotonicMs - wallStepMs, stepMs: wallStepMs };
    this.#appended = spec.lanes.map(() => false);
    this.#held = new Set([...spec.held, ...held]);
    this.#message = { targets: this.#targets, place: this.#place, hop: undefined };
  }

  /** Answers the outcome of the next message. */
  one(): number {
    this.#readTargets();
    this.#readPlace();
    const stream = this.#readHop();
    if (stream !== undefined && this.#held.size > 0 && this.#held.has(stream)) return outcome.held;
    if (this.#step !== undefined) this.#shift(this.#step);
    const became = this.#outbox.appendPlaced(this.#message);
    if (became === outcome.stored) for (const index of this.#indexes) this.#appended[index] = true;
    else if (became === outcome.refused && stream !== undefined) {
      this.#held.add(stream);
      this.#refused.add(stream);
    }
    return became;
  }

  end(): Pick<Staged, 'appended' | 'refused'> {
    assert(this.#entries.remaining === 0, 'a commit holds exactly the messages it says');
    const appended = [...this.#appended.keys()].filter((index) => this.#appended[index]);
    return { appended, refused: [...this.#refused] };
  }

  #readTargets(): void {
    const entries = this.#entries;
    const count = entries.varint();
    if (count === 0 || count > storeTargetsMax) assert.fail('a message has targets');
    this.#targets.length = Math.min(this.#targets.length, count);
    this.#indexes.length = count;
    for (let at = 0; at < count; at++) {
      const index = entries.varint();
      const lifeMs = entries.float64();
      const lane = this.#spec.lanes[index] ?? assert.fail('a target names a lane of its commit');
      const timeToLiveMs = Number.isNaN(lifeMs) ? undefined : lifeMs;
      const target = this.#targets[at];
      if (target === undefined) this.#targets.push({ lane, timeToLiveMs });
      else {
        target.lane = lane;
        target.timeToLiveMs = timeToLiveMs;
      }
      this.#indexes[at] = index;
    }
  }

  #readPlace(): void {
    const place = this.#place;
    const end = place.start + place.length;
    place.start = Math.ceil(end / recordAlignment) * recordAlignment;
    place.length = this.#entries.uint32();
    place.crc = this.#entries.uint32() | 0;
    if (place.start + place.length > this.#spec.records.byteLength) assert.fail('a record lies in its commit');
  }

  /** Its stream. */
  #readHop(): string | undefined {
    const index = this.#entries.varint();
    if (index === 0) {
      this.#message.hop = undefined;
      return undefined;
    }
    const hop = this.#hop;
    hop.stream = this.#spec.streams[index - 1] ?? assert.fail('a hop names a stream of its commit');
    hop.sequence = this.#entries.float64();
    this.#message.hop = hop;
    return hop.stream;
  }

  #shift(step: { readonly offsetMs: number; readonly stepMs: number }): void {
    const { bytes } = this.#spec.records;
    const place = this.#place;
    shiftEnqueued(Buffer.from(bytes, place.start, place.length), step);
    const memory = { bytes: new Uint8Array(bytes), words: new Int32Array(bytes) };
    place.crc = crc(memory, { start: place.start, length: place.length, seed: 0 });
  }
}
