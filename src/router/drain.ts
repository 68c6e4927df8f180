// The pump of one queue: reads what is stored, has the endpoint send it, confirms what arrived.
//
//        ┌──────────────────────── nothing there: wait for an append ◄──┐
//        ▼                                                              │
//   endpoint.ready ──► read (or take what was read ahead) ──► send ──► confirm ──► …
//        ▲                                                      │
//        └────────── back-off with full jitter ◄── failed, wholly or midway
//
// Invariants
//   Delete after acknowledgement: confirm(n) is called only when the endpoint said that everything up to n has
//   arrived, and offsets are confirmed in growing order (asserted).
//   Order: one batch is under way at a time, and after a failure the next one begins at the first message that
//   was not accepted. Nothing is skipped and nothing is given up: only the store drops, and counts it.
//   After a restart it begins at the oldest message that was not durably confirmed: what was sent meanwhile goes
//   twice, and the receiver recognises it by its stream position.
//   Offsets of a file that was replaced (another epoch) are neither confirmed nor continued.
//
// While a batch is on its way the next one is read, so that disk and network work at the same time. The pause
// after failures ends early when the endpoint was away and comes back; it begins anew with every success.

import { strict as assert } from 'node:assert';
import { drainBackoffMsMax, drainBatchBytesMax, drainBatchMessagesMax } from '../limits.ts';
import { errorCode, errorMessage } from '../model/errors.ts';
import { type Lane, priorityUnset } from '../model/lane.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { Log } from '../platform/log.ts';
import type { Counter, Metrics } from '../platform/metrics.ts';
import type { Endpoint, RouterStore, StoredMessage } from './ports.ts';

const backoffMsMin = 1000;
/** After a longer wait for the endpoint, what was read ahead may have expired and is read again. */
const staleMs = 1000;
/** How long close() lets a batch on its way finish, so that it need not be sent twice. */
const closeWaitMs = 2000;

export interface DrainPorts {
  readonly store: RouterStore;
  readonly endpoint: Endpoint;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly log: Log;
  readonly metrics: Metrics;
}

interface Batch {
  readonly epoch: string;
  readonly messages: readonly StoredMessage[];
}

export class Drain {
  readonly #ports: DrainPorts;
  readonly #queue: string;
  readonly #lane: Lane;
  readonly #stop = new AbortController();
  readonly #sent: Counter;
  readonly #failed: Counter;
  #running: Promise<void> | undefined;
  #appended = true;
  #wake: (() => void) | undefined;
  /** Everything up to it has arrived, in the file of this epoch. */
  #position = { epoch: '', offset: 0 };
  #ahead: Promise<Batch | undefined> | undefined;
  /** Since the last success: for the log. */
  #failures = 0;
  /** Since the last success or return of the endpoint: for the pause. */
  #tries = 0;

  constructor(ports: DrainPorts, queue: string) {
    this.#ports = ports;
    this.#queue = queue;
    this.#lane = { queue, priority: priorityUnset, live: false };
    this.#sent = ports.metrics.counter('router_messages_sent_total', { queue });
    this.#failed = ports.metrics.counter('router_send_failures_total', { queue });
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** There is something new in the queue. */
  wake(): void {
    this.#appended = true;
    this.#wake?.();
  }

  /** Stops sending. A batch on its way may finish within two seconds; else it is sent again after the restart. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#wake?.();
    await this.#running;
    await this.#ahead;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        await this.#whenReady();
        if (signal.aborted) return;
        const batch = await this.#next();
        if (signal.aborted) return;
        if (batch === undefined) await this.#nextAppend();
        else await this.#send(batch);
      } catch (error) {
        if (signal.aborted) return;
        await this.#pause(error);
      }
    }
  }

  async #whenReady(): Promise<void> {
    const { clock, endpoint } = this.#ports;
    const beganMs = clock.monotonicMs();
    await this.#unlessStopped(endpoint.ready(this.#stop.signal));
    if (clock.monotonicMs() - beganMs >= staleMs) this.#ahead = undefined;
  }

  /** The batch after the position: read ahead already, or read now. Undefined when there is nothing. */
  async #next(): Promise<Batch | undefined> {
    const ahead = this.#ahead;
    this.#ahead = undefined;
    const batch = ahead === undefined ? undefined : await ahead;
    if (batch !== undefined && this.#continues(batch)) return batch;
    this.#appended = false;
    return this.#read(this.#positionIn(this.#ports.store.epoch));
  }

  async #read(afterOffset: number): Promise<Batch | undefined> {
    const { store } = this.#ports;
    const { epoch } = store;
    const limits = { messagesMax: drainBatchMessagesMax, bytesMax: drainBatchBytesMax };
    const messages = await store.read(this.#lane, { afterOffset, ...limits });
    // The file was replaced while it was read: these offsets may be of either.
    if (store.epoch !== epoch) return this.#read(0);
    return messages.length === 0 ? undefined : { epoch, messages };
  }

  #readAhead(batch: Batch): void {
    const last = batch.messages.at(-1);
    assert(last !== undefined, 'a batch holds messages');
    // A failure to read ahead shows itself when the same is read in its turn.
    this.#ahead = this.#read(last.offset).catch(() => undefined);
  }

