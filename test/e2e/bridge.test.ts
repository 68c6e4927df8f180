// A gateway and somebody else's broker, Debian's mosquitto: topics both ways, telemetry, and what gets lost when the
// line is cut, the other broker restarts and the gateway is killed meanwhile: nothing.

import { execFileSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import t from 'tap';
import type { JsonObject } from '../../src/model/json.ts';
import { freePort } from '../support/free-port.ts';
import { Mosquitto } from '../support/mosquitto.ts';
import { manifest } from '../support/world/manifest.ts';
import { until } from '../support/world/program.ts';
import { TcpLine } from '../support/world/tcp-line.ts';
import { World } from '../support/world/world.ts';

const messages = 200;
const patienceMs = 180_000;
const retryMs = 100;

const policy = [
  {
    identities: ['{{mqtt:username}}'],
    allow: [
      { operations: ['mqtt:connect'] },
      { operations: ['mqtt:publish'], resources: ['hall/{{mqtt:username}}/#'] },
      { operations: ['mqtt:subscribe'], resources: ['hall/#', 'cloud/#'] },
    ],
    deny: [{ operations: ['mqtt:subscribe'], resources: ['hall/+/secret'] }],
  },
];

/** A client that comes back by itself; its numbers are in the order of their first arrival. */
class Peer {
  readonly client: MqttClient;
  readonly numbers: number[] = [];
  readonly retained: string[] = [];
  repeated = 0;

  constructor(options: IClientOptions) {
    this.client = mqtt.connect({ reconnectPeriod: retryMs, connectTimeout: 30_000, clean: false, ...options });
    this.client.on('error', () => undefined);
    this.client.on('message', (topic, payload, packet) => {
      if (packet.retain) this.retained.push(`${topic} ${payload}`);
      const number = Number(payload);
      if (this.numbers.includes(number)) this.repeated++;
      else this.numbers.push(number);
    });
  }

  async connected(): Promise<this> {
    await until('a client connects', patienceMs, () => (this.client.connected ? true : undefined));
    return this;
  }

  /** One after the other, each as often as it takes. */
  async publishAll(topic: string, pause: () => Promise<void>): Promise<void> {
    for (let number = 1; number <= messages; number++) {
      await this.client.publishAsync(topic, String(number), { qos: 1 });
      await pause();
    }
  }

  async close(): Promise<void> {
    await this.client.endAsync(true);
  }
}

const inOrder = Array.from({ length: messages }, (_, index) => index + 1);

t.test('nothing is lost both ways while the line is cut, the broker restarts and the gateway is killed', async (t) => {
  const world = new World({ name: 'bridge' });
  const line = new TcpLine();
  const mosquitto = await Mosquitto.prepare(world.directory);
  const peers: Peer[] = [];
  t.teardown(async () => {
    await Promise.all(peers.map((peer) => peer.close()));
    await world.close();
    await line.close();
    await mosquitto.stop();
  });
  const linePort = await line.open();
  line.pointAt(mosquitto.port);
  await mosquitto.start();
  const herePort = await freePort();
  const at = (name: string): string => join(world.directory, 'gw', name);
  writeFileSync(at('policy.json'), JSON.stringify(policy));
  execFileSync('mosquitto_passwd', ['-c', '-b', at('passwords'), 'plc', 'open sesame']);
  chmodSync(at('passwords'), 0o600);
  writeFileSync(
    world.configPath,
    [
      'hostname = "localhost"',
      '[listeners]',
      `tcp = "tcp://127.0.0.1:${herePort}"`,
      '[broker]',
      `password_file = "file://${at('passwords')}"`,
      `authorizations = "file://${at('policy.json')}"`,
      '[bridges.site]',
      `url = "mqtt://127.0.0.1:${linePort}"`,
      'topics = [',
      '  { direction = "out", topic = "#", in_prefix = "hall/", out_prefix = "site/hall/" },',
      '  { direction = "in", topic = "orders/#", in_prefix = "cloud/" },',
      ']',
    ].join('\n'),
    { mode: 0o600 },
  );
  await world.startGateway();

  const here = (clientId: string): IClientOptions => ({
    protocol: 'mqtt',
    host: '127.0.0.1',
    port: herePort,
    clientId,
    username: 'plc',
    password: 'open sesame',
  });
  const there = (clientId: string): IClientOptions => ({
    protocol: 'mqtt',
    host: '127.0.0.1',
    port: mosquitto.port,
    clientId,
  });
  const open = async (options: IClientOptions): Promise<Peer> => {
    const peer = new Peer(options);
    peers.push(peer);
    return peer.connected();
  };
  const [sensor, panel, cloudReader, cloud] = [
    await open(here('sensor')),
    await open(here('panel')),
    await open(there('reader')),
    await open(there('cloud')),
  ];
  await panel.client.subscribeAsync('cloud/#', { qos: 1 });
  await cloudReader.client.subscribeAsync('site/#', { qos: 1 });
  await until('mosquitto knows the subscription of the bridge', patienceMs, () =>
    mosquitto.log.includes('orders/#') ? true : undefined,
  );

  const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));
  const flowing = Promise.all([sensor.publishAll('hall/plc/t', pause), cloud.publishAll('orders/1', pause)]);
  const reached = (peer: Peer, count: number): Promise<unknown> =>
    until(`message ${count} arrives`, patienceMs, () => (peer.numbers.length >= count ? true : undefined));
  await reached(cloudReader, 20);
  line.cut();
  await new Promise((resolve) => setTimeout(resolve, 500));
  await world.killGateway();
  await world.startGateway();
  line.mend();
  await reached(cloudReader, 80);
  await mosquitto.stop();
  await new Promise((resolve) => setTimeout(resolve, 300));
  await mosquitto.start();
  await reached(panel, 120);
  await world.killGateway();
  await world.startGateway();
  await flowing;
  await reached(cloudReader, messages);
  await reached(panel, messages);
  t.strictSame(cloudReader.numbers, inOrder, 'what went out arrived, in order');
  t.strictSame(panel.numbers, inOrder, 'what came in arrived, in order');
  t.comment(JSON.stringify({ repeatedThere: cloudReader.repeated, repeatedHere: panel.repeated }));

  await sensor.client.publishAsync('hall/plc/state', '7', { qos: 1, retain: true });
  const late = await open(there('late'));
  await until('the retained message is there', patienceMs, async () => {
    await late.client.subscribeAsync('site/hall/plc/state', { qos: 1 });
    return late.retained[0];
  });
  t.strictSame(late.retained.slice(0, 1), ['site/hall/plc/state 7'], 'the retain flag goes along');

  const secret = await panel.client.subscribeAsync('hall/plc/secret', { qos: 1 }).then(
    (granted) => granted[0]?.qos,
    () => 128,
  );
  t.equal(secret, 128, 'what the policy denies is refused');
  const stranger = new Peer({ ...here('stranger'), password: 'wrong', reconnectPeriod: 0 });
  peers.push(stranger);
  const refused = await new Promise<number | undefined>((resolve) =>
    stranger.client.once('error', (error) => resolve((error as { code?: number }).code)),
  );
  t.ok(refused === 4 || refused === 5, 'and nobody comes in without the password');
});

