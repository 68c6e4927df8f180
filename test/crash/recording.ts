// A recording of everything a program did to its disk, as native/fault-disk/record.c writes it.

export type Entry =
  | { readonly call: 'open'; readonly fd: number; readonly path: string; readonly flags: OpenFlags }
  | { readonly call: 'write'; readonly fd: number; readonly offset: number; readonly data: Buffer }
  | { readonly call: 'sync'; readonly fd: number; readonly failed: boolean }
  | { readonly call: 'truncate'; readonly fd: number; readonly size: number }
  | { readonly call: 'rename' | 'link'; readonly from: string; readonly to: string }
  | { readonly call: 'unlink' | 'mkdir' | 'rmdir'; readonly path: string }
  | { readonly call: 'mark'; readonly text: string };

export interface OpenFlags {
  /** It was not there before. */
  readonly created: boolean;
  readonly truncated: boolean;
  /** Every write is on the disk when it returns. */
  readonly synchronous: boolean;
}

const headBytes = 32;
const codes = {
  open: 1,
  create: 2,
  write: 4,
  sync: 5,
  truncate: 6,
  rename: 7,
  unlink: 8,
  mkdir: 9,
  rmdir: 10,
} as const;
const linkCode = 11;
const markCode = 12;
const flagBits = { failed: 1, created: 2, truncated: 4, synchronous: 8 } as const;

/** A record that was not finished, because the program was killed in it, is left out: its call was not made. */
export function readRecording(bytes: Buffer): readonly Entry[] {
  const entries: Entry[] = [];
  for (let at = 0; at + headBytes <= bytes.length; ) {
    const pathEnd = at + headBytes + bytes.readUInt16LE(at + 2);
    const path2End = pathEnd + bytes.readUInt16LE(at + 4);
    const end = path2End + bytes.readUInt32LE(at + 12);
    if (end > bytes.length) break;
    entries.push(
      readEntry({
        head: bytes.subarray(at, at + headBytes),
        path: bytes.toString('utf8', at + headBytes, pathEnd),
        path2: bytes.toString('utf8', pathEnd, path2End),
        data: bytes.subarray(path2End, end),
      }),
    );
    at = end;
  }
  return entries;
}

function readEntry({
  head,
  path,
  path2,
  data,
}: {
  readonly head: Buffer;
  readonly path: string;
  readonly path2: string;
  readonly data: Buffer;
}): Entry {
  const flags = head[1] ?? 0;
  const fd = head.readInt32LE(8);
  const offset = Number(head.readBigUInt64LE(16));
  const has = (bit: number): boolean => (flags & bit) !== 0;
  switch (head[0]) {
    case codes.open:
    case codes.create:
      return {
        call: 'open',
        fd,
        path,
        flags: {
          created: has(flagBits.created),
          truncated: has(flagBits.truncated),
          synchronous: has(flagBits.synchronous),
        },
      };
    case codes.write:
      return { call: 'write', fd, offset, data };
    case codes.sync:
      return { call: 'sync', fd, failed: has(flagBits.failed) };
    case codes.truncate:
      return { call: 'truncate', fd, size: offset };
    case codes.rename:
      return { call: 'rename', from: path, to: path2 };
    case linkCode:
      return { call: 'link', from: path, to: path2 };
    case codes.unlink:
      return { call: 'unlink', path };
    case codes.mkdir:
      return { call: 'mkdir', path };
    case codes.rmdir:
      return { call: 'rmdir', path };
    case markCode:
      return { call: 'mark', text: data.toString('utf8') };
    default:
      throw new TypeError(`a recording has no call ${head[0]}`);
  }
}
