// One header block of a tar archive: ustar (POSIX.1-1988), its GNU dialect, and the old one without a magic.
//
//   0 name[100]  100 mode[8]  108 uid[8]  116 gid[8]  124 size[12]  136 mtime[12]  148 checksum[8]  156 type[1]
//   157 linkname[100]  257 magic[6] "ustar\0" or "ustar " + version[2]  329 devmajor[8]  337 devminor[8]  345 prefix[155]
//
// Numbers are octal digits, or two's complement in base 256 where the first bit of the field is set (GNU). An entry's
// bytes follow its header, filled up to a whole block. Zeros as a header end the archive. Owners, groups and times
// are not read: nobody who unpacks here goes by them.
//
// Why our own: what is unpacked comes from a network, and the packages there are keep the long names of an archive in
// memory whatever length it claims.

import { isUtf8 } from 'node:buffer';

export const tarBlockBytes = 512;

export interface TarHeader {
  /** Undefined when it is not UTF-8: a long name that goes before may have been cut off here within a letter. */
  readonly name: string | undefined;
  /** Permission bits with set-user-id, set-group-id and sticky. */
  readonly mode: number;
  readonly bytes: number;
  /** `0` file, `1` hard link, `2` symbolic link, `5` directory, `x` `g` pax records, `L` `K` GNU long names; others. */
  readonly type: string;
  /** As the name. */
  readonly linkTarget: string | undefined;
}

export type TarBlock =
  | { readonly kind: 'header'; readonly header: TarHeader }
  | { readonly kind: 'end' }
  | { readonly kind: 'bad'; readonly problem: string };

const modeMask = 0o7777;
const base256Bit = 0x80;
const base256Bits = 0x7f;
const byteValues = 256;
const octal = 8;
const blank = 0x20;

const place = {
  name: [0, 100],
  mode: [100, 108],
  size: [124, 136],
  checksum: [148, 156],
  type: [156, 157],
  linkTarget: [157, 257],
  magic: [257, 265],
  prefix: [345, 500],
} as const;

type Field = keyof typeof place;

/** `block` has tarBlockBytes bytes. */
export function readTarHeader(block: Buffer): TarBlock {
  if (block.every((byte) => byte === 0)) return { kind: 'end' };
  if (numberIn(block, 'checksum') !== checksumOf(block)) return bad('a header has a wrong checksum');
  const bytes = numberIn(block, 'size');
  const mode = numberIn(block, 'mode');
  const name = textIn(block, 'name');
  const linkTarget = textIn(block, 'linkTarget');
  const prefix = cut(block, 'magic').equals(posixMagic) ? textIn(block, 'prefix') : '';
  if (bytes === undefined) return bad('the size of an entry is no number');
  const flag = cut(block, 'type').toString('latin1');
  return {
    kind: 'header',
    header: {
      name: prefix === '' || prefix === undefined || name === undefined ? name : `${prefix}/${name}`,
      mode: (mode ?? 0) & modeMask,
      bytes,
      type: typeOf(flag, name ?? ''),
      linkTarget,
    },
  };
}

const posixMagic = Buffer.from('ustar\x0000', 'latin1');

/** Old archives mark a directory by the slash behind its name only; `7`, a contiguous file, is a file. */
function typeOf(flag: string, name: string): string {
  const isFile = flag === '\0' || flag === '0' || flag === '7';
  if (isFile) return name.endsWith('/') ? '5' : '0';
  return flag;
}

function bad(problem: string): TarBlock {
  return { kind: 'bad', problem };
}

function cut(block: Buffer, field: Field): Buffer {
  const [from, to] = place[field];
  return block.subarray(from, to);
}

/** Undefined when it is not UTF-8. */
function textIn(block: Buffer, field: Field): string | undefined {
  return tarText(cut(block, field));
}

/** A name up to its NUL; undefined when it is not UTF-8. */
export function tarText(bytes: Buffer): string | undefined {
  const end = bytes.indexOf(0);
  const text = end < 0 ? bytes : bytes.subarray(0, end);
  return isUtf8(text) ? text.toString('utf8') : undefined;
}

/** Undefined when it is no number, negative, or beyond what a number holds exactly. */
function numberIn(block: Buffer, field: Field): number | undefined {
  const bytes = cut(block, field);
  const first = bytes[0] ?? 0;
  if ((first & base256Bit) !== 0) {
    let value = first & base256Bits;
    for (const byte of bytes.subarray(1)) value = value * byteValues + byte;
    return Number.isSafeInteger(value) ? value : undefined;
  }
  const digits = bytes.toString('latin1').replace(/\0.*$/s, '').trim();
  if (digits === '') return 0;
  return /^[0-7]+$/.test(digits) ? Number.parseInt(digits, octal) : undefined;
}

/** The sum of all bytes, those of the checksum itself taken as blanks. */
function checksumOf(block: Buffer): number {
  const [from, to] = place.checksum;
  let sum = (to - from) * blank;
  for (let at = 0; at < block.length; at++) if (at < from || at >= to) sum += block[at] ?? 0;
  return sum;
}
