// The rows of one b-tree, as far as its pages can be read; and the rows of pages that no tree leads to any more.
//
// Pages (https://www.sqlite.org/fileformat2.html §1.6), all numbers big-endian:
//   u8 type: 2 inner index, 5 inner table, 10 index leaf, 13 table leaf; u16 first free block; u16 cells; u16 start
//   of the cells; u8 fragments; inner pages: u32 rightmost child; then a u16 for each cell: where it starts
//   cell: table leaf   varint payload, varint row id, payload      inner table   u32 child, varint row id
//         index leaf   varint payload, payload                     inner index   u32 child, varint payload, payload
//   A payload that is too long goes on in a chain of overflow pages: u32 next page, bytes.
// Tables WITHOUT ROWID are index trees, and their inner pages hold rows too.
//
// Invariant: no input makes a walk throw, loop or read a page twice. What does not fit is counted: a cell as `lost`,
// a page as `pages`. Which of the rows found are true is for rescue.ts to judge.

import { Buffer } from 'node:buffer';
import type { SqliteValue } from '../../platform/sqlite.ts';
import { type PageFile, pageBytes } from './page-file.ts';
import { readRow, readVarint } from './row.ts';

const pageType = { innerIndex: 2, innerTable: 5, indexLeaf: 10, tableLeaf: 13 } as const;
const fileHeaderBytes = 100;
const leafHeaderBytes = 8;
const innerHeaderBytes = 12;
const cellsAt = 3;
const rightmostAt = 8;
const pointerBytes = 2;
const childBytes = 4;
/** The smallest cell is four bytes and its pointer. */
const cellsMax = Math.floor(pageBytes / (childBytes + pointerBytes));
const tableLocalMax = pageBytes - 35;
const indexLocalMax = Math.floor(((pageBytes - 12) * 64) / 255) - 23;
const localMin = Math.floor(((pageBytes - 12) * 32) / 255) - 23;
const overflowBytes = pageBytes - childBytes;
const freelistAt = 32;

export interface FoundRow {
  /** Undefined in index trees. */
  readonly rowid: number | undefined;
  readonly values: readonly SqliteValue[];
}

export interface Losses {
  /** Cells that are there and cannot be read. */
  lost: number;
  /** Pages that cannot be read, so that nobody knows how many rows they held. */
  pages: number;
}

/** Follows trees; remembers which pages it has seen, over all of them. */
export class TreeWalk {
  readonly #file: PageFile;
  readonly #seen = new Set<number>();

  constructor(file: PageFile) {
    this.#file = file;
  }

  /** Calls `take` for each row of the tree at `root`. */
  rows(root: number, losses: Losses, take: (row: FoundRow) => void): void {
    const waiting = [root];
    for (let number = waiting.pop(); number !== undefined; number = waiting.pop()) {
      if (this.#seen.has(number)) {
        losses.pages++;
        continue;
      }
      this.#seen.add(number);
      if (this.#file.isStale(number)) losses.pages++;
      const page = this.#file.page(number);
      const children = page === undefined ? undefined : this.#readPage(number, page, { losses, take });
      if (children === undefined) losses.pages++;
      else waiting.push(...children.reverse());
    }
  }

  /** Rows of pages that no walk has come to and that are not known to be free: for what hung below a damaged page. */
  strays(take: (row: FoundRow) => void): void {
    this.#skipFreePages();
    for (let number = 2; number <= this.#file.pageCount; number++) {
      if (this.#seen.has(number)) continue;
      const page = this.#file.page(number);
      // Overflow and inner table pages have no rows; what looks like a page of rows and is none gives no rows that fit.
      if (page !== undefined) this.#readPage(number, page, { losses: { lost: 0, pages: 0 }, take });
    }
  }

  /** Children of an inner page, none of a leaf; undefined for what is no page of a tree. */
  #readPage(
    number: number,
    page: Buffer,
    { losses, take }: { readonly losses: Losses; readonly take: (row: FoundRow) => void },
  ): number[] | undefined {
    const at = number === 1 ? fileHeaderBytes : 0;
    const type = page[at];
    const isInner = type === pageType.innerIndex || type === pageType.innerTable;
    if (!isInner && type !== pageType.indexLeaf && type !== pageType.tableLeaf) return undefined;
    const cells = page.readUInt16BE(at + cellsAt);
    if (cells > cellsMax) return undefined;
    const pointersAt = at + (isInner ? innerHeaderBytes : leafHeaderBytes);
    const children: number[] = [];
    for (let index = 0; index < cells; index++) {
      const pointerAt = pointersAt + index * pointerBytes;
      const start = pointerAt + pointerBytes <= pageBytes ? page.readUInt16BE(pointerAt) : 0;
      if (start < pointersAt || start + childBytes > pageBytes) {
        losses.lost++;
        continue;
      }
      if (isInner) children.push(page.readUInt32BE(start));
      if (type === pageType.innerTable) continue;
      const row = this.#cell(page, isInner ? start + childBytes : start, { hasRowid: type === pageType.tableLeaf });
      if (row === undefined) losses.lost++;
      else take(row);
    }
    if (isInner) children.push(page.readUInt32BE(at + rightmostAt));
    return children;
  }

  #cell(page: Buffer, at: number, { hasRowid }: { readonly hasRowid: boolean }): FoundRow | undefined {
    const length = readVarint(page, at);
    if (length === undefined) return undefined;
    const rowid = hasRowid ? readVarint(page, length.next) : undefined;
    if (hasRowid && rowid === undefined) return undefined;
    const payload = this.#payload(page, rowid?.next ?? length.next, {
      bytes: length.value,
      localMax: hasRowid ? tableLocalMax : indexLocalMax,
    });
    const values = payload === undefined ? undefined : readRow(payload);
    return values === undefined ? undefined : { rowid: rowid?.value, values };
  }

  #payload(
    page: Buffer,
    at: number,
    { bytes, localMax }: { readonly bytes: number; readonly localMax: number },
  ): Buffer | undefined {
    if (bytes > this.#file.pageCount * pageBytes) return undefined;
    const surplus = localMin + ((bytes - localMin) % overflowBytes);
    const local = bytes <= localMax ? bytes : surplus <= localMax ? surplus : localMin;
    if (at + local > pageBytes) return undefined;
    if (local === bytes) return page.subarray(at, at + local);
    if (at + local + childBytes > pageBytes) return undefined;
    const parts = [page.subarray(at, at + local)];
    let next = page.readUInt32BE(at + local);
    for (let rest = bytes - local; rest > 0; rest -= overflowBytes) {
      const overflow = this.#file.page(next);
      if (overflow === undefined) return undefined;
      this.#seen.add(next);
      parts.push(overflow.subarray(childBytes, childBytes + Math.min(rest, overflowBytes)));
      next = overflow.readUInt32BE(0);
    }
    return Buffer.concat(parts);
  }

  /** §1.5: what lies in free pages was deleted, and must not come back. */
  #skipFreePages(): void {
    let trunk = this.#file.page(1)?.readUInt32BE(freelistAt) ?? 0;
    while (trunk > 0 && !this.#seen.has(trunk)) {
      const page = this.#file.page(trunk);
      if (page === undefined) return;
      this.#seen.add(trunk);
      const leaves = Math.min(page.readUInt32BE(childBytes), overflowBytes / childBytes - 1);
      for (let index = 0; index < leaves; index++) this.#seen.add(page.readUInt32BE((index + 2) * childBytes));
      trunk = page.readUInt32BE(0);
    }
  }
}
