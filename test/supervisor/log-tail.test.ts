import { appendFileSync, renameSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { systemClock } from '../../src/platform/clock.ts';
import { systemDisk } from '../../src/platform/disk.ts';
import { hasLog, tailLog } from '../../src/supervisor/log-tail.ts';

const disk = systemDisk();
const clock = systemClock();

function stamped(number: number): string {
  return `${new Date(number * 1000).toISOString()} O line ${number}`;
}

function lines(from: number, to: number): string {
  let text = '';
  for (let number = from; number <= to; number++) text += `${stamped(number)}\n`;
  return text;
}

async function read(path: string, options: { tail?: number; sinceMs?: number } = {}): Promise<readonly number[]> {
  const found: number[] = [];
  for await (const line of tailLog({ disk, clock, path, signal: new AbortController().signal, ...options }))
    found.push(Number(/line (\d+)$/.exec(line)?.[1]));
  return found;
}

const range = (from: number, to: number): readonly number[] =>
  Array.from({ length: Math.max(0, to - from + 1) }, (_, at) => from + at);

function rotated(t: Test): string {
  const path = join(t.testdir(), 'm.log');
  writeFileSync(`${path}.2`, lines(0, 9));
  writeFileSync(`${path}.1`, lines(10, 19));
  writeFileSync(path, lines(20, 24));
  return path;
}

t.test('all files are read as one, oldest first', async (t) => {
  t.same(await read(rotated(t)), range(0, 24));
});

t.test('the last lines are found across the files', async (t) => {
  const path = rotated(t);
  for (const tail of [0, 1, 4, 5, 6, 14, 15, 16, 24, 25, 26, 1000])
    t.same(await read(path, { tail }), range(Math.max(0, 25 - tail), 24), `tail ${tail}`);
});

t.test('lines since a time, and the last of them', async (t) => {
  const path = rotated(t);
  t.same(await read(path, { sinceMs: 8000 }), range(8, 24));
  t.same(await read(path, { sinceMs: 8000, tail: 3 }), range(22, 24));
  t.same(await read(path, { sinceMs: 23_000, tail: 5 }), range(23, 24));
  t.same(await read(path, { sinceMs: 99_000 }), []);
});

t.test('files larger than a slice are read whole, and their last lines found', async (t) => {
  const path = join(t.testdir(), 'm.log');
  writeFileSync(`${path}.1`, lines(0, 9999));
  writeFileSync(path, lines(10_000, 15_000));
  t.same(await read(path), range(0, 15_000));
  t.same(await read(path, { tail: 7000 }), range(8001, 15_000));
});

t.test('an unfinished last line counts, a missing log is empty', async (t) => {
  const path = join(t.testdir(), 'm.log');
  t.notOk(await hasLog(disk, path));
  t.same(await read(path), []);
  t.same(await read(path, { tail: 3 }), []);
  writeFileSync(path, `${lines(0, 1)}${stamped(2)}`);
  t.ok(await hasLog(disk, path));
  t.same(await read(path), [0, 1, 2]);
  t.same(await read(path, { tail: 2 }), [1, 2]);
});

t.test('following goes through rotations without a hole and without repetition', async (t) => {
  const path = rotated(t);
  const abort = new AbortController();
  const follow = tailLog({ disk, clock, path, tail: 2, follow: true, signal: abort.signal });
  const next = async (count: number): Promise<readonly number[]> => {
    const found: number[] = [];
    while (found.length < count) found.push(Number(/line (\d+)$/.exec((await follow.next()).value ?? '')?.[1]));
    return found;
  };
  t.same(await next(2), [23, 24]);
  const half = stamped(25);
  appendFileSync(path, half.slice(0, 30));
  setTimeout(() => appendFileSync(path, `${half.slice(30)}\n`), 250);
  t.same(await next(1), [25], 'a line is told when it is whole');
  appendFileSync(path, lines(26, 27));
  renameSync(`${path}.1`, `${path}.2`);
  renameSync(path, `${path}.1`);
  writeFileSync(path, lines(28, 29));
  renameSync(`${path}.1`, `${path}.2`);
  renameSync(path, `${path}.1`);
  writeFileSync(path, lines(30, 31));
  t.same(await next(6), range(26, 31), 'two rotations between two looks');
  truncateSync(path, 0);
  appendFileSync(path, lines(32, 32));
  t.same(await next(1), [32], 'a file that was emptied is begun anew');
  abort.abort();
  t.equal((await follow.next()).done, true);
});
