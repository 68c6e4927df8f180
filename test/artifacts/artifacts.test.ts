// Files of modules from a real HTTPS server and from files to directories that modules run from; with servers, lines,
// archives and disks that fail.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { type ArtifactPorts, type ArtifactSource, Artifacts } from '../../src/artifacts/index.ts';
import { artifactStallMs } from '../../src/limits.ts';
import { systemArchives } from '../../src/platform/archive/archive.ts';
import { type Clock, systemClock } from '../../src/platform/clock.ts';
import { systemDisk } from '../../src/platform/disk.ts';
import { systemDownloads } from '../../src/platform/download.ts';
import { systemEntropy } from '../../src/platform/entropy.ts';
import { systemHashedFiles } from '../../src/platform/hashed-file.ts';
import { systemTrees } from '../../src/platform/tree.ts';
import {
  type Answering,
  type ArtifactServer,
  artifactServer,
  selfSigned,
  serveFile,
} from '../support/artifact-server.ts';
import { keptLog } from '../support/quiet-log.ts';
import { type TarEntry, tarFile } from '../support/tar-file.ts';

const pair = selfSigned(t.testdir());
const hundredth = 100;
const tenth = 10;
const never = new AbortController().signal;

/** Real time, with timers a hundred times as fast: pauses of seconds pass in hundredths. A busy machine does not stall. */
function hastyClock(): Clock {
  const clock = systemClock();
  return {
    bootId: clock.bootId,
    wallMs: () => clock.wallMs(),
    wallTrusted: () => true,
    machineWallMs: () => clock.machineWallMs(),
    monotonicMs: () => clock.monotonicMs() * hundredth,
    setTimer: (delayMs, callback, options) =>
      clock.setTimer(delayMs / (delayMs === artifactStallMs ? tenth : hundredth), callback, options),
    soon: (callback) => clock.soon(callback),
  };
}

interface Site {
  readonly directory: string;
  readonly artifacts: Artifacts;
  readonly told: string[];
  install(source: ArtifactSource, signal?: AbortSignal): ReturnType<Artifacts['install']>;
}

interface SiteOptions {
  readonly directory?: string;
  readonly reserveBytes?: number;
  readonly change?: (ports: ArtifactPorts) => Partial<ArtifactPorts>;
}

async function site(t: Test, { directory, reserveBytes = 0, change = () => ({}) }: SiteOptions = {}): Promise<Site> {
  const place = directory ?? join(t.testdir(), 'artifacts');
  const ports: ArtifactPorts = {
    downloads: systemDownloads({ authorities: () => Promise.resolve([pair.certificatePem]), userAgent: 'weir/test' }),
    archives: systemArchives(),
    hashedFiles: systemHashedFiles(),
    trees: systemTrees(),
    disk: systemDisk(),
    clock: hastyClock(),
    entropy: systemEntropy(),
    log: keptLog(systemClock()).log,
  };
  const artifacts = new Artifacts({ ...ports, ...change(ports) }, { directory: place, reserveBytes });
  await artifacts.start();
  t.teardown(() => artifacts.close());
  const told: string[] = [];
  const install = (source: ArtifactSource, signal = never) =>
    artifacts.install(source, (text) => told.push(text), signal);
  return { directory: place, artifacts, told, install };
}

async function server(t: Test, answering: Answering): Promise<ArtifactServer> {
  const opened = await artifactServer(pair, answering);
  t.teardown(() => opened.close());
  return opened;
}

function describe(url: string, bytes: Buffer): ArtifactSource {
  return { url, sha256: createHash('sha256').update(bytes).digest('hex'), sizeBytes: bytes.length };
}

const app: readonly TarEntry[] = [
  { name: './', type: '5', mode: 0o777 },
  { name: './app.js', content: 'module.exports = 1;\n' },
  { name: './bin/tool', mode: 0o777, content: '#!/bin/sh\nexit 0\n' },
  { name: './tool', type: '2', linkTarget: 'bin/tool' },
];
const archive = gzipSync(tarFile(app));
const noise = Buffer.from(Array.from({ length: 300_000 }, (_, at) => (at * 2_654_435_761) >>> 24));

