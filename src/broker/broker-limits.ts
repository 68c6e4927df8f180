// The broker's bounds as one value: the ceilings of limits.ts, which a root or a test may lower. One of them is lower
// by itself: how many publishes of a connection are unsettled, which the hub's root raises to the ceiling.

import {
  brokerConnectionsMax,
  brokerConnectMsMax,
  brokerInflightInboundMax,
  brokerInflightOutboundMax,
  brokerOutputBytesMax,
  brokerOutputBytesTotalMax,
  brokerQueueBytesMax,
  brokerQueueBytesTotalMax,
  brokerQueueMessagesMax,
  brokerRetainedBytesMax,
  brokerRetainedBytesPerClientMax,
  brokerRetainedMessagesMax,
  brokerRetainedMessagesPerClientMax,
  brokerSessionsAwayMax,
  brokerStalledMsMax,
  brokerSubscriptionsMax,
  brokerSubscriptionsPerSessionMax,
  hubInflightInboundMax,
} from '../limits.ts';

/** Units and policies are described at the names' ceilings in limits.ts. */
export interface BrokerLimits {
  readonly connectionsMax: number;
  readonly sessionsAwayMax: number;
  readonly connectMsMax: number;
  readonly inflightInboundMax: number;
  readonly inflightOutboundMax: number;
  readonly queueMessagesMax: number;
  readonly queueBytesMax: number;
  readonly queueBytesTotalMax: number;
  readonly outputBytesMax: number;
  readonly outputBytesTotalMax: number;
  readonly subscriptionsPerSessionMax: number;
  readonly subscriptionsMax: number;
  readonly retainedMessagesMax: number;
  readonly retainedBytesMax: number;
  readonly retainedMessagesPerClientMax: number;
  readonly retainedBytesPerClientMax: number;
  readonly stalledMsMax: number;
}

const ceilings: BrokerLimits = {
  connectionsMax: brokerConnectionsMax,
  sessionsAwayMax: brokerSessionsAwayMax,
  connectMsMax: brokerConnectMsMax,
  inflightInboundMax: hubInflightInboundMax,
  inflightOutboundMax: brokerInflightOutboundMax,
  queueMessagesMax: brokerQueueMessagesMax,
  queueBytesMax: brokerQueueBytesMax,
  queueBytesTotalMax: brokerQueueBytesTotalMax,
  outputBytesMax: brokerOutputBytesMax,
  outputBytesTotalMax: brokerOutputBytesTotalMax,
  subscriptionsPerSessionMax: brokerSubscriptionsPerSessionMax,
  subscriptionsMax: brokerSubscriptionsMax,
  retainedMessagesMax: brokerRetainedMessagesMax,
  retainedBytesMax: brokerRetainedBytesMax,
  retainedMessagesPerClientMax: brokerRetainedMessagesPerClientMax,
  retainedBytesPerClientMax: brokerRetainedBytesPerClientMax,
  stalledMsMax: brokerStalledMsMax,
};

/** `lowered` where it is lower than the ceiling, else the ceiling; of inflightInboundMax brokerInflightInboundMax if not named. */
export function brokerLimits(lowered: Partial<BrokerLimits> = {}): BrokerLimits {
  const limits: Record<keyof BrokerLimits, number> = { ...ceilings, inflightInboundMax: brokerInflightInboundMax };
  for (const name of Object.keys(ceilings) as (keyof BrokerLimits)[]) {
    limits[name] = Math.min(ceilings[name], lowered[name] ?? limits[name]);
  }
  return limits;
}
