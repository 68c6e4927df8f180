import t from 'tap';
import { IotHubFront } from '../../../src/broker/iothub/front.ts';
import type { BrokerClient, InboundPublish } from '../../../src/broker/ports.ts';
import {
  messageBytesMax,
  methodCallsPerClientMax,
  methodPayloadBytesMax,
  twinPatchJsonBytesMax,
  twinRequestsPerClientMax,
} from '../../../src/limits.ts';
import { type Identity, identityKey } from '../../../src/model/address.ts';
import { WeirError } from '../../../src/model/errors.ts';
import type { Message } from '../../../src/model/message.ts';
import { createLog } from '../../../src/platform/log.ts';
import { createMetrics } from '../../../src/platform/metrics.ts';
import { FakeDeviceBackend } from '../../support/fake-device-backend.ts';
import { SimClock, settle } from '../../support/sim-clock.ts';

interface Delivered {
  readonly topic: string;
  readonly text: string;
  readonly qos: 0 | 1;
}

class FakeClient implements BrokerClient {
  readonly clientId: string;
  readonly principal: BrokerClient['principal'];
  readonly cleanSession = false;
  readonly delivered: Delivered[] = [];
  acknowledge: () => Promise<void> = () => Promise.resolve();

  constructor(identity: Identity | undefined) {
    this.clientId = identity === undefined ? 'generic' : identityKey(identity);
    this.principal = { name: this.clientId, identity };
  }

  deliver({ topic, payload, qos }: { topic: string; payload: Uint8Array; qos: 0 | 1 }): Promise<void> {
    this.delivered.push({ topic, text: Buffer.from(payload).toString('utf8'), qos });
    return this.acknowledge();
  }

  disconnect(): void {}
}

const module = { deviceId: 'd', moduleId: 'm' };
const edgeHub = { deviceId: 'd', moduleId: '$edgeHub' };

function setUp() {
  const clock = new SimClock();
  const backend = new FakeDeviceBackend();
  const metrics = createMetrics();
  const lines: string[] = [];
  const log = createLog({ clock, level: 'debug', write: (line) => lines.push(line) });
  const front = new IotHubFront({ backend, clock, log, metrics });
  const connect = (identity: Identity | undefined, filters: readonly string[] = []): FakeClient => {
    const client = new FakeClient(identity);
    front.connected(client, filters);
    return client;
  };
  const publish = (
    client: FakeClient,
    topic: string,
    payload: string | Buffer = '',
    more: Partial<InboundPublish> = {},
  ): Promise<void> =>
    front.publish(client, { topic, payload: Buffer.from(payload), qos: 1, retain: false, duplicate: false, ...more });
  const counted = (name: string, reason?: string): number =>
    metrics
      .snapshot()
      .filter((sample) => sample.name === name && (reason === undefined || sample.labels['reason'] === reason))
      .reduce((sum, { value }) => sum + value, 0);
  return { clock, backend, front, connect, publish, counted, lines };
}

t.test("the front owns IoT Hub's topics and no others", (t) => {
  const { front } = setUp();
  for (const topic of ['$iothub/twin/GET/?$rid=1', 'devices/d/messages/events', '$iothub/anything'])
    t.ok(front.ownsTopic(topic), topic);
  for (const topic of ['plant/1', '$SYS/x', 'device/x']) t.notOk(front.ownsTopic(topic), topic);
  t.ok(front.ownsFilter('devices/d/modules/m/inputs/#'));
  t.notOk(front.ownsFilter('#'));
  t.end();
});

