// Reason codes of MQTT 5 (§2.4): one byte that says how a request ended, and which packet may say what.
//
//   0x00 … 0x7f  success of some kind
//   0x80 … 0xff  failure: nothing was done
//
// 3.1.1 knows none of them but 0x80 in SUBACK; its CONNACK return codes are another table (errors.ts).

import { packetType } from './frame.ts';

export const reasonCode = {
  success: 0x00,
  grantedQos1: 0x01,
  grantedQos2: 0x02,
  disconnectWithWill: 0x04,
  noMatchingSubscribers: 0x10,
  noSubscriptionExisted: 0x11,
  continueAuthentication: 0x18,
  reAuthenticate: 0x19,
  unspecifiedError: 0x80,
  malformedPacket: 0x81,
  protocolError: 0x82,
  implementationSpecificError: 0x83,
  unsupportedProtocolVersion: 0x84,
  clientIdentifierNotValid: 0x85,
  badUserNameOrPassword: 0x86,
  notAuthorized: 0x87,
  serverUnavailable: 0x88,
  serverBusy: 0x89,
  banned: 0x8a,
  serverShuttingDown: 0x8b,
  badAuthenticationMethod: 0x8c,
  keepAliveTimeout: 0x8d,
  sessionTakenOver: 0x8e,
  topicFilterInvalid: 0x8f,
  topicNameInvalid: 0x90,
  packetIdentifierInUse: 0x91,
  packetIdentifierNotFound: 0x92,
  receiveMaximumExceeded: 0x93,
  topicAliasInvalid: 0x94,
  packetTooLarge: 0x95,
  messageRateTooHigh: 0x96,
  quotaExceeded: 0x97,
  administrativeAction: 0x98,
  payloadFormatInvalid: 0x99,
  retainNotSupported: 0x9a,
  qosNotSupported: 0x9b,
  useAnotherServer: 0x9c,
  serverMoved: 0x9d,
  sharedSubscriptionsNotSupported: 0x9e,
  connectionRateExceeded: 0x9f,
  maximumConnectTime: 0xa0,
  subscriptionIdentifiersNotSupported: 0xa1,
  wildcardSubscriptionsNotSupported: 0xa2,
} as const;

const r = reasonCode;

const published: readonly number[] = [
  ...[r.success, r.noMatchingSubscribers, r.unspecifiedError, r.implementationSpecificError, r.notAuthorized],
  ...[r.topicNameInvalid, r.packetIdentifierInUse, r.quotaExceeded, r.payloadFormatInvalid],
];
const released: readonly number[] = [r.success, r.packetIdentifierNotFound];

/** Packet type → the codes it may carry (the tables of §3.2.2.2, 3.4.2.1 … 3.15.2.1). */
const allowed: Readonly<Record<number, readonly number[]>> = {
  [packetType.connack]: [
    ...[r.success, r.unspecifiedError, r.malformedPacket, r.protocolError, r.implementationSpecificError],
    ...[r.unsupportedProtocolVersion, r.clientIdentifierNotValid, r.badUserNameOrPassword, r.notAuthorized],
    ...[r.serverUnavailable, r.serverBusy, r.banned, r.badAuthenticationMethod, r.topicNameInvalid],
    ...[r.packetTooLarge, r.quotaExceeded, r.payloadFormatInvalid, r.retainNotSupported, r.qosNotSupported],
    ...[r.useAnotherServer, r.serverMoved, r.connectionRateExceeded],
  ],
  [packetType.puback]: published,
  [packetType.pubrec]: published,
  [packetType.pubrel]: released,
  [packetType.pubcomp]: released,
  [packetType.suback]: [
    ...[r.success, r.grantedQos1, r.grantedQos2, r.unspecifiedError, r.implementationSpecificError],
    ...[r.notAuthorized, r.topicFilterInvalid, r.packetIdentifierInUse, r.quotaExceeded],
    ...[r.sharedSubscriptionsNotSupported, r.subscriptionIdentifiersNotSupported],
    r.wildcardSubscriptionsNotSupported,
  ],
  [packetType.unsuback]: [
    ...[r.success, r.noSubscriptionExisted, r.unspecifiedError, r.implementationSpecificError, r.notAuthorized],
    ...[r.topicFilterInvalid, r.packetIdentifierInUse],
  ],
  [packetType.disconnect]: [
    ...[r.success, r.disconnectWithWill, r.unspecifiedError, r.malformedPacket, r.protocolError],
    ...[r.implementationSpecificError, r.notAuthorized, r.serverBusy, r.serverShuttingDown, r.keepAliveTimeout],
    ...[r.sessionTakenOver, r.topicFilterInvalid, r.topicNameInvalid, r.receiveMaximumExceeded],
    ...[r.topicAliasInvalid, r.packetTooLarge, r.messageRateTooHigh, r.quotaExceeded, r.administrativeAction],
    ...[r.payloadFormatInvalid, r.retainNotSupported, r.qosNotSupported, r.useAnotherServer, r.serverMoved],
    ...[r.sharedSubscriptionsNotSupported, r.connectionRateExceeded, r.maximumConnectTime],
    ...[r.subscriptionIdentifiersNotSupported, r.wildcardSubscriptionsNotSupported],
  ],
  [packetType.auth]: [r.success, r.continueAuthentication, r.reAuthenticate],
};

/** Whether a packet of `type` may carry `reason`. */
export function mayCarryReason(type: number, reason: number): boolean {
  return allowed[type]?.includes(reason) ?? false;
}

/** Failure: what was asked for did not happen (§2.4). */
export function isFailure(reason: number): boolean {
  return reason >= reasonCode.unspecifiedError;
}
