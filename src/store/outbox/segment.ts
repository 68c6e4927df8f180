// One segment file in memory: which sequence numbers it stands for, how far it is valid, what lies in it.
//
// A segment is free when no lane has a part in it; what a part is, and when it ends, is told in lane-state.ts.
// A rewritten segment is another object: whoever holds a place in the old one finds it no longer in the set.

import type { LanePart } from './lane-state.ts';
import { headerBytes, type SegmentHeader, segmentSeed } from './segment-format.ts';

export class Segment {
  readonly header: SegmentHeader;
  readonly seed: number;
  /** Behind the last committed frame. */
  end = headerBytes;
  /** Length of the file. */
  fileBytes = 0;
  /** Bytes of records, each once however many lanes it is for. */
  recordBytes = 0;
  /** Parts in which something waits. */
  readonly parts = new Set<LanePart>();
  /** Its bytes on storage are in doubt: it is to be written anew. */
  suspect = false;
  /** False once its file has gone. */
  present = true;

  constructor(header: SegmentHeader) {
    this.header = header;
    this.seed = segmentSeed(header);
  }

  /** Bytes of records that wait. A record in several lanes counts once, as far as that can be told. */
  get liveBytes(): number {
    let sum = 0;
    for (const part of this.parts) sum += part.lane.bytesOf(part);
    return Math.min(sum, this.recordBytes);
  }
}
