// Rewriting segments that hold little of what they once did, so that a lane nobody empties does not pin the disk.
//
// Takes neighbouring closed segments, writes what still waits in them into one file that stands for all of them, and
// lets them go. Killable anywhere: the new file is complete and on storage before it gets its name, and its name
// says which others it replaces (segment-format.ts). Frames keep their stamps and records their checksums.
//
// Runs only while nothing is staged: what a commit is about to take out may still have to stay.
//
// Also how a segment is healed whose last sync failed: it is written anew, wherever it is read from now.

import { Buffer } from 'node:buffer';
import { join } from 'node:path';
import {
  outboxRewriteOverheadBytes,
  outboxSmallShare,
  outboxSparseRunMax,
  outboxSparseShare,
  outboxStepBytes,
} from '../../limits.ts';
import type { LogFile } from '../../platform/log-files.ts';
import { UnreadableFrame } from './byte-source.ts';
import { FrameBuilder } from './frame-builder.ts';
import type { Frame, FrameSource } from './frame-source.ts';
import type { LanePart, LaneState } from './lane-state.ts';
import type { LogState } from './log-state.ts';
import { RecordWalk } from './record-walk.ts';
import { Segment } from './segment.ts';
import type { SegmentFiles } from './segment-files.ts';
import { encodeHeader, headerBytes, type SegmentHeader } from './segment-format.ts';

const temporaryName = 'rewrite.tmp';
const gatherBytes = 262_144;

/** A part of the new segment, as far as it is known. */
type Piece = {
  first: number;
  last: number;
  count: number;
  bytes: number;
  position: number;
  ttlMin: number | undefined;
};

interface Rewriting {
  readonly segment: Segment;
  readonly file: LogFile;
  readonly pieces: Map<LaneState, Piece>;
  readonly pending: Buffer[];
  pendingBytes: number;
}

interface Pressure {
  readonly pressed: boolean;
}

export class Compaction {
  readonly #files: SegmentFiles;
  readonly #source: FrameSource;
  readonly #state: LogState;
  readonly #segmentBytes: number;

  constructor(
    parts: { readonly files: SegmentFiles; readonly source: FrameSource; readonly state: LogState },
    segmentBytes: number,
  ) {
    this.#files = parts.files;
    this.#source = parts.source;
    this.#state = parts.state;
    this.#segmentBytes = segmentBytes;
  }

  /**
   * Rewrites neighbouring segments that are worth it, `closed` in order; false when there are none. `pressed`: the disk
   * is full, so that one will do, into a spare file. Throws what the disk throws; everything is then as it was.
   */
  rewriteSome(closed: readonly Segment[], pressure: Pressure): boolean {
    const run = this.#plan(closed, pressure);
    if (run.length > 0) this.#rewrite(run, pressure);
    return run.length > 0;
  }

  /** What waits in it fits a spare file that is there, and the rest is worth having on a full disk. */
  isWorthASpare(segment: Segment): boolean {
    const gain = segment.fileBytes - segment.liveBytes;
    const isWorth = gain >= Math.min(outboxStepBytes, this.#segmentBytes / 2);
    return isWorth && segment.present && this.#files.hasSpare(bytesNeeded([segment]));
  }

  #plan(closed: readonly Segment[], { pressed }: Pressure): readonly Segment[] {
    const suspect = closed.find((segment) => segment.suspect && segment.present);
    if (suspect !== undefined) return [suspect];
    const sparse = pressed ? closed.find((segment) => this.isWorthASpare(segment)) : undefined;
    if (sparse !== undefined) return [sparse];
    let run: Segment[] = [];
    let [live, used] = [0, 0];
    const worth = (): boolean => used - live >= this.#segmentBytes || run.length >= outboxSparseRunMax;
    for (const segment of closed) {
      const liveBytes = segment.liveBytes;
      const sparse = liveBytes < segment.end * outboxSparseShare || segment.end < this.#segmentBytes * outboxSmallShare;
      const fits = live + liveBytes <= this.#segmentBytes * outboxSparseShare;
      if (!sparse || !fits || !segment.present) {
        if (worth()) return run;
        [run, live, used] = [[], 0, 0];
      }
      if (!sparse || !segment.present) continue;
      run.push(segment);
      live += liveBytes;
      used += segment.end;
    }
    return worth() ? run : [];
  }

