// The store thread of a simulated process: the real serveStore, in simulated time.
//
// Requests are taken one after the other; each takes some time, more while the disk stalls. A sync that goes on by
// itself ends here as well (resume), and what was taken meanwhile waits for it. Messages are copied and buffers
// transferred as between real threads. When the device halts inside a request the pipe falls silent for
// good, and the world is told. Any other error that leaves serveStore is a bug, and ends the run.

import type { Pipe, Thread } from '../../src/platform/thread.ts';
import { type ServePorts, serveStore } from '../../src/store/serve.ts';
import { Halt } from './disk.ts';
import type { SimTime } from './time.ts';

export interface SimThreadPorts {
  readonly time: SimTime;
  readonly serve: ServePorts;
  /** Milliseconds that a request of this name takes. */
  readonly workMs: (name: string) => number;
  readonly stalledUntilMs: () => number;
  readonly onHalt: (how: 'power' | 'process') => void;
  readonly onBug: (error: unknown) => void;
  /** Each reply before the main thread has it. */
  readonly onReply: (reply: unknown) => void;
}

export class SimThread implements Thread {
  readonly #ports: SimThreadPorts;
  readonly #toOwner: ((message: unknown) => void)[] = [];
  readonly #toThread: ((message: unknown) => void)[] = [];
  readonly #exits: ((error: Error | undefined) => void)[] = [];
  readonly #requests: { readonly name: string; readonly message: unknown }[] = [];
  #busy = false;
  #silent = false;

  constructor(ports: SimThreadPorts) {
    this.#ports = ports;
    const pipe: Pipe = {
      post: (message, transfer) => {
        const copy: unknown = structuredClone(message, { transfer: [...(transfer ?? [])] });
        ports.time.after(0, () => {
          if (this.#silent) return;
          ports.onReply(copy);
          for (const listener of this.#toOwner) listener(copy);
        });
      },
      onMessage: (listener) => void this.#toThread.push(listener),
    };
    serveStore(pipe, ports.serve);
  }

  post(message: unknown, transfer?: readonly ArrayBuffer[]): void {
    const copy: unknown = structuredClone(message, { transfer: [...(transfer ?? [])] });
    this.#requests.push({ name: (message as { name: string }).name, message: copy });
    this.#work();
  }

  onMessage(listener: (message: unknown) => void): void {
    this.#toOwner.push(listener);
  }

  onExit(listener: (error: Error | undefined) => void): void {
    this.#exits.push(listener);
  }

  terminate(): Promise<void> {
    this.#end(undefined);
    return Promise.resolve();
  }

  /** The thread ends by itself, as out of memory; the process goes on. */
  crash(): void {
    this.#end(new Error('out of memory'));
  }

  /** Something that the thread waits for is over, when the disk does not stall. */
  resume(work: () => void): void {
    const { time, stalledUntilMs } = this.#ports;
    const stallMs = stalledUntilMs() - time.nowMs;
    if (this.#silent) return;
    if (stallMs > 0) time.after(stallMs, () => this.resume(work));
    else this.#guard(work);
  }

  /** Its process is gone: nobody is told anything. */
  silence(): void {
    this.#silent = true;
  }

  #end(error: Error | undefined): void {
    if (this.#silent) return;
    this.#silent = true;
    this.#ports.time.after(0, () => {
      for (const listener of this.#exits) listener(error);
    });
  }

  #work(): void {
    const request = this.#requests[0];
    if (this.#busy || this.#silent || request === undefined) return;
    this.#busy = true;
    const { time, workMs, stalledUntilMs } = this.#ports;
    const begin = (): void => {
      if (this.#silent) return;
      const stallMs = stalledUntilMs() - time.nowMs;
      if (stallMs > 0) {
        time.after(stallMs, begin);
        return;
      }
      this.#requests.shift();
      this.#guard(() => {
        for (const listener of this.#toThread) listener(request.message);
      });
      this.#busy = false;
      this.#work();
    };
    time.after(workMs(request.name), begin);
  }

  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#silent = true;
      if (error instanceof Halt) this.#ports.onHalt(error.how);
      else this.#ports.onBug(error);
    }
  }
}
