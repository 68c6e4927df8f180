// A drain with several lanes, several batches under way, and an endpoint that behaves like a hub behind a line:
// it acknowledges in order, remembers positions, and may cut, refuse, take a part or stay silent.

import t, { type Test } from 'tap';
import { drainStarvationBatches, drainStarvationMsMax, liveFirstBacklogMessages } from '../../src/limits.ts';
import { WeirError } from '../../src/model/errors.ts';
import { priorityUnset } from '../../src/model/lane.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { Drain, type DrainOptions } from '../../src/router/drain.ts';
import type { Endpoint, EndpointWindow, StoredMessage } from '../../src/router/ports.ts';
import { Router } from '../../src/router/router.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { numberedMessage, sequenceOf } from '../support/messages.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock } from '../support/sim-clock.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

const queue = '$upstream';
const window: EndpointWindow = { messages: 400, bytes: 200_000 };
const cut = new WeirError({ code: 'TEST_LINK_LOST', message: 'link lost', retryable: true });

interface Logged {
  readonly sequence: number;
  readonly atMs: number;
}

/** What the hub has: the highest sequence of each stream, and what it logged. */
class HubMemory {
  readonly last = new Map<string, number>();
  readonly logged: Logged[] = [];
  repeated = 0;

  take({ message, hop }: StoredMessage, atMs: number): void {
    if (hop.sequence <= (this.last.get(hop.stream) ?? 0)) {
      this.repeated++;
      return;
    }
    this.last.set(hop.stream, hop.sequence);
    this.logged.push({ sequence: sequenceOf(message), atMs });
  }
}

interface Connection {
  /** Batches without acknowledgement, oldest first. */
  readonly underWay: (readonly StoredMessage[])[];
  isLost: boolean;
  readonly lost: Promise<void>;
  lose(): void;
}

function connection(): Connection {
  let resolveLost: () => void = () => undefined;
  const made: Connection = {
    underWay: [],
    isLost: false,
    lost: new Promise((resolve) => {
      resolveLost = resolve;
    }),
    lose(): void {
      made.isLost = true;
      resolveLost();
    },
  };
  return made;
}

/** One connection: messages pass one after the other, and after a cut none does. */
class HubLine implements Endpoint {
  readonly window = window;
  readonly hub: HubMemory;
  messageMs = 0;
  roundTripMs = 20;
  /** True: this message ends the connection unacknowledged, as at a hub that refuses. */
  refuses: (message: StoredMessage) => boolean = () => false;
  /** True: the hub has it, but its acknowledgement gets lost with the line. */
  losesAcknowledgement: (message: StoredMessage) => boolean = () => false;
  isSilent = false;
  readonly handedOver: StoredMessage[] = [];
  readonly #clock: SimClock;
  #connection: Connection | undefined = connection();
  #freeMs = 0;
  #waiting: (() => void)[] = [];

  constructor(clock: SimClock, hub: HubMemory) {
    this.#clock = clock;
    this.hub = hub;
  }

  get isReady(): boolean {
    return this.#connection !== undefined;
  }

