// The parts of a log that is open, put together: what it says, and who writes, reads, expires and rewrites it.

import { Compaction } from './compaction.ts';
import type { FrameSource } from './frame-source.ts';
import { LaneExpiry } from './lane-expiry.ts';
import { LaneReader } from './lane-reader.ts';
import type { LogState } from './log-state.ts';
import { LogWriter } from './log-writer.ts';
import type { Segment } from './segment.ts';
import type { SegmentFiles } from './segment-files.ts';

export interface Log {
  readonly state: LogState;
  readonly writer: LogWriter;
  readonly source: FrameSource;
  readonly reader: LaneReader;
  readonly expiry: LaneExpiry;
  readonly compaction: Compaction;
  /** Files that nothing needs and that are still there. */
  readonly leftovers: Segment[];
}

export function openLog(
  parts: { readonly files: SegmentFiles; readonly source: FrameSource; readonly state: LogState },
  segmentBytes: number,
): Log {
  const { files, source, state } = parts;
  return {
    state,
    source,
    writer: new LogWriter(files, state, segmentBytes),
    reader: new LaneReader(source, state.boots),
    expiry: new LaneExpiry(source, state.boots),
    compaction: new Compaction(parts, segmentBytes),
    leftovers: [],
  };
}
