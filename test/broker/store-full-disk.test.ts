// A session store of SQLite with a quota that is soon used up: what was acknowledged is there after a restart, what
// was not comes again, and nothing twice.

import { join } from 'node:path';
import t, { type Test } from 'tap';
import { brokerStoreWaitMsMax, storeQuotaBytesMin } from '../../src/limits.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { systemSqlite } from '../../src/platform/sqlite.ts';
import { Store } from '../../src/store/store.ts';
import { InlineThread } from '../support/inline-thread.ts';
import { keptLog } from '../support/quiet-log.ts';
import { seededEntropy } from '../support/sim-entropy.ts';
import { ack, Harness, publish, subscribe, TurnClock, type Wire } from './broker-harness.ts';

const body = 'x'.repeat(8192);
/** A commit and its answer. */
const commitMs = 400;

async function opened(t: Test, directory: string): Promise<{ readonly h: Harness; close(): Promise<void> }> {
  const clock = new TurnClock();
  const entropy = seededEntropy(7);
  const store = new Store(
    {
      clock,
      log: keptLog(clock).log,
      metrics: createMetrics(),
      startThread: () => new InlineThread({ sqlite: systemSqlite(), entropy }),
    },
    { path: join(directory, 'b.db'), quarantine: join(directory, 'quarantine'), quotaBytes: storeQuotaBytesMin },
  );
  const starting = store.start();
  await clock.advance(commitMs);
  await starting;
  const h = new Harness(t, { clock, sessionStore: store.sessions });
  const started = h.start();
  await clock.advance(commitMs);
  await started;
  const close = async (): Promise<void> => {
    const closing = h.broker.close();
    await clock.advance(3000);
    await closing;
    const ended = store.close();
    await clock.advance(commitMs);
    await ended;
  };
  return { h, close };
}

async function taken(h: Harness, wire: Wire): Promise<string[]> {
  await h.clock.advance(commitMs);
  return wire.seen();
}

async function connected(h: Harness, clientId: string, version: 4 | 5, clean: boolean): Promise<Wire> {
  const wire = await h.client(clientId, { version, clean });
  await h.clock.advance(commitMs);
  wire.seen();
  return wire;
}

/** Acknowledges what comes until nothing does; answers the first words of the payloads. */
async function drained(h: Harness, wire: Wire): Promise<string[]> {
  const names: string[] = [];
  for (;;) {
    await h.clock.advance(commitMs);
    const packets = wire.received.splice(0).filter((packet) => packet.cmd === 'publish');
    if (packets.length === 0) return names;
    for (const { payload, messageId = 0 } of packets) {
      names.push(payload.toString().split(' ')[0] ?? '');
      wire.send(ack('puback', messageId));
    }
  }
}

t.test('what was acknowledged before the store was full is kept, and nothing else was acknowledged', async (t) => {
  const directory = t.testdir();
  const first = await opened(t, directory);
  const keeper = await connected(first.h, 'keeper', 4, false);
  keeper.send(subscribe(1, ['t', 1]));
  t.same(await taken(first.h, keeper), ['suback 1 1']);
  keeper.destroy();
  const modern = await connected(first.h, 'modern', 5, true);
  const kept: string[] = [];
  for (let id = 1; id < 1000; id++) {
    modern.send(publish('t', `m${id} ${body}`, { qos: 1, id }));
    const [answer] = await taken(first.h, modern);
    if (answer !== `puback ${id}`) {
      t.equal(answer, `puback ${id} 0x97`);
      break;
    }
    kept.push(`m${id}`);
  }
  t.ok(kept.length > 20 && kept.length < 70, `${kept.length} fit into half of the quota`);
  const old = await connected(first.h, 'old', 4, true);
  old.send(publish('t', `old ${body}`, { qos: 2, id: 9 }), publish('t', `older ${body}`, { qos: 1, id: 10 }));
  await first.h.clock.advance(brokerStoreWaitMsMax + 1000);
  t.same([old.seen(), old.closed], [[], true]);
  await first.close();

  const second = await opened(t, directory);
  const again = await connected(second.h, 'old', 4, true);
  again.send(publish('t', `old ${body}`, { qos: 2, id: 9, dup: true }), publish('t', 'plain'));
  t.same(await taken(second.h, again), [], 'it is still full');
  const back = second.h.wire();
  back.send({ cmd: 'connect', protocolId: 'MQTT', protocolVersion: 4, clientId: 'keeper', clean: false, keepalive: 0 });
  // Its acknowledgements make the room that the other waits for.
  t.same(await drained(second.h, back), [...kept, 'old', 'plain']);
  t.same(await taken(second.h, again), ['pubrec 9']);
  await second.close();
});
