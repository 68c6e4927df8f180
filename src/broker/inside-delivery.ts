// A message from inside whose giver waits until it is safe: what another broker sent over a bridge.
//
//   deliver() ─► exchange ─► stored sessions and retained: their commit ─┐
//                       ├──► taps: their promise ────────────────────────┼─► resolved
//                       └──► a receiver that is behind: until it is not ─┘
//
// Nobody gets a message that would have to be stored while there is no room: its giver keeps it, and tries again.

import { messageBytesMax } from '../limits.ts';
import { PublishView, type Qos } from '../protocol/mqtt/publish.ts';
import { messageInvalid, storeFull } from './errors.ts';
import type { Exchange } from './exchange.ts';
import type { SessionStore } from './ports.ts';

export interface InsideMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: Qos;
  readonly retain: boolean;
  /** Valid MQTT 5 properties as bytes, without those of one hop. */
  readonly propertyBytes?: Buffer | undefined;
}

export interface InsideShare {
  readonly exchange: Exchange;
  readonly store: SessionStore | undefined;
}

/** Throws BROKER_MESSAGE_INVALID and BROKER_STORE_FULL at once: nobody has got it. Rejects as the store and the taps do. `origin` is told to the taps. */
export function deliverInside({ exchange, store }: InsideShare, message: InsideMessage, origin: string): Promise<void> {
  const { topic, payload, qos } = message;
  const route = payload.length > messageBytesMax ? undefined : exchange.route(topic);
  if (route === undefined || route.owned) throw messageInvalid(topic, payload.length);
  const view = PublishView.of(message);
  if (qos > 0 && store?.full === true && exchange.needsStore(view, route, undefined)) throw storeFull(topic);
  const { durable, pressing } = exchange.publish(view, route, undefined);
  const waits: (Promise<void> | undefined)[] = [exchange.tap(view, route, origin)];
  if (durable) waits.push(store?.flushed());
  if (pressing !== undefined) waits.push(new Promise((resolve) => pressing.whenEased(resolve)));
  return Promise.all(waits).then(() => undefined);
}
