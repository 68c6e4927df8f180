// One bus at work: polls its groups when they are due, does writes in between, copes with devices that vanish.
//
//   loop: operator write, if one waits (but after three in a row a due poll goes first)
//         else the group that has been due for longest
//         else sleep until something is due, or a write comes
//
// A device that is down costs one short probe now and then instead of a time-out per poll, so the others on the
// bus keep their pace; it is never given up. While it is down its tags are published once as bad and then not
// again until it answers. One poll yields one result: all tags of the group, good or bad.

import { modbusWritesWaitingMax } from '../../limits.ts';
import { errorMessage } from '../../model/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Log } from '../../platform/log.ts';
import { Alarm } from '../alarm.ts';
import { ModuleRequestError } from '../errors.ts';
import { decode, type Sample } from './decode.ts';
import { DeviceState } from './device-state.ts';
import { ModbusFailure } from './failure.ts';
import type { Line } from './line.ts';
import { type Block, planReads, splitBlock } from './read-plan.ts';
import { Schedule } from './schedule.ts';
import type { Bus, Device, Group, Tag } from './settings.ts';

export interface PollResult {
  readonly device: Device;
  readonly group: Group;
  readonly samples: readonly (readonly [Tag, Sample])[];
  /** Wall time in the middle of the poll, milliseconds. */
  readonly atMs: number;
}

export interface PollerPorts {
  readonly line: Line;
  readonly clock: Clock;
  readonly log: Log;
  readonly onResult: (result: PollResult) => void;
  readonly onDevice: (device: Device, state: 'up' | 'down', reason: string | undefined) => void;
}

interface PolledDevice {
  readonly device: Device;
  readonly state: DeviceState;
  readonly groups: PolledGroup[];
  isKnown: boolean;
}

interface PolledGroup {
  readonly owner: PolledDevice;
  readonly group: Group;
  blocks: readonly Block[];
}

type Turn =
  | { readonly kind: 'write'; readonly run: () => Promise<void> }
  | { readonly kind: 'poll'; readonly job: PolledGroup };

const writesInARowMax = 3;
const exceptionIllegalAddress = 2;
const statusBusy = 503;
const idleMs = 60_000;
/** First polls of the groups of a bus are spread, so that they do not all meet again at every common multiple. */
const spreadMs = 7;

export class Poller {
  readonly #ports: PollerPorts;
  readonly #bus: Bus;
  readonly #schedule = new Schedule<PolledGroup>();
  readonly #writes: { readonly run: () => Promise<void>; readonly drop: () => void }[] = [];
  readonly #alarm: Alarm;
  readonly #devices: readonly PolledDevice[];
  #writesInARow = 0;
  #isClosing = false;
  #running: Promise<void> | undefined;

