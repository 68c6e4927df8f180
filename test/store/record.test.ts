import t from 'tap';
import { storeRecordBytesMax } from '../../src/limits.ts';
import type { Message } from '../../src/model/message.ts';
import { ByteWriter } from '../../src/store/byte-buffer.ts';
import { checksum } from '../../src/store/checksum.ts';
import { readEnqueuedMs, readHop, readRecord, writeRecord } from '../../src/store/record.ts';

function encode(message: Message): Buffer {
  const writer = new ByteWriter(8);
  const length = writeRecord(writer, message);
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
  t.equal(
    encode({
      ...least,
      hop: { stream: 's', sequence: 1 },
      output: 'o',
      properties: { a: 'b' },
      body: Buffer.from('x'),
    }).toString('hex'),
    ['01', '05', '0173', '000000000000f03f', '0000000000000000', '0164', '016f', '00', '01', '0161', '0162', '78'].join(
      '',
    ),
  );
});

t.test('hop and time are read without the rest', async (t) => {
  const { sender, hop } = most;
  const stream = `${sender.deviceId}/${sender.moduleId}/${hop?.stream}`;
  t.same(readHop(encode(most)), { stream, sequence: hop?.sequence }, 'a stream belongs to its sender');
  t.equal(readHop(encode(least)), undefined);
  t.equal(readEnqueuedMs(encode(most)), most.enqueuedMs);
});

t.test('every cut record and every newer format is refused by its code', async (t) => {
  const whole = encode({ ...most, body: Buffer.alloc(0) });
  for (let length = 0; length < whole.length; length++) {
    t.throws(() => readRecord(whole.subarray(0, length)), { code: 'STORE_RECORD_UNREADABLE' }, `${length} bytes`);
  }
  t.throws(() => readRecord(Buffer.concat([Buffer.from([2]), whole.subarray(1)])), { code: 'STORE_RECORD_UNREADABLE' });
});

t.test('what cannot be stored is refused and leaves the buffer as it was', async (t) => {
  const writer = new ByteWriter(8);
  writer.text('before');
  const { length } = writer;
  t.throws(() => writeRecord(writer, { ...least, body: Buffer.alloc(storeRecordBytesMax) }), {
    code: 'STORE_RECORD_TOO_LARGE',
  });
  for (const hop of [
    { stream: '', sequence: 1 },
    { stream: 'a b', sequence: 1 },
    { stream: 'a', sequence: 0 },
    { stream: 'a', sequence: 1.5 },
  ]) {
    t.throws(() => writeRecord(writer, { ...least, hop }), { code: 'STORE_RECORD_UNREADABLE' });
  }
  t.equal(writer.length, length);
});

t.test('the checksum is CRC-32', async (t) => {
  t.equal(checksum(Buffer.from('123456789')) >>> 0, 0xcbf43926);
  t.equal(checksum(Buffer.alloc(0)), 0);
});
