// Clients that send too much, take too little, or leave too much behind.

import t from 'tap';
import {
  brokerInflightOutboundMax,
  brokerOutputBytesMax,
  brokerQueueBytesMax,
  brokerQueueBytesTotalMax,
  brokerRetainedBytesMax,
  brokerRetainedBytesPerClientMax,
  brokerRetainedLevelsMax,
  brokerTopicAliasBytesMax,
  brokerWillBytesMax,
  messageBytesMax,
  packetBytesMax,
  topicLevelsMax,
} from '../../src/limits.ts';
import type { RawClient } from './raw-client.ts';
import { kibibyte, mebibyte, Siege } from './siege.ts';

/** What a level of a tree may cost. */
const levelBytes = 256;
const quotaExceeded = 0x97;
const noMatchingSubscribers = 0x10;
const flags = { dup: false, retain: false } as const;

/** Sends `count` publishes of QoS 1, at most `window` without their PUBACK; the reason codes by how often they came. */
async function publishAll(
  client: RawClient,
  count: number,
  make: (index: number) => { readonly topic: string; readonly payload: string | Buffer; readonly retain?: boolean },
): Promise<ReadonlyMap<number, number>> {
  const window = 100;
  const codes = new Map<number, number>();
  let sent = 0;
  let settled = 0;
  await new Promise<void>((resolve, reject) => {
    const fill = (): void => {
      while (sent < count && sent - settled < window) {
        const messageId = (sent % window) + 1;
        client.send({ cmd: 'publish', qos: 1, messageId, ...flags, ...make(sent++) });
      }
    };
    client.onPacket = (packet) => {
      if (packet.cmd !== 'puback') return;
      const code = packet.reasonCode ?? 0;
      codes.set(code, (codes.get(code) ?? 0) + 1);
      settled++;
      if (settled === count) resolve();
      else fill();
    };
    void client.closed.then(() => reject(new TypeError(`the publisher was disconnected after ${settled}`)));
    fill();
  });
  return codes;
}

/** QoS 0, as fast as the broker takes it; resolves when it has dealt with all. */
async function flood(client: RawClient, count: number, make: (index: number) => Uint8Array): Promise<void> {
  const batch = 1000;
  for (let from = 0; from < count; from += batch) {
    const size = Math.min(batch, count - from);
    await client.write(Buffer.concat(Array.from({ length: size }, (_, at) => make(from + at))));
  }
  await client.round();
}

t.test('subscribers that never read cost themselves only', async (t) => {
  const siege = await Siege.lay(t);
  const deafCount = 10;
  for (const qos of [0, 1, 2] as const)
    await siege.many(deafCount, async () => {
      const deaf = await siege.client();
      await deaf.subscribe(['flood/#'], qos);
      deaf.socket.pause();
    });
  const reader = await siege.client();
  await reader.subscribe(['flood/#'], 1);
  const steps = 12;
  const stepSize = 500;
  const came: string[] = [];
  let stepDone: () => void = () => undefined;
  reader.onPublish = ({ topic, messageId }) => {
    reader.send({ cmd: 'puback', messageId: messageId ?? 0 });
    if (came.push(topic) % stepSize === 0) stepDone();
  };
  const sender = await siege.client();
  const payload = Buffer.alloc(4 * kibibyte, 'x');
  const topic = (index: number): string => `flood/${index}`;
  // No more at a time than its queue takes: it reads, but in the same process as all the others.
  for (let step = 0; step < steps; step++) {
    const done = new Promise<void>((resolve) => {
      stepDone = resolve;
    });
    await publishAll(sender, stepSize, (index) => ({ topic: topic(step * stepSize + index), payload }));
    await done;
  }
  t.same(
    came,
    Array.from({ length: steps * stepSize }, (_, index) => topic(index)),
    'who reads gets all, in order',
  );
  await siege.witness.exchanged();
  await siege.witness.sys('publish/messages/dropped', (dropped) => dropped > deafCount);
  const each = brokerOutputBytesMax + packetBytesMax;
  const queues = 2 * deafCount * brokerQueueBytesMax;
  siege.grewAtMost(3 * deafCount * each + Math.min(queues, brokerQueueBytesTotalMax), 'thirty of them');
  await siege.lift();
});

t.test('a subscriber that takes messages and never acknowledges them gets its window, and no more', async (t) => {
  const siege = await Siege.lay(t);
  const silent = await siege.client({ clientId: 'silent', clean: false, properties: { sessionExpiryInterval: 600 } });
  await silent.subscribe(['flood'], 1);
  let came = 0;
  silent.onPublish = () => came++;
  const payload = Buffer.alloc(kibibyte);
  await publishAll(await siege.client(), 15_000, () => ({ topic: 'flood', payload }));
  await silent.round();
  t.equal(came, brokerInflightOutboundMax);
  await siege.witness.sys('publish/messages/dropped', (dropped) => dropped > 0);
  t.ok(siege.witness.last('store/messages/bytes') <= brokerQueueBytesMax + brokerInflightOutboundMax * 2 * kibibyte);
  siege.grewAtMost(2 * brokerQueueBytesMax, 'its queue');
  await silent.drop();
  const back = await siege.client({ clientId: 'silent', clean: true });
  await back.round();
  await siege.lift();
});

