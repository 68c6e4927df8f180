// Starts store-process.ts and reads its marks: what the crash tests have in common.

import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { bundleStoreThread } from '../support/store-thread.ts';
import { Program } from '../support/world/program.ts';
import type { Plan } from './store-life.ts';

export interface StoreProgram {
  readonly program: string;
  readonly thread: string;
}

/** Bundles the process and its thread into `directory`. */
export async function bundleStoreProgram(directory: string): Promise<StoreProgram> {
  const outfile = join(directory, 'store-process.cjs');
  const root = process.cwd();
  await bundleStoreThread(directory);
  await build({
    entryPoints: [join(root, 'test/crash/store-process.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    logLevel: 'error',
    define: { 'import.meta.url': JSON.stringify(pathToFileURL(join(root, 'src/platform/native.ts')).href) },
  });
  return { program: outfile, thread: join(directory, 'store-thread.cjs') };
}

export function startStore(
  { program, thread }: StoreProgram,
  {
    directory,
    marks,
    plan,
    env = {},
  }: {
    readonly directory: string;
    readonly marks: string;
    readonly plan: Plan;
    readonly env?: Readonly<Record<string, string>>;
  },
): Program {
  return new Program([process.execPath, program, directory, thread, marks, JSON.stringify(plan)], env);
}
