// What reached a block device, counted in two ways.
//
//   /proc/PID/io write_bytes        what this process gave to the page cache of files on disks: whole pages, each
//                                   time a page becomes dirty. File system journal and metadata are not in it.
//   /sys/dev/block/M:N/stat         sectors that the device was given, whoever wrote them: journal and metadata are
//                                   in it, and so are the neighbours. On a file system of its own there are none.

import { readFileSync, statSync } from 'node:fs';

const sectorBytes = 512;
/** Reads: ios, merges, sectors, ms; writes: ios, merges, sectors, ms … (Documentation/block/stat.rst). */
const sectorsWrittenColumn = 6;
const lowByte = 0xff;
const minorHighShift = 12;
const majorShift = 8;
const majorMask = 0xfff;
const minorHighMask = 0xfff_00;

export interface WrittenBytes {
  /** Undefined where the kernel does not count. */
  readonly byProcess: number | undefined;
  readonly toDevice: number | undefined;
}

/** Of the process `pid` (`self`), and of the device below `directory`. */
export function writtenBytes(directory: string, pid: number | 'self' = 'self'): WrittenBytes {
  return { byProcess: processBytes(pid), toDevice: deviceBytes(directory) };
}

export function difference(after: WrittenBytes, before: WrittenBytes): WrittenBytes {
  return {
    byProcess: minus(after.byProcess, before.byProcess),
    toDevice: minus(after.toDevice, before.toDevice),
  };
}

function minus(after: number | undefined, before: number | undefined): number | undefined {
  return after === undefined || before === undefined ? undefined : after - before;
}

function processBytes(pid: number | 'self'): number | undefined {
  const found = /^write_bytes: (\d+)$/m.exec(textOf(`/proc/${pid}/io`));
  return found === null ? undefined : Number(found[1]);
}

function deviceBytes(directory: string): number | undefined {
  const { dev } = statSync(directory);
  const major = (dev >> majorShift) & majorMask;
  const minor = (dev & lowByte) | ((dev >> minorHighShift) & minorHighMask);
  const column = textOf(`/sys/dev/block/${major}:${minor}/stat`).trim().split(/\s+/)[sectorsWrittenColumn];
  return column === undefined ? undefined : Number(column) * sectorBytes;
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
