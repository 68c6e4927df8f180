// The outbox: messages accepted on this device and not yet accepted by their destination.
//
// Owns the order of things: stage, commit, settle, let go. What a lane is, how a frame looks, how files are found
// again and what a read passes is told in the files beside this one; docs/store.md has the whole picture.
//
// Invariants
//   commit() returns only after the frame is on storage, and throws only when nothing of it counts.
//   The check for repetitions, the message in all its lanes and the position of its stream are one frame.
//   A file is let go only after the commit that emptied it is on storage.
//   Nothing leaves a lane but by confirm(), expiry, the quota or damage; the last three are counted in the same frame.
//
// One process at a time: the lock on weir.db, which the engine opens first, covers this directory as well.

import { strict as assert } from 'node:assert';
import { outboxFrameBytesKept, outboxReserveFiles, outboxSegmentBytesMax, storeTargetsMax } from '../../limits.ts';
import type { Lane } from '../../model/lane.ts';
import type { StreamPosition } from '../../model/message.ts';
import type { TimeStamp } from '../../model/time-stamp.ts';
import { DropTally } from './drop-tally.ts';
import { FrameBuilder } from './frame-builder.ts';
import { FrameSource } from './frame-source.ts';
import { ttlOf } from './lane-expiry.ts';
import { laneFacts } from './lane-facts.ts';
import { lose } from './lane-reader.ts';
import type { LaneState } from './lane-state.ts';
import { LogState, stageNotes } from './log-state.ts';
import type { WriteStamp } from './log-writer.ts';
import { type Log, openLog } from './open-log.ts';
import { faultFrom, OutboxFault } from './outbox-fault.ts';
import { quarantine } from './quarantine.ts';
import { makeRoom } from './quota.ts';
import { type Damage, newIds, type Recovered, recover } from './recovery.ts';
import type { Segment } from './segment.ts';
import { SegmentFiles } from './segment-files.ts';
import {
  type AppendOutcome,
  type AppendSpec,
  appendOutcome,
  type LaneDrop,
  type LaneFacts,
  type LaneReadSpec,
  type LaneRows,
  type LaneTarget,
  type OutboxOpened,
  type OutboxOptions,
  type OutboxPorts,
  type OutboxSeed,
  type PlacedSpec,
} from './shapes.ts';

/** A segment's last frame may reach over its end; a file much longer than a segment is not worth keeping. */
const spareSlack = 1.25;

interface Committing {
  /** Messages are among what is staged. */
  readonly adds: boolean;
  readonly stamp: TimeStamp;
}

export class Outbox {
  readonly #ports: OutboxPorts;
  readonly #options: OutboxOptions;
  readonly #files: SegmentFiles;
  readonly #segmentBytes: number;
  readonly #builder = new FrameBuilder(outboxFrameBytesKept);
  readonly #drops = new DropTally();
  /** Lanes of the message being appended; used again for the next. */
  readonly #targeted: LaneState[] = [];
  #log: Log | undefined;
  /** Confirmations staged. */
  readonly #confirms = new Map<LaneState, number>();
  /** A commit whose only content is what is known of the hour. */
  #clockNews = false;
  #tidyWanted = false;
  /** Messages were refused for want of room, and none was taken since. */
  #pressed = false;
  /** A frame is written and not synced: what it will have been, nobody knows. */
  #syncing = false;

  constructor(ports: OutboxPorts, options: OutboxOptions) {
    this.#ports = ports;
    this.#options = options;
    this.#files = new SegmentFiles(ports.files, options.directory);
    this.#segmentBytes = Math.min(options.segmentBytes ?? outboxSegmentBytesMax, outboxSegmentBytesMax);
  }

