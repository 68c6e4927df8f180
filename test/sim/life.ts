// One process of the device, from start to stop or to its sudden end: store, router, drains and link, all real.
//
// Its clock, pipe and connections die with it, so that nothing of a killed process goes on in the next one's time.
// When it is cut, start() and close() simply do not come to an end.

import type { Message } from '../../src/model/message.ts';
import { createLog, type Log } from '../../src/platform/log.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import type { DrainOptions } from '../../src/router/drain.ts';
import { Router, type RouteSpec } from '../../src/router/index.ts';
import { Store } from '../../src/store/index.ts';
import { type LinkOptions, UpstreamLink } from '../../src/upstream/index.ts';
import { seededEntropy } from '../support/sim-entropy.ts';
import { deviceFiles } from './databases.ts';
import { audited } from './ledger.ts';
import { PriorityWatch } from './priority-watch.ts';
import { SimThread } from './thread.ts';
import { DeviceClock } from './time.ts';
import type { World } from './world.ts';

export const upstreamQueue = '$upstream';

export interface LifeOptions {
  readonly quotaBytes: number;
  readonly segmentBytes: number;
  readonly drain: DrainOptions;
  readonly routes: readonly RouteSpec[];
  readonly timeToLiveSecs: number;
  /** Whether the order of lanes can be judged. */
  readonly watches: boolean;
  readonly commitWorkMsMax: number;
  /** Syncs of the outbox go on by themselves for so long, and as many messages may be a second commit; undefined: no syncs do. */
  readonly later: { readonly syncMsMax: number; readonly commitMessages: number } | undefined;
}

const keepAliveSeconds = 60;
const tokenLifeSeconds = 3600;
const backoff = { floorMs: 200, firstCeilingMs: 1000, ceilingMsMax: 60_000 };

export class Life {
  readonly clock: DeviceClock;
  readonly store: Store;
  readonly #world: World;
  readonly #options: LifeOptions;
  readonly #log: Log;
  readonly watch: PriorityWatch;
  #router: Router | undefined;
  #link: UpstreamLink | undefined;
  #thread: SimThread | undefined;
  #over = false;
  /** Promises of accept() that have not settled. */
  unsettled = 0;

  constructor(world: World, options: LifeOptions) {
    this.#world = world;
    this.#options = options;
    const { time, device, ledger } = world;
    this.clock = new DeviceClock(time, device);
    this.watch = new PriorityWatch({ time, ledger }, options.watches);
    const write = (line: string): void => world.trace(line.slice(line.indexOf(' ') + 1).trimEnd());
    this.#log = createLog({ clock: this.clock, level: world.tracing ? 'debug' : 'error', write });
    this.store = new Store(
      {
        startThread: () => this.#startThread(),
        clock: this.clock,
        log: this.#log.child('store'),
        metrics: createMetrics(),
      },
      {
        ...deviceFiles,
        quotaBytes: options.quotaBytes,
        ...(options.later === undefined ? {} : { commitMessages: options.later.commitMessages }),
      },
    );
  }

  /** It takes messages. */
  get isUp(): boolean {
    return this.#router !== undefined && !this.#over;
  }

