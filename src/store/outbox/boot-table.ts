// The boots of the machine that messages come from, and what is known of the hour in each.
//
// Without a real-time clock the wall clock of a boot may be years off until somebody sets it; then the distance
// between monotonic and wall time is known for the whole boot, also for what was stamped before. A boot is known
// by the kernel's boot id and has a small number here, in the order in which they were seen.
//
// Age of a message
//   stamped in the present boot           monotonic now - monotonic then, exact
//   both boots' hours known               wall now - wall then
//   else                                  at least the time that passed in its boot, in those between and in this one
// and never less than the last, which needs no clock: a wall clock that jumps cannot make a message older, and a
// device that never learns the hour counts its time under power.
//
// Bounded: of more than outboxBootsMax the oldest are forgotten; their messages are then at least as old as the
// boots that are left.

import { outboxBootsMax } from '../../limits.ts';
import type { TimeStamp } from '../../model/time-stamp.ts';
import { type FrameHead, flagTrusted } from './segment-format.ts';

type HeadTime = Pick<FrameHead, 'boot' | 'monotonicMs' | 'wallMs' | 'flags'>;

export interface Boot {
  readonly number: number;
  id: string;
  /** Wall time minus monotonic time, as last heard. */
  wallOffsetMs: number;
  trusted: boolean;
  /** The latest monotonic time seen. */
  monotonicMs: number;
  /** The log has it by name. */
  noted: boolean;
}

export class BootTable {
  readonly #boots = new Map<number, Boot>();
  readonly #numbers = new Map<string, number>();
  #next = 1;

  get next(): number {
    return this.#next;
  }

  raiseNext(next: number): void {
    this.#next = Math.max(this.#next, next);
  }

  /** In the order of their numbers. */
  get boots(): Iterable<Boot> {
    return this.#boots.values();
  }

  /** The boot a stamp belongs to, with what the stamp tells of it. */
  observe(stamp: TimeStamp): Boot {
    const number = this.#numbers.get(stamp.bootId);
    const boot = number === undefined ? this.#add(this.#next, stamp.bootId) : (this.#boots.get(number) as Boot);
    this.see(boot.number, { ...stamp, flags: stamp.trusted ? flagTrusted : 0 });
    return boot;
  }

  /** The hour has become known in this boot: worth a frame, because old messages take theirs from it. */
  hasNews({ bootId, trusted }: TimeStamp): boolean {
    const known = this.#boots.get(this.#numbers.get(bootId) ?? 0);
    return trusted && known?.noted === true && !known.trusted;
  }

  /** What a frame's head tells of its boot. */
  see(number: number, { monotonicMs, wallMs, flags }: Omit<HeadTime, 'boot'>): void {
    const boot = this.#boots.get(number) ?? this.#add(number, undefined);
    boot.monotonicMs = Math.max(boot.monotonicMs, monotonicMs);
    const trusted = (flags & flagTrusted) !== 0;
    if (!trusted && boot.trusted) return;
    boot.wallOffsetMs = wallMs - monotonicMs;
    boot.trusted = trusted;
  }

  name(number: number, id: string): void {
    const boot = this.#boots.get(number) ?? this.#add(number, undefined);
    if (boot.id !== '') this.#numbers.delete(boot.id);
    boot.id = id;
    boot.noted = true;
    this.#numbers.set(id, number);
  }

  setClock(number: number, clock: Pick<Boot, 'wallOffsetMs' | 'monotonicMs' | 'trusted'>): void {
    Object.assign(this.#boots.get(number) ?? this.#add(number, undefined), clock);
  }

  /** At least how long ago it was, milliseconds. */
  ageMs(head: HeadTime, stamp: TimeStamp): number {
    const now = this.observe(stamp);
    if (head.boot === now.number) return Math.max(0, stamp.monotonicMs - head.monotonicMs);
    const boot = this.#boots.get(head.boot);
    let powered = stamp.monotonicMs;
    for (const other of this.#boots.values()) {
      if (other.number === head.boot) powered += Math.max(0, other.monotonicMs - head.monotonicMs);
      else if (other.number > head.boot && other.number < now.number) powered += other.monotonicMs;
    }
    if (boot?.trusted !== true || !now.trusted) return powered;
    const wallNowMs = stamp.monotonicMs + now.wallOffsetMs;
    return Math.max(powered, wallNowMs - (head.monotonicMs + boot.wallOffsetMs));
  }

  /** What to add to wall times taken in that boot at that time. */
  wallShiftMs(head: HeadTime): number {
    const boot = this.#boots.get(head.boot);
    if ((head.flags & flagTrusted) !== 0 || boot?.trusted !== true) return 0;
    return boot.wallOffsetMs - (head.wallMs - head.monotonicMs);
  }

  #add(number: number, id: string | undefined): Boot {
    const boot: Boot = { number, id: id ?? '', wallOffsetMs: 0, trusted: false, monotonicMs: 0, noted: false };
    this.#boots.set(number, boot);
    if (id !== undefined) this.#numbers.set(id, number);
    this.#next = Math.max(this.#next, number + 1);
    for (const oldest of this.#boots.values()) {
      if (this.#boots.size <= outboxBootsMax) break;
      this.#boots.delete(oldest.number);
      this.#numbers.delete(oldest.id);
    }
    return boot;
  }
}
