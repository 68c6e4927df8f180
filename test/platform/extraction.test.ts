// The private directory for native parts, on a real file system.

import { createHash } from 'node:crypto';
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { type AssetToExtract, extractAsset } from '../../src/platform/extraction.ts';

interface Counted {
  readonly asset: AssetToExtract;
  reads: number;
}

function counted(text: string, name = 'part.node'): Counted {
  const bytes = Buffer.from(text);
  const made: Counted = {
    reads: 0,
    asset: {
      name,
      sha256: createHash('sha256').update(bytes).digest('hex'),
      read: () => {
        made.reads += 1;
        return bytes;
      },
    },
  };
  return made;
}

function mode(path: string): number {
  return statSync(path).mode & 0o777;
}

t.test('a part is written once, whole, and only its owner may touch it', async (t) => {
  const root = join(t.testdir(), 'native');
  const part = counted('first');
  const file = extractAsset(part.asset, { WEIR_EXTRACT_DIR: root });
  t.equal(file, join(root, part.asset.sha256.slice(0, 16), 'part.node'));
  t.equal(readFileSync(file, 'utf8'), 'first');
  t.equal(mode(file), 0o500);
  t.equal(mode(root), 0o700);
  t.equal(mode(join(file, '..')), 0o700);
  t.equal(extractAsset(part.asset, { WEIR_EXTRACT_DIR: root }), file);
  t.equal(part.reads, 1, 'the second time it was only verified');
  t.same(readdirSync(join(file, '..')), ['part.node'], 'no temporary file stays');
});

t.test('a part whose bytes changed on the disk is replaced before anybody loads it', async (t) => {
  const root = join(t.testdir(), 'native');
  const part = counted('first');
  const file = extractAsset(part.asset, { WEIR_EXTRACT_DIR: root });
  chmodSync(file, 0o700);
  writeFileSync(file, 'fir');
  extractAsset(part.asset, { WEIR_EXTRACT_DIR: root });
  t.equal(readFileSync(file, 'utf8'), 'first');
  t.equal(part.reads, 2);
});

t.test('a link in the place of a part is replaced and its target is left alone', async (t) => {
  const dir = t.testdir({ victim: 'first' });
  const root = join(dir, 'native');
  const part = counted('first');
  const home = join(root, part.asset.sha256.slice(0, 16));
  mkdirSync(home, { recursive: true });
  symlinkSync(join(dir, 'victim'), join(home, 'part.node'));
  const file = extractAsset(part.asset, { WEIR_EXTRACT_DIR: root });
  t.equal(part.reads, 1);
  t.ok(statSync(file).isFile());
  t.equal(readFileSync(join(dir, 'victim'), 'utf8'), 'first');
});

t.test('a directory that was open to others is closed', async (t) => {
  const root = join(t.testdir({ native: {} }), 'native');
  chmodSync(root, 0o777);
  extractAsset(counted('first').asset, { WEIR_EXTRACT_DIR: root });
  t.equal(mode(root), 0o700);
});

t.test('a link in the place of the ordered directory is refused', async (t) => {
  const dir = t.testdir({ real: {} });
  const root = join(dir, 'native');
  symlinkSync(join(dir, 'real'), root);
  t.throws(() => extractAsset(counted('first').asset, { WEIR_EXTRACT_DIR: root }), { code: 'PLATFORM_EXTRACT_FAILED' });
  t.same(readdirSync(join(dir, 'real')), []);
});

t.test('a directory below one that everybody may change is refused', async (t) => {
  const dir = t.testdir({ open: {} });
  chmodSync(join(dir, 'open'), 0o777);
  const root = join(dir, 'open', 'native');
  t.throws(() => extractAsset(counted('first').asset, { WEIR_EXTRACT_DIR: root }), { code: 'PLATFORM_EXTRACT_FAILED' });
});

t.test('an ordered directory that cannot be made is an error that names it', async (t) => {
  const root = join(t.testdir({ file: '' }), 'file', 'native');
  t.throws(() => extractAsset(counted('first').asset, { WEIR_EXTRACT_DIR: root }), {
    code: 'PLATFORM_EXTRACT_FAILED',
    message: new RegExp(root),
  });
});

t.test('without an order the cache of the user is taken', { skip: existsSync('/var/lib/weir') }, async (t) => {
  const dir = t.testdir();
  const byXdg = extractAsset(counted('first').asset, { XDG_CACHE_HOME: join(dir, 'cache'), HOME: join(dir, 'home') });
  t.match(byXdg, join(dir, 'cache', 'weir'));
  const byHome = extractAsset(counted('first').asset, { HOME: join(dir, 'home') });
  t.match(byHome, join(dir, 'home', '.cache', 'weir'));
});

t.test('bytes that do not have the digest are told as damaged and never loaded', async (t) => {
  const root = join(t.testdir(), 'native');
  const { asset } = counted('first');
  const liar = { ...asset, read: () => Buffer.from('other') };
  t.throws(() => extractAsset(liar, { WEIR_EXTRACT_DIR: root }), { code: 'PLATFORM_ASSET_DAMAGED' });
  t.equal(readFileSync(extractAsset(asset, { WEIR_EXTRACT_DIR: root }), 'utf8'), 'first');
});

t.test('four versions of a part stay, the newest', async (t) => {
  const root = join(t.testdir(), 'native');
  const files = ['1', '2', '3', '4', '5', '6'].map((text, at) => {
    const file = extractAsset(counted(text).asset, { WEIR_EXTRACT_DIR: root });
    const secondsSinceEpoch = 1_000_000 + at;
    utimesSync(file, secondsSinceEpoch, secondsSinceEpoch);
    return file;
  });
  const other = extractAsset(counted('1', 'other').asset, { WEIR_EXTRACT_DIR: root });
  t.same(files.map(existsSync), [false, false, true, true, true, true]);
  t.ok(existsSync(other), 'another part has its own count');
});
