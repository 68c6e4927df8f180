// What a module of `type: "process"` runs: a module inside weir, a program of this machine, or one that is fetched.
//
//   "settings": { "executable": "weir:modbus" }                                            inside weir
//   "settings": { "executable": "/opt/hello/bin/hello", "args": ["-v"], "cwd": "/opt" }     there already
//   "settings": { "executable": "bin/hello", "source": { "url": "https://…/hello.tar.gz",
//                 "sha256": "<64 hex>", "size": 123456 } }                                  fetched; path in the archive
//   "settings": { "executable": "app.js", "runtime": "node", "source": {…} }                JavaScript on weir's own Node
//
// A fetched program is named by its digest, so what runs is what was deployed, whoever serves the address.

import { moduleSourceBytesMax } from '../limits.ts';
import type { FieldReader } from './field-reader.ts';

export interface ProgramSource {
  readonly url: string;
  /** 64 hexadecimal digits, small letters. */
  readonly sha256: string;
  readonly sizeBytes: number;
  /** Node's word, where the manifest says what the program is built for. */
  readonly architecture: string | undefined;
}

export interface BuiltinProgram {
  readonly kind: 'builtin';
  readonly name: string;
}

export interface ExecutableProgram {
  readonly kind: 'executable';
  /** Absolute, or with a source relative to what is fetched. */
  readonly path: string;
  readonly runtime: 'native' | 'node';
  readonly args: readonly string[];
  /** Absolute, or with a source relative to what is fetched. */
  readonly cwd: string | undefined;
  readonly source: ProgramSource | undefined;
}

const builtinPrefix = 'weir:';
const scriptPattern = /\.[cm]?js$/;
const digestPattern = /^[0-9a-f]{64}$/i;

/** Uname's, Docker's and Node's words for what this executable is built for. */
const architectures: Readonly<Record<string, string>> = {
  x64: 'x64',
  amd64: 'x64',
  x86_64: 'x64',
  arm64: 'arm64',
  aarch64: 'arm64',
  arm: 'arm',
  armv7: 'arm',
  armv7l: 'arm',
  armhf: 'arm',
};

/** Node's word for an architecture in anybody's words; the word itself when it is none of weir's. */
export function architectureWord(text: string): string {
  const word = text.trim().toLowerCase();
  return Object.hasOwn(architectures, word) ? (architectures[word] ?? word) : word;
}

export function readProgram(
  settings: FieldReader,
  builtins: readonly string[],
): BuiltinProgram | ExecutableProgram | undefined {
  const member = settings.has('executable') || !settings.has('image') ? 'executable' : 'image';
  const executable = settings.text(member);
  if (executable === undefined || executable === '')
    return settings.complain(
      member,
      'write "weir:<built-in module>", the absolute path of a program, or with a source the path in its archive',
    );
  if (executable.startsWith(builtinPrefix)) {
    const name = executable.slice(builtinPrefix.length);
    return builtins.includes(name)
      ? { kind: 'builtin', name }
      : settings.complain(member, `${name} is not built in; built in are ${builtins.join(', ')}`);
  }
  const runtime = settings.choice('runtime', ['native', 'node'], 'native');
  const hasSource = settings.has('source');
  const source = readSource(settings);
  const cwd = settings.text('cwd');
  for (const [name, path] of [
    [member, executable],
    ['cwd', cwd],
  ] as const) {
    const fault = path === undefined ? undefined : pathFault(path, hasSource);
    if (fault !== undefined) settings.complain(name, fault);
  }
  if (runtime === 'node' && !scriptPattern.test(executable))
    settings.complain(member, `${executable} is no JavaScript file (.js, .mjs or .cjs), and runtime is "node"`);
  const args = settings.texts('args', (text) => !text.includes('\0'));
  return { kind: 'executable', path: executable, runtime, args, cwd, source };
}

function pathFault(path: string, hasSource: boolean): string | undefined {
  if (path.includes('\0')) return 'a path holds no zero byte';
  if (!hasSource) return path.startsWith('/') ? undefined : `${path} is not an absolute path`;
  if (path.startsWith('/') || path.split('/').includes('..'))
    return `${path} must be a path inside what is fetched, without .. and without / at its beginning`;
  return undefined;
}

function readSource(settings: FieldReader): ProgramSource | undefined {
  const source = settings.inside('source');
  if (source === undefined) return undefined;
  source.only(['url', 'sha256', 'size', 'architecture']);
  const url = source.text('url');
  if (url === undefined || !isFetchable(url))
    source.complain('url', 'write an address that starts with https:// or file:///');
  const sha256 = source.text('sha256');
  if (sha256 === undefined || !digestPattern.test(sha256))
    source.complain('sha256', 'write the 64 hexadecimal digits that sha256sum says');
  const sizeBytes = source.integer('size', { min: 1, max: moduleSourceBytesMax });
  if (!source.has('size')) source.complain('size', 'write the size of the file in bytes');
  const architecture = source.text('architecture');
  if (url === undefined || sha256 === undefined || sizeBytes === undefined) return undefined;
  return {
    url,
    sha256: sha256.toLowerCase(),
    sizeBytes,
    architecture: architecture === undefined ? undefined : architectureWord(architecture),
  };
}

function isFetchable(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, pathname } = new URL(text);
  return protocol === 'https:' ? hostname !== '' : protocol === 'file:' && hostname === '' && pathname.length > 1;
}
