// Which reads a group needs: the fewest requests that cover all its tags.
//
// Pure. Tags are sorted by (table, address) and merged while the gap between them is worth reading along and the
// request stays within its limits. A tag is never split over two requests: half a value is no value.
//
// A device may refuse a merged block because of a hole in the middle (exception 2). `splitBlock` cuts it at its
// widest gap; the caller remembers the cut, so that after a few polls a bad address costs only its own tag.

import { strict as assert } from 'node:assert';
import { isBitTable, type ReadLimits, type Table, type Tag } from './settings.ts';

export interface Block {
  readonly table: Table;
  readonly offset: number;
  /** Registers, or bits. */
  readonly count: number;
  /** In order of address. */
  readonly tags: readonly Tag[];
}

export function planReads(tags: readonly Tag[], limits: ReadLimits): readonly Block[] {
  const sorted = [...tags].sort(
    (a, b) => tableRank(a) - tableRank(b) || a.at.offset - b.at.offset || a.at.length - b.at.length,
  );
  const blocks: Block[] = [];
  let open: Tag[] = [];
  for (const tag of sorted) {
    if (open.length > 0 && !fits(open, tag, limits)) {
      blocks.push(blockOf(open));
      open = [];
    }
    open.push(tag);
  }
  if (open.length > 0) blocks.push(blockOf(open));
  return blocks;
}

/** Two blocks that cover the same tags, cut at the widest gap (in the middle when there is none); the block itself when it has one tag. */
export function splitBlock(block: Block): readonly Block[] {
  if (block.tags.length < 2) return [block];
  let cut = Math.floor(block.tags.length / 2);
  let widest = 0;
  for (let index = 1; index < block.tags.length; index += 1) {
    const gap = (block.tags[index]?.at.offset ?? 0) - endOf(block.tags.slice(0, index));
    if (gap > widest) {
      widest = gap;
      cut = index;
    }
  }
  return [blockOf(block.tags.slice(0, cut)), blockOf(block.tags.slice(cut))];
}

const tableOrder: Readonly<Record<Table, number>> = { coil: 0, discrete: 1, holding: 2, input: 3 };

function tableRank(tag: Tag): number {
  return tableOrder[tag.at.table];
}

function fits(open: readonly Tag[], tag: Tag, limits: ReadLimits): boolean {
  const [first] = open;
  assert(first !== undefined);
  if (first.at.table !== tag.at.table) return false;
  if (tag.at.offset - endOf(open) > limits.gapMax) return false;
  const countMax = isBitTable(tag.at.table) ? limits.bitsMax : limits.registersMax;
  return endOf([...open, tag]) - first.at.offset <= countMax;
}

function blockOf(tags: readonly Tag[]): Block {
  const [first] = tags;
  assert(first !== undefined, 'a block has a tag');
  return { table: first.at.table, offset: first.at.offset, count: endOf(tags) - first.at.offset, tags };
}

/** First address behind all of them: an earlier tag may be the longer one. */
function endOf(tags: readonly Tag[]): number {
  return Math.max(...tags.map(({ at }) => at.offset + at.length));
}
