// Clients that are admitted and ask for too much: subscriptions, sessions, packet ids.

import t from 'tap';
import {
  brokerFilterCharactersPerSessionMax,
  brokerQueueBytesMax,
  brokerQueueBytesTotalMax,
  brokerSessionsAwayMax,
  brokerSubscriptionLevelsMax,
  brokerSubscriptionsPerSessionMax,
  packetIdMax,
  topicLevelsMax,
} from '../../src/limits.ts';
import type { RawClient } from './raw-client.ts';
import { kibibyte, mebibyte, Siege } from './siege.ts';

const quotaExceeded = 0x97;
const receiveMaximumExceeded = 0x93;
const topicFilterInvalid = 0x8f;
/** What a level of a tree, a subscription and a session may cost. */
const levelBytes = 256;
const subscriptionBytes = 2 * kibibyte;
const sessionBytes = 8 * kibibyte;
const lasting = { clean: false, properties: { sessionExpiryInterval: 600 } } as const;
const flags = { dup: false, retain: false } as const;

/** Subscribes to all of them, a thousand a packet; how often each code came. */
async function subscribeAll(client: RawClient, filters: readonly string[]): Promise<ReadonlyMap<number, number>> {
  const perPacket = 1000;
  const codes = new Map<number, number>();
  for (let from = 0; from < filters.length; from += perPacket)
    for (const code of await client.subscribe(filters.slice(from, from + perPacket)))
      codes.set(code, (codes.get(code) ?? 0) + 1);
  return codes;
}

t.test('a hundred thousand subscriptions of one client: the limit is granted, the others are refused', async (t) => {
  const siege = await Siege.lay(t, { logLevel: 'warn' });
  for (const version of [4, 5] as const) {
    const client = await siege.client({}, version);
    const filters = Array.from({ length: 100_000 }, (_, index) => `many/${index}/+`);
    const codes = await subscribeAll(client, filters);
    const refused = version === 5 ? quotaExceeded : 0x80;
    t.equal(codes.get(0), brokerSubscriptionsPerSessionMax, 'as many as a session may have');
    t.equal(codes.get(refused), filters.length - brokerSubscriptionsPerSessionMax, 'the rest is refused');
    const counted = await siege.witness.sys(
      'subscriptions/count',
      (count) => count >= brokerSubscriptionsPerSessionMax,
    );
    t.equal(counted, brokerSubscriptionsPerSessionMax + 2);
    await client.drop();
    await siege.witness.sys('subscriptions/count', (count) => count === 2);
  }
  t.ok(siege.broker.log.length < mebibyte, `the log did not grow with them: ${siege.broker.log.length} bytes`);
  siege.grewAtMost(brokerSubscriptionsPerSessionMax * subscriptionBytes, 'subscriptions');
  await siege.lift();
});

t.test('a thousand filters in one packet are granted one by one, and given up again', async (t) => {
  const siege = await Siege.lay(t);
  const client = await siege.client();
  const filters = Array.from({ length: 1000 }, (_, index) => `one/${index}`);
  t.same(new Set(await client.subscribe(filters, 1)), new Set([1]));
  const came = client.next('publish');
  await (await siege.client()).publish('one/999', 'hello');
  t.match(await came, { topic: 'one/999' });
  const unsuback = await client.ask({ cmd: 'unsubscribe', messageId: 2, unsubscriptions: filters }, 'unsuback');
  t.same(unsuback, { ...unsuback, cmd: 'unsuback', messageId: 2 });
  await siege.witness.sys('subscriptions/count', (count) => count === 2);
  await siege.lift();
});

t.test('subscriptions of all clients together stop at subscriptions_max', async (t) => {
  const siege = await Siege.lay(t, { limits: { subscriptions_max: 3000 } });
  const codes = await siege.many(6, async (index) => {
    const filters = Array.from({ length: 800 }, (_, at) => `${index}/${at}/#`);
    return subscribeAll(await siege.client(), filters);
  });
  const granted = codes.reduce((sum, each) => sum + (each.get(0) ?? 0), 0);
  t.equal(granted, 3000 - 2, 'the witness has two');
  await siege.lift();
});