  /** The loss of the connection is known at once to everything that is under way on it. */
  async send(batch: readonly StoredMessage[]): Promise<number> {
    const connection = this.#connection;
    if (connection === undefined) throw cut;
    this.handedOver.push(...batch);
    connection.underWay.push(batch);
    this.#freeMs = Math.max(this.#freeMs, this.#clock.monotonicMs()) + Math.ceil(batch.length * this.messageMs);
    await Promise.race([this.#until(this.#freeMs + this.roundTripMs / 2), connection.lost]);
    if (connection.isLost) throw cut;
    const accepted = this.#pass(batch);
    if (this.isSilent) await new Promise(() => undefined);
    if (accepted === batch.length) {
      await Promise.race([this.#until(this.#clock.monotonicMs() + this.roundTripMs / 2), connection.lost]);
      if (connection.isLost) throw cut;
    }
    // Acknowledgements come in order: those of a part arrive only behind those of all batches before it.
    if (accepted === 0 || (accepted < batch.length && connection.underWay[0] !== batch)) throw cut;
    connection.underWay.shift();
    return accepted;
  }

  /** What the hub does with a batch; answers how many acknowledgements come back. */
  #pass(batch: readonly StoredMessage[]): number {
    for (const [index, message] of batch.entries()) {
      const isRefused = this.refuses(message);
      if (!isRefused) this.hub.take(message, this.#clock.monotonicMs());
      if (isRefused || this.losesAcknowledgement(message)) {
        this.lose();
        return index;
      }
    }
    return batch.length;
  }

  ready(): Promise<void> {
    if (this.isReady) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
    });
  }

  lose(): void {
    this.#connection?.lose();
    this.#connection = undefined;
    this.#freeMs = 0;
  }

  connect(): void {
    this.#connection ??= connection();
    for (const resolve of this.#waiting.splice(0)) resolve();
  }

  #until(atMs: number): Promise<void> {
    return new Promise((resolve) => void this.#clock.setTimer(atMs - this.#clock.monotonicMs(), resolve));
  }
}

function world(seed = 1, options: DrainOptions = {}) {
  const clock = new SimClock();
  const store = new MemoryStore(() => clock.wallMs());
  const hub = new HubMemory();
  const { log, lines } = keptLog(clock);
  const metrics = createMetrics();
  const entropy = seededEntropy(seed);
  const live = (): { line: HubLine; drain: Drain; close(): Promise<void> } => {
    const line = new HubLine(clock, hub);
    const drain = new Drain({ store, endpoint: line, clock, entropy, log, metrics }, queue, options);
    const stopListening = store.onAppended((lane) => drain.wake(lane));
    drain.start();
    const close = async (): Promise<void> => {
      stopListening();
      const closed = drain.close();
      await clock.advance(2001);
      await closed;
    };
    return { line, drain, close };
  };
  const put = async (sequence: number, priority: number, isLive = false): Promise<void> => {
    await store.append(numberedMessage(sequence), [{ queue, priority, live: isLive, timeToLiveMs: undefined }]);
  };
  return { clock, store, hub, lines, metrics, live, put };
}

const numbers = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, n) => from + n);
const laneOf = (n: number): string => `${n % 3}${n % 7 === 0}`;
const sequences = (logged: readonly Logged[]): number[] => logged.map(({ sequence }) => sequence);

t.test('of what waits, the priorities go in their order, each in its own', async (t: Test) => {
  const { clock, hub, live, put } = world();
  for (const n of numbers(1, 30)) await put(n, n <= 10 ? priorityUnset : n <= 20 ? 3 : 0);
  await put(40, 3, true);
  const { close } = live();
  await clock.advance(1000);
  t.same(sequences(hub.logged), [...numbers(21, 30), 40, ...numbers(11, 20), ...numbers(1, 10)]);
  await close();
});

t.test('an alarm goes before a backlog that is being drained, after what is under way', async (t: Test) => {
  const { clock, hub, live, put } = world();
  for (const n of numbers(1, 3000)) await put(n, 5);
  const { line, close } = live();
  line.messageMs = 1;
  await clock.advance(500);
  const before = line.handedOver.length;
  await put(9999, 0);
  const askedMs = clock.monotonicMs();
  await clock.advance(2000);
  const alarm = hub.logged.findIndex(({ sequence }) => sequence === 9999);
  t.ok(alarm >= 0 && alarm <= before, `${alarm} messages went before it, ${before} had been handed over`);
  t.ok((hub.logged[alarm]?.atMs ?? Number.POSITIVE_INFINITY) - askedMs <= window.messages + 100);
  await close();
});

t.test('a low priority gets a batch after the named time, however much the high one has', async (t: Test) => {
  const { clock, hub, live, put } = world();
  for (const n of numbers(1, 60)) await put(n, 9);
  for (const n of numbers(1001, 1400)) await put(n, 0);
  const { line, close } = live();
  line.messageMs = 10;
  let next = 1401;
  for (let ms = 0; ms < drainStarvationMsMax * 3; ms += 500) {
    for (let n = 0; n < 60; n++) await put(next++, 0);
    await clock.advance(500);
  }
  const low = hub.logged.filter(({ sequence }) => sequence <= 60);
  t.ok(low.length >= 20);
  t.same(sequences(low), numbers(1, low.length), 'it came, in order');
  const firstMs = low[0]?.atMs ?? 0;
  const slackMs = (window.messages + drainStarvationBatches * 100) * 10;
  t.ok(firstMs >= drainStarvationMsMax, `not before its time: ${firstMs} ms`);
  t.ok(firstMs <= drainStarvationMsMax + slackMs, `the first after ${firstMs} ms`);
  await close();
});

t.test('several batches are under way, within the window, and confirmed in order', async (t: Test) => {
  const { clock, store, hub, live, put, metrics } = world();
  for (const n of numbers(1, 2000)) await put(n, priorityUnset);
  const { line, close } = live();
  line.roundTripMs = 100;
  await clock.advance(2000);
  t.same(sequences(hub.logged), numbers(1, 2000));
  const lastMs = hub.logged.at(-1)?.atMs ?? Number.POSITIVE_INFINITY;
  t.ok(lastMs <= 1200, `not a round trip for each batch: ${lastMs} ms`);
  t.equal(store.waiting(queue), 0);
  const sample = (name: string): number | undefined =>
    metrics.snapshot().find((one) => one.name === name && one.labels['priority'] === 'unset')?.value;
  t.equal(sample('router_messages_sent_total'), 2000);
  t.equal(sample('router_messages_inflight'), 0);
  t.equal(sample('router_messages_waiting'), 0);
  t.equal(sample('router_oldest_message_age_ms'), 0);
  await close();
});

t.test('a link that flaps each second delivers everything, once, in order', async (t: Test) => {
  for (let seed = 1; seed <= 10; seed++) {
    const { clock, store, hub, live, put } = world(seed);
    const dice = seededEntropy(seed * 31);
    const { line, close } = live();
    line.messageMs = 2;
    let next = 1;
    for (let second = 0; second < 60; second++) {
      for (let n = 0; n < 40; n++) await put(next++, n % 2 === 0 ? 0 : priorityUnset);
      await clock.advance(Math.floor(dice.fraction() * 1000));
      if (line.isReady) line.lose();
      else line.connect();
    }
    line.connect();
    await clock.advance(3_600_000);
    const arrived = sequences(hub.logged);
    t.same(
      [...arrived].sort((a, b) => a - b),
      numbers(1, next - 1),
      `seed ${seed}: all, once`,
    );
    t.same(
      arrived.filter((n) => n % 2 === 1),
      numbers(1, next - 1).filter((n) => n % 2 === 1),
      'each lane in order',
    );
    t.same(
      arrived.filter((n) => n % 2 === 0),
      numbers(1, next - 1).filter((n) => n % 2 === 0),
    );
    t.equal(store.waiting(queue), 0);
    await close();
  }
});

t.test(
  'cuts, refusals, lost acknowledgements and restarts at random lose nothing and double nothing',
  async (t: Test) => {
    for (let seed = 1; seed <= 30; seed++) {
      const { clock, store, hub, live, put, lines } = world(seed);
      const dice = seededEntropy(seed * 977);
      let life = live();
      let next = 1;
      const misfortune = (): void => {
        const { line } = life;
        line.messageMs = dice.fraction() * 3;
        line.roundTripMs = Math.floor(dice.fraction() * 200);
        const refuse = dice.fraction() * 0.02;
        const lose = dice.fraction() * 0.02;
        line.refuses = () => dice.fraction() < refuse;
        line.losesAcknowledgement = () => dice.fraction() < lose;
      };
      misfortune();
      for (let round = 0; round < 40; round++) {
        const burst = Math.floor(dice.fraction() * 60);
        for (let n = 0; n < burst; n++, next++) await put(next, [0, 4, priorityUnset][next % 3] ?? 0, next % 7 === 0);
        await clock.advance(Math.floor(dice.fraction() * 1500));
        const event = dice.fraction();
        if (event < 0.3) life.line.lose();
        else if (event < 0.35) store.failures.push({ name: 'read', error: cut });
        else if (event < 0.45) {
          await life.close();
          life = live();
          misfortune();
        }
        if (dice.fraction() < 0.8) life.line.connect();
      }
      life.line.refuses = () => false;
      life.line.losesAcknowledgement = () => false;
      for (let minute = 0; minute < 120; minute++) {
        life.line.connect();
        await clock.advance(60_000);
      }
      const arrived = sequences(hub.logged);
      t.same(
        [...arrived].sort((a, b) => a - b),
        numbers(1, next - 1),
        `seed ${seed}: all, once`,
      );
      for (const n of new Set(arrived.map(laneOf))) {
        const inLane = arrived.filter((sequence) => laneOf(sequence) === n);
        t.same(
          inLane,
          [...inLane].sort((a, b) => a - b),
          `seed ${seed}: lane ${n} in order`,
        );
      }
      t.equal(store.waiting(queue), 0, 'nothing is left');
      t.notOk(
        lines.some((line) => line.includes('behind one')),
        'nothing was accepted behind something refused',
      );
      await life.close();
    }
  },
);

t.test('a message that the hub never takes holds up its own lane only', async (t: Test) => {
  const { clock, hub, live, put } = world();
  for (const n of numbers(1, 20)) await put(n, 0);
  for (const n of numbers(101, 300)) await put(n, priorityUnset);
  const { line, close } = live();
  line.refuses = ({ message }) => sequenceOf(message) === 11;
  for (let ms = 0; ms < 120_000; ms += 200) {
    await clock.advance(200);
    line.connect();
  }
  const arrived = sequences(hub.logged);
  t.same(
    arrived.filter((n) => n <= 100),
    numbers(1, 10),
    'nothing passes it in its lane',
  );
  t.same(
    arrived.filter((n) => n > 100),
    numbers(101, 300),
    'the other lane is through',
  );
  line.refuses = () => false;
  for (let ms = 0; ms < 120_000; ms += 200) {
    await clock.advance(200);
    line.connect();
  }
  t.same(
    sequences(hub.logged).filter((n) => n <= 100),
    numbers(1, 20),
  );
  await close();
});

t.test('an endpoint that stays silent holds no more than the window, and does not hold up the end', async (t: Test) => {
  const { clock, store, live, put } = world();
  for (const n of numbers(1, 3000)) await put(n, priorityUnset);
  const { line, close } = live();
  line.isSilent = true;
  await clock.advance(3_600_000);
  t.ok(line.handedOver.length <= window.messages + 100, `${line.handedOver.length} handed over`);
  t.equal(store.waiting(queue), 3000, 'nothing is deleted');
  await close();
});

t.test('a fresh outbox in the middle of everything: nothing of the old one is confirmed in it', async (t: Test) => {
  const { clock, store, hub, live, put } = world();
  for (const n of numbers(1, 1000)) await put(n, 2);
  const { line, close } = live();
  line.roundTripMs = 300;
  await clock.advance(200);
  store.renew('epoch-2');
  for (const n of numbers(5001, 5200)) await put(n, 2);
  await clock.advance(200_000);
  t.same(
    sequences(hub.logged).filter((n) => n > 5000),
    numbers(5001, 5200),
  );
  t.equal(store.waiting(queue), 0);
  await close();
});

// ── live first, with the router in front ──

function liveWorld(options: DrainOptions = { liveFirst: { backlogPerSecond: undefined } }) {
  const clock = new SimClock();
  const store = new MemoryStore(() => clock.wallMs());
  const hub = new HubMemory();
  const { log } = keptLog(clock);
  const start = () => {
    const line = new HubLine(clock, hub);
    const router = new Router(
      { store, clock, entropy: seededEntropy(7), log, metrics: createMetrics() },
      { timeToLiveSecs: 0 },
    );
    router.attach(queue, line, options);
    router.start();
    return { line, router };
  };
  const stop = async (router: Router): Promise<void> => {
    const closed = router.close();
    await clock.advance(2001);
    await closed;
  };
  return { clock, store, hub, start, stop };
}

t.test('behind 10 000 messages a fresh one waits no longer than what is under way', async (t: Test) => {
  const { clock, store, hub, start, stop } = liveWorld();
  const { line, router } = start();
  line.messageMs = 2;
  line.lose();
  for (const n of numbers(1, 10_000)) await router.accept(numberedMessage(n));
  line.connect();
  await clock.advance(1000);
  const waits: number[] = [];
  for (let n = 20_001; n <= 20_010; n++) {
    const acceptedMs = clock.monotonicMs();
    await router.accept(numberedMessage(n));
    await clock.advance(1500);
    const entry = hub.logged.find(({ sequence }) => sequence === n);
    waits.push((entry?.atMs ?? Number.POSITIVE_INFINITY) - acceptedMs);
  }
  t.ok(Math.max(...waits) <= (window.messages + 100) * 2 + 20, `they waited ${waits.join(', ')} ms`);
  t.ok(hub.logged.length < 10_000, 'the backlog is not through yet');
  await clock.advance(60_000);
  t.equal(store.waiting(queue), 0);
  const arrived = sequences(hub.logged);
  t.same(
    arrived.filter((n) => n <= 10_000),
    numbers(1, 10_000),
    'the backlog in its order',
  );
  t.same(
    arrived.filter((n) => n > 10_000),
    numbers(20_001, 20_010),
    'the fresh ones in theirs',
  );
  for (const n of numbers(30_001, 30_010)) await router.accept(numberedMessage(n));
  const lanes = await store.lanes();
  t.equal(lanes.find(({ live }) => live)?.messages, 0, 'once both are empty, there is one lane again');
  await clock.advance(1000);
  t.same(sequences(hub.logged).slice(-10), numbers(30_001, 30_010));
  await stop(router);
});

t.test('the backlog goes at its rate, the fresh ones at theirs', async (t: Test) => {
  const { clock, hub, start, stop } = liveWorld({ liveFirst: { backlogPerSecond: 50 } });
  const { line, router } = start();
  line.lose();
  for (const n of numbers(1, 5000)) await router.accept(numberedMessage(n));
  line.connect();
  await clock.advance(100);
  let next = 10_001;
  for (let second = 0; second < 20; second++) {
    for (let n = 0; n < 200; n++) await router.accept(numberedMessage(next++));
    await clock.advance(1000);
  }
  const old = hub.logged.filter(({ sequence }) => sequence <= 5000).length;
  t.ok(old >= 900 && old <= 1010, `${old} of the backlog in 20 s`);
  t.equal(hub.logged.length - old, 4000, 'all fresh ones are through');
  await clock.advance(100_000);
  t.same(
    sequences(hub.logged).filter((n) => n <= 5000),
    numbers(1, 5000),
  );
  await stop(router);
});

t.test('a short backlog is not passed; without the option nothing is', async (t: Test) => {
  for (const [options, count] of [
    [{ liveFirst: { backlogPerSecond: undefined } }, liveFirstBacklogMessages - 1],
    [{}, 5000],
  ] as const) {
    const { clock, hub, start, stop } = liveWorld(options);
    const { line, router } = start();
    line.messageMs = 1;
    line.lose();
    for (const n of numbers(1, count)) await router.accept(numberedMessage(n));
    line.connect();
    await clock.advance(10);
    await router.accept(numberedMessage(count + 1));
    await clock.advance(60_000);
    t.same(sequences(hub.logged), numbers(1, count + 1));
    await stop(router);
  }
});

t.test('live lanes outlive a restart in the middle, and flapping while both lanes are full', async (t: Test) => {
  for (let seed = 1; seed <= 8; seed++) {
    const { clock, store, hub, start, stop } = liveWorld();
    const dice = seededEntropy(seed * 13);
    let life = start();
    let next = 1;
    life.line.lose();
    for (; next <= 2000; next++) await life.router.accept(numberedMessage(next));
    for (let round = 0; round < 30; round++) {
      life.line.messageMs = 3;
      if (dice.fraction() < 0.7) life.line.connect();
      await clock.advance(Math.floor(dice.fraction() * 400));
      const burst = Math.floor(dice.fraction() * 80);
      for (let n = 0; n < burst; n++) await life.router.accept(numberedMessage(next++));
      await clock.advance(Math.floor(dice.fraction() * 400));
      if (dice.fraction() < 0.4) life.line.lose();
      if (dice.fraction() < 0.2) {
        await stop(life.router);
        life = start();
      }
    }
    for (let minute = 0; minute < 10; minute++) {
      life.line.connect();
      await clock.advance(60_000);
    }
    t.same(
      [...sequences(hub.logged)].sort((a, b) => a - b),
      numbers(1, next - 1),
      `seed ${seed}: all, once`,
    );
    t.equal(store.waiting(queue), 0);
    await stop(life.router);
  }
});
