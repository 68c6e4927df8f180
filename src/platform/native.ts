// The only door to what is not in the running bundle: addons, shim, texts, and the program's other parts.
//
// Owns loading. In the packed executable every part comes from the archive at its end (asset-archive.ts) and,
// where it must be a file, through the private directory (extraction.ts). In a development tree the same parts
// come from node_modules and out/host; `make dev` builds them.
//
// Invariants
//   Nothing is loaded whose SHA-256 is not the one compiled into this program.
//   An addon is loaded once for each thread: its JavaScript side keeps state on the object it was given.
//
// The one piece of module state here is that memo of loaded addons. It mirrors the loader's own, which is
// global to the thread as well: two copies of the object would be two halves of one library.
//
// WEIR_BUILD is put in by the bundler (native/pack/bundle.mjs) and does not exist in a development tree;
// neither does import.meta.url in the bundle, where it is replaced by undefined.

import * as fs from 'node:fs';
import * as path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Script } from 'node:vm';
import { readAsset } from './asset-archive.ts';
import { extractAsset } from './extraction.ts';
import { NativeError } from './native-error.ts';
import type { ThreadSource } from './thread.ts';

/** JSON of a PackedBuild. */
declare const WEIR_BUILD: string | undefined;

interface PackedBuild extends BuildInfo {
  /** Part name -> SHA-256, 64 lower-case hex digits. */
  readonly assets: Readonly<Record<string, string>>;
}

export interface BuildInfo {
  /** The version of package.json. */
  readonly version: string;
  /** Abbreviated commit, with `+` behind it when the tree had changes; `development` outside the executable. */
  readonly commit: string;
  /** `linux-x64`, `linux-arm64` or `linux-armv7`; `development` outside the executable. */
  readonly target: string;
  /** RFC 3339, the time of the commit, so that the same sources give the same bytes. */
  readonly builtAt: string;
}

export type NativeAddonName = 'better_sqlite3' | 'serialport' | 'host';

const loaded = new Map<NativeAddonName, unknown>();

function packed(): PackedBuild | undefined {
  return typeof WEIR_BUILD === 'undefined' ? undefined : (JSON.parse(WEIR_BUILD) as PackedBuild);
}

/** The top of the development tree: two folders above this file, unless WEIR_DEV_ROOT says otherwise. */
function developmentRoot(): string {
  const named = process.env['WEIR_DEV_ROOT'];
  if (named !== undefined && named !== '') return path.resolve(named);
  return path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
}

function developmentFile(relative: string): string {
  const file = path.join(developmentRoot(), relative);
  if (!fs.existsSync(file)) throw new NativeError('PLATFORM_ASSET_MISSING', `${file} is missing; run: make dev`);
  return file;
}

function digestOf(assets: Readonly<Record<string, string>>, name: string): string {
  const sha256 = assets[name];
  if (sha256 === undefined)
    throw new NativeError('PLATFORM_ASSET_MISSING', `this executable was built without the part ${name}`);
  return sha256;
}

/** A part of the running executable. When an upgrade put another file in its place, the kernel still has ours. */
function packedAsset(name: string, sha256: string): Buffer {
  try {
    return readAsset(process.execPath, name, sha256);
  } catch {
    return readAsset('/proc/self/exe', name, sha256);
  }
}

function extracted(assets: Readonly<Record<string, string>>, name: string): string {
  const sha256 = digestOf(assets, name);
  return extractAsset({ name, sha256, read: () => packedAsset(name, sha256) }, process.env);
}

function developmentAddon(name: NativeAddonName): string {
  switch (name) {
    case 'better_sqlite3':
      return developmentFile('node_modules/better-sqlite3/build/Release/better_sqlite3.node');
    case 'serialport':
      return developmentFile(
        process.arch === 'arm64'
          ? 'node_modules/@serialport/bindings-cpp/prebuilds/linux-arm64/@serialport+bindings-cpp.armv8.glibc.node'
          : 'node_modules/@serialport/bindings-cpp/prebuilds/linux-x64/@serialport+bindings-cpp.glibc.node',
      );
    case 'host':
      return developmentFile('out/host/host.node');
  }
}