t.test('wildcards on every level, in every combination, slow down nobody for long', async (t) => {
  const siege = await Siege.lay(t);
  const bomber = await siege.client();
  const deepest = Array.from({ length: topicLevelsMax }, () => '+').join('/');
  t.same(await bomber.subscribe([deepest, `${'+/'.repeat(topicLevelsMax - 1)}#`, '+/'.repeat(30)]), [0, 0, 0]);
  // a/a/a, a/a/+, a/+/a …: each level of such a topic leads two ways.
  const levels = 10;
  const combination = (bits: number, suffix: string): string =>
    [...Array.from({ length: levels }, (_, at) => ((bits >> at) & 1 ? '+' : 'a')), suffix].join('/');
  const bombers = await siege.many(16, async (index) => {
    const client = await siege.client();
    const filters = Array.from({ length: 2 ** levels }, (_, bits) => combination(bits, index % 2 ? '#' : '+'));
    t.equal((await subscribeAll(client, filters)).get(0), filters.length);
    return client;
  });
  const counts = bombers.map((client) => {
    const count = { came: 0 };
    client.onPublish = () => count.came++;
    return count;
  });
  const sender = await siege.client();
  const messages = 200;
  for (let index = 0; index < messages; index++) await sender.publish(combination(0, String(index)), 'x');
  await siege.witness.exchanged();
  await Promise.all(bombers.map((client) => client.round()));
  t.ok(
    counts.every(({ came }) => came === messages),
    'however many of its filters match, a client gets one copy',
  );
  const tooDeep = await siege.client();
  tooDeep.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic: `${deepest}/+`, qos: 0 }] });
  await tooDeep.closed;
  t.equal(tooDeep.disconnect?.reasonCode, topicFilterInvalid, 'one level too many');
  siege.grewAtMost(16 * 2 ** levels * subscriptionBytes, 'wildcards');
  await siege.lift();
});

t.test('deep filters and long ones stop before they fill the memory', async (t) => {
  const siege = await Siege.lay(t);
  const deep = '/b'.repeat(topicLevelsMax - 2);
  const diggers = await siege.many(40, async (index) => {
    const filters = Array.from({ length: brokerSubscriptionsPerSessionMax }, (_, at) => `${index}-${at}${deep}`);
    return subscribeAll(await siege.client(), filters);
  });
  const granted = diggers.reduce((sum, codes) => sum + (codes.get(0) ?? 0), 0);
  t.ok(granted * (topicLevelsMax - 1) <= brokerSubscriptionLevelsMax, `${granted} deep ones were granted`);
  t.ok(granted > 10_000);
  siege.grewAtMost(brokerSubscriptionLevelsMax * levelBytes, 'deep filters');
  await siege.lift();
});

t.test('long filters stop at their characters', async (t) => {
  const siege = await Siege.lay(t);
  const filterCharacters = 60_000;
  const most = Math.floor(brokerFilterCharactersPerSessionMax / filterCharacters);
  const writers = await siege.many(20, async (index) => {
    const client = await siege.client();
    const codes: number[] = [];
    for (let at = 0; at < 2 * most; at++)
      codes.push(...(await client.subscribe([`${index}/${at}/`.padEnd(filterCharacters, 'c')])));
    return codes;
  });
  for (const codes of writers)
    t.same(codes, [...Array<number>(most).fill(0), ...Array<number>(most).fill(quotaExceeded)]);
  siege.grewAtMost(20 * 2 * brokerFilterCharactersPerSessionMax, 'long filters');
  await siege.lift();
});

