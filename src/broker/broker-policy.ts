// What a root may decide about the broker beyond its bounds (broker-limits.ts): what happens to a publish that is
// not allowed, how fast clients may be, and what MQTT 5 clients are granted of what they ask for.

import {
  brokerConnectionsPerSecondMax,
  brokerMessagesPerSecondMax,
  brokerMessagesPerSecondTotalMax,
} from '../limits.ts';

export interface BrokerPolicy {
  /**
   * A publish of a 3.x client that the authoriser refuses: `disconnect`, because an acknowledgement would be a lie,
   * or `drop`, as mosquitto does: acknowledged, counted, and gone. A 5.0 client is told and goes on.
   */
  readonly deniedPublish: 'disconnect' | 'drop';
  /** Publishes of one client in a second; 0 is no limit. */
  readonly messagesPerSecondMax: number;
  /** Publishes of all clients together in a second; 0 is no limit. */
  readonly messagesPerSecondTotalMax: number;
  /** Connections one listener takes in a second; 0 is no limit. */
  readonly connectionsPerSecondMax: number;
  /** The longest keep-alive of a 5.0 client, seconds; 0 is no limit. A longer or missing one is lowered (Server Keep Alive). */
  readonly keepAliveSecondsMax: number;
  /** The longest session expiry of a 5.0 client, seconds; a longer one is lowered. */
  readonly sessionExpirySecondsMax: number;
}

const sessionExpiryUnlimited = 0xffff_ffff;

const defaults: BrokerPolicy = {
  deniedPublish: 'disconnect',
  messagesPerSecondMax: brokerMessagesPerSecondMax,
  messagesPerSecondTotalMax: brokerMessagesPerSecondTotalMax,
  connectionsPerSecondMax: brokerConnectionsPerSecondMax,
  keepAliveSecondsMax: 0,
  sessionExpirySecondsMax: sessionExpiryUnlimited,
};

/** `chosen` where it says something, else the default. Names that are no policy are ignored. */
export function brokerPolicy(chosen: Partial<BrokerPolicy> = {}): BrokerPolicy {
  return {
    deniedPublish: chosen.deniedPublish ?? defaults.deniedPublish,
    messagesPerSecondMax: chosen.messagesPerSecondMax ?? defaults.messagesPerSecondMax,
    messagesPerSecondTotalMax: chosen.messagesPerSecondTotalMax ?? defaults.messagesPerSecondTotalMax,
    connectionsPerSecondMax: chosen.connectionsPerSecondMax ?? defaults.connectionsPerSecondMax,
    keepAliveSecondsMax: chosen.keepAliveSecondsMax ?? defaults.keepAliveSecondsMax,
    sessionExpirySecondsMax: chosen.sessionExpirySecondsMax ?? defaults.sessionExpirySecondsMax,
  };
}
