// The store's thread as seen from the main thread: requests with replies, and a new thread when one dies.
//
//   idle ──start()──► opening ──opened──► open ──thread ended──► down ──back-off──► opening …
//                        └──refused for good──► failed             any ──close()──► closed
//
// Invariant: every request settles exactly once. When the thread ends, what was under way rejects with
// STORE_UNAVAILABLE: it may or may not have been committed, which is why senders number their messages.
// Requests in any state but `open` reject at once.

import { strict as assert } from 'node:assert';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Thread } from '../platform/thread.ts';
import { StoreError } from './errors.ts';
import { stampOf } from './stamp.ts';
import type { FromThread, Opened, OperationName, Operations, Request, StoreFiles } from './thread-protocol.ts';

const restartDelayMsMin = 100;
const restartDelayMsMax = 10_000;
/** A thread that lived this long starts the back-off anew. */
const steadyMs = 30_000;
const openAttemptsMax = 4;
const closeWaitMs = 10_000;

type State = 'idle' | 'opening' | 'open' | 'down' | 'failed' | 'closed';

interface Waiter {
  readonly resolve: (body: unknown) => void;
  readonly reject: (error: StoreError) => void;
}

export interface ThreadLinkPorts {
  readonly startThread: () => Thread;
  readonly clock: Clock;
  readonly log: Log;
  /** At every opening, and when a fresh file took the place of a damaged one. */
  readonly onOpened: (opened: Opened) => void;
}

export class ThreadLink {
  readonly #ports: ThreadLinkPorts;
  readonly #files: StoreFiles;
  readonly #waiters = new Map<number, Waiter>();
  #state: State = 'idle';
  #thread: Thread | undefined;
  #idNext = 1;
  #restart: Timer | undefined;
  #restarts = 0;
  #openedAtMs = 0;
  /** It has been open before: what the broker keeps is in memory here. */
  #everOpened = false;
  #starting: { readonly resolve: () => void; readonly reject: (error: StoreError) => void } | undefined;

  constructor(ports: ThreadLinkPorts, files: StoreFiles) {
    this.#ports = ports;
    this.#files = files;
  }

