// What every connection of a broker uses and none owns: the ports, the exchange, the sessions, and the scratch
// values of the hot path, which are free again when a call returns.

import type { Clock } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { AckView } from '../protocol/mqtt/ack.ts';
import type { PublishView } from '../protocol/mqtt/publish.ts';
import type { AckedRun } from './acked-run.ts';
import type { BrokerLimits } from './broker-limits.ts';
import type { BrokerPolicy } from './broker-policy.ts';
import type { ClientConnection } from './client-connection.ts';
import type { ClientLog } from './client-log.ts';
import type { Exchange } from './exchange.ts';
import type { RateQueue, TokenBucket } from './message-rate.ts';
import type { OutboxShare } from './outbox.ts';
import type { Authenticator, Authoriser, SessionStore, TopicProtocol } from './ports.ts';
import type { PublishScan } from './publish-scan.ts';
import type { SessionTable } from './session-table.ts';
import type { StoreRoom } from './store-room.ts';
import type { Traffic } from './traffic.ts';
import type { Wills } from './will.ts';

export interface ConnectionShare {
  readonly clock: Clock;
  readonly log: Log;
  /** For what single clients cause. */
  readonly clientLog: ClientLog;
  readonly limits: BrokerLimits;
  readonly policy: BrokerPolicy;
  readonly authenticator: Authenticator;
  readonly authoriser: Authoriser;
  readonly service: TopicProtocol | undefined;
  readonly sessionStore: SessionStore | undefined;
  readonly exchange: Exchange;
  readonly sessions: SessionTable;
  readonly room: StoreRoom;
  readonly wills: Wills;
  readonly rates: RateQueue;
  /** What all clients together may publish; absent without such a limit. */
  readonly overallRate: TokenBucket | undefined;
  readonly traffic: Traffic;
  readonly outboxes: OutboxShare;
  /** Whatever came through any connection, since the start. */
  readonly received: { bytes: number; packets: number };
  readonly view: PublishView;
  readonly ack: AckView;
  readonly scan: PublishScan;
  readonly run: AckedRun;
  /** The broker's close() waits for `work`, which handles its own failure. */
  track(work: Promise<void>): void;
  /** The client was admitted: whoever has its client id goes. */
  entered(connection: ClientConnection, clientId: string): void;
  /** The connection gives its client id back. */
  left(connection: ClientConnection, clientId: string): void;
  /** The socket is closed. */
  closed(connection: ClientConnection): void;
}
