// Archives that real tools made, and some that none would make, entry by entry.

import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { type ArchiveKind, systemArchives } from '../../../src/platform/archive/archive.ts';
import { paxRecord, type TarEntry, tarEntry, tarFile } from '../../support/tar-file.ts';

const { signal } = new AbortController();
/** Too long for a header's name; only the first fits its name and prefix. */
const longName = `${'d'.repeat(90)}/${'ü'.repeat(45)}`;
const longerName = `${'d'.repeat(90)}/${'ü'.repeat(120)}`;

interface Seen {
  readonly path: string;
  readonly type: string;
  readonly mode: number;
  readonly text: string;
}

async function readAll(file: string, kind: ArchiveKind, headerBytesMax = 65_536): Promise<readonly Seen[]> {
  const seen: Seen[] = [];
  for await (const { path, type, mode, bytes, linkTarget, content } of systemArchives().entries(file, {
    kind,
    headerBytesMax,
    signal,
  })) {
    const pieces: Buffer[] = [];
    for await (const piece of content) pieces.push(piece);
    const whole = Buffer.concat(pieces);
    if (type === 'file' && whole.length !== bytes) throw new TypeError(`${path} has ${whole.length} bytes of ${bytes}`);
    seen.push({ path, type, mode, text: type === 'file' ? whole.toString('utf8') : linkTarget });
  }
  return seen;
}

function tree(t: Test): string {
  const directory = t.testdir({ bin: { tool: '#!/bin/sh\n' }, empty: {}, 'big.txt': 'x'.repeat(200_000) });
  execFileSync('chmod', ['755', join(directory, 'bin/tool')]);
  symlinkSync('bin/tool', join(directory, 'run'));
  mkdirSync(join(directory, 'd'.repeat(90)));
  writeFileSync(join(directory, longName), 'long');
  writeFileSync(join(directory, longerName), 'longer');
  return directory;
}

const expected = [
  { path: 'big.txt', type: 'file', text: 'x'.repeat(200_000) },
  { path: 'bin/tool', type: 'file', text: '#!/bin/sh\n', mode: 0o755 },
  { path: 'empty/', type: 'directory' },
  { path: longName, type: 'file', text: 'long' },
  { path: 'run', type: 'symbolic link', text: 'bin/tool' },
];

for (const format of ['gnu', 'pax', 'ustar'])
  for (const kind of ['tar', 'tar.gz'] as const)
    t.test(`GNU tar's ${kind} in the ${format} format comes out as it went in`, async (t) => {
      const directory = tree(t);
      const file = join(t.testdirName, '..', `${format}.${kind}`);
      const isOld = format === 'ustar';
      const names = ['big.txt', 'bin', 'empty', isOld ? longName : 'd'.repeat(90), 'run'];
      execFileSync('tar', [kind === 'tar' ? '-cf' : '-czf', file, `--format=${format}`, '-C', directory, ...names]);
      t.teardown(() => execFileSync('rm', ['-f', file]));
      const seen = await readAll(file, kind);
      for (const entry of expected)
        t.match(
          seen.find(({ path }) => path === entry.path),
          entry,
        );
      t.equal(seen.find(({ path }) => path === longerName)?.text, isOld ? undefined : 'longer');
    });

t.test("Python's zip comes out as it went in", async (t) => {
  const directory = tree(t);
  const file = join(directory, 'made.zip');
  const program = `
import os, zipfile
with zipfile.ZipFile('made.zip', 'w', zipfile.ZIP_DEFLATED) as z:
    for name in ['big.txt', 'bin/tool', 'empty/', '${longName}']: z.write(name)
    link = zipfile.ZipInfo('run'); link.create_system = 3; link.external_attr = 0o120777 << 16
    z.writestr(link, 'bin/tool')`;
  execFileSync('python3', ['-c', program], { cwd: directory });
  const seen = await readAll(file, 'zip');
  t.equal(seen.length, expected.length);
  for (const entry of expected)
    t.match(
      seen.find(({ path }) => path === entry.path),
      entry,
    );
});

t.test('files of a zip that knows no Unix modes count as executable', async (t) => {
  const directory = t.testdir({});
  const program = `
import zipfile
with zipfile.ZipFile('made.zip', 'w') as z:
    info = zipfile.ZipInfo('tool.exe'); info.create_system = 0; info.external_attr = 0x20
    z.writestr(info, 'MZ')`;
  execFileSync('python3', ['-c', program], { cwd: directory });
  t.match(await readAll(join(directory, 'made.zip'), 'zip'), [{ path: 'tool.exe', mode: 0o755 }]);
});

t.test('content that nobody reads is passed over', async (t) => {
  const entries: TarEntry[] = [
    { name: 'a', content: 'x'.repeat(3000) },
    { name: 'b', content: 'y' },
  ];
  const directory = t.testdir({ 'a.tar': tarFile(entries) });
  const paths: string[] = [];
  const reading = { kind: 'tar', headerBytesMax: 512, signal } as const;
  for await (const { path } of systemArchives().entries(join(directory, 'a.tar'), reading)) paths.push(path);
  t.same(paths, ['a', 'b']);
});

