// CRC-32 (IEEE 802.3, reflected, polynomial 0xEDB88320) of a few hundred bytes: the header of a queue file.
//
// It tells an accident from a stranger: a header whose checksum is wrong was damaged on the way, and its key is not
// even tried. What an enemy changed is found by the seal, which covers the header too. Bit by bit, without a table:
// one header a file.

const polynomial = 0xedb88320;
const bitsPerByte = 8;

/** An unsigned 32-bit number. */
export function crc32(bytes: Uint8Array): number {
  let crc = -1;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < bitsPerByte; bit++) crc = (crc & 1) === 0 ? crc >>> 1 : (crc >>> 1) ^ polynomial;
  }
  return ~crc >>> 0;
}
