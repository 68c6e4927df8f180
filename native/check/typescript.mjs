// Lets Node run the TypeScript of this tree: `node --import ./native/check/typescript.mjs test/x.test.ts`.
//
// transpile() writes src/ and test/ as JavaScript to out/transpiled in one go, a second for all of it; a module is then
// loaded from there under its own address, so that import.meta.url, imports and stack traces name the source. A
// compiler in each of three hundred test processes would cost two seconds of processor time in every one of them.
import * as fs from 'node:fs';
import { register } from 'node:module';
import * as path from 'node:path';
import { isMainThread } from 'node:worker_threads';

const root = new URL('../../', import.meta.url).href;

/** Writes out/transpiled anew. Throws what esbuild says of a file that is not TypeScript. */
export async function transpile() {
  const { build } = await import('esbuild');
  const entryPoints = ['src', 'test'].flatMap((folder) =>
    fs
      .readdirSync(folder, { recursive: true })
      .filter((file) => file.endsWith('.ts'))
      .map((file) => path.join(folder, file)),
  );
  fs.rmSync('out/transpiled', { recursive: true, force: true });
  await build({
    entryPoints,
    outdir: 'out/transpiled',
    outbase: '.',
    format: 'esm',
    target: 'node20.11',
    sourcemap: 'inline',
    sourcesContent: false,
    logLevel: 'error',
  });
}

/** Node's hook: see https://nodejs.org/api/module.html#loadurl-context-nextload. */
export async function load(url, context, next) {
  if (!url.startsWith(root) || !url.endsWith('.ts')) return next(url, context);
  const written = new URL(`out/transpiled/${url.slice(root.length, -'.ts'.length)}.js`, root);
  return { format: 'module', source: await fs.promises.readFile(written), shortCircuit: true };
}

if (isMainThread) register(import.meta.url);
