// A shared subscription `$share/<name>/<filter>`: each message goes to one of its members (MQTT 5 §4.8.2; 3.1.1
// clients may use it too).
//
//   message ──► next connected member with room ──► next connected member, into its queue
//                                               ──► nobody is there: a persistent member's queue, always the first's
//
// Members take turns. What a member was given and has not acknowledged goes to another connected member when it
// leaves: QoS 1, and whatever was not sent yet. A QoS 2 message that was sent stays with its member, and ends with
// that member's session [MQTT-4.8.2-4, -5]: nobody can know whether it arrived. When somebody returns to a
// subscription of which nobody was there, what waits for the absent goes to it.

import type { PublishView } from '../protocol/mqtt/publish.ts';
import type { Delivery } from './delivery.ts';
import type { Session } from './session.ts';

export interface SharedMember {
  readonly session: Session;
  readonly delivery: Delivery;
}

export class SharedSubscription {
  /** Every member with what it subscribed to. */
  readonly members = new Map<Session, Delivery>();
  readonly #mayReceive: (session: Session, view: PublishView) => boolean;
  #turn = 0;

  constructor(mayReceive: (session: Session, view: PublishView) => boolean) {
    this.#mayReceive = mayReceive;
  }

  /** Who of `members` gets the next message of `qos` and about `bytes`; undefined when nobody can. */
  choose<Member extends SharedMember>(members: readonly Member[], qos: number, bytes: number): Member | undefined {
    const count = members.length;
    let connected: Member | undefined;
    let queueing: Member | undefined;
    for (let step = 0; step < count; step++) {
      const index = (this.#turn + step) % count;
      const member = members[index] as Member;
      const { session } = member;
      if (session.outbox === undefined) continue;
      if (session.hasPlace(Math.min(qos, member.delivery.qos), bytes)) {
        this.#turn = index + 1;
        return member;
      }
      connected ??= member;
      if (queueing === undefined && member.delivery.qos > 0 && session.hasQueueRoom(bytes)) queueing = member;
    }
    if (qos > 0 && queueing !== undefined) return queueing;
    if (connected !== undefined) return connected;
    return qos === 0 ? undefined : members.find(({ session, delivery }) => delivery.qos > 0 && canKeep(session, bytes));
  }

  /**
   * A message was given to `from`, which left, for good when `isOver`: then a member that is absent takes it too. True
   * when somebody else has it now.
   */
  redeliver(
    { view, qos }: { readonly view: PublishView; readonly qos: number },
    from: Session,
    isOver: boolean,
  ): boolean {
    const others: SharedMember[] = [];
    for (const [session, delivery] of this.members) {
      if (session === from || !this.#mayReceive(session, view)) continue;
      if (session.outbox !== undefined || isOver) others.push({ session, delivery });
    }
    const chosen = this.choose(others, qos, view.keptBytes);
    if (chosen === undefined) return false;
    chosen.session.send(view, chosen.delivery);
    return true;
  }

  /** `session` is there again: it gets what waits in the queues of absent members. */
  returned(session: Session): void {
    for (const [member] of this.members) {
      if (member === session || member.outbox !== undefined) continue;
      member.handOver(session, (message) => message.share === this && this.#mayReceive(session, message.view));
    }
  }
}

function canKeep(session: Session, bytes: number): boolean {
  return !session.clean && session.hasQueueRoom(bytes);
}
