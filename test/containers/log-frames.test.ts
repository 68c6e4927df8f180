// The engine's log stream, whole and in pieces of any size, and what is no frame.

import t from 'tap';
import { LogFrames } from '../../src/containers/log-frames.ts';
import { containerLogLineBytesMax } from '../../src/limits.ts';

function frame(stream: number, payload: string): Buffer {
  const header = Buffer.alloc(8);
  header[0] = stream;
  header.writeUInt32BE(Buffer.byteLength(payload), 4);
  return Buffer.concat([header, Buffer.from(payload)]);
}

const seconds = '2026-11-21T09:12:44Z';
const nanoseconds = '2026-11-21T09:12:44.123456789Z';
const bytes = Buffer.concat([
  frame(1, `${nanoseconds} one\n`),
  frame(2, `${seconds} two\r\n`),
  frame(1, `2026-11-21T10:12:44+01:00 \n`),
  frame(1, 'no stamp\n'),
]);
const expected = [
  { stream: 'O', stampMs: Date.parse('2026-11-21T09:12:44.123Z'), isFraction: true, text: 'one' },
  { stream: 'E', stampMs: Date.parse(seconds), isFraction: false, text: 'two' },
  { stream: 'O', stampMs: Date.parse(seconds), isFraction: false, text: '' },
  { stream: 'O', stampMs: undefined, isFraction: false, text: 'no stamp' },
];

t.test('frames are lines, whatever the pieces', async (t) => {
  for (const size of [1, 7, 8, 9, 50, bytes.length]) {
    const frames = new LogFrames({ tty: false });
    const lines = [];
    for (let at = 0; at < bytes.length; at += size) lines.push(...frames.take(bytes.subarray(at, at + size)));
    t.same(
      lines.map((line) => ({ ...line, text: line.text.toString() })),
      expected,
      `pieces of ${size}`,
    );
  }
});

t.test('a terminal has no frames', async (t) => {
  const lines = new LogFrames({ tty: true }).take(Buffer.from(`${seconds} one\r\n${seconds} two\r\nrest`));
  t.same(
    lines.map(({ text }) => text.toString()),
    ['one', 'two'],
  );
});

t.test('a line without end is cut, and the next one is whole', async (t) => {
  const long = 'x'.repeat(containerLogLineBytesMax * 2);
  const frames = new LogFrames({ tty: false });
  const lines = frames.take(Buffer.concat([frame(1, `${seconds} ${long}\n`), frame(1, `${seconds} next\n`)]));
  t.equal(lines.length, 2);
  t.ok((lines[0]?.text.length ?? 0) <= containerLogLineBytesMax);
  t.equal(lines[1]?.text.toString(), 'next');
});

t.test('what is no frame is taken as text, and newlines inside a message do not make lines', async (t) => {
  t.same(
    new LogFrames({ tty: false }).take(Buffer.from('plain text\nmore\n')).map(({ text }) => text.toString()),
    ['plain text', 'more'],
  );
  const [line] = new LogFrames({ tty: false }).take(frame(1, `${seconds} a\nb\n`));
  t.equal(line?.text.toString(), 'a b');
});
