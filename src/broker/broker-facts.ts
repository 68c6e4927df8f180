// What a broker can tell of itself at a moment: the numbers behind the $SYS topics (sys-topics.ts) and a status page.
//
// Counters grow from the broker's start and are never reset; the others are the state of the moment. "Message" means
// an MQTT packet of any kind, "publish" a PUBLISH packet, as mosquitto's topic names have it.

export interface BrokerFacts {
  // ── state ──
  /** Clients that are connected and admitted. */
  readonly clientsConnected: number;
  /** Sessions that are kept while their client is away. */
  readonly clientsDisconnected: number;
  /** The most of both together that there ever were. */
  readonly clientsMaximum: number;
  readonly subscriptions: number;
  readonly sharedSubscriptions: number;
  readonly retainedMessages: number;
  readonly retainedBytes: number;
  /** Messages of quality 1 and 2 that wait in queues of sessions or for their acknowledgement, and their bytes. */
  readonly queuedMessages: number;
  readonly queuedBytes: number;
  // ── counters ──
  /** Sessions that ended because their expiry interval was over. */
  readonly clientsExpired: number;
  /** Packets of every kind. */
  readonly messagesReceived: number;
  readonly messagesSent: number;
  readonly publishesReceived: number;
  readonly publishesSent: number;
  /** Messages that were meant for somebody and not sent: queue full, slow client, expired. */
  readonly publishesDropped: number;
  /** Payloads of these. */
  readonly publishBytesReceived: number;
  readonly publishBytesSent: number;
  /** All bytes on the wire, before TLS and WebSocket framing. */
  readonly bytesReceived: number;
  readonly bytesSent: number;
  /** Connections accepted by listeners, and CONNECT packets that were accepted. */
  readonly socketsOpened: number;
  readonly connects: number;
}
