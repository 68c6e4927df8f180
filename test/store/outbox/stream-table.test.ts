import t from 'tap';
import { storeStreamsMax } from '../../../src/limits.ts';
import { StreamTable } from '../../../src/store/outbox/stream-table.ts';

t.test('a sequence that is not higher is a repetition, staged or settled, also between other streams', async (t) => {
  const table = new StreamTable();
  t.ok(table.advance({ stream: 'a', sequence: 5 }));
  t.notOk(table.advance({ stream: 'a', sequence: 5 }));
  t.ok(table.advance({ stream: 'b', sequence: 1 }));
  t.notOk(table.advance({ stream: 'a', sequence: 4 }));
  t.ok(table.advance({ stream: 'a', sequence: 6 }));
  table.settle();
  t.notOk(table.advance({ stream: 'a', sequence: 6 }));
  t.notOk(table.advance({ stream: 'b', sequence: 1 }));
  t.notOk(table.staged);
});

t.test('what a failed commit had staged is forgotten', async (t) => {
  const table = new StreamTable();
  table.advance({ stream: 'a', sequence: 5 });
  table.settle();
  table.advance({ stream: 'a', sequence: 9 });
  table.discard();
  t.ok(table.advance({ stream: 'a', sequence: 6 }));
  t.strictSame([...table.stagedNotes()], [{ kind: 'position', slot: 0, sequence: 6 }]);
});

t.test('of too many streams the one unused for longest goes, and its slot is used again', async (t) => {
  const table = new StreamTable();
  for (let index = 0; index < storeStreamsMax; index++) table.advance({ stream: `s${index}`, sequence: 1 });
  table.settle();
  table.advance({ stream: 's0', sequence: 2 });
  table.advance({ stream: 'new', sequence: 1 });
  table.settle();
  t.equal(table.size, storeStreamsMax);
  t.ok(table.advance({ stream: 's1', sequence: 1 }), 's1 was the oldest');
  t.notOk(table.advance({ stream: 's0', sequence: 2 }));
  t.strictSame([...table.stagedNotes()][0], { kind: 'stream', slot: 1, name: 's1' });
});