const entries = (directory: string): readonly string[] => readdirSync(directory).sort();
const modeOf = (path: string): string => (statSync(path).mode & 0o7777).toString(8);

t.test('an archive is fetched over HTTPS, verified and unpacked into a directory of its own', async (t) => {
  const { url, requests } = await server(t, serveFile({ bytes: archive }));
  const source = describe(url('/app.tar.gz?sig=geheim'), archive);
  const { directory, install, told } = await site(t);
  const installed = await install(source);
  t.same(installed, { directory: join(directory, source.sha256), installedBytes: 20 + 17 + 8 });
  t.same(entries(installed.directory), ['app.js', 'bin', 'tool']);
  t.equal(readFileSync(join(installed.directory, 'tool'), 'utf8'), '#!/bin/sh\nexit 0\n', 'through the link');
  t.same(
    ['.', 'bin', 'bin/tool', 'app.js'].map((path) => modeOf(join(installed.directory, path))),
    ['755', '755', '755', '644'],
  );
  t.same(entries(directory), [source.sha256, `${source.sha256}.installed.json`, 'making', 'partial']);
  t.same(
    ['', 'partial', 'making'].map((path) => modeOf(join(directory, path))),
    ['711', '700', '700'],
  );
  t.same([entries(join(directory, 'partial')), entries(join(directory, 'making'))], [[], []], 'nothing is left over');
  t.match(
    told,
    [/^downloading app\.tar\.gz: \d+ %$/, 'downloading app.tar.gz: 100 %', 'installing app.tar.gz'].slice(-2),
  );
  t.match(requests[0]?.headers, { 'accept-encoding': 'identity', 'user-agent': 'weir/test' });
  const before = requests.length;
  t.same(await install(source), installed);
  t.equal(requests.length, before, 'and the second time nobody is asked');
});

t.test('a single file is put in place: scripts to be read, everything else to be run', async (t) => {
  const { url } = await server(t, serveFile({ bytes: noise }));
  const { install, directory } = await site(t);
  const script = await install(describe(url('/app.js'), noise));
  t.match(script, { file: join(script.directory, 'app.js'), installedBytes: noise.length });
  t.equal(modeOf(script.file ?? ''), '644');
  t.ok(readFileSync(script.file ?? '').equals(noise));
  const again = await site(t, { directory: join(directory, 'other') });
  const program = await again.install(describe(url('/collector'), noise));
  t.equal(modeOf(program.file ?? ''), '755');
});

t.test('a file of this machine is a source as well, and a zip an archive', async (t) => {
  const stick = t.testdir({ 'a b.js': 'console.log(1);\n' });
  execFileSync('python3', ['-c', "import zipfile\nz = zipfile.ZipFile('app.zip', 'w')\nz.writestr('app.js', 'x')"], {
    cwd: stick,
  });
  const { install } = await site(t, { directory: join(stick, 'artifacts') });
  const bytes = readFileSync(join(stick, 'a b.js'));
  const script = await install(describe(pathToFileURL(join(stick, 'a b.js')).href, bytes));
  t.equal(readFileSync(script.file ?? '', 'utf8'), 'console.log(1);\n');
  const zip = readFileSync(join(stick, 'app.zip'));
  const unzipped = await install(describe(pathToFileURL(join(stick, 'app.zip')).href, zip));
  t.same(entries(unzipped.directory), ['app.js']);
  const missing = describe(pathToFileURL(join(stick, 'none.js')).href, bytes);
  await t.rejects(install({ ...missing, sha256: '1'.repeat(64) }), {
    code: 'ARTIFACTS_NOT_SERVED',
    message: /no such file/,
  });
  const folder = { ...describe(pathToFileURL(stick).href, bytes), sha256: '2'.repeat(64) };
  await t.rejects(install(folder), { code: 'ARTIFACTS_NOT_SERVED', message: /no file that may be read/ });
});

