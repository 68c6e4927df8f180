// A program under test: started, watched, killed; its output kept for the report of a failing test.

import { type ChildProcess, spawn } from 'node:child_process';

export interface ProgramResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

const outputBytesMax = 4_000_000;

export class Program {
  readonly #child: ChildProcess;
  readonly #exited: Promise<void>;
  /** Nothing more comes: it has ended, and all that it said has been read. */
  #isOver = false;
  stdout = '';
  stderr = '';

  constructor(command: readonly string[], env: Readonly<Record<string, string>>) {
    const [file, ...args] = command;
    this.#child = spawn(file ?? '', args, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } });
    this.#child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout = (this.stdout + text).slice(-outputBytesMax);
    });
    this.#child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr = (this.stderr + text).slice(-outputBytesMax);
    });
    this.#exited = new Promise((resolve) => {
      for (const end of ['close', 'error'])
        this.#child.once(end, () => {
          this.#isOver = true;
          resolve();
        });
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get running(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<void> {
    if (this.running) this.#child.kill(signal);
    await this.#exited;
  }

  /** Resolves with the first whole line of standard output that holds `mark`. Rejects when the program ends first. */
  async line(mark: string, timeoutMs: number): Promise<string> {
    return until(`${mark} in the output of pid ${this.pid}`, timeoutMs, () => {
      const isOver = this.#isOver;
      const lines = this.stdout.split('\n').slice(0, isOver ? undefined : -1);
      const line = lines.find((text) => text.includes(mark));
      if (line === undefined && isOver)
        throw new TypeError(
          `the program ended with ${this.#child.exitCode ?? this.#child.signalCode}:\n${this.stdout}${this.stderr}`,
        );
      return line;
    });
  }

  async result(): Promise<ProgramResult> {
    await this.#exited;
    return { code: this.#child.exitCode, stdout: this.stdout, stderr: this.stderr };
  }
}

const pollMs = 25;

/** Asks until there is an answer: what happens in other processes is only seen by looking. */
export async function until<T>(
  what: string,
  timeoutMs: number,
  look: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  const endMs = performance.now() + timeoutMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > endMs) throw new TypeError(`${what}: not within ${timeoutMs} ms`);
    await new Promise((resolve) => setTimeout(resolve, pollMs));
  }
}
