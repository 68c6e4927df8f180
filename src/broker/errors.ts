// How a connection ends, and what the broker tells those who give it messages from inside.

import { WeirError } from '../model/errors.ts';
import type { ProtocolProblem } from '../protocol/mqtt/errors.ts';

/** Why a connection ended: the label of weir_broker_disconnects_total. Stable texts. */
export type EndReason =
  | ProtocolProblem
  | 'client-disconnect'
  | 'client-disconnect-with-will'
  | 'connection-lost'
  | 'connect-timeout'
  | 'keep-alive-timeout'
  | 'credentials-expired'
  | 'identifier-rejected'
  | 'bad-credentials'
  | 'unavailable'
  | 'not-authorized'
  | 'bad-authentication-method'
  | 'service-rejected'
  | 'storage-failed'
  | 'store-full'
  | 'input-overrun'
  | 'quota-exceeded'
  | 'receive-maximum-exceeded'
  | 'slow-client'
  | 'connection-rate'
  | 'taken-over'
  | 'disconnected'
  | 'closing';

/** BROKER_CLIENT_GONE · BROKER_QUEUE_FULL · BROKER_MESSAGE_INVALID · BROKER_STORE_FULL · BROKER_CLOSED */
export class BrokerError extends WeirError {}

export function clientGone(clientId: string): BrokerError {
  return new BrokerError({
    code: 'BROKER_CLIENT_GONE',
    message: `Client ${clientId} disconnected before it acknowledged the message. Send it again when the client is back.`,
    retryable: true,
    fields: { client: clientId },
  });
}

export function queueFull(clientId: string): BrokerError {
  return new BrokerError({
    code: 'BROKER_QUEUE_FULL',
    message: `Client ${clientId} takes messages more slowly than they come, and its queue is full. Send again later.`,
    retryable: true,
    fields: { client: clientId },
  });
}

export function messageInvalid(topic: string, payloadBytes: number): BrokerError {
  return new BrokerError({
    code: 'BROKER_MESSAGE_INVALID',
    message: `A message cannot be published: its topic is no valid topic name, or its ${payloadBytes} bytes are too many.`,
    fields: { topic, payloadBytes },
  });
}

export function storeFull(topic: string): BrokerError {
  return new BrokerError({
    code: 'BROKER_STORE_FULL',
    message: `A message of ${topic} has to be kept for somebody who is away, and the session store is full. It is tried again.`,
    retryable: true,
    fields: { topic },
  });
}

export function brokerClosed(): BrokerError {
  return new BrokerError({
    code: 'BROKER_CLOSED',
    message: 'The broker is closed: it accepts no listeners and no messages any more.',
  });
}
