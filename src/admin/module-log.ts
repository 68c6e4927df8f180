// Reads a module's log out of the files the shim writes, while it writes them.
//
//   <logs>/<module>.log      the current file           2026-11-21T09:12:44.123Z O a line of stdout
//   <logs>/<module>.log.1    the one before, and so on; the highest number is the oldest
//
// Needs no daemon: the command line uses it when weir is down. Files are told apart by inode, so a rotation in
// the middle of reading neither repeats nor skips lines; a file that was rotated away beyond the last number is
// gone, and reading goes on with the next. Only whole lines are given. Memory is one slice, whatever the size. Who does
// not follow gets what was there at the start: a module that writes faster than it is read makes no endless answer.
//
// Stamps ascend, so "the last N of the lines since T" is "those since T of the last N lines".

import { adminLogSliceBytes, configLogFilesMax } from '../limits.ts';
import { errorCode } from '../model/errors.ts';
import { moduleFileName, moduleOfFileName } from '../model/module-file-name.ts';
import { pause } from '../model/pause.ts';
import type { Clock } from '../platform/clock.ts';
import type { Disk } from '../platform/disk.ts';
import { AdminError } from './errors.ts';
import { lastLines, linesBefore, stampOf } from './log-window.ts';
import type { LogRequest } from './ports.ts';

export interface ModuleLogPorts {
  readonly disk: Disk;
  readonly clock: Clock;
}

interface LogFile {
  readonly path: string;
  readonly inode: number;
  /** Size when it was found; the current file may have grown since. */
  readonly bytes: number;
  readonly modifiedMs: number;
}

/** The next byte to read. */
interface Cursor {
  readonly inode: number;
  readonly offset: number;
}

interface Span {
  readonly from: Cursor;
  /** The end of the log when it was looked at. */
  readonly end: Cursor;
}

/** How often a followed log is looked at. */
const followIntervalMs = 250;

/** A log that rotates faster than its end can be searched is read from where the last search came to. */
const searchAttemptsMax = 3;

const newline = 0x0a;

/** The names of all modules that have a log. */
export async function loggedModules(disk: Disk, logDir: string): Promise<readonly string[]> {
  const names = await disk.list('admin:log-names', logDir);
  return names
    .filter((name) => name.endsWith('.log'))
    .flatMap((name) => moduleOfFileName(name.slice(0, -'.log'.length)) ?? [])
    .sort();
}

export class ModuleLog {
  readonly #ports: ModuleLogPorts;
  readonly #directory: string;

  constructor(ports: ModuleLogPorts, options: { readonly logDir: string }) {
    this.#ports = ports;
    this.#directory = options.logDir;
  }

  /** The names of all modules that have a log. */
  names(): Promise<readonly string[]> {
    return loggedModules(this.#ports.disk, this.#directory);
  }

  /** Pieces of whole lines, oldest first. Throws ADMIN_NO_SUCH_MODULE when there is no log of this name. */
  async *read(request: LogRequest): AsyncIterable<string> {
    const { untilMs, tail } = request;
    if (untilMs === undefined) {
      yield* this.#read(request);
      return;
    }
    const whole = (): AsyncIterable<string> =>
      linesBefore(untilMs, this.#read({ ...request, tail: undefined, follow: false }));
    yield* tail === undefined ? whole() : lastLines(tail, whole);
  }

  async *#read(request: LogRequest): AsyncIterable<string> {
    const since = sinceFilter(request.sinceMs);
    const span = await this.#span(request);
    const end = request.follow === true ? undefined : span.end;
    let cursor = span.from;
    while (!request.signal.aborted) {
      const slice = await this.#next(request.name, cursor, end);
      if (slice === undefined) {
        if (request.follow !== true) return;
        await pause(this.#ports.clock, followIntervalMs, request.signal);
        continue;
      }
      cursor = slice.cursor;
      const text = since(slice.text);
      if (text !== '') yield text;
    }
  }

  async #span(request: LogRequest): Promise<Span> {
    const { name, tail, sinceMs } = request;
    for (let attempt = 1; ; attempt++) {
      const files = await this.#files(name);
      const oldest = files.at(0);
      const newest = files.at(-1);
      if (oldest === undefined || newest === undefined) throw await this.#unknown(name);
      const end = { inode: newest.inode, offset: newest.bytes };
      if (tail === undefined) {
        const first = files.find((file) => sinceMs === undefined || file.modifiedMs >= sinceMs) ?? newest;
        return { from: { inode: first.inode, offset: 0 }, end };
      }
      const from = (await this.#lastLines(files, tail)) ?? { inode: oldest.inode, offset: 0 };
      const now = await this.#ports.disk.facts('admin:log-facts', newest.path);
      if (now?.inode === newest.inode || attempt === searchAttemptsMax) return { from, end };
    }
  }

  /** Where the last `count` lines begin; undefined when there are not so many. */
  async #lastLines(files: readonly LogFile[], count: number): Promise<Cursor | undefined> {
    let left = count;
    for (const file of [...files].reverse()) {
      if (left === 0) return { inode: file.inode, offset: file.bytes };
      for (let end = file.bytes; end > 0; ) {
        const from = Math.max(0, end - adminLogSliceBytes);
        const slice = await this.#slice(file.path, from, end - from);
        for (let at = slice.length - 1; at >= 0; at--) {
          // The newline that ends the file begins no line.
          const beginsLine = slice[at] === newline && from + at < file.bytes - 1;
          if (beginsLine && --left === 0) return { inode: file.inode, offset: from + at + 1 };
        }
        end = from;
      }
      if (file.bytes > 0 && --left === 0) return { inode: file.inode, offset: 0 };
    }
    return undefined;
  }

  /** The next whole lines from the cursor; undefined when there are none yet, or none before the end. */
  async #next(name: string, cursor: Cursor, end: Cursor | undefined): Promise<Slice | undefined> {
    let { inode, offset } = cursor;
    for (;;) {
      const files = await this.#files(name);
      const index = files.findIndex((file) => file.inode === inode);
      const file = files[Math.max(0, index)];
      if (file === undefined) return undefined;
      // Rotated away: go on with the oldest there is. Truncated (a log of one file): begin again.
      if (index < 0 || file.bytes < offset) offset = 0;
      inode = file.inode;
      const room = end === undefined ? adminLogSliceBytes : roomBefore(end, files, { inode, offset });
      if (room <= 0) return undefined;
      const bytes = await this.#slice(file.path, offset, Math.min(room, adminLogSliceBytes));
      const after = await this.#ports.disk.facts('admin:log-facts', file.path);
      if (after?.inode !== inode) continue;
      const isCurrent = inode === end?.inode || index === files.length - 1 || files.length === 1;
      const length = wholeLines(bytes, { isCurrent });
      if (length > 0) return { text: bytes.toString('utf8', 0, length), cursor: { inode, offset: offset + length } };
      if (isCurrent) return undefined;
      const following = files[Math.max(0, index) + 1];
      if (following === undefined) return undefined;
      inode = following.inode;
      offset = 0;
    }
  }

