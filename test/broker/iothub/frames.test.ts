// Frames at the hub's front: told to who asks, taken wholly or not at all, each message by the rules of a single one.

import t from 'tap';
import { IotHubFront } from '../../../src/broker/iothub/front.ts';
import type { BrokerClient } from '../../../src/broker/ports.ts';
import { telemetryFrameBytesMax } from '../../../src/limits.ts';
import { type Identity, identityKey } from '../../../src/model/address.ts';
import { createLog } from '../../../src/platform/log.ts';
import { createMetrics } from '../../../src/platform/metrics.ts';
import {
  frameFilter,
  framesTakenTopic,
  frameTopic,
  TelemetryFrameWriter,
} from '../../../src/protocol/iothub/telemetry-frame.ts';
import { FakeDeviceBackend } from '../../support/fake-device-backend.ts';
import { SimClock } from '../../support/sim-clock.ts';

const edgeHub = { deviceId: 'gw', moduleId: '$edgeHub' };
const plant = { deviceId: 'gw', moduleId: 'plant' };
const meter = { deviceId: 'meter' };
const stranger = { deviceId: 'stranger' };

class Client implements BrokerClient {
  readonly clientId: string;
  readonly principal: BrokerClient['principal'];
  readonly cleanSession = true;
  readonly delivered: string[] = [];

  constructor(identity: Identity) {
    this.clientId = identityKey(identity);
    this.principal = { name: this.clientId, identity };
  }

  deliver({ topic }: { readonly topic: string }): Promise<void> {
    this.delivered.push(topic);
    return Promise.resolve();
  }

  disconnect(): void {}
}

function setUp() {
  const clock = new SimClock();
  const backend = new FakeDeviceBackend();
  backend.gatewaysSpeak = true;
  backend.parents.set('meter', 'gw');
  const metrics = createMetrics();
  const log = createLog({ clock, level: 'error', write: () => undefined });
  const front = new IotHubFront({ backend, clock, log, metrics });
  const connect = (identity: Identity): Client => {
    const client = new Client(identity);
    front.connected(client, []);
    return client;
  };
  const publish = (client: Client, payload: Buffer, topic = frameTopic): Promise<void> =>
    front.publish(client, { topic, payload, qos: 1, retain: false, duplicate: false });
  const counted = (name: string, reason?: string): number =>
    metrics
      .snapshot()
      .filter((sample) => sample.name === name && (reason === undefined || sample.labels['reason'] === reason))
      .reduce((sum, { value }) => sum + value, 0);
  return { clock, backend, front, connect, publish, counted };
}

function frame(
  messages: readonly { readonly sender: Identity; readonly bag?: string; readonly text: string }[],
): Buffer {
  const writer = new TelemetryFrameWriter({ stream: 'e.7', sequence: 11 });
  for (const [index, { sender, bag = 'k=v', text }] of messages.entries())
    writer.add({ sender, bag, body: Buffer.from(text), hop: { stream: 'e.7', sequence: 11 + index } });
  return writer.frame();
}

t.test('who subscribes is told that frames are taken, when they are', async (t) => {
  const { clock, front, connect } = setUp();
  const gateway = connect(edgeHub);
  const older = connect(meter);
  t.equal(front.subscribe(gateway, frameFilter, 0), 0);
  t.equal(front.subscribe(older, '$iothub/twin/res/#', 0), 0);
  t.same(gateway.delivered, [], 'behind the SUBACK');
  await clock.advance(0);
  t.same(gateway.delivered, [framesTakenTopic]);
  t.same(older.delivered, [], 'nobody else');
});

t.test('a backend without frames says nothing, and one that comes all the same is refused', async (t) => {
  const { clock, backend, front, connect, publish } = setUp();
  delete backend.telemetryFrame;
  const gateway = connect(edgeHub);
  front.subscribe(gateway, frameFilter, 0);
  await clock.advance(0);
  t.same(gateway.delivered, []);
  await t.rejects(publish(gateway, frame([{ sender: plant, text: '1' }])), { code: 'IOTHUB_TOPIC_UNKNOWN' });
});

