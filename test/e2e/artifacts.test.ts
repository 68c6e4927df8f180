// Programs that are fetched: from a site's server over HTTPS and from a file, through the death of the gateway in the
// middle, to modules that run; and what happens when they are not what was deployed.

import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import type { JsonObject } from '../../src/model/json.ts';
import {
  type Answering,
  type ArtifactServer,
  artifactServer,
  selfSigned,
  serveFile,
} from '../support/artifact-server.ts';
import { seededEntropy } from '../support/sim-entropy.ts';
import { type TarEntry, tarFile } from '../support/tar-file.ts';
import { manifest } from '../support/world/manifest.ts';
import { World } from '../support/world/world.ts';

const pair = selfSigned(t.testdir());

/** A program of several files with a package of its own, which says its version again and again. */
function application(version: string): Buffer {
  const entries: readonly TarEntry[] = [
    { name: 'package.json', content: '{"type": "module"}' },
    {
      name: 'app.js',
      content: `import { word } from 'pack'; import { readFileSync } from 'node:fs';
        const say = () => console.log(word + ' ' + readFileSync('version.txt', 'utf8') + ' ' + process.argv[2]);
        say(); setInterval(say, 200);`,
    },
    { name: 'version.txt', content: version },
    { name: 'ballast.bin', content: Buffer.from(seededEntropy(version.length).bytes(400_000)) },
    { name: 'node_modules/pack/package.json', content: '{"name": "pack", "type": "module", "exports": "./i.js"}' },
    { name: 'node_modules/pack/i.js', content: 'export const word = "version";' },
  ];
  return gzipSync(tarFile(entries));
}

interface Program {
  readonly url: string;
  readonly bytes: Buffer;
  readonly executable: string;
  readonly more?: JsonObject;
}

function digestOf(bytes: Buffer): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function fetched({ url, bytes, executable, more = {} }: Program): JsonObject {
  return {
    version: '1',
    type: 'process',
    status: 'running',
    restartPolicy: 'always',
    settings: { executable, source: { url, sha256: digestOf(bytes), size: bytes.length }, ...more },
  };
}

const node: JsonObject = { runtime: 'node', args: ['hello'] };

async function site(
  t: Test,
  answering: Answering,
): Promise<{ readonly world: World; readonly server: ArtifactServer }> {
  const server = await artifactServer(pair, answering);
  const world = new World({
    name: 'artifacts',
    env: (directory) => {
      writeFileSync(join(directory, 'authority.pem'), pair.certificatePem);
      return { SSL_CERT_FILE: join(directory, 'authority.pem') };
    },
  });
  t.teardown(() => Promise.all([world.close(), server.close()]));
  await world.startHub();
  await world.provision('[modules]\nverify = "1s"');
  await world.startGateway();
  return { world, server };
}

function logOf(world: World, name: string): string {
  const path = join(world.dataDir, 'logs', `${name}.log`);
  return existsSync(path) ? readFileSync(path, 'utf8') : '';
}

const says = (world: World, name: string, text: string): Promise<true> =>
  world.eventually(`${name} says ${text}`, () => logOf(world, name).includes(text) || undefined);

t.test('an archive with a JavaScript program is fetched and runs; another version takes its place', async (t) => {
  const one = application('1');
  const two = application('22');
  const files: Record<string, Buffer> = { '/1.tar.gz': one, '/2.tar.gz': two };
  const { world, server } = await site(t, (request, response, count) =>
    serveFile({ bytes: files[request.url ?? ''] ?? Buffer.alloc(0), etag: '"e"' })(request, response, count),
  );
  await world.deploy(
    manifest({
      modules: { app: fetched({ url: server.url('/1.tar.gz'), bytes: one, executable: 'app.js', more: node }) },
    }),
  );
  await says(world, 'app', 'version 1 hello');
  const { pid } = await world.running('app');
  const place = join(world.dataDir, 'artifacts', digestOf(one));
  t.equal(
    readlinkSync(`/proc/${pid}/cwd`).replace(/^.*\/artifacts\//, ''),
    digestOf(one),
    'it runs in its own directory',
  );
  t.equal(statSync(join(place, 'app.js')).mode & 0o777, 0o644);
  await world.deploy(
    manifest({
      modules: { app: fetched({ url: server.url('/2.tar.gz'), bytes: two, executable: 'app.js', more: node }) },
    }),
  );
  await says(world, 'app', 'version 22 hello');
  t.ok(existsSync(join(world.dataDir, 'artifacts', digestOf(two), 'app.js')), 'beside the other one');
  t.match((await world.status()).deployment, { code: 200 });
});

t.test('a gateway that is killed while it fetches goes on where it was', async (t) => {
  const bytes = application('333');
  const pieceBytes = Math.ceil(bytes.length / 100);
  // Half of it, and no more until the gateway was killed.
  let isHeld = true;
  const { world, server } = await site(t, (request, response) => {
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const range = { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` };
    response.writeHead(from === 0 ? 200 : 206, { etag: '"e"', ...(from === 0 ? {} : range) });
    let at = from;
    const timer = setInterval(() => {
      if (isHeld && at >= bytes.length / 2) return;
      response.write(bytes.subarray(at, at + pieceBytes));
      at += pieceBytes;
      if (at >= bytes.length) response.end();
    }, 30);
    response.on('close', () => clearInterval(timer));
  });
  await world.deploy(
    manifest({ modules: { app: fetched({ url: server.url('/a.tgz'), bytes, executable: 'app.js', more: node }) } }),
  );
  const partial = join(world.dataDir, 'artifacts', 'partial', digestOf(bytes));
  await world.eventually(
    'a part is there',
    () => (existsSync(partial) && statSync(partial).size > 50_000) || undefined,
  );
  const text = (await world.succeed('list', ...world.gatewayDirs)).toString();
  t.comment(text);
  await world.killGateway();
  const kept = statSync(partial).size;
  t.ok(kept > 0 && kept < bytes.length);
  isHeld = false;
  await world.startGateway();
  await says(world, 'app', 'version 333 hello');
  t.match(server.ranges, ['-', `bytes=${kept}-`]);
  t.same(readdirSync(join(world.dataDir, 'artifacts', 'partial')), []);
});

t.test('a single program comes from a stick; what is not the deployed one does not replace it', async (t) => {
  const { world, server } = await site(t, serveFile({ bytes: Buffer.from('something else') }));
  const script = Buffer.from('#!/bin/sh\nwhile :; do echo from the stick; sleep 0.2; done\n');
  const path = join(world.directory, 'collector');
  writeFileSync(path, script);
  const good = { url: pathToFileURL(path).href, bytes: script, executable: 'collector' };
  await world.deploy(manifest({ modules: { collector: fetched(good) } }));
  await says(world, 'collector', 'from the stick');
  const { pid } = await world.running('collector');
  const bad = { url: server.url('/collector'), bytes: Buffer.from('the right thing'), executable: 'collector' };
  await world.deploy(manifest({ modules: { collector: fetched(bad) } }));
  const refused = await world.eventually('the deployment is refused', async () => {
    const { deployment } = await world.status();
    return /collector/.test(deployment.description) ? deployment : undefined;
  });
  t.match(refused.description, /https:\/\/localhost:\d+\/collector is not the file of the deployment/);
  t.not(refused.code, 200);
  t.match(await world.running('collector'), { pid }, 'what ran goes on');
  t.same(
    readdirSync(join(world.dataDir, 'artifacts')).filter((name) => name.startsWith(digestOf(bad.bytes))),
    [],
  );
});
