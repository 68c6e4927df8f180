import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { moduleAccountsMax } from '../../src/limits.ts';
import { systemDisk } from '../../src/platform/disk.ts';
import { ModuleAccounts } from '../../src/supervisor/module-accounts.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock } from '../support/sim-clock.ts';

const nobody: ReadonlySet<string> = new Set();

function accounts(test: Test, { directory = test.testdir({}), firstUid = 64_000 } = {}) {
  const { log, lines } = keptLog(new SimClock());
  const dataDirectory = join(directory, 'modules');
  const subject = new ModuleAccounts({ disk: systemDisk(), log }, { dataDirectory, firstUid });
  return { subject, lines, directory, dataDirectory, file: join(dataDirectory, '.accounts.json') };
}

t.test('each name has a number, on the disk before it is told', async (t) => {
  const { subject, file, directory } = accounts(t);
  t.equal(await subject.numberOf('a', nobody), 64_000);
  t.equal(await subject.numberOf('b', nobody), 64_001);
  t.equal(await subject.numberOf('a', nobody), 64_000);
  t.same(JSON.parse(readFileSync(file, 'utf8')), { a: 64_000, b: 64_001 });
  const { subject: next } = accounts(t, { directory, firstUid: 70_000 });
  t.equal(await next.numberOf('b', nobody), 64_001, 'also in the next life, and with another beginning');
  t.equal(await next.numberOf('c', nobody), 70_000);
});

t.test('when all are taken the oldest that is not deployed gives its number and its data', async (t) => {
  const { subject, dataDirectory, lines } = accounts(t);
  for (let at = 0; at < moduleAccountsMax; at += 1) await subject.numberOf(`m${at}`, nobody);
  for (const name of ['m0', 'm1']) mkdirSync(join(dataDirectory, name, 'data'), { recursive: true });
  t.equal(await subject.numberOf('new', new Set(['new', 'm0'])), 64_001);
  t.ok(existsSync(join(dataDirectory, 'm0')));
  t.notOk(existsSync(join(dataDirectory, 'm1')));
  t.match(lines.join(), /erased.*m1/);
});

t.test('a damaged file is made again from who owns the directories', { skip: process.getuid?.() !== 0 }, async (t) => {
  const { dataDirectory, file, directory } = accounts(t);
  await systemDisk().makeDirectoryFor('test', join(dataDirectory, 'a/data'), { uid: 64_007, gid: 64_007 });
  writeFileSync(file, '{"a": 64');
  const { subject } = accounts(t, { directory });
  t.equal(await subject.numberOf('a', nobody), 64_007);
  t.equal(await subject.numberOf('b', nobody), 64_000);
});

t.test('a number that could not be kept is not told, and is tried again', async (t) => {
  const { subject, file, dataDirectory } = accounts(t);
  mkdirSync(dataDirectory);
  mkdirSync(join(file, 'in the way'), { recursive: true });
  await t.rejects(subject.numberOf('a', nobody));
  await t.rejects(subject.numberOf('a', nobody), 'nor the second time');
  rmSync(file, { recursive: true });
  t.equal(await subject.numberOf('a', nobody), 64_000);
  t.same(JSON.parse(readFileSync(file, 'utf8')), { a: 64_000 });
});
