// A site for the agent: a twin, a memory, and modules that live on while the agent is killed and started again.
//
// Every call of the agent to the outside goes through gate(): a test can end the agent's life at the n-th call, before
// it has an effect or after it, and start another one over the same memory and the same modules.

import { Agent, type AgentPorts } from '../../src/agent/agent.ts';
import type { OwnTwin } from '../../src/agent/index.ts';
import type { LaunchOrder, ModuleFacts } from '../../src/agent/ports.ts';
import type { JsonObject } from '../../src/model/json.ts';
import { mergePatch } from '../../src/model/twin.ts';
import { MemoryState } from './memory-twins.ts';
import { keptLog } from './quiet-log.ts';
import { SimClock } from './sim-clock.ts';

export class FakeTwin implements OwnTwin {
  section: { properties: JsonObject; version: number } = { properties: {}, version: 0 };
  reportedNow: JsonObject = {};
  #listener: () => void = () => undefined;

  desired(): { readonly properties: JsonObject; readonly version: number } {
    return this.section;
  }
  reported(): JsonObject {
    return this.reportedNow;
  }
  patchReported(patch: JsonObject): Promise<unknown> {
    this.reportedNow = mergePatch(this.reportedNow, patch);
    return Promise.resolve();
  }
  onDesired(listener: () => void): void {
    this.#listener = listener;
  }
  set(properties: JsonObject): void {
    this.section = { properties, version: this.section.version + 1 };
    this.#listener();
  }
}

export const agentFacts = {
  version: { version: '0', build: '0', commit: 'x' },
  architecture: 'x86_64',
  startedAtMs: 0,
};

type Override = Partial<Omit<ModuleFacts, 'name'>>;

export interface SiteOptions {
  readonly memory?: MemoryState;
  readonly ports?: Partial<AgentPorts>;
}

export class AgentSite {
  readonly twin = new FakeTwin();
  readonly clock = new SimClock();
  readonly memory: MemoryState;
  readonly applied: (readonly LaunchOrder[])[] = [];
  readonly identities: string[] = [];
  /** Names of the modules whose logs were asked to stay last. */
  readonly logs: string[] = [];
  /** What is seen of a module instead of "running", by its name and by `name/version` variable. */
  readonly overrides = new Map<string, Override>();
  readonly kept = keptLog(this.clock);
  failing = false;
  notify: () => void = () => undefined;
  agent: Agent;
  readonly #ports: Partial<AgentPorts>;
  #calls = 0;
  #killAt: { readonly call: number; readonly after: boolean } | undefined;
  #life = 0;

  constructor({ memory = new MemoryState(), ports = {} }: SiteOptions = {}) {
    this.memory = memory;
    this.#ports = ports;
    this.agent = this.#newAgent();
  }

  /** What runs or is held, by name. */
  get orders(): readonly LaunchOrder[] {
    return this.applied.at(-1) ?? [];
  }

  get running(): readonly string[] {
    return this.orders.filter((order) => order.wanted === 'running').map(({ name, env }) => `${name}${env['V'] ?? ''}`);
  }

  get calls(): number {
    return this.#calls;
  }

  /** The agent's life ends at this call, counted from now: nothing that it does later has an effect. */
  killAt(call: number, after: boolean): void {
    this.#calls = 0;
    this.#killAt = { call, after };
  }

  get isKilled(): boolean {
    return this.#killAt !== undefined && this.#calls >= this.#killAt.call;
  }

  /** Another life of the agent over what the last one left. */
  reborn(): Agent {
    this.#life += 1;
    this.#killAt = undefined;
    this.agent = this.#newAgent();
    return this.agent;
  }

  facts(): readonly ModuleFacts[] {
    return this.orders.map(({ name, env, generation, wanted }) => ({
      name,
      generation,
      runtimeStatus: wanted === 'running' ? 'running' : 'stopped',
      exitCode: 0,
      statusDescription: wanted,
      startedAtMs: 5,
      exitedAtMs: null,
      restartCount: 0,
      lastRestartAtMs: null,
      ...this.overrides.get(name),
      ...this.overrides.get(`${name}/${env['V'] ?? ''}`),
    }));
  }

  #newAgent(): Agent {
    const life = this.#life;
    const gate = async <Answer>(work: () => Answer): Promise<Answer> => {
      // The dead stay dead: whatever the killed agent still does is lost.
      if (life !== this.#life) return new Promise(() => undefined);
      this.#calls += 1;
      const isLast = this.#killAt !== undefined && this.#calls >= this.#killAt.call;
      if (isLast && (this.#calls > (this.#killAt?.call ?? 0) || this.#killAt?.after !== true))
        return new Promise(() => undefined);
      const answer = work();
      return isLast ? new Promise(() => undefined) : answer;
    };
    const { memory } = this;
    return new Agent({
      twin: {
        desired: () => this.twin.desired(),
        reported: () => this.twin.reported(),
        patchReported: (patch) => gate(() => this.twin.patchReported(patch)),
        onDesired: (listener) => this.twin.onDesired(listener),
      },
      memory: {
        state: (key) => memory.state(key),
        saveState: (key, value) => gate(() => memory.saveState(key, value)).then(() => undefined),
      },
      clock: this.clock,
      log: this.kept.log,
      context: { builtins: ['modbus'] },
      facts: agentFacts,
      hands: {
        apply: (orders) =>
          gate(() => {
            if (this.failing) throw new TypeError('no disk');
            this.applied.push(orders);
          }),
        observe: () => this.facts(),
        keepLogs: (names) => gate(() => void this.logs.splice(0, this.logs.length, ...names)),
        onChange: (listener) => {
          this.notify = listener;
          return () => undefined;
        },
      },
      identities: {
        provide: (moduleId) => gate(() => ({ env: { IOTEDGE_MODULEID: moduleId } })),
        keepOnly: (moduleIds) => gate(() => void this.identities.splice(0, this.identities.length, ...moduleIds)),
      },
      orderFacts: {
        builtinCommand: (name) => ['/weir', 'module', 'run', name],
        nodeCommand: (file) => ['/weir', 'module', 'run-node', file],
        baseEnv: {},
        executableDigest: 'd',
        account: undefined,
        graceMs: 1,
        logBytesMax: 1,
        logFiles: 1,
        digest: (text) => text,
      },
      verifyMs: 60_000,
      ...this.#ports,
    });
  }
}

export function deployment(modules: JsonObject): JsonObject {
  return { schemaVersion: '1.0', modules };
}

/** A built-in module; its version is what the tests tell lives of it by. */
export function meter(version = ''): JsonObject {
  return {
    type: 'process',
    restartPolicy: 'always',
    settings: { executable: 'weir:modbus' },
    ...(version === '' ? {} : { env: { V: { value: version } } }),
  };
}
