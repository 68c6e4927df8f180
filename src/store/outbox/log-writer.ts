// Writing the log: one write and one sync a commit, and a new segment when the old one is full.
//
// Owns the segment being written and what happens when the disk refuses. Invariants
//   A segment's header and snapshot are on storage before it gets its name, and its name is before the first frame:
//   a number that a power cut took back may be given again, and a file from then must not pass for the new one.
//   `end` moves only after a sync that succeeded. What lies behind it is overwritten by the next frame, or, after a
//   sync that failed, given up together with the segment: nobody can know what of it is on storage, and a second
//   sync would say yes without having written it. The next segment's snapshot says where the old one ends.
//   A segment number is never used twice.
//
// A new file grows by outboxStepBytes of zeros at a time, in the same write as a frame: appending frame by frame
// would make the file system write its own books with every commit, several times the frame. A frame that is large
// itself goes without: the zeros would cost more than the books.

import { strict as assert } from 'node:assert';
import { Buffer } from 'node:buffer';
import {
  outboxAppendBytesMin,
  outboxReserveBytes,
  outboxReserveFiles,
  outboxSnapshotBytesKept,
  outboxStepBytes,
} from '../../limits.ts';
import type { TimeStamp } from '../../model/time-stamp.ts';
import type { LogFile, LogFiles } from '../../platform/log-files.ts';
import type { Boot } from './boot-table.ts';
import { FrameBuilder } from './frame-builder.ts';
import type { LogState } from './log-state.ts';
import { faultFrom, OutboxFault } from './outbox-fault.ts';
import { Segment } from './segment.ts';
import type { OpenedFile, SegmentFiles } from './segment-files.ts';
import { alignUp, encodeHeader, flagSnapshot, flagTrusted, headerBytes, type SegmentHeader } from './segment-format.ts';

export interface WriteStamp extends Pick<TimeStamp, 'monotonicMs' | 'wallMs' | 'trusted'> {
  readonly boot: Boot;
}

export interface LogTail {
  readonly segment: Segment;
  /** Where its last frame begins; 0 when it has none but the snapshot. */
  readonly from: number;
  /** False when a new segment has to be begun. */
  readonly goOn: boolean;
  /** Its header cannot be read, and is known from another segment's. */
  readonly headerLost: boolean;
}

interface Active {
  readonly segment: Segment;
  readonly file: LogFile;
}

/** A frame that is written and not synced. */
interface PutFrame {
  readonly active: Active;
  readonly position: number;
  readonly end: number;
  readonly recordBytes: number;
}

const pageBytes = 4096;
const writing = 'The outbox cannot be written';

export class LogWriter {
  readonly #files: SegmentFiles;
  readonly #state: LogState;
  readonly #segmentBytes: number;
  readonly #zeros: Buffer = Buffer.alloc(outboxStepBytes);
  #active: Active | undefined;
  /** What an earlier process wrote last, and may not have brought to storage. */
  #tail: LogTail | undefined;
  #rollNext = false;
  /** The active segment lies in a file of the reserve: it takes only frames without records. */
  #onReserve = false;
  #snapshotEnd = 0;

  constructor(files: SegmentFiles, state: LogState, segmentBytes: number) {
    this.#files = files;
    this.#state = state;
    this.#segmentBytes = segmentBytes;
  }

  /** The one being written, or to go on in. */
  get segment(): Segment | undefined {
    return this.#active?.segment ?? this.#tail?.segment;
  }

  /** The segment being written may get messages, so that it can be long. */
  get takesRecords(): boolean {
    return this.#active !== undefined && !this.#onReserve;
  }

