// What one publisher meets whose QoS 1 or 2 message the session store would have to keep while it has no room.
//
//   decide() ──► take       there is room, or the message does not need it; of 5.0 also: it is refused (0x97)
//            ├─► wait       the client is not read on; the packet comes again when there is room
//            └─► withhold   neither passed on nor acknowledged, and nothing behind it, until the connection ends
//
// 5.0 waits only for commits that are behind. 3.x has no way to refuse: it waits brokerStoreWaitMsMax at most, then
// its connection ends, and the client publishes again when it is back. One that owes acknowledgements is read on,
// because they may be what makes room: its publishes are withheld.
//
// Invariant: once something is withheld, nothing later is taken, or it would overtake [MQTT-4.6.0-2].

import { brokerStoreWaitMsMax } from '../limits.ts';
import type { PublishView } from '../protocol/mqtt/publish.ts';
import type { EndReason } from './errors.ts';
import type { Exchange, TopicRoute } from './exchange.ts';
import type { Session } from './session.ts';
import type { RoomWaiter, StoreRoom } from './store-room.ts';

interface WaitConnection {
  /** Reads on, from the packet at which it stopped. */
  goOn(): void;
  end(reason: EndReason, detail?: string): void;
}

interface WaitShare {
  readonly clock: { monotonicMs(): number };
  readonly exchange: Exchange;
  readonly room: StoreRoom;
}

interface Topic {
  readonly route: TopicRoute;
  readonly allowed: boolean;
}

export class StoreWait implements RoomWaiter {
  /** From the first message that did not fit on. */
  untilMs = 0;
  readonly #source: { readonly session: Session; readonly version: number };
  readonly #connection: WaitConnection;
  readonly #share: WaitShare;
  #state: 'idle' | 'waiting' | 'withholding' | 'over' = 'idle';

  constructor(source: { readonly session: Session; readonly version: number }, at: WaitConnection, share: WaitShare) {
    this.#source = source;
    this.#connection = at;
    this.#share = share;
  }

  /** Something is waited for. */
  get isOn(): boolean {
    return this.#state !== 'idle';
  }

  /** What is to be done with a message above QoS 0, before anything else is done with it. */
  decide(view: PublishView, topic: Topic): 'take' | 'wait' | 'withhold' {
    if (this.#state === 'withholding') return 'withhold';
    const { room, clock } = this.#share;
    const { session, version } = this.#source;
    const isOwed = session.isOwed;
    const mayRefuse = version === 5 && (this.#state === 'over' || isOwed || !room.isBehind);
    if (mayRefuse || !this.#lacksRoom(view, topic)) {
      this.#state = 'idle';
      return 'take';
    }
    if (this.#state === 'idle') this.untilMs = clock.monotonicMs() + brokerStoreWaitMsMax;
    this.#state = isOwed ? 'withholding' : 'waiting';
    room.wait(this);
    return isOwed ? 'withhold' : 'wait';
  }

  goOn(): void {
    if (this.#state === 'waiting') this.#connection.goOn();
    else this.#connection.end('store-full', 'there is room again for what was not acknowledged');
  }

  giveUp(): void {
    if (this.#source.version === 5) {
      this.#state = 'over';
      this.#connection.goOn();
    } else {
      this.#connection.end('store-full', 'a message was not taken');
    }
  }

  /** The connection ended. */
  close(): void {
    this.#share.room.forget(this);
  }

  /** Whether the store is full and would have to keep the message, which is new. */
  #lacksRoom(view: PublishView, { route, allowed }: Topic): boolean {
    const { room, exchange } = this.#share;
    const { session } = this.#source;
    if (!room.isFull || !allowed || route.owned || (view.qos === 2 && session.hasReceived(view.packetId))) return false;
    return exchange.needsStore(view, route, session);
  }
}