t.test('devices, pipes and hard links are told apart', async (t) => {
  const entries: TarEntry[] = [
    { name: 'sda', type: '4' },
    { name: 'tty', type: '3' },
    { name: 'pipe', type: '6' },
    { name: 'twin', type: '1', linkTarget: 'a', claimed: 3000 },
    { name: 'z', content: 'z' },
  ];
  const directory = t.testdir({ 'a.tar': tarFile(entries) });
  const types = (await readAll(join(directory, 'a.tar'), 'tar')).map(({ type }) => type);
  t.same(types, ['other', 'other', 'other', 'hard link', 'file'], 'and a hard link has no content');
});

const good = tarFile([{ name: 'a', content: 'x'.repeat(2000) }]);
const latinNamed = Buffer.from(tarFile([{ name: 'a' }]));
latinNamed[0] = 0xe4;
latinNamed.fill(' ', 148, 156);
const sum = latinNamed.subarray(0, 512).reduce((total, byte) => total + byte, 0);
latinNamed.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148);
const damaged: readonly (readonly [string, ArchiveKind, Buffer, RegExp])[] = [
  ['a tar that ends in a file', 'tar', good.subarray(0, 1000), /ends in the middle/],
  ['a tar that ends in a header', 'tar', good.subarray(0, 300), /ends in the middle/],
  ['a tar without an end', 'tar', tarEntry({ name: 'a' }), /ends in the middle/],
  ['an empty file as a tar', 'tar', Buffer.alloc(0), /ends in the middle/],
  ['a name that is not UTF-8', 'tar', latinNamed, /UTF-8/],
  ['noise as a tar', 'tar', Buffer.alloc(5000, 'noise'), /checksum/],
  [
    'a long name without end',
    'tar',
    tarEntry({ name: 'x', type: 'L', claimed: 8_000_000_000 }),
    /8000000000 bytes; 65536 are allowed/,
  ],
  ['pax records without end', 'tar', tarEntry({ name: 'x', type: 'x', claimed: 100_000 }), /are allowed/],
  ['pax records that are none', 'tar', tarFile([{ name: 'x', type: 'x', content: 'nonsense' }]), /extended header/],
  ['a sparse file', 'tar', tarFile([{ name: 'x', type: 'x', content: paxRecord('GNU.sparse.major', '1') }]), /sparse/],
  ['a tar.gz that is a tar', 'tar.gz', good, /header/],
  ['a tar.gz cut off', 'tar.gz', gzipSync(good).subarray(0, 40), /unexpected end|ends in the middle/],
  ['a zip that is a tar', 'zip', good, /End of central directory/],
  ['an empty file as a zip', 'zip', Buffer.alloc(0), /End of central directory/],
];

for (const [name, kind, bytes, message] of damaged)
  t.test(`damaged is ${name}`, async (t) => {
    const directory = t.testdir({ file: bytes });
    await t.rejects(readAll(join(directory, 'file'), kind), { code: 'PLATFORM_ARCHIVE_DAMAGED', message });
  });

t.test('a zip with a password, and one whose sizes lie, are damaged', async (t) => {
  const directory = t.testdir({});
  execFileSync(
    'python3',
    [
      '-c',
      "import zipfile\nz = zipfile.ZipFile('a.zip', 'w', zipfile.ZIP_DEFLATED)\nz.writestr('a', 'x' * 5000)\nz.close()\nraw = bytearray(open('a.zip', 'rb').read())\nat = raw.index(b'PK\\x01\\x02')\nlie = bytearray(raw); lie[at + 24:at + 28] = (10).to_bytes(4, 'little')\nopen('lie.zip', 'wb').write(lie)\nraw[at + 8] |= 1\nopen('secret.zip', 'wb').write(raw)",
    ],
    { cwd: directory },
  );
  const code = 'PLATFORM_ARCHIVE_DAMAGED';
  await t.rejects(readAll(join(directory, 'lie.zip'), 'zip'), { code, message: /too many bytes/ });
  await t.rejects(readAll(join(directory, 'secret.zip'), 'zip'), { code, message: /encrypted/ });
});

t.test('reading stops when it is told to', async (t) => {
  const directory = t.testdir({ 'a.tar': tarFile([{ name: 'a', content: 'x'.repeat(500_000) }]) });
  const stop = new AbortController();
  const reading = { kind: 'tar', headerBytesMax: 512, signal: stop.signal } as const;
  await t.rejects(
    async () => {
      for await (const { content } of systemArchives().entries(join(directory, 'a.tar'), reading))
        for await (const _piece of content) stop.abort();
    },
    { name: 'AbortError' },
  );
});

t.test('a file that is not there is the system’s error', async (t) => {
  await t.rejects(readAll(join(t.testdir(), 'none'), 'tar'), { code: 'ENOENT' });
  await t.rejects(readAll(join(t.testdir(), 'none'), 'zip'), { code: 'ENOENT' });
});
