// How the messages of one session are told to the session store: each as it is taken, and all of them again when the
// store lost everything.
//
//   queued     putMessage
//   under way  putMessage, sentMessage with the packet id and the acknowledgement that comes next
//
// Does not decide which messages are stored: those that are have an ordinal.

import { PublishView } from '../protocol/mqtt/publish.ts';
import type { InflightWindow } from './inflight.ts';
import type { OutboundQueue } from './outbound-queue.ts';
import type { PendingMessage } from './pending-message.ts';
import type { SessionStore } from './ports.ts';
import type { UnderWay } from './under-way.ts';

const nothing = new Uint8Array(0);

/** `view` is kept, and not given once its receiver has the message. */
export function putMessage(
  store: SessionStore,
  clientId: string,
  { message, view }: { readonly message: PendingMessage; readonly view: PublishView | undefined },
): void {
  const { ordinal, qos, retain, subscriptionIds } = message;
  // Its receiver has it: only the steps that are left matter.
  const kept = view ?? PublishView.of({ topic: '-', payload: nothing, qos, retain });
  store.putMessage(clientId, ordinal, { view: kept, qos, retain, subscriptionIds });
}

export function putAllMessages(
  store: SessionStore,
  clientId: string,
  {
    inflight,
    queue,
    underWay,
  }: {
    readonly inflight: InflightWindow | undefined;
    readonly queue: OutboundQueue | undefined;
    readonly underWay: UnderWay | undefined;
  },
): void {
  for (const packetId of inflight?.ids() ?? []) {
    const message = inflight?.get(packetId);
    if (message === undefined || message.ordinal === 0) continue;
    putMessage(store, clientId, { message, view: underWay?.viewOf(message)?.kept() });
    store.sentMessage(clientId, message.ordinal, { packetId, awaiting: message.awaiting });
  }
  for (const message of queue?.messages() ?? []) {
    if (message.ordinal > 0) putMessage(store, clientId, { message, view: message.view });
  }
}
