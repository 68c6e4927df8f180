// The numbered statements of MQTT 5.0 about PUBLISH and its acknowledgements (§3.3 to §3.7).

import { type Statement, statementsOf } from './statement.ts';

const { server, clientOnly } = statementsOf('5.0');

const publish: readonly Statement[] = [
  server('3.3.1-1', 'DUP is 1 when a PUBLISH is sent again'),
  server('3.3.1-2', 'DUP is 0 at QoS 0'),
  server('3.3.1-3', 'DUP of what is sent does not depend on DUP of what was received'),
  server('3.3.1-4', 'QoS 3 does not exist'),
  server('3.3.1-5', 'A PUBLISH with RETAIN 1 replaces the retained message of its topic'),
  server('3.3.1-6', 'An empty retained message is delivered and removes the one retained before'),
  server('3.3.1-7', 'An empty message is never retained'),
  server('3.3.1-8', 'RETAIN 0 neither stores nor changes a retained message'),
  server('3.3.1-9', 'Retain handling 0 sends the matching retained messages'),
  server('3.3.1-10', 'Retain handling 1 sends them when the subscription is new, and only then'),
  server('3.3.1-11', 'Retain handling 2 sends none'),
  server('3.3.1-12', 'Retain as published 0 forwards with RETAIN 0'),
  server('3.3.1-13', 'Retain as published 1 forwards with RETAIN as received'),
  server('3.3.2-1', 'The topic name comes first and is a UTF-8 string'),
  server('3.3.2-2', 'A topic name has no wildcards'),
  server('3.3.2-3', 'What a subscriber is sent matches its filter'),
  server('3.3.2-4', 'The payload format indicator is passed on as it is'),
  server('3.3.2-5', 'A message that expired before its delivery began is deleted'),
  server('3.3.2-6', 'The expiry interval passed on is lessened by the time the message waited'),
  server('3.3.2-7', 'Topic aliases end with their connection'),
  server('3.3.2-8', 'There is no topic alias 0'),
  server('3.3.2-9', 'A client sends no alias above the maximum of the server'),
  clientOnly('3.3.2-10', 'A client accepts every alias up to its maximum'),
  server('3.3.2-11', 'A server sends no alias above the maximum of the client'),
  server('3.3.2-12', 'A server accepts every alias up to its maximum'),
  server('3.3.2-13', 'The response topic is a UTF-8 string'),
  server('3.3.2-14', 'The response topic has no wildcards'),
  server('3.3.2-15', 'The response topic is passed on as it is'),
  server('3.3.2-16', 'Correlation data are passed on as they are'),
  server('3.3.2-17', 'User properties are passed on as they are'),
  server('3.3.2-18', 'User properties keep their order'),
  server('3.3.2-19', 'The content type is a UTF-8 string'),
  server('3.3.2-20', 'The content type is passed on as it is'),
  server('3.3.4-1', 'PUBLISH is answered as its QoS demands'),
  server('3.3.4-2', 'Overlapping subscriptions: the highest QoS among them is respected'),
  server('3.3.4-3', 'The subscription identifiers of the matching subscriptions go with a message'),
  server('3.3.4-4', 'A single copy carries the identifiers of all of them'),
  server('3.3.4-5', 'Of several copies each carries the identifier of its own subscription'),
  server('3.3.4-6', 'A client sends no subscription identifier in PUBLISH'),
  server('3.3.4-7', 'A client has at most the receive maximum of QoS 1 and 2 messages unacknowledged'),
  clientOnly('3.3.4-8', 'A client whose quota is used up still sends everything but PUBLISH'),
  server('3.3.4-9', 'A server has at most the receive maximum of QoS 1 and 2 messages unacknowledged'),
  server('3.3.4-10', 'A server whose quota is used up still sends everything but PUBLISH'),
];

const acknowledgements: readonly Statement[] = [
  server('3.4.2-1', 'PUBACK has a reason code of its table'),
  server('3.4.2-2', 'PUBACK has no reason string that makes it too large'),
  server('3.4.2-3', 'PUBACK has no user property that makes it too large'),
  server('3.5.2-1', 'PUBREC has a reason code of its table'),
  server('3.5.2-2', 'PUBREC has no reason string that makes it too large'),
  server('3.5.2-3', 'PUBREC has no user property that makes it too large'),
  server('3.6.1-1', 'Flags of PUBREL are 0010, all else is malformed and closes the connection'),
  server('3.6.2-1', 'PUBREL has a reason code of its table'),
  server('3.6.2-2', 'PUBREL has no reason string that makes it too large'),
  server('3.6.2-3', 'PUBREL has no user property that makes it too large'),
  server('3.7.2-1', 'PUBCOMP has a reason code of its table'),
  server('3.7.2-2', 'PUBCOMP has no reason string that makes it too large'),
  server('3.7.2-3', 'PUBCOMP has no user property that makes it too large'),
];

export const statements50Publish: readonly Statement[] = [...publish, ...acknowledgements];
