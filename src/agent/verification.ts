// Whether the modules of a deployment on trial prove themselves: ready, and stable for a while.
//
//   all ready ──────────► the window runs ──────────► good
//       ▲                     │ one is not ready any more, or ended with an error: from the beginning
//       └─────────────────────┘
//   a module gave up, or crashed too often, or the time to get ready is over: bad, with the reason of each
//
// Health is relative: a module that was failing before cannot fail the trial. A module that ends by itself with 0, or
// asks for a restart (75), is fine: what comes after is its restart policy's affair.
// Durations are monotonic. The object lives as long as this life of the runtime; another life begins the window anew.

import { agentCrashesMax } from '../limits.ts';
import type { Deployment } from './deployment.ts';
import type { LaunchOrder } from './launch-order.ts';
import type { ModuleFacts } from './ports.ts';

export interface VerificationOptions {
  readonly orders: readonly LaunchOrder[];
  /** Names of those that were failing before. */
  readonly failing: readonly string[];
  readonly startedMs: number;
  /** How long all have to be ready without a break. */
  readonly stableMs: number;
  /** How long they may take until then, beside their own start periods. */
  readonly readyMs: number;
}

export interface ModuleCheck {
  readonly module: string;
  readonly ok: boolean;
  readonly text: string;
}

export interface Judgement {
  readonly verdict: 'wait' | 'good' | 'bad';
  readonly checks: readonly ModuleCheck[];
  /** Until time alone changes the verdict. */
  readonly lookAgainMs: number;
}

type State = 'fine' | 'waiting' | 'lost';

const restartAsked = 75;

export class Verification {
  readonly #orders: readonly LaunchOrder[];
  readonly #stableMs: number;
  readonly #endMs: number;
  /** Restarts by module: when first seen, and now. */
  readonly #restarts = new Map<string, { readonly first: number; last: number }>();
  readonly #troubles = new Map<string, string>();
  #stableSinceMs: number | undefined;

  constructor({ orders, failing, startedMs, stableMs, readyMs }: VerificationOptions) {
    this.#orders = orders.filter((order) => order.wanted === 'running' && !failing.includes(order.name));
    this.#stableMs = stableMs;
    const startPeriodMs = Math.max(0, ...this.#orders.map((order) => order.health?.startPeriodMs ?? 0));
    this.#endMs = startedMs + readyMs + startPeriodMs + stableMs;
  }

  look(facts: readonly ModuleFacts[], nowMs: number): Judgement {
    const byName = new Map(facts.map((module) => [module.name, module]));
    const looks = this.#orders.map((order) => ({ order, ...this.#lookAt(order, byName.get(order.name)) }));
    const isFine = looks.every(({ state }) => state === 'fine');
    const isCalm = looks.every(({ isDisturbed }) => !isDisturbed);
    if (!isFine) this.#stableSinceMs = undefined;
    else if (this.#stableSinceMs === undefined || !isCalm) this.#stableSinceMs = nowMs;
    for (const { order, state, text } of looks) if (state !== 'fine') this.#troubles.set(order.name, text);
    const goodMs = this.#stableSinceMs === undefined ? undefined : this.#stableSinceMs + this.#stableMs;
    const isGood = goodMs !== undefined && nowMs >= goodMs;
    const isBad = !isGood && (nowMs >= this.#endMs || looks.some(({ state }) => state === 'lost'));
    return {
      verdict: isGood ? 'good' : isBad ? 'bad' : 'wait',
      checks: looks.map(({ order, state, text }) => this.#check(order.name, { state, text }, isBad)),
      lookAgainMs: Math.max(0, Math.min(goodMs ?? this.#endMs, this.#endMs) - nowMs),
    };
  }

  /** When time is over, whoever gave trouble on the way is named although it is fine at this moment. */
  #check(
    module: string,
    { state, text }: { readonly state: State; readonly text: string },
    isBad: boolean,
  ): ModuleCheck {
    const trouble = isBad && this.#stableSinceMs !== undefined ? this.#troubles.get(module) : undefined;
    return { module, ok: state === 'fine' && trouble === undefined, text: trouble ?? text };
  }

  #lookAt(
    order: LaunchOrder,
    facts: ModuleFacts | undefined,
  ): { readonly state: State; readonly text: string; readonly isDisturbed: boolean } {
    if (facts === undefined) return { state: 'waiting', text: 'not started yet', isDisturbed: false };
    if (facts.generation !== undefined && facts.generation !== order.generation)
      return { state: 'waiting', text: 'the earlier one has not ended yet', isDisturbed: false };
    const restarts = this.#restarts.get(order.name) ?? { first: facts.restartCount, last: facts.restartCount };
    const isDisturbed = facts.restartCount > restarts.last && !endedWell(facts);
    if (isDisturbed) this.#troubles.set(order.name, `it ended with code ${facts.exitCode} and was started again`);
    restarts.last = facts.restartCount;
    this.#restarts.set(order.name, restarts);
    const crashes = endedWell(facts) ? 0 : restarts.last - restarts.first;
    if (crashes >= agentCrashesMax)
      return { state: 'lost', text: `it ended ${crashes} times, with code ${facts.exitCode}`, isDisturbed };
    return { ...judge(facts), isDisturbed };
  }
}

/** Names of the modules that are known not to do what they were deployed for; who is only starting is not among them. */
export function failingOf(deployment: Deployment | undefined, observed: readonly ModuleFacts[]): readonly string[] {
  const asked = new Set(deployment?.modules.flatMap(({ name, wanted }) => (wanted === 'running' ? [name] : [])));
  return observed.filter((facts) => asked.has(facts.name) && isFailing(facts)).map(({ name }) => name);
}

function isFailing(facts: ModuleFacts): boolean {
  const { runtimeStatus, health } = facts;
  if (runtimeStatus === 'failed' || runtimeStatus === 'dead' || runtimeStatus === 'unhealthy') return true;
  if (runtimeStatus === 'running') return health?.healthy === false;
  return (runtimeStatus === 'backoff' || runtimeStatus === 'stopped') && facts.exitedAtMs !== null && !endedWell(facts);
}

function judge(facts: ModuleFacts): { readonly state: State; readonly text: string } {
  const { runtimeStatus, statusDescription, health } = facts;
  switch (runtimeStatus) {
    case 'running':
      if (health !== undefined && !health.healthy) return { state: 'waiting', text: `unhealthy: ${health.text}` };
      if (health !== undefined && !health.ready)
        return { state: 'waiting', text: health.text === '' ? 'not ready yet' : `not ready yet: ${health.text}` };
      return { state: 'fine', text: 'running' };
    case 'failed':
    case 'dead':
      return { state: 'lost', text: statusDescription };
    case 'stopped':
    case 'backoff':
      return facts.exitedAtMs !== null && endedWell(facts)
        ? { state: 'fine', text: statusDescription }
        : { state: 'waiting', text: statusDescription };
    default:
      return { state: 'waiting', text: statusDescription };
  }
}

function endedWell({ exitCode }: ModuleFacts): boolean {
  return exitCode === 0 || exitCode === restartAsked;
}