/**
 * The exports of a native addon, loaded at the first call.
 * Throws NativeError, or the loader's own error when the machine lacks a library the addon needs.
 */
export function nativeAddon(name: NativeAddonName): unknown {
  const known = loaded.get(name);
  if (known !== undefined) return known;
  const build = packed();
  const file = build === undefined ? developmentAddon(name) : extracted(build.assets, `${name}.node`);
  const holder: { exports: unknown } = { exports: {} };
  process.dlopen(holder, file);
  loaded.set(name, holder.exports);
  return holder.exports;
}

/** The path of weir-shim, verified now. Ask again before each use: whoever cleans caches may have removed it. */
export function shimPath(): string {
  const build = packed();
  return build === undefined ? developmentFile('out/host/weir-shim') : extracted(build.assets, 'weir-shim');
}

/** The program of the store thread: its code from the executable, a file in a development tree. */
export function storeThreadSource(): ThreadSource {
  const build = packed();
  if (build === undefined) return { path: developmentFile('out/host/store-thread.cjs') };
  const name = 'store-thread.cjs';
  return { code: packedAsset(name, digestOf(build.assets, name)).toString('utf8') };
}

/** What every part is, when the bundler is done with it: a function with the parameters of a CommonJS module. */
type PartProgram = (
  ...parameters: [exports: unknown, require: unknown, module: unknown, file: string, directory: string]
) => void;

/** A packed program's own: it knows the built-in modules and nothing else. */
declare const require: unknown;

/**
 * The exports of a part of the program. The bundler puts calls of this where the sources say `import()`; the
 * importer keeps the result. Each part has its own copy of what it shares with others, so that a class of one
 * part is not the class of another: what crosses is told apart by its fields, not by instanceof.
 */
export function loadPart(name: string): unknown {
  const build = packed();
  if (build === undefined) throw new NativeError('PLATFORM_ASSET_MISSING', `${name} is a part of the executable only`);
  const read = (file: string): Buffer => packedAsset(file, digestOf(build.assets, file));
  // V8 takes the compiled form only when it was made by this very version, and compiles anew otherwise.
  const script = new Script(read(`${name}.cjs`).toString('latin1'), {
    filename: `weir/${name}.cjs`,
    cachedData: read(`${name}.cache`),
  });
  const module = { exports: {} };
  const { execPath } = process;
  (script.runInThisContext() as PartProgram)(module.exports, require, module, execPath, path.dirname(execPath));
  return module.exports;
}

export function buildInfo(): BuildInfo {
  const build = packed();
  if (build !== undefined)
    return { version: build.version, commit: build.commit, target: build.target, builtAt: build.builtAt };
  const manifest: unknown = JSON.parse(fs.readFileSync(developmentFile('package.json'), 'utf8'));
  const version: unknown =
    typeof manifest === 'object' && manifest !== null ? Reflect.get(manifest, 'version') : undefined;
  return {
    version: String(version),
    commit: 'development',
    target: 'development',
    builtAt: new Date(0).toISOString(),
  };
}

/** The licences of everything inside the executable, as one text. */
export function licenceNotices(): string {
  return embeddedText('licences.txt');
}

/** A text of src/cli/assets/ by its file name (the systemd unit, the sample configuration). */
export function embeddedText(name: string): string {
  const build = packed();
  if (build !== undefined) return packedAsset(`text/${name}`, digestOf(build.assets, `text/${name}`)).toString('utf8');
  const file =
    name === 'licences.txt' ? developmentFile('out/host/licences.txt') : developmentFile(`src/cli/assets/${name}`);
  return fs.readFileSync(file, 'utf8');
}
