// One module's container: start it, find it again, learn its end.
//
//   launch()  ─▶ image here, else pull ─▶ network ─▶ create, or the same one again ─▶ start ─▶ up
//   find()    ─▶ by label: running ─▶ adopted; exited ─▶ ended; else nothing
//   up        ─▶ follow log · watch health · wait for its end ─▶ rest of the log ─▶ ended
//
// Decides nothing about restarts. A container that ended and whose creation would be the same is started again, as
// Azure's agent does: what it wrote into its own file system is still there.
//
// Invariants
//   After launch() exactly one `ended` is told, unless detach() comes first; `up` at most once before it.
//   An engine that is away says nothing about a container: it is taken to be as it was until the engine answers.
//   `ended` is told only when the engine says so, or when no start was ever asked for.
//   An engine or registry that is away is not the module's failure: a launch waits for it and says so.

import { strict as assert } from 'node:assert';
import { backoffDelays } from '../model/backoff.ts';
import { errorCode, errorMessage, WeirError } from '../model/errors.ts';
import { moduleFileName } from '../model/module-file-name.ts';
import { pause } from '../model/pause.ts';
import type { AppendFiles } from '../platform/append-files.ts';
import type { Clock } from '../platform/clock.ts';
import type { Disk } from '../platform/disk.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { Log } from '../platform/log.ts';
import type { ContainerCalls } from './container-calls.ts';
import { ContainerLog } from './container-log.ts';
import { type CreatePlan, createPlan } from './create-body.ts';
import type { Engine } from './engine.ts';
import { engineRefusedError, isEngineAway } from './errors.ts';
import { watchHealth } from './health-watch.ts';
import type { ImageStore } from './image-store.ts';
import { endOf, type Inspection, runningOf } from './inspection.ts';
import { containerName, createLabel } from './labels.ts';
import { catchUp, followLog } from './log-follower.ts';
import type { ContainersOptions, ContainerTimes, Found, LaunchSpec, ModuleEnd, RunnerListener } from './ports.ts';
import { linkedSignal } from './waiting.ts';

export interface RunnerParts {
  readonly engine: Engine;
  readonly calls: ContainerCalls;
  readonly images: ImageStore;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly disk: Disk;
  readonly files: AppendFiles;
  readonly log: Log;
  readonly digest: (text: string) => string;
  readonly options: ContainersOptions;
  readonly times: ContainerTimes;
}

/** One life of the module, from launch() or find() to its end. */
interface Life {
  readonly spec: LaunchSpec | undefined;
  /** Aborted when it is to end. */
  readonly asked: AbortController;
  graceMs: number;
  /** From then on something may run. */
  startSent: boolean;
}

const lookAgainMs = 200;
const refusedAgainMs = 1000;

export class ContainerRunner {
  readonly #parts: RunnerParts;
  readonly #name: string;
  readonly #listener: RunnerListener;
  readonly #log: ContainerLog;
  readonly #detached = new AbortController();
  #life: Life | undefined;
  #working: Promise<void> = Promise.resolve();