t.test('a million topics are forgotten again', async (t) => {
  const siege = await Siege.lay(t);
  const flooder = await siege.client({}, 4);
  const template = (index: number): Uint8Array => {
    const topic = `f/${String(index).padStart(7, '0')}`;
    return Buffer.concat([Buffer.from([0x30, topic.length + 3, 0, topic.length]), Buffer.from(`${topic}x`)]);
  };
  await flood(flooder, 1_000_000, template);
  await siege.witness.exchanged();
  await siege.witness.sys('publish/messages/received', (received) => received > 1_000_000);
  siege.grewAtMost(16 * mebibyte, 'a million topics');
  await siege.lift();
});

t.test('long topics are not worth remembering', async (t) => {
  const siege = await Siege.lay(t);
  const flooder = await siege.client({}, 4);
  const topicBytes = 60_000;
  const packet = Buffer.alloc(4 + 2 + topicBytes, 'a');
  const rest = 2 + topicBytes;
  packet.set([0x30, (rest & 0x7f) | 0x80, ((rest >> 7) & 0x7f) | 0x80, rest >> 14, topicBytes >> 8, topicBytes & 0xff]);
  const make = (index: number): Uint8Array => {
    const copy = Buffer.from(packet);
    copy.write(String(index).padStart(7, '0'), 6);
    return copy;
  };
  for (let from = 0; from < 4000; from += 100) await flood(flooder, 100, (index) => make(from + index));
  await siege.witness.exchanged();
  siege.grewAtMost(16 * mebibyte, 'four thousand topics of 60 kB');
  await siege.lift();
});

t.test('retained messages stop at their number, also deep ones', async (t) => {
  const siege = await Siege.lay(t, { limits: { retained_messages_max: 30_000 } });
  const hoarder = await siege.client();
  const deep = '/a'.repeat(topicLevelsMax - 2);
  const codes = await publishAll(hoarder, 40_000, (index) => ({
    topic: `${index}${deep}`,
    payload: 'x',
    retain: true,
  }));
  const kept = codes.get(noMatchingSubscribers) ?? 0;
  t.equal(kept + (codes.get(quotaExceeded) ?? 0), 40_000, 'who is not kept is told');
  t.ok(kept <= 30_000);
  await siege.witness.sys('retained messages/count', (count) => count >= kept);
  siege.grewAtMost(brokerRetainedLevelsMax * levelBytes, 'deep retained messages');
  await siege.lift();
});

t.test(
  'retained messages stop at their bytes, those of one client at its share; one who takes all of them slowly costs nothing more',
  async (t) => {
    const siege = await Siege.lay(t);
    const payload = Buffer.alloc(messageBytesMax - 64, 'x');
    const hoard = async (name: string): Promise<number> => {
      const client = await siege.client();
      const codes = await publishAll(client, 80, (index) => ({
        topic: `hoard/${name}-${index}`,
        payload,
        retain: true,
      }));
      const kept = codes.get(noMatchingSubscribers) ?? 0;
      t.equal(codes.get(quotaExceeded), 80 - kept, 'the others are refused');
      return kept;
    };
    const greedy = await hoard('greedy');
    t.ok(greedy > 50 && greedy * messageBytesMax <= brokerRetainedBytesPerClientMax, `${greedy} of one were kept`);
    const kept = greedy + (await hoard('second')) + (await hoard('third'));
    t.ok(kept > 100 && kept * messageBytesMax <= brokerRetainedBytesMax, `${kept} were kept`);
    const deaf = await siege.many(20, async () => {
      const client = await siege.client();
      const granted = client.next('suback');
      client.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: 'hoard/#', qos: 1 }] });
      await granted;
      client.socket.pause();
      return client;
    });
    const reader = await siege.client();
    const all = new Promise<void>((resolve) => {
      let came = 0;
      reader.onPublish = ({ messageId }) => {
        reader.send({ cmd: 'puback', messageId: messageId ?? 0 });
        if (++came === kept) resolve();
      };
    });
    await reader.subscribe(['hoard/+'], 1);
    await all;
    await siege.witness.exchanged();
    siege.grewAtMost(
      brokerRetainedBytesMax + deaf.length * (brokerOutputBytesMax + packetBytesMax),
      'hoarded messages',
    );
    await siege.lift();
  },
);

