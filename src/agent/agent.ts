// The agent: observe → plan → apply → report, for ever, whoever is connected.
//
// Owns what this device is asked to run and what it says about it. Desired properties come from `$edgeAgent`'s twin
// copy, or from `weir deploy` until the hub has newer ones, so the loop is the same online and offline. One pass at a
// time (passes.ts).
//
//   desired changed ─┐                ┌─ unreadable: reported, nothing changes
//   module changed ──┼─► pass: read ──┤            (plan.ts says which)
//   something fetched┤                └─ steps: try, apply, commit, revert, restore ─► report the difference
//   timer ───────────┘
//
// Invariants
//   What is decided is remembered before it has an effect (rollout-record.ts): whoever kills us, the next life goes on.
//   Nothing that runs is touched before all that its successor needs is on the device and fits (preparation.ts).
//   A deployment is the good one only after its modules proved themselves (verification.ts); else the last good one is
//   restored, and the refused one is not tried again before the hub, or the operator, asks anew.
//   No pass leaves by an exception: a failure is reported with code 500 and tried again.

import { agentReadyMs, agentReportIntervalMs, agentRetryMs } from '../limits.ts';
import { errorMessage } from '../model/errors.ts';
import type { JsonObject } from '../model/json.ts';
import { diffPatch } from '../model/twin.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import { provideAll, removeUnneeded } from './belongings.ts';
import type { Deployment, DeploymentContext } from './deployment.ts';
import { readManifest } from './local-manifest.ts';
import { OrderBook } from './order-book.ts';
import type { OrderFacts } from './orders.ts';
import { Passes } from './passes.ts';
import { needsProof, nextStep, type Step } from './plan.ts';
import type {
  AgentMemory,
  LaunchOrder,
  LocalDeployResult,
  LocalTwins,
  MachineFacts,
  ModuleArtifacts,
  ModuleHands,
  ModuleIdentities,
  ModuleImages,
  OwnTwin,
  Rollout,
} from './ports.ts';
import { Preparation } from './preparation.ts';
import { type AgentFacts, agentReport, type DesiredStatus } from './report.ts';
import {
  afterBoot,
  type LocalSection,
  onlyReadable,
  type RolloutRecord,
  recallRollout,
  type Source,
  sameSource,
  saveRollout,
  withFiles,
} from './rollout-record.ts';
import { deploymentStatusOf, type HeldBack, isFine, type Picture, rolloutOf, trouble } from './rollout-view.ts';
import { failingOf, type Judgement, Verification } from './verification.ts';
import { Wishes } from './wishes.ts';

export interface AgentPorts {
  readonly twin: OwnTwin;
  readonly hands: ModuleHands;
  readonly identities: ModuleIdentities;
  readonly memory: AgentMemory;
  readonly clock: Clock;
  readonly log: Log;
  readonly context: DeploymentContext;
  readonly facts: AgentFacts;
  readonly orderFacts: OrderFacts;
  /** How long new modules have to be ready without a break before their deployment counts. */
  readonly verifyMs: number;
  /** Absent: programs are not fetched. */
  readonly artifacts?: ModuleArtifacts | undefined;
  /** Absent: there is no container engine. */
  readonly images?: ModuleImages | undefined;
  readonly machine?: MachineFacts | undefined;
  /** Absent: a local deployment changes no twins. */
  readonly localTwins?: LocalTwins | undefined;
}

/** More steps in one pass than any way through the plan takes. */
const stepsMax = 16;
const nothingDecided: Judgement = { verdict: 'wait', checks: [], lookAgainMs: 0 };

export class Agent {
  readonly #ports: AgentPorts;
  readonly #book: OrderBook;
  readonly #wishes: Wishes;
  readonly #passes = new Passes(() => this.#pass());
  #record: RolloutRecord = {};
  #failure: string | undefined;
  #applied: Source | undefined;
  #preparation: Preparation | undefined;
  #verification: Verification | undefined;
  #judgement: Judgement = nothingDecided;
  #phase: { readonly name: string; readonly since: number } = { name: 'settled', since: 0 };
  #leaving: Promise<void> = Promise.resolve();
  #retry: Timer | undefined;
  #look: Timer | undefined;
  #reportTimer: Timer | undefined;
  #unsubscribe: (() => void) | undefined;
  #closed = false;

  constructor(ports: AgentPorts) {
    this.#ports = ports;
    this.#book = new OrderBook(ports.context, ports.orderFacts);
    this.#wishes = new Wishes(this.#book, ports.log);
  }