t.test('telemetry becomes a message with its properties, output and hop, in all eight spellings', async (t) => {
  for (const sender of [{ deviceId: 'd' }, module]) {
    const { backend, connect, publish, counted, clock } = setUp();
    const client = connect(sender);
    const root = sender === module ? 'devices/d/modules/m/messages/events' : 'devices/d/messages/events';
    await publish(client, root, 'body');
    await publish(client, `${root}/`, 'body');
    await publish(client, `${root}/%24.on=out&$.mid=7&$.cdid=forged&$.cmid=forged&$.hop=s:9&k=v%20w`, 'body');
    await publish(client, `${root}/%24.on=out&$.mid=7&$.hop=s:9&k=v%20w/`, 'body');
    const plain = {
      sender,
      output: undefined,
      system: {},
      properties: {},
      body: Buffer.from('body'),
      enqueuedMs: clock.wallMs(),
      hop: undefined,
    };
    const full = {
      ...plain,
      output: 'out',
      system: { messageId: '7' },
      properties: { k: 'v w' },
      hop: { stream: 's', sequence: 9 },
    };
    t.strictSame(backend.messages, [plain, plain, full, full]);
    t.equal(counted('weir_iothub_telemetry_accepted'), 4);
  }
});

t.test('a telemetry publish is safe only when the backend says so', async (t) => {
  const { backend, connect, publish } = setUp();
  let committed: () => void = () => undefined;
  backend.commit = () =>
    new Promise((resolve) => {
      committed = resolve;
    });
  let acknowledged = false;
  const publishing = publish(connect(module), 'devices/d/modules/m/messages/events/').then(() => {
    acknowledged = true;
  });
  await settle();
  t.notOk(acknowledged);
  committed();
  await publishing;
  t.ok(acknowledged);
  backend.commit = () => Promise.reject(new WeirError({ code: 'STORE_FULL', message: 'full' }));
  await t.rejects(publish(connect(module), 'devices/d/modules/m/messages/events/'), { code: 'STORE_FULL' });
});

t.test('what cannot be accepted is refused with a code, counted and logged, never acknowledged', async (t) => {
  const { backend, connect, publish, counted, lines } = setUp();
  const own = 'devices/d/modules/m/messages/events/';
  const table: readonly [string, string, string | Buffer, Partial<InboundPublish>][] = [
    ['IOTHUB_TOPIC_UNKNOWN', 'devices/d/modules/m/messages/event/', '', {}],
    ['IOTHUB_TOPIC_UNKNOWN', '$iothub/twin/GET/?$rid=', '', {}],
    ['IOTHUB_TOPIC_UNKNOWN', '$iothub/twin/GET/?$rid=1&$identity=%2F', '', {}],
    ['IOTHUB_PROPERTIES_INVALID', `${own}a=%zz`, '', {}],
    ['IOTHUB_PROPERTIES_INVALID', `${own}$.hop=rubbish`, '', {}],
    ['IOTHUB_NOT_PERMITTED', 'devices/d/modules/other/messages/events/', '', {}],
    ['IOTHUB_NOT_PERMITTED', 'devices/d/messages/events/', '', {}],
    ['IOTHUB_NOT_PERMITTED', 'devices/e/modules/m/messages/events/', '', {}],
    ['IOTHUB_QOS_UNSUPPORTED', own, '', { qos: 2 }],
    ['IOTHUB_TOO_LARGE', own, Buffer.alloc(messageBytesMax + 1), {}],
    ['IOTHUB_TOO_LARGE', `${own}key=value`, Buffer.alloc(messageBytesMax - 7), {}],
    ['IOTHUB_TOO_LARGE', `${own}k=${'$'.repeat(30_000)}`, '', {}],
  ];
  for (const [code, topic, payload, more] of table)
    await t.rejects(publish(connect(module), topic, payload, more), { code }, topic.slice(0, 60));
  t.equal(backend.messages.length, 0);
  t.equal(counted('weir_iothub_refused'), table.length);
  t.equal(counted('weir_iothub_refused', 'IOTHUB_NOT_PERMITTED'), 3);
  t.equal(lines.filter((line) => line.includes('publish refused')).length, table.length);
  await publish(connect(module), `${own}key=value`, Buffer.alloc(messageBytesMax - 8));
  t.equal(backend.messages.length, 1, 'the largest message passes');
  await t.rejects(publish(connect(undefined), own), { code: 'IOTHUB_NOT_PERMITTED' }, 'a client without an identity');
});