  /**
   * Finds what is there; writes nothing to the log, so that a read-only disk can still be drained. Damage is
   * salvaged, never refused. Throws STORE_SCHEMA_NEWER for segments of a newer format (nothing is touched), and
   * OutboxFault when the directory cannot be read at all.
   */
  open(stamp: TimeStamp): OutboxOpened {
    assert(this.#log === undefined, 'the outbox is open');
    const source = new FrameSource(this.#files);
    let recovered: Recovered;
    try {
      recovered = recover(this.#files, source, this.#ports.entropy);
    } catch (error) {
      this.#files.closeAll();
      throw faultFrom(error, 'The outbox cannot be read');
    }
    const { state, tail, leftovers, fresh, damage } = recovered;
    const log = this.#assemble(state, source);
    log.leftovers.push(...leftovers);
    if (tail !== undefined) log.writer.adopt(tail);
    this.#settleLanes(log);
    state.lanes.forgetEmpty();
    state.boots.observe(stamp);
    return { epoch: state.epoch, fresh, salvaged: damage === undefined ? undefined : this.#salvage(log, damage) };
  }

  /** Removes whatever is there and begins with the seed. For moving in from an older store; may be repeated. */
  startAfresh(seed: OutboxSeed, stamp: TimeStamp): OutboxOpened {
    this.close();
    const state = new LogState({ ...newIds(this.#ports.entropy), epoch: seed.epoch });
    try {
      const names = this.#files.list();
      for (const name of names) this.#ports.files.remove('outbox:afresh', this.#files.pathOf(name));
      this.#files.dropSpares({ keep: 0, bytes: 0 });
      state.segmentNext = 1 + Math.max(0, ...names.map(({ last }) => last));
      for (const lane of seed.lanes) state.lanes.addEmpty(lane);
      for (const position of seed.positions) state.streams.advance(position);
      state.streams.settle();
      const log = this.#assemble(state, new FrameSource(this.#files));
      log.writer.prepare(this.#writeStamp(log, stamp), { records: 0, bytes: 0 });
    } catch (error) {
      this.close();
      throw faultFrom(error, 'The outbox cannot be started afresh');
    }
    return { epoch: state.epoch, fresh: true, salvaged: undefined };
  }

  /** Stages one message: the check for repetitions, the message in all its lanes, the position of its stream. */
  append({ targets, record, hop }: AppendSpec): AppendOutcome {
    const outcome = this.#admit(targets, hop);
    if (outcome !== appendOutcome.stored) return outcome;
    this.#builder.beginRecord(record);
    this.#address(targets, record.byteLength);
    return outcome;
  }

  /**
   * The records of the messages staged from here to the commit are in this memory already, in order, as
   * placed-records.ts says. It belongs to the outbox until commit() or discard().
   */
  adopt(records: ArrayBuffer): void {
    this.#builder.adopt(records);
  }

  /** As append(), of a record in the adopted memory. */
  appendPlaced({ targets, place, hop }: PlacedSpec): AppendOutcome {
    const outcome = this.#admit(targets, hop);
    if (outcome !== appendOutcome.stored) return outcome;
    this.#builder.placeRecord(place);
    this.#address(targets, place.length);
    return outcome;
  }

  #admit(targets: readonly LaneTarget[], hop: StreamPosition | undefined): AppendOutcome {
    const { state } = this.#opened();
    const count = targets.length;
    if (count === 0 || count > storeTargetsMax) assert.fail('a message has targets');
    const lanes = this.#targeted;
    for (let index = 0; index < count; index++) {
      const found = state.lanes.findOrCreate((targets[index] as LaneTarget).lane);
      if (found === undefined) return appendOutcome.refused;
      lanes[index] = found;
    }
    if (hop !== undefined && !state.streams.advance(hop)) return appendOutcome.duplicate;
    return appendOutcome.stored;
  }

  /** Puts the record that was begun into the lanes that it was admitted to. */
  #address(targets: readonly LaneTarget[], bytes: number): void {
    const builder = this.#builder;
    const lanes = this.#targeted;
    for (let index = 0; index < targets.length; index++) {
      const lane = lanes[index] as LaneState;
      if (index > 0 && lanes.indexOf(lane) < index) continue;
      const target = targets[index] as LaneTarget;
      builder.target(lane.id, lane.takeOffset(target.offset), ttlOf(target.timeToLiveMs));
      lane.stagedCount++;
      lane.stagedBytes += bytes;
    }
    builder.endRecord();
  }

  /** Stages: everything of the lane up to `offset` has arrived. What was never given out is not touched. */
  confirm(lane: Lane, offset: number): void {
    const state = this.#opened().state.lanes.find(lane);
    if (state !== undefined) this.#raiseFloor(state, offset);
  }

  /**
   * Stages drops until at most `bytesMax` bytes wait: expired messages first, then the oldest of the largest lane
   * of the lowest priority. Call it after append() and before commit().
   */
  enforceQuota(bytesMax: number, stamp: TimeStamp): void {
    const { state, expiry } = this.#opened();
    const excess = (): number => state.liveBytes - bytesMax;
    if (excess() <= 0) return;
    const lanes = [...state.lanes.all];
    this.#orFault(() => expiry.expire(lanes, stamp, () => excess() <= 0));
    makeRoom(lanes, excess);
  }

  /**
   * Stages drops of expired messages, also in lanes nobody reads, and has the next commit() tidy up. Bounded, further
   * calls go on. commit() belongs behind it. Throws OutboxFault `io` when the disk does not answer.
   */
  sweep(stamp: TimeStamp): void {
    const { state, expiry } = this.#opened();
    this.#tidyWanted = true;
    this.#clockNews ||= state.boots.hasNews(stamp);
    this.#orFault(() => expiry.expire([...state.lanes.all], stamp, () => false));
  }

  /** Anything that commit() would write. */
  get staged(): boolean {
    const { state } = this.#opened();
    return !this.#builder.empty || this.#clockNews || state.staged;
  }

  /** Bytes of records staged: for whoever decides when a commit is worth its write. */
  get stagedBytes(): number {
    return this.#builder.recordBytes;
  }

  /**
   * Everything staged, in one write and one sync; almost nothing to do when nothing is staged. Throws OutboxFault:
   * then no message of it is there, nothing is staged any more but losses that reads found, and everything committed
   * before still is. For want of room only messages are left out: confirmations count, if they can be written.
   */
  commit(stamp: TimeStamp): void {
    let failed: OutboxFault | undefined;
    this.#commit(stamp, 'now', (fault) => {
      failed = fault;
    });
    if (failed !== undefined) throw failed;
  }

  /** The same, but the sync may go on by itself: until `done`, with the fault if there was one, nothing else may be asked of the outbox. */
  commitLater(stamp: TimeStamp, done: (fault: OutboxFault | undefined) => void): void {
    this.#commit(stamp, 'later', done);
  }

  #commit(stamp: TimeStamp, sync: 'now' | 'later', done: (fault: OutboxFault | undefined) => void): void {
    const log = this.#opened();
    const what = { adds: this.#builder.records > 0, stamp };
    try {
      this.#freeLeftovers(log);
      if (this.staged) {
        const frame = this.#prepare(log, stamp);
        if (sync === 'later' && what.adds && log.writer.canSyncLater) {
          this.#syncing = true;
          log.writer.writeLater(this.#builder, frame, (outcome) => {
            this.#syncing = false;
            if (typeof outcome === 'number') this.#settle(log, frame, outcome);
            done(typeof outcome === 'number' ? this.#committed(log, what) : this.#failed(log, what, outcome));
          });
          return;
        }
        this.#settle(log, frame, this.#writeSomewhere(log, frame));
      } else log.writer.secureTail();
    } catch (error) {
      this.#syncing = false;
      done(this.#failed(log, what, error));
      return;
    }
    done(this.#committed(log, what));
  }

  #committed(log: Log, { adds }: Committing): undefined {
    this.#builder.clear();
    this.#confirms.clear();
    if (adds) this.#pressed = false;
    this.#tidy(log);
  }

  #failed(log: Log, { adds, stamp }: Committing, error: unknown): OutboxFault {
    const leaving = [...this.#confirms];
    this.discard();
    const fault = faultFrom(error, 'The outbox cannot be written');
    if (fault.kind === 'full' && adds) this.#letGo(log, leaving, stamp);
    return fault;
  }

  /** Without room for what is new: what has left is written down nevertheless, because that is what makes room. */
  #letGo(log: Log, leaving: readonly (readonly [LaneState, number])[], stamp: TimeStamp): void {
    this.#pressed = true;
    for (const [lane, offset] of leaving) this.#raiseFloor(lane, offset);
    try {
      if (this.staged) this.#write(log, stamp);
      this.#confirms.clear();
      this.#leaveSparse(log, stamp);
      this.#tidy(log);
    } catch (error) {
      this.discard();
      faultFrom(error, 'The outbox cannot be written');
    }
  }

  /** The file being written is left once little waits in it: its room comes back with the next one only. */
  #leaveSparse(log: Log, stamp: TimeStamp): void {
    const { state, writer, compaction } = log;
    const { segment } = writer;
    if (segment === undefined || !writer.takesRecords) return;
    if (segment.parts.size > 0 && !compaction.isWorthASpare(segment)) return;
    if (!writer.beginOnReserve(this.#writeStamp(log, stamp))) return;
    this.#tidyWanted = true;
    state.dropFree(writer.segment, log.leftovers);
  }

  #raiseFloor(lane: LaneState, offset: number): void {
    const upTo = Math.min(offset, lane.committed.offsetNext - 1);
    lane.raiseFloor(upTo);
    this.#confirms.set(lane, Math.max(upTo, this.#confirms.get(lane) ?? 0));
  }

  /** Forgets what is staged, but not what reads found to be expired or damaged: nobody will find it again. */
  discard(): void {
    const { state } = this.#opened();
    this.#confirms.clear();
    this.#builder.clear();
    for (const lane of state.lanes.all) {
      lane.restore();
      for (const loss of lane.found.splice(0)) lose(lane, loss);
    }
    state.lanes.discard();
    state.streams.discard();
  }

  /**
   * Committed messages of one lane after an offset, oldest first. Expired and damaged ones are left out and staged as
   * drops; the next commit counts them. Throws OutboxFault `io` when the disk does not answer: try again later.
   */
  read({ lane, afterOffset, messagesMax, bytesMax, stamp }: LaneReadSpec): LaneRows {
    const { state, reader } = this.#opened();
    const found = state.lanes.find(lane);
    if (found === undefined) return { rows: [], bytes: 0, stream: '', more: false };
    const progress = reader.read(found, { afterOffset, messagesMax, bytesMax, stamp });
    return { ...progress, stream: found.stream };
  }

  /** Drops committed since the last call. */
  takeDrops(): readonly LaneDrop[] {
    return this.#drops.take();
  }

  lanes(stamp: TimeStamp): readonly LaneFacts[] {
    const log = this.#opened();
    log.state.boots.observe(stamp);
    return laneFacts(log);
  }

  get epoch(): string {
    return this.#opened().state.epoch;
  }

  /** Bytes of messages that wait: what the quota bounds. A record in several lanes counts once. */
  get liveBytes(): number {
    return this.#opened().state.liveBytes;
  }

  /** Bytes of all files of the outbox, with what is dead in them and the spare ones. */
  get diskBytes(): number {
    return this.#opened().state.segments.reduce((sum, { fileBytes }) => sum + fileBytes, this.#files.spareBytes);
  }

  /** What is staged is forgotten: commit first. */
  close(): void {
    const log = this.#log;
    if (log !== undefined) {
      this.discard();
      log.writer.close();
    }
    this.#log = undefined;
    this.#drops.clear();
    this.#files.closeAll();
  }

  #opened(): Log {
    if (this.#syncing) assert.fail('the outbox is asked during a sync');
    return this.#log ?? assert.fail('the outbox is not open');
  }

  #assemble(state: LogState, source: FrameSource): Log {
    this.#log = openLog({ files: this.#files, source, state }, this.#segmentBytes);
    return this.#log;
  }

  #write(log: Log, stamp: TimeStamp): void {
    const frame = this.#prepare(log, stamp);
    this.#settle(log, frame, this.#writeSomewhere(log, frame));
  }

  /** A segment for what is staged, and the notes of its frame. */
  #prepare(log: Log, stamp: TimeStamp): WriteStamp {
    const { state, writer } = log;
    const writeStamp = this.#writeStamp(log, stamp);
    const { records, recordBytes: bytes } = this.#builder;
    if (writer.prepare(writeStamp, { records, bytes })) this.#tidyWanted = true;
    stageNotes(this.#builder, state, { segment: writer.segment, boot: writeStamp.boot });
    return writeStamp;
  }

  /** The frame is on storage. */
  #settle(log: Log, { boot }: WriteStamp, position: number): void {
    const { state, writer } = log;
    const segment = writer.segment;
    assert(segment !== undefined);
    boot.noted = true;
    this.#clockNews = false;
    state.settle(segment, position, this.#builder.lanes.values());
    this.#builder.clear();
    this.#settleLanes(log);
  }

  /** A frame that adds nothing finds its place also on a full disk. */
  #writeSomewhere({ writer }: Log, stamp: WriteStamp): number {
    const builder = this.#builder;
    try {
      return writer.write(builder, stamp);
    } catch (error) {
      const isFull = error instanceof OutboxFault && error.kind === 'full';
      if (!isFull || builder.records > 0 || !writer.beginOnReserve(stamp)) throw error;
      this.#tidyWanted = true;
      return writer.write(builder, stamp);
    }
  }

  /** What was staged is true: its drops are counted, and what is empty leaves. */
  #settleLanes({ state, writer, leftovers }: Log): void {
    for (const lane of state.lanes.all) {
      if (lane.before === undefined && lane.parts[0]?.segment.present !== false) continue;
      this.#drops.count(lane);
      lane.before = undefined;
      lane.found.length = 0;
      state.dropEmptyParts(lane);
    }
    state.dropFree(writer.segment, leftovers);
  }

