// State documents outside the database: what of them survives which loss.

import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { storeStateFileBytesMax } from '../../src/limits.ts';
import { type Disk, systemDisk } from '../../src/platform/disk.ts';
import { checksum } from '../../src/store/checksum.ts';
import { StateFile } from '../../src/store/state-file.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock } from '../support/sim-clock.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

/** A database that can be lost. */
class Documents {
  readonly kept = new Map<string, string>();

  async state(key: string): Promise<string | undefined> {
    return this.kept.get(key);
  }

  async saveState(key: string, value: string): Promise<void> {
    this.kept.set(key, value);
  }
}

async function open(directory: string, over: { documents?: Documents; disk?: Disk } = {}) {
  const { log, lines } = keptLog(new SimClock());
  const documents = over.documents ?? new Documents();
  const file = new StateFile({ documents, disk: over.disk ?? systemDisk(), log }, join(directory, 'state.json'));
  await file.start();
  return { file, documents, lines };
}

const lastGood = JSON.stringify({ modules: { a: { version: 1, text: 'ünïcode\n' } } });

t.test('the last good deployment survives the loss of the database, and goes back into it', async (t: Test) => {
  const directory = t.testdir();
  const first = await open(directory);
  await first.file.saveState('agent:last-good', lastGood);
  await first.file.saveState('agent:module-generations', '{}');
  const second = await open(directory);
  t.equal(await second.file.state('agent:last-good'), lastGood);
  t.equal(await second.file.state('unknown'), undefined);
  t.equal(second.documents.kept.get('agent:last-good'), lastGood);
  t.match(second.lines.join(), /has lost a state document/);
});

t.test('the database is the truth while it has the document', async (t: Test) => {
  const directory = t.testdir();
  const first = await open(directory);
  await first.file.saveState('x', 'old');
  const documents = new Documents();
  documents.kept.set('x', 'new');
  const second = await open(directory, { documents });
  t.equal(await second.file.state('x'), 'new');
});

t.test('of file and older file one is whole at any instant', async (t: Test) => {
  const directory = t.testdir();
  const system = systemDisk();
  const first = await open(directory);
  await first.file.saveState('x', '1');
  for (const broken of ['state:keep', 'state:write'] as const) {
    const fail = (operation: string): void => {
      if (operation === broken) throw Object.assign(new Error('power cut'), { code: 'EIO' });
    };
    const disk: Disk = {
      ...system,
      rename: async (operation, from, to) => {
        fail(operation);
        await system.rename(operation, from, to);
      },
      writeFileAtomic: async (operation, path, content) => {
        fail(operation);
        await system.writeFileAtomic(operation, path, content);
      },
    };
    const cut = await open(directory, { disk });
    await cut.file.saveState('x', 'lost with the power');
    t.match(cut.lines.join(), /cannot be written/);
    t.equal(await (await open(directory)).file.state('x'), '1', `cut at ${broken}`);
  }
});

t.test('a damaged file is passed over for the one before it', async (t: Test) => {
  const directory = t.testdir();
  const path = join(directory, 'state.json');
  const first = await open(directory);
  await first.file.saveState('x', '1');
  await first.file.saveState('x', '2');
  const whole = readFileSync(path);
  for (let seed = 1; seed <= 100; seed++) {
    const dice = seededEntropy(seed);
    const bytes = Buffer.from(whole);
    const at = Math.floor(dice.fraction() * bytes.length);
    bytes[at] = (bytes[at] ?? 0) ^ (1 << Math.floor(dice.fraction() * 8));
    writeFileSync(path, bytes);
    const { file } = await open(directory);
    t.equal(await file.state('x'), '1', `seed ${seed}`);
  }
  const places: (() => void)[] = [
    () => truncateSync(path, 0),
    () => writeFileSync(path, 'some text'),
    () => {
      rmSync(path);
      mkdirSync(path);
    },
  ];
  for (const place of places) {
    place();
    const { file, lines } = await open(directory);
    t.equal(await file.state('x'), '1');
    t.match(lines.join(), /passed over/);
  }
});

t.test('a file of a newer format is refused and left as it is', async (t: Test) => {
  const sum = (checksum(Buffer.from('2\nwhatever comes')) >>> 0).toString(16).padStart(8, '0');
  const text = `weir-state 2 ${sum}\nwhatever comes`;
  const directory = t.testdir({ 'state.json': text });
  await t.rejects(open(directory), { code: 'STORE_STATE_NEWER', retryable: false, message: /format 2/ });
  t.equal(readFileSync(join(directory, 'state.json'), 'utf8'), text);
});

t.test('what is too large for the file is in the database, and told once', async (t: Test) => {
  const { file, documents, lines } = await open(t.testdir());
  const large = 'x'.repeat(storeStateFileBytesMax);
  await file.saveState('large', large);
  await file.saveState('small', '1');
  t.equal(documents.kept.get('large'), large);
  t.equal(lines.filter((line) => line.includes('cannot be written')).length, 1);
});
