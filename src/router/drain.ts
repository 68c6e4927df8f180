// The pump of one queue: takes what is stored in its lanes, has the endpoint send it, confirms what arrived.
//
//        ┌────────── nothing to send, window full, rate used up: sleep until the bell ◄──┐
//        ▼                                                                               │
//   endpoint ready ──► choose a lane ──► read it, if it is not ──► cut a batch ──► send ─┴─► …
//        ▲                                                                          │
//        └── pause ◄── rewind ◄── wait for all that is under way ◄── failed, wholly or midway
//
// Owns the lanes of its queue and their order of going (lane-choice.ts), the window (send-window.ts), and where
// fresh messages go (live-first.ts). What was read and acknowledged of a lane is drain-lane.ts.
//
// Invariants
//   Delete after acknowledgement: an offset is confirmed only when the endpoint said that everything of its lane
//   up to it has arrived, and offsets of a lane are confirmed in growing order.
//   Order: batches of a lane are handed over in order; after a failure nothing is handed over until everything
//   under way has settled, and then each lane goes on at its first message that was not accepted. Nothing is
//   skipped and nothing is given up: only the store drops, and counts it.
//   After a restart it begins at the oldest message that was not durably confirmed: what was sent meanwhile goes
//   twice, and the receiver recognises it by its stream position.
//   Offsets of an outbox that was replaced (another epoch) are neither confirmed nor continued.
//
// The pause after failures grows with full jitter and begins anew with every message accepted. An endpoint that
// was away and is back is tried at once, except when that has failed before: a hub that takes connections and
// refuses messages is not stormed.

import { strict as assert } from 'node:assert';
import { drainBackoffMsMax, drainBatchBytesMax, drainBatchMessagesMax, drainLaneFailuresMax } from '../limits.ts';
import { errorCode, errorMessage } from '../model/errors.ts';
import { type Lane, laneKey, priorityUnset } from '../model/lane.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { Log } from '../platform/log.ts';
import type { Metrics } from '../platform/metrics.ts';
import { Bell } from './bell.ts';
import { type Batch, DrainLane, type ReadLimits } from './drain-lane.ts';
import { chooseLane, type LaneCandidate, type LaneChoice } from './lane-choice.ts';
import { LaneMetrics } from './lane-metrics.ts';
import { LiveFirst } from './live-first.ts';
import type { Endpoint, RouterStore } from './ports.ts';
import { SendWindow } from './send-window.ts';
import { TokenBucket } from './token-bucket.ts';

const backoffMsMin = 1000;
/** Without a message accepted in between, as many failures do not delay an endpoint that was away and is back. */
const freeReturnsMax = 2;
/** How long close() lets batches on their way finish, so that they need not be sent twice. */
const closeWaitMs = 2000;

export interface DrainPorts {
  readonly store: RouterStore;
  readonly endpoint: Endpoint;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly log: Log;
  readonly metrics: Metrics;
}

export interface DrainOptions {
  /** Fresh messages pass a long backlog. Undefined: all of one priority keep one order. */
  readonly liveFirst?:
    | {
        /** At which rate the backlog leaves that is passed; undefined: as fast as the endpoint takes it. */
        readonly backlogPerSecond: number | undefined;
      }
    | undefined;
}

interface Flow {
  readonly lane: DrainLane;
  readonly metrics: LaneMetrics;
}

interface Candidate extends LaneCandidate {
  readonly flow: Flow;
}

/** Why the drain stopped handing over. */
interface Failure {
  readonly flow: Flow | undefined;
  readonly error: unknown;
  /** The endpoint was away, so that its return is worth a try. */
  readonly away: boolean;
}

export class Drain {
  readonly #ports: DrainPorts;
  readonly #queue: string;
  readonly #stop = new AbortController();
  readonly #bell: Bell;
  readonly #window: SendWindow;
  readonly #flows = new Map<string, Flow>();
  readonly #sending = new Set<Promise<void>>();
  readonly #liveFirst: LiveFirst | undefined;
  readonly #backlogRate: TokenBucket | undefined;
  #epoch: string | undefined;
  #running: Promise<void> | undefined;
  #closed = false;
  #failure: Failure | undefined;
  /** Batches handed over so far. */
  #batches = 0;
  /** Since the last message accepted. */
  #tries = 0;

