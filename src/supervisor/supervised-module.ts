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
import { ailingEnd, startFailure } from './module-ends.ts';
import { ModuleLife } from './module-life.ts';
import { ModulePast } from './module-past.ts';
import type { ModulePaths } from './module-paths.ts';
import { ModuleRunners } from './module-runners.ts';
import { type Effect, hasProcess, type ModuleEvent, type Phase, transition } from './module-state.ts';
import { observationOf } from './observation.ts';
import type {
  Found,
  LaunchSpec,
  ModuleHealth,
  ModuleKind,
  ModuleObservation,
  RunnerListener,
  RunningModule,
  SupervisorPorts,
} from './ports.ts';
import type { ModuleEnd, SupervisionRecord } from './records.ts';
import { defaultPacing, freshHistory, judgeEnd, restartsUnhealthy } from './restart-policy.ts';
import { StartTimer } from './start-timer.ts';

export interface ModuleOwner {
  changed(): void;
  /** A spec came for the module, perhaps just after it was erased: it is one of the set (again). */
  kept(module: SupervisedModule): void;
  /** The module is gone and forgotten. */
  erased(name: string): Promise<void>;
}

/** For a module that is stopped before any spec told its own grace. */
const graceMsWithoutSpec = 10_000;
/** Until the engine answers what there is. */
const lookAgainMs = 5000;
/** Until traces that could not be removed are tried again. */
const eraseAgainMs = 30_000;

