// The records of a pax header (POSIX.1-2001): what does not fit the fields of the header that comes next.
//
//   "24 path=some/long/name\n"     length of the whole record in bytes, blank, key, "=", value, newline
//
// Of the keys, only path, linkpath and size change what is unpacked. GNU's sparse files come as records, too, and
// their contents mean something else than their bytes: they are told by `sparse`.

import { isUtf8 } from 'node:buffer';

export interface PaxRecords {
  readonly path?: string;
  readonly linkPath?: string;
  readonly bytes?: number;
  readonly sparse: boolean;
}

const blank = 0x20;
const lengthDigitsMax = 10;

/** Undefined when it is not as POSIX says. */
export function readPaxRecords(bytes: Buffer): PaxRecords | undefined {
  let records: PaxRecords = { sparse: false };
  let at = 0;
  while (at < bytes.length) {
    const space = bytes.indexOf(blank, at);
    if (space < 0 || space - at > lengthDigitsMax) return undefined;
    const lengthText = bytes.toString('latin1', at, space);
    const end = at + Number(lengthText);
    if (!/^[1-9]\d*$/.test(lengthText) || end > bytes.length || bytes[end - 1] !== 0x0a) return undefined;
    const record = bytes.subarray(space + 1, end - 1);
    const equals = record.indexOf('=');
    if (equals <= 0) return undefined;
    const next = withRecord(records, record.toString('latin1', 0, equals), record.subarray(equals + 1));
    if (next === undefined) return undefined;
    records = next;
    at = end;
  }
  return records;
}

function withRecord(records: PaxRecords, key: string, value: Buffer): PaxRecords | undefined {
  if (key.startsWith('GNU.sparse.')) return { ...records, sparse: true };
  if (key !== 'path' && key !== 'linkpath' && key !== 'size') return records;
  if (!isUtf8(value) || value.includes(0)) return undefined;
  const text = value.toString('utf8');
  if (key === 'path') return { ...records, path: text };
  if (key === 'linkpath') return { ...records, linkPath: text };
  const bytes = Number(text);
  return /^\d+$/.test(text) && Number.isSafeInteger(bytes) ? { ...records, bytes } : undefined;
}
