// Parts of the bench that have a process of their own: bundled once, run with a JSON argument, answer with one JSON line.

import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { promisify } from 'node:util';
import { build } from 'esbuild';
import { bundleStoreThread } from '../../support/store-thread.ts';
import type { Result } from '../figures.ts';

const run = promisify(execFile);
const timeoutMs = 900_000;
const childNames = ['direct-store', 'sqlite-alone', 'mqtt-client'] as const;

export type ChildName = (typeof childNames)[number];
export type Order = Readonly<Record<string, unknown>>;

/** The children's files are `directory/<name>.cjs`, beside the store thread. */
export async function bundleChildren(directory: string): Promise<void> {
  await bundleStoreThread(directory);
  await build({
    entryPoints: childNames.map((name) => join(process.cwd(), 'test/bench/store', `${name}.ts`)),
    outdir: directory,
    outExtension: { '.js': '.cjs' },
    bundle: true,
    platform: 'node',
    format: 'cjs',
    target: 'node20',
    logLevel: 'error',
    external: ['better-sqlite3'],
    define: {
      'import.meta.url': JSON.stringify(pathToFileURL(join(process.cwd(), 'src/platform/native.ts')).href),
    },
  });
}

export interface Children {
  /** Where bundleChildren() put them. */
  readonly directory: string;
  /** Processor profiles of the store's process go here. */
  readonly profiles: string | undefined;
}

/** Runs a child to its end. Rejects with what it said when it ends badly. */
export async function child({ directory, profiles }: Children, name: ChildName, order: Order): Promise<Result> {
  const profile = profiles === undefined || name !== 'direct-store' ? [] : ['--cpu-prof', `--cpu-prof-dir=${profiles}`];
  const args = [...profile, '--expose-gc', join(directory, `${name}.cjs`), JSON.stringify({ directory, ...order })];
  const { stdout } = await run(process.execPath, args, {
    timeout: timeoutMs,
    env: { ...process.env, NODE_PATH: join(process.cwd(), 'node_modules') },
  });
  const result: unknown = JSON.parse(stdout);
  if (typeof result !== 'object' || result === null) throw new TypeError(`${name} said ${stdout}`);
  return result as Result;
}
