import t from 'tap';
import { crc16, RtuReader, TcpReader, toTcp, withCrc } from '../../../src/modules/modbus/framing.ts';

const request = withCrc(Buffer.from([1, 3, 0, 0, 0, 2]));
const answer = withCrc(Buffer.from([1, 3, 4, 0, 10, 0, 20]));

t.test('the CRC is that of the specification', async (t) => {
  t.equal(crc16(Buffer.from([0x02, 0x07])), 0x1241, 'the example of serial line 1.02, appendix B');
  t.same([...request.subarray(-2)], [0xc4, 0x0b]);
});

t.test('an RTU answer is found whatever stands before it', async (t) => {
  const rows: readonly (readonly [string, Buffer])[] = [
    ['alone', answer],
    ['after noise', Buffer.concat([Buffer.from([0, 255, 1]), answer])],
    ['after an answer of another unit', Buffer.concat([withCrc(Buffer.from([2, 3, 4, 9, 9, 9, 9])), answer])],
    ['after a late answer of another length', Buffer.concat([withCrc(Buffer.from([1, 3, 2, 7, 7])), answer])],
    ['after a spoilt copy of itself', Buffer.concat([answer.subarray(0, 4), Buffer.from([1, 1, 1, 1, 1]), answer])],
  ];
  for (const [name, bytes] of rows) t.same(new RtuReader(request).push(bytes), { state: 'frame', frame: answer }, name);
});

t.test('an RTU answer may come byte by byte', async (t) => {
  const reader = new RtuReader(request);
  for (const byte of answer.subarray(0, -1)) t.equal(reader.push(Buffer.from([byte])).state, 'more');
  t.equal(reader.push(answer.subarray(-1)).state, 'frame');
});

t.test('an exception is an answer', async (t) => {
  const frame = withCrc(Buffer.from([1, 0x83, 2]));
  t.same(new RtuReader(request).push(frame), { state: 'frame', frame });
});

t.test('a wrong CRC is told apart from silence', async (t) => {
  const spoilt = Buffer.from(answer);
  spoilt[3] = 99;
  t.equal(new RtuReader(request).push(spoilt).state, 'garbled');
});

t.test('noise without end does not grow the reader', async (t) => {
  const reader = new RtuReader(request);
  for (let round = 0; round < 100; round += 1) t.equal(reader.push(Buffer.alloc(1000, 7)).state, 'more');
  t.equal(reader.push(answer).state, 'frame');
});

t.test('TCP frames are cut out of the stream however it is cut', async (t) => {
  const reader = new TcpReader();
  const bytes = Buffer.concat([toTcp(request, 7), toTcp(answer, 8)]);
  const frames: unknown[] = [];
  for (const byte of bytes) {
    reader.push(Buffer.from([byte]));
    const progress = reader.next();
    if (progress.state === 'frame') frames.push([progress.transaction, progress.frame]);
  }
  t.same(frames, [
    [7, request],
    [8, answer],
  ]);
});

t.test('what is no Modbus TCP is refused', async (t) => {
  for (const text of ['HTTP/1.1 400 Bad Request', '\0\u0001\0\0\u00ff\u00ff', '\0\u0001\0\0\0\u0001\u0001']) {
    const reader = new TcpReader();
    reader.push(Buffer.from(text, 'latin1'));
    t.equal(reader.next().state, 'garbled');
  }
});
