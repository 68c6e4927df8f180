// Starts store-process.ts: what the crash tests have in common.

import { type ChildProcess, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import { bundleStoreThread } from '../support/store-thread.ts';
import { Program } from '../support/world/program.ts';
import type { Plan } from './store-life.ts';
import type { LifeReply, LifeRequest } from './store-process.ts';

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
  return new Program([process.execPath, program, thread, directory, marks, JSON.stringify(plan)], env);
}

/** A process in which one store after the other is opened, looked at and closed. */
export class StoreHost {
  readonly #child: ChildProcess;
  readonly #replies: AsyncIterator<string>;

  constructor({ program, thread }: StoreProgram) {
    this.#child = spawn(process.execPath, [program, thread], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.#replies = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  async live(request: LifeRequest): Promise<LifeReply> {
    this.#child.stdin!.write(`${JSON.stringify(request)}\n`);
    const { value, done } = await this.#replies.next();
    if (done === true) return { marks: [], log: 'the process ended in the middle of a life' };
    return JSON.parse(value) as LifeReply;
  }

  async close(): Promise<void> {
    const gone = new Promise((resolve) => this.#child.once('close', resolve));
    this.#child.stdin!.end();
    await gone;
  }
}