t.test('a storm of wills is delivered', async (t) => {
  const siege = await Siege.lay(t);
  const count = 800;
  const payload = Buffer.alloc(16 * kibibyte, 'w');
  const heir = await siege.client();
  await heir.subscribe(['will/#'], 1);
  const seen = new Set<string>();
  const all = new Promise<void>((resolve) => {
    heir.onPublish = ({ topic, messageId }) => {
      heir.send({ cmd: 'puback', messageId: messageId ?? 0 });
      seen.add(topic);
      if (seen.size === count) resolve();
    };
  });
  const dying = await siege.many(count, (index) =>
    siege.client({ will: { topic: `will/${index}`, payload, qos: 1, retain: index % 2 === 0 } }),
  );
  for (const { socket } of dying) socket.destroy();
  await siege.witness.exchanged();
  await siege.witness.sys('clients/connected', (connected) => connected === 3);
  // All at once they are more than a queue holds: what does not fit is dropped and counted.
  const lost = (): number => siege.witness.last('publish/messages/dropped');
  await Promise.race([all, siege.witness.sys('publish/messages/dropped', (dropped) => dropped > 0)]);
  await siege.witness.exchanged();
  await heir.round();
  t.comment(`${seen.size} came, ${lost()} were dropped`);
  t.ok(seen.size + lost() >= count || seen.size * payload.length >= brokerQueueBytesMax);
  siege.grewAtMost(2 * count * payload.length + brokerQueueBytesMax, 'wills');
  await siege.lift();
});

t.test('hoarded wills stop at their bytes, whether their clients are there or gone', async (t) => {
  const siege = await Siege.lay(t);
  const payload = Buffer.alloc(60_000, 'w');
  const most = Math.floor(brokerWillBytesMax / payload.length);
  const count = most + 200;
  const properties = { willDelayInterval: 600 };
  const enter = async (index: number): Promise<RawClient | undefined> => {
    const client = await siege.stream();
    const will = { topic: `hoard/${index}`, payload, qos: 1, retain: false, properties } as const;
    const session = { clean: false, properties: { sessionExpiryInterval: 600 } };
    const { reasonCode } = await client.connect({ clientId: `will-${index}`, will, ...session });
    if (reasonCode === 0) return client;
    if (reasonCode !== quotaExceeded) t.fail(`refused with ${reasonCode}`);
    return undefined;
  };
  const entered = (await siege.many(count, enter)).filter((client) => client !== undefined);
  t.ok(entered.length <= most && entered.length > most - 50, `${entered.length} of ${count} entered`);
  await Promise.all(entered.map((client) => client.drop()));
  await siege.witness.sys('clients/disconnected', (away) => away === entered.length);
  t.equal(await enter(count), undefined, 'wills that wait for their delay count');
  // Who comes back without one, and without its session, makes room.
  for (let index = 0; index < 50; index++)
    await (await siege.client({ clientId: `will-${index}`, clean: true })).leave();
  t.ok(await enter(count + 1), 'there is room again');
  siege.grewAtMost(3 * brokerWillBytesMax, 'wills');
  await siege.lift();
});

t.test('packets that are too large end their connection, and are told why', async (t) => {
  const siege = await Siege.lay(t);
  const packetTooLarge = 0x95;
  const reader = await siege.client();
  await reader.subscribe(['size'], 0);
  const fits = reader.next('publish');
  await (await siege.client()).publish('size', Buffer.alloc(messageBytesMax));
  t.match(await fits, { topic: 'size' }, 'the largest passes');
  const large = await siege.client();
  large.send({ cmd: 'publish', topic: 'size', payload: Buffer.alloc(messageBytesMax + 1), qos: 0, ...flags });
  await large.closed;
  t.equal(large.disconnect?.reasonCode, packetTooLarge);
  const announcers = await siege.many(200, async () => {
    const client = await siege.client();
    await client.write(Buffer.from('30ffffff7f', 'hex')).catch(() => undefined);
    return client;
  });
  await Promise.all(announcers.map(({ closed }) => closed));
  t.ok(announcers.every(({ disconnect }) => disconnect?.reasonCode === packetTooLarge));
  const halves = await siege.many(60, async () => {
    const client = await siege.client();
    // The largest there is, but its last byte.
    const bytes = client.bytes({
      cmd: 'publish',
      topic: 'half',
      payload: Buffer.alloc(messageBytesMax),
      qos: 0,
      ...flags,
    });
    await client.write(bytes.subarray(0, bytes.length - 1));
    return client;
  });
  await siege.witness.exchanged();
  t.notOk(halves.some(({ isClosed }) => isClosed));
  siege.grewAtMost(halves.length * 2 * packetBytesMax, 'halves of packets');
  await siege.lift();
});

t.test('topic aliases are bounded by number and by bytes', async (t) => {
  const siege = await Siege.lay(t);
  const aliased = async (alias: number, topicBytes: number): Promise<RawClient> => {
    const client = await siege.client();
    for (let at = 1; at <= alias; at++) {
      const topic = `${at}`.padEnd(topicBytes, 'x');
      client.send({ cmd: 'publish', topic, payload: 'x', qos: 0, ...flags, properties: { topicAlias: at } });
    }
    return client;
  };
  const many = await aliased(65, 10);
  await many.closed;
  t.equal(many.disconnect?.reasonCode, 0x94);
  const long = await aliased(Math.ceil(brokerTopicAliasBytesMax / 60_000) + 1, 60_000);
  await long.closed;
  t.equal(long.disconnect?.reasonCode, quotaExceeded);
  await siege.lift();
});
