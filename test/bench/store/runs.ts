// The runs behind the rows: each set measured for one round, contenders one after the other on fresh data.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Program } from '../../support/world/program.ts';
import { TcpLine } from '../../support/world/tcp-line.ts';
import { readyMs, weirBinary } from '../../support/world/world.ts';
import { figure, type Result, type Sample } from '../figures.ts';
import { flashCases, type StoreCaseSet, storeContenders } from './cases.ts';
import { type Children, child, type Order } from './child.ts';
import { summary } from './figures.ts';
import { Gateway } from './gateway.ts';
import { leaveSession, loadClients, loadTopics, type Saving, startMosquitto } from './mosquitto.ts';
import type { ClientIdentity } from './mqtt-client.ts';
import { ownDisk } from './own-disk.ts';

export interface RunOptions {
  readonly children: Children;
  /** On a real disk; everything below it is removed by its owner. */
  readonly directory: string;
  readonly seconds: number;
  readonly backlog: number;
  readonly say: (text: string) => void;
}

const bytes = 250;
const publishers = 8;
const window = 100;
/** Long enough that the first second, in which windows open and code is compiled, is a small part. */
const drained = 300_000;
const loadRate = 1000;
const twinRate = 200;
const stallMs = 500;
const drainTimeoutMs = 300_000;
const ownDiskGibibytes = 6;
const leadMs = 1500;
const { store, sqlite, gateway, eachChange, eachSecond, bridge, device } = storeContenders;

export class StoreRuns {
  readonly #options: RunOptions;
  readonly samples: Sample[] = [];
  /** Whether sectors were counted on a device that nobody else writes to; undefined: not at all. */
  isOwnDisk: boolean | undefined;

  constructor(options: RunOptions) {
    this.#options = options;
  }

  async run(set: StoreCaseSet, round: number): Promise<void> {
    switch (set) {
      case 'accept':
        await this.#direct('direct', round, this.#options.seconds);
        await this.#clients(round);
        return;
      case 'drain':
        await this.#drain(round);
        await this.#bridge(round);
        return;
      case 'flash':
        await this.#flash(set, round);
        return;
      case 'latency':
        await this.#latency(round);
        return;
      case 'backlog':
        if (round === 1) await this.#backlog();
        return;
      case 'smoke':
        await this.#direct('smoke-direct', round, 0.5);
        await this.#flash(set, round);
    }
  }