t.test('after one refused telemetry nothing more is taken from that connection, only from its next', async (t) => {
  const { backend, connect, publish, counted } = setUp();
  const own = 'devices/d/modules/m/messages/events/';
  const client = connect(module);
  const before = publish(client, own, '1');
  await before;
  backend.commit = () => Promise.reject(new WeirError({ code: 'STORE_BUSY', message: 'full', retryable: true }));
  const refused = publish(client, own, '2');
  await t.rejects(refused, { code: 'STORE_BUSY' });
  backend.commit = () => Promise.resolve();
  await t.rejects(publish(client, own, '3'), { code: 'IOTHUB_OUT_OF_TURN', retryable: true });
  t.equal(counted('weir_iothub_refused', 'IOTHUB_OUT_OF_TURN'), 1);
  const next = connect(module);
  for (const text of ['2', '3']) await publish(next, own, text);
  t.same(
    backend.messages.map(({ body }) => body.toString()),
    ['1', '2', '3'],
    'the refused one at its second try, and before its successor',
  );
});

t.test('what a client leaves behind carries iothub-MessageType, as at IoT Hub', async (t) => {
  const { publish, connect, backend } = setUp();
  await publish(connect(module), 'devices/d/modules/m/messages/events/a=1', '', { will: true });
  t.strictSame(backend.messages[0]?.properties, { a: '1', 'iothub-MessageType': 'Will' });
});

t.test('a retained publish carries mqtt-retain, as at IoT Hub', async (t) => {
  const { backend, connect, publish } = setUp();
  await publish(connect(module), 'devices/d/modules/m/messages/events/a=1', '', { retain: true });
  t.strictSame(backend.messages[0]?.properties, { a: '1', 'mqtt-retain': 'true' });
});

t.test('$edgeHub sends telemetry for the modules of its device, where the backend lets it', async (t) => {
  const { backend, connect, publish } = setUp();
  const refused = publish(connect(edgeHub), 'devices/d/modules/m/messages/events/');
  await t.rejects(refused, { code: 'IOTHUB_NOT_PERMITTED' });
  backend.gatewaysSpeak = true;
  const gateway = connect(edgeHub);
  await publish(gateway, 'devices/d/modules/m/messages/events/');
  t.strictSame(backend.messages[0]?.sender, module);
  await t.rejects(publish(gateway, 'devices/e/modules/m/messages/events/'), { code: 'IOTHUB_NOT_PERMITTED' });
  await t.rejects(publish(connect(module), 'devices/d/modules/$edgeHub/messages/events/'), {
    code: 'IOTHUB_NOT_PERMITTED',
  });
});

t.test(
  "what is meant for a leaf device goes to its parent's $edgeHub while the device itself is not here",
  async (t) => {
    const { backend, connect, front, publish } = setUp();
    backend.gatewaysSpeak = true;
    backend.parents.set('leaf', 'd');
    const gateway = connect(edgeHub, ['$iothub/twin/PATCH/properties/desired/#']);
    await publish(gateway, 'devices/leaf/messages/events/');
    t.strictSame(backend.messages[0]?.sender, { deviceId: 'leaf' });
    front.notifyDesired({ deviceId: 'leaf' }, { a: 1 }, 2);
    t.match(gateway.delivered, [{ topic: '$iothub/twin/PATCH/properties/desired/?$version=2&$identity=leaf' }]);
    front.notifyDesired({ deviceId: 'stranger' }, { a: 1 }, 2);
    t.equal(gateway.delivered.length, 1);
    const leaf = connect({ deviceId: 'leaf' }, ['$iothub/twin/PATCH/properties/desired/#']);
    front.notifyDesired({ deviceId: 'leaf' }, { a: 2 }, 3);
    t.match(leaf.delivered, [{ topic: '$iothub/twin/PATCH/properties/desired/?$version=3' }]);
    t.equal(gateway.delivered.length, 1);
  },
);

