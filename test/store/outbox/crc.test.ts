import { Buffer } from 'node:buffer';
import t from 'tap';
import { type CrcRange, crc, crcCopy } from '../../../src/store/outbox/crc.ts';
import { seededEntropy } from '../../support/sim-entropy.ts';

function memoryOf(bytes: number) {
  const memory = new ArrayBuffer(bytes);
  return { bytes: Buffer.from(memory), words: new Int32Array(memory) };
}

/** The polynomial, bit by bit. */
function slowly(bytes: Uint8Array, seed: number): number {
  let state = ~seed;
  for (const byte of bytes) {
    state ^= byte;
    for (let bit = 0; bit < 8; bit++) state = (state & 1) === 0 ? state >>> 1 : (state >>> 1) ^ 0xedb88320;
  }
  return ~state;
}

t.test('the check value of the standard CRC-32', async (t) => {
  const memory = memoryOf(16);
  memory.bytes.write('123456789');
  t.equal(crc(memory, { start: 0, length: 9, seed: 0 }) >>> 0, 0xcbf43926);
});

t.test('any range and seed, and the copy beside it, are as the polynomial says', async (t) => {
  const entropy = seededEntropy(11);
  const memory = memoryOf(512);
  for (let index = 0; index < 512; index++) memory.bytes[index] = Math.floor(entropy.fraction() * 256);
  for (let length = 0; length < 80; length++) {
    const range: CrcRange = {
      start: 4 * Math.floor(entropy.fraction() * 100),
      length,
      seed: (length * 0x9e3779b1) | 0,
    };
    const part = memory.bytes.subarray(range.start, range.start + length);
    const expected = slowly(part, range.seed);
    if (crc(memory, range) !== expected) t.fail(`length ${length}`);
    const into = { memory: memoryOf(128), at: 4 * Math.floor(entropy.fraction() * 12) };
    if (crcCopy(memory, range, into) !== expected) t.fail(`copied, length ${length}`);
    const { bytes } = into.memory;
    if (!bytes.subarray(into.at, into.at + length).equals(part)) t.fail(`the copy of length ${length} is another`);
    if (bytes.some((byte, at) => byte !== 0 && (at < into.at || at >= into.at + length))) t.fail('beside the copy');
  }
  t.pass();
});
