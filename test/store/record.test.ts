import t from 'tap';
import { storeRecordBytesMax } from '../../src/limits.ts';
import type { Message } from '../../src/model/message.ts';
import { ByteWriter } from '../../src/store/byte-buffer.ts';
import { checksum } from '../../src/store/checksum.ts';
import { readRecord, shiftEnqueued, streamKey, wallStepMs, writeRecord } from '../../src/store/record.ts';

function encode(message: Message, monotonicMs = 0): Buffer {
  const writer = new ByteWriter(8);
  const length = writeRecord(writer, message, monotonicMs);
  return Buffer.from(writer.release(), 0, length);
}

const least: Message = { sender: { deviceId: 'd' }, system: {}, properties: {}, body: Buffer.alloc(0), enqueuedMs: 0 };
const most: Message = {
  sender: { deviceId: 'gateway-Ä', moduleId: 'módulo' },
  output: 'output 1/√',
  system: { messageId: '', contentType: 'application/json' },
  properties: { __proto__x: 'y', 'name with = and &': 'v'.repeat(300), empty: '', ['__proto__']: 'kept' },
  body: Buffer.from([0, 255, 1, 254]),
  enqueuedMs: 1_893_456_000_123,
  hop: { stream: 'gw.0123456789abcdef_x-y', sequence: Number.MAX_SAFE_INTEGER },
};

t.test('a message comes back as it was', async (t) => {
  for (const message of [
    least,
    most,
    { ...most, hop: undefined },
    { ...least, sender: { deviceId: 'd', moduleId: 'm' } },
  ]) {
    const { hop, output, ...rest } = message;
    const expected = { ...rest, ...(hop === undefined ? {} : { hop }), ...(output === undefined ? {} : { output }) };
    t.same(readRecord(encode(message)), expected);
  }
  t.equal(Object.hasOwn(readRecord(encode(most)).properties, '__proto__'), true);
});

t.test('the bytes are those of the header', async (t) => {
  const message = {
    ...least,
    hop: { stream: 's', sequence: 1 },
    output: 'o',
    properties: { a: 'b' },
    body: Buffer.from('x'),
  };
  t.equal(
    encode(message, 2).toString('hex'),
    [
      '02',
      '05',
      '0000000000000000',
      '0000000000000040',
      '0173',
      '000000000000f03f',
      '0164',
      '016f',
      '00',
      '01',
      '0161',
      '0162',
      '78',
    ].join(''),
  );
});

/** What versions before this one wrote: the time behind the hop, no monotonic one. */
const oldRecord = Buffer.from(
  [
    '01',
    '07',
    '0173',
    '000000000000f03f',
    '0000000000002440',
    '0164',
    '016d',
    '016f',
    '00',
    '01',
    '0161',
    '0162',
    '78',
  ].join(''),
  'hex',
);

t.test('records of the first format are still read, and keep their time', async (t) => {
  t.same(readRecord(oldRecord, 1_000_000), {
    sender: { deviceId: 'd', moduleId: 'm' },
    output: 'o',
    system: {},
    properties: { a: 'b' },
    body: Buffer.from('x'),
    enqueuedMs: 10,
    hop: { stream: 's', sequence: 1 },
  });
});

t.test('a stream belongs to its sender', async (t) => {
  t.equal(streamKey({ deviceId: 'd', moduleId: 'm' }, 's'), 'd/m/s');
  t.equal(streamKey({ deviceId: 'd' }, 's'), 'd/s');
});

t.test('a time of acceptance is put right when its clock turns out to have been wrong', async (t) => {
  const record = encode({ ...most, enqueuedMs: 5000 }, 4000);
  t.equal(readRecord(record, 60_000).enqueuedMs, 65_000);
  shiftEnqueued(record, { offsetMs: 1000, stepMs: 7_000_000 });
  t.equal(readRecord(record).enqueuedMs, 7_005_000);
  shiftEnqueued(record, { offsetMs: 1000, stepMs: 7_000_000 });
  t.equal(readRecord(record).enqueuedMs, 7_005_000, 'accepted after the step');
  const old = Buffer.from(oldRecord);
  shiftEnqueued(old, { offsetMs: 10, stepMs: 99_999 });
  t.same(old, oldRecord);
  t.equal(wallStepMs(100, 600), 0, 'a clock that is nudged was right');
  t.equal(wallStepMs(100, 60_100), 60_000);
});

t.test('every cut record and every newer format is refused by its code', async (t) => {
  const whole = encode({ ...most, body: Buffer.alloc(0) });
  for (let length = 0; length < whole.length; length++) {
    t.throws(() => readRecord(whole.subarray(0, length)), { code: 'STORE_RECORD_UNREADABLE' }, `${length} bytes`);
  }
  t.throws(() => readRecord(Buffer.concat([Buffer.from([3]), whole.subarray(1)])), { code: 'STORE_RECORD_UNREADABLE' });
});

t.test('what cannot be stored is refused and leaves the buffer as it was', async (t) => {
  const writer = new ByteWriter(8);
  writer.text('before');
  const { length } = writer;
  t.throws(() => writeRecord(writer, { ...least, body: Buffer.alloc(storeRecordBytesMax) }, 0), {
    code: 'STORE_RECORD_TOO_LARGE',
  });
  for (const hop of [
    { stream: '', sequence: 1 },
    { stream: 'a b', sequence: 1 },
    { stream: 'a', sequence: 0 },
    { stream: 'a', sequence: 1.5 },
  ]) {
    t.throws(() => writeRecord(writer, { ...least, hop }, 0), { code: 'STORE_RECORD_UNREADABLE' });
  }
  t.equal(writer.length, length);
});

t.test('the checksum is CRC-32', async (t) => {
  t.equal(checksum(Buffer.from('123456789')) >>> 0, 0xcbf43926);
  t.equal(checksum(Buffer.alloc(0)), 0);
});
