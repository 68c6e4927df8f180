// The wall clock of a process that keeps things: the machine's while it is believed, what is known otherwise.
//
//   believed     wallMs() is the machine's; what it says is noted as the last good time, on disk each hour
//   held over    it was believed in this life and then stepped out of reach: the noted time goes on by the monotonic
//                clock, and is as trustworthy as before
//   not yet      never believed in this life: never before the last good time on disk, nor before the build, nor
//                years ahead of it
//
// Owns `clock.stamp` in the data directory: `weir-clock 1 <milliseconds since 1970>`. A file of another format or
// without sense is passed over and told, because all it says is the time.
//
// A look costs two readings of clocks; the kernel is asked only when the clock stepped, or some seconds after the
// last time. So a step is noticed by whoever asks next and not by a timer.

import { wallJumpMsMax, wallStepMs } from '../limits.ts';
import { errorMessage } from '../model/errors.ts';
import type { Clock, Timer, WallSource } from './clock.ts';
import type { Disk } from './disk.ts';
import type { Log } from './log.ts';
import { believesWall } from './wall-trust.ts';

export interface WallWitnesses {
  /** Undefined when nobody tells. */
  synchronised(): boolean | undefined;
  battery(): boolean;
}

export interface WallKeeperPorts {
  /** The machine's own clock, believed or not. */
  readonly machine: Clock;
  readonly disk: Disk;
  readonly witnesses: WallWitnesses;
}

export interface WallKeeperOptions {
  /** When this program was built, milliseconds since 1970: nothing happens before. */
  readonly builtMs: number;
}

const askAgainMs = 5_000;
const noteIntervalMs = 3_600_000;
const stampPattern = /^weir-clock 1 (\d{1,15})\n$/;

interface Known {
  readonly wallMs: number;
  readonly monotonicMs: number;
  /** From a clock that was believed. */
  readonly isRecent: boolean;
}

export class WallKeeper implements WallSource {
  readonly #ports: WallKeeperPorts;
  #known: Known;
  #believed = false;
  #everBelieved = false;
  /** Wall minus monotonic time, at the last look. */
  #offsetMs: number;
  #steadySinceMs: number;
  #askedMs = Number.NEGATIVE_INFINITY;
  #stamp: { readonly path: string; readonly log: Log } | undefined;
  #timer: Timer | undefined;
  #noting: Promise<void> = Promise.resolve();

  constructor(ports: WallKeeperPorts, { builtMs }: WallKeeperOptions) {
    const { machine } = ports;
    this.#ports = ports;
    this.#offsetMs = machine.wallMs() - machine.monotonicMs();
    this.#steadySinceMs = machine.monotonicMs();
    this.#known = { wallMs: builtMs, monotonicMs: machine.monotonicMs(), isRecent: false };
  }

  wallMs(): number {
    this.#look();
    const { machine } = this.#ports;
    if (this.#believed) return machine.wallMs();
    const knownMs = Math.round(this.#knownMs());
    const isFarAhead = this.#known.isRecent && machine.wallMs() > knownMs + wallJumpMsMax;
    return this.#everBelieved || isFarAhead ? knownMs : Math.max(machine.wallMs(), knownMs);
  }

  trusted(): boolean {
    this.#look();
    return this.#believed || this.#everBelieved;
  }

  /** Reads the last good time, and notes it from now on. */
  async start(path: string, log: Log): Promise<void> {
    this.#stamp = { path, log };
    const lastMs = await this.#read(path, log);
    if (lastMs !== undefined && lastMs > this.#knownMs() && !this.#everBelieved) {
      this.#known = { wallMs: lastMs, monotonicMs: this.#ports.machine.monotonicMs(), isRecent: true };
      this.#believed = false;
      this.#askedMs = Number.NEGATIVE_INFINITY;
    }
    if (!this.trusted()) {
      const facts = { machine: isoTime(this.#ports.machine.wallMs()), known: isoTime(this.wallMs()) };
      log.warn('the clock of this machine is not believed yet: nothing expires by it', facts);
    }
    await this.#note();
    this.#noteLater();
  }

  async close(): Promise<void> {
    this.#timer?.cancel();
    await this.#note();
  }

  #knownMs(): number {
    return this.#known.wallMs + this.#ports.machine.monotonicMs() - this.#known.monotonicMs;
  }

  #look(): void {
    const { machine, witnesses } = this.#ports;
    const [wallMs, monotonicMs] = [machine.wallMs(), machine.monotonicMs()];
    const offsetMs = wallMs - monotonicMs;
    const stepMs = offsetMs - this.#offsetMs;
    const stepped = Math.abs(stepMs) >= wallStepMs;
    if (stepped) this.#stepped(stepMs, monotonicMs);
    // Slewing moves it by less at a time, and is followed.
    this.#offsetMs = offsetMs;
    if (!stepped && monotonicMs - this.#askedMs < askAgainMs) return;
    this.#askedMs = monotonicMs;
    const before = this.#believed;
    this.#believed = believesWall({
      wallMs,
      knownMs: this.#knownMs(),
      isRecent: this.#known.isRecent,
      synchronised: witnesses.synchronised(),
      battery: witnesses.battery(),
      steadyMs: monotonicMs - this.#steadySinceMs,
    });
    if (!this.#believed) return;
    this.#everBelieved = true;
    this.#known = { wallMs, monotonicMs, isRecent: true };
    if (!before) this.#stamp?.log.info('the clock of this machine is believed', { machine: isoTime(wallMs) });
  }

  #stepped(stepMs: number, monotonicMs: number): void {
    this.#steadySinceMs = monotonicMs;
    this.#stamp?.log.warn('the clock of this machine was set', { bySeconds: Math.round(stepMs / 1000) });
  }

  #noteLater(): void {
    this.#timer = this.#ports.machine.setTimer(
      noteIntervalMs,
      () => {
        this.#noting = this.#note();
        this.#noteLater();
      },
      { background: true },
    );
  }

  async #note(): Promise<void> {
    await this.#noting;
    const stamp = this.#stamp;
    if (stamp === undefined || !this.trusted()) return;
    const data = `weir-clock 1 ${Math.max(0, Math.round(this.wallMs()))}\n`;
    try {
      await this.#ports.disk.writeFileAtomic('clock:note', stamp.path, { data });
    } catch (error) {
      stamp.log.debug('the time cannot be noted', { file: stamp.path, reason: errorMessage(error) });
    }
  }

  async #read(path: string, log: Log): Promise<number | undefined> {
    try {
      const text = await this.#ports.disk.readTextIfPresent('clock:read', path);
      if (text === undefined) return undefined;
      const found = stampPattern.exec(text);
      if (found !== null) return Number(found[1]);
      log.warn('the noted time is of a format this weir does not know, and is passed over', { file: path });
    } catch (error) {
      log.warn('the noted time cannot be read', { file: path, reason: errorMessage(error) });
    }
    return undefined;
  }
}

/** Also for times that no calendar has. */
function isoTime(ms: number): string {
  const isoMsMax = 8.64e15;
  return Math.abs(ms) <= isoMsMax ? new Date(ms).toISOString() : String(ms);
}
