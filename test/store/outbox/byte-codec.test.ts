import { Buffer } from 'node:buffer';
import t from 'tap';
import { ByteSink } from '../../../src/store/outbox/byte-sink.ts';
import { ByteSource, UnreadableFrame } from '../../../src/store/outbox/byte-source.ts';
import { type Note, readNotes, writeNote } from '../../../src/store/outbox/frame-index.ts';

const numbers = [0, 1, 127, 128, 16_383, 16_384, 2 ** 31 - 1, 2 ** 31, 2 ** 32, 2 ** 40 + 7, Number.MAX_SAFE_INTEGER];

function sourceOf(sink: ByteSink, end = sink.length): ByteSource {
  return new ByteSource(Buffer.from(sink.bytes.subarray(0, end)), { start: 0, end });
}

t.test('numbers and texts come back as they went in, also when the memory has to grow', async (t) => {
  const sink = new ByteSink(8);
  for (const value of numbers) sink.varint(value);
  for (const value of [0, -1, 0x7fffffff, -0x80000000, 0x31524657]) sink.uint32(value);
  sink.float64(-1.5);
  sink.text('Grüße');
  const source = sourceOf(sink);
  for (const value of numbers) t.equal(source.varint(), value);
  for (const value of [0, -1, 0x7fffffff, -0x80000000, 0x31524657]) t.equal(source.int32(), value);
  t.equal(source.float64(), -1.5);
  t.equal(source.text(), 'Grüße');
  t.equal(source.at, sink.length);
});

t.test('an index that ends too early is unreadable, wherever it ends', async (t) => {
  const notes: readonly Note[] = [
    { kind: 'lane', lane: 300, key: 'k', stream: 'e.300' },
    { kind: 'boot', boot: 2, id: 'b' },
    { kind: 'floor', lane: 1, offset: 2 ** 40 },
    { kind: 'dead', lane: 1, from: 4, to: 9 },
    { kind: 'dropped', lane: 1, reason: 'damaged', total: 12 },
    { kind: 'stream', slot: 0, name: 'd/s' },
    { kind: 'position', slot: 0, sequence: 77 },
    { kind: 'next', lane: 1, offset: 10 },
    { kind: 'clock', boot: 2, wallOffsetMs: 1.5, monotonicMs: 2.5, trusted: true },
    { kind: 'counters', laneNext: 5, bootNext: 3 },
    {
      kind: 'segment',
      first: 1,
      last: 2,
      generation: 1,
      end: 4096,
      recordBytes: 300,
      parts: [{ lane: 1, first: 1, last: 9, count: 9, bytes: 300, position: 512, ttlMin: undefined }],
    },
  ];
  const sink = new ByteSink(64);
  sink.varint(notes.length);
  for (const note of notes) writeNote(sink, note);
  t.strictSame(readNotes(sourceOf(sink)), notes);
  for (let end = 0; end < sink.length; end++) t.throws(() => readNotes(sourceOf(sink, end)), UnreadableFrame);
});
