// The numbered statements of MQTT 5.0 about SUBSCRIBE to AUTH (§3.8 to §3.15).

import { type Statement, statementsOf } from './statement.ts';

const { server } = statementsOf('5.0');

const subscribe: readonly Statement[] = [
  server('3.8.1-1', 'Flags of SUBSCRIBE are 0010, all else is malformed and closes the connection'),
  server('3.8.3-1', 'Filters of SUBSCRIBE are UTF-8 strings'),
  server('3.8.3-2', 'SUBSCRIBE has at least one filter with its options'),
  server('3.8.3-3', 'No local: nothing goes to a connection with the client id that published it'),
  server('3.8.3-4', 'No local on a shared subscription is a protocol error'),
  server('3.8.3-5', 'Reserved bits of the options make SUBSCRIBE malformed'),
  server('3.8.4-1', 'SUBSCRIBE is answered by SUBACK'),
  server('3.8.4-2', 'SUBACK has the identifier of its SUBSCRIBE'),
  server('3.8.4-3', 'The same filter again replaces the subscription'),
  server('3.8.4-4', 'Retained messages come again with retain handling 0, and nothing is lost meanwhile'),
  server('3.8.4-5', 'Several filters are handled one after the other, with one SUBACK'),
  server('3.8.4-6', 'SUBACK has a reason code for each filter'),
  server('3.8.4-7', 'That code is the QoS granted, or a failure'),
  server('3.8.4-8', 'A message is delivered at the lower of its own and the granted QoS'),
  server('3.9.2-1', 'SUBACK has no reason string that makes it too large'),
  server('3.9.2-2', 'SUBACK has no user property that makes it too large'),
  server('3.9.3-1', 'Codes of SUBACK are in the order of the filters'),
  server('3.9.3-2', 'SUBACK has reason codes of its table'),
  server('3.10.1-1', 'Flags of UNSUBSCRIBE are 0010, all else is malformed and closes the connection'),
  server('3.10.3-1', 'Filters of UNSUBSCRIBE are UTF-8 strings'),
  server('3.10.3-2', 'UNSUBSCRIBE has at least one filter'),
  server('3.10.4-1', 'A filter is compared character by character, and its subscription deleted when it is the same'),
  server('3.10.4-2', 'After UNSUBSCRIBE nothing new is added for the client'),
  server('3.10.4-3', 'What was begun at QoS 1 or 2 is completed after UNSUBSCRIBE'),
  server('3.10.4-4', 'UNSUBSCRIBE is answered by UNSUBACK'),
  server('3.10.4-5', 'UNSUBACK has the identifier of its UNSUBSCRIBE and comes even when nothing was deleted'),
  server('3.10.4-6', 'Several filters are handled one after the other, with one UNSUBACK'),
  server('3.11.2-1', 'UNSUBACK has no reason string that makes it too large'),
  server('3.11.2-2', 'UNSUBACK has no user property that makes it too large'),
  server('3.11.3-1', 'Codes of UNSUBACK are in the order of the filters'),
  server('3.11.3-2', 'UNSUBACK has reason codes of its table'),
];

const rest: readonly Statement[] = [
  server('3.12.4-1', 'PINGREQ is answered by PINGRESP'),
  server('3.14.0-1', 'A server sends no DISCONNECT before a CONNACK below 0x80'),
  server('3.14.1-1', 'Reserved bits of DISCONNECT are zero, else DISCONNECT 0x81 is the answer'),
  server('3.14.2-1', 'DISCONNECT has a reason code of its table'),
  server('3.14.2-2', 'A server sends no session expiry interval in DISCONNECT'),
  server('3.14.2-3', 'DISCONNECT has no reason string that makes it too large'),
  server('3.14.2-4', 'DISCONNECT has no user property that makes it too large'),
  server('3.14.4-1', 'Nothing is sent after DISCONNECT'),
  server('3.14.4-2', 'Who sends DISCONNECT closes the connection'),
  server('3.14.4-3', 'DISCONNECT 0 of the client discards the will'),
  server('3.15.1-1', 'Flags of AUTH are zero, all else is malformed and closes the connection'),
  server('3.15.2-1', 'AUTH has a reason code of its table'),
  server('3.15.2-2', 'AUTH has no reason string that makes it too large'),
  server('3.15.2-3', 'AUTH has no user property that makes it too large'),
];

export const statements50Subscribe: readonly Statement[] = [...subscribe, ...rest];