  /** Applies the last known deployment before anything else is heard of. */
  async start(): Promise<void> {
    // Recalled before anything is heard: a deployment that comes meanwhile must not be overwritten by the memory of an older one.
    const { memory, log } = this.#ports;
    this.#record = onlyReadable(await recallRollout(memory), (source) => {
      if (this.#book.deployment(source) !== undefined) return true;
      const { version } = source;
      log.error('a remembered deployment cannot be read by this version and is left out', { version });
      return false;
    });
    this.#ports.twin.onDesired(this.#trigger);
    this.#unsubscribe = this.#ports.hands.onChange(() => this.#reportSoon());
    await this.#passes.trigger();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#unsubscribe?.();
    for (const timer of [this.#retry, this.#look, this.#reportTimer]) timer?.cancel();
    const passed = this.#passes.close();
    await this.#preparation?.close();
    await this.#leaving;
    await passed;
  }

  /** What is asked of this device and how that went, for status and the console. */
  status(): DesiredStatus {
    return deploymentStatusOf(this.#picture());
  }

  /** How far the deployment that is asked for has come. */
  rollout(): Rollout {
    const view = rolloutOf(this.#picture());
    return { ...view, since: view.phase === this.#phase.name ? this.#phase.since : this.#ports.clock.wallMs() };
  }

  /** Modules of the deployment in force that nobody is asked to start yet, with the reason: an operator's list is not complete without them. */
  unsupported(): readonly { readonly name: string; readonly reason: string }[] {
    return this.#heldBack(this.#inForce()).map(({ name, reason }) => ({ name, reason }));
  }

  /** The one in force. */
  deployment(): Deployment | undefined {
    return this.#book.deployment(this.#inForce());
  }

  /**
   * Deploys a manifest at the device, without a hub or until the hub has a newer one. Resolves when it is remembered;
   * rollout() tells how it goes on. With `dryRun` nothing changes.
   */
  async applyLocal(manifest: JsonObject, { dryRun }: { readonly dryRun: boolean }): Promise<LocalDeployResult> {
    const read = readManifest(manifest, this.#ports.context);
    if (!read.ok) return { ok: false, problems: read.problems, plan: [] };
    const { properties, twins } = read.manifest;
    const { localTwins, twin } = this.#ports;
    const sections = [...twins].map(([moduleId, desired]): [string, LocalSection] => [
      moduleId,
      { properties: desired, overVersion: localTwins?.hubVersion(moduleId) ?? 0 },
    ]);
    const local: Source = {
      origin: 'local',
      version: twin.desired().version,
      properties,
      twins: Object.fromEntries(sections),
    };
    const plan = this.#book.changes(this.#inForce(), local);
    if (!dryRun) await this.#passes.before(() => this.#takeLocal(local));
    return { ok: true, problems: [], plan };
  }

  async #takeLocal(local: Source): Promise<void> {
    const { refused: _, ...record } = this.#record;
    await this.#remember({ ...record, local });
    // Whoever asks for the rollout from now on is told of this one.
    this.#wishes.read(this.#ports.twin.desired(), local);
    this.#ports.log.info('a deployment was made at the device', {
      modules: this.#book.deployment(local)?.modules.length,
    });
  }

  readonly #trigger = (): void => void this.#passes.trigger();

  async #pass(): Promise<void> {
    try {
      await this.#countBoot();
      await this.#converge();
      this.#failure = undefined;
      const { phase } = rolloutOf(this.#picture());
      if (phase !== this.#phase.name) this.#phase = { name: phase, since: this.#ports.clock.wallMs() };
      await this.#report();
    } catch (error) {
      this.#failure = errorMessage(error);
      this.#ports.log.error('the deployment could not be carried out; trying again', {
        reason: this.#failure,
        inMs: agentRetryMs,
      });
      this.#applied = undefined;
      this.#retry?.cancel();
      if (!this.#closed) this.#retry = this.#ports.clock.setTimer(agentRetryMs, this.#trigger);
      await this.#report().catch((cause: unknown) =>
        this.#ports.log.debug('the failure is not reported yet', { reason: errorMessage(cause) }),
      );
    }
  }

  async #converge(): Promise<void> {
    await this.#readWishes();
    for (let steps = 0; steps < stepsMax && !this.#closed; steps += 1) {
      this.#prepare();
      await this.#keepFiles();
      this.#judge();
      const step = nextStep({
        record: this.#record,
        target: this.#wishes.target,
        isPrepared: this.#isPrepared(),
        applied: this.#applied,
        verdict: this.#judgement.verdict,
        isReturnable: this.#book.hasModules(this.#record.good),
      });
      if (step.kind === 'rest') break;
      await this.#perform(step);
    }
    this.#lookLater();
  }

