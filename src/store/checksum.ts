// CRC-32 (IEEE 802.3, reflected, polynomial 0xEDB88320) of one record.
//
// SQLite keeps no checksum of its pages: a flipped bit inside a message body would be sent as if it were
// measured. Four bytes a record make it a counted loss instead. Written here because zlib.crc32 is younger than
// the oldest Node we run on; a table a byte wide does some hundred megabytes a second, on the store thread.

const polynomial = 0xedb88320;
const tableEntries = 256;
const byteMask = 0xff;

const table: Int32Array = buildTable();

/** A signed 32-bit number: what an INTEGER column and the machine's own arithmetic take without a detour. */
export function checksum(bytes: Uint8Array): number {
  let crc = -1;
  for (let index = 0; index < bytes.length; index++) {
    crc = (crc >>> 8) ^ (table[(crc ^ (bytes[index] as number)) & byteMask] as number);
  }
  return ~crc;
}

function buildTable(): Int32Array {
  const entries = new Int32Array(tableEntries);
  for (let index = 0; index < tableEntries; index++) {
    let value = index;
    for (let bit = 0; bit < 8; bit++) value = (value & 1) === 0 ? value >>> 1 : (value >>> 1) ^ polynomial;
    entries[index] = value;
  }
  return entries;
}
