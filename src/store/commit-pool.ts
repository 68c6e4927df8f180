// Memory of commits that comes back from the store thread and is written into again.
//
// New memory costs more than what is written into it: the kernel clears each page when it is first touched, and V8
// collects more often for memory that it does not hold itself. So a few pairs of buffers go round: one is filled while
// the others are on their way to the disk.
//
// Bounded: three pairs, of at most storeCommitBytesKept each, and none that is much larger than what was lately needed.

import { storeCommitBytesKept } from '../limits.ts';
import type { CommitMemory } from './thread-protocol.ts';

const pairsMax = 3;
/** Memory so many times as large as needed is given back to the machine. */
const slack = 8;
const smallBytes = 65_536;

export class CommitPool {
  readonly #pairs: CommitMemory[] = [];
  /** Bytes of records that a commit had lately; falls by half with each that had less. */
  #neededBytes = 0;

  /** Undefined: none is there. */
  take(): CommitMemory | undefined {
    return this.#pairs.pop();
  }

  /** `usedBytes`: of records, in the commit that it comes from. */
  give(memory: CommitMemory, usedBytes: number): void {
    this.#neededBytes = Math.max(usedBytes, this.#neededBytes / 2);
    const { byteLength } = memory.records;
    const isTooLarge =
      byteLength > Math.max(smallBytes, slack * this.#neededBytes) || byteLength > storeCommitBytesKept;
    if (!isTooLarge && this.#pairs.length < pairsMax) this.#pairs.push(memory);
  }
}
