// Packs one target: Node + bundle + archive of parts -> out/weir-linux-TARGET.
//
//   node sea.mjs TARGET
//
// The blob is made by the target's own Node, under qemu-user where it is not ours: its format belongs to the
// exact Node version and word size. The archive's format is described in src/platform/asset-archive.ts.
import { execFileSync } from 'node:child_process';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import * as zlib from 'node:zlib';
import postject from 'postject';

const SENTINEL = 'NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2';
const FORMAT_VERSION = 2;
const MB = 1_000_000;
/**
 * What is read once, when it is put on the disk or shown, and the parts that a gateway starts without or a second later:
 * the hub, and what makes certificates. What every process runs from the archive lies there as it is.
 */
const DEFLATED = /^weir-shim$|\.node$|^text\/|^(hub|forge)\./;

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const name = process.argv[2] ?? '';
const target = JSON.parse(fs.readFileSync(path.join(root, 'native/pack/targets.json'), 'utf8'))[name];
const buildDir = path.join(root, 'out/build', name);
const output = path.join(root, `out/weir-linux-${name}`);

function makeBlob() {
  const config = JSON.parse(fs.readFileSync(path.join(root, 'sea-config.json'), 'utf8'));
  const own = {
    ...config,
    // Relative, so that stack traces on a board do not name a folder of the build machine.
    main: 'weir.cjs',
    output: 'weir.blob',
  };
  fs.writeFileSync(path.join(buildDir, 'sea-config.json'), JSON.stringify(own));
  const [program, ...args] = [
    ...target.emulator,
    path.join(buildDir, 'node'),
    '--experimental-sea-config',
    'sea-config.json',
  ];
  execFileSync(program, args, { cwd: buildDir, stdio: 'inherit', env: { ...process.env, NODE_OPTIONS: '' } });
  return fs.readFileSync(path.join(buildDir, own.output));
}

function appendArchive(file, parts) {
  const fd = fs.openSync(file, 'a');
  try {
    let offset = fs.fstatSync(fd).size;
    const index = {};
    for (const [part, source] of Object.entries(parts)) {
      const whole = fs.readFileSync(source);
      const bytes = DEFLATED.test(part) ? zlib.deflateRawSync(whole, { level: 9 }) : whole;
      fs.writeSync(fd, bytes);
      index[part] = bytes === whole ? [offset, bytes.length] : [offset, bytes.length, whole.length];
      offset += bytes.length;
    }
    const indexBytes = Buffer.from(JSON.stringify(index));
    const trailer = Buffer.alloc(16);
    trailer.writeUInt32LE(indexBytes.length, 0);
    trailer.writeUInt32LE(FORMAT_VERSION, 4);
    trailer.write('WEIRPACK', 8, 'latin1');
    fs.writeSync(fd, Buffer.concat([indexBytes, trailer]));
    fs.fsyncSync(fd);
  } finally {
    fs.closeSync(fd);
  }
}

const temporary = `${output}.tmp`;
const blob = makeBlob();
fs.copyFileSync(path.join(buildDir, 'node'), temporary);
fs.chmodSync(temporary, 0o755);
await postject.inject(temporary, 'NODE_SEA_BLOB', blob, { sentinelFuse: SENTINEL });
appendArchive(temporary, JSON.parse(fs.readFileSync(path.join(buildDir, 'assets.json'), 'utf8')));
fs.chmodSync(temporary, 0o755);
const bytes = fs.statSync(temporary).size;
if (bytes > target.sizeMaxMB * MB) {
  fs.rmSync(temporary);
  process.stderr.write(`sea: ${path.basename(output)} would be ${bytes} bytes; its budget is ${target.sizeMaxMB} MB\n`);
  process.exit(1);
}
fs.renameSync(temporary, output);
process.stdout.write(`${path.basename(output)}: ${(bytes / MB).toFixed(1)} MB\n`);
