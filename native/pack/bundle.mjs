// Bundles the TypeScript sources into the JavaScript of one target, and gathers the parts that go with it.
//
//   node bundle.mjs x64|arm64|armv7     out/build/TARGET/weir.cjs, the parts (+ .map, .cache), and assets.json
//   node bundle.mjs host                out/host/store-thread.cjs and out/host/licences.txt, for development
//
// The program is several bundles, so that a process holds the source text of its own work only: where the
// sources import() the entry of a part (PARTS), the bundle loads it from the archive (loadPart in native.ts).
//
//   weir.cjs ─┬─► cli ─┬─► gateway ─┬─► forge            store-thread      (gateway: weir run and weir broker)
//             │        └─► hub ─────┘
//             └─► module ─► modbus-serial, serialport
//
// assets.json lists every file for the archive at the end of the executable, name -> file; a bundle has the
// digests of what it loads inside (WEIR_BUILD), which is what makes the archive trustworthy. Hence the order:
// what is loaded is built before what loads it.
//
// Nothing in the bundle may load a .node file by its path: the two packages that would (bindings and
// node-gyp-build) are replaced, so that every addon comes through src/platform/native.ts.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { licenceText } from './licences.mjs';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const targets = JSON.parse(fs.readFileSync(path.join(root, 'native/pack/targets.json'), 'utf8'));
const name = process.argv[2] ?? '';
const isHost = name === 'host';
const target = targets[name];
if (!isHost && target === undefined) {
  process.stderr.write(`bundle: no target ${name}; there are host, ${Object.keys(targets).join(', ')}\n`);
  process.exit(1);
}
const outDir = path.join(root, isHost ? 'out/host' : `out/build/${name}`);
fs.mkdirSync(outDir, { recursive: true });

/**
 * Part -> the modules whose import() loads it: sources of ours, or an npm package. What is loaded stands first.
 * The broker alone lives in the gateway's part, of which it is most: a part of its own would cost the executable
 * more than half a megabyte.
 */
const PARTS = {
  serialport: 'serialport',
  'modbus-serial': 'modbus-serial',
  forge: 'node-forge',
  module: 'src/module-process.ts',
  gateway: ['src/device.ts', 'src/standalone.ts'],
  hub: 'src/cloud.ts',
  cli: 'src/cli/index.ts',
};

/** serialport promisifies its binding while it is being imported; these stand-ins load it at the first call. */
const LAZY_SERIALPORT = `
import { nativeAddon } from './src/platform/native.ts';
const real = () => nativeAddon('serialport');
const lazy = {};
for (const name of ['close', 'drain', 'flush', 'get', 'getBaudRate', 'list', 'open', 'set', 'update', 'read', 'write'])
  lazy[name] = (...args) => real()[name](...args);
// On Linux these do not exist in the binding, and serialport looks whether they do.
for (const name of ['list', 'read', 'write']) delete lazy[name];
lazy.Poller = function Poller(...args) { return new (real().Poller)(...args); };
module.exports = () => lazy;
`;
const NO_BINDINGS = `module.exports = () => { throw new TypeError('pass nativeBinding: addons come from platform/native'); };`;

/** modbus-serial brings transports of its own, which weir does not use: its lines are opened by platform/serial. */
const NO_SERIALPORT = `module.exports = {};`;

/** Packages tell `debug` their story in development; loading it costs a process its colours and terminals. */
const NO_DEBUG = `module.exports = () => Object.assign(() => undefined, { enabled: false });`;

