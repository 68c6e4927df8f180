// The store by itself in a process of its own: the real Store, its thread, a real disk. No broker, no router.
//
//   accept   keeps `window` messages waiting for their acknowledgement
//   flash    a rate of messages (0: as fast as it goes), drained meanwhile or not, or a backlog drained; bytes written
//   fill     `count` messages and nothing else; memory before and after
//   open     opens what is there: how long it takes, how much memory
//
// Draining is what the router's pump does: read in batches behind the last one, confirm what was read.

import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { priorityUnset } from '../../../src/model/lane.ts';
import type { Message } from '../../../src/model/message.ts';
import { systemClock } from '../../../src/platform/clock.ts';
import { createLog } from '../../../src/platform/log.ts';
import { createMetrics } from '../../../src/platform/metrics.ts';
import { startThread } from '../../../src/platform/thread.ts';
import { Store } from '../../../src/store/index.ts';
import { difference, writtenBytes } from './written-bytes.ts';

interface DirectOrder {
  readonly mode: 'accept' | 'flash' | 'fill' | 'open';
  /** Where the bundled thread is. */
  readonly directory: string;
  readonly data: string;
  readonly bytes: number;
  readonly seconds: number;
  readonly warmup: number;
  readonly window: number;
  /** Messages a second; 0: closed loop. */
  readonly rate: number;
  readonly drain: 'no' | 'meanwhile' | 'backlog';
  readonly count: number;
}

const defaults = { bytes: 250, seconds: 2, warmup: 0.5, window: 2048, rate: 0, drain: 'no', count: 0 } as const;
const quotaBytes = 17_179_869_184;
const msPerSecond = 1000;
const tickMs = 1;
const readMessagesMax = 256;
const readBytesMax = 1_048_576;
/** What a process that has worked for a while holds, so that a backlog's own part of its memory shows. */
const warmCount = 100_000;
const settleMs = 300;
const lane = { queue: '$upstream', priority: priorityUnset, live: false };
const targets = [{ ...lane, timeToLiveMs: undefined }];

class Feeder {
  readonly #store: Store;
  readonly #body: Uint8Array;
  #open = false;
  #window = 0;
  #countMax = Infinity;
  #waiting = 0;
  #ended: () => void = () => undefined;
  sent = 0;
  acknowledged = 0;
  commits = 0;
  failure: unknown;

  constructor(store: Store, bytes: number) {
    this.#store = store;
    this.#body = randomBytes(bytes);
    store.onAppended(() => {
      this.commits += 1;
    });
  }

