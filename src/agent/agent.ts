// The agent: observe → plan → apply → report, for ever, whoever is connected.
//
// Owns what this device is asked to run and what it says about it. Desired properties come from `$edgeAgent`'s
// twin copy, so the loop is the same online and offline. One pass at a time; changes meanwhile cause one more.
//
//   desired changed ─┐                       ┌─ unreadable: the last good deployment stays in force
//   module changed ──┼─► pass: parse ─► plan ─┤
//   retry timer ─────┘                       └─ apply ─► remember as last good ─► report the difference
//
// Invariants
//   A deployment is remembered as the last good one only after its parse; a start uses it when the twin's copy
//   is missing or unreadable, so the modules of yesterday run today without any hub.
//   A bad module is named in the report and left out; it does not keep the others from running.
//   No pass leaves by an exception: a failure is reported with code 500 and tried again.

import { agentReportIntervalMs, agentRetryMs } from '../limits.ts';
import { errorMessage } from '../model/errors.ts';
import { isJsonObject, type JsonObject, parseJson } from '../model/json.ts';
import type { Problem } from '../model/problem.ts';
import { diffPatch } from '../model/twin.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import { type Deployment, type DeploymentContext, parseDeployment } from './deployment.ts';
import { deploymentStatus, identityUnavailableError } from './errors.ts';
import { type PlanFacts, planLaunch, unsupportedReason } from './plan.ts';
import type { AgentMemory, ModuleHands, ModuleIdentities, OwnTwin } from './ports.ts';
import { type AgentFacts, agentReport, type DesiredStatus } from './report.ts';

export interface AgentPorts {
  readonly twin: OwnTwin;
  readonly hands: ModuleHands;
  readonly identities: ModuleIdentities;
  readonly memory: AgentMemory;
  readonly clock: Clock;
  readonly log: Log;
  readonly context: DeploymentContext;
  readonly facts: AgentFacts;
  readonly planFacts: Omit<PlanFacts, 'environment'>;
}

const lastGoodKey = 'agent:last-good-deployment';

