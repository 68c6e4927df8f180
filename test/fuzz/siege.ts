// A broker under a script of hostile clients, with two witnesses that keep the protocol.
//
//   hostile 0, 1, 2 ──► broker ◄──► publisher (3.1.1) ─ witness/line ─► subscriber (5.0, its session outlives it)
//                         ├─ a topic service over $svc/…
//                         └─ a session store, when the script says so
//
// What must hold, whatever the script says
//   every message of the publisher reaches the subscriber, once and in order, and is acknowledged,
//   at once or when slow receivers have had their time
//   shadows that subscribed to everything, of 3.1.1 and of 5.0, get the same messages in the same order
//   whatever the broker writes is valid (wire.ts), and what waits for a stalled client is bounded
//   nothing throws, no error is logged, and at the end nobody but the witnesses is there; close() comes to an end

import { strict as assert } from 'node:assert';
import { Broker } from '../../src/broker/broker.ts';
import { brokerLimits } from '../../src/broker/broker-limits.ts';
import type { Authenticator, BrokerClient, InboundPublish, TopicProtocol } from '../../src/broker/ports.ts';
import { brokerPressMsMax, brokerPressStepMs } from '../../src/limits.ts';
import type { Clock } from '../../src/platform/clock.ts';
import { createLog } from '../../src/platform/log.ts';
import { createMetrics, type Metrics } from '../../src/platform/metrics.ts';
import type { Connection, ConnectionSink, Network } from '../../src/platform/net.ts';
import { type ControlPacket, encodePacket } from '../../src/protocol/mqtt/packet.ts';
import { MemoryDisk, MemorySessionStore } from '../support/memory-session-store.ts';
import { SimClock, settle } from '../support/sim-clock.ts';
import { places, type Script, type Step } from './script.ts';
import { FuzzWire, inflightMax } from './wire.ts';

const outputBytesMax = 16_384;
/** Beyond the bound: a packet that is allowed when nothing is owed, and the answers to one read. */
const outputSlackBytes = 24_576;
const answerRoundsMax = 12;
const heldMsMax = brokerPressMsMax * (places + 1);
const witnessTopic = 'witness/line';

const limits = {
  ...{
    outputBytesMax,
    queueMessagesMax: 20,
    queueBytesMax: 65_536,
    inflightOutboundMax: inflightMax,
    inflightInboundMax: 8,
  },
  ...{ sessionsAwayMax: 3, subscriptionsPerSessionMax: 8, retainedMessagesMax: 5, connectMsMax: 5_000 },
};

/** Simulated time for time-outs, the real loop for turns. */
class TurnClock extends SimClock implements Clock {
  override soon(callback: () => void): void {
    setImmediate(callback);
  }
}

/** Plays `script`. Rejects with what did not hold. */
export async function playSiege(script: Script): Promise<void> {
  const facts = new Set(script.flatMap((step) => (step.op === 'with' ? [step.what] : [])));
  const siege = new Siege(facts);
  await siege.start();
  for (const step of script) await siege.step(step);
  await siege.end();
}

