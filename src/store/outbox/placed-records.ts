// Records in the memory from which the disk takes them, for whoever writes them there himself: the main thread, when a
// message arrives.
//
//   record, zeros up to a multiple of recordAlignment, record, … zeros up to a multiple of recordsAlignment
//
// So a record is copied once, on its way from the message, and the store thread does not touch it: of each it gets the
// place, the length and the checksum. Where messages are left out the records behind them move up.

export { crc } from './crc.ts';
export { frameAlignment as recordsAlignment, recordAlignment } from './segment-format.ts';

export interface RecordPlace {
  /** In the adopted memory; a multiple of recordAlignment, and not before the end of the last one placed. */
  readonly start: number;
  readonly length: number;
  /** Of the record alone, as crc() makes it. */
  readonly crc: number;
}
