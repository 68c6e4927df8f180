// What a hub's front does for gateways: it tells them of their scope, and takes what they have for devices that left.

import t from 'tap';
import { IotHubFront } from '../../../src/broker/iothub/front.ts';
import type { BrokerClient, InboundPublish } from '../../../src/broker/ports.ts';
import { strangersLoggedMax } from '../../../src/limits.ts';
import { type Identity, identityKey } from '../../../src/model/address.ts';
import { createLog } from '../../../src/platform/log.ts';
import { createMetrics } from '../../../src/platform/metrics.ts';
import { FakeDeviceBackend } from '../../support/fake-device-backend.ts';
import { SimClock } from '../../support/sim-clock.ts';

class Client implements BrokerClient {
  readonly clientId: string;
  readonly principal: BrokerClient['principal'];
  readonly cleanSession = true;
  readonly delivered: { readonly topic: string; readonly text: string }[] = [];

  constructor(identity: Identity) {
    this.clientId = identityKey(identity);
    this.principal = { name: this.clientId, identity };
  }

  deliver({ topic, payload }: { readonly topic: string; readonly payload: Uint8Array }): Promise<void> {
    this.delivered.push({ topic, text: Buffer.from(payload).toString('utf8') });
    return Promise.resolve();
  }

  disconnect(): void {}
}

const edgeHub = { deviceId: 'gw', moduleId: '$edgeHub' };
const filter = '$iothub/scope/#';

function setUp() {
  const clock = new SimClock();
  const backend = new FakeDeviceBackend();
  const lines: string[] = [];
  const log = createLog({ clock, level: 'info', write: (line) => void lines.push(line) });
  const front = new IotHubFront({ backend, clock, log, metrics: createMetrics() });
  const connect = (identity: Identity): Client => {
    const client = new Client(identity);
    front.connected(client, []);
    return client;
  };
  const publish = (client: Client, topic: string, text = ''): Promise<void> => {
    const packet: InboundPublish = { topic, payload: Buffer.from(text), qos: 1, retain: false, duplicate: false };
    return front.publish(client, packet);
  };
  return { clock, backend, front, lines, connect, publish };
}

t.test('a gateway is told of its scope when it subscribes and when it changes; nobody else is', async (t) => {
  const { clock, backend, front, connect } = setUp();
  const gateway = connect(edgeHub);
  front.notifyScope(edgeHub);
  t.same(gateway.delivered, [], 'it has not subscribed');
  t.equal(front.subscribe(gateway, filter, 0), 0);
  await clock.advance(0);
  backend.scope = { version: 'v2' };
  front.notifyScope(edgeHub);
  front.notifyScope({ deviceId: 'away', moduleId: '$edgeHub' });
  t.same(gateway.delivered, [
    { topic: '$iothub/scope/changed/?$version=v1', text: '' },
    { topic: '$iothub/scope/changed/?$version=v2', text: '' },
  ]);
  const module = connect({ deviceId: 'gw', moduleId: 'm' });
  front.subscribe(module, filter, 0);
  await clock.advance(0);
  t.same(module.delivered, []);
});

t.test('a gateway reads its scope page by page; others and bad requests get an error', async (t) => {
  const { front, connect, publish } = setUp();
  const gateway = connect(edgeHub);
  await publish(gateway, '$iothub/scope/GET/?$rid=0');
  t.same(gateway.delivered, [], 'no answer to who does not listen');
  front.subscribe(gateway, filter, 0);
  await publish(gateway, '$iothub/scope/GET/?$rid=1');
  await publish(gateway, '$iothub/scope/GET/?$rid=2&$after=leaf%2Fm');
  await publish(gateway, '$iothub/scope/GET/?$rid=3&$after=nonsense');
  t.match(gateway.delivered, [
    { topic: '$iothub/scope/res/200/?$rid=1', text: /^\{"version":"v1"/ },
    { topic: '$iothub/scope/res/200/?$rid=2', text: /"after":"leaf\/m"/ },
    { topic: '$iothub/scope/res/400/?$rid=3', text: /"message":"no"/ },
  ]);
  const leaf = connect({ deviceId: 'leaf' });
  front.subscribe(leaf, filter, 0);
  await publish(leaf, '$iothub/scope/GET/?$rid=4');
  t.match(leaf.delivered, [{ topic: '$iothub/scope/res/403/?$rid=4' }]);
  await t.rejects(publish(gateway, '$iothub/scope/GET/?$rid=5&$after=%zz'), { code: 'IOTHUB_TOPIC_UNKNOWN' });
});

t.test('what a gateway has for a device that left is kept as its own, and told in the log once for each', async (t) => {
  const { backend, lines, connect, publish } = setUp();
  backend.gatewaysSpeak = true;
  backend.gatewaysTakeOver = true;
  backend.parents.set('leaf', 'gw');
  const gateway = connect(edgeHub);
  await publish(gateway, 'devices/leaf/messages/events/a=b', 'own');
  backend.parents.delete('leaf');
  await publish(gateway, 'devices/leaf/messages/events/a=b&$.hop=s:9', 'left');
  await publish(gateway, 'devices/leaf/modules/m/messages/events/', 'left');
  await publish(gateway, 'devices/leaf/messages/events/', 'left');
  t.match(backend.messages, [
    { sender: { deviceId: 'leaf' }, properties: { a: 'b' }, carrier: 'gw' },
    {
      sender: edgeHub,
      properties: { a: 'b', 'weir-sender': 'leaf' },
      hop: { stream: 's', sequence: 9 },
      carrier: 'gw',
    },
    { sender: edgeHub, properties: { 'weir-sender': 'leaf/m' } },
    { sender: edgeHub, properties: { 'weir-sender': 'leaf' } },
  ]);
  const told = (): readonly string[] => lines.filter((line) => line.includes('not behind it'));
  t.equal(told().length, 2);
  t.match(told()[0], /set-parent leaf gw/);
  for (let index = 0; index < strangersLoggedMax * 2; index++)
    await publish(gateway, `devices/other-${index}/messages/events/`);
  t.equal(told().length, strangersLoggedMax);
  await t.rejects(publish(connect({ deviceId: 'x' }), 'devices/leaf/messages/events/'), {
    code: 'IOTHUB_NOT_PERMITTED',
  });
});