  async #keep(name: string, contender: string, round: number, measure: () => Promise<Result>): Promise<Result> {
    // A run that fails is told beside the others instead of ending the course.
    const result = await measure().catch((error: unknown): Result => {
      const { stderr } = error as { stderr?: unknown };
      const said = typeof stderr === 'string' && stderr !== '' ? stderr : error;
      return { error: String(said).trim() };
    });
    this.samples.push({ case: name, contender, round, result });
    this.#options.say(`round ${round}  ${name}, ${contender}: ${summary(result)}`);
    return result;
  }

  async #inFreshData<T>(work: (data: string) => Promise<T>): Promise<T> {
    const data = mkdtempSync(join(this.#options.directory, 'data-'));
    try {
      return await work(data);
    } finally {
      rmSync(data, { recursive: true, force: true });
    }
  }

  #direct(name: string, round: number, seconds: number): Promise<void> {
    const { children } = this.#options;
    const timing = { bytes, seconds, warmup: Math.min(1, seconds) };
    return this.#inFreshData(async (data) => {
      const taken = await this.#keep(name, store, round, () =>
        child(children, 'direct-store', { mode: 'accept', data, ...timing }),
      );
      // As many rows in a transaction as the store had in a commit.
      const batch = Math.max(1, Math.round(figure(taken, 'batch') ?? 1));
      await this.#keep(name, sqlite, round, () => child(children, 'sqlite-alone', { data, batch, ...timing }));
    });
  }

  #publish(
    where: { readonly path?: string; readonly port?: number; readonly authorityFile?: string },
    clients: readonly ClientIdentity[],
    order: Order,
  ): Promise<Result> {
    return child(this.#options.children, 'mqtt-client', {
      mode: 'publish',
      bytes,
      window,
      clients,
      ...where,
      ...order,
    });
  }

  async #clients(round: number): Promise<void> {
    const { seconds } = this.#options;
    const order = { seconds, warmup: 1 };
    await this.#keep('qos1', gateway, round, () =>
      withGateway({ modules: publishers }, async (gateway) => {
        gateway.world.line.cut();
        return this.#publish({ path: gateway.socketPath }, gateway.clients, order);
      }),
    );
    const savings: readonly (readonly [string, Saving])[] = [
      [eachChange, 'each-change'],
      [eachSecond, 'each-second'],
    ];
    for (const [contender, saving] of savings)
      await this.#keep('qos1', contender, round, () =>
        this.#inFreshData(async (data) => {
          const broker = await startMosquitto(data, { saving });
          try {
            await leaveSession(broker.port);
            return await this.#publish({ port: broker.port }, loadClients(publishers), order);
          } finally {
            await broker.end();
          }
        }),
      );
  }

  async #drain(round: number): Promise<void> {
    const { seconds } = this.#options;
    await withGateway({ modules: publishers }, async (running) => {
      const path = running.socketPath;
      await this.#keep('live', gateway, round, async () => {
        const published = this.#publish({ path }, running.clients, { seconds: seconds + 1, warmup: leadMs / 1000 });
        await pause(leadMs + 1000);
        const before = await running.hubCount();
        await pause(seconds * 1000);
        const after = await running.hubCount();
        const accepted = await published;
        const perSecond = ((after.messages - before.messages) / (after.atMs - before.atMs)) * 1000;
        return { perSecond, accepted: figure(accepted, 'perSecond') };
      });
      await empty(running);
      await this.#keep('live', device, round, async () => {
        const devices = await running.hubDevices(publishers);
        // Over the same line as the gateway: what it costs is in both figures.
        const where = { port: running.world.line.port, authorityFile: running.hubAuthorityFile };
        return this.#publish(where, devices, { seconds, warmup: 1 });
      });
      await this.#keep('drain', gateway, round, async () => {
        running.world.line.cut();
        const before = await running.hubCount();
        const filled = await this.#publish({ path }, running.clients, { count: drained, warmup: 0 });
        const waiting = await running.world.queued();
        running.world.line.mend();
        const first = await running.hubHas(before.messages + 1, drainTimeoutMs);
        const last = await running.hubHas(
          before.messages + (figure(filled, 'acknowledged') ?? drained),
          drainTimeoutMs,
        );
        const perSecond = ((last.messages - first.messages) / (last.atMs - first.atMs)) * 1000;
        return { perSecond, waiting, filledPerSecond: figure(filled, 'perSecond') };
      });
    }).catch((error: unknown) => this.#options.say(`round ${round}  drain: ${String(error)}`));
  }

  async #bridge(round: number): Promise<void> {
    await this.#keep('drain', bridge, round, () =>
      this.#inFreshData(async (data) => {
        const line = new TcpLine();
        const far = await startMosquitto(join(data, 'far'), { saving: 'never' });
        line.pointAt(far.port);
        const port = await line.open();
        const near = await startMosquitto(join(data, 'near'), { saving: 'each-second', bridgeTo: port });
        try {
          line.cut();
          await this.#publish({ port: near.port }, loadClients(publishers), { count: drained, warmup: 0 });
          const counted = child(this.#options.children, 'mqtt-client', {
            mode: 'count',
            port: far.port,
            clients: [{ clientId: 'reader', topic: loadTopics }],
            count: drained,
            seconds: 60,
          });
          await pause(leadMs);
          line.mend();
          return await counted;
        } finally {
          await near.end();
          await far.end();
          await line.close();
        }
      }),
    );
  }

  async #flash(set: 'flash' | 'smoke', round: number): Promise<void> {
    const disk = ownDisk(mkdtempSync(join(this.#options.directory, 'disk-')), ownDiskGibibytes);
    this.isOwnDisk = disk.isOwn;
    try {
      for (const { name, rate, seconds, drain, count, set: own } of flashCases) {
        if (own !== set) continue;
        const data = join(disk.directory, name);
        mkdirSync(data);
        const order = { mode: 'flash', data, bytes, rate, seconds, drain, ...(count === undefined ? {} : { count }) };
        await this.#keep(name, store, round, () => child(this.#options.children, 'direct-store', order));
        rmSync(data, { recursive: true });
      }
    } finally {
      disk.remove();
      rmSync(disk.directory, { recursive: true, force: true });
      rmSync(`${disk.directory}.img`, { force: true });
    }
  }

  async #latency(round: number): Promise<void> {
    const seconds = this.#options.seconds * 2;
    await withGateway({ modules: publishers + 1, isSick: true }, async (running) => {
      const [asking, ...loading] = running.clients;
      const path = running.socketPath;
      const ask = (): Promise<Result> =>
        child(this.#options.children, 'mqtt-client', {
          mode: 'twin',
          path,
          clients: [asking],
          rate: twinRate,
          seconds,
          warmup: 1,
        });
      const during = async (): Promise<Result> => {
        const [answered, published] = await Promise.all([
          ask(),
          this.#publish({ path }, loading, { rate: loadRate, seconds, warmup: 1 }),
        ]);
        return {
          ...answered,
          committedPerSecond: figure(published, 'perSecond'),
          pubackMs: figure(published, 'p50Ms'),
        };
      };
      await this.#keep('quiet', gateway, round, ask);
      await this.#keep('loaded', gateway, round, during);
      running.stall(stallMs);
      await this.#keep('stalled', gateway, round, during);
      running.stall(0);
    }).catch((error: unknown) => this.#options.say(`round ${round}  latency: ${String(error)}`));
  }

  async #backlog(): Promise<void> {
    const { children, backlog } = this.#options;
    await this.#inFreshData(async (data) => {
      const [full, none] = [join(data, 'full'), join(data, 'none')];
      for (const each of [full, none]) mkdirSync(each, { mode: 0o700 });
      const open = (which: string): Promise<Result> => child(children, 'direct-store', { mode: 'open', data: which });
      await this.#keep('fill', store, 1, () =>
        child(children, 'direct-store', { mode: 'fill', data: full, bytes, count: backlog }),
      );
      for (let round = 1; round <= 3; round++)
        await this.#keep('open', store, round, async () => {
          const [empty, opened] = [await open(none), await open(full)];
          return { ...opened, moreMb: (figure(opened, 'residentMb') ?? NaN) - (figure(empty, 'residentMb') ?? NaN) };
        });
      await this.#keep('start', gateway, 1, () => startedGateway(data, full));
    });
  }
}