  /** The store opens and is balanced; then the rest starts. Rejects like Store.start(). */
  async start(): Promise<void> {
    const { ledger, modules, hub, time } = this.#world;
    await this.store.start();
    ledger.epochIs(this.store.epoch);
    const store = audited(this.store, ledger);
    if (!this.#world.disk.isSick) await ledger.balance(store);
    const facts = await this.store.lanes();
    for (const { messages, ...lane } of facts) if (lane.queue === upstreamQueue) this.watch.found(lane, messages);
    const { watch } = this;
    const watched = {
      ...store,
      get epoch() {
        return store.epoch;
      },
      append: async (...call: Parameters<typeof store.append>) => {
        const outcome = await store.append(...call);
        if (outcome === 'stored')
          for (const target of call[1]) if (target.queue === upstreamQueue) watch.stored(target);
        return outcome;
      },
      read: async (...call: Parameters<typeof store.read>) => {
        const messages = await store.read(...call);
        watch.read(call[0], messages);
        return messages;
      },
    };
    const isAlive = (): boolean => !this.#over;
    const metrics = createMetrics();
    const ports = { clock: this.clock, entropy: this.#world.dice.entropy, metrics };
    this.#link = new UpstreamLink(
      {
        ...ports,
        log: this.#log.child('link'),
        network: hub.network(isAlive),
        signToken: () => 'token',
      },
      this.#linkOptions(),
    );
    this.#router = new Router(
      { ...ports, store: watched, log: this.#log.child('router') },
      { timeToLiveSecs: this.#options.timeToLiveSecs },
    );
    this.setRoutes(this.#options.routes);
    this.#router.attach(upstreamQueue, watch.endpoint(this.#link), this.#options.drain);
    for (const module of modules) this.#router.attach(module.queue, module.endpoint(isAlive));
    this.#router.start();
    this.#link.start();
    this.#world.trace(`started, ${hub.reachable ? 'hub in reach' : 'hub out of reach'}, at ${time.nowMs}`);
  }

  setRoutes(routes: readonly RouteSpec[]): void {
    const problems = this.#router?.setRoutes(routes, { timeToLiveSecs: this.#options.timeToLiveSecs }) ?? [];
    if (problems.length > 0) throw new Error(`the simulator's routes are wrong: ${problems[0]?.message}`);
  }

  async accept(message: Message): Promise<void> {
    const router = this.#router;
    if (router === undefined) throw new Error('not up');
    this.unsettled++;
    try {
      await router.accept(message);
    } finally {
      this.unsettled--;
    }
  }

  /** As device.ts does it. */
  async close(): Promise<void> {
    await this.#router?.close();
    await this.#link?.close();
    await this.store.close();
  }

  /** The store thread ends by itself. */
  crashThread(): void {
    this.#thread?.crash();
    this.#world.disk.files.kill();
  }

  /** The process is no more. */
  die(): void {
    this.#over = true;
    this.clock.die();
    this.#thread?.silence();
  }

  #linkOptions(): LinkOptions {
    return {
      hubHostname: 'hub.example',
      dialHost: 'hub.example',
      dialPort: 8883,
      tls: undefined,
      identity: { deviceId: this.#world.deviceId, moduleId: '$edgeHub' },
      keepAliveSeconds,
      tokenLifeSeconds,
      backoff,
    };
  }

  #startThread(): SimThread {
    const { time, disk, dice, ledger, databases } = this.#world;
    const { segmentBytes, commitWorkMsMax, later } = this.#options;
    const serve = {
      sqlite: databases.sqlite,
      files: disk.files,
      fileSystem: disk.fileSystem,
      // Its own, so that what a run draws does not hang on what an earlier one left in the database.
      entropy: seededEntropy(dice.below(2 ** 31)),
      segmentBytes,
    };
    const thread = new SimThread({
      time,
      serve,
      workMs: (name) => (name === 'commit' ? 1 + dice.skewed(commitWorkMsMax) : 0),
      stalledUntilMs: () => disk.stalledUntilMs,
      onHalt: (how) => this.#world.halted(how),
      onBug: (error) => this.#world.bug(error),
      onReply: (reply) => {
        for (const { lane, reason, messages } of dropsIn(reply)) ledger.dropsReported(lane, reason, messages);
      },
    });
    disk.files.later = later && ((end) => void time.after(1 + dice.skewed(later.syncMsMax), () => thread.resume(end)));
    this.#thread = thread;
    return thread;
  }
}

interface Drop {
  readonly lane: { readonly queue: string; readonly priority: number; readonly live: boolean };
  readonly reason: string;
  readonly messages: number;
}

function dropsIn(reply: unknown): readonly Drop[] {
  const { body } = reply as { readonly body?: { readonly dropped?: readonly Drop[] } | null };
  return body?.dropped ?? [];
}