  /** Oldest first. */
  async #files(name: string): Promise<readonly LogFile[]> {
    const files: LogFile[] = [];
    for (let number = 0; number <= configLogFilesMax; number++) {
      const path = `${this.#directory}/${moduleFileName(name) ?? '%'}.log${number === 0 ? '' : `.${number}`}`;
      const facts = await this.#ports.disk.facts('admin:log-facts', path);
      // Between the shim's renames there is for a moment no current file: look at the numbered ones all the same.
      if (facts === undefined && number > 0) break;
      if (facts !== undefined)
        files.unshift({ path, inode: facts.inode, bytes: facts.bytes, modifiedMs: facts.modifiedMs });
    }
    return files;
  }

  async #slice(path: string, offset: number, bytesMax: number): Promise<Buffer> {
    try {
      return await this.#ports.disk.readSlice('admin:log-read', path, { offset, bytesMax });
    } catch (error) {
      if (errorCode(error) === 'ENOENT') return Buffer.alloc(0);
      throw error;
    }
  }

  async #unknown(name: string): Promise<AdminError> {
    const known = await loggedModules(this.#ports.disk, this.#directory);
    const there = known.length === 0 ? 'No module has written one yet.' : `There are: ${known.join(', ')}.`;
    return new AdminError(
      'ADMIN_NO_SUCH_MODULE',
      `There is no log of a module '${name}' in ${this.#directory}. ${there}`,
    );
  }
}

interface Slice {
  readonly text: string;
  readonly cursor: Cursor;
}

/** How many of the bytes are whole lines. A finished file's torn last line counts as whole, so does a slice without any newline. */
function wholeLines(bytes: Buffer, { isCurrent }: { readonly isCurrent: boolean }): number {
  const length = bytes.lastIndexOf(newline) + 1;
  if (length > 0) return length;
  return isCurrent && bytes.length < adminLogSliceBytes ? 0 : bytes.length;
}

/** Drops lines until one is stamped at or after `sinceMs`; all that follow are newer. */
function sinceFilter(sinceMs: number | undefined): (text: string) => string {
  if (sinceMs === undefined) return (text) => text;
  const stamp = stampOf(sinceMs);
  let reached = false;
  return (text) => {
    if (reached) return text;
    const lines = text.split('\n');
    const first = lines.findIndex((line) => line !== '' && line.slice(0, stamp.length) >= stamp);
    if (first < 0) return '';
    reached = true;
    return lines.slice(first).join('\n');
  };
}

/** Bytes that may be read from `at` on. None when the end is gone, or was truncated: all that is there came after it. */
function roomBefore(end: Cursor, files: readonly LogFile[], at: Cursor): number {
  const last = files.findIndex(({ inode }) => inode === end.inode);
  if ((files[last]?.bytes ?? 0) < end.offset) return 0;
  const index = files.findIndex(({ inode }) => inode === at.inode);
  if (index === last) return end.offset - at.offset;
  return index < last ? adminLogSliceBytes : 0;
}
