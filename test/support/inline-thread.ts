// A store thread without a thread: the same serveStore over a pipe that copies and transfers like the real one.
//
// Each message is delivered in a turn of its own (setImmediate), in order. `die()` is what an uncaught error does
// to a worker: the pipe falls silent, the database handle is closed by the runtime, the owner is told once.
//
// A real disk syncs while its caller waits: what goes on by itself takes its own time, which is not the test's clock.
// Simulated files may do otherwise (SimFiles.later).

import { type LogFiles, systemLogFiles } from '../../src/platform/log-files.ts';
import type { SqliteDatabase } from '../../src/platform/sqlite.ts';
import type { Pipe, Thread } from '../../src/platform/thread.ts';
import type { ServePorts } from '../../src/store/serve.ts';
import { serveStore } from '../../src/store/serve.ts';
import { SimFiles } from './sim-files.ts';

/** What a test does not care about is the machine's, with a disk that is never short of space. */
export type InlinePorts = Pick<ServePorts, 'sqlite' | 'entropy'> & Partial<ServePorts>;

export class InlineThread implements Thread {
  readonly #toOwner: ((message: unknown) => void)[] = [];
  readonly #toThread: ((message: unknown) => void)[] = [];
  readonly #exits: ((error: Error | undefined) => void)[] = [];
  readonly #open = new Set<SqliteDatabase>();
  /** Requests by name, as they arrived. */
  readonly requests: string[] = [];
  /** While set, requests wait unanswered: a disk that stalls. */
  #held: unknown[] | undefined;
  #dead = false;

  constructor(ports: InlinePorts) {
    const { sqlite } = ports;
    const pipe: Pipe = {
      post: (message, transfer) => this.#deliver(this.#toOwner, message, transfer),
      onMessage: (listener) => void this.#toThread.push(listener),
    };
    const tracked = {
      ...sqlite,
      open: (file: string): SqliteDatabase => {
        const database = sqlite.open(file);
        this.#open.add(database);
        const close = (): void => {
          this.#open.delete(database);
          database.close();
        };
        return { ...database, close };
      },
    };
    const fileSystem = { space: () => undefined };
    serveStore(pipe, { fileSystem, ...ports, files: waiting(ports.files), sqlite: tracked });
  }

  post(message: unknown, transfer?: readonly ArrayBuffer[]): void {
    const copy = structuredClone(message, { transfer: [...(transfer ?? [])] });
    this.requests.push((message as { name: string }).name);
    if (this.#held !== undefined) this.#held.push(copy);
    else this.#deliver(this.#toThread, copy);
  }

  onMessage(listener: (message: unknown) => void): void {
    this.#toOwner.push(listener);
  }

  onExit(listener: (error: Error | undefined) => void): void {
    this.#exits.push(listener);
  }

  hold(): void {
    this.#held = [];
  }

  resume(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const message of held) this.#deliver(this.#toThread, message);
  }

  die(error?: Error): void {
    if (this.#dead) return;
    this.#dead = true;
    // A worker that ends closes its handles without a checkpoint; a copy of the log is what tests of that need.
    for (const database of this.#open) database.close();
    setImmediate(() => {
      for (const listener of this.#exits) listener(error);
    });
  }

  terminate(): Promise<void> {
    this.die();
    return Promise.resolve();
  }

  #deliver(
    listeners: readonly ((message: unknown) => void)[],
    message: unknown,
    transfer?: readonly ArrayBuffer[],
  ): void {
    const copy = transfer === undefined ? message : structuredClone(message, { transfer: [...transfer] });
    setImmediate(() => {
      if (this.#dead) return;
      try {
        for (const listener of listeners) listener(copy);
      } catch (error) {
        if (listeners === this.#toThread) this.die(error as Error);
        else throw error;
      }
    });
  }
}

function waiting(files: LogFiles = systemLogFiles()): LogFiles {
  return files instanceof SimFiles ? files : { ...files, syncDataLater: undefined };
}
