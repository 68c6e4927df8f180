// The log's lines: what they look like, which are written, and how those of one turn are put together.

import t from 'tap';
import { batchLines, createLog } from '../../src/platform/log.ts';

const clock = { wallMs: () => Date.UTC(2026, 10, 21), monotonicMs: () => 0 } as never;

t.test('lines below the level are not written, fields that are undefined are left out', async (t) => {
  const lines: string[] = [];
  const log = createLog({ clock, level: 'info', write: (line) => lines.push(line) }).child('broker');
  log.debug('not this');
  log.info('client connected', { client: 'plc 1', remote: undefined, clean: true });
  log.child('inner').error('gone');
  t.same(lines, [
    '2026-11-21T00:00:00.000Z info  broker: client connected client="plc 1" clean=true\n',
    '2026-11-21T00:00:00.000Z error broker.inner: gone\n',
  ]);
});

t.test('lines of one turn are one write, in order', async (t) => {
  const turns: (() => void)[] = [];
  const writes: string[] = [];
  const batch = batchLines({ soon: (callback) => void turns.push(callback) }, (text) => writes.push(text));
  batch.write('a\n');
  batch.write('b\n');
  t.same(writes, []);
  t.equal(turns.length, 1);
  turns.splice(0).forEach((turn) => {
    turn();
  });
  t.same(writes, ['a\nb\n']);
  batch.write('c\n');
  batch.flush();
  t.same(writes, ['a\nb\n', 'c\n'], 'at the end nothing waits for its turn');
  turns.splice(0).forEach((turn) => {
    turn();
  });
  t.equal(writes.length, 2, 'and nothing is written twice');
  batch.write('x'.repeat(70_000));
  t.equal(writes.length, 3, 'what is collected is bounded');
});