t.test('telemetry goes to a broker that is no hub, and the twin says which topics go along', async (t) => {
  const world = new World({ name: 'upstream-mqtt' });
  const mosquitto = await Mosquitto.prepare(world.directory);
  const peers: Peer[] = [];
  t.teardown(async () => {
    await Promise.all(peers.map((peer) => peer.close()));
    await world.close();
    await mosquitto.stop();
  });
  await mosquitto.start();
  await world.startHub();
  await world.provision(
    ['[upstream.mqtt]', `url = "mqtt://127.0.0.1:${mosquitto.port}"`, 'topic = "weir/{device}/{module}/{output}"'].join(
      '\n',
    ),
  );
  const seen: { topic: string; properties: unknown }[] = [];
  const reader = new Peer({
    protocol: 'mqtt',
    host: '127.0.0.1',
    port: mosquitto.port,
    clientId: 'r',
    protocolVersion: 5,
  });
  peers.push(await reader.connected());
  reader.client.on('message', (topic, _, packet) => seen.push({ topic, properties: packet.properties }));
  await reader.client.subscribeAsync('weir/#', { qos: 1 });
  await world.startGateway();
  const deployment = manifest({
    modules: {
      sensor: {
        version: '1',
        type: 'docker',
        status: 'running',
        restartPolicy: 'always',
        settings: { image: 'mcr.microsoft.com/azureiotedge-simulated-temperature-sensor:1.5', createOptions: '' },
        env: { MessageCount: { value: '5' } },
      },
    },
  });
  const hubPart = (deployment['modulesContent'] as JsonObject)['$edgeHub'] as JsonObject;
  const desired = hubPart['properties.desired'] as Record<string, unknown>;
  desired['schemaVersion'] = '1.2';
  desired['mqttBroker'] = {
    authorizations: [{ identities: ['{{iot:identity}}'], allow: [{ operations: ['mqtt:fly'] }] }],
    bridges: [{ endpoint: '$upstream', settings: [{ direction: 'in', topic: 'orders/#' }] }],
  };
  await world.deploy(deployment);
  const message = await until('telemetry at the other broker', patienceMs, () => seen[0]);
  t.match(message.topic, /^weir\/gw1\/sensor\/\w+$/);
  t.match(message.properties, { userProperties: { '$.hop': /.+:\d+/ } });
  await until('the bridge of the twin', patienceMs, () => (mosquitto.log.includes('orders/#') ? true : undefined));
  const report = await until('the report', patienceMs, async () => {
    const { reported } = await world.twin('$edgeHub');
    const status = reported['lastDesiredStatus'] as JsonObject | undefined;
    return status?.['code'] === 400 ? String(status['description']) : undefined;
  });
  t.match(report, /mqttBroker\.authorizations\[0\]\.allow\[0\]\.operations\[0\]: "mqtt:fly" is no operation/);
});
