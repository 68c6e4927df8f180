// What arrived another way, or was given up, is not sent any more, whatever the drain is doing with it just then.

import t from 'tap';
import { WeirError } from '../../src/model/errors.ts';
import { type Lane, priorityUnset } from '../../src/model/lane.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import type { Endpoint, StoredMessage } from '../../src/router/ports.ts';
import { Router } from '../../src/router/router.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { numberedMessage } from '../support/messages.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock } from '../support/sim-clock.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

const queue = '$upstream';
const lane: Lane = { queue, priority: priorityUnset, live: false };
const lost = new WeirError({ code: 'TEST_LINK_LOST', message: 'link lost', retryable: true });

interface Call {
  readonly offsets: readonly number[];
  readonly settle: (accepted: number | Error) => void;
}

/** Keeps every batch until the test says what became of it. */
class SlowEndpoint implements Endpoint {
  readonly window = { messages: 1000, bytes: 1_000_000 };
  isReady = true;
  calls: Call[] = [];
  readonly sent: number[] = [];
  #wake: (() => void) | undefined;

  send(batch: readonly StoredMessage[]): Promise<number> {
    const offsets = batch.map(({ offset }) => offset);
    this.sent.push(...offsets);
    return new Promise((resolve, reject) => {
      this.calls.push({
        offsets,
        settle: (accepted) => (accepted instanceof Error ? reject(accepted) : resolve(accepted)),
      });
    });
  }

  ready(): Promise<void> {
    if (this.isReady) return Promise.resolve();
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  comeBack(): void {
    this.isReady = true;
    this.#wake?.();
  }
}

function world() {
  const clock = new SimClock();
  const store = new MemoryStore(() => clock.wallMs());
  const endpoint = new SlowEndpoint();
  const ports = { store, clock, entropy: seededEntropy(3), log: keptLog(clock).log, metrics: createMetrics() };
  const router = new Router(ports, { timeToLiveSecs: 0 });
  const fill = async (count: number): Promise<void> => {
    for (let n = 1; n <= count; n++) await router.accept(numberedMessage(n));
  };
  const close = async (): Promise<void> => {
    for (const call of endpoint.calls) call.settle(lost);
    const closed = router.close();
    await clock.advance(3000);
    await closed;
  };
  return { clock, store, endpoint, router, fill, close };
}

const range = (from: number, to: number): number[] => Array.from({ length: to - from + 1 }, (_, n) => from + n);

t.test('an endpoint that was away gets only what was not released meanwhile', async (t) => {
  const { clock, endpoint, router, fill, close } = world();
  endpoint.isReady = false;
  router.attach(queue, endpoint);
  router.start();
  await fill(250);
  await clock.advance(1);
  await router.release(lane, 120);
  endpoint.comeBack();
  await clock.advance(1);
  t.same(endpoint.sent, range(121, 250));
  await close();
});

t.test('a batch under way that fails is sent again from behind what was released', async (t) => {
  const { clock, endpoint, router, fill, close } = world();
  await fill(60);
  router.attach(queue, endpoint);
  router.start();
  await clock.advance(1);
  t.same(endpoint.sent, range(1, 60));
  await router.release(lane, 40);
  for (const call of endpoint.calls.splice(0)) call.settle(lost);
  await clock.advance(60_000);
  t.same(endpoint.sent, [...range(1, 60), ...range(41, 60)]);
  await close();
});

t.test('an acknowledgement of what was released already moves nothing back', async (t) => {
  const { clock, store, endpoint, router, fill, close } = world();
  await fill(60);
  router.attach(queue, endpoint);
  router.start();
  await clock.advance(1);
  await router.release(lane, 60);
  for (const call of endpoint.calls.splice(0)) call.settle(call.offsets.length);
  await clock.advance(1);
  t.equal(store.waiting(queue), 0);
  await router.accept(numberedMessage(61));
  await clock.advance(1);
  t.same(endpoint.sent, range(1, 61), 'nothing twice, and what follows goes');
  await close();
});

t.test('a part accepted short of what was released goes on behind it', async (t) => {
  const { clock, endpoint, router, fill, close } = world();
  await fill(60);
  router.attach(queue, endpoint);
  router.start();
  await clock.advance(1);
  await router.release(lane, 50);
  const [first, ...others] = endpoint.calls.splice(0);
  first?.settle(10);
  for (const call of others) call.settle(lost);
  await clock.advance(60_000);
  t.same(endpoint.sent.slice(60), range(51, 60));
  await close();
});

t.test('what is released while it is read is not sent', async (t) => {
  const { clock, store, endpoint, router, fill, close } = world();
  await fill(60);
  const read = store.read.bind(store);
  store.read = async (...asked) => {
    const answer = await read(...asked);
    await router.release(lane, 30);
    return answer;
  };
  router.attach(queue, endpoint);
  router.start();
  await clock.advance(1);
  t.same(endpoint.sent, range(31, 60));
  await close();
});

t.test('a queue that leads nowhere yet is freed in the store', async (t) => {
  const { store, router, fill, close } = world();
  await fill(10);
  await router.release(lane, 7);
  t.equal(store.waiting(queue), 3);
  await close();
});

/** Acknowledges after a while, fails at random, and keeps an endpoint's promise about what follows a failure. */
class MoodyHub implements Endpoint {
  readonly window = { messages: 60, bytes: 1_000_000 };
  readonly isReady = true;
  readonly logged: number[] = [];
  #last = 0;
  #broken = false;
  #calls = 0;
  readonly #clock: SimClock;
  readonly #draw: () => number;

