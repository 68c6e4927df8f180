// A ZIP archive, written while its contents come: nothing is held but the list of its entries.
//
//   local header · deflated bytes · data descriptor      for each entry; sizes follow the bytes (flag bit 3)
//   central directory · end of central directory         one header an entry
//
// PKWARE's APPNOTE 6.3.3 without ZIP64: entries and the archive are below 4 GiB, which the limits of logs see to.
// Names are UTF-8 (flag bit 11).

import { pipeline, Readable } from 'node:stream';
import { createDeflateRaw } from 'node:zlib';

export interface ZipEntry {
  readonly name: string;
  readonly modifiedMs: number;
  readonly content: AsyncIterable<Buffer>;
}

interface WrittenEntry {
  readonly name: Buffer;
  readonly stamp: number;
  readonly offset: number;
  readonly crc: number;
  readonly packed: number;
  readonly plain: number;
}

const localSignature = 0x04034b50;
const descriptorSignature = 0x08074b50;
const centralSignature = 0x02014b50;
const endSignature = 0x06054b50;
const flags = 0x0808;
const deflated = 8;
const descriptorBytes = 16;
const versionNeeded = 20;
const unixVersion = 0x031e;
const crcPolynomial = 0xedb88320;
/** A regular file that its owner may read and write. */
const unixMode = 0o100600 * 0x10000;

export async function* zipped(entries: AsyncIterable<ZipEntry>): AsyncIterable<Buffer> {
  const written: WrittenEntry[] = [];
  const table = crcTable();
  let offset = 0;
  for await (const { name, modifiedMs, content } of entries) {
    const head = { name: Buffer.from(name), stamp: dosStamp(modifiedMs), offset };
    const header = localHeader(head);
    yield header;
    const count = { crc: 0, plain: 0, packed: 0 };
    for await (const piece of deflatedBytes(content, { count, table })) {
      count.packed += piece.length;
      yield piece;
    }
    yield descriptor(count);
    offset += header.length + count.packed + descriptorBytes;
    written.push({ ...head, ...count });
  }
  const directory = Buffer.concat(written.map(centralHeader));
  yield directory;
  yield endRecord({ entries: written.length, bytes: directory.length, offset });
}

async function* deflatedBytes(
  content: AsyncIterable<Buffer>,
  { count, table }: { readonly count: { crc: number; plain: number }; readonly table: Uint32Array },
): AsyncIterable<Buffer> {
  const deflate = createDeflateRaw();
  const counted = async function* (): AsyncIterable<Buffer> {
    for await (const piece of content) {
      count.crc = crc32(piece, count.crc, table);
      count.plain += piece.length;
      yield piece;
    }
  };
  pipeline(Readable.from(counted()), deflate, () => undefined);
  yield* deflate as AsyncIterable<Buffer>;
}

function localHeader({ name, stamp }: Pick<WrittenEntry, 'name' | 'stamp'>): Buffer {
  const header = Buffer.alloc(30);
  header.writeUInt32LE(localSignature, 0);
  header.writeUInt16LE(versionNeeded, 4);
  header.writeUInt16LE(flags, 6);
  header.writeUInt16LE(deflated, 8);
  header.writeUInt32LE(stamp, 10);
  header.writeUInt16LE(name.length, 26);
  return Buffer.concat([header, name]);
}

function descriptor({ crc, packed, plain }: Pick<WrittenEntry, 'crc' | 'packed' | 'plain'>): Buffer {
  const bytes = Buffer.alloc(descriptorBytes);
  bytes.writeUInt32LE(descriptorSignature, 0);
  bytes.writeUInt32LE(crc >>> 0, 4);
  bytes.writeUInt32LE(packed, 8);
  bytes.writeUInt32LE(plain, 12);
  return bytes;
}

function centralHeader({ name, stamp, offset, crc, packed, plain }: WrittenEntry): Buffer {
  const header = Buffer.alloc(46);
  header.writeUInt32LE(centralSignature, 0);
  header.writeUInt16LE(unixVersion, 4);
  header.writeUInt16LE(versionNeeded, 6);
  header.writeUInt16LE(flags, 8);
  header.writeUInt16LE(deflated, 10);
  header.writeUInt32LE(stamp, 12);
  header.writeUInt32LE(crc >>> 0, 16);
  header.writeUInt32LE(packed, 20);
  header.writeUInt32LE(plain, 24);
  header.writeUInt16LE(name.length, 28);
  header.writeUInt32LE(unixMode, 38);
  header.writeUInt32LE(offset, 42);
  return Buffer.concat([header, name]);
}

function endRecord({
  entries,
  bytes,
  offset,
}: {
  readonly entries: number;
  readonly bytes: number;
  readonly offset: number;
}): Buffer {
  const record = Buffer.alloc(22);
  record.writeUInt32LE(endSignature, 0);
  record.writeUInt16LE(entries, 8);
  record.writeUInt16LE(entries, 10);
  record.writeUInt32LE(bytes, 12);
  record.writeUInt32LE(offset, 16);
  return record;
}

/** MS-DOS time in the low half, date in the high one; UTC, since the archive travels. */
function dosStamp(ms: number): number {
  const at = new Date(ms);
  const year = Math.min(127, Math.max(0, at.getUTCFullYear() - 1980));
  const date = (year << 9) | ((at.getUTCMonth() + 1) << 5) | at.getUTCDate();
  const time = (at.getUTCHours() << 11) | (at.getUTCMinutes() << 5) | (at.getUTCSeconds() >> 1);
  return ((date << 16) | time) >>> 0;
}

/** Goes on from the checksum of what came before; 0 at the beginning. */
function crc32(bytes: Uint8Array, before: number, table: Uint32Array): number {
  let crc = ~before;
  for (const byte of bytes) crc = (table[(crc ^ byte) & 0xff] ?? 0) ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** CRC-32 of every byte: IEEE 802.3, reflected. */
function crcTable(): Uint32Array {
  return Uint32Array.from({ length: 256 }, (_, byte) => {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ crcPolynomial;
    return crc >>> 0;
  });
}
