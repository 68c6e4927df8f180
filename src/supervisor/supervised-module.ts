// One module under supervision: its phase, its process, its past, and the spec it is to follow.
//
// Owns the mailbox: whatever happens to the module (a spec, an end, a timer, an operator) becomes an event, and
// events are handled one after the other. Each is put through module-state.ts; the new phase is written to
// supervision.json before its effects are carried out, so that a runtime killed anywhere finds out what it was
// about to do. Does not know the other modules.
//
// Invariants
//   A process of generation g runs only while the record says g.
//   An end is judged once: when it leaves the phases that have a process. One that happened while no runtime was
//   there, or before a spec was given, waits in #unjudged until a spec brings the policy to judge it by.

import { AssertionError, strict as assert } from 'node:assert';
import { errorMessage } from '../model/errors.ts';
import type { Timer } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import { moduleNotWantedError } from './errors.ts';
import { logFile, type ModulePaths } from './module-paths.ts';
import { type Effect, hasProcess, type ModuleEvent, type Phase, transition } from './module-state.ts';
import { observationOf } from './observation.ts';
import type { LaunchSpec, ModuleObservation, ModuleRunner, RunningModule, SupervisorPorts } from './ports.ts';
import { ProcessRunner } from './process-runner.ts';
import { formatSupervisionRecord, type Instant, type ModuleEnd, parseSupervisionRecord } from './records.ts';
import { defaultPacing, freshHistory, judgeEnd, type RestartHistory } from './restart-policy.ts';

export interface ModuleOwner {
  changed(): void;
  /** A spec came for the module, perhaps just after it was erased: it is one of the set (again). */
  kept(module: SupervisedModule): void;
  /** The module is gone and forgotten. */
  erased(name: string): void;
}

/** For a module that is stopped before any spec told its own grace. */
const graceMsWithoutSpec = 10_000;
const directoryMode = 0o700;

export class SupervisedModule {
  readonly name: string;
  readonly #ports: SupervisorPorts;
  readonly #log: Log;
  readonly #paths: ModulePaths;
  readonly #owner: ModuleOwner;
  readonly #runner: ModuleRunner;
  #mailbox: Promise<void> = Promise.resolve();
  #spec: LaunchSpec | undefined;
  #phase: Phase = 'absent';
  #generation = '';
  #process: RunningModule | undefined;
  #adopted = false;
  #history: RestartHistory = freshHistory;
  #lastEnd: ModuleEnd | null = null;
  #unjudged: ModuleEnd | undefined;
  #startedOnce = false;
  #restartCount = 0;
  #lastRestartAtMs: number | null = null;
  #nextStartAtMs: number | null = null;
  #delayMs = 0;
  #timer: Timer | undefined;
  #closed = false;