t.test('the messages of a frame are those that would have come singly', async (t) => {
  const { clock, backend, connect, publish, counted } = setUp();
  const singly = setUp();
  const sent = [
    { sender: plant, bag: '$.on=out&$.mid=7&$.cdid=forged&k=v', text: '1' },
    { sender: plant, bag: '$.on=out&$.mid=7&$.cdid=forged&k=v', text: '2' },
    { sender: edgeHub, bag: '', text: '3' },
    { sender: meter, bag: '$.ctime=2026-01-01T00%3A00%3A00.000Z', text: '4' },
  ];
  await publish(connect(edgeHub), frame(sent));
  const gateway = singly.connect(edgeHub);
  for (const [index, { sender, bag, text }] of sent.entries()) {
    const module = 'moduleId' in sender ? `/modules/${sender.moduleId}` : '';
    const hop = `$.hop=e.7:${11 + index}`;
    const topic = `devices/${sender.deviceId}${module}/messages/events/${bag}${bag === '' ? '' : '&'}${hop}`;
    await singly.publish(gateway, Buffer.from(text), topic);
  }
  t.strictSame(backend.messages, singly.backend.messages);
  t.equal(backend.messages[3]?.carrier, 'gw', "the stream is the gateway's");
  t.equal(backend.messages[0]?.enqueuedMs, clock.wallMs());
  t.equal(counted('weir_iothub_telemetry_accepted'), 4);
  t.equal(counted('weir_iothub_frames_accepted'), 1);
});

t.test('a frame is refused for one message in it: none is taken, nor anything behind it', async (t) => {
  const good = { sender: plant, text: 'good' };
  const cases = [
    { bad: { sender: stranger, text: 'x' }, code: 'IOTHUB_NOT_PERMITTED' },
    { bad: { sender: plant, bag: '$.hop=other:1', text: 'x' }, code: 'IOTHUB_FRAME_INVALID' },
    { bad: { sender: plant, bag: 'k=%zz', text: 'x' }, code: 'IOTHUB_PROPERTIES_INVALID' },
  ];
  for (const { bad, code } of cases) {
    const { backend, connect, publish, counted } = setUp();
    const gateway = connect(edgeHub);
    const topic = 'devices/gw/modules/plant/messages/events/k=v';
    // All three in one turn, as they come in one read.
    await Promise.all([
      t.rejects(publish(gateway, frame([good, good, bad, good])), { code }),
      t.rejects(publish(gateway, frame([good])), { code: 'IOTHUB_OUT_OF_TURN' }),
      t.rejects(publish(gateway, Buffer.from('y'), topic), { code: 'IOTHUB_OUT_OF_TURN' }),
    ]);
    t.equal(counted('weir_iothub_refused', code), 1);
    t.same(backend.messages, []);
    t.equal(counted('weir_iothub_telemetry_accepted'), 0);
    await publish(connect(edgeHub), frame([good, good]));
    t.equal(backend.messages.length, 2, 'a new connection begins anew');
  }
});

t.test('a damaged frame is refused and counted', async (t) => {
  const whole = frame([{ sender: plant, text: '1' }]);
  for (const damaged of [Buffer.alloc(0), whole.subarray(0, -1), Buffer.alloc(telemetryFrameBytesMax + 1, 1)]) {
    const { backend, connect, publish, counted } = setUp();
    await t.rejects(publish(connect(edgeHub), damaged), { code: 'IOTHUB_FRAME_INVALID', fields: { status: 400 } });
    t.equal(counted('weir_iothub_refused', 'IOTHUB_FRAME_INVALID'), 1);
    t.same(backend.messages, []);
  }
});

t.test('what a gateway has for a device that left is taken as its own, also in a frame', async (t) => {
  const { backend, connect, publish, counted } = setUp();
  backend.gatewaysTakeOver = true;
  await publish(
    connect(edgeHub),
    frame([
      { sender: stranger, text: '1' },
      { sender: plant, text: '2' },
    ]),
  );
  const [taken, own] = backend.messages;
  t.same(taken?.sender, edgeHub);
  t.equal(taken?.properties['weir-sender'], 'stranger');
  t.equal(taken?.carrier, 'gw');
  t.same(own?.sender, plant);
  t.equal(counted('weir_iothub_telemetry_taken_over'), 1);
});

t.test('a frame of a device holds its own messages only', async (t) => {
  const { backend, connect, publish } = setUp();
  await publish(connect(meter), frame([{ sender: meter, text: '1' }]));
  t.equal(backend.messages.length, 1);
  await t.rejects(publish(connect(stranger), frame([{ sender: meter, text: '2' }])), { code: 'IOTHUB_NOT_PERMITTED' });
});

t.test('a commit that fails refuses the frame', async (t) => {
  const { backend, connect, publish, counted } = setUp();
  backend.commit = () => Promise.reject(new Error('disk trouble'));
  const gateway = connect(edgeHub);
  await t.rejects(publish(gateway, frame([{ sender: plant, text: '1' }])), /disk trouble/);
  t.equal(counted('weir_iothub_telemetry_accepted'), 0);
  t.equal(counted('weir_iothub_frames_accepted'), 0);
});
