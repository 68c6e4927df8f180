// Which entries of an archive are admitted, as what; and the table of those that are refused.

import t from 'tap';
import { type EntryFacts, EntryRules } from '../../src/artifacts/entry-rules.ts';

const bytesMax = 1000;
const file = (path: string, more: Partial<EntryFacts> = {}): EntryFacts => ({
  path,
  type: 'file',
  mode: 0o644,
  bytes: 1,
  linkTarget: '',
  ...more,
});
const link = (path: string, linkTarget: string): EntryFacts =>
  file(path, { type: 'symbolic link', linkTarget, bytes: 0 });
const hard = (path: string, linkTarget: string): EntryFacts => file(path, { type: 'hard link', linkTarget, bytes: 0 });
const directory = (path: string): EntryFacts => file(path, { type: 'directory', mode: 0o755, bytes: 0 });

t.test('entries become directories and files with modes of ours', async (t) => {
  const rules = new EntryRules('a.tar', bytesMax);
  t.same(rules.admit(directory('./')), []);
  t.same(rules.admit(file('./bin/tool', { mode: 0o777 })), [
    { kind: 'directory', path: 'bin' },
    { kind: 'file', path: 'bin/tool', mode: 0o755 },
  ]);
  t.same(rules.admit(directory('bin/')), [], 'it is there already');
  t.same(rules.admit(file('data.bin', { mode: 0o666 })), [{ kind: 'file', path: 'data.bin', mode: 0o644 }]);
  t.same(rules.admit(hard('copy', './bin/tool')), [{ kind: 'hard link', path: 'copy', existing: 'bin/tool' }]);
  t.same(rules.admit(link('lib/tool', '../bin/tool')), [{ kind: 'directory', path: 'lib' }], 'links come later');
  t.same(rules.links(), [{ path: 'lib/tool', target: '../bin/tool' }]);
  t.same([rules.entries, rules.bytes], [8, 2]);
});

const refused: readonly (readonly [string, readonly EntryFacts[], RegExp])[] = [
  ['an absolute path', [file('/etc/passwd')], /path is absolute/],
  ['a path that leads out', [file('../../etc/passwd')], /leads out with \.\./],
  ['a path that leads out from inside', [file('a/../../b')], /leads out with \.\./],
  ['.. even where it would stay inside', [file('a/../b')], /leads out with \.\./],
  ['a NUL in a name', [file('a\0b')], /NUL/],
  ['a file without a name', [file('./')], /no name/],
  ['a set-user-id file', [file('su', { mode: 0o4755 })], /run as another user/],
  ['a set-group-id file', [file('wall', { mode: 0o2755 })], /run as another user/],
  ['a device', [file('sda', { type: 'other' })], /device, a pipe/],
  ['a name twice', [file('a'), file('./a')], /twice/],
  ['a file where a directory is', [directory('a'), file('a')], /twice/],
  ['a directory where a file is', [file('a'), directory('a')], /twice/],
  ['a path through a file', [file('a'), file('a/b')], /goes through "a", a file/],
  ['a path through a link', [link('a', '.'), file('a/b')], /goes through "a", a link/],
  ['a link over a file', [file('a'), link('a', 'b')], /twice/],
  ['a link to an absolute path', [link('a', '/etc/shadow')], /"\/etc\/shadow", which is not in the archive/],
  ['a link that leads out', [link('a/b', '../../etc/shadow')], /not in the archive/],
  ['a link to nothing', [link('a', '')], /not in the archive/],
  ['a hard link out', [hard('a', '/etc/shadow')], /absolute/],
  ['a hard link upwards', [hard('a', '../x')], /leads out/],
  ['a hard link to a file that comes later', [hard('a', 'b'), file('b')], /no file before it/],
  ['a hard link to a link', [link('l', 'x'), hard('a', 'l')], /no file before it/],
];

for (const [name, entries, message] of refused)
  t.test(`refused is ${name}`, async (t) => {
    const rules = new EntryRules('a.tar', bytesMax);
    const before = entries.slice(0, -1);
    for (const entry of before) if (entry.type !== 'hard link') rules.admit(entry);
    const last = entries.find((entry) => entry.type === 'hard link') ?? entries.at(-1);
    t.throws(() => rules.admit(last as EntryFacts), { code: 'ARTIFACTS_ARCHIVE_REFUSED', message });
  });

t.test('refused as too large are bytes, entries, and paths beyond their limits', async (t) => {
  const tooLarge = { code: 'ARTIFACTS_ARCHIVE_TOO_LARGE' };
  const bytes = new EntryRules('a.tar', bytesMax);
  bytes.admit(file('a', { bytes: 600 }));
  t.throws(() => bytes.admit(file('b', { bytes: 401 })), tooLarge);
  const paths = new EntryRules('a.tar', bytesMax);
  t.throws(() => paths.admit(file('x'.repeat(256))), tooLarge, 'a name');
  t.throws(() => paths.admit(file('x/'.repeat(600))), tooLarge, 'a path');
  t.throws(() => paths.admit(file(`${'d/'.repeat(64)}f`)), tooLarge, 'levels');
  t.throws(() => paths.admit(link('l', `${'y/'.repeat(600)}z`)), tooLarge, 'a target');
  const entries = new EntryRules('a.tar', Number.MAX_SAFE_INTEGER);
  for (let count = 0; count < 65_536; count++) entries.admit(file(`f${count}`));
  t.throws(() => entries.admit(file('one more')), tooLarge);
});

t.test('many empty directories that no entry names count as entries', async (t) => {
  const rules = new EntryRules('a.tar', bytesMax);
  const deep = (count: number): string => `${Array.from({ length: 60 }, () => `d${count}`).join('/')}/f`;
  t.throws(
    () => {
      for (let count = 0; count < 2000; count++) rules.admit(file(deep(count), { bytes: 0 }));
    },
    { code: 'ARTIFACTS_ARCHIVE_TOO_LARGE' },
  );
});

t.test('a name in an error harms no terminal', async (t) => {
  const rules = new EntryRules('a.tar', bytesMax);
  t.throws(() => rules.admit(file('/\x1b[2J')), { message: /because of "\/\\u001b\[2J"/ });
});
