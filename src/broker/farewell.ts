// The last word to a client, in its version's own form: CONNACK while it is not admitted, DISCONNECT afterwards.
//
//   3.1, 3.1.1   CONNACK with one of five return codes; a DISCONNECT of the server does not exist
//   5.0          CONNACK or DISCONNECT with a reason code, and a reason string, which these two packets may always
//                carry [MQTT-3.1.2-29]
//
// The string names the reason and, where the client's own packets are to blame, the detail. Why somebody was not
// admitted stays in the log: whoever asks has not shown who they are.

import { Buffer } from 'node:buffer';
import { type ProtocolProblem, problemReason } from '../protocol/mqtt/errors.ts';
import { packetType, typeShift } from '../protocol/mqtt/frame.ts';
import { encodePacket } from '../protocol/mqtt/packet.ts';
import { mayCarryReason, reasonCode } from '../protocol/mqtt/reason-codes.ts';
import type { ClientWire } from './client-wire.ts';
import type { EndReason } from './errors.ts';

export interface Farewell {
  readonly reason: EndReason;
  readonly detail: string | undefined;
}

type OwnReason = Exclude<EndReason, ProtocolProblem>;

/** Undefined: the client needs no word, or could not hear it. */
const reasonCodes: Readonly<Record<OwnReason, number | undefined>> = {
  'client-disconnect': undefined,
  'client-disconnect-with-will': undefined,
  'connection-lost': undefined,
  'connect-timeout': reasonCode.unspecifiedError,
  'keep-alive-timeout': reasonCode.keepAliveTimeout,
  'credentials-expired': reasonCode.maximumConnectTime,
  'identifier-rejected': reasonCode.clientIdentifierNotValid,
  'bad-credentials': reasonCode.badUserNameOrPassword,
  'bad-authentication-method': reasonCode.badAuthenticationMethod,
  unavailable: reasonCode.serverUnavailable,
  'not-authorized': reasonCode.notAuthorized,
  'service-rejected': reasonCode.implementationSpecificError,
  'storage-failed': reasonCode.implementationSpecificError,
  'store-full': reasonCode.quotaExceeded,
  'input-overrun': reasonCode.quotaExceeded,
  'quota-exceeded': reasonCode.quotaExceeded,
  'receive-maximum-exceeded': reasonCode.receiveMaximumExceeded,
  'slow-client': reasonCode.quotaExceeded,
  'taken-over': reasonCode.sessionTakenOver,
  disconnected: reasonCode.administrativeAction,
  closing: reasonCode.serverShuttingDown,
  'connection-rate': undefined,
};

/** CONNACK return codes of 3.1 and 3.1.1 (§3.2.2.3); what is not here gets no answer. */
const returnCodes: Readonly<Partial<Record<EndReason, number>>> = {
  'unsupported-protocol': 1,
  'identifier-rejected': 2,
  unavailable: 3,
  'quota-exceeded': 3,
  closing: 3,
  'bad-credentials': 4,
  'not-authorized': 5,
};

/** Reasons whose detail is about the client's own doing. */
const explained: ReadonlySet<EndReason> = new Set<EndReason>([
  'malformed-length',
  'packet-too-large',
  'malformed-packet',
  'malformed-topic',
  'malformed-filter',
  'unexpected-packet',
  'invalid-packet-id',
  'protocol-error',
  'topic-alias-invalid',
  'payload-format-invalid',
  'quota-exceeded',
  'receive-maximum-exceeded',
  'service-rejected',
  'disconnected',
]);

/** Longest reason string: one line of a log. */
const reasonCharactersMax = 200;

/** The CONNACK that refuses; undefined when the version has none for the reason. */
export function refusal(wire: ClientWire, farewell: Farewell): Buffer | undefined {
  if (wire.version !== 5) {
    const returnCode = returnCodes[farewell.reason];
    return returnCode === undefined ? undefined : Buffer.from([packetType.connack << typeShift, 2, 0, returnCode]);
  }
  let code = codeOf(farewell.reason);
  if (code === undefined) return undefined;
  if (code === reasonCode.serverShuttingDown) code = reasonCode.serverUnavailable;
  if (!mayCarryReason(packetType.connack, code)) code = reasonCode.unspecifiedError;
  const properties = { reasonString: reasonText(farewell) };
  const explanation = encodePacket({ cmd: 'connack', sessionPresent: false, reasonCode: code, properties }, 5);
  // Of a later version nobody knows how it reads properties.
  const isKnown = farewell.reason !== 'unsupported-protocol';
  if (isKnown && explanation.length <= wire.packetBytesMax) return explanation;
  const bare = Buffer.from([packetType.connack << typeShift, 3, 0, code, 0]);
  return bare.length <= wire.packetBytesMax ? bare : undefined;
}

/** The DISCONNECT that ends an open connection; undefined when there is none to send [MQTT-3.14.0-1]. */
export function disconnection(wire: ClientWire, farewell: Farewell): Buffer | undefined {
  if (wire.version !== 5) return undefined;
  let code = codeOf(farewell.reason);
  if (code === undefined) return undefined;
  if (!mayCarryReason(packetType.disconnect, code)) code = reasonCode.notAuthorized;
  const explanation = encodePacket(
    { cmd: 'disconnect', reasonCode: code, properties: { reasonString: reasonText(farewell) } },
    5,
  );
  if (explanation.length <= wire.packetBytesMax) return explanation;
  const bare = Buffer.from([packetType.disconnect << typeShift, 1, code]);
  return bare.length <= wire.packetBytesMax ? bare : undefined;
}

function codeOf(reason: EndReason): number | undefined {
  return isOwn(reason) ? reasonCodes[reason] : problemReason(reason);
}

function isOwn(reason: EndReason): reason is OwnReason {
  return reason in reasonCodes;
}

function reasonText({ reason, detail }: Farewell): string {
  const text = detail !== undefined && explained.has(reason) ? `${reason}: ${detail}` : reason;
  // What a client sent may come back in the detail, U+0000 excepted: no MQTT text may hold it [MQTT-1.5.4-2].
  return text.replaceAll('\u0000', '').slice(0, reasonCharactersMax);
}