  async #readWishes(): Promise<void> {
    const desired = this.#ports.twin.desired();
    if (this.#wishes.isOver(this.#record.local, desired.version)) {
      const { local: _, ...record } = this.#record;
      await this.#remember(record);
    }
    this.#wishes.read(desired, this.#record.local);
  }

  /** One preparation at a time: of what is wanted, else of what is in force, once in a life of the runtime. */
  #prepare(): void {
    const inForce = this.#inForce();
    const wanted = this.#wishes.wanted(this.#record);
    const subject = wanted ?? inForce;
    const deployment = this.#book.deployment(subject);
    if (subject === undefined || deployment === undefined || sameSource(this.#preparation?.task.source, subject))
      return;
    const earlier = this.#preparation;
    if (earlier !== undefined) this.#leaving = Promise.all([this.#leaving, earlier.close()]).then(() => undefined);
    const preparation = new Preparation(this.#ports, {
      source: subject,
      deployment,
      inForce:
        wanted === undefined ? deployment : this.#book.hasModules(inForce) ? this.#book.deployment(inForce) : undefined,
      changed: this.#trigger,
    });
    this.#preparation = preparation;
    preparation.start();
  }

  /** What was fetched for the deployment in force belongs to it. */
  async #keepFiles(): Promise<void> {
    const { trial, good } = this.#record;
    const preparation = this.#preparation;
    const inForce = trial?.source ?? good;
    if (preparation === undefined || inForce === undefined || !sameSource(preparation.task.source, inForce)) return;
    const source = withFiles(inForce, preparation.files);
    if (source === inForce) return;
    await this.#remember(
      trial === undefined ? { ...this.#record, good: source } : { ...this.#record, trial: { ...trial, source } },
    );
  }

  #isPrepared(): boolean {
    const preparation = this.#preparation;
    if (preparation === undefined || !sameSource(preparation.task.source, this.#wishes.target)) return false;
    // With nothing in force that waiting would protect, modules need not wait for one another's files.
    return (
      preparation.state === 'ready' || (preparation.state === 'working' && !this.#book.hasModules(this.#inForce()))
    );
  }

  #judge(): void {
    const { trial } = this.#record;
    if (trial === undefined || this.#verification === undefined || this.#applied !== trial.source) {
      this.#judgement = nothingDecided;
      return;
    }
    const judgement = this.#verification.look(this.#ports.hands.observe(), this.#ports.clock.monotonicMs());
    const isWhole = this.#heldBack(trial.source).length === 0;
    // What is still to come triggers a pass of its own.
    const incomplete: Judgement = { ...judgement, verdict: 'wait', lookAgainMs: agentRetryMs };
    this.#judgement = judgement.verdict === 'good' && !isWhole ? incomplete : judgement;
  }

  async #perform(step: Step): Promise<void> {
    const { log } = this.#ports;
    switch (step.kind) {
      case 'rest':
        return;
      case 'try':
        return this.#try(step.source);
      case 'apply':
        return this.#apply(step.source);
      case 'commit': {
        const { trial: _, ...record } = this.#record;
        await this.#remember({ ...record, good: step.source });
        // Applied once more without what it replaced.
        this.#applied = undefined;
        return log.info('the deployment is in force', { version: step.source.version });
      }
      case 'revert': {
        const { trial } = this.#record;
        if (trial === undefined) return;
        const verdict = trouble(this.#judgement);
        await this.#remember({ ...this.#record, trial: { ...trial, phase: 'reverting', verdict } });
        log.error('the deployment failed; the last good one is restored', {
          version: step.trial.version,
          reason: verdict,
        });
        return;
      }
      case 'restore':
        return this.#restore(step.source, step.trial);
    }
  }

  async #try(source: Source): Promise<void> {
    const { clock } = this.#ports;
    const { refused: _, trial, ...record } = this.#record;
    await this.#remember({
      ...record,
      // Better than nothing to go back to: the first one, whose modules all run, has only not had its time yet.
      ...(trial !== undefined && !this.#book.hasModules(record.good) && isFine(this.#picture())
        ? { good: trial.source }
        : {}),
      trial: {
        source: withFiles(source, this.#preparation?.files ?? new Map()),
        phase: 'verifying',
        // Whoever takes the place of a trial is measured by what was before it.
        failing: trial?.failing ?? failingOf(this.deployment(), this.#ports.hands.observe()),
        boots: 1,
        bootId: clock.bootId,
      },
    });
  }

  async #restore(good: Source, trial: Source): Promise<void> {
    const reason = this.#record.trial?.verdict ?? '';
    // While there is a trial in the record, its failures excuse nobody; a newer one may be tried as soon as there is none.
    await this.#give(good, undefined);
    const { trial: _, ...record } = this.#record;
    await this.#remember({ ...record, refused: { source: trial, reason, atMs: this.#ports.clock.wallMs() } });
    this.#applied = undefined;
  }

  async #apply(source: Source): Promise<void> {
    const { trial, good } = this.#record;
    const isTrial = trial?.source === source;
    const orders = await this.#give(source, isTrial ? good : undefined);
    this.#applied = source;
    if (isTrial) {
      const proof = needsProof(this.#book.changes(good, source));
      this.#verification = new Verification({
        orders: proof ? orders : [],
        failing: trial.failing,
        startedMs: this.#ports.clock.monotonicMs(),
        stableMs: proof ? this.#ports.verifyMs : 0,
        readyMs: agentReadyMs,
      });
      return;
    }
    this.#verification = undefined;
    // Nobody will go back any more. Why a deployment was refused is read in the logs of its modules.
    await this.#ports.identities.keepOnly(this.#book.names(source));
    await removeUnneeded(this.#ports, {
      deployments: [source, this.#preparation?.task.source].map((one) => this.#book.deployment(one)),
      logs: [source, this.#record.refused?.source].flatMap((one) => this.#book.names(one)),
    });
  }

  /** Hands over the modules of `source`; those of `earlier` that it does not have are stopped, not removed. */
  async #give(source: Source, earlier: Source | undefined): Promise<readonly LaunchOrder[]> {
    const { hands, identities, localTwins } = this.#ports;
    const surroundings = await provideAll(
      identities,
      new Map([...this.#book.kinds(earlier), ...this.#book.kinds(source)]),
    );
    const orders = this.#book.orders(source, surroundings);
    const kept = new Set(this.#book.names(source));
    const leaving = this.#book
      .orders(earlier, surroundings)
      .filter((order) => !kept.has(order.name))
      .map((order): LaunchOrder => ({ ...order, wanted: 'stopped' }));
    localTwins?.serve(source.twins ?? {});
    await hands.apply([...orders, ...leaving]);
    return orders;
  }

  #heldBack(source: Source | undefined): readonly HeldBack[] {
    const preparation = sameSource(this.#preparation?.task.source, source) ? this.#preparation : undefined;
    return this.#book.missing(source).map((name) => {
      const fault = preparation?.faults.get(name);
      return { name, reason: fault ?? 'its files are being fetched', isFault: fault !== undefined };
    });
  }

  #inForce(): Source | undefined {
    return this.#record.trial?.source ?? this.#record.good;
  }

  async #remember(record: RolloutRecord): Promise<void> {
    await saveRollout(this.#ports.memory, record);
    this.#record = record;
  }

  async #countBoot(): Promise<void> {
    const { good } = this.#record;
    const counted = afterBoot(this.#record, this.#ports.clock.bootId, this.#book.hasModules(good));
    if (counted !== this.#record) await this.#remember(counted);
  }

  #lookLater(): void {
    this.#look?.cancel();
    this.#look = undefined;
    if (this.#record.trial === undefined || this.#verification === undefined || this.#closed) return;
    const { verdict, lookAgainMs } = this.#judgement;
    const delayMs = verdict === 'wait' ? Math.max(1, lookAgainMs) : agentRetryMs;
    this.#look = this.#ports.clock.setTimer(delayMs, this.#trigger);
  }

  /** Module events come in bursts (a crash loop): reports are spaced, the last state always gets through. */
  #reportSoon(): void {
    if (this.#reportTimer !== undefined || this.#closed) return;
    this.#reportTimer = this.#ports.clock.setTimer(agentReportIntervalMs, () => {
      this.#reportTimer = undefined;
      this.#trigger();
    });
  }

  #picture(): Picture {
    const inForce = this.#inForce();
    return {
      record: this.#record,
      wanted: this.#wishes.wanted(this.#record),
      target: this.#wishes.target,
      unreadable: this.#wishes.unreadable,
      failure: this.#failure,
      isApplied: inForce !== undefined && this.#applied === inForce,
      isReturnable: this.#book.hasModules(this.#record.good),
      isSigned: this.deployment()?.integrity !== undefined,
      judgement: this.#judgement,
      heldBack: this.#heldBack(inForce),
      preparation: this.#preparation,
    };
  }

  async #report(): Promise<void> {
    const { twin, hands, facts } = this.#ports;
    const report = agentReport({
      deployment: this.deployment(),
      status: this.status(),
      observed: hands.observe(),
      heldBack: this.#heldBack(this.#inForce()),
      facts,
    });
    const patch = diffPatch(twin.reported(), report);
    if (Object.keys(patch).length > 0) await twin.patchReported(patch);
  }
}