t.test('a connection that breaks is gone on with from where it broke', async (t) => {
  const { url, ranges } = await server(t, serveFile({ bytes: noise, etag: '"v1"', breakAfter: 40_000 }));
  const { install, told } = await site(t);
  const { file = '' } = await install(describe(url('/program'), noise));
  t.ok(readFileSync(file).equals(noise));
  t.equal(ranges[0], '-');
  t.ok(ranges.length > 1);
  const offsets = ranges.slice(1).map((range) => Number(/^bytes=(\d+)-$/.exec(range)?.[1]));
  t.same(
    offsets,
    [...offsets].sort((a, b) => a - b),
    'ever further',
  );
  t.ok(offsets.every((offset) => offset > 0));
  t.match(told.join('\n'), /again in \d+ s/);
});

t.test('a server without ranges begins anew each time, and it comes to an end', async (t) => {
  let answers = 0;
  const { url, ranges } = await server(t, (request, response, count) => {
    answers = count;
    serveFile({ bytes: noise, whole: true, ...(count < 3 ? { breakAfter: 50_000 } : {}) })(request, response, count);
  });
  const { install } = await site(t);
  const { file = '' } = await install(describe(url('/program'), noise));
  t.ok(readFileSync(file).equals(noise));
  t.equal(answers, 3);
  t.match(ranges, ['-', /^bytes=/, /^bytes=/]);
});

t.test('a restart of the gateway goes on with what is there', async (t) => {
  const { url, ranges, answer } = await server(t, serveFile({ bytes: noise, etag: '"v1"', breakAfter: 100_000 }));
  const source = describe(url('/program'), noise);
  const stop = new AbortController();
  const first = await site(t);
  const going = first.artifacts.install(
    source,
    (text) => {
      if (/again/.test(text)) stop.abort();
    },
    stop.signal,
  );
  await t.rejects(going, { code: 'ARTIFACTS_STOPPED', retryable: true });
  await first.artifacts.close();
  const kept = statSync(join(first.directory, 'partial', source.sha256)).size;
  t.ok(kept > 0 && kept < noise.length);
  answer(serveFile({ bytes: noise, etag: '"v1"' }));
  const second = await site(t, { directory: first.directory });
  await second.install(source);
  t.equal(ranges.at(-1), `bytes=${kept}-`);
});

t.test('a file that changed while it was fetched is not pieced together', async (t) => {
  const other = Buffer.from(noise).reverse();
  const { url, answer, requests } = await server(t, (request, response, count) => {
    serveFile({ bytes: other, etag: '"old"', breakAfter: 100_000 })(request, response, count);
    answer(serveFile({ bytes: noise, etag: '"new"' }));
  });
  const { install } = await site(t);
  const { file = '' } = await install(describe(url('/program'), noise));
  t.ok(readFileSync(file).equals(noise));
  t.equal(requests[1]?.headers['if-range'], '"old"');
  t.equal(requests.length, 2);
});

t.test('where the server has no tags, the digest finds two halves that do not belong together', async (t) => {
  const other = Buffer.from(noise).reverse();
  const { url, answer, ranges } = await server(t, (request, response, count) => {
    serveFile({ bytes: other, breakAfter: 100_000 })(request, response, count);
    answer(serveFile({ bytes: noise }));
  });
  const { install } = await site(t);
  const { file = '' } = await install(describe(url('/program'), noise));
  t.ok(readFileSync(file).equals(noise));
  t.match(ranges, ['-', /^bytes=/, '-'], 'begun anew once');
});

t.test('another file than the deployment’s is refused and not kept', async (t) => {
  const { url, requests } = await server(t, serveFile({ bytes: noise }));
  const { install, directory } = await site(t);
  const source = { ...describe(url('/program?sig=geheim'), noise), sha256: 'f'.repeat(64) };
  await t.rejects(install(source), {
    code: 'ARTIFACTS_DIGEST_WRONG',
    retryable: false,
    message: /localhost:\d+\/program is not/,
  });
  t.equal(requests.length, 1);
  t.same(entries(directory), ['making', 'partial']);
  t.same(entries(join(directory, 'partial')), []);
});