export class SupervisedModule {
  readonly name: string;
  readonly #ports: SupervisorPorts;
  readonly #log: Log;
  readonly #paths: ModulePaths;
  readonly #owner: ModuleOwner;
  readonly #runners: ModuleRunners;
  readonly #past: ModulePast;
  #mailbox: Promise<void> = Promise.resolve();
  #spec: LaunchSpec | undefined;
  #phase: Phase = 'absent';
  #life: ModuleLife;
  /** What runs cannot be known now: specs wait until it is. */
  #unsure = false;
  /** Why the next launch cannot be. */
  #hindrance: string | undefined;
  #forgotten = false;
  #unjudged: { readonly end: ModuleEnd; readonly ailed: boolean } | undefined;
  readonly #nextStart: StartTimer;
  #delayMs = 0;
  /** Of what has to be tried again, whatever the phase. */
  #again: Timer | undefined;
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
    this.#past = new ModulePast(name, { ports, paths, log: this.#log });
    this.#life = this.#newLife();
    this.#nextStart = new StartTimer(ports.clock, () => void this.#post(() => this.#handle('due')));
    this.#runners = new ModuleRunners(name, { ports, paths, listen: (kind) => this.#listen(kind) });
  }

  /** Reads what an earlier life of the runtime left, and adopts a module that runs. */
  restore({ isContainer }: { readonly isContainer: boolean }): Promise<void> {
    return this.#post(() => this.#restore(isContainer));
  }

  /** It will be told its spec when others are up. */
  hold(): void {
    if (this.#spec === undefined && this.#phase === 'absent')
      this.#life.progress = 'waits for modules that start earlier';
  }

  /** The module is to run, or to stand, as told. Resolves when that is under way. */
  assign(spec: LaunchSpec): Promise<void> {
    return this.#post(() => this.#assign(spec));
  }

  /** The module is no longer wanted: it is ended, and its traces are removed. */
  forget(): Promise<void> {
    return this.#post(() => {
      this.#forgotten = true;
      return this.#unsure ? undefined : this.#handle('forget');
    });
  }

  async restart(): Promise<void> {
    let refused = false;
    await this.#post(async () => {
      refused = this.#spec?.wanted !== 'running';
      if (refused) return;
      this.#past.history = freshHistory;
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
    this.#nextStart.stop();
    this.#again?.cancel();
    await this.#life.end();
    await this.#runners.detach();
  }

  /** True when the spec asks for nothing but what is: it needs no turn in the order of starts. */
  follows(spec: LaunchSpec): boolean {
    return spec.wanted === 'stopped' || (spec.generation === this.#past.generation && this.#phase !== 'absent');
  }

  /** True while a group that starts later has reason to wait: it is on its way, and may be up and ready soon. */
  get isOnItsWay(): boolean {
    if (this.#unsure) return false;
    const starts = this.#phase === 'starting' || this.#phase === 'stopping-to-start';
    return starts || (this.#phase === 'running' && this.#life.isGettingReady);
  }

  get hasProcess(): boolean {
    return hasProcess(this.#phase);
  }

  observe(): ModuleObservation {
    return observationOf({
      name: this.name,
      kind: this.#runners.kind,
      past: this.#past,
      phase: this.#phase,
      life: this.#life,
      nextStartAtMs: this.#nextStart.atMs,
    });
  }

  #listen(kind: ModuleKind): RunnerListener {
    const post = (work: () => void | Promise<void>): void =>
      void this.#post(() => (kind === this.#runners.kind ? work() : undefined));
    return {
      up: (state) => post(() => this.#up(state)),
      ended: (end) => post(() => this.#ended(end)),
      progress: (text) => post(() => this.#progressed(text)),
      health: (health) => post(() => this.#healthIs(health)),
    };
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

  async #restore(isContainer: boolean): Promise<void> {
    const record = await this.#past.recall();
    const kind = record?.kind ?? (isContainer ? 'container' : 'process');
    this.#runners.assume(kind);
    const isOtherThere =
      kind === 'process'
        ? isContainer
        : (await this.#ports.disk.facts('module:state', this.#paths.state)) !== undefined;
    if (isOtherThere) await this.#runners.eraseOther();
    await this.#look(record);
  }

  /** Finds what runs. An engine that is away cannot tell: it is asked until it does, and nothing is started before. */
  async #look(record: SupervisionRecord | undefined): Promise<void> {
    try {
      const found = await this.#runners.current.find();
      this.#unsure = false;
      this.#life.progress = '';
      this.#take(found, record);
    } catch (error) {
      if (!this.#unsure)
        this.#log.warn('module cannot be looked for', { module: this.name, error: errorMessage(error) });
      this.#unsure = true;
      this.#life.progress = `nobody knows whether it runs: ${errorMessage(error)}`;
      this.#retry(lookAgainMs, () => this.#look(record));
      return this.#owner.changed();
    }
    this.#owner.changed();
    const spec = this.#spec;
    if (spec === undefined) return this.#forgotten ? await this.#handle('forget') : undefined;
    this.#spec = undefined;
    await this.#assign(spec);
  }

  #take(found: Found, record: SupervisionRecord | undefined): void {
    if (found.kind === 'running') {
      // What was asked to end before we came is ended: it may have got the word, or not.
      const isStopping = record?.phase.startsWith('stopping-') === true;
      this.#phase = isStopping && record !== undefined ? record.phase : transition('absent', 'up').phase;
      this.#life.begin(found.state, { adopted: true });
      this.#log.info('module adopted', { module: this.name, pid: found.state.pid, generation: this.#past.generation });
      if (isStopping) this.#runners.current.terminate(graceMsWithoutSpec);
    } else if (record !== undefined && !hasProcess(record.phase)) {
      this.#phase = record.phase;
      this.#nextStart.atMs = record.nextStartAtMs;
    } else if (found.kind === 'ended' && record !== undefined) {
      const ailed = record.phase === 'stopping-to-judge';
      this.#past.lastEnd = ailed ? ailingEnd(found.end, 'it was unhealthy') : found.end;
      if (ailed || !record.phase.startsWith('stopping-')) this.#unjudged = { end: this.#past.lastEnd, ailed };
    }
  }

  async #assign(spec: LaunchSpec): Promise<void> {
    const first = this.#spec === undefined;
    this.#spec = spec;
    this.#forgotten = false;
    this.#owner.kept(this);
    if (this.#unsure) return;
    if (this.#phase === 'absent') this.#life.progress = '';
    const sameGeneration = spec.generation === this.#past.generation && kindOf(spec) === this.#runners.kind;
    const unjudged = this.#unjudged;
    this.#unjudged = undefined;
    if (first && unjudged !== undefined && sameGeneration && spec.wanted === 'running')
      return await this.#judge(unjudged.end, unjudged);
    if (first && (this.#phase === 'backoff' || this.#phase === 'broken')) this.#rearm();
    if (spec.wanted === 'stopped') await this.#handle('halt');
    else if (sameGeneration) await this.#handle('run');
    else {
      this.#past.history = freshHistory;
      await this.#handle('change');
    }
    if (spec.wanted === 'stopped' && !hasProcess(this.#phase)) this.#past.begin(spec.generation);
    if (this.#phase === 'running') await this.#follow(spec);
  }

  /** What it is watched by may have changed without a restart, or be told for the first time after an adoption. */
  async #follow(spec: LaunchSpec): Promise<void> {
    this.#runners.current.follow?.(spec);
    this.#life.watch(spec);
    if (this.#life.health?.healthy === false) await this.#healthIs(this.#life.health);
  }

  /** Of a life that is over by now it does not matter. */
  #over(life: object, text: string): Promise<void> | undefined {
    return life === this.#life && this.#phase === 'running' ? this.#fail(text) : undefined;
  }

  #healthIs(health: ModuleHealth): Promise<void> | undefined {
    if (this.#life.running === undefined) return undefined;
    const turned = this.#life.health?.healthy !== health.healthy;
    this.#life.health = health;
    if (turned && !health.healthy) this.#log.warn('module is unhealthy', { module: this.name, reason: health.text });
    this.#owner.changed();
    if (health.healthy || this.#phase !== 'running') return undefined;
    return this.#spec !== undefined && restartsUnhealthy(this.#spec.restartPolicy)
      ? this.#fail(`unhealthy: ${health.text}`)
      : undefined;
  }

  /** It runs, and counts as failed: it is ended, and judged by that. */
  #fail(reason: string): Promise<void> {
    this.#life.ailment = reason;
    this.#log.warn('module is ended because it fails', { module: this.name, reason });
    return this.#handle('ail');
  }

  #progressed(text: string): void {
    if (text === this.#life.progress) return;
    this.#life.progress = text;
    this.#owner.changed();
  }

  #up(state: RunningModule): Promise<void> {
    this.#life.begin(state, { adopted: false });
    this.#log.info('module started', { module: this.name, pid: state.pid, generation: this.#past.generation });
    if (this.#spec !== undefined) this.#life.watch(this.#spec);
    return this.#handle('up');
  }

  async #ended(told: ModuleEnd): Promise<void> {
    assert(hasProcess(this.#phase), 'only what runs can end');
    const end = this.#phase === 'stopping-to-judge' ? ailingEnd(told, this.#life.ailment ?? 'it was unhealthy') : told;
    void this.#life.end();
    this.#life = this.#newLife();
    this.#past.lastEnd = end;
    const asked = this.#phase.startsWith('stopping-') && this.#phase !== 'stopping-to-judge';
    this.#log[asked || end.code === 0 ? 'info' : 'warn']('module ended', {
      module: this.name,
      reason: end.message,
      uptimeMs: end.uptimeMs,
    });
    if (this.#spec === undefined && this.#phase !== 'stopping-to-forget') {
      // Nobody has said yet what is to follow. The record is left as it is: should we be killed now, the end is found again.
      this.#unjudged = asked ? undefined : { end, ailed: this.#phase === 'stopping-to-judge' };
      this.#phase = 'absent';
      return this.#owner.changed();
    }
    if (asked) await this.#handle('done');
    else await this.#judge(end, { ailed: this.#phase === 'stopping-to-judge' });
  }

  #newLife(): ModuleLife {
    const over = (life: object, text: string): void => void this.#post(() => this.#over(life, text));
    return new ModuleLife(this.#ports, { log: this.#log, data: this.#paths.data, over });
  }

  /** `ailed`: it ran and was ended for that, so that its exit code does not count. */
  async #judge(end: ModuleEnd, { ailed }: { readonly ailed: boolean }): Promise<void> {
    assert(this.#spec !== undefined, 'a verdict needs a policy');
    const { verdict, history } = judgeEnd({
      policy: this.#spec.restartPolicy,
      code: ailed ? null : end.code,
      uptimeMs: end.uptimeMs,
      history: this.#past.history,
      pacing: this.#ports.pacing ?? defaultPacing,
      nowMs: this.#ports.clock.monotonicMs(),
      fraction: this.#ports.entropy.fraction(),
    });
    this.#past.history = history;
    this.#delayMs = verdict.delayMs ?? 0;
    if (verdict.kind === 'slow')
      this.#log.warn('module fails again and again', { module: this.name, nextTryMs: this.#delayMs });
    await this.#handle(verdict.kind);
  }

  async #handle(event: ModuleEvent): Promise<void> {
    const { phase, effects } = transition(this.#phase, event);
    const changed = phase !== this.#phase || effects.length > 0;
    this.#phase = phase;
    if (effects.includes('cancel') || event === 'due') this.#nextStart.disarm();
    if (effects.includes('schedule')) this.#nextStart.arm(this.#delayMs);
    if (effects.includes('launch')) await this.#prepareLaunch();
    if (changed && !effects.includes('erase')) await this.#write();
    for (const effect of effects) await this.#carryOut(effect);
    if (changed) this.#owner.changed();
  }

  async #carryOut(effect: Effect): Promise<void> {
    if (effect === 'terminate') this.#runners.current.terminate(this.#spec?.graceMs ?? graceMsWithoutSpec);
    if (effect === 'erase') await this.#erase();
    if (effect !== 'launch') return;
    assert(this.#spec !== undefined, 'a launch needs a spec');
    if (this.#hindrance === undefined) return this.#runners.current.launch(this.#spec);
    const end = startFailure(
      `what is left of it as a ${this.#runners.kind} cannot be removed: ${this.#hindrance}`,
      this.#ports.clock.wallMs(),
    );
    void this.#post(() => this.#ended(end));
  }

  async #prepareLaunch(): Promise<void> {
    assert(this.#spec !== undefined, 'a launch needs a spec');
    this.#hindrance = await this.#runners.become(kindOf(this.#spec)).then(() => undefined, errorMessage);
    await this.#past.start(this.#spec.generation);
  }

  /** The wait of an earlier life goes on. */
  #rearm(): void {
    const { brokenDelayMs, delayMsMax, jitterFraction } = this.#ports.pacing ?? defaultPacing;
    this.#nextStart.rearm((this.#phase === 'broken' ? brokenDelayMs : delayMsMax) * (1 + jitterFraction));
  }

  #write(): Promise<void> {
    return this.#past.keep({ kind: this.#runners.kind, phase: this.#phase, nextStartAtMs: this.#nextStart.atMs });
  }

  async #erase(): Promise<void> {
    try {
      await this.#runners.current.erase();
    } catch (error) {
      this.#life.progress = `its traces cannot be removed: ${errorMessage(error)}`;
      this.#log.warn('module cannot be removed', { module: this.name, error: errorMessage(error) });
      this.#retry(eraseAgainMs, () => (this.#forgotten && this.#phase === 'absent' ? this.#erase() : undefined));
      return;
    }
    await this.#ports.disk.remove('module:erase', this.#paths.directory);
    await this.#owner.erased(this.name);
  }

  #retry(delayMs: number, work: () => void | Promise<void>): void {
    this.#again?.cancel();
    this.#again = this.#ports.clock.setTimer(delayMs, () => void this.#post(work));
  }
}

function kindOf(spec: LaunchSpec): ModuleKind {
  return spec.container === undefined ? 'process' : 'container';
}
