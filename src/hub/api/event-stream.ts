// The event log as a stream of JSON lines for one reader, from any point, to the end or for ever.
//
// Pull-driven: the next step is read when the reader took the last one, so a slow reader costs nothing but its
// own delay, and a follower waits for a commit without polling. A reader slower than retention misses what was
// dropped; the offsets show the hole.

import type { Clock } from '../../platform/clock.ts';
import type { EventLog } from '../event-log.ts';
import { Bell } from './bell.ts';
import { eventLine } from './event-json.ts';

export interface EventStreamRequest {
  readonly eventLog: Pick<EventLog, 'read' | 'facts' | 'onCommitted'>;
  readonly clock: Clock;
  readonly afterOffset: number;
  readonly deviceId: string | undefined;
  /** Goes on with what comes; otherwise ends with what was there at the start. */
  readonly follow: boolean;
  /** Ends the stream, also while it waits. */
  readonly signal: AbortSignal;
}

export async function* eventStream(request: EventStreamRequest): AsyncGenerator<string, void, undefined> {
  const { eventLog, clock, deviceId, follow, signal } = request;
  const lastOffset = eventLog.facts().nextOffset - 1;
  const bell = new Bell(signal);
  const stop = eventLog.onCommitted(() => bell.ring());
  try {
    let position = request.afterOffset;
    while (!signal.aborted) {
      bell.reset();
      const { events, scannedTo } = eventLog.read({ afterOffset: position, deviceId });
      if (events.length > 0) yield events.map((event) => `${eventLine(event)}\n`).join('');
      const atEnd = scannedTo === position;
      position = scannedTo;
      if (!follow && (atEnd || position >= lastOffset)) return;
      if (atEnd) await bell.rung();
      else await new Promise<void>((resolve) => clock.soon(resolve));
    }
  } finally {
    stop();
    bell.close();
  }
}
