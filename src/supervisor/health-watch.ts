// Whether a module does its work: what it says itself (sd_notify), and what a health command finds.
//
//   starting ──READY=1, and a first good check──▶ ready ──WATCHDOG=1 in time, checks good──▶ healthy
//      │ start period over without it                │ silent too long, `retries` bad checks in a row
//      └────────────────────▶ unhealthy ◀────────────┘
//
// Owns the judgement of one process, from its start (or adoption) to close(). Does not act on it. Unhealthy is not
// final: a later good sign makes it healthy again, unless somebody ended the module in the meantime.
//
// sd_notify(3): datagrams of lines VARIABLE=value. READY, STATUS, WATCHDOG (also `trigger`) and STOPPING count.

import { healthOutputBytesMax, healthTextMax } from '../limits.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { CommandResult } from '../platform/command.ts';
import type { Health, ModuleHealth } from './ports.ts';

export interface HealthWatchPorts {
  readonly clock: Clock;
  /** Runs the health command. Never rejects. */
  readonly check: (limits: {
    readonly timeoutMs: number;
    readonly outputBytesMax: number;
    readonly signal: AbortSignal;
  }) => Promise<CommandResult>;
  readonly tell: (health: ModuleHealth) => void;
}

/** Until the first good check it is asked so often, so that what is ready is known to be soon. */
const startIntervalMsMax = 1000;

export class HealthWatch {
  readonly #ports: HealthWatchPorts;
  readonly #health: Health;
  readonly #timers = new Set<Timer>();
  #deadline: Timer | undefined;
  #checking: Promise<void> = Promise.resolve();
  #startedAtMs = 0;
  #said = false;
  #checked = false;
  #failures = 0;
  #status = '';
  /** Why it is unhealthy, by who found it. */
  #silent: string | undefined;
  #failing: string | undefined;
  #told: ModuleHealth | undefined;
  readonly #closed = new AbortController();

  constructor(ports: HealthWatchPorts, health: Health) {
    this.#ports = ports;
    this.#health = health;
  }

  /** `adopted`: it runs since an earlier life of the runtime, so its start period is over. */
  start({ adopted }: { readonly adopted: boolean }): void {
    const { command, notify, startPeriodMs } = this.#health;
    this.#startedAtMs = this.#ports.clock.monotonicMs() - (adopted ? startPeriodMs : 0);
    if (notify) this.#expect(startPeriodMs, 'did not say READY=1');
    if (command !== undefined) this.#checkAfter(Math.min(this.#health.intervalMs, startIntervalMsMax));
    this.#tell();
  }

  get saidReady(): boolean {
    return this.#said;
  }

  /** The text of one datagram, or of several. */
  notified(text: string): void {
    if (this.#closed.signal.aborted || !this.#health.notify) return;
    for (const line of text.split('\n')) this.#take(line);
    this.#tell();
  }

  /** Ends a check under way: an end of the module is told when that is over, too. */
  async close(): Promise<void> {
    this.#closed.abort();
    this.#deadline?.cancel();
    for (const timer of this.#timers) timer.cancel();
    await this.#checking;
  }

  #take(line: string): void {
    if (line.startsWith('STATUS=')) this.#status = line.slice('STATUS='.length);
    if (line === 'STOPPING=1') this.#deadline?.cancel();
    if (line === 'READY=1') {
      this.#said = true;
      this.#alive();
    }
    if (line === 'WATCHDOG=1' && this.#said) this.#alive();
    if (line === 'WATCHDOG=trigger') this.#silent = 'says itself that it hangs (WATCHDOG=trigger)';
  }

  #alive(): void {
    this.#silent = undefined;
    this.#deadline?.cancel();
    const { watchdogMs } = this.#health;
    if (watchdogMs !== undefined) this.#expect(watchdogMs, 'did not say WATCHDOG=1');
  }

  #expect(withinMs: number, what: string): void {
    this.#deadline = this.#ports.clock.setTimer(withinMs, () => {
      this.#silent = `${what} within ${withinMs / 1000} s`;
      this.#tell();
    });
  }

  #checkAfter(delayMs: number): void {
    const timer = this.#ports.clock.setTimer(delayMs, () => {
      this.#timers.delete(timer);
      this.#checking = this.#check();
    });
    this.#timers.add(timer);
  }

  async #check(): Promise<void> {
    const { timeoutMs, intervalMs, retries, startPeriodMs } = this.#health;
    const result = await this.#ports.check({
      timeoutMs,
      outputBytesMax: healthOutputBytesMax,
      signal: this.#closed.signal,
    });
    if (this.#closed.signal.aborted) return;
    if (result.code === 0 && !result.timedOut) {
      this.#checked = true;
      this.#failures = 0;
      this.#failing = undefined;
    } else if (this.#checked || this.#ports.clock.monotonicMs() - this.#startedAtMs >= startPeriodMs) {
      this.#failures += 1;
      if (this.#failures >= retries) this.#failing = reasonOf(result, timeoutMs);
    }
    this.#tell();
    this.#checkAfter(this.#checked ? intervalMs : Math.min(intervalMs, startIntervalMsMax));
  }

  #tell(): void {
    const ready = (this.#said || !this.#health.notify) && (this.#checked || this.#health.command === undefined);
    const reason = this.#silent ?? this.#failing;
    const text = (reason ?? this.#status).slice(0, healthTextMax);
    const health = { healthy: reason === undefined, ready, text };
    const { healthy: before, ready: readyBefore, text: textBefore } = this.#told ?? {};
    if (before === health.healthy && readyBefore === ready && textBefore === text) return;
    this.#told = health;
    this.#ports.tell(health);
  }
}

function reasonOf({ code, timedOut, output }: CommandResult, timeoutMs: number): string {
  const said = output.trim().split('\n')[0] ?? '';
  const how = timedOut
    ? `its health command took longer than ${timeoutMs / 1000} s`
    : `its health command ended with ${code === null ? 'a signal' : `code ${code}`}`;
  return said === '' ? how : `${how}: ${said}`;
}