  constructor(bus: Bus, devices: readonly Device[], ports: PollerPorts) {
    this.#bus = bus;
    this.#ports = ports;
    this.#alarm = new Alarm(ports.clock);
    this.#devices = devices.map((device) => {
      const polled: PolledDevice = { device, state: new DeviceState(device.down), groups: [], isKnown: false };
      for (const group of device.groups) {
        polled.groups.push({ owner: polled, group, blocks: planReads(group.tags, device.read) });
      }
      return polled;
    });
  }

  get skipped(): number {
    return this.#schedule.skipped;
  }

  start(): void {
    if (this.#running !== undefined) return;
    const nowMs = this.#ports.clock.monotonicMs();
    this.#devices
      .flatMap(({ groups }) => groups)
      .forEach((job, index) => {
        const { everyMs } = job.group;
        this.#schedule.add(job, { periodMs: everyMs, firstMs: nowMs + Math.min(index * spreadMs, everyMs) });
      });
    this.#running = this.#run();
  }

  /** Ends after the transaction under way. */
  async close(): Promise<void> {
    this.#isClosing = true;
    for (const { drop } of this.#writes.splice(0)) drop();
    this.#alarm.wake();
    await this.#ports.line.close();
    await this.#running;
  }

  /** Runs `work` on the bus before the next poll. Throws MODULES_BAD_REQUEST when too many wait already, or the module ends. */
  withLine<Answer>(work: (line: Line) => Promise<Answer>): Promise<Answer> {
    if (this.#isClosing || this.#writes.length >= modbusWritesWaitingMax) return Promise.reject(this.#busy());
    return new Promise((resolve, reject) => {
      this.#writes.push({
        run: async () => {
          await work(this.#ports.line).then(resolve, reject);
        },
        drop: () => reject(this.#busy()),
      });
      this.#alarm.wake();
    });
  }

  async #run(): Promise<void> {
    while (!this.#isClosing) {
      const turn = this.#nextTurn();
      if (turn === undefined) {
        const waitMs = this.#schedule.waitMs(this.#ports.clock.monotonicMs()) ?? idleMs;
        await this.#alarm.sleep(Math.ceil(waitMs));
      } else if (turn.kind === 'write') {
        this.#writesInARow += 1;
        await turn.run();
      } else {
        this.#writesInARow = 0;
        await this.#poll(turn.job);
      }
    }
  }

  #nextTurn(): Turn | undefined {
    const isPollsTurn = this.#writes.length === 0 || this.#writesInARow >= writesInARowMax;
    const job = isPollsTurn ? this.#schedule.take(this.#ports.clock.monotonicMs()) : undefined;
    if (job !== undefined) return { kind: 'poll', job };
    const write = this.#writes.shift();
    return write === undefined ? undefined : { kind: 'write', run: write.run };
  }

  async #poll(job: PolledGroup): Promise<void> {
    const { owner } = job;
    if (owner.state.isDown && !(await this.#probe(job))) return;
    const startMs = this.#ports.clock.wallMs();
    const samples = new Map<Tag, Sample>();
    let failure: ModbusFailure | undefined;
    for (const block of job.blocks) {
      if (this.#isClosing) return;
      // One time-out is enough to know: the other blocks of this poll share its fate.
      if (failure !== undefined) for (const tag of block.tags) samples.set(tag, bad(failure));
      else failure = await this.#readBlock(job, block, samples);
    }
    if (this.#isClosing) return;
    const atMs = Math.round((startMs + this.#ports.clock.wallMs()) / 2);
    this.#publish(job, samples, atMs);
    this.#note(job, failure);
  }

  /** Reads one block into `samples`. Answers the failure that makes asking further pointless. */
  async #readBlock(job: PolledGroup, block: Block, samples: Map<Tag, Sample>): Promise<ModbusFailure | undefined> {
    const { unit } = job.owner.device;
    const { table, offset, count } = block;
    try {
      const words = await this.#ports.line.read({ unit, table, offset, count });
      for (const tag of block.tags) {
        const start = tag.at.offset - offset;
        samples.set(tag, decode(tag, words.slice(start, start + tag.at.length)));
      }
      return undefined;
    } catch (error) {
      if (!(error instanceof ModbusFailure)) throw error;
      for (const tag of block.tags) samples.set(tag, bad(error));
      if (error.kind !== 'exception') return error;
      if (error.exception === exceptionIllegalAddress && block.tags.length > 1) this.#split(job, block);
      return undefined;
    }
  }

  /** A hole in the device's map: from the next poll on this block is read in two. */
  #split(job: PolledGroup, block: Block): void {
    const { log } = this.#ports;
    job.blocks = job.blocks.flatMap((other) => (other === block ? splitBlock(other) : [other]));
    log.info('the device refuses a merged read; it is split', {
      device: job.owner.device.name,
      at: `${block.table}:${block.offset}+${block.count}`,
      reads: job.blocks.length,
    });
  }

  /** One short read of a device that is down. True when it is back. */
  async #probe(job: PolledGroup): Promise<boolean> {
    const { owner } = job;
    const { clock } = this.#ports;
    const [block] = job.blocks;
    const [tag] = block?.tags ?? [];
    if (tag === undefined) return false;
    try {
      const { unit } = owner.device;
      await this.#ports.line.read(
        { unit, table: tag.at.table, offset: tag.at.offset, count: tag.at.length },
        { once: true },
      );
    } catch (error) {
      if (!(error instanceof ModbusFailure)) throw error;
      if (error.kind !== 'exception') {
        owner.state.failed(clock.monotonicMs());
        this.#postpone(owner);
        return false;
      }
    }
    const now = clock.monotonicMs();
    for (const other of owner.groups) if (other !== job) this.#schedule.postpone(other, now);
    return true;
  }

  #note(polled: PolledGroup, failure: ModbusFailure | undefined): void {
    const { owner } = polled;
    const { clock, log, onDevice } = this.#ports;
    const { name } = owner.device;
    if (failure === undefined) {
      const change = owner.state.answered();
      if (change === 'came-back') log.info('the device answers again', { device: name });
      if (change === 'came-back' || !owner.isKnown) onDevice(owner.device, 'up', undefined);
      owner.isKnown = true;
      return;
    }
    if (owner.state.failed(clock.monotonicMs()) === 'went-down') {
      log.warn('the device does not answer; it is probed from now on', {
        device: name,
        code: failure.code,
        reason: errorMessage(failure),
      });
      onDevice(owner.device, 'down', failure.message);
      owner.isKnown = true;
      const nowMs = clock.wallMs();
      for (const job of owner.groups) {
        if (job !== polled) this.#publish(job, new Map(job.group.tags.map((tag) => [tag, bad(failure)])), nowMs);
      }
    }
    if (owner.state.isDown) this.#postpone(owner);
  }

  /** While a device is down only its first group probes; the others wait until it is back. */
  #postpone(owner: PolledDevice): void {
    const { probeAtMs } = owner.state;
    const [first, ...others] = owner.groups;
    if (first !== undefined) this.#schedule.postpone(first, probeAtMs);
    for (const job of others) this.#schedule.postpone(job, Number.POSITIVE_INFINITY);
  }

  #publish(job: PolledGroup, samples: ReadonlyMap<Tag, Sample>, atMs: number): void {
    const ordered = job.group.tags.map((tag) => [tag, samples.get(tag) ?? { v: null, q: 'bad:config' }] as const);
    this.#ports.onResult({ device: job.owner.device, group: job.group, samples: ordered, atMs });
  }

  #busy(): ModuleRequestError {
    const message = this.#isClosing
      ? 'The module is ending.'
      : `The bus '${this.#bus.name}' has ${modbusWritesWaitingMax} requests waiting; try again later.`;
    return new ModuleRequestError({ status: statusBusy, message, retryable: true });
  }
}

function bad(failure: ModbusFailure): Sample {
  return { v: null, q: failure.quality };
}
