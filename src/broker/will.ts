// The message a client leaves behind, published when its connection ends without a plain DISCONNECT [MQTT-3.1.2-8]:
// at once, or after its delay, or when the session ends, whichever is first (MQTT 5 §3.1.3.2.2).
//
//   connection lost ──delay 0, or session ended──► published
//         └─delay > 0──► waiting ──delay over, session ended──► published
//                           └─client is back in the same session──► forgotten [MQTT-3.1.3-9]
//
// A will that waits belongs to its session: the session store keeps both. Whether it may be published was decided
// when the client connected; a topic that the topic service owns is the service's to refuse. One will a session, and
// all of them together are bounded by their bytes.

import { Buffer } from 'node:buffer';
import { brokerWillBytesMax } from '../limits.ts';
import { errorMessage } from '../model/errors.ts';
import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { ConnectPacket } from '../protocol/mqtt/packet.ts';
import { PublishView } from '../protocol/mqtt/publish.ts';
import type { Exchange } from './exchange.ts';
import type { BrokerClient, StoredWill, TopicProtocol } from './ports.ts';

export interface Will {
  readonly topic: string;
  readonly view: PublishView;
  readonly delaySeconds: number;
  /** Message expiry from the publication on; undefined: never. */
  readonly expirySeconds: number | undefined;
}

/** Who keeps the will while it waits. */
export interface WillKeeper {
  readonly clientId: string;
  will: StoredWill | undefined;
}

interface Waiting {
  readonly will: Will;
  readonly keeper: WillKeeper;
  readonly dueMs: number;
}

interface WillShare {
  readonly clock: Clock;
  readonly service: TopicProtocol | undefined;
  readonly exchange: Exchange;
  readonly log: Log;
  track(work: Promise<void>): void;
}

const millisecondsPerSecond = 1000;

/** The will of a CONNECT; its topic is valid. */
export function willOf({
  topic,
  payload,
  qos = 0,
  retain = false,
  properties = {},
  propertyBytes,
}: NonNullable<ConnectPacket['will']>): Will {
  const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
  const { willDelayInterval = 0, messageExpiryInterval } = properties;
  const view = PublishView.of({ topic, payload: bytes, qos, retain, propertyBytes });
  return { topic, view, delaySeconds: willDelayInterval, expirySeconds: messageExpiryInterval };
}

/** How the session store keeps it. */
export function storedWill({ view, delaySeconds, expirySeconds }: Will): StoredWill {
  return { canonical: view.canonical(), qos: view.qos, retain: view.retain, delaySeconds, expirySeconds };
}

/** And how it comes back. */
export function willFromStored({ canonical, qos, retain, delaySeconds, expirySeconds }: StoredWill): Will {
  const view = PublishView.fromCanonical(canonical, { qos, retain, expiresAtMs: 0 });
  return { topic: view.topic() ?? '', view, delaySeconds, expirySeconds };
}

/** The wills of clients that are gone. */
export class Wills {
  readonly #share: WillShare;
  readonly #waiting = new Map<string, Waiting>();
  /** Of the wills that wait, and of the clients that are there. */
  #bytes = 0;

  constructor(share: WillShare) {
    this.#share = share;
  }

  /** Wills that wait for their time. */
  get length(): number {
    return this.#waiting.size;
  }

  /** Of the wills that wait, and of the clients that are there. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Whether the will of a client that wants to enter fits. */
  hasRoom({ view }: Will): boolean {
    return this.#bytes + view.buffer.length <= brokerWillBytesMax;
  }

  /** Its client entered: the will counts until left(). */
  entered({ view }: Will): void {
    this.#bytes += view.buffer.length;
  }

  /** The connection ended of the client whose will it is; before leave(). */
  left({ view }: Will): void {
    this.#bytes -= view.buffer.length;
  }

  /**
   * The connection of `client` ended; `keeper` is its session, undefined when that ended too. The topic service's
   * topics know no delay: the service sees clients that are there.
   */
  leave(will: Will, client: BrokerClient, keeper: WillKeeper | undefined): void {
    const { service, exchange, log, track } = this.#share;
    const { topic, view, delaySeconds } = will;
    if (exchange.route(topic)?.owned === true) {
      const { qos, retain } = view;
      const publish = { topic, payload: view.payload(), qos, retain, duplicate: false, will: true } as const;
      const serve = async (): Promise<void> => service?.publish(client, publish);
      const refused = (error: unknown): void => {
        log.warn('will refused', { client: client.clientId, topic, reason: errorMessage(error) });
      };
      track(serve().catch(refused));
      return;
    }
    if (delaySeconds > 0 && keeper !== undefined) this.wait(will, keeper, delaySeconds * millisecondsPerSecond);
    else this.#publish(will);
  }

  /** The will of a client that is away is published in `delayMs`. */
  wait(will: Will, keeper: WillKeeper, delayMs: number): void {
    this.forget(keeper.clientId);
    this.entered(will);
    this.#waiting.set(keeper.clientId, { will, keeper, dueMs: this.#share.clock.monotonicMs() + delayMs });
  }

  /** The client is back in its session. */
  forget(clientId: string): void {
    const waiting = this.#waiting.get(clientId);
    if (waiting === undefined) return;
    this.#waiting.delete(clientId);
    this.left(waiting.will);
  }

  /** The session is over: its will waits no longer. */
  sessionEnded(clientId: string): void {
    const waiting = this.#waiting.get(clientId);
    if (waiting === undefined) return;
    this.forget(clientId);
    this.#publish(waiting.will);
  }

  /** Publishes what is due. */
  sweep(monotonicMs: number): void {
    for (const [clientId, { will, keeper, dueMs }] of this.#waiting) {
      if (monotonicMs < dueMs) continue;
      this.forget(clientId);
      this.#publish(will);
      keeper.will = undefined;
    }
  }

  #publish({ topic, view, expirySeconds }: Will): void {
    const { exchange, clock, log } = this.#share;
    const route = exchange.route(topic);
    if (route === undefined || route.owned) return;
    view.expirySeconds = expirySeconds;
    view.expiresAtMs =
      expirySeconds === undefined ? 0 : Math.max(1, clock.monotonicMs() + expirySeconds * millisecondsPerSecond);
    exchange.publish(view, route, undefined);
    const tapped = exchange.tap(view, route);
    if (tapped === undefined) return;
    this.#share.track(
      tapped.catch((error: unknown) => log.warn('a will was not taken along', { topic, reason: errorMessage(error) })),
    );
  }
}