  /** What was found: where the last frame lies, and whether to go on behind it. */
  adopt(tail: LogTail): void {
    assert(this.#active === undefined);
    this.#tail = tail;
    if (!tail.goOn) this.#rollNext = true;
  }

  /** Makes sure that there is a segment for so many bytes of records. Answers whether it is a new one. Throws OutboxFault. */
  prepare(stamp: WriteStamp, { records, bytes }: { readonly records: number; readonly bytes: number }): boolean {
    this.secureTail();
    const active = this.#active;
    const adds = records > 0;
    const takes = !(adds && this.#onReserve);
    if (active !== undefined && !this.#rollNext && takes && this.#fits(active.segment, bytes)) return false;
    try {
      this.#roll(stamp, this.#onReserve ? 1 : outboxReserveFiles);
      return true;
    } catch (error) {
      const fault = this.#notBegun(error);
      if (fault.kind !== 'full') throw fault;
      // The old segment takes a little more, as long as it can be trusted.
      if (active !== undefined && !this.#rollNext && takes) return false;
      if (adds || !this.beginOnReserve(stamp)) throw fault;
      return true;
    }
  }

  /**
   * Begins a segment in one of the spare files that are kept for the time without room, for a frame that adds nothing:
   * else what has left could not be written down, and no room would ever be. The segment before gives its file back
   * once it is dead, so that two suffice for as long as it takes. False when there is none. Throws OutboxFault.
   */
  beginOnReserve(stamp: WriteStamp): boolean {
    try {
      return this.#roll(stamp, 0);
    } catch (error) {
      throw this.#notBegun(error);
    }
  }

  /** Bytes a spare file has to have for a segment to begin in it. */
  get reserveBytes(): number {
    return Math.max(Math.min(outboxReserveBytes, this.#segmentBytes), alignUp(2 * this.#snapshotEnd, pageBytes));
  }

  #notBegun(error: unknown): OutboxFault {
    const fault = faultFrom(error, writing);
    if (fault.kind !== 'full' || !this.#isGone()) this.#rollNext = true;
    return fault;
  }

  /**
   * The segment that was not begun has left the directory for good. Else a power cut could bring it back, with a
   * snapshot that knows nothing of the frames that the old one takes now.
   */
  #isGone(): boolean {
    try {
      this.#files.files.remove('outbox:remove', this.#files.pathOf(this.#headerOf(this.#state.segmentNext - 1)));
      this.#files.syncDirectory();
      return true;
    } catch (error) {
      faultFrom(error, writing);
      return false;
    }
  }

  /** Writes the frame behind the last one and answers its place. Throws OutboxFault: then it is not there. */
  write(builder: FrameBuilder, stamp: WriteStamp): number {
    const put = this.#put(builder, stamp);
    this.#sync(put.active);
    return this.#complete(put);
  }

  /** A sync can go on by itself. */
  get canSyncLater(): boolean {
    return this.#files.files.syncDataLater !== undefined;
  }

  /**
   * The same, but the sync goes on by itself, and `done` gets the place or the fault. Nothing else may be asked of the
   * log until then. Throws OutboxFault when the frame could not even be written; then `done` is not called.
   */
  writeLater(builder: FrameBuilder, stamp: WriteStamp, done: (outcome: number | OutboxFault) => void): void {
    const { syncDataLater } = this.#files.files;
    assert(syncDataLater !== undefined, 'canSyncLater comes first');
    const put = this.#put(builder, stamp);
    syncDataLater('outbox:sync', put.active.file, (error) => {
      if (error === undefined) {
        done(this.#complete(put));
        return;
      }
      this.#distrust(put.active);
      done(faultFrom(error, writing));
    });
  }

  #put(builder: FrameBuilder, stamp: WriteStamp): PutFrame {
    const active = this.#active;
    assert(active !== undefined, 'prepare() comes first');
    const { segment, file } = active;
    const position = segment.end;
    const { frameBytes, buffers } = builder.finish(
      { ...this.#headOf(stamp), position, sequence: this.#state.sequence + 1 },
      { seed: segment.seed, pad: true },
    );
    const end = position + frameBytes;
    if (end > segment.fileBytes && frameBytes < outboxAppendBytesMin)
      this.#pushZeros(buffers, this.#lengthFor(end) - end);
    let written: number;
    try {
      written = this.#files.files.write('outbox:write', file, { buffers, position });
    } catch (error) {
      const fault = faultFrom(error, writing);
      if (fault.kind === 'io') this.#distrust(active);
      if (fault.kind === 'full') this.#files.dropSpares({ keep: outboxReserveFiles, bytes: this.reserveBytes });
      throw fault;
    }
    segment.fileBytes = Math.max(segment.fileBytes, position + written);
    if (written < frameBytes) {
      this.#files.dropSpares({ keep: outboxReserveFiles, bytes: this.reserveBytes });
      throw shortOf('a frame');
    }
    return { active, position, end, recordBytes: builder.recordBytes };
  }

  #complete({ active: { segment }, position, end, recordBytes }: PutFrame): number {
    segment.end = end;
    segment.recordBytes += recordBytes;
    this.#state.sequence++;
    return position;
  }

  /**
   * Brings the last frame of an earlier process to storage, which may have died before its sync or after one that
   * failed. A sync alone would not do: after a failure the kernel holds the pages for clean. So they are written
   * again, as they are. A header that the power cut took is written as it should be, before an older segment, whose
   * header is perhaps the only one, may go. Throws OutboxFault.
   */
  secureTail(): void {
    const tail = this.#tail;
    if (tail === undefined) return;
    const { segment } = tail;
    let file: LogFile | undefined;
    try {
      file = this.#files.files.open('outbox:open', this.#files.pathOf(segment.header), 'write');
      if (tail.headerLost) restoreHeader(this.#files.files, file, segment.header);
      rewrite(this.#files.files, file, { from: tail.from, to: segment.end });
      this.#files.files.syncData('outbox:secure', file);
      this.#files.syncDirectory();
    } catch (error) {
      if (file !== undefined) this.#files.closeQuietly(file);
      throw faultFrom(error, writing);
    }
    this.#tail = undefined;
    if (tail.goOn) {
      this.#active = { segment, file };
      this.#onReserve = segment.fileBytes < Math.min(outboxStepBytes, this.#segmentBytes);
    } else this.#files.closeQuietly(file);
  }

  close(): void {
    if (this.#active !== undefined) this.#files.closeQuietly(this.#active.file);
    this.#active = undefined;
    this.#tail = undefined;
  }

  #sync(active: Active): void {
    try {
      this.#files.files.syncData('outbox:sync', active.file);
    } catch (error) {
      this.#distrust(active);
      throw faultFrom(error, writing);
    }
  }

  #distrust({ segment }: Active): void {
    segment.suspect = true;
    this.#rollNext = true;
  }

  /** False when there is no file for it but a spare one that is to be kept. */
  #roll(stamp: WriteStamp, keep: number): boolean {
    const first = this.#state.segmentNext;
    const header = this.#headerOf(first);
    const segment = new Segment(header);
    this.#files.files.makeDirectory('outbox:directory', this.#files.directory);
    this.#state.segmentNext = first + 1;
    const opened = this.#files.take({ keep, bytes: this.reserveBytes });
    if (opened === undefined) return false;
    try {
      this.#begin(segment, opened, stamp);
    } catch (error) {
      this.#files.closeQuietly(opened.file);
      this.#files.removeQuietly(opened.path);
      this.#files.removeQuietly(this.#files.pathOf(header));
      throw error;
    }
    const before = this.#active;
    this.#active = { segment, file: opened.file };
    this.#state.tell(segment);
    this.#rollNext = false;
    this.#onReserve = keep === 0;
    if (before !== undefined) this.#leave(before);
    return true;
  }

  #begin(segment: Segment, opened: OpenedFile, stamp: WriteStamp): void {
    const builder = new FrameBuilder(outboxSnapshotBytesKept);
    for (const note of this.#state.snapshot()) builder.note(note);
    const buffers: Buffer[] = [encodeHeader(segment.header)];
    let position = headerBytes;
    for (let copy = 0; copy < 2; copy++) {
      const head = { ...this.#headOf(stamp), position, sequence: this.#state.sequence };
      const built = builder.finish({ ...head, flags: head.flags | flagSnapshot }, { seed: segment.seed, pad: false });
      buffers.push(Buffer.concat(built.buffers));
      position += built.frameBytes;
    }
    segment.end = position;
    this.#snapshotEnd = position;
    segment.fileBytes = opened.fileBytes;
    if (position > segment.fileBytes) this.#pushZeros(buffers, this.#lengthFor(position) - position);
    const written = this.#files.files.write('outbox:begin', opened.file, { buffers, position: 0 });
    segment.fileBytes = Math.max(segment.fileBytes, written);
    if (written < position) throw shortOf('a segment');
    this.#files.files.syncData('outbox:begin', opened.file);
    this.#files.settle(opened, segment.header);
  }

  /** A segment that is left early gives back what it had set aside. */
  #leave({ segment, file }: Active): void {
    if (segment.fileBytes - segment.end > outboxStepBytes && segment.fileBytes < this.#segmentBytes) {
      try {
        this.#files.files.truncate('outbox:trim', file, segment.end);
        segment.fileBytes = segment.end;
      } catch {
        // It stays as long as it is.
      }
    }
    this.#files.closeQuietly(file);
  }

  /** A frame larger than a segment has one for itself. */
  #fits({ end, recordBytes }: Segment, bytes: number): boolean {
    return end + bytes <= this.#segmentBytes || (recordBytes === 0 && end < this.#segmentBytes);
  }

  #headerOf(first: number): SegmentHeader {
    const { epoch, salt } = this.#state;
    return { epoch, salt, first, last: first, generation: 0 };
  }

  #headOf({ monotonicMs, wallMs, trusted, boot }: WriteStamp) {
    return { monotonicMs, wallMs, boot: boot.number, flags: trusted ? flagTrusted : 0 };
  }

  #pushZeros(buffers: Buffer[], bytes: number): void {
    if (bytes > 0) buffers.push(this.#zeros.subarray(0, bytes));
  }

  /** The length a file takes that has to hold `end` bytes. */
  #lengthFor(end: number): number {
    const stepped = alignUp(end, outboxStepBytes);
    return end <= this.#segmentBytes ? Math.min(stepped, Math.max(end, this.#segmentBytes)) : end;
  }
}

function restoreHeader(files: LogFiles, file: LogFile, header: SegmentHeader): void {
  const bytes = encodeHeader(header);
  const written = files.write('outbox:secure', file, { buffers: [bytes], position: 0 });
  if (written < bytes.byteLength) throw shortOf('a header');
}

function shortOf(what: string): OutboxFault {
  return new OutboxFault('full', { code: 'ENOSPC', message: `${writing}: no space is left for ${what}` });
}

/** Writes bytes over themselves, so that the next sync is about them. */
function rewrite(files: LogFiles, file: LogFile, { from, to }: { readonly from: number; readonly to: number }): void {
  const buffer = new Uint8Array(Math.min(outboxStepBytes, to - from));
  for (let position = from; position < to; ) {
    const count = files.read('outbox:secure', file, { into: buffer.subarray(0, to - position), position });
    if (count === 0) break;
    position += files.write('outbox:secure', file, { buffers: [buffer.subarray(0, count)], position });
  }
}