  constructor(ports: DrainPorts, queue: string, { liveFirst }: DrainOptions = {}) {
    this.#ports = ports;
    this.#queue = queue;
    this.#bell = new Bell(ports.clock);
    this.#window = new SendWindow(ports.endpoint.window);
    this.#liveFirst = liveFirst === undefined ? undefined : new LiveFirst();
    const rate = liveFirst?.backlogPerSecond;
    this.#backlogRate = rate === undefined ? undefined : new TokenBucket(rate, ports.clock.monotonicMs());
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** There is something new in the lane. */
  wake(lane: Lane): void {
    const { lane: opened } = this.#open(lane);
    if (!opened.mayHaveMessages) this.#waitsFromNow(opened);
    opened.appended();
    this.#bell.ring();
  }

  /** Everything of the lane up to `offset` need not be sent any more. Resolves when that is durable. */
  release(lane: Lane, offset: number): Promise<void> {
    const { store } = this.#ports;
    // Offsets of an outbox that this drain does not know yet are left to the store.
    if (this.#epoch === store.epoch) this.#open(lane).lane.release(offset);
    this.#bell.ring();
    return store.confirm(lane, offset);
  }

  /** True: a message of this priority that comes now belongs in the live lane. */
  takesLive(priority: number): boolean {
    return this.#liveFirst?.takes(priority, this.#countsOf(priority)) ?? false;
  }

  /** A message is being put into the lane; answers what to call when that is over. */
  storing(lane: Lane, enqueuedMs: number): (isStored: boolean) => void {
    const flow = this.#open(lane);
    flow.lane.storing(enqueuedMs);
    return (isStored) => {
      if (isStored) flow.lane.stored();
      else flow.lane.withdrawn();
    };
  }

  /** Stops sending. Batches on their way may finish within two seconds; else they are sent again after the restart. */
  async close(): Promise<void> {
    this.#stop.abort();
    this.#bell.ring();
    await this.#running;
    await this.#settledOrOverdue();
    this.#closed = true;
    for (const { lane } of this.#flows.values()) await lane.idle();
  }

  // ── the loop ──

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      try {
        // First of all the pause after a failure: a store that is away would refuse to begin over and over again.
        if (this.#failure !== undefined) await this.#recover(this.#failure);
        else if (this.#epoch !== this.#ports.store.epoch) await this.#begin();
        else if (!this.#ports.endpoint.isReady) await this.#unlessStopped(this.#ports.endpoint.ready(signal));
        else await this.#step();
      } catch (error) {
        this.#failed(undefined, error);
      }
    }
  }

  /** Forgets what was known of another epoch, and finds the lanes that the store has. */
  async #begin(): Promise<void> {
    const { store } = this.#ports;
    const { epoch } = store;
    for (const { lane } of this.#flows.values()) lane.reset(epoch);
    const facts = (await this.#unlessStopped(store.lanes())) ?? [];
    for (const { messages, oldestEnqueuedMs, ...lane } of facts) {
      if (lane.queue === this.#queue) this.#open(lane).lane.found(messages, oldestEnqueuedMs);
    }
    this.#epoch = epoch;
  }

  async #step(): Promise<void> {
    const choice = this.#choose();
    if (choice.kind === 'wait') {
      await this.#bell.wait(choice.untilMs);
      return;
    }
    const { flow } = choice.candidate;
    if (!flow.lane.isLoaded()) {
      await this.#unlessStopped(flow.lane.load(this.#readLimits(flow.lane)));
      return;
    }
    const room = this.#window.room();
    if (room === undefined) await this.#bell.wait();
    else {
      this.#handOver(flow, { ...room, messages: Math.min(room.messages, this.#allowance(flow.lane)) });
      this.#readAhead(flow.lane);
    }
  }

  /** While there is something to hand over the next is read, so that a fast endpoint does not wait for the store. */
  #readAhead(lane: DrainLane): void {
    const limits = this.#readLimits(lane);
    if (limits.messagesMax <= drainBatchMessagesMax || lane.buffered > limits.messagesMax / 2 || !lane.mayReadAhead)
      return;
    void lane.load(limits).then(
      () => this.#bell.ring(),
      (error: unknown) => {
        this.#failed(undefined, error);
        this.#bell.ring();
      },
    );
  }

  #readLimits(lane: DrainLane): ReadLimits {
    const messagesMax = this.#isPassed(lane) ? this.#allowance(lane) : this.#window.readMessages;
    return { messagesMax, bytesMax: drainBatchBytesMax };
  }

  #choose(): LaneChoice<Candidate> {
    const nowMs = this.#ports.clock.monotonicMs();
    const candidates: Candidate[] = [];
    for (const flow of this.#flows.values()) {
      const { lane } = flow;
      if (!lane.mayHaveMessages) continue;
      const { waitingSinceMs, heldUntilMs } = lane;
      const passedBy = this.#batches - lane.waitingSinceBatch;
      const notBeforeMs = this.#isPassed(lane) ? (this.#backlogRate?.readyAtMs(nowMs) ?? nowMs) : nowMs;
      candidates.push({ flow, lane: lane.lane, waitingSinceMs, passedBy, heldUntilMs, notBeforeMs });
    }
    return chooseLane(candidates, nowMs);
  }

  #handOver(flow: Flow, room: { readonly messages: number; readonly bytes: number }): void {
    const { clock, endpoint } = this.#ports;
    const { lane } = flow;
    const nowMs = clock.monotonicMs();
    const batch = lane.cut(room);
    const count = batch.messages.length;
    if (this.#isPassed(lane)) this.#backlogRate?.take(count, nowMs);
    const share = this.#window.take(count, batch.bytes, nowMs);
    this.#batches++;
    this.#waitsFromNow(lane);
    const send = async (): Promise<void> => {
      let accepted = 0;
      let error: unknown;
      try {
        accepted = await endpoint.send(batch.messages);
        assert(
          Number.isInteger(accepted) && accepted >= 0 && accepted <= count,
          `an endpoint accepts 0 to ${count} messages of a batch, not ${accepted}`,
        );
      } catch (cause) {
        error = cause;
      }
      this.#window.give(share, { acknowledged: accepted === count, nowMs: clock.monotonicMs() });
      if (!this.#closed) this.#settled(flow, { batch, accepted, error });
    };
    const sending = send().finally(() => {
      this.#sending.delete(sending);
      this.#bell.ring();
    });
    this.#sending.add(sending);
  }

  #settled(
    flow: Flow,
    { batch, accepted, error }: { readonly batch: Batch; readonly accepted: number; readonly error: unknown },
  ): void {
    const { store, log } = this.#ports;
    const { lane } = flow;
    if (accepted > 0) {
      flow.metrics.sent(accepted);
      if (this.#tries > 0) log.info('sending goes on', { queue: this.#queue, failures: this.#tries });
      this.#tries = 0;
      lane.failures = 0;
      lane.heldUntilMs = 0;
    }
    const { confirm, overtook } = lane.settle(batch, accepted);
    if (overtook) log.error('an endpoint took messages behind one it had not taken', { queue: this.#queue });
    if (confirm !== undefined && store.epoch === batch.epoch) {
      store.confirm(lane.lane, confirm).catch((cause: unknown) => {
        // Not durable: after a restart it is sent again, and recognised.
        log.debug('a confirmation was not stored', { queue: this.#queue, code: errorCode(cause) });
      });
    }
    if (accepted < batch.messages.length) this.#failed(flow, error);
  }

  // ── failures ──

  #failed(flow: Flow | undefined, error: unknown): void {
    this.#failure ??= { flow, error, away: !this.#ports.endpoint.isReady };
  }

  async #recover({ flow, error, away }: Failure): Promise<void> {
    await this.#unlessStopped(Promise.all(this.#sending));
    if (this.#stop.signal.aborted) return;
    for (const { lane } of this.#flows.values()) lane.rewind();
    this.#failure = undefined;
    flow?.metrics.failed();
    this.#tries++;
    const nowMs = this.#ports.clock.monotonicMs();
    const delayMs = this.#backoffMs(this.#tries);
    if (flow !== undefined && ++flow.lane.failures >= drainLaneFailuresMax)
      flow.lane.heldUntilMs = nowMs + delayMs + this.#backoffMs(flow.lane.failures);
    const reason = error === undefined ? 'only a part was accepted' : errorMessage(error);
    const fields = { queue: this.#queue, failures: this.#tries, delayMs, code: errorCode(error), reason };
    if (this.#tries === 1) this.#ports.log.warn('sending failed; it is tried again', fields);
    else this.#ports.log.debug('sending failed again', fields);
    await this.#pause(away, nowMs + delayMs);
  }

  #backoffMs(tries: number): number {
    const ceilingMs = Math.min(drainBackoffMsMax, backoffMsMin * 2 ** (tries - 1));
    return Math.round(ceilingMs * this.#ports.entropy.fraction());
  }

  /** Until the time has come, or an endpoint that was away has come back. */
  async #pause(away: boolean, untilMs: number): Promise<void> {
    const { endpoint, clock } = this.#ports;
    if (away || !endpoint.isReady) {
      await this.#unlessStopped(endpoint.ready(this.#stop.signal));
      if (this.#tries <= freeReturnsMax) return;
    }
    const restMs = untilMs - clock.monotonicMs();
    if (restMs <= 0) return;
    let timer: Timer | undefined;
    const over = new Promise<void>((resolve) => {
      timer = clock.setTimer(restMs, resolve);
    });
    await this.#unlessStopped(over);
    timer?.cancel();
  }

  // ── lanes ──

  #open(lane: Lane): Flow {
    const key = laneKey(lane);
    let flow = this.#flows.get(key);
    if (flow === undefined) {
      assert(lane.queue === this.#queue && lane.priority <= priorityUnset, `a lane of the queue ${this.#queue}`);
      const { clock, metrics } = this.#ports;
      const opened = new DrainLane(this.#ports, lane);
      this.#waitsFromNow(opened);
      flow = { lane: opened, metrics: new LaneMetrics({ clock, metrics }, opened) };
      this.#flows.set(key, flow);
    }
    return flow;
  }

  #waitsFromNow(lane: DrainLane): void {
    lane.waitingSinceMs = this.#ports.clock.monotonicMs();
    lane.waitingSinceBatch = this.#batches;
  }

  #countsOf(priority: number): { readonly connected: boolean; readonly backlog: number; readonly live: number } {
    const connected = this.#ports.endpoint.isReady && this.#failure === undefined && this.#tries === 0;
    const waiting = (live: boolean): number =>
      this.#flows.get(laneKey({ queue: this.#queue, priority, live }))?.lane.waiting ?? 0;
    return { connected, backlog: waiting(false), live: waiting(true) };
  }

  /** True for a backlog that fresh messages pass: it leaves at its own rate. */
  #isPassed({ lane: { priority, live } }: DrainLane): boolean {
    if (live || this.#liveFirst === undefined || this.#backlogRate === undefined) return false;
    return this.#liveFirst.isSplit(priority, this.#countsOf(priority));
  }

  /** Messages that may go from this lane now. */
  #allowance(lane: DrainLane): number {
    if (this.#backlogRate === undefined || !this.#isPassed(lane)) return drainBatchMessagesMax;
    const available = this.#backlogRate.available(this.#ports.clock.monotonicMs());
    return Math.min(drainBatchMessagesMax, Math.max(1, available));
  }

  // ── waiting ──

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

  async #settledOrOverdue(): Promise<void> {
    if (this.#sending.size === 0) return;
    let timer: Timer | undefined;
    const overdue = new Promise<void>((resolve) => {
      timer = this.#ports.clock.setTimer(closeWaitMs, resolve);
    });
    await Promise.race([Promise.all(this.#sending), overdue]);
    timer?.cancel();
  }
}
