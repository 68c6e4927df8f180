// Reads a module's rotated log: the last lines, lines since a time, and lines as they come.
//
//   FILE.2  FILE.1  FILE      oldest to newest; a line begins `2026-11-21T09:12:44.123Z O `, and a line is never
//                             divided between two files (the shim sees to that)
//
// Reads in slices, so that memory stays bounded whatever the size of the logs. Only looking at the files, it works
// for a module that is gone and when no runtime runs. Following polls: a log is watched by a person, and a file
// that is renamed under the reader is recognised by its inode.

import { moduleLogFilesMax } from '../limits.ts';
import type { Clock } from '../platform/clock.ts';
import type { Disk } from '../platform/disk.ts';
import { logFile } from './module-paths.ts';

export interface LogTailOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  /** Path of the current file. */
  readonly path: string;
  readonly tail?: number | undefined;
  readonly sinceMs?: number | undefined;
  readonly follow?: boolean | undefined;
  readonly signal: AbortSignal;
}

interface Position {
  readonly inode: number;
  readonly offset: number;
}

const sliceBytes = 65_536;
const pollMs = 200;
const newline = 0x0a;
const stampLength = '2026-11-21T09:12:44.123Z'.length;

/** Complete lines without their newline; the last one of a file that is not followed also when unfinished. */
export async function* tailLog(options: LogTailOptions): AsyncGenerator<string, void, undefined> {
  const wanted = (line: string): boolean => options.sinceMs === undefined || isSince(line, options.sinceMs);
  let position = await startOf(options);
  for (;;) {
    const reader = new LineReader();
    for await (const next of readForward(options, position)) {
      position = next.position;
      for (const line of reader.push(next.bytes, next.endOfFile && (next.older || options.follow !== true))) {
        if (options.signal.aborted) return;
        if (wanted(line)) yield line;
      }
    }
    if (options.follow !== true || options.signal.aborted) return;
    // The unfinished line is read again, whole, the next time.
    if (position !== undefined) position = { inode: position.inode, offset: position.offset - reader.restBytes };
    await pause(options.clock, pollMs);
    if (options.signal.aborted) return;
  }
}

/** True when there is a log of this path at all. */
export async function hasLog(disk: Disk, path: string): Promise<boolean> {
  return (
    (await disk.facts('log:facts', path)) !== undefined ||
    (await disk.facts('log:facts', logFile(path, 1))) !== undefined
  );
}

/** Where to begin; undefined means at the oldest byte there is. */
async function startOf({ disk, path, tail }: LogTailOptions): Promise<Position | undefined> {
  if (tail === undefined) return undefined;
  let missing = tail;
  for (let number = 0; number < moduleLogFilesMax; number++) {
    const facts = await disk.facts('log:facts', logFile(path, number));
    if (facts === undefined) {
      if (number === 0) continue; // between two renames of a rotation
      return undefined;
    }
    let end = facts.bytes;
    // The newline that ends the last line separates nothing.
    let skipLast = true;
    if (missing === 0) return { inode: facts.inode, offset: end };
    while (end > 0) {
      const offset = Math.max(0, end - sliceBytes);
      const slice = await disk.readSlice('log:slice', logFile(path, number), { offset, bytesMax: end - offset });
      for (let at = slice.length - 1; at >= 0; at--) {
        const last = skipLast;
        skipLast = false;
        if (slice[at] !== newline || last) continue;
        missing -= 1;
        if (missing === 0) return { inode: facts.inode, offset: offset + at + 1 };
      }
      end = offset;
    }
    if (facts.bytes > 0) missing -= 1;
    if (missing === 0) return { inode: facts.inode, offset: 0 };
  }
  return undefined;
}

interface Slice {
  readonly bytes: Buffer;
  /** Just behind `bytes`. */
  readonly position: Position;
  readonly endOfFile: boolean;
  /** The file is not the current one any more: nothing is added to it. */
  readonly older: boolean;
}

/** From a position to the end of the current file, through the files between. */
async function* readForward(
  { disk, path }: LogTailOptions,
  from: Position | undefined,
): AsyncGenerator<Slice, void, undefined> {
  const inodes: { readonly number: number; readonly inode: number; readonly bytes: number }[] = [];
  for (let number = 0; number < moduleLogFilesMax; number++) {
    const facts = await disk.facts('log:facts', logFile(path, number));
    if (facts !== undefined) inodes.unshift({ number, inode: facts.inode, bytes: facts.bytes });
    else if (number > 0) break;
  }
  const first = from === undefined ? 0 : inodes.findIndex((file) => file.inode === from.inode);
  for (const file of inodes.slice(Math.max(0, first))) {
    const known = file.inode === from?.inode ? from.offset : 0;
    // A file that became shorter was begun anew (one log file alone is emptied instead of renamed).
    let offset = known > file.bytes ? 0 : known;
    while (offset < file.bytes) {
      const bytes = await disk.readSlice('log:slice', logFile(path, file.number), {
        offset,
        bytesMax: Math.min(sliceBytes, file.bytes - offset),
      });
      if (bytes.length === 0) break;
      offset += bytes.length;
      yield { bytes, position: { inode: file.inode, offset }, endOfFile: offset >= file.bytes, older: file.number > 0 };
    }
  }
}

class LineReader {
  #rest: Buffer = Buffer.alloc(0);

  get restBytes(): number {
    return this.#rest.length;
  }

  push(bytes: Buffer, last: boolean): readonly string[] {
    const text = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    const lines: string[] = [];
    let start = 0;
    for (let end = text.indexOf(newline, start); end >= 0; end = text.indexOf(newline, start)) {
      lines.push(text.toString('utf8', start, end));
      start = end + 1;
    }
    this.#rest = text.subarray(start);
    if (last && this.#rest.length > 0) {
      lines.push(this.#rest.toString('utf8'));
      this.#rest = Buffer.alloc(0);
    }
    return lines;
  }
}

function isSince(line: string, sinceMs: number): boolean {
  const stampMs = Date.parse(line.slice(0, stampLength));
  // A line torn by a power cut has no stamp; better one too many.
  return Number.isNaN(stampMs) || stampMs >= sinceMs;
}

function pause(clock: Clock, delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    clock.setTimer(delayMs, resolve);
  });
}