/** import() of a part's entry becomes loadPart(), except in that part itself. */
function partsPlugin(own) {
  const partOf = (args) =>
    Object.keys(PARTS).find((part) =>
      [PARTS[part]]
        .flat()
        .some((entry) => entry === args.path || path.join(root, entry) === path.resolve(args.resolveDir, args.path)),
    );
  return {
    name: 'parts',
    setup(builder) {
      builder.onResolve({ filter: /./ }, (args) => {
        if (own === 'modbus-serial' && args.path === 'serialport') return { path: args.path, namespace: 'weir-none' };
        if (args.path === 'debug') return { path: args.path, namespace: 'weir-none' };
        const part = args.kind === 'dynamic-import' ? partOf(args) : undefined;
        return part === undefined || part === own ? undefined : { path: part, namespace: 'weir-part' };
      });
      builder.onLoad({ filter: /./, namespace: 'weir-none' }, ({ path: name }) => ({
        contents: name === 'debug' ? NO_DEBUG : NO_SERIALPORT,
        loader: 'js',
      }));
      builder.onLoad({ filter: /./, namespace: 'weir-part' }, ({ path: part }) => ({
        contents: `module.exports = require('./src/platform/native.ts').loadPart(${JSON.stringify(part)});`,
        loader: 'js',
        resolveDir: root,
      }));
    },
  };
}

const nativePlugin = {
  name: 'native-through-one-door',
  setup(builder) {
    builder.onResolve({ filter: /^(node-gyp-build|bindings)$/ }, (args) => ({
      path: args.path,
      namespace: 'native-door',
    }));
    builder.onLoad({ filter: /.*/, namespace: 'native-door' }, (args) => ({
      contents: args.path === 'bindings' ? NO_BINDINGS : LAZY_SERIALPORT,
      loader: 'js',
      resolveDir: root,
    }));
    // The ES-module door of yargs asks import.meta where it is; the CommonJS one does not.
    builder.onResolve({ filter: /^yargs(\/helpers)?$/ }, async (args) => {
      if (args.pluginData === 'commonjs') return undefined;
      return builder.resolve(args.path, { resolveDir: args.resolveDir, kind: 'require-call', pluginData: 'commonjs' });
    });
  },
};

function bundle(entry, outfile, { define, part }) {
  return build({
    ...entryOf(entry),
    outfile,
    // A part is one expression, a function that loadPart() calls.
    ...(part === undefined
      ? {}
      : { banner: { js: '(function (exports, require, module, __filename, __dirname) {' }, footer: { js: '})' } }),
    absWorkingDir: root,
    bundle: true,
    platform: 'node',
    target: 'node20.11',
    format: 'cjs',
    // The source stays in the heap of every process, hence the squeeze; the limit on lines is for an uncaught
    // error, which prints the line it came from, and that must not be the whole program.
    minifyWhitespace: true,
    minifySyntax: true,
    lineLimit: 120,
    // A packed program with a code cache has no import(); require serves the built-in modules as well.
    supported: { 'dynamic-import': false },
    legalComments: 'none',
    sourcemap: 'external',
    sourcesContent: false,
    metafile: true,
    logLevel: 'warning',
    define,
    // The packages for the browser's sake are what Node has built in.
    alias: { 'readable-stream': 'node:stream' },
    plugins: [partsPlugin(part), nativePlugin],
  });
}

/** A source of ours, several as one, or an npm package. */
function entryOf(entry) {
  if (Array.isArray(entry)) {
    const contents = entry.map((source) => `export * from ${JSON.stringify(`./${source}`)};`).join('\n');
    return { stdin: { contents, resolveDir: root, loader: 'ts' } };
  }
  if (entry.startsWith('src/')) return { entryPoints: [path.join(root, entry)] };
  return { stdin: { contents: `module.exports = require(${JSON.stringify(entry)});`, resolveDir: root } };
}

function sha256(file) {
  return createHash('sha256').update(fs.readFileSync(file)).digest('hex');
}

