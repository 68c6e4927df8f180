// The power goes. The Store runs above a recorder of everything it does to its disk; from the recording come disks as
// they may be found after a cut at any point (volatile-disk.ts), and on each the Store is opened: what was acknowledged
// before the cut is there.
//
// A recording is some lives one after the other, most of them killed, so that the opening after a kill is cut as well;
// and from some disks a further life is recorded and cut, which is a power cut during the recovery from a power cut.
//
// CASES=n disks in all (make power-cut CASES=10000), SEED=n the first of the seeds. A failing disk is told by its seed.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { faultDiskEnv, setRules } from '../support/fault-disk.ts';
import { seededEntropy } from '../support/sim-entropy.ts';
import { type Entry, readRecording } from './recording.ts';
import type { Plan } from './store-life.ts';
import { bundleStoreProgram, StoreHost, startStore } from './store-program.ts';
import { type Draw, type Image, type Reading, VolatileDisk, writeImage } from './volatile-disk.ts';
import { Ledger, type Mark, parseMarks } from './workload.ts';

const cases = Number(process.env['CASES'] ?? 240);
const firstSeed = Number(process.env['SEED'] ?? 1);
const casesPerSeed = 40;
const seeds = Array.from({ length: Math.ceil(cases / casesPerSeed) }, (_, index) => firstSeed + index);
const testMs = 600_000;
/** Lives of a recording, and system calls that change something in the longest of them. */
const lives = 3;
const callsMax = 200;
/** One disk in so many is lived on, and one in so many is recorded while it recovers. */
const liveOnEvery = 8;
const recoverEvery = 20;
const faultsToldMax = 10;
/** More than a life has. */
const directorySyncsMax = 20;

t.jobs = 2;
t.setTimeout(testMs * (seeds.length + 1));
const home = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'weir-cut-'));
t.teardown(() => rmSync(home, { recursive: true, force: true }));
const bundled = bundleStoreProgram(home);

interface Recording {
  readonly before: Image;
  /** One list a life. */
  readonly lives: readonly (readonly Entry[])[];
  /** What was said before the first of them. */
  readonly marks: readonly Mark[];
}

interface Case {
  readonly draw: Draw;
  readonly directory: string;
  readonly size: Plan['size'];
  readonly host: StoreHost;
  /** Some syncs fail, and what they should have written is lost. */
  readonly failing?: boolean;
  /** What fails, in place of what is drawn. */
  readonly rules?: readonly string[];
}

/** Lives over a disk; the last one too may end at any call. */
async function record(
  { draw, directory, size, failing = false, rules }: Case,
  before: Image,
  { marks, count }: { readonly marks: readonly Mark[]; readonly count: number },
): Promise<Recording> {
  const root = join(directory, 'recorded');
  mkdirSync(root);
  writeImage(before, root);
  const ledger = new Ledger();
  for (const mark of marks) ledger.take(mark);
  const recorded: (readonly Entry[])[] = [];
  for (let life = 1; life <= count; life++) {
    const file = (name: string): string => join(directory, name);
    const isKilled = draw() < 0.7;
    const failures = failing ? failingSyncs(draw) : [];
    setRules(
      file('rules'),
      rules ?? (failing ? failures : isKilled ? [`any kill-half * ${Math.floor(callsMax * (0.2 + draw()))}`] : []),
    );
    const plan: Plan = {
      seed: Math.floor(draw() * 1e9),
      life: marks.length + life,
      first: ledger.last + 1,
      last: ledger.last + (size === 'large' ? 40 : 100),
      size,
      windowMax: 1 + Math.floor(draw() * 30),
      drain: draw(),
    };
    const env = faultDiskEnv({ root, log: file('log'), marks: file('marks'), rules: file('rules') });
    const { code, stderr } = await startStore(await bundled, {
      directory: root,
      marks: file('marks'),
      plan,
      env,
    }).result();
    if (code !== null && code !== 0) throw new TypeError(`the life under the recorder ended with ${code}: ${stderr}`);
    const entries = existsSync(file('log')) ? readRecording(readFileSync(file('log'))) : [];
    recorded.push(entries);
    for (const mark of marksOf(entries)) ledger.take(mark);
    for (const name of ['log', 'marks']) rmSync(file(name), { force: true });
  }
  rmSync(root, { recursive: true });
  if (ledger.faults.length > 0) throw new TypeError(ledger.faults.join('\n'));
  return { before, lives: recorded, marks };
}

function marksOf(entries: readonly Entry[]): readonly Mark[] {
  return parseMarks(entries.map((entry) => (entry.call === 'mark' ? entry.text : '')).join(''));
}

/** A disk as it may be after the power went at `cut`, counted in entries of all lives. */
function cutAt(
  { before, lives, marks }: Recording,
  cut: number,
  { reading, draw }: { readonly reading: Reading; readonly draw: Draw },
): { readonly image: Image; readonly said: readonly Mark[] } {
  const disk = new VolatileDisk(before, reading, draw);
  const said = [...marks];
  let left = cut;
  for (const entries of lives) {
    disk.restart();
    const played = entries.slice(0, left);
    for (const entry of played) disk.play(entry);
    said.push(...marksOf(played));
    left -= played.length;
    if (left === 0) break;
  }
  return { image: disk.cut(), said };
}

/** Cuts anywhere, and as often beside an fsync or a change of names, where most is at stake. */
function drawCut({ lives }: Recording, draw: Draw): number {
  const all = lives.flat();
  const anywhere = Math.floor(draw() * (all.length + 1));
  if (draw() < 0.5) return anywhere;
  const calls = new Set(['sync', 'rename', 'unlink', 'truncate', 'open', 'mkdir']);
  const beside = all.findIndex(({ call }, index) => index >= anywhere && calls.has(call));
  return beside < 0 ? all.length : beside + (draw() < 0.5 ? 0 : 1);
}