  /** Resolves when the file is open. Rejects when it is refused for good, or after some attempts. */
  start(): Promise<void> {
    assert(this.#state === 'idle', 'the store is started once');
    return new Promise((resolve, reject) => {
      this.#starting = { resolve, reject };
      this.#open();
    });
  }

  request<Name extends OperationName>(
    name: Name,
    body: Operations[Name]['request'],
    transfer?: readonly ArrayBuffer[],
  ): Promise<Operations[Name]['reply']> {
    const thread = this.#thread;
    if (thread === undefined || this.#state !== 'open') return Promise.reject(this.#refusal());
    return this.#post(thread, { name, body }, transfer) as Promise<Operations[Name]['reply']>;
  }

  /** Lets the thread close the file, waits for it, and ends the thread. */
  async close(): Promise<void> {
    const wasOpen = this.#state === 'open';
    const thread = this.#thread;
    this.#state = 'closed';
    this.#restart?.cancel();
    this.#starting?.reject(this.#refusal());
    this.#starting = undefined;
    if (thread === undefined) return;
    if (wasOpen) await this.#closeFile(thread);
    this.#thread = undefined;
    await thread.terminate();
    this.#rejectAll(this.#refusal());
  }

  async #closeFile(thread: Thread): Promise<void> {
    let timer: Timer | undefined;
    const overdue = new Promise<'overdue'>((resolve) => {
      timer = this.#ports.clock.setTimer(closeWaitMs, () => resolve('overdue'));
    });
    try {
      const closed = this.#post(thread, { name: 'close', body: null });
      if ((await Promise.race([closed, overdue])) === 'overdue')
        this.#ports.log.warn('the store thread does not answer; it is ended, its log is played back at the next start');
    } catch (error) {
      this.#ports.log.warn('the store file was not closed in order; its log is played back at the next start', {
        reason: error instanceof Error ? error.message : String(error),
      });
    } finally {
      timer?.cancel();
    }
  }

  #open(): void {
    this.#state = 'opening';
    const thread = this.#ports.startThread();
    this.#thread = thread;
    thread.onMessage((message) => {
      if (this.#thread === thread) this.#receive(message as FromThread);
    });
    thread.onExit((error) => {
      if (this.#thread === thread) this.#ended(error?.message ?? 'it ended by itself');
    });
    const spec = { ...this.#files, stamp: stampOf(this.#ports.clock), sessionsLive: this.#everOpened };
    void this.#post(thread, { name: 'open', body: spec }).then(
      (body) => this.#opened(body as Opened),
      (error: StoreError) => this.#openFailed(thread, error),
    );
  }

  #opened(opened: Opened): void {
    if (this.#state !== 'opening') return;
    this.#state = 'open';
    this.#everOpened = true;
    this.#openedAtMs = this.#ports.clock.monotonicMs();
    this.#ports.onOpened(opened);
    this.#starting?.resolve();
    this.#starting = undefined;
  }

  #openFailed(thread: Thread, error: StoreError): void {
    if (this.#state !== 'opening' && this.#state !== 'down') return;
    const hopeless = !error.retryable || this.#restarts >= openAttemptsMax;
    if (this.#starting !== undefined && hopeless) {
      this.#state = 'failed';
      this.#restart?.cancel();
      this.#starting.reject(error);
      this.#starting = undefined;
    }
    if (this.#thread !== thread) return;
    this.#thread = undefined;
    void thread.terminate();
    if (this.#state === 'opening') this.#restartLater(error.message);
  }

  #ended(reason: string): void {
    this.#thread = undefined;
    if (this.#state === 'closed') {
      this.#rejectAll(this.#refusal());
      return;
    }
    const steady = this.#state === 'open' && this.#ports.clock.monotonicMs() - this.#openedAtMs >= steadyMs;
    if (steady) this.#restarts = 0;
    this.#restartLater(reason);
    this.#rejectAll(this.#refusal());
  }

  #restartLater(reason: string): void {
    const delayMs = Math.min(restartDelayMsMax, restartDelayMsMin * 2 ** this.#restarts++);
    this.#state = 'down';
    this.#ports.log.error('the store thread ended; another is started', { reason, delayMs });
    this.#restart = this.#ports.clock.setTimer(delayMs, () => this.#open());
  }

  #post(
    thread: Thread,
    request: { readonly name: OperationName; readonly body: unknown },
    transfer?: readonly ArrayBuffer[],
  ): Promise<unknown> {
    const id = this.#idNext++;
    return new Promise((resolve, reject) => {
      this.#waiters.set(id, { resolve, reject });
      thread.post({ id, ...request } as Request, transfer);
    });
  }

  #receive(message: FromThread): void {
    if (message.kind === 'notice') {
      this.#ports.onOpened(message.opened);
      return;
    }
    const waiter = this.#waiters.get(message.id);
    assert(waiter !== undefined, 'a reply belongs to a request');
    this.#waiters.delete(message.id);
    if (message.kind === 'reply') waiter.resolve(message.body);
    else waiter.reject(new StoreError(message.failure));
  }

  #rejectAll(error: StoreError): void {
    const waiters = [...this.#waiters.values()];
    this.#waiters.clear();
    for (const waiter of waiters) waiter.reject(error);
  }

  #refusal(): StoreError {
    if (this.#state === 'closed' || this.#state === 'idle') {
      return new StoreError({ code: 'STORE_CLOSED', message: `The store ${this.#files.path} is not open.` });
    }
    return new StoreError({
      code: 'STORE_UNAVAILABLE',
      message: `The store ${this.#files.path} is being opened again after its thread ended. Send again in a moment.`,
      retryable: true,
    });
  }
}