  constructor(clock: SimClock, draw: () => number) {
    this.#clock = clock;
    this.#draw = draw;
  }

  async send(batch: readonly StoredMessage[]): Promise<number> {
    this.#calls++;
    try {
      await new Promise<void>((resolve) => void this.#clock.setTimer(5, resolve));
      if (this.#broken) throw lost;
      const arrived = this.#draw() < 0.7 ? batch.length : Math.floor(this.#draw() * batch.length);
      for (const stored of batch.slice(0, arrived)) this.take(stored);
      // What arrived and what was acknowledged are two things.
      const accepted = this.#draw() < 0.8 ? arrived : Math.floor(this.#draw() * arrived);
      this.#broken = accepted < batch.length;
      if (accepted === 0) throw lost;
      return accepted;
    } finally {
      if (--this.#calls === 0) this.#broken = false;
    }
  }

  take({ hop, offset }: StoredMessage): void {
    if (hop.sequence <= this.#last) return;
    this.#last = hop.sequence;
    this.logged.push(offset);
  }

  async ready(): Promise<void> {}
}

t.test('link and stick together bring everything once, in order, whatever fails when', async (t) => {
  for (let seed = 1; seed <= 60; seed++) {
    const entropy = seededEntropy(seed);
    const draw = (): number => entropy.fraction();
    const { clock, store, router, fill } = world();
    const hub = new MoodyHub(clock, draw);
    router.attach(queue, hub);
    router.start();
    let stored = 0;
    for (let step = 0; step < 25; step++) {
      const more = Math.floor(draw() * 60);
      stored += more;
      await fill(more);
      await clock.advance(Math.floor(draw() * 8));
      if (draw() < 0.5) continue;
      // A stick takes the front of the queue; its receipt comes back at once or after a while.
      const messagesMax = 1 + Math.floor(draw() * 80);
      const carried = await store.read(lane, { afterOffset: 0, messagesMax, bytesMax: 1_000_000 });
      for (const message of carried) hub.take(message);
      await clock.advance(draw() < 0.5 ? 0 : Math.floor(draw() * 3000));
      const last = carried.at(-1)?.offset;
      if (last !== undefined) await router.release(lane, last);
    }
    for (let wait = 0; wait < 200 && store.waiting(queue) > 0; wait++) await clock.advance(10_000);
    t.equal(store.waiting(queue), 0, `seed ${seed}: the queue is empty`);
    t.same(hub.logged, range(1, stored), `seed ${seed}: no hole, nothing twice`);
    const closed = router.close();
    await clock.advance(3000);
    await closed;
  }
});
