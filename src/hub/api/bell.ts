// Waits for the next ring since the last reset, or for the end: how a follower waits for a commit without polling.

export class Bell {
  readonly #signal: AbortSignal;
  readonly #ring = (): void => this.ring();
  #isRung = false;
  #waiting: (() => void) | undefined;

  constructor(signal: AbortSignal) {
    this.#signal = signal;
    signal.addEventListener('abort', this.#ring);
  }

  reset(): void {
    this.#isRung = false;
  }

  ring(): void {
    this.#isRung = true;
    this.#waiting?.();
    this.#waiting = undefined;
  }

  rung(): Promise<void> {
    if (this.#isRung || this.#signal.aborted) return Promise.resolve();
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }

  close(): void {
    this.#signal.removeEventListener('abort', this.#ring);
  }
}