  constructor(parts: RunnerParts, { name, listener }: { readonly name: string; readonly listener: RunnerListener }) {
    const fileName = moduleFileName(name);
    assert(fileName !== undefined, 'names are validated before they get here');
    this.#parts = parts;
    this.#name = name;
    this.#listener = listener;
    const { logDirectory, logBytesMax, logFiles } = parts.options;
    this.#log = new ContainerLog(parts, {
      path: `${logDirectory}/${fileName}.log`,
      bounds: { bytesMax: logBytesMax, files: logFiles },
    });
  }

  /** What is there already; a running container is adopted: its end will be told. Rejects while the engine is away. */
  async find(): Promise<Found> {
    const found = await this.#own();
    if (found === undefined || found.phase === 'created') return { kind: 'nothing' };
    await this.#log.goOn(found.id);
    const nowMs = this.#parts.clock.wallMs();
    if (found.phase === 'ended') {
      await this.#drain(found);
      await this.#log.close();
      return { kind: 'ended', end: endOf(found, { nowMs, logDroppedBytes: this.#log.droppedBytes }) };
    }
    const life: Life = { spec: undefined, asked: new AbortController(), graceMs: 0, startSent: true };
    this.#life = life;
    this.#working = this.#watch(life, found).catch((error: unknown) => this.#failed(error));
    return { kind: 'running', state: runningOf(found, nowMs) };
  }

  /** Starts the module. Failures are told as an end. */
  launch(spec: LaunchSpec): void {
    const life: Life = { spec, asked: new AbortController(), graceMs: spec.graceMs, startSent: false };
    this.#life = life;
    this.follow(spec);
    this.#working = this.#working.then(() => this.#run(life)).catch((error: unknown) => this.#failed(error));
  }

  /** Limits of the log for what find() found, or after they were changed. */
  follow(spec: LaunchSpec): void {
    this.#log.bounds = { bytesMax: spec.logBytesMax, files: spec.logFiles };
  }

  /** Asks the module to end; works before it is up, too. */
  terminate(graceMs: number): void {
    if (this.#life === undefined) return;
    this.#life.graceMs = graceMs;
    this.#life.asked.abort();
  }

  /** Lets go of the container without ending it. Nothing is told any more. */
  async detach(): Promise<void> {
    this.#detached.abort();
    await this.#working;
    await this.#log.close();
  }

  /** Removes the containers of this module. Rejects while the engine is away, and when it keeps on refusing. */
  async erase(): Promise<void> {
    const { calls, clock, times } = this.#parts;
    await this.#log.close();
    const deadlineMs = clock.monotonicMs() + times.eraseMsMax;
    for (const { id } of await calls.list(this.#name)) {
      for (;;) {
        try {
          await calls.remove(id);
          break;
        } catch (error) {
          // Podman refuses for a moment after an end, while it cleans up.
          if (isEngineAway(error) || clock.monotonicMs() > deadlineMs) throw error;
          await pause(clock, lookAgainMs, this.#detached.signal);
          if (this.#isDetached) throw error;
        }
      }
    }
  }

  async #run(life: Life): Promise<void> {
    if (this.#isDetached) return;
    let up: Inspection;
    try {
      up = await this.#bringUp(life);
    } catch (error) {
      if (this.#isDetached) return;
      return this.#failed(error);
    }
    this.#listener.up(runningOf(up, this.#parts.clock.wallMs()));
    await this.#watch(life, up);
  }

  async #bringUp(life: Life): Promise<Inspection> {
    const { pullRetryMsMin, pullRetryMsMax } = this.#parts.times;
    const delays = backoffDelays(
      { floorMs: pullRetryMsMin, firstCeilingMs: pullRetryMsMin, ceilingMsMax: pullRetryMsMax },
      () => this.#parts.entropy.fraction(),
    );
    for (;;) {
      try {
        return await this.#attempt(life);
      } catch (error) {
        // Once a start was sent, only the engine can tell whether something runs.
        const mayGiveUp = !life.startSent;
        const patience = linkedSignal(this.#detached.signal, mayGiveUp ? life.asked.signal : undefined);
        try {
          if (isEngineAway(error)) await this.#awaitEngine(error, patience.signal);
          else if (isPullFailure(error))
            await this.#awaitPull(error, { delayMs: delays.next().value, signal: patience.signal });
          else throw error;
          if (patience.signal.aborted) throw error;
        } finally {
          patience.unlink();
        }
      }
    }
  }

  async #awaitEngine(error: unknown, signal: AbortSignal): Promise<void> {
    this.#listener.progress(`waiting for the container engine: ${errorMessage(error)}`);
    await this.#parts.engine.untilBack(signal);
    this.#listener.progress('');
  }

  async #awaitPull(
    error: unknown,
    { delayMs, signal }: { readonly delayMs: number; readonly signal: AbortSignal },
  ): Promise<void> {
    this.#parts.log.warn('image cannot be pulled', {
      module: this.#name,
      reason: errorMessage(error),
      nextTryMs: delayMs,
    });
    this.#listener.progress(errorMessage(error));
    await pause(this.#parts.clock, delayMs, signal);
  }

  async #attempt(life: Life): Promise<Inspection> {
    const { calls, images, engine, options, digest } = this.#parts;
    const { spec } = life;
    assert(spec?.container !== undefined, 'only containers are launched here');
    if (life.startSent) {
      const own = await this.#own();
      if (own !== undefined && own.phase !== 'created') return own;
    }
    const untilAsked = linkedSignal(this.#detached.signal, life.asked.signal);
    try {
      const told = (text: string): void => this.#listener.progress(text);
      const image = await images.ensure(spec.container, told, untilAsked.signal);
      this.#listener.progress('');
      const facts = { options, engine: (await engine.facts()).kind, digest };
      let plan = createPlan(spec, spec.container, facts);
      if (plan.usesNetwork) {
        await calls.ensureNetwork(options.network);
        // Known only now, and part of what the container is made from.
        const hostAddress = await calls.hostAddress(options.network.name);
        plan = createPlan(spec, spec.container, { ...facts, hostAddress });
      }
      const id = await this.#createOrReuse(plan, image.id);
      if (untilAsked.signal.aborted && !life.startSent)
        throw engineRefusedError('nothing', { status: 0, reason: 'it was stopped before it was started' });
      await this.#log.goOn(id);
      life.startSent = true;
      await calls.start(id);
      const started = await calls.inspect(id);
      if (started === undefined)
        throw engineRefusedError('the start of the container', { status: 0, reason: 'it is gone' });
      return started;
    } finally {
      untilAsked.unlink();
    }
  }

  /** The container that was made for this and has ended, else a new one. All others of this module are removed. */
  async #createOrReuse(plan: CreatePlan, imageId: string): Promise<string> {
    const { calls, digest, options } = this.#parts;
    let reused: string | undefined;
    for (const { id } of await calls.list(this.#name)) {
      const found = await calls.inspect(id);
      if (found === undefined) continue;
      const isSame = found.labels[createLabel] === plan.createDigest && found.imageId === imageId;
      if (reused === undefined && isSame && found.phase !== 'running') reused = id;
      else await calls.remove(id);
    }
    if (reused !== undefined) return reused;
    const name = containerName(this.#name, digest);
    const id = (await calls.create(name, plan.body)) ?? (await calls.create(`${name}-${options.gateway}`, plan.body));
    if (id !== undefined) return id;
    const reason = `another container has the name ${name} and the name ${name}-${options.gateway}; remove one of them`;
    throw engineRefusedError('the creation of the container', { status: 0, reason });
  }

  async #watch(life: Life, up: Inspection): Promise<void> {
    const { engine, calls, clock, times } = this.#parts;
    const over = linkedSignal(this.#detached.signal);
    const tasks = [
      followLog({ engine, clock, log: this.#log, times }, up, over.signal),
      watchHealth(
        { engine, calls, clock, healthMsMin: times.healthMsMin },
        { found: up, told: (health) => this.#listener.health(health) },
        over.signal,
      ),
      this.#stopWhenAsked(life, up.id, over.signal),
    ];
    const end = await this.#untilEnded(up.id, over.signal);
    over.abort();
    await Promise.all(tasks);
    over.unlink();
    if (this.#isDetached) return;
    if (end !== undefined) await this.#drain(end);
    await this.#log.close();
    this.#tell(
      end === undefined
        ? this.#removed(up)
        : endOf(end, { nowMs: clock.wallMs(), logDroppedBytes: this.#log.droppedBytes }),
    );
  }

  /** Undefined: somebody removed the container, or the signal was aborted. */
  async #untilEnded(id: string, signal: AbortSignal): Promise<Inspection | undefined> {
    const { calls, clock } = this.#parts;
    while (!signal.aborted) {
      try {
        const found = await calls.inspect(id, signal);
        if (found === undefined || found.phase !== 'running') return found;
        await calls.wait(id, signal);
        const after = await calls.inspect(id, signal);
        if (after === undefined || after.phase !== 'running') return after;
        await pause(clock, lookAgainMs, signal);
      } catch (error) {
        if (signal.aborted) break;
        if (isEngineAway(error)) await this.#awaitEngine(error, signal);
        else await pause(clock, refusedAgainMs, signal);
      }
    }
    return undefined;
  }

  /** The engine's stop signal, its grace, its kill; and SIGKILL from here again and again, should that not be enough. */
  async #stopWhenAsked(life: Life, id: string, signal: AbortSignal): Promise<void> {
    const { calls, clock, engine, times } = this.#parts;
    const asked = linkedSignal(life.asked.signal, signal);
    await new Promise<void>((resolve) => {
      if (asked.signal.aborted) resolve();
      else asked.signal.addEventListener('abort', () => resolve(), { once: true });
    });
    asked.unlink();
    const deadlineMs = clock.monotonicMs() + life.graceMs;
    for (let isFirst = true; !signal.aborted; ) {
      try {
        const leftMs = deadlineMs - clock.monotonicMs();
        if (isFirst || leftMs > 0) await calls.stop(id, Math.max(0, leftMs), signal);
        else await calls.kill(id, signal);
        isFirst = false;
        await pause(clock, times.killAgainMs, signal);
      } catch (error) {
        if (signal.aborted) return;
        if (isEngineAway(error)) await engine.untilBack(signal);
        else await pause(clock, refusedAgainMs, signal);
        isFirst = isFirst && isEngineAway(error);
      }
    }
  }

  /** What the container said last; a log that cannot be read any more holds up nobody. */
  async #drain(found: Inspection): Promise<void> {
    const { engine, clock, times } = this.#parts;
    const limit = linkedSignal(this.#detached.signal);
    const timer = clock.setTimer(times.logDrainMsMax, () => limit.abort());
    try {
      await catchUp({ engine, clock, log: this.#log, times }, found, limit.signal);
    } catch (error) {
      this.#parts.log.debug('the end of a log cannot be read', { module: this.#name, reason: errorMessage(error) });
    } finally {
      timer.cancel();
      limit.unlink();
    }
  }

  /** The module's container; of several the one that runs, else the one that was started last. */
  async #own(): Promise<Inspection | undefined> {
    const { calls } = this.#parts;
    let best: Inspection | undefined;
    for (const { id } of await calls.list(this.#name)) {
      const found = await calls.inspect(id);
      if (found === undefined) continue;
      const isBetter =
        best === undefined ||
        (found.phase === 'running' && best.phase !== 'running') ||
        (found.phase === best.phase && (found.startedAtMs ?? 0) > (best.startedAtMs ?? 0));
      if (isBetter) best = found;
    }
    return best;
  }

  #removed({ startedAtMs }: Inspection): ModuleEnd {
    const nowMs = this.#parts.clock.wallMs();
    const message = 'its container was removed by somebody else';
    const uptimeMs = Math.max(0, nowMs - (startedAtMs ?? nowMs));
    return {
      ...emptyEnd,
      reason: 'lost',
      message,
      startedAtMs: startedAtMs ?? null,
      endedAtMs: nowMs,
      uptimeMs,
      signal: 9,
    };
  }

  #failed(error: unknown): void {
    if (error instanceof assert.AssertionError) throw error;
    const message = `could not be started: ${errorMessage(error)}`;
    this.#parts.log.warn('container could not be started', { module: this.#name, reason: errorMessage(error) });
    this.#tell({ ...emptyEnd, reason: 'start', message, endedAtMs: this.#parts.clock.wallMs() });
  }

  #tell(end: ModuleEnd): void {
    if (!this.#isDetached) this.#listener.ended(end);
  }

  get #isDetached(): boolean {
    return this.#detached.signal.aborted;
  }
}

const emptyEnd = {
  pid: null,
  code: null,
  signal: null,
  startedAtMs: null,
  uptimeMs: 0,
  oomKilled: false,
  logDroppedBytes: 0,
} as const;

function isPullFailure(error: unknown): boolean {
  return error instanceof WeirError && ['CONTAINERS_PULL_FAILED', 'CONTAINERS_PULL_STALLED'].includes(errorCode(error));
}
