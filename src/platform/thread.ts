// A worker thread as a parameter: a typed pipe to code that runs beside the event loop.
//
// Used by the store, so that an fsync never stalls the broker. Buffers listed in `transfer` change owner without
// a copy. A thread that dies reports it once; restarting is its owner's decision.

import { type MessagePort, parentPort, type TransferListItem, Worker, workerData } from 'node:worker_threads';

export interface Pipe {
  post(message: unknown, transfer?: readonly ArrayBuffer[]): void;
  onMessage(listener: (message: unknown) => void): void;
}

export interface Thread extends Pipe {
  onExit(listener: (error: Error | undefined) => void): void;
  /** Ends the thread at once. An orderly end is a message of the protocol spoken over the pipe. */
  terminate(): Promise<void>;
}

export type ThreadSource = { readonly code: string } | { readonly path: string };

/**
 * Of a thread's heap, where new objects are: three times a half of the young generation. A thread lives on messages
 * whose bytes are elsewhere; what V8 would let it grow to is memory for each thread.
 */
const resourceLimits = { maxYoungGenerationSizeMb: 3 };

export function startThread(source: ThreadSource, data: unknown): Thread {
  // The thread's source is whole: it needs no loader that its maker was started with.
  const options = { workerData: data, resourceLimits, execArgv: [] };
  const worker =
    'code' in source ? new Worker(source.code, { ...options, eval: true }) : new Worker(source.path, options);
  let failure: Error | undefined;
  worker.on('error', (error: Error) => {
    failure = error;
  });
  return {
    post: (message, transfer) => worker.postMessage(message, transfer as readonly TransferListItem[] | undefined),
    onMessage: (listener) => {
      worker.on('message', listener);
    },
    onExit: (listener) => {
      worker.on('exit', () => listener(failure));
    },
    terminate: async () => {
      await worker.terminate();
    },
  };
}

/** Inside a worker thread: the pipe to its owner, and what the owner handed over at the start. */
export function insideThread(): { readonly pipe: Pipe & { close(): void }; readonly data: unknown } {
  const port = parentPort as MessagePort;
  return {
    data: workerData as unknown,
    pipe: {
      post: (message, transfer) => port.postMessage(message, transfer as readonly TransferListItem[] | undefined),
      onMessage: (listener) => {
        port.on('message', listener);
      },
      close: () => port.close(),
    },
  };
}
