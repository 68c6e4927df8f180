// Drawn operations, failing commits, dying threads and ends without a close, against a model of a few maps.
//
// A commit holds everything that waits, so what the next life finds is the model as it was after some operation:
// not before the last one that was known to be flushed, and never a mixture.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { createMetrics } from '../../src/platform/metrics.ts';
import { type Sqlite, systemSqlite } from '../../src/platform/sqlite.ts';
import { PublishView } from '../../src/protocol/mqtt/publish.ts';
import type { MqttJournal } from '../../src/store/mqtt-journal.ts';
import type { MqttState } from '../../src/store/mqtt-shapes.ts';
import { Store } from '../../src/store/store.ts';
import { InlineThread } from '../support/inline-thread.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock, settle } from '../support/sim-clock.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

const seeds = 40;
const lives = 4;
const operationsPerLife = 120;
const clients = ['a', 'b', 'c'];

interface Client {
  readonly queue: Map<number, string>;
  readonly receiving: Set<number>;
  readonly filters: Set<string>;
}

class Model {
  readonly clients = new Map<string, Client>();
  readonly retained = new Map<string, string>();

  get text(): string {
    const sorted = [...this.clients].sort(([a], [b]) => (a < b ? -1 : 1));
    return JSON.stringify([
      sorted.map(([id, { queue, receiving, filters }]) => [
        id,
        [...queue].sort(([x], [y]) => x - y),
        [...receiving].sort((x, y) => x - y),
        [...filters].sort(),
      ]),
      [...this.retained].sort(([x], [y]) => (x < y ? -1 : 1)),
    ]);
  }

  static of({ sessions, retained }: MqttState): Model {
    const model = new Model();
    for (const { clientId, deliveries, receiving, subscriptions } of sessions) {
      model.clients.set(clientId, {
        queue: new Map(
          deliveries.map((found) => [found.ordinal, `${textOf(found.message.canonical)}/${found.packetId}`]),
        ),
        receiving: new Set(receiving),
        filters: new Set(subscriptions.map(({ filter }) => filter)),
      });
    }
    for (const { topic, message } of retained) model.retained.set(topic, textOf(message.canonical));
    return model;
  }
}

function textOf(canonical: Buffer): string {
  return PublishView.fromCanonical(canonical, { qos: 1, retain: false, expiresAtMs: 0 }).payload().toString();
}

/** A small generator of its own, so that a seed says all. */
function drawer(seed: number): (below: number) => number {
  let state = seed * 2_654_435_761;
  return (below) => {
    state = (Math.imul(state ^ (state >>> 15), 2_246_822_519) + 3_266_489_917) | 0;
    return ((state ^ (state >>> 13)) >>> 0) % below;
  };
}

type Draw = (below: number) => number;

class World {
  readonly clock = new SimClock();
  readonly threads: InlineThread[] = [];
  readonly store: Store;
  faultEvery = 0;

  constructor(directory: string, draw: Draw) {
    const entropy = seededEntropy(5);
    const system = systemSqlite();
    const sqlite: Sqlite = {
      ...system,
      open: (file) => {
        const database = system.open(file);
        const transaction = <T>(work: () => T): T => {
          const when = this.faultEvery > 0 ? draw(this.faultEvery) : 2;
          if (when === 0) throw Object.assign(new Error('injected'), { code: 'SQLITE_FULL' });
          if (when !== 1) return database.transaction(work);
          // Committed, and yet nobody is told: the reader of the answer must not conclude too much.
          database.transaction(work);
          throw Object.assign(new Error('injected'), { code: 'SQLITE_FULL' });
        };
        return { ...database, transaction };
      },
    };
    this.store = new Store(
      {
        clock: this.clock,
        log: keptLog(this.clock).log,
        metrics: createMetrics(),
        startThread: () => {
          const thread = new InlineThread({ sqlite, entropy });
          this.threads.push(thread);
          return thread;
        },
      },
      { path: join(directory, 'mqtt.db'), quarantine: join(directory, 'quarantine'), quotaBytes: 4_194_304 },
    );
  }

  async pass(ms: number): Promise<void> {
    await this.clock.advance(ms);
    await settle();
  }
}

