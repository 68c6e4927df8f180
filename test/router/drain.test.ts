import t, { type Test } from 'tap';
import { WeirError } from '../../src/model/errors.ts';
import { priorityUnset } from '../../src/model/lane.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { Drain, type DrainOptions } from '../../src/router/drain.ts';
import type { Endpoint, EndpointWindow, StoredMessage, StoreTarget } from '../../src/router/ports.ts';
import { MemoryStore } from '../support/memory-store.ts';
import { numberedMessage, sequenceOf } from '../support/messages.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock } from '../support/sim-clock.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

const queue = '$upstream';

/** What an endpoint does with one batch: accept so many, or fail. */
type Answer = (batch: readonly StoredMessage[]) => number | Error;

class FakeEndpoint implements Endpoint {
  readonly window: EndpointWindow | undefined;
  readonly arrived: number[] = [];
  readonly batches: number[] = [];
  readonly sentAtMs: number[] = [];
  answer: Answer = (batch) => batch.length;
  sendMs = 0;
  /** Messages under way now, and the most there ever were. */
  underWay = 0;
  underWayMax = 0;
  #away: Promise<void> | undefined;
  #back: (() => void) | undefined;
  /** Something was not accepted: nothing after it is, until all has settled. */
  #broken = false;
  #calls = 0;
  readonly #clock: SimClock;

  constructor(clock: SimClock, window?: EndpointWindow) {
    this.#clock = clock;
    this.window = window;
  }

  get isReady(): boolean {
    return this.#away === undefined;
  }

