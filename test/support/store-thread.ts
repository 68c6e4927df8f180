// The real store thread for tests: src/store-thread.ts bundled like the build does it, started as a worker.

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { startThread, type Thread } from '../../src/platform/thread.ts';

/** Bundles into `directory` and answers what starts a thread of it. */
export async function bundleStoreThread(directory: string): Promise<() => Thread> {
  const outfile = join(directory, 'store-thread.cjs');
  const root = process.cwd();
  await build({
    entryPoints: [join(root, 'src/store-thread.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    logLevel: 'error',
    define: { 'import.meta.url': JSON.stringify(pathToFileURL(join(root, 'src/platform/native.ts')).href) },
  });
  return () => startThread({ path: outfile }, undefined);
}
