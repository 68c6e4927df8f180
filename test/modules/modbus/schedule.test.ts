import t from 'tap';
import { Schedule } from '../../../src/modules/modbus/schedule.ts';

t.test('jobs come in order of their deadlines, on a grid that a late poll does not shift', async (t) => {
  const schedule = new Schedule<string>();
  schedule.add('a', { periodMs: 100, firstMs: 0 });
  schedule.add('b', { periodMs: 250, firstMs: 10 });
  t.equal(schedule.take(0), 'a');
  t.equal(schedule.take(0), undefined);
  t.equal(schedule.waitMs(0), 10);
  t.equal(schedule.take(30), 'b');
  t.equal(schedule.waitMs(30), 70);
  t.equal(schedule.take(105), 'a');
  t.equal(schedule.waitMs(105), 95, 'due at 200, not at 205');
  t.equal(schedule.skipped, 0);
});

t.test('missed periods are skipped and counted, never piled up', async (t) => {
  const schedule = new Schedule<string>();
  schedule.add('a', { periodMs: 100, firstMs: 0 });
  t.equal(schedule.take(1050), 'a');
  t.equal(schedule.skipped, 10);
  t.equal(schedule.take(1050), undefined);
  t.equal(schedule.waitMs(1050), 50);
});

t.test('a postponed job starts its grid anew', async (t) => {
  const schedule = new Schedule<string>();
  schedule.add('a', { periodMs: 100, firstMs: 0 });
  schedule.postpone('a', 5000);
  t.equal(schedule.take(4999), undefined);
  t.equal(schedule.take(5000), 'a');
  t.equal(schedule.waitMs(5000), 100);
  t.equal(schedule.skipped, 0);
});

t.test('without jobs there is nothing to wait for', async (t) => {
  t.equal(new Schedule<string>().waitMs(0), undefined);
});
