// One bridge: the topics that this broker and another one share, through a queue on the way out.
//
//   out   tapped ─► remoteTopics() ─► queue bridge/<name> ─(drain)─► flight ─► the other broker, QoS 1
//   in    the other broker ─► localTopics() ─► this broker ─► PUBACK when all who subscribed have it safe
//
// A message goes out at least once and in the order in which this broker took it; it comes in at least once and in the
// order in which the other one sent it. What came in over a bridge never goes out over the same one.
//
// Dropped, counted and said: what the other broker can never take (too large, by its own words), and what has no
// possible name on the other side.

import { bridgeTopicsMax, bridgeWindowBytes, bridgeWindowMessages, messageBytesMax } from '../limits.ts';
import type { Message, StreamPosition } from '../model/message.ts';
import { telemetryPacket } from '../protocol/iothub/telemetry-template.ts';
import { localTopics, mayEcho, remoteFilters, remoteTopics, type TopicRule } from '../protocol/mqtt/bridge-topics.ts';
import type { MqttClient, MqttClientMessage, MqttClientPublish } from '../protocol/mqtt/client.ts';
import { PublishFlight } from '../protocol/mqtt/flight.ts';
import { bridgeNotTaken, bridgeOffline } from './errors.ts';
import type { LocalBroker } from './ports.ts';
import { type RemoteBroker, RemoteLink, type RemoteLinkPorts } from './remote-link.ts';
import { bridgedPacket } from './stored-form.ts';

export interface BridgePorts extends RemoteLinkPorts {
  readonly local: LocalBroker;
}

/** A queued message as drains hand it over. */
interface Outgoing {
  readonly message: Message;
  readonly hop: StreamPosition;
}

type Packet = MqttClientPublish & { readonly qos: 1 };

/** Where a queue of the bridge leads to: what a drain needs. */
export interface BridgeEndpoint {
  readonly window: { readonly messages: number; readonly bytes: number };
  readonly isReady: boolean;
  send(batch: readonly Outgoing[]): Promise<number>;
  ready(signal: AbortSignal): Promise<void>;
}

const logEveryMs = 10_000;

export class Bridge {
  readonly name: string;
  /** The queue of what goes out by topic. */
  readonly queue: string;
  readonly #ports: BridgePorts;
  readonly #link: RemoteLink;
  readonly #telemetryTopic: string | undefined;
  readonly #outlets: Outlet[] = [];
  readonly #ways = new Map<string, readonly string[]>();
  readonly #rules = { file: [] as readonly TopicRule[], twin: [] as readonly TopicRule[] };
  #all: readonly TopicRule[] = [];
  #quietUntilMs = 0;

  constructor(
    ports: BridgePorts,
    broker: RemoteBroker,
    { rules, telemetryTopic }: { readonly rules: readonly TopicRule[]; readonly telemetryTopic: string | undefined },
  ) {
    this.name = broker.name;
    this.queue = bridgeQueue(broker.name);
    this.#ports = ports;
    this.#telemetryTopic = telemetryTopic;
    this.#link = new RemoteLink(ports, broker, {
      onMessage: (message) => this.#receive(message),
      onConnected: (client) => this.#connected(client),
      onLost: () => {
        for (const outlet of this.#outlets) outlet.flight = undefined;
      },
      stalledMs: () => Math.max(0, ...this.#outlets.map(({ flight }) => flight?.stalledMs ?? 0)),
    });
    this.#rules.file = rules;
    this.#apply();
  }

  get isConnected(): boolean {
    return this.#link.isConnected;
  }

  start(): Promise<void> {
    return this.#link.start();
  }

  close(): Promise<void> {
    return this.#link.close();
  }

  /** The rules of the twin, beside those of the file. */
  setRules(rules: readonly TopicRule[]): void {
    this.#rules.twin = rules;
    this.#apply();
  }

