// What was sent and not acknowledged: it comes back as it went in, whatever was let go around it, and costs what is left.

import t from 'tap';
import { BufferPool } from '../../src/broker/buffer-pool.ts';
import { InflightWindow } from '../../src/broker/inflight.ts';
import { PendingMessage } from '../../src/broker/pending-message.ts';
import { UnderWay } from '../../src/broker/under-way.ts';
import { brokerUnderWayBytesMax } from '../../src/limits.ts';
import { PublishView, type Qos } from '../../src/protocol/mqtt/publish.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

const bytesMin = 1024;

function world() {
  const counted = { messages: 0, bytes: 0 };
  const queue = {
    keep: (bytes: number) => {
      counted.messages++;
      counted.bytes += bytes;
    },
    release: (bytes: number) => {
      counted.messages--;
      counted.bytes -= bytes;
    },
  };
  const window = new InflightWindow(1000);
  const taken = new Set<Buffer>();
  const blocks = new (class extends BufferPool {
    override take(bytes: number): Buffer {
      const block = super.take(bytes);
      taken.add(block);
      return block;
    }
    override give(block: Buffer): void {
      if (!taken.delete(block)) t.fail('a block is given back once');
      block.fill(0xee);
      super.give(block);
    }
  })({ bytesMin, bytesMax: 4_194_304 });
  return { counted, window, taken, underWay: new UnderWay(queue, window, blocks) };
}

function viewOf(text: string, facts: { readonly qos?: Qos; readonly userProperties?: Record<string, string> } = {}) {
  const { qos = 1, userProperties } = facts;
  return PublishView.of({
    topic: 'plant/line/1',
    payload: Buffer.from(text),
    qos,
    retain: false,
    properties: userProperties === undefined ? undefined : { userProperties, messageExpiryInterval: 60 },
  });
}

t.test('messages of all sizes let go in any order are what they were as long as they are kept', async (t) => {
  const entropy = seededEntropy(23);
  const { counted, window, taken, underWay } = world();
  const model = new Map<number, { readonly message: PendingMessage; readonly view: PublishView }>();
  let most = 0;
  for (let step = 0; step < 20_000; step++) {
    // It fills and empties in turns.
    const fills = Math.floor(step / 700) % 2 === 0;
    if (model.size < 200 && entropy.fraction() < (fills ? 0.6 : 0.3)) {
      const text = `${step} `.repeat(1 + Math.floor(entropy.fraction() ** 4 * 200));
      const view = viewOf(text, {
        qos: step % 3 === 0 ? 2 : 1,
        ...(step % 5 === 0 ? { userProperties: { step: `${step}` } } : {}),
      });
      view.expiresAtMs = step % 5 === 0 ? step + 0.5 : 0;
      const message = new PendingMessage({ view, qos: 1, retain: false, subscriptionIds: [] });
      const packetId = window.open(message);
      underWay.keep(message, step % 11 === 0 ? 0 : packetId);
      t.equal(message.view === undefined, step % 11 !== 0 && message.place >= 0);
      model.set(packetId, { message, view });
    } else {
      const ids = [...model.keys()];
      const packetId = ids[Math.floor(entropy.fraction() * Math.min(5, ids.length))];
      const known = packetId === undefined ? undefined : model.get(packetId);
      if (packetId === undefined || known === undefined) continue;
      window.delete(packetId);
      underWay.letGo(known.message);
      t.equal(underWay.viewOf(known.message), undefined);
      model.delete(packetId);
    }
    most = Math.max(most, model.size);
    if (step % 50 !== 0) continue;
    for (const { message, view } of model.values()) {
      const kept = underWay.viewOf(message);
      const facts = (of: PublishView | undefined) => [
        of?.qos,
        of?.retain,
        of?.idBytes,
        of?.expiresAtMs,
        of?.expirySeconds,
      ];
      if (kept === undefined || !kept.canonical().equals(view.canonical()))
        t.fail(`what was kept in step ${step} is another`);
      if (facts(kept).join() !== facts(view).join()) t.fail(`its facts in step ${step}`);
    }
    t.equal(counted.messages, model.size);
    t.equal(
      counted.bytes,
      [...model.values()].reduce((sum, { view }) => sum + view.keptBytes, 0),
    );
    t.ok(taken.size <= 1, 'one block at a time');
  }
  t.ok(most > 100);
  for (const { message } of model.values()) underWay.letGo(message);
  t.same(counted, { messages: 0, bytes: 0 });
  t.equal(taken.size, 0, 'the last block is given back');
});

t.test('one message that is never acknowledged does not make the block grow while thousands pass', async (t) => {
  const { window, taken, underWay } = world();
  const first = new PendingMessage({ view: viewOf('first'), qos: 1, retain: false, subscriptionIds: [] });
  underWay.keep(first, window.open(first));
  for (let count = 0; count < 10_000; count++) {
    const message = new PendingMessage({ view: viewOf(`number ${count}`), qos: 1, retain: false, subscriptionIds: [] });
    const packetId = window.open(message);
    underWay.keep(message, packetId);
    window.delete(packetId);
    underWay.letGo(message);
  }
  t.equal([...taken][0]?.length, bytesMin);
  t.equal(underWay.viewOf(first)?.payload().toString(), 'first');
});

t.test('beyond its bound messages stay views, and count all the same', async (t) => {
  const { counted, window, taken, underWay } = world();
  const messages = Array.from({ length: 40 }, () => {
    const view = viewOf('x'.repeat(5000));
    return new PendingMessage({ view, qos: 1, retain: false, subscriptionIds: [] });
  });
  const bytes = messages[0]?.view?.keptBytes ?? 0;
  for (const message of messages) underWay.keep(message, window.open(message));
  const packed = messages.filter(({ view }) => view === undefined).length;
  t.equal(packed, Math.floor(brokerUnderWayBytesMax / (bytes + 13)));
  t.ok(([...taken][0]?.length ?? 0) <= 2 * brokerUnderWayBytesMax);
  t.same(counted, { messages: 40, bytes: 40 * bytes });
  for (const message of messages) underWay.letGo(message);
  t.same(counted, { messages: 0, bytes: 0 });
});
