// Messages from the cloud and calls of methods on the device protocol: waiting for a callee, the way through a gateway.

import t from 'tap';
import { IotHubFront } from '../../../src/broker/iothub/front.ts';
import type { BrokerClient } from '../../../src/broker/ports.ts';
import { handedMessagesMax, methodRelayMs, methodWaitsMax } from '../../../src/limits.ts';
import { edgeHubId, type Identity, identityKey } from '../../../src/model/address.ts';
import { WeirError } from '../../../src/model/errors.ts';
import { createMetrics } from '../../../src/platform/metrics.ts';
import { FakeDeviceBackend } from '../../support/fake-device-backend.ts';
import { keptLog } from '../../support/quiet-log.ts';
import { SimClock, settle } from '../../support/sim-clock.ts';

class FakeClient implements BrokerClient {
  readonly clientId: string;
  readonly principal: BrokerClient['principal'];
  readonly cleanSession = false;
  readonly delivered: { readonly topic: string; readonly text: string; readonly qos: 0 | 1 }[] = [];
  acknowledge: () => Promise<void> = () => Promise.resolve();

  constructor(identity: Identity) {
    this.clientId = identityKey(identity);
    this.principal = { name: this.clientId, identity };
  }

  deliver({ topic, payload, qos }: { topic: string; payload: Uint8Array; qos: 0 | 1 }): Promise<void> {
    this.delivered.push({ topic, text: Buffer.from(payload).toString('utf8'), qos });
    return this.acknowledge();
  }

  disconnect(): void {}
}

const leaf = { deviceId: 'leaf' };
const edgeHub = { deviceId: 'gw', moduleId: edgeHubId };
const methods = '$iothub/methods/POST/#';
const devicebound = 'devices/leaf/messages/devicebound/#';
const call = { name: 'x', payload: null, timeoutMs: 5000 };
const message = { system: { messageId: '7' }, properties: { k: 'v' }, body: Buffer.from('text') };

/** `leaf` stands behind gateway `gw`. */
class LeafBackend extends FakeDeviceBackend {
  override mayActFor(speaker: Identity, owner: Identity): boolean {
    return identityKey(speaker) === identityKey(edgeHub) && owner.deviceId === leaf.deviceId;
  }

  override gatewayOf(owner: Identity): Identity | undefined {
    return owner.deviceId === leaf.deviceId ? edgeHub : undefined;
  }
}

function setUp() {
  const clock = new SimClock();
  const front = new IotHubFront({
    backend: new LeafBackend(),
    clock,
    log: keptLog(clock).log,
    metrics: createMetrics(),
  });
  const heard: string[] = [];
  front.onDevicebound((device) => void heard.push(`${device.deviceId} ${front.isListeningToCloud(device)}`));
  const connect = (identity: Identity, filters: readonly string[] = []): FakeClient => {
    const client = new FakeClient(identity);
    front.connected(client, filters);
    return client;
  };
  const publish = (client: FakeClient, topic: string, text = ''): Promise<void> =>
    front.publish(client, { topic, payload: Buffer.from(text), qos: 0, retain: false, duplicate: false });
  return { clock, front, connect, publish, heard };
}

t.test('a call waits for its callee to connect and subscribe, and no longer than it says', async (t) => {
  const { front, connect, publish, clock } = setUp();
  const waiting = front.invokeMethod(leaf, { ...call, connectTimeoutMs: 10_000 });
  await clock.advance(4000);
  const client = connect(leaf);
  await clock.advance(0);
  t.strictSame(client.delivered, [], 'connected is not enough');
  front.subscribe(client, methods, 0);
  t.strictSame(client.delivered, [], 'nothing before the SUBACK');
  await clock.advance(0);
  t.match(client.delivered, [{ topic: '$iothub/methods/POST/x/?$rid=1' }]);
  await publish(client, '$iothub/methods/res/200/?$rid=1', '1');
  t.strictSame(await waiting, { status: 200, payload: 1 });
  front.disconnected(client);
  const late = t.rejects(front.invokeMethod(leaf, { ...call, connectTimeoutMs: 10_000 }), {
    code: 'IOTHUB_NOT_LISTENING',
  });
  await clock.advance(10_000);
  await late;
  t.equal(clock.timerCount, 0);
});

t.test('a callee whose session still holds the subscription is there as soon as it is connected', async (t) => {
  const { front, connect, clock } = setUp();
  const waiting = front.invokeMethod(leaf, { ...call, connectTimeoutMs: 10_000 });
  const client = connect(leaf, [methods]);
  await clock.advance(0);
  t.equal(client.delivered.length, 1);
  front.disconnected(client);
  await t.rejects(waiting, { code: 'IOTHUB_CLIENT_GONE' });
});

t.test('the number of waiting calls is bounded', async (t) => {
  const { front, clock } = setUp();
  const waiting = Array.from({ length: methodWaitsMax }, () =>
    front.invokeMethod(leaf, { ...call, connectTimeoutMs: 1000 }).catch((error: WeirError) => error.code),
  );
  await t.rejects(front.invokeMethod(leaf, { ...call, connectTimeoutMs: 1000 }), { code: 'IOTHUB_BUSY' });
  await clock.advance(1000);
  t.strictSame([...new Set(await Promise.all(waiting))], ['IOTHUB_NOT_LISTENING']);
});

