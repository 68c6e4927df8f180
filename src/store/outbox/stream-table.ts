// How far each sender's stream has come: what makes a repetition after a lost acknowledgement harmless.
//
// Owns the positions in memory, least recently used first, and what a commit wants to change in them: advance()
// only stages, settle() makes it true once the frame is on storage, discard() forgets it. In the log a stream is
// written by name once and by a small slot number from then on.
//
// Bounded: of more than storeStreamsMax streams the one untouched for longest is forgotten. A sender that repeats
// itself after that becomes at-least-once, which is what every sender without a stream is.

import { storeStreamsMax } from '../../limits.ts';
import type { StreamPosition } from '../../model/message.ts';
import type { Note } from './frame-index.ts';

interface Known {
  readonly slot: number;
  readonly sequence: number;
}

export class StreamTable {
  readonly #known = new Map<string, Known>();
  readonly #names = new Map<number, string>();
  readonly #free: number[] = [];
  readonly #staged = new Map<string, { sequence: number }>();
  /** The stream that spoke last, mostly the next one too. */
  #latestName: string | undefined;
  #latest = { sequence: 0 };
  #slotNext = 0;

  get size(): number {
    return this.#known.size;
  }

  get staged(): boolean {
    return this.#staged.size > 0;
  }

  /** False when the stream is already this far: the message is a repetition. */
  advance({ stream, sequence }: StreamPosition): boolean {
    if (stream === this.#latestName) {
      if (sequence <= this.#latest.sequence) return false;
      this.#latest.sequence = sequence;
      return true;
    }
    const staged = this.#staged.get(stream);
    const last = staged?.sequence ?? this.#known.get(stream)?.sequence;
    if (last !== undefined && sequence <= last) return false;
    this.#latest = staged ?? { sequence };
    this.#latest.sequence = sequence;
    this.#latestName = stream;
    if (staged === undefined) this.#staged.set(stream, this.#latest);
    return true;
  }

  /** What the frame has to say. settle() or discard() follows. */
  *stagedNotes(): IterableIterator<Note> {
    let fresh = 0;
    for (const [name, { sequence }] of this.#staged) {
      const known = this.#known.get(name);
      const slot = known?.slot ?? this.#freshSlot(fresh++);
      if (known === undefined) yield { kind: 'stream', slot, name };
      yield { kind: 'position', slot, sequence };
    }
  }

  settle(): void {
    let fresh = 0;
    const taken: [string, Known][] = [];
    for (const [name, { sequence }] of this.#staged) {
      const slot = this.#known.get(name)?.slot ?? this.#freshSlot(fresh++);
      taken.push([name, { slot, sequence }]);
    }
    this.#free.splice(Math.max(0, this.#free.length - fresh));
    for (const [name, known] of taken) this.#set(name, known);
    this.#forgetStaged();
    this.trim();
  }

  discard(): void {
    this.#forgetStaged();
  }

  /** Everything known, least recently used first. */
  *notes(): IterableIterator<Note> {
    for (const [name, { slot, sequence }] of this.#known) {
      yield { kind: 'stream', slot, name };
      yield { kind: 'position', slot, sequence };
    }
  }

  /** Replay: a stream takes a slot. */
  name(slot: number, name: string): void {
    const before = this.#names.get(slot);
    if (before !== undefined) this.#known.delete(before);
    const freed = this.#free.indexOf(slot);
    if (freed >= 0) this.#free.splice(freed, 1);
    this.#set(name, { slot, sequence: 0 });
  }

  /** Replay: a slot's stream has come this far. */
  move(slot: number, sequence: number): void {
    const name = this.#names.get(slot);
    if (name !== undefined) this.#set(name, { slot, sequence });
  }

  /** Forgets what is over the limit. */
  trim(): void {
    for (const [name, { slot }] of this.#known) {
      if (this.#known.size <= storeStreamsMax) return;
      this.#known.delete(name);
      this.#names.delete(slot);
      this.#free.push(slot);
    }
  }

  /**
   * A frame is lost. If slots have been used twice it may have said which stream took one over, and a position may
   * stand beside the wrong name: then nothing is known, because a repetition is better than a loss.
   */
  doubt(): void {
    if (this.#known.size < storeStreamsMax) return;
    this.#known.clear();
    this.#names.clear();
    this.#free.length = 0;
  }

  #forgetStaged(): void {
    this.#staged.clear();
    this.#latestName = undefined;
  }

  #set(name: string, known: Known): void {
    // Deleting first moves the stream to the young end of the map.
    this.#known.delete(name);
    this.#known.set(name, known);
    this.#names.set(known.slot, name);
    this.#slotNext = Math.max(this.#slotNext, known.slot + 1);
  }

  /** The slot of the n-th stream that is new in this commit. */
  #freshSlot(index: number): number {
    const free = this.#free[this.#free.length - 1 - index];
    return free ?? this.#slotNext + index - Math.min(index, this.#free.length);
  }
}
