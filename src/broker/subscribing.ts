// SUBSCRIBE and UNSUBSCRIBE of one client, filter by filter: the topic service's filters go to it, the others to
// the exchange after the authoriser was asked. The filters are valid.
//
// The session remembers both kinds; a resumed session tells the service which of its filters it still holds.

import type { Log } from '../platform/log.ts';
import type { Qos } from '../protocol/mqtt/publish.ts';
import type { BrokerLimits } from './broker-limits.ts';
import type { Exchange } from './exchange.ts';
import type { Authoriser, BrokerClient, Principal, TopicProtocol } from './ports.ts';
import type { Session } from './session.ts';

export interface Subscriber {
  readonly session: Session;
  readonly client: BrokerClient;
  readonly principal: Principal;
}

interface SubscribingShare {
  readonly service: TopicProtocol | undefined;
  readonly exchange: Exchange;
  readonly authoriser: Authoriser;
  readonly limits: BrokerLimits;
  readonly log: Log;
}

interface WantedSubscription {
  readonly topic: string;
  readonly qos: Qos;
}

const refused = 0x80;
const plainOptions = { noLocal: false, retainAsPublished: false, retainHandling: 0, subscriptionId: 0 } as const;

/** The granted QoS of each filter, or 0x80 [MQTT-3.9.3-2]. */
export function subscribe(
  wanted: readonly WantedSubscription[],
  subscriber: Subscriber,
  share: SubscribingShare,
): readonly number[] {
  return wanted.map(({ topic: filter, qos }) => {
    const granted = grant({ topic: filter, qos }, subscriber, share);
    if (granted === undefined) share.log.warn('subscription refused', { client: subscriber.session.clientId, filter });
    return granted ?? refused;
  });
}

/** Starts the retained messages of the filters that were granted; they follow the SUBACK. */
export function replayRetained(
  wanted: readonly WantedSubscription[],
  { session }: Subscriber,
  { exchange }: SubscribingShare,
): void {
  for (const { topic: filter } of wanted) {
    const held = session.subscriptions.get(filter);
    if (held?.owned === false) exchange.replay(session, filter);
  }
}

/** Filters that are not held are ignored [MQTT-3.10.4-5]. */
export function unsubscribe(
  filters: readonly string[],
  { session, client }: Subscriber,
  { service, exchange }: SubscribingShare,
): void {
  for (const filter of filters) {
    const held = session.subscriptions.get(filter);
    if (held?.owned === true) {
      session.subscriptions.delete(filter);
      service?.unsubscribe(client, filter);
    } else if (held !== undefined) {
      exchange.unsubscribe(session, filter);
    }
  }
}

function grant(
  { topic: filter, qos }: WantedSubscription,
  { session, client, principal }: Subscriber,
  share: SubscribingShare,
): Qos | undefined {
  const { service, exchange, authoriser, limits } = share;
  if (service?.ownsFilter(filter) !== true) {
    if (!authoriser.maySubscribe(principal, filter)) return undefined;
    return exchange.subscribe(session, filter, { ...plainOptions, qos }) === 'full' ? undefined : qos;
  }
  const { subscriptions } = session;
  if (!subscriptions.has(filter) && subscriptions.size >= limits.subscriptionsPerSessionMax) return undefined;
  const granted = service.subscribe(client, filter, qos);
  if (granted !== undefined) subscriptions.set(filter, { ...plainOptions, qos: granted, owned: true });
  return granted;
}