t.test('a gateway is told how long to wait, and has that time and its way', async (t) => {
  const { front, connect, clock } = setUp();
  const gateway = connect(edgeHub, [methods]);
  const calling = front.invokeMethod(leaf, { ...call, connectTimeoutMs: 10_000 });
  await settle();
  t.equal(gateway.delivered[0]?.topic, '$iothub/methods/POST/x/?$rid=1&$identity=leaf&$connect=10000&$timeout=5000');
  let over = false;
  const late = calling.catch((error: WeirError) => {
    over = true;
    return error.code;
  });
  await clock.advance(15_000 + methodRelayMs - 1);
  t.notOk(over);
  await clock.advance(1);
  t.equal(await late, 'IOTHUB_METHOD_TIMEOUT');
});

t.test("what a gateway says of its own is told from its callee's answer", async (t) => {
  const { front, connect, publish } = setUp();
  const gateway = connect(edgeHub, [methods]);
  const said = async (topic: string, text: string): Promise<unknown> => {
    const calling = front
      .invokeMethod(leaf, call)
      .catch((error: WeirError) => [error.code, error.message, error.fields['status']]);
    await settle();
    const rid = /\$rid=(\w+)/.exec(gateway.delivered.at(-1)?.topic ?? '')?.[1] ?? '';
    await publish(gateway, topic.replace('RID', rid), text);
    return calling;
  };
  t.strictSame(await said('$iothub/methods/res/404/?$rid=RID', '{"message":"mine"}'), {
    status: 404,
    payload: { message: 'mine' },
  });
  t.strictSame(
    await said('$iothub/methods/res/404/?$rid=RID&$problem=IOTHUB_NOT_LISTENING', '{"message":"not here"}'),
    ['IOTHUB_NOT_LISTENING', 'not here', 404],
  );
  t.match(await said('$iothub/methods/res/500/?$rid=RID&$problem=ENOENT', ''), [
    'IOTHUB_METHOD_ANSWER_INVALID',
    /could not pass on/,
  ]);
});

t.test('a callee cannot pass for a gateway', async (t) => {
  const { front, connect, publish } = setUp();
  const client = connect(leaf, [methods]);
  const calling = front.invokeMethod(leaf, call);
  await settle();
  await publish(client, '$iothub/methods/res/200/?$rid=1&$problem=IOTHUB_BUSY', '1');
  t.strictSame(await calling, { status: 200, payload: 1 });
});

t.test('a message goes to its device, and is done when the device acknowledged', async (t) => {
  const { front, connect } = setUp();
  await t.rejects(front.deliverToDevice(leaf, message), { code: 'IOTHUB_NOT_LISTENING' });
  const client = connect(leaf);
  front.subscribe(client, devicebound, 1);
  await front.deliverToDevice(leaf, message);
  t.strictSame(client.delivered, [{ topic: 'devices/leaf/messages/devicebound/$.mid=7&k=v', text: 'text', qos: 1 }]);
  client.acknowledge = () => Promise.reject(new WeirError({ code: 'BROKER_CLIENT_GONE', message: '' }));
  await t.rejects(front.deliverToDevice(leaf, message), { code: 'BROKER_CLIENT_GONE' });
});

t.test('a message through a gateway is done when the gateway says so', async (t) => {
  const { front, connect, publish } = setUp();
  const gateway = connect(edgeHub);
  t.equal(front.subscribe(gateway, 'devices/other/messages/devicebound/#', 1), undefined, 'not of foreign devices');
  t.equal(front.subscribe(gateway, devicebound, 1), 1);
  const outcomes: string[] = [];
  const hand = (): Promise<void> =>
    front.deliverToDevice(leaf, message).then(
      () => void outcomes.push('had'),
      (error: WeirError) => void outcomes.push(error.code),
    );
  const handing = [hand(), hand(), hand(), hand()];
  await settle();
  t.equal(gateway.delivered[0]?.topic, 'devices/leaf/messages/devicebound/$.mid=7&k=v&%24.lock=1');
  await publish(gateway, '$iothub/messages/res/200/?$rid=1');
  await publish(gateway, '$iothub/messages/res/404/?$rid=2');
  await publish(gateway, '$iothub/messages/res/410/?$rid=3');
  await publish(gateway, '$iothub/messages/res/200/?$rid=99');
  front.disconnected(gateway);
  await Promise.all(handing);
  t.strictSame(outcomes, ['had', 'IOTHUB_NOT_LISTENING', 'IOTHUB_NOT_SETTLED', 'IOTHUB_NOT_LISTENING']);
});

t.test('what a gateway has not settled is bounded', async (t) => {
  const { front, connect } = setUp();
  const gateway = connect(edgeHub);
  front.subscribe(gateway, devicebound, 1);
  const handing = Array.from({ length: handedMessagesMax }, () =>
    front.deliverToDevice(leaf, message).catch(() => undefined),
  );
  await t.rejects(front.deliverToDevice(leaf, message), { code: 'IOTHUB_BUSY' });
  front.disconnected(gateway);
  await Promise.all(handing);
});

t.test('each beginning and end of listening to the cloud is told', async (t) => {
  const { front, connect, clock, heard } = setUp();
  const told = async (...expected: string[]): Promise<void> => {
    await clock.advance(0);
    t.strictSame(heard.splice(0), expected);
  };
  const first = connect(leaf);
  await told();
  front.subscribe(first, devicebound, 1);
  t.strictSame(heard, [], 'not before the SUBACK');
  await told('leaf true');
  const second = connect(leaf, [devicebound]);
  front.disconnected(first);
  await told('leaf true', 'leaf true');
  front.unsubscribe(second, devicebound);
  await told('leaf false');
  const gateway = connect(edgeHub, [devicebound]);
  await told('leaf true');
  front.disconnected(gateway);
  await told('leaf false');
  front.disconnected(second);
  await told();
});
