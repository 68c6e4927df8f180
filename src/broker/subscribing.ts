// SUBSCRIBE and UNSUBSCRIBE of one client, filter by filter: the topic service's filters go to it, the others to
// the exchange after the authoriser was asked. The packet's form is valid; filters are judged here.
//
//   SUBSCRIBE ──each filter──► granted QoS, or why not [MQTT-3.9.3-2]      5.0: 0x87 0x8f 0x97; 3.x: 0x80
//                 └─ granted ─► retained messages, as retain handling says, behind the SUBACK
//
// The session remembers both kinds; a resumed session tells the service which of its filters it still holds.

import type { Log } from '../platform/log.ts';
import type { MqttVersion } from '../protocol/mqtt/frame.ts';
import type { SubscribePacket } from '../protocol/mqtt/packet.ts';
import type { Qos } from '../protocol/mqtt/publish.ts';
import { isFailure, reasonCode } from '../protocol/mqtt/reason-codes.ts';
import { isValidTopicFilter, parseShare } from '../protocol/mqtt/topic.ts';
import type { BrokerLimits } from './broker-limits.ts';
import type { Exchange } from './exchange.ts';
import type { Authoriser, BrokerClient, Principal, TopicProtocol } from './ports.ts';
import type { Session, SubscriptionOptions } from './session.ts';
import type { SubscriptionRefusal, Traffic } from './traffic.ts';

export interface Subscriber {
  readonly session: Session;
  readonly client: BrokerClient;
  readonly principal: Principal;
  readonly version: MqttVersion;
}

interface SubscribingShare {
  readonly service: TopicProtocol | undefined;
  readonly exchange: Exchange;
  readonly authoriser: Authoriser;
  readonly limits: BrokerLimits;
  readonly log: Log;
  readonly traffic: Traffic;
}

interface Wanted {
  readonly filter: string;
  readonly options: SubscriptionOptions;
}

interface Refused {
  readonly filter: string;
  readonly code: number;
}

/** What became of a SUBSCRIBE. */
export interface Subscribed {
  /** One for each filter: the granted QoS, or a failure of the client's version. */
  readonly codes: readonly number[];
  /** Filters whose retained messages the client is to get. */
  readonly replays: readonly string[];
}

const alwaysReplay = 0;
const replayIfNew = 1;
const failure311 = 0x80;
const loggedCharactersMax = 256;
const refusals: Readonly<Record<number, SubscriptionRefusal>> = {
  [reasonCode.notAuthorized]: 'not-authorized',
  [reasonCode.quotaExceeded]: 'quota-exceeded',
};

/** A filter of the packet that has no valid form: the client broke the protocol [MQTT-4.7.1-1 … 4.7.3-1, 4.8.2-1]. */
export function malformedFilter(filters: readonly string[], version: MqttVersion): string | undefined {
  return filters.find((filter) => !isValidTopicFilter(filter, version));
}

/** Subscribes to the filters of `packet`, which have a valid form. */
export function subscribe(packet: SubscribePacket, subscriber: Subscriber, share: SubscribingShare): Subscribed {
  const subscriptionId = packet.properties?.subscriptionIdentifier ?? 0;
  const codes: number[] = [];
  const replays: string[] = [];
  const refused: Refused[] = [];
  for (const { topic: filter, qos, nl = false, rap = false, rh = 0 } of packet.subscriptions) {
    const retainHandling = rh as SubscriptionOptions['retainHandling'];
    const options = { qos, noLocal: nl, retainAsPublished: rap, retainHandling, subscriptionId };
    const code = grant({ filter, options }, { subscriber, share, replays });
    if (isFailure(code)) {
      refused.push({ filter, code });
      share.traffic.subscriptionRefused(refusals[code] ?? 'other');
    }
    codes.push(isFailure(code) && subscriber.version !== 5 ? failure311 : code);
  }
  if (refused.length > 0) logRefused(refused, subscriber, share);
  return { codes, replays };
}

/** One line a packet: a client chooses how many filters it sends, and how long they are. */
function logRefused(refused: readonly Refused[], { session }: Subscriber, { log }: SubscribingShare): void {
  const [{ filter, code }] = refused as [Refused];
  const fields = { client: session.clientId, filter: filter.slice(0, loggedCharactersMax), reason: code };
  log.warn('subscription refused', refused.length === 1 ? fields : { ...fields, filters: refused.length });
}

/** Starts the retained messages of what was subscribed; they follow the SUBACK. */
export function replayRetained(
  replays: readonly string[],
  { session }: Subscriber,
  { exchange }: SubscribingShare,
): void {
  for (const filter of replays) {
    if (session.subscriptions.has(filter)) exchange.replay(session, filter);
  }
}

/** For each filter whether it was held, as a reason code [MQTT-3.11.3-2]; 3.x ignores those that were not. */
export function unsubscribe(
  filters: readonly string[],
  { session, client }: Subscriber,
  { service, exchange }: SubscribingShare,
): readonly number[] {
  return filters.map((filter) => {
    const held = session.subscriptions.get(filter);
    if (held === undefined) return reasonCode.noSubscriptionExisted;
    if (held.owned) {
      session.revoke(filter);
      service?.unsubscribe(client, filter);
    } else {
      exchange.unsubscribe(session, filter);
    }
    return reasonCode.success;
  });
}

interface Grant {
  readonly subscriber: Subscriber;
  readonly share: SubscribingShare;
  readonly replays: string[];
}

function grant({ filter, options }: Wanted, { subscriber, share, replays }: Grant): number {
  const { session, principal } = subscriber;
  const { service, exchange, authoriser } = share;
  if (service?.ownsFilter(filter) === true) return grantOwned({ filter, options }, subscriber, share);
  const shared = parseShare(filter);
  if (!authoriser.maySubscribe(principal, shared?.filter ?? filter)) return reasonCode.notAuthorized;
  const subscribed = exchange.subscribe(session, filter, options);
  if (subscribed === 'full') return reasonCode.quotaExceeded;
  const { retainHandling } = options;
  const replays5 = retainHandling === alwaysReplay || (retainHandling === replayIfNew && subscribed === 'added');
  if (replays5 && exchange.owesRetained(session, filter)) replays.push(filter);
  return options.qos;
}

function grantOwned(
  { filter, options }: Wanted,
  { session, client }: Subscriber,
  { service, limits }: SubscribingShare,
): Qos | number {
  const { subscriptions } = session;
  if (!subscriptions.has(filter) && subscriptions.size >= limits.subscriptionsPerSessionMax) {
    return reasonCode.quotaExceeded;
  }
  const granted = service?.subscribe(client, filter, options.qos);
  if (granted === undefined) return reasonCode.topicFilterInvalid;
  session.grant(filter, { ...options, qos: granted, owned: true, replaying: false });
  return granted;
}
