// A broker under a script of hostile clients, with two witnesses that keep the protocol.
//
//   hostile 0, 1, 2 ──► broker ◄──► publisher (3.1.1) ─ witness/line ─► subscriber (5.0)
//
// What must hold, whatever the script says
//   every message of the publisher reaches the subscriber, once and in order, and is acknowledged
//   whatever the broker writes is valid (wire.ts), and what waits for a stalled client is bounded
//   nothing throws, no error is logged, and at the end nobody but the witnesses is there; close() comes to an end

import { strict as assert } from 'node:assert';
import { Broker } from '../../src/broker/broker.ts';
import { brokerLimits } from '../../src/broker/broker-limits.ts';
import type { Clock } from '../../src/platform/clock.ts';
import { createLog } from '../../src/platform/log.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import type { Connection, ConnectionSink, Network } from '../../src/platform/net.ts';
import { type ControlPacket, encodePacket } from '../../src/protocol/mqtt/packet.ts';
import { SimClock, settle } from '../support/sim-clock.ts';
import { places, type Script, type Step } from './script.ts';
import { FuzzWire } from './wire.ts';

const outputBytesMax = 16_384;
/** Beyond the bound: a packet that is allowed when nothing is owed, and the answers to one read. */
const outputSlackBytes = 24_576;
const answerRoundsMax = 12;
const witnessTopic = 'witness/line';

const limits = {
  ...{ outputBytesMax, queueMessagesMax: 20, queueBytesMax: 65_536, inflightOutboundMax: 8, inflightInboundMax: 8 },
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
  const siege = new Siege();
  await siege.start();
  for (const step of script) await siege.step(step);
  await siege.end();
}

class Siege {
  readonly #clock = new TurnClock();
  readonly #metrics = createMetrics();
  readonly #errors: string[] = [];
  readonly #broker: Broker;
  readonly #hostile: (FuzzWire | undefined)[] = Array.from({ length: places }, () => undefined);
  #accept: ((connection: Connection) => ConnectionSink) | undefined;
  #wires = 0;
  readonly #publisher: Witness;
  readonly #subscriber: Witness;
  #published = 0;

  constructor() {
    const network: Network = {
      listen: async (_endpoint, accept) => {
        this.#accept = accept;
        return { address: { path: 'memory' }, close: async () => undefined };
      },
      dial: () => {
        throw new Error('nobody dials');
      },
    };
    const write = (line: string): void => {
      if (/ error /.test(line.slice(0, 40))) this.#errors.push(line);
    };
    this.#broker = new Broker(
      {
        network,
        clock: this.#clock,
        log: createLog({ clock: this.#clock, level: 'error', write }),
        metrics: this.#metrics,
        authenticator: {
          authenticate: async ({ username }) => ({
            admitted: true,
            principal: { name: username ?? 'anonymous', identity: undefined },
            expiresAtMs: undefined,
          }),
        },
        authoriser: { mayPublish: (_principal, topic) => topic !== 'a/b/c', maySubscribe: () => true },
      },
      limits,
    );
    this.#publisher = new Witness(4);
    this.#subscriber = new Witness(5);
  }

  async start(): Promise<void> {
    await this.#broker.start();
    await this.#broker.listen('memory', { kind: 'unix', path: 'memory', mode: 0 });
    for (const [name, witness] of [
      ['subscriber', this.#subscriber],
      ['publisher', this.#publisher],
    ] as const) {
      witness.connect(this.#open(), name);
      await settle();
    }
    this.#subscriber.subscribe(witnessTopic);
    await settle();
    this.#subscriber.answer();
    this.#publisher.answer();
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
      case 'lose':
        wire?.lose();
        await Promise.resolve();
        break;
      case 'turn':
        await this.#witness();
        break;
      case 'pass':
        await this.#clock.advance(step.ms);
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
    assert.deepEqual(
      this.#broker
        .connectedClients()
        .map(({ clientId }) => clientId)
        .sort(),
      ['publisher', 'subscriber'],
    );
    await this.#broker.close();
    await settle();
    this.#checkErrors();
    assert.ok(this.#publisher.isClosed && this.#subscriber.isClosed, 'a closed broker has no connections');
    assert.equal(this.#clock.timerCount, 0, 'a closed broker has no timers');
  }

  /** One more message goes from witness to witness. */
  async #witness(): Promise<void> {
    await settle();
    this.#publisher.publish(witnessTopic, this.#published++);
    for (let round = 0; round < answerRoundsMax; round++) {
      await settle();
      const answered = [this.#publisher.answer(), this.#subscriber.answer()];
      if (!answered.includes(true)) break;
    }
    const wanted = Array.from({ length: this.#published }, (_, index) => `${index}`);
    assert.deepEqual(this.#subscriber.messages, wanted, 'every message of the witness arrives, once and in order');
    assert.equal(this.#publisher.unacknowledged, 0, 'every message of the witness is acknowledged');
  }

  #open(): FuzzWire {
    const wire = new FuzzWire(`memory:${++this.#wires}`);
    wire.sink = this.#accept?.(wire);
    return wire;
  }

  #checkErrors(): void {
    assert.deepEqual(this.#errors, [], 'no error is logged');
  }
}

/** A client that keeps the protocol. */
class Witness {
  readonly messages: string[] = [];
  unacknowledged = 0;
  readonly #version: 4 | 5;
  #wire: FuzzWire | undefined;
  #packetId = 0;

  constructor(version: 4 | 5) {
    this.#version = version;
  }

  get isClosed(): boolean {
    return this.#wire?.closed ?? true;
  }

  connect(wire: FuzzWire, name: string): void {
    this.#wire = wire;
    const protocol = { protocolId: 'MQTT', protocolVersion: this.#version, clean: true, keepalive: 0 } as const;
    this.#send({ cmd: 'connect', clientId: name, ...protocol });
  }

  subscribe(topic: string): void {
    this.#send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 2 }] });
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
        this.messages.push(packet.payload.toString());
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
      case 'suback':
        return true;
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
