// Fetches the Node runtime of one target and makes it ready to be packed: verified, unpacked, stripped.
//
//   node fetch-node.mjs TARGET
//
// Leaves out/build/TARGET/node (the stripped executable), out/build/TARGET/nodedir (headers, for node-gyp)
// and out/build/TARGET/node-licence.txt. The archive is kept in out/cache under its version.
//
// The pinned package of targets.json is the default. Another archive (a newer armv7 build, say) is taken with
//   NODE_ARCHIVE_armv7=FILE-or-URL  NODE_ARCHIVE_armv7_SHA256=hex
// and must hold bin/node and include/node; code is never run from an archive whose digest differs.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const targets = JSON.parse(fs.readFileSync(path.join(root, 'native/pack/targets.json'), 'utf8'));
const name = process.argv[2] ?? '';
const target = targets[name];
if (target === undefined) fail(`no target ${name}; there are ${Object.keys(targets).join(', ')}`);

const cacheDir = path.join(root, 'out/cache');
const buildDir = path.join(root, 'out/build', name);
const TRIES_MAX = 5;
const PAUSE_STEP_MS = 5000;

function fail(message) {
  process.stderr.write(`fetch-node: ${message}\n`);
  process.exit(1);
}

function digest(algorithm, encoding, file) {
  return createHash(algorithm).update(fs.readFileSync(file)).digest(encoding);
}

async function withRetries(what, attempt) {
  for (let n = 1; ; n += 1) {
    try {
      return attempt();
    } catch (error) {
      if (n === TRIES_MAX) fail(`${what} failed ${TRIES_MAX} times: ${error.message}`);
      process.stdout.write(`${what} failed (try ${n}): ${error.message}\n`);
      await pause(n * PAUSE_STEP_MS);
    }
  }
}

/** The pinned package; npm checks its transport, we check the pin. */
async function pinnedArchive() {
  const file = path.join(cacheDir, `${target.package}-${target.version}.tgz`);
  const matches = () => fs.existsSync(file) && `sha512-${digest('sha512', 'base64', file)}` === target.integrity;
  if (matches()) return file;
  fs.rmSync(file, { force: true });
  const spec = `${target.package}@${target.version}`;
  await withRetries(`npm pack ${spec}`, () =>
    execFileSync('npm', ['pack', spec, '--silent', '--pack-destination', cacheDir], { stdio: 'ignore' }),
  );
  if (!matches()) {
    fs.rmSync(file, { force: true });
    fail(`${spec} is not the archive that native/pack/targets.json pins; nothing of it was used`);
  }
  return file;
}

async function chosenArchive(source, sha256) {
  if (!/^[0-9a-f]{64}$/.test(sha256 ?? ''))
    fail(`NODE_ARCHIVE_${name} needs NODE_ARCHIVE_${name}_SHA256, 64 hex digits`);
  let file = path.resolve(source);
  if (/^https?:/.test(source)) {
    file = path.join(cacheDir, `node-${sha256}`);
    const have = fs.existsSync(file) && digest('sha256', 'hex', file) === sha256;
    if (!have)
      await withRetries(`download of ${source}`, () =>
        execFileSync('curl', ['-fsSL', '-o', file, source], { stdio: 'inherit' }),
      );
  }
  if (digest('sha256', 'hex', file) !== sha256)
    fail(`${source} does not have the SHA-256 ${sha256}; nothing of it was used`);
  return file;
}

fs.mkdirSync(cacheDir, { recursive: true });
fs.mkdirSync(buildDir, { recursive: true });
const source = process.env[`NODE_ARCHIVE_${name}`];
const archive = source
  ? await chosenArchive(source, process.env[`NODE_ARCHIVE_${name}_SHA256`])
  : await pinnedArchive();

const nodeDir = path.join(buildDir, 'nodedir');
fs.rmSync(nodeDir, { recursive: true, force: true });
fs.mkdirSync(nodeDir, { recursive: true });
execFileSync('tar', ['-xf', archive, '-C', nodeDir, '--strip-components=1', '--no-same-owner'], { stdio: 'inherit' });
const unpacked = path.join(nodeDir, 'bin/node');
if (!fs.existsSync(unpacked)) fail(`${archive} holds no bin/node`);
if (!fs.existsSync(path.join(nodeDir, 'include/node/node_api.h'))) fail(`${archive} holds no include/node`);
fs.copyFileSync(path.join(nodeDir, 'LICENSE'), path.join(buildDir, 'node-licence.txt'));

// Stripped before anything is injected: strip would throw the injected segment away.
const stripped = path.join(buildDir, 'node');
execFileSync(`${target.triplet}-strip`, [unpacked, '-o', `${stripped}.tmp`], { stdio: 'inherit' });
fs.chmodSync(`${stripped}.tmp`, 0o755);
fs.renameSync(`${stripped}.tmp`, stripped);
for (const part of ['bin', 'share']) fs.rmSync(path.join(nodeDir, part), { recursive: true, force: true });