  #rewrite(run: readonly Segment[], { pressed }: Pressure): void {
    const [first, last] = [run[0], run.at(-1)];
    if (first === undefined || last === undefined) return;
    const generation = 1 + Math.max(...run.map(({ header }) => header.generation));
    const { epoch, salt } = this.#state;
    const header: SegmentHeader = { epoch, salt, first: first.header.first, last: last.header.last, generation };
    const { file, path } = this.#target(pressed ? bytesNeeded(run) : undefined);
    const segment = new Segment(header);
    const work: Rewriting = {
      segment,
      file,
      pieces: new Map(),
      pending: [encodeHeader(header)],
      pendingBytes: headerBytes,
    };
    try {
      for (const source of run) this.#copy(source, work);
      this.#flush(work);
      segment.fileBytes = segment.end;
      this.#files.files.truncate('outbox:rewrite', file, segment.end);
      this.#files.files.syncData('outbox:rewrite', file);
    } catch (error) {
      this.#files.removeQuietly(path);
      throw error;
    } finally {
      this.#files.closeQuietly(file);
    }
    this.#files.files.rename('outbox:rewrite', path, this.#files.pathOf(header));
    this.#files.syncDirectory();
    this.#replace(run, work);
    // A full disk gets its blocks back, so that whoever needs some finds them.
    for (const old of run) this.#files.release(old, pressed ? 0 : this.#segmentBytes);
  }

  #target(spareBytes: number | undefined): { readonly file: LogFile; readonly path: string } {
    const spare = spareBytes === undefined ? undefined : this.#files.take({ keep: 0, bytes: spareBytes });
    if (spare !== undefined) return spare;
    const path = join(this.#files.directory, temporaryName);
    return { file: this.#files.files.open('outbox:rewrite', path, 'create'), path };
  }

  #copy(source: Segment, work: Rewriting): void {
    const builder = new FrameBuilder(outboxStepBytes);
    let position = headerBytes;
    while (position < source.end) {
      const frame = this.#source.frame(source, position, source.end);
      if (frame === undefined) {
        const head = this.#source.head(source, position, source.end);
        position =
          head === undefined
            ? (this.#source.findHead(source, position + 1, source.end)?.position ?? source.end)
            : position + head.frameBytes;
        continue;
      }
      position += frame.head.frameBytes;
      builder.clear();
      this.#copyFrame(frame, builder);
      if (builder.records > 0) this.#put(frame, builder, work);
    }
  }

  #copyFrame(frame: Frame, builder: FrameBuilder): void {
    const walk = new RecordWalk(frame);
    const nexts = new Map<number, number>();
    try {
      for (let targets = walk.step(nexts); targets !== undefined; targets = walk.step(nexts)) {
        const alive = targets.filter(({ lane, offset }) => {
          const state = this.#state.lanes.byId(lane);
          return state !== undefined && offset < state.offsetNext && state.nextAlive(offset) === offset;
        });
        if (alive.length === 0) continue;
        const at = this.#source.record(frame, walk);
        if (at === undefined) continue;
        builder.beginRecord(this.#source.memory.bytes.subarray(at, at + walk.length));
        for (const { lane, offset, ttlMs } of alive) builder.target(lane, offset, ttlMs);
        builder.endRecord();
      }
    } catch (error) {
      if (!(error instanceof UnreadableFrame)) throw error;
    }
  }

  #put({ head }: Frame, builder: FrameBuilder, work: Rewriting): void {
    const { segment } = work;
    const position = segment.end;
    for (const entry of builder.lanes.values()) {
      const lane = this.#state.lanes.byId(entry.lane);
      if (lane === undefined) continue;
      const piece = work.pieces.get(lane);
      const { base: first, next, count, bytes, ttlMin } = entry;
      if (piece === undefined) work.pieces.set(lane, { first, last: next - 1, count, bytes, position, ttlMin });
      else {
        piece.last = next - 1;
        piece.count += count;
        piece.bytes += bytes;
        piece.ttlMin = shorter(piece.ttlMin, ttlMin);
      }
    }
    const { sequence, monotonicMs, wallMs, boot, flags } = head;
    const stamp = { position, sequence, monotonicMs, wallMs, boot, flags };
    segment.recordBytes += builder.recordBytes;
    const { frameBytes, buffers } = builder.finish(stamp, { seed: segment.seed, pad: false });
    segment.end += frameBytes;
    work.pending.push(Buffer.concat(buffers));
    work.pendingBytes += frameBytes;
    if (work.pendingBytes >= gatherBytes) this.#flush(work);
  }

  #flush(work: Rewriting): void {
    const position = work.segment.end - work.pendingBytes;
    const written = this.#files.files.write('outbox:rewrite', work.file, { buffers: work.pending, position });
    if (written < work.pendingBytes) throw Object.assign(new ShortWrite('the disk took a part'), { code: 'ENOSPC' });
    work.pending.length = 0;
    work.pendingBytes = 0;
  }

  #replace(run: readonly Segment[], { segment, pieces }: Rewriting): void {
    const gone = new Set(run);
    for (const lane of new Set(run.flatMap((old) => [...old.parts].map((part) => part.lane))))
      replaceParts(lane, gone, { segment, piece: pieces.get(lane) });
    const at = this.#state.segments.indexOf(run[0] as Segment);
    this.#state.segments.splice(at, run.length, segment);
    this.#source.forget();
  }
}

class ShortWrite extends Error {}

/** At most, for what waits in them: frames and their indexes included. */
function bytesNeeded(run: readonly Segment[]): number {
  let bytes = headerBytes;
  for (const { parts } of run)
    for (const part of parts) bytes += part.lane.bytesOf(part) + part.lane.countOf(part) * outboxRewriteOverheadBytes;
  return bytes;
}

/** The old parts' whole range stays, so that what could not be read of it shows as a gap. */
function replaceParts(
  lane: LaneState,
  gone: ReadonlySet<Segment>,
  { segment, piece }: { readonly segment: Segment; readonly piece: Piece | undefined },
): void {
  const old = lane.parts.filter((part) => gone.has(part.segment));
  const [first, last] = [old[0] as LanePart, old.at(-1) as LanePart];
  const part: LanePart = {
    lane,
    segment,
    first: first.first,
    last: last.last,
    count: piece?.count ?? 0,
    bytes: piece?.bytes ?? 0,
    position: piece?.position ?? headerBytes,
    ttlMin: piece?.ttlMin,
    freshUntilMs: undefined,
  };
  lane.parts.splice(lane.parts.indexOf(first), old.length, part);
  lane.partBytes += part.bytes - old.reduce((sum, { bytes }) => sum + bytes, 0);
  segment.parts.add(part);
  lane.forgetPlaces((place) => gone.has(place));
}

function shorter(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}
