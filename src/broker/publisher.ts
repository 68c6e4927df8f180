// What one client publishes: from its packets to the exchange or the topic service, and back its acknowledgements.
//
//   PUBLISH ──route of the topic──► exchange            ack at once, in its turn
//                  └─ owned ──────► service.publish()   ack when its promise resolved, in its turn
//
// Invariants
//   Acknowledgements leave in the order of arrival [MQTT-4.6.0-2], whatever the service settles first.
//   At most inflightInboundMax publishes are unsettled; at the bound the connection is not read.
//   A QoS 2 packet id is remembered from PUBLISH to PUBREL: a repetition is acknowledged, never passed on.
//   What was authorised for a topic holds for the next packets of the same topic, which are recognised by bytes.

import { Buffer } from 'node:buffer';
import { messageBytesMax } from '../limits.ts';
import { errorMessage } from '../model/errors.ts';
import { AckOrder } from '../protocol/mqtt/ack-order.ts';
import { packetType } from '../protocol/mqtt/frame.ts';
import type { PublishView } from '../protocol/mqtt/publish.ts';
import type { BrokerLimits } from './broker-limits.ts';
import type { EndReason } from './errors.ts';
import type { Exchange, TopicRoute } from './exchange.ts';
import type { PacketRange } from './packet-reader.ts';
import type { Authoriser, BrokerClient, InboundPublish, Principal, TopicProtocol } from './ports.ts';
import { type PublishScan, startsWith } from './publish-scan.ts';
import type { Session } from './session.ts';
import type { Traffic } from './traffic.ts';

export interface PublishSource {
  readonly session: Session;
  readonly client: BrokerClient;
  readonly principal: Principal;
}

/** The connection, as far as publishing needs it. */
interface PublishConnection {
  isOpen(): boolean;
  ack(type: number, packetId: number): void;
  /** Stops reading, until release(). */
  hold(): void;
  release(): void;
  end(reason: EndReason, detail?: string): void;
}

interface PublishShare {
  readonly limits: BrokerLimits;
  readonly authoriser: Authoriser;
  readonly service: TopicProtocol | undefined;
  readonly exchange: Exchange;
  readonly traffic: Traffic;
  readonly view: PublishView;
  readonly scan: PublishScan;
  track(work: Promise<void>): void;
}

/** The last topic: its length-prefixed bytes, and what was decided about it. */
interface TopicMemo {
  readonly bytes: Buffer;
  readonly route: TopicRoute;
}

export class Publisher {
  readonly #source: PublishSource;
  readonly #connection: PublishConnection;
  readonly #share: PublishShare;
  readonly #acks: AckOrder;
  #memo: TopicMemo | undefined;
  /** Publishes the topic service has not settled, and the packet ids of those of QoS 2. */
  #serving = 0;
  readonly #servingIds = new Set<number>();

  constructor(source: PublishSource, connection: PublishConnection, share: PublishShare) {
    this.#source = source;
    this.#connection = connection;
    this.#share = share;
    this.#acks = new AckOrder((type, packetId) => connection.ack(type, packetId));
  }

  /** Forwards the plain QoS 0 packets at `at` that have the last topic; returns the offset behind them. */
  run(buffer: Buffer, at: number, end: number): number {
    const memo = this.#memo;
    if (memo === undefined) return at;
    const { scan, exchange, traffic } = this.#share;
    scan.measure(buffer, { at, end, topic: memo.bytes });
    const { to, count } = scan;
    if (count === 0) return at;
    traffic.received(count);
    exchange.forwardRun(buffer, { from: at, to, count, version: 4 }, memo.route, this.#source.session);
    return to;
  }

  /** One whole PUBLISH packet. */
  publish(buffer: Buffer, { at, bodyAt, end }: PacketRange): void {
    const { view, exchange, traffic } = this.#share;
    const problem = view.read(buffer, { firstByte: buffer[at] as number, from: bodyAt, to: end });
    if (problem !== undefined || view.payloadBytes > messageBytesMax) {
      this.#connection.end(problem ?? 'packet-too-large', 'PUBLISH');
      return;
    }
    const route = this.#routeOf(view);
    if (route === undefined) return;
    traffic.received(1);
    const { qos, packetId } = view;
    const repeated = qos === 2 && !this.#source.session.receive(packetId);
    if (route.owned && !repeated) {
      this.#serve(view, route.topic);
      return;
    }
    if (!repeated) exchange.publish(view, route, this.#source.session);
    if (qos > 0) this.#acks.pass(qos === 1 ? packetType.puback : packetType.pubrec, packetId);
  }

  /**
   * The connection ended. A QoS 2 publish that is not known to be safe is forgotten, so that its repetition is
   * served again instead of acknowledged: rather twice than never.
   */
  close(): void {
    for (const packetId of this.#servingIds) this.#source.session.release(packetId);
    this.#servingIds.clear();
  }

  /** The route of the packet's topic; undefined when the connection ended over it. */
  #routeOf(view: PublishView): TopicRoute | undefined {
    const memo = this.#memo;
    const topicEnd = view.topicAt + view.topicBytes;
    if (memo?.bytes.length === topicEnd - view.from && startsWith(view.buffer, view.from, memo.bytes)) {
      return memo.route;
    }
    const { exchange, authoriser } = this.#share;
    const topic = view.topic();
    const route = topic === undefined ? undefined : exchange.route(topic);
    if (route === undefined) {
      this.#connection.end('malformed-topic', topic);
      return undefined;
    }
    if (route.owned) return route;
    if (!authoriser.mayPublish(this.#source.principal, route.topic)) {
      // 3.1.1 cannot say no [MQTT-3.3.5-2]; an acknowledgement would be a lie.
      this.#connection.end('not-authorized', `publish to ${route.topic}`);
      return undefined;
    }
    this.#memo = { bytes: Buffer.from(view.buffer.subarray(view.from, topicEnd)), route };
    return route;
  }

  #serve(view: PublishView, topic: string): void {
    const { service, limits, track } = this.#share;
    const { client } = this.#source;
    const { qos, retain, duplicate, packetId } = view;
    const publish: InboundPublish = { topic, payload: view.payload(), qos, retain, duplicate };
    const acknowledgement = qos === 1 ? packetType.puback : packetType.pubrec;
    const place = qos === 0 ? undefined : this.#acks.reserve(acknowledgement, packetId);
    this.#serving++;
    if (qos === 2) this.#servingIds.add(packetId);
    if (this.#serving >= limits.inflightInboundMax) this.#connection.hold();
    const settled = (): void => {
      this.#serving--;
      this.#servingIds.delete(packetId);
      if (!this.#connection.isOpen()) return;
      if (place !== undefined) this.#acks.settle(place);
      this.#connection.release();
    };
    const rejected = (error: unknown): void => {
      this.#serving--;
      this.#connection.end('service-rejected', `${topic}: ${errorMessage(error)}`);
    };
    const serve = async (): Promise<void> => service?.publish(client, publish);
    track(serve().then(settled, rejected));
  }
}
