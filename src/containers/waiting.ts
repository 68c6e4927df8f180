// Waiting that ends early when nobody wants its result any more.

/** Resolves when the signal is aborted; ends with `end`, so that a long-lived signal keeps no listener. */
export function whenAborted(signal: AbortSignal): { readonly promise: Promise<void>; readonly end: () => void } {
  if (signal.aborted) return { promise: Promise.resolve(), end: () => undefined };
  let done: () => void = () => undefined;
  const promise = new Promise<void>((resolve) => {
    done = resolve;
    signal.addEventListener('abort', done, { once: true });
  });
  return {
    promise,
    end: () => {
      signal.removeEventListener('abort', done);
      done();
    },
  };
}

export interface Linked {
  readonly signal: AbortSignal;
  abort(): void;
  /** The others are let go of. */
  unlink(): void;
}

/** A signal that is aborted with any of the others. Not AbortSignal.any: that one holds on to long-lived signals. */
export function linkedSignal(...others: readonly (AbortSignal | undefined)[]): Linked {
  const controller = new AbortController();
  const abort = (): void => controller.abort();
  for (const other of others) {
    if (other?.aborted === true) abort();
    else other?.addEventListener('abort', abort, { once: true });
  }
  return {
    signal: controller.signal,
    abort,
    unlink: () => {
      for (const other of others) other?.removeEventListener('abort', abort);
    },
  };
}
