// What the client at the other end can take, as its CONNECT says: made by the handshake, read by everything that
// sends. A 3.x client has no way to say it; its bounds are the protocol's own.

import { packetIdMax } from '../limits.ts';

export interface ClientWire {
  /** 3 is 3.1, 4 is 3.1.1. */
  readonly version: 3 | 4 | 5;
  /** QoS 1 and 2 messages it takes unacknowledged, 1 to 65,535 (MQTT 5 §3.1.2.11.3). */
  readonly receiveMaximum: number;
  /** The largest packet it takes, in bytes; Infinity when it named none (§3.1.2.11.4). */
  readonly packetBytesMax: number;
  /** The highest topic alias it takes; 0 is none (§3.1.2.11.5). */
  readonly topicAliasMax: number;
  /** Whether reason strings and user properties may explain an acknowledgement to it (§3.1.2.11.7). */
  readonly wantsProblems: boolean;
}

/** A client that cannot name bounds: 3.1 and 3.1.1. */
export const wire311: ClientWire = {
  version: 4,
  receiveMaximum: packetIdMax,
  packetBytesMax: Number.POSITIVE_INFINITY,
  topicAliasMax: 0,
  wantsProblems: false,
};
