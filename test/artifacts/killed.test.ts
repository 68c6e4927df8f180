// A process that installs an artefact is killed at every stage of it, and loses its disk; the next one goes on.

import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import t, { type Test } from 'tap';
import type { ArtifactSource } from '../../src/artifacts/index.ts';
import { type ArtifactServer, artifactServer, selfSigned } from '../support/artifact-server.ts';
import { sickDisk } from '../support/sick-disk.ts';
import { seededEntropy } from '../support/sim-entropy.ts';
import { tarFile } from '../support/tar-file.ts';
import { Program } from '../support/world/program.ts';

const place = t.testdir();
const pair = selfSigned(place);
const kills = 30;
const files = 400;
const program = join(place, 'installer.cjs');

/** Files that do not compress, so that a download takes a while. */
const contents = Array.from({ length: files }, (_, at) => ({
  name: `lib/${at % 7}/f${at}.bin`,
  content: Buffer.from(seededEntropy(at + 1).bytes(3000)),
}));
const archive = gzipSync(tarFile(contents));
const sha256 = createHash('sha256').update(archive).digest('hex');

t.before(() =>
  build({
    entryPoints: ['test/artifacts/programs/installer.ts'],
    outfile: program,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    packages: 'external',
    logLevel: 'error',
    define: { 'import.meta.url': '""' },
  }),
);

/** Ranges, tags, and a line on which the whole takes some 300 ms. */
async function slowServer(t: Test): Promise<ArtifactServer> {
  const pieceBytes = Math.ceil(archive.length / 60);
  const server = await artifactServer(pair, (request, response) => {
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const range = { 'content-range': `bytes ${from}-${archive.length - 1}/${archive.length}` };
    response.writeHead(from === 0 ? 200 : 206, { etag: '"a"', ...(from === 0 ? {} : range) });
    let at = from;
    const timer = setInterval(() => {
      response.write(archive.subarray(at, at + pieceBytes));
      at += pieceBytes;
      if (at >= archive.length) response.end();
    }, 5);
    response.on('close', () => clearInterval(timer));
  });
  t.teardown(() => server.close());
  return server;
}

function install(directory: string, source: ArtifactSource, reserveBytes = 0): Program {
  const order = { directory, reserveBytes, authority: pair.certificatePem, source };
  const env = { INSTALLER: JSON.stringify(order), NODE_PATH: join(process.cwd(), 'node_modules') };
  return new Program([process.execPath, program], env);
}

/** Whatever has the artefact's name and a record is all of it. */
function check(t: Test, directory: string): boolean {
  const installed = join(directory, sha256);
  if (!existsSync(installed)) return false;
  if (!existsSync(`${installed}.installed.json`)) return false;
  const wrong = contents.filter(({ name, content }) => !readFileSync(join(installed, name)).equals(content));
  t.same(
    wrong.map(({ name }) => name),
    [],
    'what is installed is whole',
  );
  return true;
}

t.test('killed at any moment, it is never half there, and the next process goes on from what came', async (t) => {
  const server = await slowServer(t);
  const source = { url: server.url('/lib.tar.gz'), sha256, sizeBytes: archive.length };
  const directory = join(t.testdir({}), 'artifacts');
  const dice = seededEntropy(6);
  const stages = new Set<string>();
  for (let kill = 0; kill < kills; kill++) {
    const running = install(directory, source);
    // Some before anything happened, the others by how far they are, which a busy machine does not change.
    if (kill % 5 > 0) await running.line('told', 60_000).catch(() => undefined);
    await Promise.race([running.result(), new Promise((resolve) => setTimeout(resolve, dice.fraction() * 700))]);
    await running.end('SIGKILL');
    const partial = join(directory, 'partial', sha256);
    if (existsSync(partial)) stages.add(statSync(partial).size === archive.length ? 'unpacking' : 'fetching');
    if (check(t, directory)) {
      stages.add('installed');
      // Begin anew, to hit other moments.
      rmSync(directory, { recursive: true });
    }
  }
  t.ok(stages.has('fetching'), `it was killed while ${[...stages].join(', ')}`);
  const { stdout } = await install(directory, source).result();
  t.match(stdout, /^installed /m);
  t.ok(check(t, directory));
  t.same([readdirSync(join(directory, 'making')), readdirSync(join(directory, 'partial'))], [[], []]);
  t.ok(
    server.ranges.some((range) => range.startsWith('bytes=')),
    'it went on where it was killed',
  );
});

t.test('a disk that fills up, fetching or unpacking, is told, and with room again it goes on', async (t) => {
  const server = await slowServer(t);
  const source = { url: server.url('/lib.tar.gz'), sha256, sizeBytes: archive.length };
  const scratch = t.testdir({});
  const directory = join(scratch, 'disk');
  const disk = sickDisk(directory, { scratch, mebibytes: 16 });
  t.teardown(() => disk.remove());
  t.comment(disk.kind);
  const artifacts = join(directory, 'artifacts');
  mkdirSync(artifacts);
  disk.fill(archive.length);
  const before = await install(artifacts, source).result();
  t.match(before.stdout, /^failed ARTIFACTS_NO_SPACE .*bytes are needed with the reserve/m);
  disk.free();
  disk.fill(Math.ceil(archive.length * 1.5));
  const unpacking = await install(artifacts, source).result();
  t.match(unpacking.stdout, /^failed ARTIFACTS_NO_SPACE No room (to unpack|for)/m);
  t.same(readdirSync(join(artifacts, 'making')), [], 'and what was unpacked is gone');
  t.equal(statSync(join(artifacts, 'partial', sha256)).size, archive.length, 'what was fetched stays');
  disk.free();
  const requests = server.requests.length;
  const { stdout } = await install(artifacts, source).result();
  t.match(stdout, /^installed /m);
  t.equal(server.requests.length, requests, 'nobody is asked again');
  t.ok(check(t, artifacts));
});