t.test('another file over a line that always breaks is fetched anew once, and not for ever', async (t) => {
  const { url, ranges } = await server(t, serveFile({ bytes: noise, breakAfter: 150_000 }));
  const { install } = await site(t);
  const source = { ...describe(url('/program'), noise), sha256: 'f'.repeat(64) };
  await t.rejects(install(source), { code: 'ARTIFACTS_DIGEST_WRONG', retryable: false });
  t.equal(ranges.filter((range) => range === '-').length, 2);
});

t.test('a file of another size is refused before it is read, or as soon as it is longer', async (t) => {
  let written = 0;
  const { url, answer } = await server(t, serveFile({ bytes: noise }));
  const { install, directory } = await site(t);
  const short = { ...describe(url('/program'), noise), sizeBytes: 1000 };
  await t.rejects(install(short), { code: 'ARTIFACTS_SIZE_WRONG', message: /has 300000 bytes/ });
  answer((_request, response) => {
    const timer = setInterval(() => {
      written += 1000;
      response.write(Buffer.alloc(1000));
    }, 1);
    response.on('close', () => clearInterval(timer));
  });
  await t.rejects(install(short), { code: 'ARTIFACTS_SIZE_WRONG', message: /sends more/ });
  t.ok(written < 1_000_000);
  t.same(entries(join(directory, 'partial')), []);
});

t.test('a server that hangs, before its answer or in the middle, is given up and tried again', async (t) => {
  const { url, requests } = await server(t, (request, response, count) => {
    if (count === 1) return;
    if (count === 2) response.writeHead(200, { 'content-length': noise.length }).write(noise.subarray(0, 10));
    else serveFile({ bytes: noise })(request, response, count);
  });
  const { install, told } = await site(t);
  await install(describe(url('/program'), noise));
  t.equal(requests.length, 3);
  t.match(told.join('\n'), /nothing came any more; again in/);
});

t.test('a server that never answers ends in an error that is worth another try', async (t) => {
  const { url, requests } = await server(
    t,
    (_request, response) => void response.writeHead(503, { 'retry-after': '1' }).end(),
  );
  const { install } = await site(t);
  const error = { code: 'ARTIFACTS_UNREACHABLE', retryable: true, message: /after 6 tries: the server answers 503/ };
  await t.rejects(install(describe(url('/program'), noise)), error);
  t.equal(requests.length, 6);
});

t.test('nobody there, and somebody whom no authority vouches for, are unreachable', async (t) => {
  const closed = await artifactServer(pair, serveFile({ bytes: noise }));
  await closed.close();
  const { install } = await site(t);
  await t.rejects(install(describe(closed.url('/program'), noise)), {
    code: 'ARTIFACTS_UNREACHABLE',
    message: /ECONNREFUSED/,
  });
  const { url, requests } = await server(t, serveFile({ bytes: noise }));
  const strict = await site(t, {
    directory: join(t.testdirName, 'strict'),
    change: () => ({ downloads: systemDownloads({ authorities: () => Promise.resolve([]), userAgent: 'weir' }) }),
  });
  await t.rejects(strict.install(describe(url('/program'), noise)), {
    code: 'ARTIFACTS_UNREACHABLE',
    message: /certificate/,
  });
  t.equal(requests.length, 0);
});

t.test('what is forbidden or missing is said at once', async (t) => {
  for (const status of [401, 403, 404, 410]) {
    const { url, requests } = await server(t, (_request, response) => void response.writeHead(status).end());
    const { install } = await site(t);
    const error = { code: 'ARTIFACTS_NOT_SERVED', retryable: false, message: new RegExp(`answers ${status}`) };
    await t.rejects(install(describe(url('/program'), noise)), error);
    t.equal(requests.length, 1);
  }
});