  constructor(
    name: string,
    {
      ports,
      paths,
      owner,
    }: { readonly ports: SupervisorPorts; readonly paths: ModulePaths; readonly owner: ModuleOwner },
  ) {
    this.name = name;
    this.#ports = ports;
    this.#paths = paths;
    this.#owner = owner;
    this.#log = ports.log.child('module');
    this.#runner = new ProcessRunner(ports, {
      paths,
      log: this.#log,
      listener: {
        up: (state) => void this.#post(() => this.#up(state)),
        ended: (end) => void this.#post(() => this.#ended(end)),
        progress: () => undefined,
        health: () => undefined,
      },
    });
  }

  /** Reads what an earlier life of the runtime left, and adopts a module that runs. */
  restore(): Promise<void> {
    return this.#post(() => this.#restore());
  }

  /** The module is to run, or to stand, as told. Resolves when that is under way. */
  assign(spec: LaunchSpec): Promise<void> {
    return this.#post(() => this.#assign(spec));
  }

  /** The module is no longer wanted: it is ended, and its traces are removed. */
  forget(): Promise<void> {
    return this.#post(() => this.#handle('forget'));
  }

  async restart(): Promise<void> {
    let refused = false;
    await this.#post(async () => {
      refused = this.#spec?.wanted !== 'running';
      if (refused) return;
      this.#history = freshHistory;
      await this.#handle('restart');
    });
    if (refused) throw moduleNotWantedError(this.name);
  }

  /** Ends it for the time being. What finished or failed by itself stays that, so that it is not begun again later. */
  halt(): Promise<void> {
    return this.#post(() =>
      this.#phase === 'finished' || this.#phase === 'failed' ? undefined : this.#handle('halt'),
    );
  }

  /** Lets go of the process, which runs on. */
  async detach(): Promise<void> {
    this.#closed = true;
    await this.#mailbox;
    this.#timer?.cancel();
    await this.#runner.detach();
  }

  get hasProcess(): boolean {
    return hasProcess(this.#phase);
  }

  observe(): ModuleObservation {
    return observationOf({
      name: this.name,
      kind: 'process',
      generation: this.#generation,
      phase: this.#phase,
      pid: this.#process?.pid ?? null,
      startedAtMs: this.#process?.startedAtMs ?? this.#lastEnd?.startedAtMs ?? null,
      lastEnd: this.#lastEnd,
      restartCount: this.#restartCount,
      lastRestartAtMs: this.#lastRestartAtMs,
      nextStartAtMs: this.#nextStartAtMs,
      adopted: this.#adopted,
    });
  }

  #post(work: () => void | Promise<void>): Promise<void> {
    this.#mailbox = this.#mailbox.then(async () => {
      if (this.#closed) return;
      try {
        await work();
      } catch (error) {
        if (error instanceof AssertionError) throw error;
        this.#log.error('supervision step failed', { module: this.name, error: errorMessage(error) });
      }
    });
    return this.#mailbox;
  }

  async #restore(): Promise<void> {
    const text = await this.#ports.disk.readTextIfPresent('module:record', this.#paths.record);
    const read = text === undefined ? undefined : parseSupervisionRecord(text, this.#now());
    // After a reboot of the machine every record in a directory that outlived it is history.
    const record = read?.bootId === this.#ports.processes.bootId() ? read : undefined;
    if (record !== undefined) {
      this.#generation = record.generation;
      this.#restartCount = record.restartCount;
      this.#lastRestartAtMs = record.lastRestartAtMs;
      this.#lastEnd = record.lastEnd;
      this.#history = record.history;
      this.#startedOnce = true;
    }
    const found = await this.#runner.find();
    if (found.kind === 'running') {
      this.#phase = transition('absent', 'up').phase;
      this.#process = found.state;
      this.#adopted = true;
      this.#log.info('module adopted', { module: this.name, pid: found.state.pid, generation: this.#generation });
    } else if (record !== undefined && !hasProcess(record.phase)) {
      this.#phase = record.phase;
      this.#nextStartAtMs = record.nextStartAtMs;
    } else if (found.kind === 'ended' && record !== undefined) {
      this.#lastEnd = found.end;
      if (!record.phase.startsWith('stopping-')) this.#unjudged = found.end;
    }
    this.#owner.changed();
  }

  async #assign(spec: LaunchSpec): Promise<void> {
    const first = this.#spec === undefined;
    this.#spec = spec;
    this.#owner.kept(this);
    const sameGeneration = spec.generation === this.#generation;
    const unjudged = this.#unjudged;
    this.#unjudged = undefined;
    if (first && unjudged !== undefined && sameGeneration && spec.wanted === 'running')
      return await this.#judge(unjudged);
    if (first && (this.#phase === 'backoff' || this.#phase === 'broken')) this.#rearm();
    if (spec.wanted === 'stopped') await this.#handle('halt');
    else if (sameGeneration) await this.#handle('run');
    else {
      this.#history = freshHistory;
      await this.#handle('change');
    }
    if (spec.wanted === 'stopped' && !hasProcess(this.#phase)) this.#begin(spec.generation);
  }

  #up(state: RunningModule): Promise<void> {
    this.#process = state;
    this.#log.info('module started', { module: this.name, pid: state.pid, generation: this.#generation });
    return this.#handle('up');
  }

  async #ended(end: ModuleEnd): Promise<void> {
    assert(hasProcess(this.#phase), 'only what runs can end');
    this.#process = undefined;
    this.#adopted = false;
    this.#lastEnd = end;
    const asked = this.#phase.startsWith('stopping-');
    this.#log[asked || end.code === 0 ? 'info' : 'warn']('module ended', {
      module: this.name,
      reason: end.message,
      uptimeMs: end.uptimeMs,
    });
    if (asked) return await this.#handle('done');
    if (this.#spec !== undefined) return await this.#judge(end);
    // Nobody has said yet what is to follow. The record is left as it is: should we be killed now, the end is found again.
    this.#phase = 'absent';
    this.#unjudged = end;
    this.#owner.changed();
  }

  async #judge(end: ModuleEnd): Promise<void> {
    assert(this.#spec !== undefined, 'a verdict needs a policy');
    const { verdict, history } = judgeEnd({
      policy: this.#spec.restartPolicy,
      code: end.code,
      uptimeMs: end.uptimeMs,
      history: this.#history,
      pacing: this.#ports.pacing ?? defaultPacing,
      nowMs: this.#ports.clock.monotonicMs(),
      fraction: this.#ports.entropy.fraction(),
    });
    this.#history = history;
    this.#delayMs = verdict.delayMs ?? 0;
    if (verdict.kind === 'slow')
      this.#log.warn('module fails again and again', { module: this.name, nextTryMs: this.#delayMs });
    await this.#handle(verdict.kind);
  }

  async #handle(event: ModuleEvent): Promise<void> {
    const { phase, effects } = transition(this.#phase, event);
    const changed = phase !== this.#phase || effects.length > 0;
    this.#phase = phase;
    if (effects.includes('cancel') || event === 'due') this.#disarm();
    if (effects.includes('schedule')) this.#arm(this.#delayMs);
    if (effects.includes('launch')) await this.#prepareLaunch();
    if (changed && !effects.includes('erase')) await this.#write();
    for (const effect of effects) await this.#carryOut(effect);
    if (changed) this.#owner.changed();
  }

  async #carryOut(effect: Effect): Promise<void> {
    if (effect === 'terminate') this.#runner.terminate(this.#spec?.graceMs ?? graceMsWithoutSpec);
    if (effect === 'erase') await this.#erase();
    if (effect !== 'launch') return;
    assert(this.#spec !== undefined, 'a launch needs a spec');
    this.#runner.launch(this.#spec);
  }

  async #prepareLaunch(): Promise<void> {
    assert(this.#spec !== undefined, 'a launch needs a spec');
    // The old end is in the record from now on. Left in place, it could be taken for the end of the new process.
    await this.#unhindered(() => this.#ports.disk.remove('module:exit', this.#paths.exit));
    if (this.#startedOnce && this.#spec.generation === this.#generation) {
      this.#restartCount += 1;
      this.#lastRestartAtMs = this.#ports.clock.wallMs();
    }
    this.#begin(this.#spec.generation);
    this.#startedOnce = true;
  }

  #begin(generation: string): void {
    if (generation === this.#generation) return;
    this.#generation = generation;
    this.#history = freshHistory;
    this.#restartCount = 0;
    this.#lastRestartAtMs = null;
    this.#startedOnce = false;
  }

  #arm(delayMs: number): void {
    this.#disarm();
    this.#nextStartAtMs = this.#ports.clock.wallMs() + delayMs;
    this.#timer = this.#ports.clock.setTimer(delayMs, () => void this.#post(() => this.#handle('due')));
  }

  /** The timer of an earlier life; a wall clock that jumped must not make the wait longer than it ever was. */
  #rearm(): void {
    const pacing = this.#ports.pacing ?? defaultPacing;
    const longestMs =
      (this.#phase === 'broken' ? pacing.brokenDelayMs : pacing.delayMsMax) * (1 + pacing.jitterFraction);
    const remainingMs = (this.#nextStartAtMs ?? 0) - this.#ports.clock.wallMs();
    this.#arm(Math.min(longestMs, Math.max(0, remainingMs)));
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#nextStartAtMs = null;
  }

  #write(): Promise<void> {
    const { bootId } = this.#ports.processes;
    const record = formatSupervisionRecord(
      {
        bootId: bootId(),
        generation: this.#generation,
        phase: this.#phase,
        restartCount: this.#restartCount,
        lastRestartAtMs: this.#lastRestartAtMs,
        nextStartAtMs: this.#nextStartAtMs,
        lastEnd: this.#lastEnd,
        history: this.#history,
      },
      this.#now(),
    );
    return this.#unhindered(async () => {
      await this.#ports.disk.makeDirectory('module:directory', this.#paths.directory, directoryMode);
      await this.#ports.disk.writeFileAtomic('module:record', this.#paths.record, { data: record });
    });
  }

  /** A run directory that is full or gone must not keep modules from being started and stopped. */
  async #unhindered(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      this.#log.warn('supervision record cannot be kept', { module: this.name, error: errorMessage(error) });
    }
  }

  async #erase(): Promise<void> {
    const { disk } = this.#ports;
    await disk.remove('module:erase', this.#paths.directory);
    for (let number = 0; (await disk.facts('module:erase', logFile(this.#paths.log, number))) !== undefined; number++) {
      await disk.remove('module:erase', logFile(this.#paths.log, number));
    }
    this.#owner.erased(this.name);
  }

  #now(): Instant {
    return { wallMs: this.#ports.clock.wallMs(), monotonicMs: this.#ports.clock.monotonicMs() };
  }
}
