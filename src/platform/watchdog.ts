// Whether this process deserves to go on: asked of its vital parts, told to a watchdog that ends it when it does not.
//
//   each quarter of the period:  every part that owes no answer is asked ─► alive ◄─ fed, unless one has owed its
//                                                                              answer for half the period: `stuck`
//
// A part is asked a real question, which only it can answer; a refusal is an answer, too: it shows that somebody is
// there, who knows best what to do about it (a full disk is no reason to be ended). What is stuck says nothing. The
// loop asks and feeds itself: when it stands still, nobody does.
//
// So a part that hangs is ended for between one and a half and one and three quarters of the period after its last
// sign of life; whoever chooses the period leaves room for the slowest honest answer, which is a flush to a bad card.
//
// The decision is pure (stuckParts); Watchdog has the timers.

import { errorMessage } from '../model/errors.ts';
import type { Clock, Timer } from './clock.ts';
import type { Log } from './log.ts';

export interface VitalPart {
  readonly name: string;
  ask(): Promise<unknown>;
}

export interface WatchdogPorts {
  readonly clock: Clock;
  readonly log: Log;
  readonly parts: readonly VitalPart[];
  readonly feed: () => void;
  /** Told the names of the parts that are stuck, when these change; none: all answer. */
  readonly stuck?: ((names: readonly string[]) => void) | undefined;
}

interface Question {
  readonly name: string;
  /** Since when the part owes an answer; undefined: it owes none. */
  readonly askedAtMs: number | undefined;
}

const ticksPerPeriod = 4;
const patiencePerPeriod = 2;

/** The parts that have owed an answer for at least `patienceMs`. */
export function stuckParts(
  questions: readonly Question[],
  { nowMs, patienceMs }: { readonly nowMs: number; readonly patienceMs: number },
): readonly string[] {
  return questions
    .filter(({ askedAtMs }) => askedAtMs !== undefined && nowMs - askedAtMs >= patienceMs)
    .map(({ name }) => name);
}

export class Watchdog {
  readonly #ports: WatchdogPorts;
  readonly #periodMs: number;
  readonly #askedAtMs = new Map<string, number>();
  #timer: Timer | undefined;
  #stuck: readonly string[] = [];

  constructor(ports: WatchdogPorts, options: { readonly periodMs: number }) {
    this.#ports = ports;
    this.#periodMs = options.periodMs;
  }

  start(): void {
    this.#timer ??= this.#later();
    this.#look();
  }

  /** Feeds no more: whoever ends takes care that the watchdog knows. */
  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #later(): Timer {
    return this.#ports.clock.setTimer(
      this.#periodMs / ticksPerPeriod,
      () => {
        this.#timer = this.#later();
        this.#look();
      },
      { background: true },
    );
  }

  #look(): void {
    const { clock, parts, feed } = this.#ports;
    const nowMs = clock.monotonicMs();
    const questions = parts.map(({ name }) => ({ name, askedAtMs: this.#askedAtMs.get(name) }));
    const stuck = stuckParts(questions, { nowMs, patienceMs: this.#periodMs / patiencePerPeriod });
    this.#tell(stuck);
    if (stuck.length === 0) feed();
    for (const part of parts) if (!this.#askedAtMs.has(part.name)) void this.#ask(part, nowMs);
  }

  async #ask(part: VitalPart, nowMs: number): Promise<void> {
    this.#askedAtMs.set(part.name, nowMs);
    try {
      await part.ask();
    } catch (error) {
      this.#ports.log.debug('a part answered the watchdog with a refusal', {
        part: part.name,
        reason: errorMessage(error),
      });
    }
    this.#askedAtMs.delete(part.name);
  }

  #tell(stuck: readonly string[]): void {
    if (stuck.join() === this.#stuck.join()) return;
    this.#stuck = stuck;
    const fields = { parts: stuck.join(' '), periodMs: this.#periodMs };
    if (stuck.length > 0) this.#ports.log.error('no sign of life: the watchdog is not fed', fields);
    else this.#ports.log.info('all parts answer: the watchdog is fed again', { periodMs: this.#periodMs });
    this.#ports.stuck?.(stuck);
  }
}