  /** Names that a message of this broker has on the other one. */
  waysOut(topic: string): readonly string[] {
    const known = this.#ways.get(topic);
    if (known !== undefined) return known;
    const ways = remoteTopics(this.#all, topic);
    if (this.#ways.size >= bridgeTopicsMax) this.#ways.clear();
    this.#ways.set(topic, ways);
    return ways;
  }

  /** Drains the bridge's own queue. */
  topicEndpoint(): BridgeEndpoint {
    return this.#outlet(({ message }) => bridgedPacket(message, this.#ports.clock.wallMs()));
  }

  /** Drains telemetry, by the template of the configuration; undefined without one. */
  telemetryEndpoint(): BridgeEndpoint | undefined {
    const template = this.#telemetryTopic;
    return template === undefined ? undefined : this.#outlet((outgoing) => telemetryPacket(template, outgoing));
  }

  #outlet(wire: (outgoing: Outgoing) => Packet | undefined): BridgeEndpoint {
    const outlet = new Outlet(this.#link, (outgoing, client) => this.#fitting(wire(outgoing), client));
    this.#outlets.push(outlet);
    return outlet;
  }

  #apply(): void {
    this.#all = [...this.#rules.file, ...this.#rules.twin];
    this.#ways.clear();
    this.#link.setFilters(remoteFilters(this.#all));
  }

  #connected(client: MqttClient): void {
    const { clock, log } = this.#ports;
    for (const outlet of this.#outlets) outlet.open(client, () => clock.monotonicMs());
    if (this.#link.hasNoEcho || !mayEcho(this.#all)) return;
    log.warn('the other broker sends back what it gets: give the two directions topics of their own, or use MQTT 5', {
      bridge: this.name,
    });
  }

  #receive({ topic, ...message }: MqttClientMessage): Promise<void> {
    const isTooLarge = message.payload.length > messageBytesMax;
    const names = isTooLarge ? [] : localTopics(this.#all, topic);
    if (isTooLarge) this.#dropped('too-large', topic);
    else if (names.length === 0) this.#dropped('no-topic', topic);
    else this.#ports.metrics.counter('weir_bridge_messages_in_total', { bridge: this.name }).add();
    const delivered: Promise<void>[] = [];
    try {
      for (const name of names) delivered.push(this.#ports.local.deliver({ ...message, topic: name }, this.name));
    } catch (error) {
      // It comes again under all its names: what became of the first ones does not matter any more.
      for (const each of delivered) each.catch(() => undefined);
      throw error;
    }
    return Promise.all(delivered).then(() => undefined);
  }

  /** Undefined for what the other broker can never take. */
  #fitting(packet: Packet | undefined, client: MqttClient): Packet | undefined {
    if (packet === undefined) this.#dropped('no-topic', '');
    else if (!client.takesSize(packet)) this.#dropped('too-large', packet.topic);
    else return packet;
    return undefined;
  }

  #dropped(reason: 'no-topic' | 'too-large', topic: string): void {
    const { clock, log, metrics } = this.#ports;
    metrics.counter('weir_bridge_messages_dropped_total', { bridge: this.name, reason }).add();
    const nowMs = clock.monotonicMs();
    if (nowMs < this.#quietUntilMs) return;
    this.#quietUntilMs = nowMs + logEveryMs;
    log.warn('a bridged message is dropped; more are only counted for a while', { bridge: this.name, reason, topic });
  }
}

export function bridgeQueue(name: string): string {
  return `bridge/${name}`;
}

class Outlet implements BridgeEndpoint {
  readonly window = { messages: bridgeWindowMessages, bytes: bridgeWindowBytes };
  readonly #link: RemoteLink;
  readonly #wire: (outgoing: Outgoing, client: MqttClient) => Packet | undefined;
  flight: PublishFlight<Outgoing> | undefined;

  constructor(link: RemoteLink, wire: (outgoing: Outgoing, client: MqttClient) => Packet | undefined) {
    this.#link = link;
    this.#wire = wire;
  }

  get isReady(): boolean {
    return this.#link.isConnected;
  }

  ready(signal: AbortSignal): Promise<void> {
    return this.#link.ready(signal);
  }

  open(client: MqttClient, nowMs: () => number): void {
    const { name } = this.#link.broker;
    this.flight = new PublishFlight({
      client,
      nowMs,
      wire: (outgoing: Outgoing) => this.#wire(outgoing, client),
      failed: (cause) => (cause === undefined ? bridgeOffline(name) : bridgeNotTaken(name, cause)),
    });
  }

  async send(batch: readonly Outgoing[]): Promise<number> {
    if (this.flight === undefined || !this.isReady) throw bridgeOffline(this.#link.broker.name);
    return this.flight.send(batch);
  }
}
