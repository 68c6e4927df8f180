// A look into a queue: what waits, without touching it.
//
// Messages come lane by lane in the order in which they leave, from the front or from the back. Bodies are shown
// while they fit into one answer (queuePeekBytesMax); of a message behind that only the size is told.

import { queuePeekBytesMax } from '../limits.ts';
import type { Lane } from '../model/lane.ts';
import { lanesOf, lastMessages, messagesAfter } from './lane-walk.ts';
import type { QueueStore, StoredMessage } from './ports.ts';

export interface PeekRequest {
  readonly queue: string;
  /** 0 to 9, 10 for messages without one; undefined: all. */
  readonly priority?: number | undefined;
  readonly count: number;
  readonly from: 'first' | 'last';
}

export interface PeekedMessage extends Lane {
  readonly offset: number;
  readonly deviceId: string;
  readonly moduleId?: string;
  readonly output?: string;
  /** When the gateway accepted it, wall time in milliseconds. */
  readonly enqueuedMs: number;
  readonly system: Readonly<Record<string, string>>;
  readonly properties: Readonly<Record<string, string>>;
  readonly bytes: number;
  /** Undefined when there was no room for it. */
  readonly bodyBase64?: string;
}

/** Rejects QUEUES_UNKNOWN_QUEUE. */
export async function peek(
  store: QueueStore,
  { queue, priority, count, from }: PeekRequest,
): Promise<readonly PeekedMessage[]> {
  const lanes = await lanesOf(store, queue, priority);
  const found: (readonly [Lane, StoredMessage])[] = [];
  for (const lane of from === 'first' ? lanes : [...lanes].reverse()) {
    const left = count - found.length;
    if (left === 0) break;
    const some = from === 'first' ? await firstMessages(store, lane, left) : await lastMessages(store, lane, left);
    const own = some.map((stored) => [lane, stored] as const);
    if (from === 'first') found.push(...own);
    else found.unshift(...own);
  }
  let room = queuePeekBytesMax;
  return found.map(([lane, stored]) => {
    const isShown = stored.message.body.byteLength <= room;
    if (isShown) room -= stored.message.body.byteLength;
    return peeked(lane, stored, isShown);
  });
}

async function firstMessages(store: QueueStore, lane: Lane, count: number): Promise<readonly StoredMessage[]> {
  const some: StoredMessage[] = [];
  for await (const stored of messagesAfter(store, lane, 0)) {
    some.push(stored);
    if (some.length === count) break;
  }
  return some;
}

function peeked({ queue, priority, live }: Lane, { offset, message }: StoredMessage, isShown: boolean): PeekedMessage {
  const { sender, output, system, properties, body, enqueuedMs } = message;
  return {
    queue,
    priority,
    live,
    offset,
    deviceId: sender.deviceId,
    ...(sender.moduleId === undefined ? {} : { moduleId: sender.moduleId }),
    ...(output === undefined ? {} : { output }),
    enqueuedMs,
    system,
    properties,
    bytes: body.byteLength,
    ...(isShown ? { bodyBase64: Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString('base64') } : {}),
  };
}
