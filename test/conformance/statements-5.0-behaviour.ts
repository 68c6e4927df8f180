// The numbered statements of MQTT 5.0, chapters 4 and 6.

import { type Statement, statementsOf } from './statement.ts';

const { server, clientOnly } = statementsOf('5.0');

const delivery: readonly Statement[] = [
  server('4.1.0-1', 'Session state is kept while the connection is open'),
  server('4.1.0-2', 'Session state is discarded when the connection is closed and the expiry interval passed'),
  server('4.2.0-1', 'A transport is supported that is an ordered and lossless stream of bytes'),
  server('4.3.1-1', 'QoS 0 is sent with QoS 0 and DUP 0'),
  server('4.3.2-1', 'QoS 1 takes an unused identifier for each new message'),
  server('4.3.2-2', 'QoS 1 is sent with that identifier and DUP 0'),
  server('4.3.2-3', 'QoS 1 is unacknowledged until PUBACK'),
  server('4.3.2-4', 'QoS 1 is answered by PUBACK with its identifier'),
  server('4.3.2-5', 'After PUBACK the same identifier is a new message, whatever DUP says'),
  server('4.3.3-1', 'QoS 2 takes an unused identifier for each new message'),
  server('4.3.3-2', 'QoS 2 is sent with that identifier and DUP 0'),
  server('4.3.3-3', 'QoS 2 is unacknowledged until PUBREC'),
  server('4.3.3-4', 'A PUBREC below 0x80 is answered by PUBREL with its identifier'),
  server('4.3.3-5', 'PUBREL is unacknowledged until PUBCOMP'),
  server('4.3.3-6', 'After PUBREL the PUBLISH is never sent again'),
  server('4.3.3-7', 'A message that was sent once does not expire any more'),
  server('4.3.3-8', 'QoS 2 is answered by PUBREC with its identifier'),
  server('4.3.3-9', 'After a PUBREC of 0x80 or above the same identifier is a new message'),
  server('4.3.3-10', 'Until PUBREL the same identifier is answered by PUBREC and not delivered again'),
  server('4.3.3-11', 'PUBREL is answered by PUBCOMP with its identifier'),
  server('4.3.3-12', 'After PUBCOMP the same identifier is a new message'),
  server('4.3.3-13', 'The exchange is completed even when the message expired'),
  server('4.4.0-1', 'What is unacknowledged is sent again when the session is resumed, and never else'),
  server('4.4.0-2', 'A PUBACK or PUBREC of 0x80 or above acknowledges: the message is not sent again'),
  server('4.5.0-1', 'A message is added to the session of every client with a matching subscription'),
  clientOnly('4.5.0-2', 'A client acknowledges whatever it receives'),
  clientOnly('4.6.0-1', 'A client sends again in the old order'),
  clientOnly('4.6.0-2', 'A client sends PUBACKs in the order of the PUBLISHes'),
  clientOnly('4.6.0-3', 'A client sends PUBRECs in the order of the PUBLISHes'),
  clientOnly('4.6.0-4', 'A client sends PUBRELs in the order of the PUBRECs'),
  server('4.6.0-5', 'Messages of one client, topic and QoS reach a subscriber in their order'),
  server('4.6.0-6', 'For subscriptions that are not shared every topic is ordered'),
];

const topics: readonly Statement[] = [
  server('4.7.0-1', 'Wildcards are for filters, never for topic names'),
  server('4.7.1-1', 'A # stands alone or behind a slash, and last'),
  server('4.7.1-2', 'A + fills a whole level'),
  server('4.7.2-1', 'Filters that begin with a wildcard do not match topics that begin with $'),
  server('4.7.3-1', 'Topic names and filters have at least one character'),
  server('4.7.3-2', 'Topic names and filters do not contain U+0000'),
  server('4.7.3-3', 'Topic names and filters have at most 65,535 bytes'),
  server('4.7.3-4', 'Nothing is normalised or replaced when topics are matched'),
  server('4.8.2-1', 'A shared filter begins with $share/ and a share name of at least one character'),
  server('4.8.2-2', 'The share name has no slash and no wildcards, and a slash and a filter follow it'),
  server('4.8.2-3', 'The QoS granted to each member is respected'),
  server('4.8.2-4', 'A QoS 2 delivery begun is completed when that member comes back'),
  server('4.8.2-5', 'If its session ends instead, that QoS 2 message goes to nobody else'),
  server('4.8.2-6', 'A message a member answers with 0x80 or above is discarded'),
];

const exchange: readonly Statement[] = [
  server('4.9.0-1', 'The send quota begins above zero and at most at the receive maximum'),
  server('4.9.0-2', 'At quota zero nothing above QoS 0 is published'),
  server('4.9.0-3', 'At quota zero everything else goes on'),
  server('4.12.0-1', 'An unknown authentication method may get CONNACK 0x8C or 0x87, then the connection closes'),
  server('4.12.0-2', 'The server asks for more by AUTH 0x18'),
  server('4.12.0-3', 'The client answers by AUTH 0x18'),
  server('4.12.0-4', 'The server may refuse at any step by a CONNACK of 0x80 or above, and closes'),
  server('4.12.0-5', 'AUTH and a successful CONNACK name the method of CONNECT'),
  server('4.12.0-6', 'Without a method in CONNECT there is no AUTH and no method in CONNACK'),
  server('4.12.0-7', 'Without a method in CONNECT a client sends no AUTH'),
  server('4.12.1-1', 'Authentication is repeated by AUTH 0x19 with the same method'),
  server('4.12.1-2', 'When that fails the connection closes'),
  server('4.13.1-1', 'A malformed packet or protocol error that has a reason code closes the connection'),
  server('4.13.2-1', 'A reason of 0x80 or above in CONNACK or DISCONNECT means that the connection closes'),
  server('6.0.0-1', 'Over WebSocket packets travel in binary frames; any other data frame closes the connection'),
  server('6.0.0-2', 'Packets and WebSocket frames need not be aligned'),
  clientOnly('6.0.0-3', 'A client offers the WebSocket subprotocol mqtt'),
  server('6.0.0-4', 'The server selects the WebSocket subprotocol mqtt'),
];

export const statements50Behaviour: readonly Statement[] = [...delivery, ...topics, ...exchange];
