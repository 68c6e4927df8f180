// The archive at the end of the executable: native addons, the shim, the parts of the program, texts.
//
// Owns the format and its reader. The writer is native/pack/sea.mjs. Knows nothing of what the parts are for.
//
//   ELF image, as the packer left it
//   bytes of every part, one after the other
//   index, JSON: {"NAME": [offset, length], ...}     offsets count from the start of the file
//                {"NAME": [offset, length, n], ...}  raw deflate (RFC 1951) of n bytes: what is seldom read
//   u32 LE length of the index
//   u32 LE format version, 2
//   8 bytes "WEIRPACK"                                end of file
//
// Invariant: a part is handed out only when its SHA-256 equals the one compiled into the program, so a
// truncated download, a worn card and a tampered file all end as PLATFORM_ASSET_DAMAGED and never run.
//
// Why at the end of the file and not in the bundle: parts in the bundle would sit in the heap of every
// process; here they cost nothing until they are read, and the oldest Node in use has no asset store.

import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { inflateRawSync } from 'node:zlib';
import { NativeError } from './native-error.ts';

const TRAILER_BYTES = 16;
const INDEX_BYTES_MAX = 65_536;
const FORMAT_VERSION = 2;
const MAGIC = 'WEIRPACK';

export function sha256Hex(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function readExactly(fd: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const count = fs.readSync(fd, bytes, done, length - done, position + done);
    if (count === 0) break;
    done += count;
  }
  return bytes.subarray(0, done);
}

function damaged(file: string, what: string): NativeError {
  return new NativeError(
    'PLATFORM_ASSET_DAMAGED',
    `${file}: ${what}; the executable is damaged or was changed after it was built. Install it again and compare its SHA-256`,
  );
}

interface Place {
  readonly offset: number;
  readonly length: number;
  /** Undefined: the part lies there as it is. */
  readonly inflatedBytes: number | undefined;
}

function locate(fd: number, file: string, name: string): Place {
  const fileBytes = fs.fstatSync(fd).size;
  const trailer = readExactly(fd, Math.max(0, fileBytes - TRAILER_BYTES), TRAILER_BYTES);
  if (trailer.length < TRAILER_BYTES || trailer.toString('latin1', 8) !== MAGIC)
    throw damaged(file, 'its archive is missing');
  const indexBytes = trailer.readUInt32LE(0);
  if (trailer.readUInt32LE(4) !== FORMAT_VERSION) throw damaged(file, 'its archive has an unknown format');
  const indexStart = fileBytes - TRAILER_BYTES - indexBytes;
  if (indexBytes > INDEX_BYTES_MAX || indexStart < 0) throw damaged(file, 'the index of its archive is cut off');
  let index: unknown;
  try {
    index = JSON.parse(readExactly(fd, indexStart, indexBytes).toString('utf8'));
  } catch {
    throw damaged(file, 'the index of its archive is not readable');
  }
  const entry: unknown = typeof index === 'object' && index !== null ? Reflect.get(index, name) : undefined;
  if (!Array.isArray(entry))
    throw new NativeError('PLATFORM_ASSET_MISSING', `${file} holds no part called ${name}; build it again`);
  const [offset, length, inflatedBytes] = entry as unknown[];
  if (!isCount(offset) || !isCount(length) || !(inflatedBytes === undefined || isCount(inflatedBytes)))
    throw damaged(file, `the place of ${name} is not readable`);
  if (offset + length > indexStart) throw damaged(file, `the place of ${name} is outside the file`);
  return { offset, length, inflatedBytes };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** Empty when it is no deflate stream of that length: its digest will say so. */
function inflated(bytes: Buffer, bytesMax: number): Buffer {
  try {
    return inflateRawSync(bytes, { maxOutputLength: Math.max(1, bytesMax) });
  } catch {
    return Buffer.alloc(0);
  }
}

/**
 * The bytes of the part `name` of the executable `file`, checked against `sha256` (64 lower-case hex digits).
 * Throws NativeError PLATFORM_ASSET_MISSING or PLATFORM_ASSET_DAMAGED, or the file system's own error.
 */
export function readAsset(file: string, name: string, sha256: string): Buffer {
  const fd = fs.openSync(file, 'r');
  try {
    const { offset, length, inflatedBytes } = locate(fd, file, name);
    const packed = readExactly(fd, offset, length);
    const bytes = inflatedBytes === undefined ? packed : inflated(packed, inflatedBytes);
    if (sha256Hex(bytes) !== sha256) throw damaged(file, `the part ${name} does not have the digest it was built with`);
    return bytes;
  } finally {
    fs.closeSync(fd);
  }
}
