// The ledger module as a file that the gateway can run: bundled once a test process.

import { join } from 'node:path';
import { build } from 'esbuild';

export async function bundleLedgerModule(directory: string): Promise<string> {
  const outfile = join(directory, 'ledger.cjs');
  await build({
    entryPoints: [join(process.cwd(), 'test/support/world/ledger-module.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    external: ['serialport', '@serialport/*', 'modbus-serial', 'better-sqlite3'],
    logLevel: 'error',
    define: { 'import.meta.url': '""' },
  });
  return outfile;
}
