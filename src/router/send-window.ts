// How much may be under way to an endpoint: a window in messages and bytes, narrowed by what the link can carry.
//
// Several batches under way fill a long link. On a slow one they would fill its buffers instead, and the answer to
// a command would wait behind them; so the bytes follow the time that acknowledgements take, as LEDBAT
// (RFC 6817) does: the shortest time seen in this minute and the last is the link's own, what is above it is queueing.
//
//   the window was full, and queueing ≤ drainQueueingMsMax / 2   wider by what was acknowledged: doubles in a round trip
//   queueing > drainQueueingMsMax                                half, at most once for what was under way together
//   a failure                                                    as at first
//
// A batch is a quarter of the window at most: the time of its own bytes on the wire would pass for the link's.
//
// An endpoint without a window takes one batch at a time, whose size does not adapt: its time is the receiver's.
//
// Invariant: one message may always go when nothing is under way, however large it is.

import { strict as assert } from 'node:assert';
import {
  drainBatchBytesMax,
  drainBatchMessagesMax,
  drainQueueingMsMax,
  drainReadMessagesMax,
  drainRoundTripMsMax,
  drainSerialBatchMessagesMax,
  drainWindowBytesMin,
  drainWindowBytesStart,
} from '../limits.ts';
import type { EndpointWindow } from './ports.ts';

/** What one batch takes of the window until it is given back. */
export interface Share {
  readonly messages: number;
  readonly bytes: number;
  readonly takenMs: number;
}

export interface Room {
  readonly messages: number;
  readonly bytes: number;
}

const narrower = 0.5;
const minuteMs = 60_000;
const batchesPerWindow = 4;
/** With what travels beside its body. */
const smallMessageBytes = 512;

export class SendWindow {
  readonly #bounds: EndpointWindow | undefined;
  #messages = 0;
  #bytes = 0;
  #bytesMax: number;
  #shortestMs = drainRoundTripMsMax;
  #shortestBeforeMs = drainRoundTripMsMax;
  #minuteEndMs = Number.NEGATIVE_INFINITY;
  /** Batches taken before it tell nothing about the window as it is now. */
  #narrowedMs = Number.NEGATIVE_INFINITY;

  constructor(bounds: EndpointWindow | undefined) {
    this.#bounds = bounds;
    this.#bytesMax = startBytes(bounds);
  }

  /** Messages under way. */
  get messages(): number {
    return this.#messages;
  }

  /** What the next batch may have; undefined: it has to wait. */
  room(): Room | undefined {
    if (this.#bounds === undefined)
      return this.#messages > 0 ? undefined : { messages: drainSerialBatchMessagesMax, bytes: drainBatchBytesMax };
    if (this.#messages > 0 && this.#isFull(this.#bounds)) return undefined;
    const bytes = Math.min(drainBatchBytesMax, Math.floor(this.#bytesMax / batchesPerWindow));
    return { messages: this.#bounds.messages - this.#messages, bytes };
  }

  /** Messages worth reading at once: half of what the window takes of small ones, a batch at least. */
  get readMessages(): number {
    if (this.#bounds === undefined) return drainBatchMessagesMax;
    const fitting = Math.floor(this.#bytesMax / (2 * smallMessageBytes));
    return Math.min(drainReadMessagesMax, Math.max(drainBatchMessagesMax, fitting));
  }

  take(messages: number, bytes: number, nowMs: number): Share {
    this.#messages += messages;
    this.#bytes += bytes;
    return { messages, bytes, takenMs: nowMs };
  }

  /** The batch was acknowledged wholly, or failed. */
  give(share: Share, outcome: { readonly acknowledged: boolean; readonly nowMs: number }): void {
    const wasFull = this.#bounds !== undefined && this.#isFull(this.#bounds);
    this.#messages -= share.messages;
    this.#bytes -= share.bytes;
    assert(this.#messages >= 0 && this.#bytes >= 0, 'a batch is given back once');
    if (this.#bounds === undefined) return;
    if (!outcome.acknowledged) {
      this.#bytesMax = startBytes(this.#bounds);
      this.#minuteEndMs = Number.NEGATIVE_INFINITY;
      return;
    }
    const tookMs = Math.max(0, outcome.nowMs - share.takenMs);
    const queueingMs = tookMs - this.#ownMs(tookMs, outcome.nowMs);
    if (share.takenMs < this.#narrowedMs) return;
    if (queueingMs > drainQueueingMsMax) {
      this.#bytesMax = Math.max(drainWindowBytesMin, this.#bytesMax * narrower);
      this.#narrowedMs = outcome.nowMs;
    } else if (wasFull && queueingMs <= drainQueueingMsMax / 2 && tookMs <= drainRoundTripMsMax) {
      this.#bytesMax = Math.min(this.#bounds.bytes, this.#bytesMax + share.bytes);
    }
  }

  /** What the link needs by itself, now that an acknowledgement took `tookMs`. */
  #ownMs(tookMs: number, nowMs: number): number {
    if (nowMs >= this.#minuteEndMs) {
      const isNext = nowMs < this.#minuteEndMs + minuteMs;
      this.#shortestBeforeMs = isNext ? this.#shortestMs : drainRoundTripMsMax;
      this.#shortestMs = drainRoundTripMsMax;
      this.#minuteEndMs = nowMs + minuteMs;
    }
    this.#shortestMs = Math.min(this.#shortestMs, tookMs);
    return Math.min(this.#shortestMs, this.#shortestBeforeMs);
  }

  #isFull(bounds: EndpointWindow): boolean {
    return this.#messages >= bounds.messages || this.#bytes + this.#bytesMax / batchesPerWindow > this.#bytesMax;
  }
}

function startBytes(bounds: EndpointWindow | undefined): number {
  return bounds === undefined ? drainBatchBytesMax : Math.min(bounds.bytes, drainWindowBytesStart);
}
