// Ways through the lanes of a queue with nothing but the store's read(): in order, from the front, from the back.
//
// A lane may hold millions of messages and has holes where some were dropped. Its end is therefore found by doubling
// steps and then halving the last one: some forty reads of one message, whatever its length.

import type { Lane } from '../model/lane.ts';
import { QueuesError } from './errors.ts';
import type { LaneFacts, QueueStore, StoredMessage } from './ports.ts';

/** Bytes of one read. */
const readBytesMax = 262_144;
const readMessagesMax = 256;

/** The lanes of a queue in the order in which they leave: by priority, fresh messages first. Throws QUEUES_UNKNOWN_QUEUE. */
export async function lanesOf(
  store: QueueStore,
  queue: string,
  priority?: number | undefined,
): Promise<readonly LaneFacts[]> {
  const all = await store.lanes();
  const own = all.filter((lane) => lane.queue === queue);
  if (own.length === 0 && all.length > 0) {
    const names = [...new Set(all.map((lane) => lane.queue))].sort();
    throw new QueuesError('QUEUES_UNKNOWN_QUEUE', `There is no queue ${queue}. There are: ${names.join(', ')}.`);
  }
  if (own.length === 0)
    throw new QueuesError('QUEUES_UNKNOWN_QUEUE', `There is no queue ${queue}: nothing was ever stored.`);
  return own
    .filter((lane) => priority === undefined || lane.priority === priority)
    .sort((a, b) => a.priority - b.priority || Number(b.live) - Number(a.live));
}

/** The oldest message behind an offset. */
export async function firstAfter(
  store: QueueStore,
  lane: Lane,
  afterOffset: number,
): Promise<StoredMessage | undefined> {
  return (await store.read(lane, { afterOffset, messagesMax: 1, bytesMax: 1 }))[0];
}

/** Every message behind an offset, oldest first, a bounded number at a time. */
export async function* messagesAfter(
  store: QueueStore,
  lane: Lane,
  afterOffset: number,
): AsyncGenerator<StoredMessage, void, undefined> {
  for (let at = afterOffset; ; ) {
    const batch = await store.read(lane, {
      afterOffset: at,
      messagesMax: readMessagesMax,
      bytesMax: readBytesMax,
    });
    yield* batch;
    const last = batch.at(-1);
    if (last === undefined) return;
    at = last.offset;
  }
}

/** The offset of the newest message; 0 when there is none. */
export async function lastOffset(store: QueueStore, lane: Lane): Promise<number> {
  let low = (await firstAfter(store, lane, 0))?.offset ?? 0;
  if (low === 0) return 0;
  let step = 1;
  for (;;) {
    const next = await firstAfter(store, lane, low + step - 1);
    if (next === undefined) break;
    low = next.offset;
    step *= 2;
  }
  let high = low + step - 1;
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    const next = await firstAfter(store, lane, middle - 1);
    if (next === undefined) high = middle - 1;
    else low = next.offset;
  }
  return low;
}

/** The newest `count` messages, oldest first. */
export async function lastMessages(store: QueueStore, lane: Lane, count: number): Promise<readonly StoredMessage[]> {
  const end = await lastOffset(store, lane);
  if (end === 0) return [];
  for (let span = count; ; span *= 2) {
    const kept: StoredMessage[] = [];
    for await (const stored of messagesAfter(store, lane, Math.max(0, end - span))) {
      kept.push(stored);
      if (kept.length > count) kept.shift();
    }
    if (kept.length === count || span >= end) return kept;
  }
}