t.test('redirects are followed, a few of them, and never away from HTTPS', async (t) => {
  const to =
    (location: string): Answering =>
    (_request, response) =>
      void response.writeHead(302, { location }).end();
  const target = await server(t, serveFile({ bytes: noise }));
  const { url, answer, requests } = await server(t, to(target.url('/program')));
  const { install } = await site(t);
  const source = describe(url('/latest'), noise);
  await t.rejects(install({ ...source, sha256: '1'.repeat(64) }), { code: 'ARTIFACTS_DIGEST_WRONG' }, 'it got there');
  answer(to('/again'));
  await t.rejects(install(source), { code: 'ARTIFACTS_NOT_SERVED', message: /elsewhere more than 5 times/ });
  t.equal(requests.length, 1 + 6);
  for (const location of ['http://localhost/program', 'file:///etc/shadow', 'https://']) {
    answer(to(location));
    await t.rejects(install(source), { code: 'ARTIFACTS_NOT_SERVED', message: /only https:\/\/ is followed/ });
  }
  answer(to(target.url('/program')));
  await install(source);
});

const hostile: readonly (readonly [string, readonly TarEntry[], string])[] = [
  ['leads out with ..', [{ name: '../../evil', content: 'x' }], 'ARTIFACTS_ARCHIVE_REFUSED'],
  ['is absolute', [{ name: '/tmp/evil', content: 'x' }], 'ARTIFACTS_ARCHIVE_REFUSED'],
  [
    'writes through a link',
    [
      { name: 'l', type: '2', linkTarget: '/tmp' },
      { name: 'l/evil', content: 'x' },
    ],
    'ARTIFACTS_ARCHIVE_REFUSED',
  ],
  [
    'leads out through two links that seem harmless',
    [
      { name: 'a/b/up', type: '2', linkTarget: '../..' },
      { name: 'out', type: '2', linkTarget: 'a/b/up/../secret' },
    ],
    'ARTIFACTS_ARCHIVE_REFUSED',
  ],
  ['has a link to nothing', [{ name: 'l', type: '2', linkTarget: 'gone' }], 'ARTIFACTS_ARCHIVE_REFUSED'],
  ['has a link to itself', [{ name: 'l', type: '2', linkTarget: 'l' }], 'ARTIFACTS_ARCHIVE_REFUSED'],
  ['has a hard link out', [{ name: 'h', type: '1', linkTarget: '../../../secret' }], 'ARTIFACTS_ARCHIVE_REFUSED'],
  ['has a device', [{ name: 'sda', type: '4' }], 'ARTIFACTS_ARCHIVE_REFUSED'],
  ['has a set-user-id program', [{ name: 'su', mode: 0o4755, content: 'x' }], 'ARTIFACTS_ARCHIVE_REFUSED'],
  [
    'has a name twice',
    [
      { name: 'a', content: 'x' },
      { name: 'a', content: 'y' },
    ],
    'ARTIFACTS_ARCHIVE_REFUSED',
  ],
  ['is a bomb', [{ name: 'zeros', content: Buffer.alloc(20_000_000) }], 'ARTIFACTS_ARCHIVE_TOO_LARGE'],
  ['claims more than it has', [{ name: 'a', claimed: 5000, content: 'x' }], 'ARTIFACTS_ARCHIVE_DAMAGED'],
];

for (const [name, members, code] of hostile)
  t.test(`an archive that ${name} is refused whole`, async (t) => {
    const place = t.testdir({ secret: 'geheim' });
    const bytes = gzipSync(tarFile(members));
    writeFileSync(join(place, 'app.tgz'), bytes);
    const { install, directory } = await site(t, { directory: join(place, 'artifacts') });
    const source = describe(pathToFileURL(join(place, 'app.tgz')).href, bytes);
    await t.rejects(install(source), { code, retryable: false, message: /app\.tgz .* Pack/ });
    t.same(entries(directory), ['making', 'partial']);
    t.same([entries(join(directory, 'making')), entries(join(directory, 'partial'))], [[], []]);
    t.same(entries(place), ['app.tgz', 'artifacts', 'secret']);
    t.equal(existsSync('/tmp/evil'), false);
  });

