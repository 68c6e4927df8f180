// QoS 2 messages that somebody inside makes safe: their packet ids are kept when that is done, not before. A tap has
// the message before anybody else gets it.
//
//   PUBLISH ──► tap.take() ─ resolved ─► packet id kept, subscribers served ──flush──► PUBREC
//                          └ rejected ─► nobody got it: the connection ends, its repetition is as good as new
//
// The tap's queue and the session store are two files. Were the packet id on the disk before the message is in the
// queue, a power cut between the two would turn the repetition away and the message would be lost to the tap; were its
// subscribers served before, the repetition of a message the tap refused would reach them twice.
//
// What remains: when the broker is killed after the queue has the message and before the session store has its packet
// id, the repetition goes to the tap a second time. Towards subscribers it is exactly once all the same.

import type { PublishView } from '../protocol/mqtt/publish.ts';
import type { Exchange, TopicRoute } from './exchange.ts';
import type { Session } from './session.ts';

/** What an acknowledgement waits for. */
export interface Safekeeping {
  /** Rejects what is not safe: the connection ends, and its client sends it again. */
  readonly work: Promise<void>;
  /** Once it resolved: something went to the session store, and the acknowledgement waits for that, too. */
  readonly durable: boolean;
}

interface TapShare {
  readonly exchange: Exchange;
  readonly session: Session;
  /** A receiver is behind: the publisher waits for it. */
  press(receiver: Session): void;
}

/** A message that is new, of a topic that is tapped. */
export function tapFirst(view: PublishView, route: TopicRoute, { exchange, session, press }: TapShare): Safekeeping {
  const { packetId } = view;
  const kept = view.kept();
  const serve = (): void => {
    session.settled(packetId);
    const { durable, pressing } = exchange.publish(kept, route, session);
    tapped.durable = durable || session.isStored;
    if (pressing !== undefined) press(pressing);
  };
  const tapped = { work: (exchange.tap(view, route) ?? Promise.resolve()).then(serve), durable: false };
  session.settle(packetId, tapped.work);
  return tapped;
}

/** A message that is new, and that the topic service serves. */
export function keepServed(packetId: number, served: Promise<void>, session: Session): Safekeeping {
  const work = served.then(() => session.settled(packetId));
  session.settle(packetId, work);
  return { work, durable: session.isStored };
}
