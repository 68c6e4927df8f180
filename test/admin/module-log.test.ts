import { appendFileSync, existsSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { loggedModules, ModuleLog } from '../../src/admin/module-log.ts';
import type { LogRequest } from '../../src/admin/ports.ts';
import { systemDisk } from '../../src/platform/disk.ts';
import { SimClock } from '../support/sim-clock.ts';

const disk = systemDisk();
const base = Date.UTC(2026, 0, 1);

function line(index: number): string {
  return `${new Date(base + index * 1_000).toISOString()} O line ${index}\n`;
}

function lines(from: number, to: number): string {
  return Array.from({ length: to - from }, (_, index) => line(from + index)).join('');
}

function log(dir: string): ModuleLog {
  return new ModuleLog({ disk, clock: new SimClock() }, { logDir: dir });
}

async function all(reader: ModuleLog, request: Partial<LogRequest>): Promise<string> {
  let text = '';
  for await (const piece of reader.read({ name: 'm', signal: new AbortController().signal, ...request })) text += piece;
  return text;
}

const threeFiles = { 'm.log': lines(60, 70), 'm.log.1': lines(30, 60), 'm.log.2': lines(0, 30), 'other.log': 'x\n' };

/** For files that a busy machine is slow to answer for. */
const patienceMs = 120_000;

t.test('the whole log is the numbered files from the oldest to the current one', async (t) => {
  const dir = t.testdir(threeFiles);
  t.equal(await all(log(dir), {}), lines(0, 70));
  t.same(await loggedModules(disk, dir), ['m', 'other']);
});

t.test('tail gives the last lines, across files', async (t) => {
  const dir = t.testdir(threeFiles);
  for (const tail of [0, 1, 9, 10, 11, 40, 41, 69, 70, 71, 1_000]) {
    t.equal(await all(log(dir), { tail }), lines(Math.max(0, 70 - tail), 70), `the last ${tail}`);
  }
});

t.test('tail searches a file of many slices', async (t) => {
  const dir = t.testdir({ 'm.log': lines(0, 9_000) });
  t.equal(await all(log(dir), { tail: 8_000 }), lines(1_000, 9_000));
});

t.test('tail gives no more lines than asked for when the module goes on writing meanwhile', async (t) => {
  const dir = t.testdir(threeFiles);
  let reads = 0;
  const busy = {
    ...disk,
    readSlice: (...args: Parameters<typeof disk.readSlice>) => {
      reads += 1;
      if (reads === 2) appendFileSync(join(dir, 'm.log'), lines(70, 75));
      return disk.readSlice(...args);
    },
  };
  const reader = new ModuleLog({ disk: busy, clock: new SimClock() }, { logDir: dir });
  t.equal(await all(reader, { tail: 2 }), lines(68, 70));
});

t.test('since gives the lines stamped at or after a time, together with tail only those of both', async (t) => {
  const dir = t.testdir(threeFiles);
  t.equal(await all(log(dir), { sinceMs: base + 45_000 }), lines(45, 70));
  t.equal(await all(log(dir), { sinceMs: base + 44_001 }), lines(45, 70));
  t.equal(await all(log(dir), { sinceMs: base + 45_000, tail: 5 }), lines(65, 70));
  t.equal(await all(log(dir), { sinceMs: base + 65_000, tail: 50 }), lines(65, 70));
  t.equal(await all(log(dir), { sinceMs: base + 100_000 }), '');
  t.equal(await all(log(dir), { sinceMs: Number.MAX_SAFE_INTEGER }), '');
});

t.test('until gives the lines stamped before a time, and the last ones are counted from there', async (t) => {
  const dir = t.testdir(threeFiles);
  const untilMs = base + 45_000;
  t.equal(await all(log(dir), { untilMs }), lines(0, 45));
  t.equal(await all(log(dir), { untilMs: untilMs + 1 }), lines(0, 46));
  t.equal(await all(log(dir), { untilMs: base }), '');
  t.equal(await all(log(dir), { untilMs: base + 100_000 }), lines(0, 70));
  t.equal(await all(log(dir), { sinceMs: base + 40_000, untilMs }), lines(40, 45));
  for (const tail of [0, 1, 14, 15, 16, 44, 45, 100])
    t.equal(await all(log(dir), { untilMs, tail }), lines(Math.max(0, 45 - tail), 45), `the last ${tail}`);
  t.equal(await all(log(dir), { untilMs, tail: 3, sinceMs: base + 43_000 }), lines(43, 45));
});

t.test('a line that is still being written is left for later, the torn end of an older file is not', async (t) => {
  const dir = t.testdir({ 'm.log': `${line(2)}2026-`, 'm.log.1': `${line(0)}torn` });
  t.equal(await all(log(dir), {}), `${line(0)}torn${line(2)}`);
});

t.test('letters of several bytes survive the border of a slice', async (t) => {
  const text = Array.from(
    { length: 3_000 },
    (_, index) => `${new Date(base + index).toISOString()} O Grüße € ${index}\n`,
  ).join('');
  const dir = t.testdir({ 'm.log': text });
  t.equal(await all(log(dir), {}), text);
});

t.test('a module without a log is refused with the names that have one', async (t) => {
  const dir = t.testdir(threeFiles);
  await t.rejects(all(log(dir), { name: 'nobody' }), { code: 'ADMIN_NO_SUCH_MODULE', message: /There are: m, other/ });
  await t.rejects(all(log(join(dir, 'none')), {}), { code: 'ADMIN_NO_SUCH_MODULE', message: /No module/ });
});

t.test('following gives new lines through rotation and truncation, none twice, until the reader leaves', async (t) => {
  const dir = t.testdir({ 'm.log': lines(0, 3) });
  const path = join(dir, 'm.log');
  const clock = new SimClock();
  const reader = new ModuleLog({ disk, clock }, { logDir: dir });
  const gone = new AbortController();
  let text = '';
  const reading = (async () => {
    for await (const piece of reader.read({ name: 'm', follow: true, tail: 1, signal: gone.signal })) text += piece;
  })();
  // Real files answer in their own time: simulated time passes until the reader has seen them.
  const until = async (expected: string): Promise<void> => {
    const endMs = performance.now() + patienceMs;
    while (text !== expected && performance.now() < endMs) await clock.advance(250);
    t.equal(text, expected);
  };
  await until(line(2));
  appendFileSync(path, lines(3, 5));
  await until(lines(2, 5));
  appendFileSync(path, line(5));
  renameSync(path, `${path}.1`);
  writeFileSync(path, line(6));
  await until(lines(2, 7));
  truncateSync(path, 0);
  await clock.advance(250);
  writeFileSync(path, '');
  for (let turn = 0; turn < 50; turn++) await clock.advance(250);
  gone.abort();
  await clock.advance(250);
  await reading;
  t.equal(clock.timerCount, 0, 'no timer is left');
});

t.test('a log of a single file that is emptied and written again is read from its start', async (t) => {
  const dir = t.testdir({ 'm.log': lines(0, 9) });
  const path = join(dir, 'm.log');
  const clock = new SimClock();
  const gone = new AbortController();
  let text = '';
  const reading = (async () => {
    const reader = new ModuleLog({ disk, clock }, { logDir: dir });
    for await (const piece of reader.read({ name: 'm', follow: true, signal: gone.signal })) text += piece;
  })();
  for (let turn = 0; text !== lines(0, 9) && turn < 2_000; turn++) await clock.advance(250);
  truncateSync(path, 0);
  appendFileSync(path, line(9));
  for (let turn = 0; text !== lines(0, 10) && turn < 2_000; turn++) await clock.advance(250);
  t.equal(text, lines(0, 10));
  gone.abort();
  await clock.advance(250);
  await reading;
});

t.test('without following it ends where the log ended at the start, however fast the module writes', async (t) => {
  const dir = t.testdir(threeFiles);
  let next = 70;
  const never = {
    ...disk,
    readSlice: (...args: Parameters<typeof disk.readSlice>) => {
      if (next < 10_000) appendFileSync(join(dir, 'm.log'), lines(next, next + 100));
      next += 100;
      return disk.readSlice(...args);
    },
  };
  const reader = new ModuleLog({ disk: never, clock: new SimClock() }, { logDir: dir });
  t.equal(await all(reader, {}), lines(0, 70));
  const whole = next;
  t.equal(await all(reader, { sinceMs: base + 65_000 }), lines(65, whole));
  const counted = next;
  t.equal(await all(reader, { tail: 5 }), lines(counted - 5, counted));
});

t.test('a log that is rotated while it is read ends with the file that was the current one', async (t) => {
  const dir = t.testdir(threeFiles);
  let turns = 0;
  const rotating = {
    ...disk,
    readSlice: (...args: Parameters<typeof disk.readSlice>) => {
      turns += 1;
      if (turns < 60) {
        for (const number of [2, 1, 0]) {
          const name = join(dir, number === 0 ? 'm.log' : `m.log.${number}`);
          if (existsSync(name)) renameSync(name, join(dir, `m.log.${number + 1}`));
        }
        writeFileSync(join(dir, 'm.log'), lines(70 + turns * 10, 80 + turns * 10));
      }
      return disk.readSlice(...args);
    },
  };
  const reader = new ModuleLog({ disk: rotating, clock: new SimClock() }, { logDir: dir });
  const text = await all(reader, {});
  t.ok(turns < 60, 'it came to an end');
  t.notMatch(text, /line 8\d\n/);
});