  #continues(batch: Batch): boolean {
    const first = batch.messages[0];
    return (
      batch.epoch === this.#ports.store.epoch && first !== undefined && first.offset > this.#positionIn(batch.epoch)
    );
  }

  #positionIn(epoch: string): number {
    return this.#position.epoch === epoch ? this.#position.offset : 0;
  }

  async #send(batch: Batch): Promise<void> {
    this.#readAhead(batch);
    const { messages } = batch;
    let accepted: number | undefined;
    try {
      accepted = await this.#withinClose(this.#ports.endpoint.send(messages));
    } catch (error) {
      this.#ahead = undefined;
      throw error;
    }
    if (accepted === undefined) return;
    assert(
      Number.isInteger(accepted) && accepted >= 0 && accepted <= messages.length,
      `an endpoint accepts 0 to ${messages.length} messages of a batch, not ${accepted}`,
    );
    this.#confirm(batch, accepted);
    if (accepted === messages.length) return;
    this.#ahead = undefined;
    await this.#pause(undefined);
  }

  #confirm({ epoch, messages }: Batch, accepted: number): void {
    const { store, log } = this.#ports;
    const last = messages[accepted - 1];
    if (last === undefined) return;
    this.#sent.add(accepted);
    if (this.#failures > 0) log.info('sending goes on', { queue: this.#queue, failures: this.#failures });
    this.#failures = 0;
    this.#tries = 0;
    if (store.epoch !== epoch) return;
    assert(last.offset > this.#positionIn(epoch), 'what arrived is confirmed once, in order');
    this.#position = { epoch, offset: last.offset };
    store.confirm(this.#lane, last.offset).catch((error: unknown) => {
      // Not durable: after a restart it is sent again, and recognised.
      log.debug('a confirmation was not stored', { queue: this.#queue, code: errorCode(error) });
    });
  }

  async #nextAppend(): Promise<void> {
    if (this.#appended || this.#stop.signal.aborted) return;
    await new Promise<void>((resolve) => {
      this.#wake = resolve;
    });
    this.#wake = undefined;
  }

  /** Waits after a failure: until the back-off is over, or the endpoint has been away and is back. */
  async #pause(error: unknown): Promise<void> {
    const { clock, entropy, endpoint, log } = this.#ports;
    this.#failed.add();
    this.#failures++;
    const ceilingMs = Math.min(drainBackoffMsMax, backoffMsMin * 2 ** this.#tries++);
    const delayMs = Math.round(ceilingMs * entropy.fraction());
    const fields = {
      queue: this.#queue,
      failures: this.#failures,
      delayMs,
      code: errorCode(error),
      reason: reasonOf(error),
    };
    if (this.#failures === 1) log.warn('sending failed; it is tried again', fields);
    else log.debug('sending failed again', fields);
    const away = await this.#unlessStopped(isAway(endpoint.ready(this.#stop.signal), clock));
    if (away === true) this.#tries = 0;
    if (away === true || this.#stop.signal.aborted) return;
    let timer: Timer | undefined;
    const over = new Promise<void>((resolve) => {
      timer = clock.setTimer(delayMs, resolve);
    });
    await this.#unlessStopped(over);
    timer?.cancel();
  }

  /** What `work` answers, or undefined as soon as the drain is stopped. */
  async #unlessStopped<T>(work: Promise<T>): Promise<T | undefined> {
    const { signal } = this.#stop;
    if (signal.aborted) {
      work.catch(() => undefined);
      return undefined;
    }
    return new Promise((resolve, reject) => {
      const stopped = (): void => resolve(undefined);
      signal.addEventListener('abort', stopped, { once: true });
      work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stopped));
    });
  }

  /** What `work` answers, or undefined when the drain was stopped and `work` did not end within the time for that. */
  async #withinClose<T>(work: Promise<T>): Promise<T | undefined> {
    const { clock } = this.#ports;
    const { signal } = this.#stop;
    let timer: Timer | undefined;
    let stopped: (() => void) | undefined;
    const overdue = new Promise<undefined>((resolve) => {
      stopped = () => {
        timer = clock.setTimer(closeWaitMs, () => resolve(undefined));
      };
      signal.addEventListener('abort', stopped, { once: true });
    });
    try {
      return await Promise.race([work, overdue]);
    } finally {
      timer?.cancel();
      if (stopped !== undefined) signal.removeEventListener('abort', stopped);
    }
  }
}

/** Resolves false at once when the endpoint is ready now or will not say; true when it was not, and then became ready. */
async function isAway(ready: Promise<void>, clock: Clock): Promise<boolean> {
  const now = ready.then(
    () => false,
    () => false,
  );
  const later = new Promise<true>((resolve) => clock.soon(() => resolve(true)));
  if (!(await Promise.race([now, later]))) return false;
  await now;
  return true;
}

function reasonOf(error: unknown): string {
  return error === undefined ? 'only a part was accepted' : errorMessage(error);
}