t.test('what was removed, cut off or edited since is installed anew, beside what may still run', async (t) => {
  const place = t.testdir({});
  writeFileSync(join(place, 'app.tgz'), archive);
  const source = describe(pathToFileURL(join(place, 'app.tgz')).href, archive);
  const whole = async (): Promise<string> => {
    const { install } = await site(t, { directory: join(place, 'artifacts') });
    return (await install(source)).directory;
  };
  const directory = await whole();
  const harms: readonly (() => void)[] = [
    () => execFileSync('rm', [join(directory, 'app.js')]),
    () => execFileSync('truncate', ['-s', '3', join(directory, 'bin/tool')]),
    () => writeFileSync(join(directory, 'app.js'), 'module.exports = 2;\n'),
    () => execFileSync('chmod', ['600', join(directory, 'bin/tool')]),
    () => execFileSync('ln', ['-sfn', 'app.js', join(directory, 'tool')]),
    () => execFileSync('rm', [`${directory}.installed.json`]),
    () => writeFileSync(`${directory}.installed.json`, '{"version": 1, "nodes": [[]]}'),
    () => execFileSync('rm', ['-r', directory]),
  ];
  for (const harm of harms) {
    // Held, or the next directory may be given its number.
    const before = openSync(directory, 'r');
    harm();
    t.equal(await whole(), directory);
    t.equal(readFileSync(join(directory, 'app.js'), 'utf8'), 'module.exports = 1;\n');
    t.equal(readFileSync(join(directory, 'tool'), 'utf8'), '#!/bin/sh\nexit 0\n');
    t.not(statSync(directory).ino, fstatSync(before).ino, 'never written over');
    closeSync(before);
  }
});