t.test('a twin is read and patched', async (t) => {
  const { backend, connect, publish } = setUp();
  backend.twins.set('d/m', {
    desired: { properties: { period: 5 }, version: 3 },
    reported: { properties: {}, version: 1 },
  });
  const client = connect(module, ['$iothub/twin/res/#']);
  await publish(client, '$iothub/twin/GET/?$rid=0a-B', ' ', { qos: 0 });
  await publish(client, '$iothub/twin/PATCH/properties/reported/?$rid=p', '{"period":5,"gone":null}', { qos: 0 });
  await publish(client, '$iothub/twin/GET/?$rid=2', ' ', { qos: 0 });
  t.strictSame(client.delivered, [
    {
      topic: '$iothub/twin/res/200/?$rid=0a-B',
      text: '{"desired":{"period":5,"$version":3},"reported":{"$version":1}}',
      qos: 0,
    },
    { topic: '$iothub/twin/res/204/?$rid=p&$version=2', text: '', qos: 0 },
    {
      topic: '$iothub/twin/res/200/?$rid=2',
      text: '{"desired":{"period":5,"$version":3},"reported":{"period":5,"$version":2}}',
      qos: 0,
    },
  ]);
});

t.test(
  'a failing twin request is answered with a status and a JSON body that holds errorCode and message',
  async (t) => {
    const { backend, connect, publish, counted } = setUp();
    const client = connect(module, ['$iothub/twin/res/#']);
    const patch = '$iothub/twin/PATCH/properties/reported/?$rid=1';
    const fail = (error: unknown): void => {
      backend.lookup = () => Promise.reject(error);
    };
    const table: readonly [number, RegExp, string, string, unknown][] = [
      [400, /JSON object/, patch, 'rubbish', undefined],
      [400, /JSON object/, patch, '[1]', undefined],
      [400, /JSON object/, patch, '', undefined],
      [413, /131073 bytes/, patch, 'x'.repeat(twinPatchJsonBytesMax + 1), undefined],
      [403, /somebody else/, '$iothub/twin/GET/?$rid=1&$identity=d%2Fother', '', undefined],
      [
        404,
        /no such twin/,
        '$iothub/twin/GET/?$rid=1',
        '',
        new WeirError({ code: 'X_Y', message: 'no such twin', fields: { status: 404 } }),
      ],
      [503, /later/, '$iothub/twin/GET/?$rid=1', '', new WeirError({ code: 'X_Y', message: 'later', retryable: true })],
      [500, /broken/, '$iothub/twin/GET/?$rid=1', '', new WeirError({ code: 'X_Y', message: 'broken' })],
      [500, /^Internal error\.$/, '$iothub/twin/GET/?$rid=1', '', new TypeError('secret detail')],
    ];
    for (const [status, message, topic, payload, error] of table) {
      if (error !== undefined) fail(error);
      client.delivered.length = 0;
      await publish(client, topic, payload, { qos: 0 });
      const [answer] = client.delivered;
      t.equal(answer?.topic, `$iothub/twin/res/${status}/?$rid=1`, String(message));
      const body = JSON.parse(answer?.text ?? '') as Record<string, unknown>;
      t.equal(body['errorCode'], status * 1000);
      t.match(body['message'], message);
      t.match(body['timestampUtc'], /^2026-01-01T/);
    }
    t.equal(counted('weir_iothub_twin_errors'), table.length);
  },
);