t.test('hoarded sessions end, the one away longest first; their messages are bounded', async (t) => {
  const siege = await Siege.lay(t);
  const surplus = 1000;
  const count = brokerSessionsAwayMax + surplus;
  await siege.many(count, async (index) => {
    const client = await siege.client({ clientId: `hoard-${index}`, ...lasting });
    await client.subscribe(['hoard'], 1);
    await client.drop();
  });
  await siege.witness.sys('clients/disconnected', (away) => away === brokerSessionsAwayMax);
  const sender = await siege.client();
  const payload = Buffer.alloc(100 * kibibyte, 'x');
  for (let index = 0; index < 30; index++) await sender.publish('hoard', payload);
  await siege.witness.sys('store/messages/bytes', (bytes) => bytes > brokerQueueBytesMax);
  t.ok(siege.witness.last('store/messages/bytes') <= brokerQueueBytesTotalMax);
  await siege.witness.sys('publish/messages/dropped', (dropped) => dropped > 0);
  const back = async (index: number): Promise<boolean> => {
    const client = await siege.stream();
    const { sessionPresent } = await client.connect({ clientId: `hoard-${index}`, ...lasting });
    return sessionPresent;
  };
  t.equal(await back(0), false, 'the oldest is gone');
  t.equal(await back(count - 1), true, 'the youngest is there');
  siege.grewAtMost(count * sessionBytes + brokerQueueBytesTotalMax, 'hoarded sessions');
  await siege.lift();
});

t.test('a packet id that is used again and again is answered each time; of QoS 2 it counts once', async (t) => {
  const siege = await Siege.lay(t);
  for (const version of [4, 5] as const) {
    const reader = await siege.client();
    const came: string[] = [];
    reader.onPublish = ({ payload }) => came.push(payload.toString());
    await reader.subscribe(['again'], 0);
    const client = await siege.client({}, version);
    const answers: string[] = [];
    client.onPacket = ({ cmd }) => answers.push(cmd);
    for (let index = 0; index < 100; index++)
      client.send({ cmd: 'publish', topic: 'again', payload: `one ${index}`, qos: 1, messageId: 1, ...flags });
    await client.round();
    t.equal(answers.filter((cmd) => cmd === 'puback').length, 100);
    for (let index = 0; index < 100; index++)
      client.send({ cmd: 'publish', topic: 'again', payload: `two ${index}`, qos: 2, messageId: 2, ...flags });
    await client.round();
    t.equal(answers.filter((cmd) => cmd === 'pubrec').length, 100);
    await reader.round();
    t.same(came, [...Array.from({ length: 100 }, (_, index) => `one ${index}`), 'two 0']);
    // Answers to what was never asked.
    for (const cmd of ['puback', 'pubrec', 'pubcomp', 'pubrel'] as const)
      for (let messageId = 1; messageId < 500; messageId++) client.send({ cmd, messageId });
    await client.round();
    t.notOk(client.isClosed);
  }
  await siege.lift();
});

t.test('messages of QoS 2 that are never released: 5.0 is told to stop, 3.1.1 keeps its own ids', async (t) => {
  const siege = await Siege.lay(t);
  const told = await siege.client();
  for (let messageId = 1; messageId <= 200; messageId++)
    told.send({ cmd: 'publish', topic: 'never', payload: 'x', qos: 2, messageId, ...flags });
  await told.closed;
  t.equal(told.disconnect?.reasonCode, receiveMaximumExceeded);
  const hoarders = await siege.many(4, async (index) => {
    const client = await siege.client({ clientId: `ids-${index}`, clean: false }, 4);
    const packets: Buffer[] = [];
    for (let messageId = 1; messageId <= packetIdMax; messageId++)
      packets.push(client.bytes({ cmd: 'publish', topic: 'never', payload: 'x', qos: 2, messageId, ...flags }));
    await client.write(Buffer.concat(packets));
    await client.round();
    return client;
  });
  t.notOk(hoarders.some(({ isClosed }) => isClosed));
  const bytesPerId = 64;
  siege.grewAtMost(hoarders.length * packetIdMax * bytesPerId, 'packet ids');
  await siege.lift();
});