class Siege {
  readonly #facts: ReadonlySet<string>;
  readonly #disk = new MemoryDisk();
  readonly #errors: string[] = [];
  readonly #hostile: (FuzzWire | undefined)[] = Array.from({ length: places }, () => undefined);
  readonly #publisher = new Witness({ name: 'publisher', version: 4, filter: undefined });
  readonly #subscriber = new Witness({ name: 'subscriber', version: 5, filter: { topic: witnessTopic, qos: 2 } });
  /** With a hostile one of their version they are a fan-out. */
  readonly #shadows = ([5, 4, 4, 4] as const).map(
    (version, index) => new Witness({ name: `shadow${index}`, version, filter: { topic: '#', qos: 0 } }),
  );
  readonly #witnesses = [this.#subscriber, ...this.#shadows, this.#publisher];
  #life: Life;
  #wires = 0;
  #published = 0;

  constructor(facts: ReadonlySet<string>) {
    this.#facts = facts;
    this.#life = this.#begin();
  }

  async start(): Promise<void> {
    await this.#life.broker.start();
    await this.#life.broker.listen('memory', { kind: 'unix', path: 'memory', mode: 0 });
    for (const witness of this.#witnesses) witness.connect(this.#open());
    await this.#answer();
  }

  async step(step: Step): Promise<void> {
    const wire = 'place' in step ? this.#hostile[step.place] : undefined;
    switch (step.op) {
      case 'open':
        wire?.lose();
        await Promise.resolve();
        this.#hostile[step.place] = this.#open();
        break;
      case 'send':
        wire?.send(step.bytes);
        break;
      case 'stall':
        wire?.stall();
        break;
      case 'take':
        wire?.take();
        break;
      case 'answer':
        wire?.answer();
        break;
      case 'lose':
        wire?.lose();
        await Promise.resolve();
        break;
      case 'turn':
        await this.#witness();
        break;
      case 'pass':
        await this.#life.clock.advance(step.ms);
        break;
      case 'restart':
        await this.#witness();
        await this.#close();
        this.#life = this.#begin();
        await this.start();
        break;
      case 'with':
        break;
    }
    for (const each of this.#hostile) {
      const owed = each?.bufferedBytes ?? 0;
      assert.ok(owed <= outputBytesMax + outputSlackBytes, `${owed} bytes wait for a stalled client`);
    }
    this.#checkErrors();
  }

  async end(): Promise<void> {
    for (const wire of this.#hostile) wire?.lose();
    await this.#witness();
    const clients = this.#life.broker.connectedClients().map(({ clientId }) => clientId);
    assert.deepEqual(clients.sort(), this.#witnesses.map(({ name }) => name).sort(), 'who is gone is gone');
    const owed = this.#life.metrics.snapshot().find(({ name }) => name === 'weir_broker_output_bytes');
    assert.equal(owed?.value, 0, 'nothing is owed to nobody');
    await this.#close();
  }

  #begin(): Life {
    const clock = new TurnClock();
    const metrics = createMetrics();
    const store = this.#facts.has('store') ? new MemorySessionStore(this.#disk) : undefined;
    const life: { accept: Life['accept'] } = { accept: undefined };
    const network: Network = {
      listen: async (_endpoint, accept) => {
        life.accept = accept;
        return { address: { path: 'memory' }, close: async () => undefined };
      },
      dial: () => {
        throw new Error('nobody dials');
      },
    };
    const write = (line: string): void => void this.#errors.push(line);
    const ports = {
      network,
      clock,
      metrics,
      log: createLog({ clock, level: 'error', write }),
      authenticator: { authenticate: admitted },
      authoriser: { mayPublish: (_: unknown, topic: string) => topic !== 'a/b/c', maySubscribe: () => true },
      service: new Echo(),
      ...(store === undefined ? {} : { sessionStore: store }),
    };
    const broker = new Broker(ports, { ...limits, deniedPublish: this.#facts.has('drop') ? 'drop' : 'disconnect' });
    return Object.assign(life, { broker, clock, metrics, store });
  }

  async #close(): Promise<void> {
    const { broker, clock, store } = this.#life;
    await broker.close();
    await store?.flushed();
    await settle();
    this.#checkErrors();
    assert.ok(
      this.#witnesses.every(({ isClosed }) => isClosed),
      'a closed broker has no connections',
    );
    assert.equal(clock.timerCount, 0, 'a closed broker has no timers');
  }

  /** One more message goes from witness to witness. */
  async #witness(): Promise<void> {
    await settle();
    this.#publisher.publish(witnessTopic, this.#published++);
    await this.#answer();
    // Receivers that are behind may hold back a publisher, each for its time and no longer.
    for (let waitedMs = 0; waitedMs < heldMsMax && !this.#isSettled; waitedMs += brokerPressStepMs) {
      await this.#life.clock.advance(brokerPressStepMs);
      await this.#answer();
    }
    const wanted = Array.from({ length: this.#published }, (_, index) => `${witnessTopic} ${index}`);
    assert.deepEqual(this.#subscriber.messages, wanted, 'every message of the witness arrives, once and in order');
    const [seen = [], ...others] = this.#shadows.map(({ messages }) => messages.splice(0));
    assert.ok(seen.includes(wanted.at(-1) ?? ''), 'shadows see what the witness says');
    for (const other of others) assert.deepEqual(other, seen, 'shadows see the same');
    assert.equal(this.#publisher.unacknowledged, 0, 'every message of the witness is acknowledged');
  }

  get #isSettled(): boolean {
    return this.#publisher.unacknowledged === 0 && this.#subscriber.messages.length >= this.#published;
  }

  async #answer(): Promise<void> {
    for (let round = 0; round < answerRoundsMax; round++) {
      await settle();
      const answered = this.#witnesses.map((witness) => witness.answer());
      if (!answered.includes(true)) break;
    }
  }

  #open(): FuzzWire {
    const wire = new FuzzWire(`memory:${++this.#wires}`);
    wire.sink = this.#life.accept?.(wire);
    return wire;
  }

  #checkErrors(): void {
    assert.deepEqual(this.#errors, [], 'no error is logged');
  }
}

/** One broker from start to close. */
interface Life {
  readonly broker: Broker;
  readonly clock: TurnClock;
  readonly metrics: Metrics;
  readonly store: MemorySessionStore | undefined;
  readonly accept: ((connection: Connection) => ConnectionSink) | undefined;
}

const admitted: Authenticator['authenticate'] = async ({ username }) => ({
  admitted: true,
  principal: { name: username ?? 'anonymous', identity: undefined },
  expiresAtMs: undefined,
});

/** A topic service that answers at once, later, or with a refusal, by the size of what it is given. */
class Echo implements TopicProtocol {
  ownsTopic(topic: string): boolean {
    return topic.startsWith('$svc/');
  }

  ownsFilter(filter: string): boolean {
    return filter.startsWith('$svc/');
  }

  async publish(client: BrokerClient, { payload, qos }: InboundPublish): Promise<void> {
    if (payload.length > 1) await new Promise((resolve) => setImmediate(resolve));
    if (payload.length === 10) throw new Error('refused');
    const message = { topic: '$svc/echo', payload, qos: qos === 0 ? 0 : 1 } as const;
    // Who is gone or takes nothing more does not get it.
    client.deliver(message).catch(() => undefined);
  }

  subscribe(_client: BrokerClient, filter: string): 0 | 1 | undefined {
    return filter === '$svc/a' ? undefined : 1;
  }

  unsubscribe(): void {}
  connected(): void {}
  disconnected(): void {}
}

interface Filter {
  readonly topic: string;
  readonly qos: 0 | 2;
}

/** A client that keeps the protocol. */
class Witness {
  readonly messages: string[] = [];
  unacknowledged = 0;
  readonly name: string;
  readonly #version: 4 | 5;
  /** Subscribed to whenever the broker does not know the session. */
  readonly #filter: Filter | undefined;
  #wire: FuzzWire | undefined;
  #packetId = 0;

  constructor(who: { readonly name: string; readonly version: 4 | 5; readonly filter: Filter | undefined }) {
    this.name = who.name;
    this.#version = who.version;
    this.#filter = who.filter;
  }

  get isClosed(): boolean {
    return this.#wire?.closed ?? true;
  }

  connect(wire: FuzzWire): void {
    this.#wire = wire;
    const protocol = { protocolId: 'MQTT', protocolVersion: this.#version, keepalive: 0 } as const;
    const session =
      this.#version === 5 ? { clean: false, properties: { sessionExpiryInterval: 1000 } } : { clean: true };
    this.#send({ cmd: 'connect', clientId: this.name, ...protocol, ...session });
  }

  publish(topic: string, number: number): void {
    const qos = (number % 3) as 0 | 1 | 2;
    this.#packetId = (this.#packetId % 65_535) + 1;
    if (qos > 0) this.unacknowledged++;
    const id = qos > 0 ? { messageId: this.#packetId } : {};
    this.#send({ cmd: 'publish', topic, payload: `${number}`, qos, retain: false, dup: false, ...id });
  }

  /** Answers what came. False when nothing had to be said. */
  answer(): boolean {
    assert.ok(!this.isClosed, 'a witness stays connected');
    let answered = false;
    for (const packet of this.#wire?.received.splice(0) ?? []) answered = this.#take(packet) || answered;
    return answered;
  }

  #take(packet: ControlPacket): boolean {
    const messageId = packet.messageId ?? 0;
    switch (packet.cmd) {
      case 'publish':
        // What was retained comes with the subscription, in any order.
        if (!packet.retain) this.messages.push(`${packet.topic} ${packet.payload}`);
        if (packet.qos > 0) this.#send({ cmd: packet.qos === 1 ? 'puback' : 'pubrec', messageId });
        return packet.qos > 0;
      case 'pubrel':
        this.#send({ cmd: 'pubcomp', messageId });
        return true;
      case 'pubrec':
        this.#send({ cmd: 'pubrel', messageId });
        return true;
      case 'puback':
      case 'pubcomp':
        this.unacknowledged--;
        return true;
      case 'connack':
        if (this.#filter === undefined || packet.sessionPresent) return false;
        this.#send({ cmd: 'subscribe', messageId: 1, subscriptions: [this.#filter] });
        return true;
      case 'suback':
        return false;
      default:
        throw new assert.AssertionError({ message: `the broker sent a witness ${packet.cmd}` });
    }
  }

  #send(packet: ControlPacket): void {
    this.#wire?.send(encodePacket(packet, this.#version));
  }
}

assert.ok(
  brokerLimits(limits).outputBytesMax === outputBytesMax,
  'the bounds of the siege are lower than the ceilings',
);
