// Every statement about servers has a case, and every case passes: in memory with simulated time, with and without
// a session store, and, where no clock is needed, over TCP and WebSocket.

import t from 'tap';
import { conformanceCases } from './cases/index.ts';
import { gaps, play, title } from './play.ts';
import { statements } from './statements.ts';

t.test('every numbered statement is in the table once', async (t) => {
  const count = (version: string) => statements.filter((statement) => statement.version === version).length;
  t.equal(count('3.1.1'), 141);
  t.equal(count('5.0'), 251);
  t.equal(new Set(statements.map(({ id, version }) => `${version} ${id}`)).size, statements.length);
});

t.test('every statement about servers has a case, every other one a reason', async (t) => {
  t.same(gaps(), []);
});

t.test('every case passes wherever it is played', async (t) => {
  for (const testCase of conformanceCases) {
    await t.test(title(testCase), async (t) => {
      for (const kind of testCase.over) {
        const { passed, detail } = await play(testCase, kind);
        t.ok(passed, passed ? kind : `${kind}: ${detail}`);
      }
    });
  }
});
