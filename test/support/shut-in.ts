// Modules under the real shim, shut in by its options, and the hostile one that tries to get out of them.

import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  chmodSync,
  chownSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Test } from 'tap';
import { wholeTree } from './removal.ts';
import { shimBinary } from './shim-binary.ts';

const hostileSource = join(import.meta.dirname, '../native/hostile/hostile.c');
const outDirectory = join(import.meta.dirname, '../../out/test');
/** A guard against hangs: a busy machine takes its time. */
const patienceMs = 120_000;

/** Nobody's: no account of this machine has it. */
export const moduleUid = 64_123;
export const asModule: readonly string[] = ['--uid', String(moduleUid), '--gid', String(moduleUid)];

export interface Ended {
  readonly code: number | null;
  readonly signal: number | null;
  readonly reason: string;
  readonly message: string;
  readonly uptimeMs: number;
  readonly oomKilled: boolean;
}

export interface Running {
  readonly pid: number;
  readonly shimPid: number;
  readonly lacking: readonly string[];
}

/** Path of the hostile program; compiled when its source changed. */
function hostileBinary(): string {
  const digest = createHash('sha256').update(readFileSync(hostileSource)).digest('hex').slice(0, 16);
  const binary = join(outDirectory, `hostile-${digest}`);
  if (existsSync(binary)) return binary;
  mkdirSync(outDirectory, { recursive: true });
  const fresh = `${binary}.${process.pid}`;
  const flags = ['-std=gnu11', '-static', '-O1', '-Wall', '-Wextra', '-Werror'];
  execFileSync('gcc', [...flags, hostileSource, '-o', fresh], { stdio: 'inherit' });
  renameSync(fresh, binary);
  return binary;
}

/** A directory with the modules of one test; everything of it ends with the test. */
export class Cells {
  /** Everybody may pass through it. */
  readonly root: string;
  readonly hostile: string;
  readonly #test: Test;
  #count = 0;

  constructor(test: Test) {
    this.#test = test;
    this.root = mkdtempSync(join(tmpdir(), 'weir-cells-'));
    chmodSync(this.root, 0o755);
    test.teardown(() => rmSync(this.root, wholeTree));
    this.hostile = join(this.root, 'hostile');
    copyFileSync(hostileBinary(), this.hostile);
    chmodSync(this.hostile, 0o755);
  }

  /** A directory that belongs to the modules' user. */
  directory(name: string): string {
    const path = join(this.root, name);
    mkdirSync(path, { recursive: true });
    chownSync(path, moduleUid, moduleUid);
    return path;
  }

  start(command: readonly string[], options: readonly string[] = []): Cell {
    this.#count += 1;
    const cell = new Cell(join(this.root, `cell-${this.#count}`), command, options);
    this.#test.teardown(() => cell.end());
    return cell;
  }

  /** What the hostile program said of its attack. */
  async attack(attack: readonly string[], options: readonly string[]): Promise<string> {
    const cell = this.start([this.hostile, ...attack], options);
    await cell.ended();
    return cell.said()[0] ?? `nothing: ${cell.exit().message}`;
  }
}

export class Cell {
  readonly dir: string;
  readonly #process: ChildProcess;
  readonly #closed: Promise<number | null>;
  #errors = '';

  constructor(dir: string, command: readonly string[], options: readonly string[]) {
    this.dir = dir;
    mkdirSync(dir);
    const log = ['--log', join(dir, 'log'), '--log-bytes', '1000000', '--log-files', '2'];
    const args = ['--dir', dir, ...log, ...options, '--', ...command];
    this.#process = spawn(shimBinary(), args, {
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
      env: { PATH: '/usr/bin:/bin', NOTIFY_SOCKET: join(dir, 'notify.sock') },
    });
    this.#process.stderr?.on('data', (chunk: Buffer) => {
      this.#errors += chunk.toString();
    });
    this.#closed = new Promise((resolve) => this.#process.once('close', (code) => resolve(code)));
  }

  /** Resolves when the shim is gone; rejects when it could not do its work. */
  async ended(): Promise<Ended> {
    const code = await this.#closed;
    if (code !== 0) throw new Error(`the shim ended with ${code}: ${this.#errors}`);
    return this.exit();
  }

  exit(): Ended {
    return JSON.parse(readFileSync(join(this.dir, 'exit.json'), 'utf8')) as Ended;
  }

  async running(): Promise<Running> {
    await until('the module runs', () => existsSync(join(this.dir, 'state.json')));
    return this.state();
  }

  state(): Running {
    return JSON.parse(readFileSync(join(this.dir, 'state.json'), 'utf8')) as Running;
  }

  /** Lines of the module's standard output so far, without their stamps. */
  said(): readonly string[] {
    return this.#lines(/^\S+ O (.*)$/);
  }

  /** Remarks of the shim. */
  remarks(): readonly string[] {
    return this.#lines(/^\S+ S (.*)$/);
  }

  /** Everything that descends from the module, by the variable that only they have. */
  processes(): readonly number[] {
    const mark = `NOTIFY_SOCKET=${join(this.dir, 'notify.sock')}`;
    return readdirSync('/proc').flatMap((name) => {
      if (!/^\d+$/.test(name) || Number(name) === this.#process.pid) return [];
      try {
        return readFileSync(`/proc/${name}/environ`, 'utf8').split('\0').includes(mark) ? [Number(name)] : [];
      } catch {
        return []; // gone meanwhile
      }
    });
  }

  signal(name: 'SIGTERM' | 'SIGKILL'): void {
    this.#process.kill(name);
  }

  async end(): Promise<void> {
    this.#process.kill('SIGTERM');
    const late = setTimeout(() => this.#process.kill('SIGKILL'), patienceMs);
    await this.#closed;
    clearTimeout(late);
  }

  #lines(form: RegExp): readonly string[] {
    const path = join(this.dir, 'log');
    if (!existsSync(path)) return [];
    return readFileSync(path, 'utf8')
      .split('\n')
      .flatMap((line) => form.exec(line)?.[1] ?? []);
  }
}

export async function until(what: string, look: () => boolean): Promise<void> {
  const deadline = performance.now() + patienceMs;
  while (!look()) {
    if (performance.now() > deadline) throw new Error(`did not happen: ${what}`);
    await pause(5);
  }
}
