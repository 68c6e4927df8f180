// Everything around the device in one run, and what has gone wrong so far.

import type { Databases } from './databases.ts';
import type { Dice } from './dice.ts';
import type { Digest } from './digest.ts';
import { SimDisk } from './disk.ts';
import { SimHub } from './hub.ts';
import { Ledger } from './ledger.ts';
import type { Life } from './life.ts';
import { SimModule } from './module.ts';
import { DeviceTime, SimTime } from './time.ts';

export interface WorldPorts {
  readonly dice: Dice;
  readonly queues: readonly string[];
  readonly databases: Databases;
  readonly reader: RunReader;
}

/** Who looks on. It makes no difference to the run. */
export interface RunReader {
  /** The story, line by line. */
  readonly write?: (line: string) => void;
  /** What the run comes to. */
  readonly digest?: Digest;
}

export class World {
  readonly time = new SimTime();
  readonly device = new DeviceTime(this.time);
  readonly dice: Dice;
  readonly databases: Databases;
  readonly disk: SimDisk;
  readonly ledger: Ledger;
  readonly hub: SimHub;
  readonly modules: readonly SimModule[];
  readonly deviceId: string;
  readonly #write: ((line: string) => void) | undefined;
  life: Life | undefined;
  /** How the last life ended by force; undefined: it did not, or the next has begun. */
  ended: 'power' | 'process' | undefined;
  failure: unknown;

  constructor(seed: number, { dice, queues, databases, reader }: WorldPorts) {
    this.databases = databases;
    this.dice = dice;
    this.deviceId = `gw-${seed}`;
    this.#write = reader.write;
    this.disk = new SimDisk(dice);
    const { time } = this;
    this.ledger = new Ledger({ time, agesAreTrue: () => !this.device.lied });
    this.hub = new SimHub(time, databases.hub, {
      onLogged: (message) => {
        const { sender, hop, body } = message;
        reader.digest?.logged(`${sender.moduleId} ${hop?.stream} ${hop?.sequence}`, body);
        this.ledger.logged('$upstream', message, true);
      },
      onRepeated: () => this.ledger.repeated++,
      trace: (text) => this.trace(text),
    });
    this.modules = queues.map((queue) => new SimModule(queue, { time, ledger: this.ledger }));
    if (reader.digest !== undefined) this.#feed(reader.digest);
  }

  #feed(digest: Digest): void {
    const { time, disk, dice } = this;
    time.onEvent = (atMs, order) => digest.event(atMs, order, dice.draws);
    disk.onOperation = (operation, call) => digest.file(operation, call);
    disk.files.onWrite = (bytes, position) => digest.written(bytes, position);
  }

  get tracing(): boolean {
    return this.#write !== undefined;
  }

  trace(text: string): void {
    this.#write?.(`${clockText(this.time.nowMs)}  ${text}\n`);
  }

  /** The device stopped dead, now. */
  halted(how: 'power' | 'process'): void {
    this.trace(how === 'power' ? 'POWER CUT' : 'KILLED');
    this.ended = how;
    this.life?.die();
    this.life = undefined;
    this.disk.halted(how);
    this.hub.cut();
  }

  bug(error: unknown): void {
    this.failure ??= error;
  }

  /** Throws what has gone wrong. */
  check(): void {
    const { firstViolation } = this.ledger;
    if (firstViolation !== undefined) throw firstViolation;
    if (this.failure !== undefined) throw this.failure;
  }

  /** Lets time pass until `work` has settled; false: the device stopped meanwhile, or it takes longer than that. */
  async until(work: Promise<unknown>, limitMs: number): Promise<'settled' | 'ended' | 'overdue'> {
    let settled = false;
    const done = (): void => {
      settled = true;
    };
    work.then(done, done);
    const { life } = this;
    const over = (): boolean => settled || this.failure !== undefined || this.life !== life;
    await this.time.advance(limitMs, over);
    this.check();
    return settled ? 'settled' : this.life === life ? 'overdue' : 'ended';
  }
}

const dayMs = 86_400_000;

function clockText(ms: number): string {
  const days = Math.floor(ms / dayMs);
  const text = new Date(ms % dayMs).toISOString().slice(11, 23);
  return days === 0 ? `   ${text}` : `${String(days).padStart(2)}d${text}`;
}
