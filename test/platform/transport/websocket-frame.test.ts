import t from 'tap';
import { webSocketFrameBytesMax } from '../../../src/limits.ts';
import {
  answerToClose,
  closeFrame,
  FrameReader,
  frameHeader,
} from '../../../src/platform/transport/websocket-frame.ts';

interface Heard {
  data: string;
  control: string[];
  broken: string[];
}

const mask = Buffer.from('37fa213d', 'hex');

/** A client's frame. */
function frame(first: number, payload: Buffer, length = payload.length): Buffer {
  const masked = payload.map((byte, at) => byte ^ (mask[at % mask.length] as number));
  const field =
    length < 126
      ? Buffer.from([0x80 | length])
      : length < 65_536
        ? Buffer.from([0xfe, length >> 8, length & 0xff])
        : Buffer.concat([Buffer.from([0xff]), Buffer.from(length.toString(16).padStart(16, '0'), 'hex')]);
  return Buffer.concat([Buffer.from([first]), field, mask, masked]);
}

function read(bytes: Buffer, piece = bytes.length): Heard {
  const heard: Heard = { data: '', control: [], broken: [] };
  const reader = new FrameReader({
    data: (chunk, from, to) => {
      heard.data += chunk.toString('latin1', from, to);
      return true;
    },
    control: (code, payload) => {
      heard.control.push(`${code}:${payload.toString('latin1')}`);
      return true;
    },
    broken: (code, detail) => {
      heard.broken.push(`${code} ${detail}`);
    },
  });
  for (let at = 0; at < bytes.length; at += piece) {
    const chunk = Buffer.from(bytes.subarray(at, at + piece));
    if (reader.feed(chunk, 0, chunk.length) !== chunk.length) heard.broken.push('stopped early');
  }
  return heard;
}

const nothing: Heard = { data: '', control: [], broken: [] };
const text = (value: string): Buffer => Buffer.from(value, 'latin1');

t.test('payload is unmasked and handed on, however frames and reads are cut', (t) => {
  const long = text('0123456789'.repeat(7000));
  const bytes = Buffer.concat([
    frame(0x82, text('Hello')),
    frame(0x02, text('frag')),
    frame(0x89, text('are you there')),
    frame(0x80, text('ment')),
    frame(0x82, text('')),
    frame(0x82, long.subarray(0, 300)),
    frame(0x8a, text('')),
    frame(0x82, long),
    frame(0x88, text('\x03\xe8bye')),
  ]);
  const wanted = {
    data: `Hellofragment${long.toString('latin1', 0, 300)}${long.toString('latin1')}`,
    control: ['9:are you there', '10:', '8:\x03\xe8bye'],
    broken: [],
  };
  for (const piece of [bytes.length, 1, 2, 3, 7, 1000]) t.strictSame(read(bytes, piece), wanted, `${piece} a read`);
  t.end();
});

t.test('every rule a client can break ends the stream with its code', (t) => {
  const rows: readonly (readonly [string, Buffer, RegExp])[] = [
    ['a reserved bit', frame(0xc2, text('x')), /^1002 .*reserved/],
    ['no mask', Buffer.from('820548656c6c6f', 'hex'), /^1002 .*masked/],
    ['text', frame(0x81, text('x')), /^1003 /],
    ['an opcode between', frame(0x83, text('x')), /^1002 .*opcode/],
    ['an opcode above', frame(0x8b, text('x')), /^1002 .*opcode/],
    ['a continuation of nothing', frame(0x80, text('x')), /^1002 .*fragment/],
    ['a new message within one', Buffer.concat([frame(0x02, text('x')), frame(0x82, text('y'))]), /^1002 .*fragment/],
    ['a ping in pieces', frame(0x09, text('x')), /^1002 .*control/],
    ['a ping too long', frame(0x89, Buffer.alloc(126)), /^1002 .*control/],
    ['a length not in its shortest form', Buffer.from('82fe00050000000048656c6c6f', 'hex'), /^1002 .*shortest/],
    [
      'a 64-bit length not in its shortest form',
      Buffer.from('82ff000000000000000500000000', 'hex'),
      /^1002 .*shortest/,
    ],
    ['a frame too large', frame(0x82, text(''), webSocketFrameBytesMax + 1), /^1009 /],
    ['a length beyond all', Buffer.from('82ffffffffffffffffff00000000', 'hex'), /^1009 /],
  ];
  for (const [name, bytes, broken] of rows)
    for (const piece of [1, bytes.length]) {
      const after = Buffer.concat([bytes, frame(0x82, text('never'))]);
      const heard = read(after, piece);
      t.equal(heard.broken.length, 1, name);
      t.match(heard.broken[0], broken, name);
      t.notMatch(heard.data, 'never', name);
    }
  t.end();
});

t.test('a sink that takes no more stops the reader where it is', (t) => {
  let taken = '';
  const reader = new FrameReader({
    data: (chunk, from, to) => {
      taken += chunk.toString('latin1', from, to);
      return false;
    },
    control: () => true,
    broken: () => undefined,
  });
  const bytes = Buffer.concat([frame(0x82, text('one')), frame(0x82, text('two'))]);
  const at = reader.feed(bytes, 0, bytes.length);
  t.equal(taken, 'one');
  t.equal(reader.feed(bytes, at, bytes.length), bytes.length);
  t.equal(taken, 'onetwo');
  t.end();
});

t.test('headers and Close frames are written in their shortest form', (t) => {
  t.equal(frameHeader(2, 125).toString('hex'), '827d');
  t.equal(frameHeader(2, 126).toString('hex'), '827e007e');
  t.equal(frameHeader(2, 65_535).toString('hex'), '827effff');
  t.equal(frameHeader(2, 65_536).toString('hex'), '827f0000000000010000');
  t.equal(closeFrame(1000).toString('hex'), '880203e8');
  t.equal(closeFrame(1002, 'x'.repeat(500)).length, 127);
  t.strictSame(read(Buffer.alloc(0), 1), nothing);
  t.end();
});

t.test('a Close frame is answered with its own code, and one that no endpoint may send with 1002', async (t) => {
  const close = (code: number, reason: Buffer = Buffer.alloc(0)): Buffer =>
    Buffer.concat([Buffer.from([code >> 8, code & 0xff]), reason]);
  for (const code of [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1014, 3000, 3999, 4000, 4999]) {
    t.equal(answerToClose(close(code, text('bye'))), code);
  }
  for (const code of [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535]) {
    t.equal(answerToClose(close(code)), 1002, `${code}`);
  }
  t.equal(answerToClose(Buffer.alloc(0)), 1000);
  t.equal(answerToClose(Buffer.from([3])), 1002, 'half a code');
  t.equal(answerToClose(close(1000, Buffer.from('c328', 'hex'))), 1007, 'a reason that is no text');
});
