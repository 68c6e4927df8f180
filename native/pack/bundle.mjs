// Bundles the TypeScript sources into the JavaScript of one target, and gathers the parts that go with it.
//
//   node bundle.mjs x64|arm64|armv7     out/build/TARGET/weir.cjs (+ .map) and out/build/TARGET/assets.json
//   node bundle.mjs host                out/host/store-thread.cjs and out/host/licences.txt, for development
//
// assets.json lists every part for the archive at the end of the executable, name -> file; the digests of the
// parts are compiled into the bundle (WEIR_BUILD), which is what makes the archive trustworthy.
//
// Nothing in the bundle may load a .node file by its path: the two packages that would (bindings and
// node-gyp-build) are replaced, so that every addon comes through src/platform/native.ts.
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

function bundle(entry, outfile, define) {
  return build({
    entryPoints: [path.join(root, entry)],
    outfile,
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
    plugins: [nativePlugin],
  });
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
  const made = await bundle('src/store-thread.ts', path.join(outDir, 'store-thread.cjs'), { 'import.meta.url': here });
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
    'peercred.node': path.join(outDir, 'peercred.node'),
    'weir-shim': path.join(outDir, 'weir-shim'),
  };
  const texts = path.join(root, 'src/cli/assets');
  if (fs.existsSync(texts))
    for (const text of fs.readdirSync(texts).sort()) parts[`text/${text}`] = path.join(texts, text);
  return parts;
}

async function bundleTarget() {
  const stamp = JSON.parse(fs.readFileSync(path.join(root, 'out/build/commit.json'), 'utf8'));
  const parts = nativeParts();
  const assets = {};
  for (const [part, file] of Object.entries(parts)) assets[part] = sha256(file);
  const buildInfo = {
    version: JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8')).version,
    commit: stamp.commit,
    target: `linux-${name}`,
    builtAt: stamp.committedAt,
  };
  const defineFor = (known) => ({
    WEIR_BUILD: JSON.stringify(JSON.stringify({ ...buildInfo, assets: known })),
    'import.meta.url': 'undefined',
  });

  const threadFile = path.join(outDir, 'store-thread.cjs');
  const thread = await bundle('src/store-thread.ts', threadFile, defineFor({ ...assets }));
  const addText = (part, file) => {
    parts[part] = file;
    assets[part] = sha256(file);
  };
  addText('store-thread.cjs', threadFile);

  // The licences depend on what the bundle holds, and their digest is in it: hence the dry run.
  const entry = 'src/main.ts';
  const draft = await bundle(entry, path.join(outDir, 'weir.cjs'), defineFor(assets));
  const licences = path.join(outDir, 'licences.txt');
  fs.writeFileSync(
    licences,
    licenceText({
      root,
      metafiles: [draft.metafile, thread.metafile],
      nodeLicence: fs.readFileSync(path.join(outDir, 'node-licence.txt'), 'utf8'),
    }),
  );
  addText('text/licences.txt', licences);
  await bundle(entry, path.join(outDir, 'weir.cjs'), defineFor(assets));
  writeJson(path.join(outDir, 'assets.json'), parts);
}

try {
  await (isHost ? bundleHost() : bundleTarget());
} catch (error) {
  // esbuild has told its own errors already, with the lines they come from.
  if (!Array.isArray(error.errors)) throw error;
  process.exitCode = 1;
}
