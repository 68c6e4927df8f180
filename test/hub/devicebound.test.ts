// Cloud-to-device messages at the hub: queue, sending, ends, feedback; over a real SQLite file.

import t from 'tap';
import type { CloudMessageRequest } from '../../src/hub/cloud-queue.ts';
import { Devicebound } from '../../src/hub/devicebound.ts';
import {
  hubCloudDeliveriesMax,
  hubCloudLifeMs,
  hubCloudLifeMsMax,
  hubCloudMessageBytesMax,
  hubCloudMessagesPerDeviceMax,
  hubCloudRetryMs,
  hubFeedbackRecordsMax,
} from '../../src/limits.ts';
import { WeirError } from '../../src/model/errors.ts';
import { hubState } from '../support/hub-state.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

const device = 'plc';

function setUp(directory: string) {
  const hub = hubState(directory);
  hub.registry.createDevice(device);
  const request = (text: string, more: Partial<CloudMessageRequest> = {}): CloudMessageRequest => ({
    body: Buffer.from(text),
    properties: {},
    ...more,
  });
  const given = (): readonly string[] => hub.post.given.map(({ message }) => Buffer.from(message.body).toString());
  const outcomes = (): readonly string[] =>
    hub.devicebound.feedback.read(0).map(({ messageId, outcome }) => `${messageId} ${outcome}`);
  return { ...hub, request, given, outcomes };
}

function rejection(code: string): () => Promise<never> {
  return () => Promise.reject(new WeirError({ code, message: 'as the test says' }));
}

t.test('a message waits for its device, and is gone when the device acknowledged it', async (t) => {
  const { devicebound, post, request, given, clock } = setUp(t.testdir());
  const { messageId, expiresMs } = devicebound.send(device, request('one', { properties: { k: 'v' }, ack: 'full' }));
  await clock.advance(0);
  t.strictSame([given(), devicebound.waiting(device)], [[], 1]);
  t.equal(expiresMs, clock.wallMs() + hubCloudLifeMs);
  post.listening.add(device);
  devicebound.look({ deviceId: device });
  await clock.advance(0);
  t.strictSame([given(), devicebound.waiting(device)], [['one'], 0]);
  t.match(post.given[0]?.message, {
    system: {
      messageId,
      to: '/devices/plc/messages/devicebound',
      absoluteExpiryTime: new Date(expiresMs).toISOString(),
    },
    properties: { k: 'v', 'iothub-ack': 'full' },
  });
  t.match(devicebound.feedback.read(0), [
    { offset: 1, deviceId: device, messageId, outcome: 'Success', generationId: /\d/ },
  ]);
});

t.test('messages leave one at a time, in their order, each when the one before is acknowledged', async (t) => {
  const { devicebound, post, request, given, clock } = setUp(t.testdir());
  post.listening.add(device);
  const acknowledged: (() => void)[] = [];
  post.acknowledge = () => new Promise((resolve) => void acknowledged.push(resolve));
  for (const text of ['1', '2', '3']) devicebound.send(device, request(text));
  for (const expected of [['1'], ['1', '2'], ['1', '2', '3']]) {
    await clock.advance(0);
    t.strictSame(given(), expected);
    acknowledged.shift()?.();
  }
  await clock.advance(0);
  t.equal(devicebound.waiting(device), 0);
});

t.test('what was not acknowledged is the first one again, and given up when it was sent ten times', async (t) => {
  const { devicebound, post, request, given, outcomes, clock } = setUp(t.testdir());
  post.listening.add(device);
  post.acknowledge = rejection('BROKER_CLIENT_GONE');
  devicebound.send(device, request('bad', { messageId: 'bad', ack: 'negative' }));
  devicebound.send(device, request('good', { messageId: 'good' }));
  for (let round = 1; round < hubCloudDeliveriesMax; round += 1) {
    await clock.advance(hubCloudRetryMs);
    t.ok(given().every((text) => text === 'bad'));
  }
  t.equal(given().length, hubCloudDeliveriesMax);
  t.strictSame(outcomes(), ['bad DeliveryCountExceeded']);
  post.acknowledge = () => Promise.resolve();
  await clock.advance(hubCloudRetryMs);
  t.equal(given().at(-1), 'good');
});

t.test('a message that its device never saw is not counted as sent', async (t) => {
  const { devicebound, post, request, given, outcomes, clock } = setUp(t.testdir());
  post.listening.add(device);
  post.acknowledge = rejection('IOTHUB_NOT_LISTENING');
  devicebound.send(device, request('x', { ack: 'full' }));
  await clock.advance(hubCloudRetryMs * 3 * hubCloudDeliveriesMax);
  t.ok(given().length > hubCloudDeliveriesMax);
  t.strictSame([outcomes(), devicebound.waiting(device)], [[], 1]);
});