  /** Closed loop until end(), or until `count` more are acknowledged. */
  async closedLoop(window: number, { seconds, count }: { seconds?: number; count?: number }): Promise<void> {
    this.#open = true;
    this.#window = window;
    this.#countMax = count === undefined ? Infinity : this.sent + count;
    const ended = new Promise<void>((resolve) => {
      this.#ended = resolve;
    });
    while (this.#waiting < window && this.sent < this.#countMax) this.#one();
    if (this.#waiting === 0) return;
    if (seconds !== undefined) {
      await pause(seconds * msPerSecond);
      this.#open = false;
    }
    await ended;
  }

  /** Open loop: what is due is sent, whatever the store does. */
  async rate(perSecond: number, seconds: number): Promise<void> {
    this.#open = false;
    const startMs = performance.now();
    const first = this.sent;
    const total = Math.round(perSecond * seconds);
    while (this.sent - first < total) {
      const due = Math.min(total, ((performance.now() - startMs) / msPerSecond) * perSecond);
      while (this.sent - first < due) this.#one();
      await pause(tickMs);
    }
    while (this.#waiting > 0) await pause(tickMs);
  }

  #one(): void {
    this.#waiting += 1;
    this.sent += 1;
    const message: Message = {
      sender: { deviceId: 'gw1', moduleId: 'load' },
      system: {},
      properties: {},
      body: this.#body,
      enqueuedMs: Date.now(),
    };
    this.#store.append(message, targets).then(
      () => {
        this.acknowledged += 1;
        this.#settled();
      },
      (error: unknown) => {
        this.failure ??= error;
        this.#open = false;
        this.#settled();
      },
    );
  }

  #settled(): void {
    this.#waiting -= 1;
    if (this.#open && this.sent < this.#countMax && this.#waiting < this.#window) this.#one();
    if (this.#waiting === 0) this.#ended();
  }
}

class Drain {
  readonly #store: Store;
  #afterOffset = 0;
  #wake: () => void = () => undefined;
  #ended = false;
  #last: Promise<void> = Promise.resolve();
  drained = 0;

  constructor(store: Store) {
    this.#store = store;
    store.onAppended(() => this.#wake());
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** Until end() and nothing is left. */
  async run(): Promise<void> {
    for (;;) {
      const appended = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      const read = { afterOffset: this.#afterOffset, messagesMax: readMessagesMax, bytesMax: readBytesMax };
      const batch = await this.#store.read(lane, read);
      const last = batch.at(-1);
      if (last === undefined) {
        if (this.#ended) break;
        await appended;
        continue;
      }
      this.drained += batch.length;
      this.#afterOffset = last.offset;
      this.#last = this.#store.confirm(lane, last.offset);
    }
    await this.#last;
  }
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}

function openStore({ directory, data }: DirectOrder): Store {
  const clock = systemClock();
  const log = createLog({ clock, level: 'warn', write: (line) => void process.stderr.write(line) });
  return new Store(
    {
      clock,
      log,
      metrics: createMetrics(),
      startThread: () => startThread({ path: join(directory, 'store-thread.cjs') }, 0),
    },
    { path: join(data, 'weir.db'), quarantine: join(data, 'quarantine'), quotaBytes },
  );
}

async function accept(store: Store, { bytes, window, seconds, warmup }: DirectOrder): Promise<object> {
  const feeder = new Feeder(store, bytes);
  await feeder.closedLoop(window, { seconds: warmup });
  const [before, commits, cpu, startMs] = [feeder.acknowledged, feeder.commits, process.cpuUsage(), performance.now()];
  await feeder.closedLoop(window, { seconds });
  const elapsed = (performance.now() - startMs) / msPerSecond;
  const rows = feeder.acknowledged - before;
  const { user, system } = process.cpuUsage(cpu);
  if (feeder.failure !== undefined) throw feeder.failure;
  return {
    perSecond: rows / elapsed,
    megabytesPerSecond: (rows * bytes) / elapsed / 1_000_000,
    batch: rows / Math.max(1, feeder.commits - commits),
    cpuUs: (user + system) / rows,
  };
}

async function flash(store: Store, order: DirectOrder): Promise<object> {
  const { bytes, window, seconds, rate, drain, count, data, warmup } = order;
  const feeder = new Feeder(store, bytes);
  const drainer = new Drain(store);
  const feed = (during: number): Promise<void> =>
    rate === 0 ? feeder.closedLoop(window, { seconds: during }) : feeder.rate(rate, during);
  // The first files and the first rows cost once what they cost.
  await feed(warmup);
  const running = drain === 'meanwhile' ? drainer.run() : undefined;
  if (drain === 'backlog') await feeder.closedLoop(window, { count });
  settleDisk(data);
  const [before, sent, drained, commits] = [writtenBytes(data), feeder.acknowledged, drainer.drained, feeder.commits];
  const startMs = performance.now();
  if (drain !== 'backlog') await feed(seconds);
  drainer.end();
  if (drain === 'backlog') await drainer.run();
  else await running;
  const elapsed = (performance.now() - startMs) / msPerSecond;
  settleDisk(data);
  const written = difference(writtenBytes(data), before);
  if (feeder.failure !== undefined) throw feeder.failure;
  const messages = drain === 'backlog' ? drainer.drained - drained : feeder.acknowledged - sent;
  const payloadBytes = messages * bytes;
  return {
    messages,
    payloadBytes,
    perSecond: messages / elapsed,
    batch: messages / Math.max(1, feeder.commits - commits),
    byProcess: written.byProcess === undefined ? undefined : written.byProcess / payloadBytes,
    toDevice: written.toDevice === undefined ? undefined : written.toDevice / payloadBytes,
  };
}

/** What the file system keeps for later counts as well, and now. */
function settleDisk(directory: string): void {
  execFileSync('sync', ['-f', directory]);
}

/** Megabytes, after a collection. */
async function residentMb(): Promise<number> {
  (globalThis as { gc?: () => void }).gc?.();
  await pause(settleMs);
  return Number(/^VmRSS:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]) / 1024;
}

async function fill(store: Store, { bytes, window, count }: DirectOrder): Promise<object> {
  const feeder = new Feeder(store, bytes);
  await feeder.closedLoop(window, { count: Math.min(warmCount, count) });
  const warmMb = await residentMb();
  const startMs = performance.now();
  await feeder.closedLoop(window, { count: Math.max(0, count - warmCount) });
  const elapsed = (performance.now() - startMs) / msPerSecond;
  if (feeder.failure !== undefined) throw feeder.failure;
  const filledMb = await residentMb();
  return { count, warmMb, filledMb, grownMb: filledMb - warmMb, perSecond: (count - warmCount) / elapsed };
}

async function main(): Promise<void> {
  const order: DirectOrder = { ...defaults, ...(JSON.parse(process.argv[2] ?? '{}') as DirectOrder) };
  const store = openStore(order);
  const startMs = performance.now();
  await store.start();
  const startedMs = performance.now() - startMs;
  const result = await measure(store, order, startedMs);
  await store.close();
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

async function measure(store: Store, order: DirectOrder, startedMs: number): Promise<object> {
  switch (order.mode) {
    case 'accept':
      return accept(store, order);
    case 'flash':
      return flash(store, order);
    case 'fill':
      return fill(store, order);
    case 'open': {
      const facts = await store.lanes();
      await store.read(lane, { afterOffset: 0, messagesMax: readMessagesMax, bytesMax: readBytesMax });
      const messages = facts.reduce((sum, each) => sum + each.messages, 0);
      return { startedMs, messages, residentMb: await residentMb() };
    }
  }
}

void main().catch((error: unknown) => {
  process.stderr.write(`direct-store: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
  process.exitCode = 1;
});
