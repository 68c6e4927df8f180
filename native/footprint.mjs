// Runs test/footprint/footprint.ts: bundled first, because Node does not run TypeScript by itself.
//
//   node footprint.mjs [--json]
import * as path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);
const outfile = path.join(root, 'out/build/footprint.mjs');
await build({
  entryPoints: [path.join(root, 'test/footprint/footprint.ts')],
  outfile,
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20.11',
  packages: 'external',
  logLevel: 'warning',
});
await import(pathToFileURL(outfile).href);
