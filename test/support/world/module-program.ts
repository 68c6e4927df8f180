// A test's own module as a file that the gateway can run with Node: bundled once a test process.
//
// Packages stay outside of the bundle and are found through NODE_PATH (`moduleEnv`): SDKs run as they were published.

import { join } from 'node:path';
import { build } from 'esbuild';

export const moduleEnv: Readonly<Record<string, string>> = { NODE_PATH: join(process.cwd(), 'node_modules') };

/** Bundles `test/support/world/<name>.ts`; the path of the program. */
export async function bundleModule(name: string, directory: string): Promise<string> {
  const outfile = join(directory, `${name}.cjs`);
  await build({
    entryPoints: [join(process.cwd(), 'test/support/world', `${name}.ts`)],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    packages: 'external',
    logLevel: 'error',
    define: { 'import.meta.url': '""' },
  });
  return outfile;
}
