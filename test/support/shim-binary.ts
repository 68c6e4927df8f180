// The shim as a program for tests: compiled once per content of its sources, into out/test/.

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from 'node:fs';
import { join } from 'node:path';

const sourceDirectory = join(import.meta.dirname, '../../native/weir-shim');
const outDirectory = join(import.meta.dirname, '../../out/test');

/** Path of the compiled shim; compiles it when its sources changed. */
export function shimBinary(): string {
  const sources = readdirSync(sourceDirectory)
    .filter((name) => /\.[ch]$/.test(name))
    .sort();
  const hash = createHash('sha256');
  for (const name of sources) hash.update(readFileSync(join(sourceDirectory, name)));
  const binary = join(outDirectory, `weir-shim-${hash.digest('hex').slice(0, 16)}`);
  if (existsSync(binary)) return binary;
  mkdirSync(outDirectory, { recursive: true });
  // Under a name of its own first: test files run side by side.
  const fresh = `${binary}.${process.pid}`;
  const cFiles = sources.filter((name) => name.endsWith('.c')).map((name) => join(sourceDirectory, name));
  execFileSync('gcc', ['-std=c11', '-static', '-Os', '-s', '-Wall', '-Wextra', '-Werror', ...cFiles, '-o', fresh], {
    stdio: 'inherit',
  });
  renameSync(fresh, binary);
  return binary;
}
