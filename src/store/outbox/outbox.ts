// The outbox: messages accepted on this device and not yet accepted by their destination.

import { strict as assert } from 'node:assert';
import type { Lane } from '../../model/lane.ts';
import type { TimeStamp } from '../../model/time-stamp.ts';
import type { Entropy } from '../../platform/entropy.ts';
import type { LogFiles } from '../../platform/log-files.ts';
import type {
  AppendOutcome,
  AppendSpec,
  LaneDrop,
  LaneFacts,
  LaneReadSpec,
  LaneRows,
  OutboxOpened,
  OutboxOptions,
  OutboxSeed,
} from './shapes.ts';

export interface OutboxPorts {
  readonly files: LogFiles;
  readonly entropy: Entropy;
}

export class Outbox {
  constructor(_ports: OutboxPorts, _options: OutboxOptions) {}

  /**
   * Finds what is there; writes nothing, so that a read-only disk can still be drained. Damage is salvaged, never
   * refused. Throws STORE_SCHEMA_NEWER for segments of a newer format (nothing is touched) and OutboxFault when the
   * directory cannot be read at all.
   */
  open(_stamp: TimeStamp): OutboxOpened {
    return assert.fail('being built');
  }

  /** Removes whatever is there and begins with the seed. For moving in from an older store; may be repeated. */
  startAfresh(_seed: OutboxSeed, _stamp: TimeStamp): OutboxOpened {
    return assert.fail('being built');
  }

  /** Stages one message: the check for repetitions, the message in all its lanes, the position of its stream. */
  append(_spec: AppendSpec): AppendOutcome {
    return assert.fail('being built');
  }

  /** Stages: everything of the lane up to `offset` has arrived. What was never given out is not touched. */
  confirm(_lane: Lane, _offset: number): void {
    assert.fail('being built');
  }

  /**
   * Stages drops until at most `bytesMax` bytes wait: expired messages first, then the oldest of the largest lane
   * of the lowest priority. Call it after append() and before commit().
   */
  enforceQuota(_bytesMax: number, _stamp: TimeStamp): void {
    assert.fail('being built');
  }

  /** Stages drops of expired messages, also in lanes nobody reads, and tidies; bounded, further calls go on. commit() afterwards. */
  sweep(_stamp: TimeStamp): void {
    assert.fail('being built');
  }

  /** Anything that commit() would write. */
  get staged(): boolean {
    return assert.fail('being built');
  }

  /** Bytes of records staged: for whoever decides when a commit is worth its write. */
  get stagedBytes(): number {
    return assert.fail('being built');
  }

  /**
   * Everything staged, in one write and one sync; nothing to do when nothing is staged. Throws OutboxFault: then
   * nothing of it is there, nothing is staged any more, and everything committed before still is.
   */
  commit(_stamp: TimeStamp): void {
    assert.fail('being built');
  }

  /** Forgets what is staged. */
  discard(): void {
    assert.fail('being built');
  }

  /**
   * Committed messages of one lane after an offset, oldest first. Expired and damaged ones are left out and staged as
   * drops; the next commit counts them. Throws OutboxFault `io` when the disk does not answer: try again later.
   */
  read(_spec: LaneReadSpec): LaneRows {
    return assert.fail('being built');
  }

  /** Drops committed since the last call. */
  takeDrops(): readonly LaneDrop[] {
    return assert.fail('being built');
  }

  lanes(_stamp: TimeStamp): readonly LaneFacts[] {
    return assert.fail('being built');
  }

  get epoch(): string {
    return assert.fail('being built');
  }

  /** Bytes of messages that wait: what the quota bounds. A record in several lanes counts once. */
  get liveBytes(): number {
    return assert.fail('being built');
  }

  /** Bytes of all files of the outbox, with what is dead in them and the spare ones. */
  get diskBytes(): number {
    return assert.fail('being built');
  }

  /** What is staged is forgotten: commit first. */
  close(): void {
    assert.fail('being built');
  }
}
