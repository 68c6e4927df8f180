// Why IoT Hub's device protocol refuses something. `fields.status` is the answer on the wire where there is one.

import { type Identity, identityKey } from '../../model/address.ts';
import { WeirError } from '../../model/errors.ts';

export class IotHubError extends WeirError {}

const badRequest = 400;
const forbidden = 403;
const notFound = 404;
const tooLarge = 413;
const tooMany = 429;
const gatewayTimeout = 504;

export function unknownTopicError(topic: string): IotHubError {
  return new IotHubError({
    code: 'IOTHUB_TOPIC_UNKNOWN',
    message: `Nothing can be published to '${topic}': it is in IoT Hub's name space and is none of its topics. Check its spelling.`,
    fields: { status: badRequest },
  });
}

export function badPropertiesError(topic: string, reason: string): IotHubError {
  return new IotHubError({
    code: 'IOTHUB_PROPERTIES_INVALID',
    message: `The properties in topic '${topic}' cannot be read: ${reason}.`,
    fields: { status: badRequest },
  });
}

export function badFrameError(reason: string): IotHubError {
  return new IotHubError({
    code: 'IOTHUB_FRAME_INVALID',
    message: `A frame of messages cannot be read: ${reason}. None of them was taken; they may be sent singly.`,
    fields: { status: badRequest },
  });
}

export function notPermittedError(speaker: string, topic: string): IotHubError {
  return new IotHubError({
    code: 'IOTHUB_NOT_PERMITTED',
    message: `'${speaker}' may not use '${topic}': it belongs to somebody else.`,
    fields: { status: forbidden },
  });
}

export function outOfTurnError(client: string): IotHubError {
  return new IotHubError({
    code: 'IOTHUB_OUT_OF_TURN',
    message: `An earlier message of '${client}' was refused, and with it this connection. Connect and send again from that one on.`,
    retryable: true,
    fields: { status: tooMany },
  });
}

export function qosError(topic: string): IotHubError {
  return new IotHubError({
    code: 'IOTHUB_QOS_UNSUPPORTED',
    message: `QoS 2 is not available on IoT Hub's topics ('${topic}'): publish with QoS 1.`,
    fields: { status: badRequest },
  });
}

export function tooLargeError(what: string, bytes: number, bytesMax: number): IotHubError {
  return new IotHubError({
    code: 'IOTHUB_TOO_LARGE',
    message: `${what} has ${bytes} bytes; ${bytesMax} are allowed.`,
    fields: { status: tooLarge, bytes },
  });
}

export function badPatchError(reason: string): IotHubError {
  return new IotHubError({
    code: 'IOTHUB_PATCH_INVALID',
    message: `Reported properties must be one JSON object: ${reason}.`,
    fields: { status: badRequest },
  });
}

export function busyError(what: string, countMax: number): IotHubError {
  return new IotHubError({
    code: 'IOTHUB_BUSY',
    message: `${countMax} ${what} are under way already: wait for their answers.`,
    retryable: true,
    fields: { status: tooMany },
  });
}

export function notListeningError(identity: Identity, what: string): IotHubError {
  return new IotHubError({
    code: 'IOTHUB_NOT_LISTENING',
    message: `'${identityKey(identity)}' is not connected or has not subscribed to ${what}.`,
    retryable: true,
    fields: { status: notFound, identity: identityKey(identity) },
  });
}

export function badMethodError(reason: string): IotHubError {
  return new IotHubError({
    code: 'IOTHUB_METHOD_INVALID',
    message: `The method cannot be called: ${reason}.`,
    fields: { status: badRequest },
  });
}

export function methodTimeoutError(identity: Identity, name: string, timeoutMs: number): IotHubError {
  return new IotHubError({
    code: 'IOTHUB_METHOD_TIMEOUT',
    message: `'${identityKey(identity)}' did not answer method '${name}' within ${timeoutMs} ms.`,
    retryable: true,
    fields: { status: gatewayTimeout, identity: identityKey(identity) },
  });
}

export function methodAnswerError(identity: Identity, name: string, reason: string): IotHubError {
  return new IotHubError({
    code: 'IOTHUB_METHOD_ANSWER_INVALID',
    message: `The answer of '${identityKey(identity)}' to method '${name}' cannot be used: ${reason}.`,
    fields: { identity: identityKey(identity) },
  });
}

const relayedCode = /^IOTHUB_[A-Z_]{1,60}$/;

/** What the gateway that was to pass on a call said in the callee's place. */
export function relayedError(
  identity: Identity,
  { code, status, message }: { readonly code: string; readonly status: number; readonly message: string },
): IotHubError {
  const known = relayedCode.test(code);
  return new IotHubError({
    code: known ? code : 'IOTHUB_METHOD_ANSWER_INVALID',
    message: message === '' ? `The gateway of '${identityKey(identity)}' could not pass on the call.` : message,
    retryable: known && status !== badRequest && status !== tooLarge,
    fields: known ? { status, identity: identityKey(identity) } : { identity: identityKey(identity) },
  });
}

/** The gateway had the message and the device left without acknowledging it. */
export function notSettledError(identity: Identity): IotHubError {
  return new IotHubError({
    code: 'IOTHUB_NOT_SETTLED',
    message: `'${identityKey(identity)}' disconnected before it acknowledged the message. It is sent again.`,
    retryable: true,
    fields: { status: notFound, identity: identityKey(identity) },
  });
}

export function clientGoneError(identity: Identity, name: string): IotHubError {
  return new IotHubError({
    code: 'IOTHUB_CLIENT_GONE',
    message: `'${identityKey(identity)}' disconnected before it answered method '${name}'.`,
    retryable: true,
    fields: { status: notFound, identity: identityKey(identity) },
  });
}