  /** After a commit: lets files go, and rewrites what is worth it. What fails here is tried again later. */
  #tidy({ state, writer, compaction, leftovers }: Log): void {
    if (writer.segment === undefined) return;
    this.#release(leftovers);
    if (!(this.#tidyWanted || this.#pressed) || this.staged) return;
    const reserve = (): void => this.#files.reserve(outboxReserveFiles, writer.reserveBytes);
    if (this.#tidyWanted) reserve();
    const closed = state.segments.filter((segment) => segment !== writer.segment);
    try {
      this.#tidyWanted = compaction.rewriteSome(closed, { pressed: this.#pressed });
      if (this.#tidyWanted && this.#pressed) reserve();
    } catch (error) {
      faultFrom(error, 'The outbox cannot be tidied');
      this.#tidyWanted = false;
      this.#pressed = false;
      reserve();
    }
  }

  #release(leftovers: Segment[]): void {
    for (const segment of leftovers.splice(0)) this.#files.release(segment, this.#segmentBytes * spareSlack);
  }

  /** Files that were found to be dead give their room back before any is asked for. */
  #freeLeftovers({ writer, leftovers }: Log): void {
    if (leftovers.length === 0 || writer.segment === undefined) return;
    writer.secureTail();
    this.#release(leftovers);
  }

  #salvage(log: Log, damage: Damage) {
    let [kept, lost] = [0, damage.lostElsewhere];
    for (const lane of log.state.lanes.all) {
      kept += lane.messages;
      lost += this.#drops.of(lane, 'damaged');
    }
    const copies = damage.segments.map((segment) => this.#files.pathOf(segment.header));
    const quarantined = quarantine(this.#ports.files, copies, this.#options.quarantine);
    return { quarantined, kept, lost, reason: damage.reasons.join('; ') };
  }

  #writeStamp({ state }: Log, stamp: TimeStamp): WriteStamp {
    const { monotonicMs, wallMs, trusted } = stamp;
    return { monotonicMs, wallMs, trusted, boot: state.boots.observe(stamp) };
  }

  #orFault(work: () => void): void {
    try {
      work();
    } catch (error) {
      throw faultFrom(error, 'The outbox cannot be read');
    }
  }
}