t.test('a device that is away is not asked in a loop, and has its message at once when it is back', async (t) => {
  const { devicebound, post, request, given, clock } = setUp(t.testdir());
  post.listening.add(device);
  post.acknowledge = () => {
    post.listening.delete(device);
    return rejection('BROKER_CLIENT_GONE')();
  };
  devicebound.send(device, request('x'));
  await clock.advance(60_000);
  t.strictSame(given(), ['x']);
  post.listening.add(device);
  post.acknowledge = () => Promise.resolve();
  devicebound.look({ deviceId: device });
  await clock.advance(0);
  t.strictSame([given(), devicebound.waiting(device)], [['x', 'x'], 0]);
});

t.test('a message nobody took in time is gone, by the clock and without anybody asking', async (t) => {
  const { devicebound, request, outcomes, clock } = setUp(t.testdir());
  devicebound.send(device, request('short', { messageId: 's', expiresMs: clock.wallMs() + 5000, ack: 'negative' }));
  devicebound.send(device, request('long', { messageId: 'l', ack: 'full' }));
  await clock.advance(4999);
  t.strictSame(outcomes(), []);
  await clock.advance(1001);
  t.strictSame([outcomes(), devicebound.waiting(device)], [['s Expired'], 1]);
  await clock.advance(hubCloudLifeMs);
  t.strictSame(outcomes(), ['s Expired', 'l Expired']);
});

t.test(
  'by a clock that nobody vouches for a message is over when its life has passed, not when that clock says so',
  async (t) => {
    const directory = t.testdir();
    const first = setUp(directory);
    first.clock.trustWall(false);
    first.devicebound.send(device, first.request('x', { messageId: 'x', ack: 'full' }));
    first.clock.jumpWall(10 * hubCloudLifeMsMax);
    await first.clock.advance(hubCloudLifeMs - 60_000);
    first.devicebound.look({ deviceId: device });
    t.strictSame(first.outcomes(), []);
    first.devicebound.close();
    first.database.close();

    const second = hubState(directory);
    second.clock.trustWall(false);
    second.clock.jumpWall(10 * hubCloudLifeMsMax);
    second.devicebound.start();
    await second.clock.advance(hubCloudLifeMs - 1);
    t.equal(second.devicebound.waiting(device), 1, 'nobody knows how long the hub was away');
    await second.clock.advance(60_000);
    t.match(second.devicebound.feedback.read(0), [{ messageId: 'x', outcome: 'Expired' }]);
  },
);

t.test('what is under way does not expire', async (t) => {
  const { devicebound, post, request, outcomes, clock } = setUp(t.testdir());
  post.listening.add(device);
  let acknowledge = (): void => undefined;
  post.acknowledge = () =>
    new Promise((resolve) => {
      acknowledge = resolve;
    });
  devicebound.send(device, request('x', { messageId: 'x', expiresMs: clock.wallMs() + 5000, ack: 'full' }));
  await clock.advance(120_000);
  t.strictSame(outcomes(), []);
  acknowledge();
  await clock.advance(0);
  t.strictSame(outcomes(), ['x Success']);
});

t.test('feedback comes for what was asked', async (t) => {
  const { devicebound, post, request, outcomes, clock } = setUp(t.testdir());
  for (const ack of ['none', 'positive', 'negative', 'full'] as const)
    devicebound.send(device, request('x', { messageId: `gone-${ack}`, ack }));
  t.equal(devicebound.purge(device), 4);
  t.strictSame(outcomes(), ['gone-negative Purged', 'gone-full Purged']);
  post.listening.add(device);
  for (const ack of ['none', 'positive', 'negative', 'full'] as const)
    devicebound.send(device, request('x', { messageId: `had-${ack}`, ack }));
  await clock.advance(0);
  t.strictSame(outcomes().slice(2), ['had-positive Success', 'had-full Success']);
});

t.test('a message that was purged under way ends once', async (t) => {
  const { devicebound, post, request, outcomes, clock } = setUp(t.testdir());
  post.listening.add(device);
  let acknowledge = (): void => undefined;
  post.acknowledge = () =>
    new Promise((resolve) => {
      acknowledge = resolve;
    });
  devicebound.send(device, request('x', { messageId: 'x', ack: 'full' }));
  await clock.advance(0);
  devicebound.purge(device);
  acknowledge();
  await clock.advance(0);
  t.strictSame(outcomes(), ['x Purged']);
});