function writeJson(file, value) {
  fs.writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`);
}

async function bundleHost() {
  const here = JSON.stringify(pathToFileURL(path.join(root, 'src/platform/native.ts')).href);
  if (!fs.existsSync(path.join(root, 'src/store-thread.ts'))) return;
  const made = await bundle('src/store-thread.ts', path.join(outDir, 'store-thread.cjs'), {
    define: { 'import.meta.url': here },
  });
  fs.writeFileSync(
    path.join(outDir, 'licences.txt'),
    licenceText({ root, metafiles: [made.metafile], nodeLicence: undefined }),
  );
}

/** Part name -> file, in the order they are laid down. */
function nativeParts() {
  const parts = {
    'better_sqlite3.node': path.join(outDir, 'better_sqlite3.node'),
    'serialport.node': path.join(root, 'node_modules/@serialport/bindings-cpp/prebuilds', target.serialportPrebuild),
    'host.node': path.join(outDir, 'host.node'),
    'weir-shim': path.join(outDir, 'weir-shim'),
  };
  const texts = path.join(root, 'src/cli/assets');
  if (fs.existsSync(texts))
    for (const text of fs.readdirSync(texts).sort()) parts[`text/${text}`] = path.join(texts, text);
  return parts;
}

async function bundleTarget() {
  const stamp = JSON.parse(fs.readFileSync(path.join(root, 'out/build/commit.json'), 'utf8'));
  /** Name in the archive -> file, and -> SHA-256 of what is there already. */
  const parts = nativeParts();
  const assets = {};
  for (const [part, file] of Object.entries(parts)) assets[part] = sha256(file);
  const buildInfo = {
    version: JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')).version,
    commit: stamp.commit,
    target: `linux-${name}`,
    builtAt: stamp.committedAt,
  };
  const optionsFor = (part) => ({
    part,
    define: {
      WEIR_BUILD: JSON.stringify(JSON.stringify({ ...buildInfo, assets })),
      'import.meta.url': 'undefined',
    },
  });
  const fileOf = (name) => path.join(outDir, name);
  const add = (name, file) => {
    parts[name] = file;
    assets[name] = sha256(file);
  };

  const thread = await bundle('src/store-thread.ts', fileOf('store-thread.cjs'), optionsFor(undefined));
  add('store-thread.cjs', fileOf('store-thread.cjs'));
  const metafiles = [thread.metafile];
  // The licences depend on what the bundles hold, and their digest is in one of them: hence the dry run.
  for (const part of Object.keys(PARTS))
    metafiles.push((await bundle(PARTS[part], fileOf(`${part}.cjs`), optionsFor(part))).metafile);
  const nodeLicence = fs.readFileSync(fileOf('node-licence.txt'), 'utf8');
  fs.writeFileSync(fileOf('licences.txt'), licenceText({ root, metafiles, nodeLicence }));
  add('text/licences.txt', fileOf('licences.txt'));

  for (const part of Object.keys(PARTS)) {
    await bundle(PARTS[part], fileOf(`${part}.cjs`), optionsFor(part));
    makeCache(part);
    add(`${part}.cjs`, fileOf(`${part}.cjs`));
    add(`${part}.cache`, fileOf(`${part}.cache`));
  }
  await bundle('src/main.ts', fileOf('weir.cjs'), optionsFor(undefined));
  writeJson(fileOf('assets.json'), parts);
}

/** V8's compiled form of a part: of its outermost level, the rest is compiled when it is called. */
function makeCache(part) {
  const program = `
    const { readFileSync, writeFileSync } = require('node:fs');
    const script = new (require('node:vm').Script)(readFileSync('${part}.cjs', 'latin1'), { filename: 'weir/${part}.cjs' });
    writeFileSync('${part}.cache', script.createCachedData());`;
  const [command, ...args] = [...target.emulator, path.join(outDir, 'node'), '-e', program];
  execFileSync(command, args, { cwd: outDir, stdio: 'inherit', env: { ...process.env, NODE_OPTIONS: '' } });
}

try {
  await (isHost ? bundleHost() : bundleTarget());
} catch (error) {
  // esbuild has told its own errors already, with the lines they come from.
  if (!Array.isArray(error.errors)) throw error;
  process.exitCode = 1;
}