async function judge(
  { directory, size, draw, host }: Case,
  { image, said, livesOn }: { readonly image: Image; readonly said: readonly Mark[]; readonly livesOn: boolean },
): Promise<readonly string[]> {
  const root = join(directory, 'found');
  mkdirSync(root);
  writeImage(image, root);
  const ledger = new Ledger();
  for (const mark of said) ledger.take(mark);
  const look = async (plan?: Plan): Promise<void> => {
    const { marks, log } = await host.live({ directory: root, size, ...(plan === undefined ? {} : { plan }) });
    for (const mark of marks) ledger.take(mark);
    if (marks.at(-1)?.[0] !== 'closed') ledger.faults.push('the store did not come to its end');
    if (ledger.faults.length > 0) ledger.faults.push(log);
  };
  const first = ledger.last + 1;
  const seed = Math.floor(draw() * 1e9);
  const plan = { seed, life: said.length + 1, first, last: first + 20, size, windowMax: 8, drain: 0.5 };
  await look(livesOn ? plan : undefined);
  if (livesOn && ledger.faults.length === 0) await look();
  rmSync(root, { recursive: true });
  return ledger.faults;
}

/** Cuts a recording in so many places; what is wrong with what is found. */
async function cutAll(one: Case, count: number): Promise<{ readonly faults: string[]; readonly promised: number }> {
  const { draw } = one;
  let recording = await record(one, new Map(), { marks: [], count: lives });
  const faults: string[] = [];
  let promised = 0;
  for (let index = 1; index <= count && faults.length === 0; index++) {
    const reading: Reading = draw() < 0.5 ? 'ext4' : 'strict';
    const cut = drawCut(recording, draw);
    const { image, said } = cutAt(recording, cut, { reading, draw });
    promised = Math.max(promised, said.filter(([what]) => what === 'ack').length);
    const found = await judge(one, { image, said, livesOn: index % liveOnEvery === 0 });
    faults.push(...found.map((fault) => `disk ${index} (${reading}, cut after ${cut} calls): ${fault}`));
    if (index % recoverEvery === 0) recording = await record(one, image, { marks: said, count: 1 });
  }
  return { faults, promised };
}

/** Here and there one or two in a row, in every file. */
function failingSyncs(draw: Draw): readonly string[] {
  const last = 60;
  return Array.from({ length: 4 }, () => `sync EIO * ${1 + Math.floor(draw() * last)} ${1 + Math.floor(draw() * 2)}`);
}

for (const seed of seeds) {
  const isFailing = seed % 3 === 0;
  const after = isFailing ? ', some syncs having failed' : '';
  t.test(
    `what was acknowledged is there after the power went${after}, seed ${seed}`,
    { timeout: testMs },
    async (t: Test) => {
      const draw = seededEntropy(seed).fraction;
      const directory = join(home, `seed-${seed}`);
      mkdirSync(directory);
      const host = new StoreHost(await bundled);
      t.teardown(() => host.close());
      const size = seed % 8 === 0 ? 'large' : 'small';
      const { faults, promised } = await cutAll({ draw, directory, size, host, failing: isFailing }, casesPerSeed);
      if (faults.length > 0) t.comment(`SEED=${seed} CASES=${casesPerSeed}`);
      t.same(faults.slice(0, faultsToldMax), []);
      t.ok(promised > 10, `up to ${promised} acknowledgements before a cut`);
      rmSync(directory, { recursive: true });
    },
  );
}

t.test('a name that SQLite did not get onto the disk is put there', { timeout: testMs }, async (t: Test) => {
  const host = new StoreHost(await bundled);
  t.teardown(() => host.close());
  // SQLite syncs the directory of a new log once, and does not look whether that succeeded.
  for (let failing = 1; ; failing++) {
    const directory = join(home, `unnamed-${failing}`);
    mkdirSync(directory);
    const draw = seededEntropy(failing).fraction;
    const one: Case = { draw, directory, size: 'small', host, rules: [`sync EIO . ${failing} 1`] };
    const recording = await record(one, new Map(), { marks: [], count: 2 });
    const entries = recording.lives.flat();
    if (!entries.some((entry) => entry.call === 'sync' && entry.failed)) {
      t.ok(failing > 1 && failing <= directorySyncsMax, `${failing - 1} syncs of the directory failed in turn`);
      return;
    }
    // Of what no sync that succeeded has secured nothing is left.
    const nothing = (): number => 0;
    const { image, said } = cutAt(recording, entries.length, { reading: 'strict', draw: nothing });
    t.ok(said.some(([what]) => what === 'saved'));
    t.same(await judge(one, { image, said, livesOn: false }), [], `sync ${failing} of the directory failed`);
  }
});

t.test('a disk that only says that it has synced would be found out', { timeout: testMs }, async (t: Test) => {
  const draw = seededEntropy(firstSeed).fraction;
  const directory = join(home, 'unsynced');
  mkdirSync(directory);
  const host = new StoreHost(await bundled);
  t.teardown(() => host.close());
  const one: Case = { draw, directory, size: 'small', host };
  const recorded = await record(one, new Map(), { marks: [], count: lives });
  const recording = { ...recorded, lives: recorded.lives.map((life) => life.filter(({ call }) => call !== 'sync')) };
  let faults: readonly string[] = [];
  for (let index = 1; index <= casesPerSeed && faults.length === 0; index++) {
    const { image, said } = cutAt(recording, drawCut(recording, draw), { reading: 'ext4', draw });
    faults = await judge(one, { image, said, livesOn: false });
  }
  t.match(faults.join('\n'), /was acknowledged and is missing|the epoch changed|was saved as/);
});