export class Agent {
  readonly #ports: AgentPorts;
  #deployment: Deployment | undefined;
  #status: DesiredStatus = {
    version: 0,
    code: deploymentStatus.empty,
    description: 'no deployment has been set for this device yet',
  };
  #appliedVersion = -1;
  #needsApply = true;
  #passing: Promise<void> | undefined;
  #again = false;
  #retry: Timer | undefined;
  #reportTimer: Timer | undefined;
  #unsubscribe: (() => void) | undefined;
  #closed = false;

  constructor(ports: AgentPorts) {
    this.#ports = ports;
  }

  /** Applies the last known deployment before anything else is heard of. */
  async start(): Promise<void> {
    // Recalled before anything is heard: a deployment that comes meanwhile must not be overwritten by the memory of an older one.
    await this.#recallLastGood();
    this.#ports.twin.onDesired(() => {
      this.#needsApply = true;
      this.#trigger();
    });
    this.#unsubscribe = this.#ports.hands.onChange(() => this.#reportSoon());
    this.#trigger();
    await this.#passing;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#unsubscribe?.();
    this.#retry?.cancel();
    this.#reportTimer?.cancel();
    await this.#passing;
  }

  /** What is asked of this device and how that went, for status and the console. */
  status(): DesiredStatus {
    return this.#status;
  }

  /** Modules of the deployment that nobody is asked to start, with the reason: an operator's list is not complete without them. */
  unsupported(): readonly { readonly name: string; readonly reason: string }[] {
    return (this.#deployment?.modules ?? []).flatMap((module) => {
      const reason = unsupportedReason(module);
      return reason === undefined ? [] : [{ name: module.name, reason }];
    });
  }

  deployment(): Deployment | undefined {
    return this.#deployment;
  }

  #trigger(): void {
    if (this.#closed) return;
    if (this.#passing !== undefined) {
      this.#again = true;
      return;
    }
    this.#passing = this.#pass().finally(() => {
      this.#passing = undefined;
      if (!this.#again) return;
      this.#again = false;
      this.#trigger();
    });
  }

  async #pass(): Promise<void> {
    try {
      if (this.#needsApply) {
        this.#needsApply = false;
        await this.#converge();
      }
      await this.#report();
    } catch (error) {
      this.#ports.log.error('the deployment could not be carried out; trying again', {
        reason: errorMessage(error),
        inMs: agentRetryMs,
      });
      this.#status = { version: this.#status.version, code: deploymentStatus.failed, description: errorMessage(error) };
      this.#needsApply = true;
      this.#retry?.cancel();
      this.#retry = this.#ports.clock.setTimer(agentRetryMs, () => this.#trigger());
    }
  }

  async #converge(): Promise<void> {
    const { properties, version } = this.#ports.twin.desired();
    if (version > 0 && version !== this.#appliedVersion) await this.#take(properties, version);
    // Nothing was ever asked, or the memory of it was lost: whatever runs keeps running until somebody says so.
    if (this.#deployment === undefined) return;
    await this.#apply(this.#deployment);
    this.#appliedVersion = version;
  }

  async #take(properties: JsonObject, version: number): Promise<void> {
    const parsed = parseDeployment(properties, this.#ports.context);
    if (!parsed.ok) {
      this.#status = { version, code: parsed.status, description: describe(parsed.problems) };
      const facts = { version, code: parsed.status, reason: this.#status.description };
      if (parsed.status === deploymentStatus.empty) this.#ports.log.info('no deployment yet', facts);
      else this.#ports.log.warn('the deployment cannot be read; the last good one stays in force', facts);
      return;
    }
    this.#deployment = parsed.deployment;
    const code = parsed.problems.length === 0 ? deploymentStatus.ok : deploymentStatus.malformed;
    this.#status = { version, code, description: describe(parsed.problems) };
    if (parsed.problems.length > 0)
      this.#ports.log.warn('parts of the deployment are left out', { version, reason: this.#status.description });
    else this.#ports.log.info('deployment taken', { version, modules: parsed.deployment.modules.length });
    await this.#ports.memory.saveState(lastGoodKey, JSON.stringify(properties));
  }

  async #apply(deployment: Deployment): Promise<void> {
    const { identities, hands, planFacts } = this.#ports;
    const environment = new Map<string, Readonly<Record<string, string>>>();
    await identities.keepOnly(deployment.modules.map((module) => module.name));
    for (const module of deployment.modules) {
      try {
        environment.set(module.name, (await identities.provide(module.name)).env);
      } catch (error) {
        throw identityUnavailableError(module.name, error);
      }
    }
    await hands.apply(planLaunch(deployment, { ...planFacts, environment }));
  }

  async #recallLastGood(): Promise<void> {
    const text = await this.#ports.memory.state(lastGoodKey);
    const remembered = text === undefined ? undefined : parseJson(text);
    if (remembered === undefined || !remembered.ok || !isJsonObject(remembered.value)) return;
    const parsed = parseDeployment(remembered.value, this.#ports.context);
    if (parsed.ok) this.#deployment = parsed.deployment;
  }

  /** Module events come in bursts (a crash loop): reports are spaced, the last state always gets through. */
  #reportSoon(): void {
    if (this.#reportTimer !== undefined || this.#closed) return;
    this.#reportTimer = this.#ports.clock.setTimer(agentReportIntervalMs, () => {
      this.#reportTimer = undefined;
      this.#trigger();
    });
  }

  async #report(): Promise<void> {
    const { twin, hands, facts } = this.#ports;
    const report = agentReport({
      deployment: this.#deployment,
      status: this.#status,
      observed: hands.observe(),
      facts,
    });
    const patch = diffPatch(twin.reported(), report);
    if (Object.keys(patch).length > 0) await twin.patchReported(patch);
  }
}

function describe(problems: readonly Problem[]): string {
  return problems.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; ');
}
