// mqtt.js against the executable, in 3.1.1 and 5.0, over every transport.

import { readFileSync } from 'node:fs';
import { connect as connectSocket } from 'node:net';
import { connect as connectMqtt, type IClientOptions, type IPublishPacket, MqttClient } from 'mqtt';
import t, { type Test } from 'tap';
import { StandaloneBroker, type Transport } from '../support/world/standalone.ts';

const transports = ['tcp', 'tls', 'ws', 'wss', 'unix'] as const;
const versions = [4, 5] as const;
const qualities = [0, 1, 2] as const;
/** As large as a message may be. */
const largeBytes = 262_144;
const secondsForAll = 600;

interface Came {
  readonly topic: string;
  readonly text: string;
  readonly qos: number;
  readonly retain: boolean;
  readonly packet: IPublishPacket;
  readonly payload: Buffer;
}

/** One client with what it got. */
class Client {
  readonly got: Came[] = [];
  readonly mqtt: MqttClient;
  readonly #waiting: { count: number; resolve: () => void }[] = [];

  constructor(mqtt: MqttClient) {
    this.mqtt = mqtt;
    mqtt.on('error', () => undefined);
    mqtt.on('message', (topic, payload, packet) => {
      this.got.push({ topic, text: payload.toString('utf8'), qos: packet.qos, retain: packet.retain, packet, payload });
      for (const { count, resolve } of this.#waiting) if (this.got.length >= count) resolve();
    });
  }

  /** Resolves when so many messages came since the client was made. */
  has(count: number): Promise<void> {
    if (this.got.length >= count) return Promise.resolve();
    return new Promise((resolve) => this.#waiting.push({ count, resolve }));
  }

  texts(): readonly string[] {
    return this.got.map(({ topic, text, qos }) => `${topic} ${text} ${qos}`);
  }

  /** Without a DISCONNECT. */
  async drop(): Promise<void> {
    const closed = new Promise<void>((resolve) => this.mqtt.once('close', () => resolve()));
    this.mqtt.stream.destroy();
    await closed;
    this.mqtt.end(true);
  }

  async leave(): Promise<void> {
    await this.mqtt.endAsync();
  }
}

interface Stage {
  readonly t: Test;
  readonly broker: StandaloneBroker;
  readonly transport: Transport;
  readonly version: 4 | 5;
}

async function connect({ t, broker, transport, version }: Stage, options: IClientOptions = {}): Promise<Client> {
  const settings: IClientOptions = {
    protocolVersion: version,
    reconnectPeriod: 0,
    ...(transport === 'tls' || transport === 'wss' ? { ca: readFileSync(broker.certificates.authority) } : {}),
    ...options,
  };
  const mqtt = dial({ broker, transport }, settings);
  // Before anything comes: what waited for a session comes right behind the CONNACK.
  const client = new Client(mqtt);
  t.teardown(() => void mqtt.end(true));
  await new Promise<void>((resolve, reject) => {
    mqtt.once('connect', () => resolve());
    mqtt.once('error', reject);
    mqtt.once('close', () => reject(new TypeError(`no connection over ${transport}`)));
  });
  return client;
}

function dial({ broker, transport }: Pick<Stage, 'broker' | 'transport'>, settings: IClientOptions): MqttClient {
  if (transport === 'unix') return new MqttClient(() => connectSocket({ path: broker.unixPath }), settings);
  const scheme = { tcp: 'mqtt', tls: 'mqtts', ws: 'ws', wss: 'wss' }[transport];
  const path = transport === 'ws' || transport === 'wss' ? '/mqtt' : '';
  return connectMqtt(`${scheme}://localhost:${broker.port(transport)}${path}`, settings);
}

async function bothWays(stage: Stage): Promise<void> {
  const { t } = stage;
  const [sender, receiver] = [await connect(stage), await connect(stage)];
  for (const qos of qualities) await receiver.mqtt.subscribeAsync(`q/${qos}/#`, { qos });
  const expected: string[] = [];
  for (const granted of qualities)
    for (const qos of qualities) {
      await sender.mqtt.publishAsync(`q/${granted}/a`, `sent at ${qos}`, { qos });
      expected.push(`q/${granted}/a sent at ${qos} ${Math.min(granted, qos)}`);
    }
  await receiver.has(expected.length);
  t.same([...receiver.texts()].sort(), [...expected].sort(), 'each quality meets each');

  const large = Buffer.alloc(largeBytes, 'weir');
  for (const qos of qualities) await sender.mqtt.publishAsync('q/2/large', large, { qos });
  await receiver.has(expected.length + qualities.length);
  t.ok(
    receiver.got.slice(expected.length).every(({ payload }) => payload.equals(large)),
    'large messages come whole',
  );
  await Promise.all([sender.leave(), receiver.leave()]);
}

async function retainedAndWill(stage: Stage): Promise<void> {
  const { t } = stage;
  const sender = await connect(stage);
  await sender.mqtt.publishAsync('state/a', 'on', { qos: 1, retain: true });
  const late = await connect(stage);
  await late.mqtt.subscribeAsync(['state/#', 'lost/#'], { qos: 1 });
  await late.has(1);
  t.match(late.got[0], { topic: 'state/a', text: 'on', retain: true });

  const dying = await connect(stage, { will: { topic: 'lost/a', payload: Buffer.from('gone'), qos: 1, retain: true } });
  await dying.drop();
  await late.has(2);
  t.match(late.got[1], { topic: 'lost/a', text: 'gone', retain: false });
  const leaving = await connect(stage, { will: { topic: 'lost/b', payload: Buffer.from('never'), qos: 1 } });
  await leaving.leave();
  for (const topic of ['state/a', 'lost/a']) await sender.mqtt.publishAsync(topic, '', { qos: 1, retain: true });
  await late.has(4);
  t.notOk(
    late.got.some(({ text }) => text === 'never'),
    'who takes leave has no will',
  );
  await Promise.all([sender.leave(), late.leave()]);
}

async function persistent(stage: Stage): Promise<void> {
  const { t, version } = stage;
  const sender = await connect(stage);
  const properties = version === 5 ? { properties: { sessionExpiryInterval: secondsForAll } } : {};
  const session = { clientId: `session-${stage.transport}-${version}`, clean: false, ...properties };
  const first = await connect(stage, session);
  await first.mqtt.subscribeAsync('log/#', { qos: 2 });
  await sender.mqtt.publishAsync('log/a', 'live', { qos: 1 });
  await first.has(1);
  await first.drop();
  const away = Array.from(
    { length: 50 },
    (_, index) => ({ text: `away ${index}`, qos: index % 2 === 0 ? 1 : 2 }) as const,
  );
  await Promise.all(away.map(({ text, qos }) => sender.mqtt.publishAsync('log/a', text, { qos })));
  const second = await connect(stage, session);
  await second.has(away.length);
  // mqtt.js gives out a message of QoS 2 when it is released: order is that of each quality.
  for (const quality of [1, 2])
    t.same(
      second.got.filter(({ qos }) => qos === quality).map(({ text }) => text),
      away.filter(({ qos }) => qos === quality).map(({ text }) => text),
      'what came while it was away, in order, once',
    );
  await second.leave();
  const end = await connect(stage, { clientId: session.clientId, clean: true });
  await Promise.all([end.leave(), sender.leave()]);
}

async function shared(stage: Stage): Promise<void> {
  const { t } = stage;
  const [sender, ...members] = await Promise.all([connect(stage), connect(stage), connect(stage), connect(stage)]);
  for (const member of members) await member.mqtt.subscribeAsync('$share/crew/work/#', { qos: 1 });
  const jobs = Array.from({ length: 30 }, (_, index) => `job ${index}`);
  const done = Promise.all(members.map((member) => member.has(jobs.length / members.length)));
  await Promise.all(jobs.map((job) => sender.mqtt.publishAsync('work/a', job, { qos: 1 })));
  await done;
  const taken = members.flatMap(({ got }) => got.map(({ text }) => text));
  t.same([...taken].sort(), [...jobs].sort(), 'each job goes to one member, in turns');
  await Promise.all([sender, ...members].map((client) => client.leave()));
}

async function requestAndResponse(stage: Stage): Promise<void> {
  const { t } = stage;
  const [asker, answerer] = [await connect(stage), await connect(stage)];
  await answerer.mqtt.subscribeAsync('ask/#', { qos: 1 });
  await asker.mqtt.subscribeAsync('answer/1', { qos: 1 });
  const asked = {
    responseTopic: 'answer/1',
    correlationData: Buffer.from([1, 0, 255]),
    contentType: 'text/plain',
    userProperties: { kind: 'question' },
    payloadFormatIndicator: true,
  };
  await asker.mqtt.publishAsync('ask/a', 'how much?', { qos: 1, properties: asked });
  await answerer.has(1);
  const { properties } = (answerer.got[0] as Came).packet;
  t.match(properties, asked, 'properties arrive as they are');
  await answerer.mqtt.publishAsync(properties?.responseTopic ?? '', 'so much', {
    qos: 1,
    properties: { correlationData: properties?.correlationData as Buffer },
  });
  await asker.has(1);
  t.same(asker.got[0]?.packet.properties?.correlationData, asked.correlationData);
  await Promise.all([asker.leave(), answerer.leave()]);
}

t.test('every transport carries everything, in both versions', async (t) => {
  const broker = await StandaloneBroker.start(t, { listen: transports, durable: true });
  for (const transport of transports)
    for (const version of versions)
      await t.test(`${transport}, version ${version}`, async (t) => {
        const stage = { t, broker, transport, version };
        await bothWays(stage);
        await retainedAndWill(stage);
        await persistent(stage);
        await shared(stage);
        if (version === 5) await requestAndResponse(stage);
      });
});

t.test('a session and its messages are there after the broker was killed', async (t) => {
  const broker = await StandaloneBroker.start(t, { listen: ['tcp', 'ws'], durable: true });
  for (const version of versions) {
    const stage = { t, broker, transport: 'tcp', version } as const;
    const properties = version === 5 ? { properties: { sessionExpiryInterval: secondsForAll } } : {};
    const session = { clientId: `kept-${version}`, clean: false, ...properties };
    const first = await connect(stage, session);
    await first.mqtt.subscribeAsync(`kept/${version}`, { qos: 1 });
    await first.leave();
    const sender = await connect(stage);
    for (const text of ['one', 'two', 'three']) await sender.mqtt.publishAsync(`kept/${version}`, text, { qos: 1 });
    await broker.kill();
    await broker.startAgain();
    const second = await connect({ ...stage, transport: 'ws' }, session);
    await second.has(3);
    t.same(
      second.got.map(({ text }) => text),
      ['one', 'two', 'three'],
      'over another transport, too',
    );
    await second.leave();
  }
});

t.test('a client certificate is who the client is', async (t) => {
  const broker = await StandaloneBroker.start(t, {
    listen: ['tls', 'wss'],
    args: ['--require-certificate', '--use-identity-as-username'],
  });
  const { clientCertificate, clientKey } = broker.certificates;
  const mine = { cert: readFileSync(clientCertificate), key: readFileSync(clientKey) };
  for (const transport of ['tls', 'wss'] as const)
    for (const version of versions) {
      const stage = { t, broker, transport, version };
      await t.rejects(connect(stage), `${transport}: without one nobody comes in`);
      const client = await connect(stage, mine);
      await client.mqtt.subscribeAsync('a', { qos: 1 });
      await client.mqtt.publishAsync('a', 'hello', { qos: 1 });
      await client.has(1);
      await client.leave();
    }
  await broker.logged(/principal=plc-1/);
});