t.test('one digest is fetched once for all who ask, and goes on until the last gives up', async (t) => {
  let release = (): void => undefined;
  const { url, requests } = await server(t, (request, response, count) => {
    release = () => serveFile({ bytes: noise })(request, response, count);
  });
  const { artifacts } = await site(t);
  const source = describe(url('/program'), noise);
  const stop = new AbortController();
  const seen: string[] = [];
  const first = artifacts.install(source, () => undefined, stop.signal);
  const second = artifacts.install(source, (text) => seen.push(text), never);
  while (requests.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  stop.abort();
  await t.rejects(first, { code: 'ARTIFACTS_STOPPED' });
  release();
  t.match(await second, { installedBytes: noise.length });
  t.equal(requests.length, 1);
  t.ok(seen.includes('downloading program: 100 %'));
});

t.test('two are fetched at a time, the third waits and says so', async (t) => {
  const held: (() => void)[] = [];
  const { url, requests } = await server(t, (request, response, count) => {
    held.push(() => serveFile({ bytes: noise })(request, response, count));
  });
  const { install, told, artifacts } = await site(t);
  const digests = ['1', '2', '3'].map((digit) => digit.repeat(64));
  const going = digests.map((sha256) =>
    t.rejects(install({ ...describe(url('/program'), noise), sha256 }), { code: 'ARTIFACTS_DIGEST_WRONG' }),
  );
  while (held.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
  t.equal(requests.length, 2);
  t.same(told, ['waiting to download program']);
  while (held.length > 0 || requests.length < 3) {
    held.shift()?.();
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  await Promise.all(going);
  await artifacts.close();
  await t.rejects(install(describe(url('/program'), noise)), { code: 'ARTIFACTS_STOPPED' });
});

t.test('what nobody needs any more is removed, what is kept or being fetched stays', async (t) => {
  const place = t.testdir({});
  const { url } = await server(t, () => undefined);
  const { install, artifacts, directory } = await site(t, { directory: join(place, 'artifacts') });
  const sources = ['one', 'two'].map((text) => {
    writeFileSync(join(place, `${text}.js`), text);
    return describe(pathToFileURL(join(place, `${text}.js`)).href, Buffer.from(text));
  });
  for (const source of sources) await install(source);
  const [one, two] = sources.map(({ sha256 }) => sha256);
  const going = describe(url('/program'), noise);
  const stop = new AbortController();
  const busy = t.rejects(install(going, stop.signal), { code: 'ARTIFACTS_STOPPED' });
  const partial = join(directory, 'partial');
  while (!existsSync(join(partial, going.sha256))) await new Promise((resolve) => setTimeout(resolve, 5));
  writeFileSync(join(partial, 'f'.repeat(64)), 'of a deployment long gone');
  writeFileSync(join(partial, `${'f'.repeat(64)}.json`), '{}');
  mkdirSync(join(directory, 'making', 'left-over'));
  await artifacts.keepOnly([two?.toUpperCase() ?? '']);
  t.same(entries(directory), [two, `${two}.installed.json`, 'making', 'partial'].sort());
  t.same(entries(partial), [going.sha256]);
  t.same(entries(join(directory, 'making')), []);
  stop.abort();
  await busy;
  await artifacts.keepOnly([]);
  t.same(entries(directory), ['making', 'partial']);
  t.same(entries(partial), []);
  t.not(one, two);
});

t.test('a restart in the middle of unpacking leaves nothing behind', async (t) => {
  const place = t.testdir({ artifacts: { making: { 'abc-123': { half: 'x' } } } });
  const { directory } = await site(t, { directory: join(place, 'artifacts') });
  t.same(entries(join(directory, 'making')), []);
});

t.test('space is asked for before a byte is fetched, the reserve and a fifth more', async (t) => {
  const { url, requests } = await server(t, serveFile({ bytes: noise }));
  const free = (bytes: number) => (ports: ArtifactPorts) => ({
    disk: { ...ports.disk, freeBytes: () => Promise.resolve(bytes) },
  });
  const source = describe(url('/program'), noise);
  const needed = noise.length * 1.2 + 1_000_000;
  const tight = await site(t, { reserveBytes: 1_000_000, change: free(needed - 1) });
  await t.rejects(tight.install(source), {
    code: 'ARTIFACTS_NO_SPACE',
    retryable: true,
    message: /1360000 bytes are needed/,
  });
  t.equal(requests.length, 0);
  const enough = await site(t, { directory: join(t.testdirName, 'b'), reserveBytes: 1_000_000, change: free(needed) });
  await enough.install(source);
  const packed = gzipSync(tarFile([{ name: 'zeros', content: Buffer.alloc(10_000_000) }]));
  writeFileSync(join(t.testdirName, 'z.tgz'), packed);
  const unpacking = describe(pathToFileURL(join(t.testdirName, 'z.tgz')).href, packed);
  const small = await site(t, { directory: join(t.testdirName, 'c'), change: free(5_000_000) });
  await t.rejects(small.install(unpacking), { code: 'ARTIFACTS_NO_SPACE', message: /to unpack/ });
  t.same(entries(join(small.directory, 'making')), []);
});

for (const [errno, code] of [
  ['ENOSPC', 'ARTIFACTS_NO_SPACE'],
  ['EIO', 'ARTIFACTS_INSTALL_FAILED'],
  ['EROFS', 'ARTIFACTS_INSTALL_FAILED'],
] as const)
  t.test(`a disk that says ${errno} in the middle is no fault of the server`, async (t) => {
    const { url, requests } = await server(t, serveFile({ bytes: noise }));
    const sick = (): Promise<never> => Promise.reject(Object.assign(new TypeError(errno), { code: errno }));
    const fetching = await site(t, {
      change: ({ hashedFiles }) => ({
        hashedFiles: {
          open: async (operation, path, signal) => {
            const file = await hashedFiles.open(operation, path, signal);
            return new Proxy(file, {
              get(target, name) {
                const value = Reflect.get(target, name, target) as unknown;
                if (name === 'append' && target.bytes > 100_000) return sick;
                return typeof value === 'function' ? value.bind(target) : value;
              },
            });
          },
        },
      }),
    });
    await t.rejects(fetching.install(describe(url('/program'), noise)), { code, retryable: true });
    t.equal(requests.length, 1);
    const installing = await site(t, {
      directory: join(t.testdirName, 'installing'),
      change: ({ disk }) => ({ disk: { ...disk, rename: sick } }),
    });
    await t.rejects(installing.install(describe(url('/program'), noise)), { code, retryable: true });
    t.same(entries(join(installing.directory, 'making')), []);
  });
