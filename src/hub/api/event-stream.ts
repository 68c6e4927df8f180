// The event log as a stream of JSON lines for one reader, from any point, to the end or for ever.
//
// Pull-driven: the next step is read when the reader took the last one, so a slow reader costs nothing but its
// own delay, and a follower waits for a commit without polling. A reader slower than retention misses what was
// dropped; the offsets show the hole.

import type { Clock } from '../../platform/clock.ts';
import type { EventLog } from '../event-log.ts';
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

/** Waits for the next ring since the last reset, or for the end. */
class Bell {
  readonly #signal: AbortSignal;
  readonly #ring = (): void => this.ring();
  #isRung = false;
  #waiting: (() => void) | undefined;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener('abort', this.#ring);
  }

  reset(): void {
    this.#isRung = false;
  }

  ring(): void {
    this.#isRung = true;
    this.#waiting?.();
    this.#waiting = undefined;
  }

  rung(): Promise<void> {
    if (this.#isRung || this.#signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  close(): void {
    this.#signal.removeEventListener('abort', this.#ring);
  }
}