async function withGateway<T>(
  options: { readonly modules: number; readonly isSick?: boolean },
  work: (gateway: Gateway) => Promise<T>,
): Promise<T> {
  const running = await Gateway.start(options);
  try {
    return await work(running);
  } finally {
    await running.close();
  }
}

/** Waits until the hub has everything. */
async function empty({ world }: Gateway): Promise<void> {
  await world.eventually(
    'an empty queue',
    async () => {
      await pause(leadMs);
      return (await world.queued()) === 0 ? true : undefined;
    },
    drainTimeoutMs,
  );
}

/** `weir run` without a hub on a data directory: until it serves. */
async function startedGateway(directory: string, data: string): Promise<Result> {
  const config = join(directory, 'config.toml');
  writeFileSync(config, 'hostname = "localhost"\n[store]\nquota = "16GiB"\n', { mode: 0o600 });
  const run = join(directory, 'run');
  mkdirSync(run);
  const startMs = performance.now();
  const command = [weirBinary, 'run', '--config', config, '--data-dir', data, '--run-dir', run];
  const program = new Program(command, { WEIR_EXTRACT_DIR: join(directory, 'native') });
  try {
    await program.line('weir is ready', readyMs);
    return { startedMs: performance.now() - startMs };
  } finally {
    await program.end('SIGTERM');
  }
}

function pause(delayMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, delayMs));
}