t.test('$edgeHub reads and patches the twins of its modules, where the backend lets it', async (t) => {
  const { backend, connect, publish } = setUp();
  backend.gatewaysSpeak = true;
  const gateway = connect(edgeHub, ['$iothub/twin/res/#']);
  await publish(gateway, '$iothub/twin/PATCH/properties/reported/?$rid=1&$identity=d%2Fm', '{"a":1}');
  await publish(gateway, '$iothub/twin/GET/?$rid=2&$identity=d%2Fm');
  await publish(gateway, '$iothub/twin/GET/?$rid=3&$identity=d%2F%24edgeHub');
  await publish(gateway, '$iothub/twin/GET/?$rid=4&$identity=e%2Fm');
  t.strictSame(
    gateway.delivered.map(({ topic }) => topic),
    [
      '$iothub/twin/res/204/?$rid=1&$version=1',
      '$iothub/twin/res/200/?$rid=2',
      '$iothub/twin/res/200/?$rid=3',
      '$iothub/twin/res/403/?$rid=4',
    ],
  );
  t.match(gateway.delivered[1]?.text, /"reported":\{"a":1/);
});

t.test('nothing is sent to a client that has not subscribed to it', async (t) => {
  const { connect, publish, counted, front, clock } = setUp();
  const client = connect(module);
  await publish(client, '$iothub/twin/GET/?$rid=1');
  front.notifyDesired(module, { a: 1 }, 2);
  await t.rejects(front.deliverInput(module, 'in', message()), { code: 'IOTHUB_NOT_LISTENING' });
  await t.rejects(front.invokeMethod(module, { name: 'x', payload: null, timeoutMs: 1000 }), {
    code: 'IOTHUB_NOT_LISTENING',
    retryable: true,
  });
  t.strictSame(client.delivered, []);
  t.equal(counted('weir_iothub_twin_answers_unsubscribed'), 1);
  t.equal(clock.timerCount, 0);
});

t.test('twin requests beyond the limit of one client are answered 429', async (t) => {
  const { backend, connect, publish } = setUp();
  let release: () => void = () => undefined;
  const released = new Promise<void>((resolve) => {
    release = resolve;
  });
  backend.lookup = () => released;
  const client = connect(module, ['$iothub/twin/res/#']);
  const requests = Array.from({ length: twinRequestsPerClientMax + 1 }, (_, index) =>
    publish(client, `$iothub/twin/GET/?$rid=${index}`),
  );
  await settle();
  t.strictSame(
    client.delivered.map(({ topic }) => topic),
    [`$iothub/twin/res/429/?$rid=${twinRequestsPerClientMax}`],
  );
  release();
  await Promise.all(requests);
  t.equal(client.delivered.length, twinRequestsPerClientMax + 1);
  await publish(client, '$iothub/twin/GET/?$rid=again');
  t.equal(client.delivered.at(-1)?.topic, '$iothub/twin/res/200/?$rid=again');
});

t.test('a client that goes away before its twin answer is no error', async (t) => {
  const { connect, publish } = setUp();
  const client = connect(module, ['$iothub/twin/res/#']);
  client.acknowledge = () => Promise.reject(new WeirError({ code: 'BROKER_CLIENT_GONE', message: 'gone' }));
  await publish(client, '$iothub/twin/GET/?$rid=1');
  t.equal(client.delivered.length, 1);
});

t.test('changed desired properties go to the identity, else to its $edgeHub with $identity', async (t) => {
  const { backend, connect, front } = setUp();
  const filter = '$iothub/twin/PATCH/properties/desired/#';
  backend.gatewaysSpeak = true;
  const gateway = connect(edgeHub, [filter]);
  front.notifyDesired(module, { a: null }, 4);
  t.strictSame(gateway.delivered, [
    {
      topic: '$iothub/twin/PATCH/properties/desired/?$version=4&$identity=d%2Fm',
      text: '{"a":null,"$version":4}',
      qos: 0,
    },
  ]);
  front.notifyDesired(edgeHub, {}, 5);
  t.equal(gateway.delivered[1]?.topic, '$iothub/twin/PATCH/properties/desired/?$version=5');
  const own = connect(module, [filter]);
  front.notifyDesired(module, { a: 1 }, 6);
  t.equal(own.delivered[0]?.topic, '$iothub/twin/PATCH/properties/desired/?$version=6');
  front.notifyDesired({ deviceId: 'e', moduleId: 'm' }, {}, 1);
  front.notifyDesired({ deviceId: 'd' }, {}, 1);
  t.equal(gateway.delivered.length, 2, 'not those of another device or of the device itself');
  backend.gatewaysSpeak = false;
  front.disconnected(own);
  front.notifyDesired(module, {}, 7);
  t.equal(gateway.delivered.length, 2, 'not where the backend forbids it');
  own.acknowledge = () => Promise.reject(new Error('gone'));
  connect(edgeHub, [filter]).acknowledge = () => Promise.reject(new Error('gone'));
  front.notifyDesired(edgeHub, {}, 8);
  await settle();
});

t.test("subscriptions are granted at QoS 1 at most, and only to one's own topics", (t) => {
  const { connect, front, counted } = setUp();
  const client = connect(module);
  const device = connect({ deviceId: 'd' });
  const table: readonly [FakeClient, string, 0 | 1 | 2, 0 | 1 | undefined][] = [
    [client, '$iothub/methods/POST/#', 0, 0],
    [client, '$iothub/twin/res/#', 2, 1],
    [client, 'devices/d/modules/m/inputs/#', 1, 1],
    [client, 'devices/d/modules/m/#', 1, 1],
    [device, 'devices/d/messages/devicebound/#', 1, 1],
    [client, 'devices/d/messages/devicebound/#', 1, undefined],
    [client, 'devices/d/modules/other/inputs/#', 1, undefined],
    [client, 'devices/+/modules/+/inputs/#', 1, undefined],
    [client, 'devices/#', 1, undefined],
    [device, 'devices/d/modules/m/inputs/#', 1, undefined],
    [device, 'devices/d/#', 1, undefined],
    [connect(undefined), '$iothub/twin/res/#', 0, undefined],
  ];
  for (const [who, filter, qos, granted] of table)
    t.equal(front.subscribe(who, filter, qos), granted, `${who.clientId} ${filter}`);
  t.equal(counted('weir_iothub_refused', 'SUBSCRIBE'), 7);
  t.end();
});

function message(more: Partial<Message> = {}): Message {
  return {
    sender: { deviceId: 'd', moduleId: 'sensor' },
    output: 'out',
    system: { contentType: 'application/json' },
    properties: { k: 'a/b' },
    body: Buffer.from('{}'),
    enqueuedMs: 0,
    hop: { stream: 's', sequence: 1 },
    ...more,
  };
}

t.test('an input is delivered with its sender and resolves at the PUBACK', async (t) => {
  const { connect, front } = setUp();
  const client = connect(module, ['devices/d/modules/m/inputs/#']);
  let acknowledged: () => void = () => undefined;
  client.acknowledge = () =>
    new Promise((resolve) => {
      acknowledged = resolve;
    });
  let done = false;
  const delivering = front.deliverInput(module, 'in', message()).then(() => {
    done = true;
  });
  await settle();
  t.strictSame(client.delivered, [
    {
      topic: 'devices/d/modules/m/inputs/in/$.ct=application%2Fjson&$.cdid=d&$.cmid=sensor&k=a%2Fb',
      text: '{}',
      qos: 1,
    },
  ]);
  t.notOk(done);
  acknowledged();
  await delivering;
  client.acknowledge = () => Promise.reject(new WeirError({ code: 'BROKER_CLIENT_GONE', message: 'gone' }));
  await t.rejects(front.deliverInput(module, 'in', message({ sender: { deviceId: 'leaf' } })), {
    code: 'BROKER_CLIENT_GONE',
  });
  t.match(client.delivered[1]?.topic, /\$\.cdid=leaf&k=/);
});

t.test('an input subscribed with QoS 0, or alone, is delivered as subscribed', async (t) => {
  const { connect, front } = setUp();
  const client = connect(module);
  front.subscribe(client, 'devices/d/modules/m/inputs/a/#', 0);
  await front.deliverInput(module, 'a', message());
  t.equal(client.delivered[0]?.qos, 0);
  await t.rejects(front.deliverInput(module, 'b', message()), { code: 'IOTHUB_NOT_LISTENING' });
  t.ok(front.isListening(module, 'a'));
  t.notOk(front.isListening(module, 'b'));
  front.subscribe(client, 'devices/d/modules/m/#', 1);
  await front.deliverInput(module, 'b', message());
  await front.deliverInput(module, 'a', message());
  t.strictSame(
    client.delivered.map(({ qos }) => qos),
    [0, 1, 1],
  );
  front.unsubscribe(client, 'devices/d/modules/m/#');
  t.ok(front.isListening(module));
  front.unsubscribe(client, 'devices/d/modules/m/inputs/a/#');
  t.notOk(front.isListening(module));
});

t.test('listening is announced after the subscription, and after a session resumed with one', async (t) => {
  const { connect, front, clock } = setUp();
  const heard: string[] = [];
  front.onListening((identity) => heard.push(identityKey(identity)));
  const client = connect(module);
  front.subscribe(client, '$iothub/methods/POST/#', 0);
  await clock.advance(0);
  t.strictSame(heard, []);
  front.subscribe(client, 'devices/d/modules/m/inputs/#', 1);
  t.strictSame(heard, [], 'not before the SUBACK');
  await clock.advance(0);
  t.strictSame(heard, ['d/m']);
  front.disconnected(client);
  t.notOk(front.isListening(module));
  connect(module, ['devices/d/modules/m/inputs/#', 'devices/x/modules/y/inputs/#']);
  t.ok(front.isListening(module));
  await clock.advance(0);
  t.strictSame(heard, ['d/m', 'd/m']);
  const brief = connect({ deviceId: 'd', moduleId: 'n' });
  front.subscribe(brief, 'devices/d/modules/n/inputs/#', 1);
  front.disconnected(brief);
  await clock.advance(0);
  t.strictSame(heard, ['d/m', 'd/m'], 'who is gone is not announced');
});

t.test('a method is asked and answered', async (t) => {
  const { connect, publish, front, clock } = setUp();
  const client = connect(module, ['$iothub/methods/POST/#']);
  const calling = front.invokeMethod(module, { name: 'reset', payload: { hard: true }, timeoutMs: 5000 });
  await settle();
  t.strictSame(client.delivered, [{ topic: '$iothub/methods/POST/reset/?$rid=1', text: '{"hard":true}', qos: 0 }]);
  await publish(client, '$iothub/methods/res/200/?$rid=1', '{"done":1}', { qos: 0 });
  t.strictSame(await calling, { status: 200, payload: { done: 1 } });
  t.equal(clock.timerCount, 0);
});

t.test('request ids compare without case and an empty answer is null', async (t) => {
  const { connect, publish, front } = setUp();
  const client = connect(module, ['$iothub/methods/POST/#']);
  for (let number = 1; number <= 10; number += 1) {
    const calling = front.invokeMethod(module, { name: 'x', payload: null, timeoutMs: 5000 });
    await settle();
    await publish(
      client,
      `$iothub/methods/res/404/?$rid=${number.toString(16).toUpperCase()}`,
      number % 2 === 0 ? '' : 'null',
    );
    t.strictSame(await calling, { status: 404, payload: null });
  }
});

t.test('a method is asked through $edgeHub where the module itself is not there', async (t) => {
  const { backend, connect, publish, front } = setUp();
  backend.gatewaysSpeak = true;
  const gateway = connect(edgeHub, ['$iothub/methods/POST/#']);
  const calling = front.invokeMethod(module, { name: 'reset', payload: null, timeoutMs: 5000 });
  await settle();
  t.equal(gateway.delivered[0]?.topic, '$iothub/methods/POST/reset/?$rid=1&$identity=d%2Fm&$connect=0&$timeout=5000');
  await publish(gateway, '$iothub/methods/res/200/?$rid=1', '1');
  t.strictSame(await calling, { status: 200, payload: 1 });
});

t.test('a method call ends with a typed error when no answer can be had', async (t) => {
  const { connect, publish, front, clock, counted } = setUp();
  const client = connect(module, ['$iothub/methods/POST/#']);
  const call = { name: 'x', payload: null, timeoutMs: 5000 };
  const late = t.rejects(front.invokeMethod(module, call), { code: 'IOTHUB_METHOD_TIMEOUT', fields: { status: 504 } });
  await clock.advance(5000);
  await late;
  await publish(client, '$iothub/methods/res/200/?$rid=1', '1');
  t.equal(counted('weir_iothub_method_answers_late'), 1);

  const rubbish = t.rejects(front.invokeMethod(module, call), { code: 'IOTHUB_METHOD_ANSWER_INVALID' });
  await settle();
  await publish(client, '$iothub/methods/res/200/?$rid=2', 'rubbish');
  await rubbish;
  const large = t.rejects(front.invokeMethod(module, call), {
    code: 'IOTHUB_METHOD_ANSWER_INVALID',
    message: /131074 bytes/,
  });
  await settle();
  await publish(client, '$iothub/methods/res/200/?$rid=3', `"${'x'.repeat(methodPayloadBytesMax)}"`);
  await large;

  await t.rejects(front.invokeMethod(module, { ...call, name: '' }), { code: 'IOTHUB_METHOD_INVALID' });
  await t.rejects(front.invokeMethod(module, { ...call, payload: 'x'.repeat(methodPayloadBytesMax) }), {
    code: 'IOTHUB_TOO_LARGE',
  });

  const calls = Array.from({ length: methodCallsPerClientMax }, () => front.invokeMethod(module, call));
  await t.rejects(front.invokeMethod(module, call), { code: 'IOTHUB_BUSY', retryable: true });
  front.disconnected(client);
  for (const settled of await Promise.allSettled(calls))
    t.match(settled, { status: 'rejected', reason: { code: 'IOTHUB_CLIENT_GONE' } });
  t.equal(clock.timerCount, 0);

  const gone = connect(module, ['$iothub/methods/POST/#']);
  gone.acknowledge = () => Promise.reject(new Error('gone'));
  await t.rejects(front.invokeMethod(module, call), { code: 'IOTHUB_CLIENT_GONE' });
});

t.test('nobody answers a method call of somebody else', async (t) => {
  const { connect, publish, front } = setUp();
  const client = connect(module, ['$iothub/methods/POST/#']);
  const other = connect({ deviceId: 'd', moduleId: 'other' }, ['$iothub/methods/POST/#']);
  const calling = front.invokeMethod(module, { name: 'x', payload: null, timeoutMs: 5000 });
  await settle();
  await publish(other, '$iothub/methods/res/200/?$rid=1', '"forged"');
  await publish(client, '$iothub/methods/res/200/?$rid=1', '"true"');
  t.strictSame(await calling, { status: 200, payload: 'true' });
});

t.test('a second connection of an identity replaces the first, in whichever order the broker tells', (t) => {
  const { backend, connect, front } = setUp();
  const first = connect(module);
  const second = connect(module, ['devices/d/modules/m/inputs/#']);
  front.disconnected(first);
  front.disconnected(first);
  t.ok(front.isConnected(module));
  t.ok(front.isListening(module));
  t.strictSame(backend.presence, ['+d/m', '+d/m']);
  front.disconnected(second);
  t.notOk(front.isConnected(module));
  t.strictSame(backend.presence, ['+d/m', '+d/m', '-d/m']);
  front.disconnected(connect(undefined));
  t.end();
});
