// Giving memory back: at its two moments, once each, and without harm to a process that goes on working.

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { releaseMemory } from '../../src/platform/memory.ts';
import { nativeAddon } from '../../src/platform/native.ts';
import { SimClock } from '../support/sim-clock.ts';

interface HostAddon {
  collectHeap(): void;
  trimHeap(): void;
  pressHeap(): void;
  unmapIdleFiles(): number;
}

const host = nativeAddon('host') as HostAddon;

/** Bytes of files that this process has mapped, whoever else has them mapped too. */
function mappedFileBytes(): number {
  const found = /^RssFile:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'));
  return Number(found?.[1]) * 1024;
}

t.test('a collection keeps what is reachable', async (t) => {
  const kept = Array.from({ length: 10_000 }, (_, index) => ({ index }));
  host.collectHeap();
  t.equal(kept[9_999]?.index, 9_999);
});

t.test('the executable is unmapped where it is not in use, and works as before', async (t) => {
  const digest = (): string => createHash('sha256').update(readFileSync(process.execPath)).digest('hex');
  const before = digest();
  const mapped = mappedFileBytes();
  t.ok(host.unmapIdleFiles() > 1_000_000);
  t.ok(mappedFileBytes() < mapped);
  t.equal(digest(), before);
  t.match(/(\d+)-(\d+)/.exec('12-34'), ['12-34', '12', '34']);
  t.throws(() => JSON.parse('{'), SyntaxError);
});

t.test('a process collects after five seconds and unmaps fifteen later, each once', async (t) => {
  const clock = new SimClock();
  releaseMemory({ clock, of: 'process' });
  await clock.advance(19_999);
  const mapped = mappedFileBytes();
  await clock.advance(1);
  t.ok(mappedFileBytes() < mapped);
});

t.test('a server lets go of the executable as soon as it is ready', async (t) => {
  createHash('sha512').update(readFileSync(process.execPath).subarray(0, 1_000_000)).digest();
  const mapped = mappedFileBytes();
  const releasing = releaseMemory({ clock: new SimClock(), of: 'server' });
  t.ok(mappedFileBytes() < mapped);
  releasing.cancel();
});

t.test('a server trims after a second of work, and only then', async (t) => {
  const clock = new SimClock();
  const trims = t.capture(host, 'trimHeap', host.trimHeap);
  const releasing = releaseMemory({ clock, of: 'server' });
  await clock.advance(1000);
  t.equal(trims().length, 0, 'nothing was done');
  work();
  await clock.advance(1000);
  t.equal(trims().length, 1);
  await clock.advance(1000);
  t.equal(trims().length, 0);
  releasing.cancel();
  t.equal(clock.timerCount, 0);
});

function work(): void {
  const before = process.cpuUsage();
  while (process.cpuUsage(before).user < 120_000) createHash('sha256').update('work').digest();
}

t.test('pressing takes nothing that is reachable', async (t) => {
  const kept = Array.from({ length: 10_000 }, (_, index) => ({ index }));
  host.pressHeap();
  work();
  t.equal(kept[9_999]?.index, 9_999);
});

t.test('a large server is pressed once, and again when it has grown beyond what that left', async (t) => {
  const mebibyte = 1_048_576;
  const clock = new SimClock();
  let residentBytes = 70 * mebibyte;
  t.intercept(process.memoryUsage, 'rss', { value: () => residentBytes });
  const presses = t.capture(host, 'pressHeap', () => undefined);
  const releasing = releaseMemory({ clock, of: 'server' });
  const afterSecondOfWork = async (resident: number): Promise<number> => {
    residentBytes = resident * mebibyte;
    work();
    await clock.advance(1000);
    return presses().length;
  };
  t.equal(await afterSecondOfWork(70), 0, 'small enough');
  t.equal(await afterSecondOfWork(90), 1);
  t.equal(await afterSecondOfWork(90), 0, 'not every second');
  await clock.advance(10_000);
  t.equal(await afterSecondOfWork(80), 0, 'this is what it left');
  t.equal(await afterSecondOfWork(87), 0);
  t.equal(await afterSecondOfWork(89), 1);
  await clock.advance(10_000);
  t.equal(await afterSecondOfWork(60), 0);
  t.equal(await afterSecondOfWork(73), 1, 'the bound has come down with it');
  residentBytes = 200 * mebibyte;
  await clock.advance(20_000);
  t.equal(presses().length, 0, 'an idle one is left alone');
  releasing.cancel();
});

t.test('a cancelled release does nothing', async (t) => {
  const clock = new SimClock();
  const releasing = releaseMemory({ clock, of: 'process' });
  await clock.advance(6_000);
  t.equal(clock.timerCount, 1, 'the second moment is still to come');
  releasing.cancel();
  t.equal(clock.timerCount, 0);
});
