// Secrets from standard input: hidden at a terminal with its editing keys, plain lines elsewhere.

import { PassThrough } from 'node:stream';
import t from 'tap';
import { systemKeyboard } from '../../src/cli/keyboard.ts';

function open(isTTY: boolean) {
  const modes: boolean[] = [];
  const stream = Object.assign(new PassThrough(), { isTTY, setRawMode: (on: boolean) => void modes.push(on) });
  return { stream, modes, keyboard: systemKeyboard(stream as unknown as NodeJS.ReadStream) };
}

t.test('a terminal is raw while a secret is typed, and its keys edit', async (t) => {
  const { stream, modes, keyboard } = open(true);
  const rows: readonly (readonly [typed: string, line: string | undefined])[] = [
    ['secret\r', 'secret'],
    ['sex\u007fcret\r', 'secret'],
    ['wrong\u0015right\n', 'right'],
    ['\u007f\u007fa\u001bb\r', 'ab'],
    ['grüße🗝\u007f\r', 'grüße'],
    ['half\u0003', undefined],
    ['\u0004', undefined],
  ];
  for (const [typed, line] of rows) {
    const reading = keyboard.readSecret();
    t.equal(modes.at(-1), true, 'raw before a key is pressed');
    stream.write(typed);
    t.equal(await reading, line);
    t.equal(modes.at(-1), false, 'cooked again');
  }
});

t.test('elsewhere lines are taken as they come, the last one also without its end', async (t) => {
  const { stream, modes, keyboard } = open(false);
  stream.write('one\ntwo\nth');
  t.equal(await keyboard.readSecret(), 'one');
  t.equal(await keyboard.readSecret(), 'two');
  const third = keyboard.readSecret();
  stream.end('ree');
  t.equal(await third, 'three');
  t.equal(await keyboard.readSecret(), undefined);
  t.same(modes, []);
});