  async send(batch: readonly StoredMessage[]): Promise<number> {
    this.batches.push(batch.length);
    this.sentAtMs.push(this.#clock.monotonicMs());
    this.underWay += batch.length;
    this.underWayMax = Math.max(this.underWayMax, this.underWay);
    this.#calls++;
    try {
      if (this.sendMs > 0) await new Promise<void>((resolve) => void this.#clock.setTimer(this.sendMs, resolve));
      if (this.#broken) throw failure;
      const answer = this.answer(batch);
      this.#broken = answer instanceof Error || answer < batch.length;
      if (answer instanceof Error) throw answer;
      this.arrived.push(...batch.slice(0, answer).map(({ message }) => sequenceOf(message)));
      return answer;
    } finally {
      this.underWay -= batch.length;
      if (--this.#calls === 0) this.#broken = false;
    }
  }

  async ready(): Promise<void> {
    await this.#away;
  }

  leave(): void {
    this.#away ??= new Promise((resolve) => {
      this.#back = resolve;
    });
  }

  comeBack(): void {
    this.#away = undefined;
    this.#back?.();
  }
}

interface WorldOptions {
  readonly store?: MemoryStore;
  readonly clock?: SimClock;
  readonly seed?: number;
  readonly window?: EndpointWindow;
  readonly options?: DrainOptions;
}

function world(over: WorldOptions = {}) {
  const clock = over.clock ?? new SimClock();
  const store = over.store ?? new MemoryStore(() => clock.wallMs());
  const endpoint = new FakeEndpoint(clock, over.window);
  const { log, lines } = keptLog(clock);
  const metrics = createMetrics();
  const entropy = seededEntropy(over.seed ?? 1);
  const drain = new Drain({ store, endpoint, clock, entropy, log, metrics }, queue, over.options);
  store.onAppended((lane) => drain.wake(lane));
  const fill = async (from: number, to: number, target: Partial<StoreTarget> = {}): Promise<void> => {
    for (let n = from; n <= to; n++) await store.append(numberedMessage(n), [{ ...plain, ...target }]);
  };
  return { clock, store, endpoint, drain, lines, metrics, fill };
}

const plain: StoreTarget = { queue, priority: priorityUnset, live: false, timeToLiveMs: undefined };
const upTo = (last: number): number[] => Array.from({ length: last }, (_, index) => index + 1);
const failure = new WeirError({ code: 'TEST_LINK_LOST', message: 'link lost', retryable: true });

/** Closes while time passes, as it does. */
async function stop(drain: Drain, clock: SimClock): Promise<void> {
  const closed = drain.close();
  await clock.advance(3000);
  await closed;
}

t.test('what is stored is sent in order, confirmed, and what is appended later follows', async (t: Test) => {
  const { clock, store, endpoint, drain, fill } = world({ window: { messages: 200, bytes: 1_000_000 } });
  await fill(1, 250);
  drain.start();
  await clock.advance(1);
  t.same(endpoint.arrived, upTo(250));
  t.ok(endpoint.batches.length <= 7 && endpoint.batches.every((count) => count <= 100), 'in batches');
  t.equal(store.waiting(queue), 0);
  const { reads } = store;
  await clock.advance(3_600_000);
  t.equal(store.reads, reads, 'an idle drain does not poll');
  await fill(251, 252);
  await clock.advance(1);
  t.same(endpoint.arrived, upTo(252));
  await stop(drain, clock);
  t.equal(clock.timerCount, 0);
});

t.test('nothing is deleted before it has arrived', async (t: Test) => {
  const { clock, store, endpoint, drain, fill } = world();
  endpoint.sendMs = 1000;
  await fill(1, 10);
  drain.start();
  await clock.advance(999);
  t.equal(store.waiting(queue), 10);
  await clock.advance(1);
  t.equal(store.waiting(queue), 0);
  await stop(drain, clock);
});

t.test('the next batch is read while one is on its way', async (t: Test) => {
  const { clock, store, endpoint, drain, fill } = world();
  endpoint.sendMs = 1000;
  await fill(1, 200);
  drain.start();
  await clock.advance(500);
  t.equal(store.reads, 1);
  t.same(endpoint.batches, [16], 'few at a time, read in one go');
  await clock.advance(7000);
  t.equal(store.reads, 8, 'what lay for a second is read again');
  await clock.advance(7000);
  t.same(endpoint.arrived, upTo(200));
  await stop(drain, clock);
});

t.test('for an endpoint that takes much the next is read before it is asked for', async (t: Test) => {
  const { clock, store, endpoint, drain, fill } = world({ window: { messages: 960, bytes: 1_048_576 } });
  endpoint.sendMs = 20;
  await fill(1, 6000);
  drain.start();
  await clock.advance(400);
  t.ok(endpoint.underWayMax > 900, 'the window opens');
  await clock.advance(400);
  t.same(endpoint.arrived, upTo(6000));
  t.ok(store.reads <= 35, `${store.reads} reads for 6000 messages`);
  t.equal(store.waiting(queue), 0);
  await stop(drain, clock);
});

t.test('what was read ahead is read again after a failure, and once only if the store is away', async (t: Test) => {
  const { clock, store, endpoint, drain, fill } = world({ window: { messages: 960, bytes: 1_048_576 } });
  endpoint.sendMs = 20;
  await fill(1, 6000);
  drain.start();
  await clock.advance(100);
  let failures = 2;
  endpoint.answer = (batch) => (failures-- > 0 ? failure : batch.length);
  await clock.advance(20);
  t.ok(failures < 2 && endpoint.arrived.length < 6000, 'it fails midway');
  const read = store.read.bind(store);
  let refused = 0;
  store.read = (...from) => (refused++ < 3 ? Promise.reject(failure) : read(...from));
  await clock.advance(120_000);
  t.same(endpoint.arrived, upTo(6000), 'in order and once');
  t.ok(refused > 3);
  await stop(drain, clock);
});

t.test('after a part was accepted, sending goes on at the first message that was not', async (t: Test) => {
  const { clock, store, endpoint, drain, fill } = world();
  await fill(1, 30);
  const parts = [7, 0, 20];
  endpoint.answer = (batch) => parts.shift() ?? batch.length;
  drain.start();
  await clock.advance(0);
  t.equal(store.waiting(queue), 23, 'seven are confirmed');
  await clock.advance(200_000);
  t.same(endpoint.arrived, upTo(30), 'each once, in order');
  t.equal(store.waiting(queue), 0);
  await stop(drain, clock);
});

t.test('failures are followed by pauses that grow, with jitter, to a minute at most', async (t: Test) => {
  const { clock, endpoint, drain, fill, lines, metrics } = world();
  await fill(1, 1);
  endpoint.answer = () => failure;
  drain.start();
  await clock.advance(1_200_000);
  const pauses = endpoint.sentAtMs.slice(1).map((at, index) => at - (endpoint.sentAtMs[index] ?? 0));
  t.ok(pauses.length > 15);
  for (const [index, pause] of pauses.entries())
    t.ok(pause <= Math.min(60_000, 1000 * 2 ** index), `pause ${index}: ${pause}`);
  t.ok(Math.max(...pauses) > 30_000);
  t.ok(new Set(pauses).size > 10, 'they are not all alike');
  t.equal(lines.filter((line) => line.includes(' warn ')).length, 1, 'one warning for a whole outage');
  endpoint.answer = (batch) => batch.length;
  await clock.advance(60_000);
  t.same(endpoint.arrived, [1]);
  t.equal(lines.filter((line) => line.includes('sending goes on')).length, 1);
  const failed = metrics.snapshot().find(({ name }) => name === 'router_send_failures_total');
  t.equal(failed?.value, pauses.length + 1);
  await stop(drain, clock);
});

t.test('an endpoint that was away and comes back is used at once', async (t: Test) => {
  const { clock, endpoint, drain, fill } = world();
  await fill(1, 5);
  endpoint.answer = () => {
    endpoint.leave();
    return failure;
  };
  drain.start();
  await clock.advance(3_600_000);
  t.equal(endpoint.batches.length, 1, 'nothing is tried while it is away');
  endpoint.answer = (batch) => batch.length;
  endpoint.comeBack();
  await clock.advance(0);
  t.same(endpoint.arrived, upTo(5));
  await stop(drain, clock);
});

t.test('what expired while the endpoint was away is not sent', async (t: Test) => {
  const { clock, endpoint, drain, fill } = world();
  endpoint.sendMs = 10;
  await fill(1, 100);
  await fill(101, 110, { timeToLiveMs: 60_000 });
  drain.start();
  await clock.advance(5);
  endpoint.leave();
  await clock.advance(120_000);
  await fill(111, 111);
  endpoint.comeBack();
  await clock.advance(1000);
  t.same(endpoint.arrived, [...upTo(100), 111]);
  await stop(drain, clock);
});

t.test('a store that cannot be read is asked again after a pause', async (t: Test) => {
  const { clock, store, endpoint, drain, fill } = world();
  await fill(1, 3);
  store.failures.push({ name: 'read', error: failure }, { name: 'confirm', error: failure });
  drain.start();
  await clock.advance(1000);
  t.same(endpoint.arrived, upTo(3));
  await stop(drain, clock);
});

t.test('an endpoint that fails while it is asked for readiness does not end the drain', async (t: Test) => {
  const { clock, endpoint, drain, fill } = world();
  await fill(1, 3);
  const { ready } = endpoint;
  let asked = 0;
  endpoint.ready = () => (++asked <= 4 ? Promise.reject(failure) : ready.call(endpoint));
  drain.start();
  await clock.advance(10_000);
  t.same(endpoint.arrived, upTo(3));
  await stop(drain, clock);
});

t.test('another drain of the same queue begins at the first message that was not confirmed', async (t: Test) => {
  const first = world();
  await first.fill(1, 150);
  first.endpoint.answer = (batch) => (first.endpoint.arrived.length < 96 ? batch.length : 5);
  first.drain.start();
  await first.clock.advance(0);
  await stop(first.drain, first.clock);
  const { clock, store } = first;
  const second = world({ store, clock });
  second.drain.start();
  await clock.advance(1);
  t.same([...first.endpoint.arrived, ...second.endpoint.arrived], upTo(150));
  await stop(second.drain, clock);
});

t.test('closing lets a batch on its way finish, but waits no longer than two seconds', async (t: Test) => {
  for (const [sendMs, waiting] of [
    [1500, 0],
    [60_000, 10],
  ] as const) {
    const { clock, store, endpoint, drain, fill } = world();
    endpoint.sendMs = sendMs;
    await fill(1, 10);
    drain.start();
    await clock.advance(10);
    let closed = false;
    const closing = drain.close().then(() => {
      closed = true;
    });
    await clock.advance(2000);
    t.ok(closed);
    await closing;
    t.equal(store.waiting(queue), waiting);
  }
});

t.test('offsets of a file that was replaced are neither confirmed nor continued', async (t: Test) => {
  const { clock, store, endpoint, drain, fill } = world();
  endpoint.sendMs = 1000;
  await fill(1, 5);
  drain.start();
  await clock.advance(500);
  store.renew('epoch-2');
  await fill(101, 103);
  await clock.advance(500);
  t.equal(store.waiting(queue), 3, 'the new messages 1 to 3 are still there although 1 to 5 have arrived');
  await clock.advance(2000);
  t.same(endpoint.arrived, [...upTo(5), 101, 102, 103]);
  t.equal(store.waiting(queue), 0);
  await stop(drain, clock);
});

t.test('with an endpoint that fails at random nothing is lost, doubled or reordered', async (t: Test) => {
  for (let seed = 1; seed <= 20; seed++) {
    const { clock, endpoint, drain, fill } = world({ seed });
    const dice = seededEntropy(seed * 77);
    endpoint.answer = (batch) => {
      const throwOf = dice.fraction();
      if (throwOf < 0.3) return failure;
      return throwOf < 0.6 ? Math.floor(dice.fraction() * batch.length) : batch.length;
    };
    drain.start();
    for (let from = 1; from <= 400; from += 40) {
      await fill(from, from + 39);
      if (dice.fraction() < 0.3) endpoint.leave();
      await clock.advance(Math.floor(dice.fraction() * 5000));
      endpoint.comeBack();
    }
    await clock.advance(3_600_000);
    t.same(endpoint.arrived, upTo(400), `seed ${seed}`);
    await stop(drain, clock);
  }
});
