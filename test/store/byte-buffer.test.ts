import { Buffer } from 'node:buffer';
import t from 'tap';
import { ByteReader, ByteWriter } from '../../src/store/byte-buffer.ts';

const texts = [
  '',
  'a',
  'Grüße',
  'a'.repeat(63),
  'a'.repeat(64),
  'a'.repeat(200),
  `${'a'.repeat(62)}ü`,
  '\u0000',
  '√\u007f',
];
const numbers = [0, 1, 127, 128, 16_383, 16_384, 2 ** 31, 2 ** 32 - 1];

t.test('what is written is read, also when the memory has to grow and when it was used before', async (t) => {
  for (const memory of [8, new ArrayBuffer(16), new Uint8Array(4096).fill(255).buffer]) {
    const writer = new ByteWriter(memory);
    for (const text of texts) writer.text(text);
    for (const number of numbers) writer.varint(number);
    writer.uint32(-2);
    writer.uint32(0xfffffffe);
    writer.float64(-1.5);
    const at = writer.length;
    writer.uint32(0);
    writer.patchUint32(at, 77);
    writer.byte(1);
    writer.align(8);
    t.equal(writer.length % 8, 0);
    writer.append(Buffer.from('rest'));
    t.equal(writer.words.buffer, writer.release());
    const reader = new ByteReader(Buffer.from(writer.release(), 0, writer.length));
    for (const text of texts) t.equal(reader.text(), text);
    for (const number of numbers) t.equal(reader.varint(), number);
    t.equal(reader.uint32(), 0xfffffffe);
    t.equal(reader.uint32(), 0xfffffffe);
    t.equal(reader.float64(), -1.5);
    t.equal(reader.uint32(), 77);
    t.equal(reader.byte(), 1);
    t.ok(reader.bytes(reader.remaining - 4).every((byte) => byte === 0));
    t.equal(reader.bytes(4).toString(), 'rest');
    t.throws(() => reader.varint(), { code: 'STORE_RECORD_UNREADABLE' });
  }
});
