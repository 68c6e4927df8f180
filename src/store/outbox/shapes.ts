// What the outbox takes and gives: the words it shares with the engine.
//
// Shapes only. Every call of the outbox is synchronous and belongs to the store thread; what crosses to the main
// thread is the engine's business.

import type { Buffer } from 'node:buffer';
import type { Lane } from '../../model/lane.ts';
import type { StreamPosition } from '../../model/message.ts';
import type { TimeStamp } from '../../model/time-stamp.ts';
import type { Entropy } from '../../platform/entropy.ts';
import type { LogFiles } from '../../platform/log-files.ts';
import type { RecordPlace } from './placed-records.ts';

/** What became of one appended message; the numbers are those of the engine's replies. */
export const appendOutcome = { stored: 0, duplicate: 1, refused: 2 } as const;
export type AppendOutcome = (typeof appendOutcome)[keyof typeof appendOutcome];

export const laneDropReasons = ['quota', 'ttl_expiry', 'damaged'] as const;
export type LaneDropReason = (typeof laneDropReasons)[number];

export interface LaneTarget {
  readonly lane: Lane;
  /** Milliseconds from the commit; undefined: never expires. */
  readonly timeToLiveMs: number | undefined;
  /**
   * Only for messages moved in from elsewhere, which keep their offset: at least the lane's next one. The offsets
   * left out are holes: never given out, not counted as lost.
   */
  readonly offset?: number | undefined;
}

export interface AppendSpec {
  readonly targets: readonly LaneTarget[];
  /** Copied before append() returns. */
  readonly record: Buffer;
  /** What makes a repetition known: the stream's name with its sender in front, as streamKey() makes it. */
  readonly hop: StreamPosition | undefined;
}

export interface PlacedSpec extends Pick<AppendSpec, 'targets' | 'hop'> {
  readonly place: RecordPlace;
}

export interface LaneReadSpec {
  readonly lane: Lane;
  readonly afterOffset: number;
  /** At least 1. */
  readonly messagesMax: number;
  /** Of records; one is given however large it is. */
  readonly bytesMax: number;
  readonly stamp: TimeStamp;
}

export interface LaneRow {
  readonly offset: number;
  /** A view into memory that the next call overwrites. */
  readonly record: Buffer;
  /** What to add to the wall times in the record, now that the clock of its boot is known; mostly 0. */
  readonly wallShiftMs: number;
}

export interface LaneRows {
  readonly rows: readonly LaneRow[];
  /** Of the rows' records. */
  readonly bytes: number;
  /** The lane's name towards the next receiver (StreamPosition.stream); empty when the lane does not exist. */
  readonly stream: string;
  /** Nothing was found, but the search ended at its own limit, not at the lane's end: ask again. */
  readonly more: boolean;
}

export interface LaneFacts extends Lane {
  readonly stream: string;
  readonly messages: number;
  /**
   * Of its records with what the log needs beside them. Of a segment that has left the lane in part, the share by
   * number of messages.
   */
  readonly bytes: number;
  /** Wall time of the commit of the oldest message, corrected as far as clocks are known; undefined when empty. */
  readonly oldestMs: number | undefined;
  /** Messages that left undelivered since the outbox was born. */
  readonly dropped: Readonly<Partial<Record<LaneDropReason, number>>>;
}

export interface LaneDrop {
  readonly lane: Lane;
  readonly reason: LaneDropReason;
  readonly messages: number;
}

/** With what an outbox begins that takes over from an older store. */
/** A lane that was kept elsewhere, and its messages with it. */
export interface LaneSeed {
  readonly lane: Lane;
  readonly stream: string;
  readonly offsetNext: number;
  readonly dropped: Readonly<Partial<Record<LaneDropReason, number>>>;
}

export interface OutboxSeed {
  readonly epoch: string;
  readonly lanes: readonly LaneSeed[];
  /** Least recently used first. */
  readonly positions: readonly StreamPosition[];
}

export interface OutboxSalvage {
  /** Copies of what was damaged, for the curious. */
  readonly quarantined: readonly string[];
  /** Messages that wait in the lanes after the salvage. */
  readonly kept: number;
  /** Messages known to be lost; counted by lane (`damaged`) as far as their lane is known. */
  readonly lost: number;
  readonly reason: string;
}

export interface OutboxOpened {
  /** 16 hexadecimal digits. Changes only when the whole outbox had to start afresh. */
  readonly epoch: string;
  /** There was no outbox. */
  readonly fresh: boolean;
  readonly salvaged: OutboxSalvage | undefined;
}

export interface OutboxPorts {
  readonly files: LogFiles;
  readonly entropy: Entropy;
}

export interface OutboxOptions {
  readonly directory: string;
  /** Directory for copies of damaged segments. */
  readonly quarantine: string;
  /** At which a new segment begins; outboxSegmentBytesMax when absent, and at most that. */
  readonly segmentBytes?: number | undefined;
}