t.test('queue and message are bounded, and a bad message changes nothing', (t) => {
  const { devicebound, request, clock } = setUp(t.testdir());
  const nowMs = clock.wallMs();
  const bad: readonly (readonly [Partial<CloudMessageRequest>, number])[] = [
    [{ body: Buffer.alloc(hubCloudMessageBytesMax + 1) }, 413],
    [{ properties: { '$.mid': 'forged' } }, 400],
    [{ properties: { '': 'x' } }, 400],
    [{ properties: { 'iothub-ack': 'full' } }, 400],
    [{ messageId: 'a b' }, 400],
    [{ correlationId: 'x'.repeat(2000) }, 400],
    [{ expiresMs: nowMs }, 403],
    [{ expiresMs: nowMs + hubCloudLifeMsMax + 1 }, 403],
    [{ expiresMs: Number.NaN }, 403],
  ];
  for (const [more, status] of bad)
    t.throws(() => devicebound.send(device, request('x', more)), { code: 'HUB_MESSAGE_INVALID', status });
  t.throws(() => devicebound.send('nobody', request('x')), { code: 'HUB_DEVICE_NOT_FOUND' });
  t.throws(() => devicebound.purge('nobody'), { code: 'HUB_DEVICE_NOT_FOUND' });
  t.equal(devicebound.waiting(device), 0);
  for (let count = 0; count < hubCloudMessagesPerDeviceMax; count += 1) devicebound.send(device, request('x'));
  t.throws(() => devicebound.send(device, request('x')), {
    code: 'HUB_MESSAGE_QUEUE_FULL',
    status: 403,
    azureCode: 'DeviceMaximumQueueDepthExceeded',
  });
  t.end();
});

t.test('messages and the times they were sent survive the end of the hub; they go with their device', async (t) => {
  const directory = t.testdir();
  const first = setUp(directory);
  first.post.listening.add(device);
  first.post.acknowledge = rejection('BROKER_CLIENT_GONE');
  first.devicebound.send(device, first.request('kept', { messageId: 'kept', ack: 'full', contentType: 'text/plain' }));
  for (let round = 1; round < hubCloudDeliveriesMax - 1; round += 1) await first.clock.advance(hubCloudRetryMs);
  t.equal(first.given().length, hubCloudDeliveriesMax - 1);
  first.devicebound.close();
  await first.clock.advance(60_000);
  t.equal(first.given().length, hubCloudDeliveriesMax - 1, 'a closed hub sends nothing');
  first.database.close();

  const second = hubState(directory);
  const again = new Devicebound({ ...second, entropy: seededEntropy(1) });
  second.post.listening.add(device);
  second.post.acknowledge = rejection('IOTHUB_NOT_SETTLED');
  again.look({ deviceId: device });
  await second.clock.advance(0);
  t.match(second.post.given, [{ message: { system: { contentType: 'text/plain', messageId: 'kept' } } }]);
  t.match(again.feedback.read(0), [{ messageId: 'kept', outcome: 'DeliveryCountExceeded' }]);
  second.post.listening.delete(device);
  again.send(device, { body: Buffer.from('x'), properties: {} });
  second.registry.delete({ deviceId: device });
  second.registry.createDevice(device);
  t.equal(again.waiting(device), 0);
});

t.test('a disk that fails keeps the message, which comes again', async (t) => {
  const { devicebound, post, request, database, clock, lines } = setUp(t.testdir());
  post.listening.add(device);
  devicebound.send(device, request('x', { ack: 'full' }));
  database.run('ALTER TABLE feedback RENAME TO hidden');
  await clock.advance(0);
  t.equal(devicebound.waiting(device), 1);
  t.match(lines.join(''), /sent again/);
  database.run('ALTER TABLE hidden RENAME TO feedback');
  await clock.advance(hubCloudRetryMs);
  t.strictSame([post.given.length, devicebound.waiting(device)], [2, 0]);
});

t.test('feedback is read from any offset, and the oldest goes first', (t) => {
  const { devicebound, database } = setUp(t.testdir());
  const { feedback } = devicebound;
  database.transaction(() => {
    for (let number = 1; number <= hubFeedbackRecordsMax + 3; number += 1)
      feedback.add({ deviceId: device, generationId: '1', messageId: `m${number}`, outcome: 'Success', atMs: 0 });
  });
  t.equal(feedback.read(0)[0]?.offset, 4);
  t.equal(feedback.nextOffset(), hubFeedbackRecordsMax + 4);
  t.strictSame(
    [feedback.positionOf('earliest'), feedback.positionOf('latest'), feedback.positionOf('7')],
    [0, hubFeedbackRecordsMax + 3, 6],
  );
  t.throws(() => feedback.positionOf('yesterday'), { code: 'HUB_ARGUMENT_INVALID' });
  t.end();
});
