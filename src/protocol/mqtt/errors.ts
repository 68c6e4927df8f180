// What can go wrong when speaking MQTT as a client, and when reading packets of anybody.
//
// A ProtocolProblem is a value, not an exception: malformed bytes from outside are an ordinary event, and the
// one who reads them decides what it means (the broker closes that connection, the client its link).

import { messageBytesMax, mqttClientWaitingMax } from '../../limits.ts';
import { WeirError } from '../../model/errors.ts';
import { reasonCode } from './reason-codes.ts';

/** Why a sequence of bytes is not the MQTT it claims to be. The texts are stable: they are metric labels. */
export type ProtocolProblem =
  | 'malformed-length'
  | 'packet-too-large'
  | 'malformed-packet'
  | 'malformed-topic'
  | 'malformed-filter'
  | 'unexpected-packet'
  | 'invalid-packet-id'
  | 'protocol-error'
  | 'topic-alias-invalid'
  | 'payload-format-invalid'
  | 'unsupported-protocol';

const problemReasons: Readonly<Record<ProtocolProblem, number>> = {
  'malformed-length': reasonCode.malformedPacket,
  'packet-too-large': reasonCode.packetTooLarge,
  'malformed-packet': reasonCode.malformedPacket,
  'malformed-topic': reasonCode.topicNameInvalid,
  'malformed-filter': reasonCode.topicFilterInvalid,
  'unexpected-packet': reasonCode.protocolError,
  'invalid-packet-id': reasonCode.protocolError,
  'protocol-error': reasonCode.protocolError,
  'topic-alias-invalid': reasonCode.topicAliasInvalid,
  'payload-format-invalid': reasonCode.payloadFormatInvalid,
  'unsupported-protocol': reasonCode.unsupportedProtocolVersion,
};

/** The reason code with which an MQTT 5 server says `problem` (§4.13). */
export function problemReason(problem: ProtocolProblem): number {
  return problemReasons[problem];
}

/** MQTT_LINK_LOST · MQTT_REFUSED · MQTT_DISCONNECTED · MQTT_NOT_TAKEN · MQTT_PROTOCOL_ERROR · MQTT_TIMEOUT · MQTT_QUEUE_FULL · MQTT_MESSAGE_INVALID · MQTT_CONSUMER_FAILED */
export class MqttError extends WeirError {}

export function linkLost(clientId: string): MqttError {
  return new MqttError({
    code: 'MQTT_LINK_LOST',
    message: `The MQTT connection of ${clientId} ended before the other side acknowledged. Send again after reconnecting.`,
    retryable: true,
    fields: { client: clientId },
  });
}

export function protocolError(clientId: string, detail: string): MqttError {
  return new MqttError({
    code: 'MQTT_PROTOCOL_ERROR',
    message: `The server of ${clientId} broke the MQTT protocol (${detail}). Is this an MQTT server of the version that is spoken?`,
    retryable: true,
    fields: { client: clientId, detail },
  });
}

const refusals: Readonly<Record<number, string>> = {
  1: 'unacceptable protocol version',
  2: 'identifier rejected',
  3: 'server unavailable',
  4: 'bad user name or password',
  5: 'not authorized',
};

/** The name of a reason code of MQTT 5, as words: `quota exceeded`. */
export function reasonText(reason: number): string {
  const name = Object.entries(reasonCode).find(([, code]) => code === reason)?.[0];
  return name === undefined ? `code ${reason}` : name.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

/**
 * CONNACK return code 1 to 5 (MQTT 3.1.1 §3.2.2.3), or a reason code of 5.0 from 0x80 on. Only a server that is
 * unavailable or busy is worth trying again unchanged.
 */
export function connectionRefused(clientId: string, returnCode: number): MqttError {
  const reason = refusals[returnCode] ?? reasonText(returnCode);
  const passing: readonly number[] = [3, reasonCode.serverUnavailable, reasonCode.serverBusy];
  return new MqttError({
    code: 'MQTT_REFUSED',
    message: `The server refused the connection of ${clientId}: ${reason}. Check the identity, its key and the clock.`,
    retryable: passing.includes(returnCode),
    fields: { client: clientId, returnCode },
  });
}

/** A server of 5.0 ended the connection and said why. */
export function disconnectedByServer(clientId: string, reason: number, text: string | undefined): MqttError {
  return new MqttError({
    code: 'MQTT_DISCONNECTED',
    message: `The server ended the connection of ${clientId}: ${reasonText(reason)}${text === undefined ? '' : ` (${text})`}.`,
    retryable: true,
    fields: { client: clientId, reason },
  });
}

/** A server of 5.0 answered a PUBLISH with a failure. */
export function notTaken(clientId: string, reason: number): MqttError {
  return new MqttError({
    code: 'MQTT_NOT_TAKEN',
    message: `The server did not take a message of ${clientId}: ${reasonText(reason)}.`,
    retryable: reason === reasonCode.quotaExceeded || reason === reasonCode.implementationSpecificError,
    fields: { client: clientId, reason },
  });
}

export function timedOut(clientId: string, what: string): MqttError {
  return new MqttError({
    code: 'MQTT_TIMEOUT',
    message: `The server of ${clientId} did not answer ${what} in time: the connection is given up as dead.`,
    retryable: true,
    fields: { client: clientId, what },
  });
}

export function queueFull(clientId: string): MqttError {
  return new MqttError({
    code: 'MQTT_QUEUE_FULL',
    message: `More than ${mqttClientWaitingMax} messages of ${clientId} wait to be sent. Wait for earlier publishes before adding more.`,
    retryable: true,
    fields: { client: clientId, waitingMax: mqttClientWaitingMax },
  });
}

export function messageInvalid(clientId: string, topic: string, payloadBytes: number): MqttError {
  return new MqttError({
    code: 'MQTT_MESSAGE_INVALID',
    message: `A message of ${clientId} cannot be sent: the topic is no valid topic name, or ${payloadBytes} bytes are more than ${messageBytesMax}.`,
    fields: { client: clientId, topic, payloadBytes },
  });
}

export function consumerFailed(clientId: string, topic: string, cause: unknown): MqttError {
  return new MqttError({
    code: 'MQTT_CONSUMER_FAILED',
    message: `A message for ${clientId} could not be taken: the connection ends unacknowledged, so that the server sends it again.`,
    retryable: true,
    fields: { client: clientId, topic },
    cause,
  });
}