/** One drawn operation, on the journal and on the model. */
function operate(journal: MqttJournal, model: Model, { draw, ordinal }: { draw: Draw; ordinal: number }): void {
  const id = clients[draw(clients.length)] as string;
  const client = model.clients.get(id);
  const kind = draw(16);
  if (client === undefined || kind === 0) {
    journal.putSession({
      clientId: id,
      principal: { name: id, identity: undefined },
      expirySeconds: draw(99),
      leftAtMs: 0,
      will: undefined,
    });
    if (client === undefined) model.clients.set(id, { queue: new Map(), receiving: new Set(), filters: new Set() });
    return;
  }
  const packetId = 1 + draw(4);
  const filter = `f${draw(3)}`;
  const topic = `r${draw(3)}`;
  const known = [...client.queue.keys()][draw(Math.max(1, client.queue.size))];
  if (kind < 5) {
    // One message for some of the clients, sometimes retained as well.
    const view = PublishView.of({ topic, payload: Buffer.from(`m${ordinal}`), qos: 2, retain: true });
    for (const [name, { queue }] of model.clients) {
      if (draw(2) === 0) continue;
      journal.putMessage(name, ordinal, { view, qos: 2, retain: false, subscriptionIds: [draw(400)] });
      queue.set(ordinal, `m${ordinal}/0`);
    }
    if (draw(3) > 0) return;
    journal.putRetained(topic, view);
    model.retained.set(topic, `m${ordinal}`);
  } else if (kind < 9) {
    if (known === undefined) return;
    journal.deleteMessage(id, known);
    client.queue.delete(known);
  } else if (kind < 11) {
    if (known === undefined) return;
    journal.sentMessage(id, known, { packetId: ordinal, awaiting: 4 });
    client.queue.set(known, `${client.queue.get(known)?.split('/')[0]}/${ordinal}`);
  } else if (kind === 11) {
    journal.putReceiving(id, packetId);
    client.receiving.add(packetId);
  } else if (kind === 12) {
    journal.deleteReceiving(id, packetId);
    client.receiving.delete(packetId);
  } else if (kind === 13) {
    journal.deleteRetained(topic);
    model.retained.delete(topic);
  } else if (kind === 14) {
    const options = { qos: 1, noLocal: false, retainAsPublished: false, retainHandling: 0 } as const;
    if (client.filters.has(filter)) journal.deleteSubscription(id, filter);
    else journal.putSubscription(id, { ...options, filter, subscriptionId: 0, owned: false, replaying: false });
    if (!client.filters.delete(filter)) client.filters.add(filter);
  } else if (draw(4) === 0) {
    journal.deleteSession(id);
    model.clients.delete(id);
  }
}

/** One life of the store, ended with or without a close. Answers the states among which the next one finds itself. */
async function live(directory: string, before: Model, { draw, from }: { draw: Draw; from: number }) {
  const world = new World(directory, draw);
  await world.store.start();
  const { sessions } = world.store;
  const model = Model.of(await sessions.load());
  const agreed = model.text === before.text;
  world.faultEvery = draw(3) === 0 ? 0 : 5;
  const states = [model.text];
  let flushed = 0;
  const waits: Promise<void>[] = [];
  for (let n = 1; n <= operationsPerLife; n++) {
    operate(sessions, model, { draw, ordinal: from + n });
    states.push(model.text);
    const now = n;
    const told = (): void => {
      flushed = Math.max(flushed, now);
    };
    if (draw(3) === 0) waits.push(sessions.flushed().then(told, () => undefined));
    if (draw(4) === 0) await world.pass(draw(40));
    if (draw(60) === 0) world.threads.at(-1)?.die(new Error('planted'));
  }
  if (draw(2) === 0) {
    world.faultEvery = 0;
    await world.pass(20_000);
    const closing = world.store.close();
    await world.pass(20_000);
    await closing;
    flushed = operationsPerLife;
  }
  world.threads.at(-1)?.die(new Error('the end'));
  return { agreed, possible: states.slice(flushed) };
}

t.test(
  'whatever happens, the next life finds the state after some operation, none flushed missing',
  async (t: Test) => {
    for (let seed = 1; seed <= seeds; seed++) {
      const draw = drawer(seed);
      const directory = mkdtempSync(join(tmpdir(), 'weir-journal-'));
      t.teardown(() => rmSync(directory, { recursive: true, force: true }));
      let model = new Model();
      for (let life = 0; life < lives; life++) {
        const { agreed, possible } = await live(directory, model, {
          draw,
          from: life * operationsPerLife,
        });
        if (!agreed) t.fail(`seed ${seed}, life ${life}: two loads differ`);
        const reader = new World(directory, draw);
        await reader.store.start();
        const state = await reader.store.sessions.load();
        model = Model.of(state);
        const closing = reader.store.close();
        await reader.pass(1000);
        await closing;
        if (state.damaged > 0) t.fail(`seed ${seed}, life ${life}: ${state.damaged} rows make no sense`);
        if (!possible.includes(model.text))
          t.fail(`seed ${seed}, life ${life}: the state was never so, or is older than what was flushed`, {
            found: model.text,
            last: possible.at(-1),
            flushed: possible[0],
          });
      }
    }
    t.pass(`${seeds} seeds of ${lives} lives`);
  },
);
