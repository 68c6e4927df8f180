// `$edgeAgent`'s reported properties, exactly as Azure's agent writes them, as a pure function of facts.
//
// The caller sends the difference to what was reported last (null deletes what is gone).

import type { JsonObject } from '../model/json.ts';
import { cutTwinText } from '../model/twin-rules.ts';
import type { DeployedModule, Deployment } from './deployment.ts';
import { unsupportedReason } from './plan.ts';
import type { ModuleFacts } from './ports.ts';

export interface AgentFacts {
  readonly version: { readonly version: string; readonly build: string; readonly commit: string };
  readonly architecture: string;
  readonly startedAtMs: number;
}

export interface DesiredStatus {
  readonly version: number;
  readonly code: number;
  readonly description: string;
}

const never = '0001-01-01T00:00:00';

export function agentReport(input: {
  readonly deployment: Deployment | undefined;
  readonly status: DesiredStatus;
  readonly observed: readonly ModuleFacts[];
  readonly facts: AgentFacts;
}): JsonObject {
  const { deployment, status, observed, facts } = input;
  const head: JsonObject = {
    schemaVersion: '1.0',
    version: { ...facts.version },
    lastDesiredVersion: status.version,
    lastDesiredStatus: { code: status.code, description: cutTwinText(status.description) },
  };
  if (deployment === undefined) return head;
  const byName = new Map(observed.map((module) => [module.name, module]));
  return {
    ...head,
    runtime: {
      type: deployment.runtime['type'] ?? 'docker',
      platform: { os: 'linux', architecture: facts.architecture, version: facts.version.version },
      settings: deployment.runtime['settings'] ?? {},
    },
    systemModules: {
      edgeAgent: systemModule(deployment.systemModules['edgeAgent'], facts),
      edgeHub: systemModule(deployment.systemModules['edgeHub'], facts),
    },
    modules: Object.fromEntries(
      deployment.modules.map((module) => [module.name, moduleReport(module, byName.get(module.name))]),
    ),
  };
}

function systemModule(source: JsonObject[string] | undefined, facts: AgentFacts): JsonObject {
  const written = typeof source === 'object' && source !== null && !Array.isArray(source) ? (source as JsonObject) : {};
  return {
    ...written,
    exitCode: 0,
    statusDescription: 'running inside weir',
    lastStartTimeUtc: iso(facts.startedAtMs),
    lastExitTimeUtc: never,
    runtimeStatus: 'running',
  };
}

function moduleReport(module: DeployedModule, observed: ModuleFacts | undefined): JsonObject {
  const unsupported = unsupportedReason(module);
  return {
    ...module.source,
    status: module.wanted,
    restartPolicy: module.restartPolicy,
    exitCode: observed?.exitCode ?? 0,
    statusDescription: unsupported ?? observed?.statusDescription ?? 'not started yet',
    lastStartTimeUtc: iso(observed?.startedAtMs ?? null),
    lastExitTimeUtc: iso(observed?.exitedAtMs ?? null),
    restartCount: observed?.restartCount ?? 0,
    lastRestartTimeUtc: iso(observed?.lastRestartAtMs ?? null),
    runtimeStatus: unsupported === undefined ? (observed?.runtimeStatus ?? 'unknown') : 'failed',
  };
}

function iso(atMs: number | null): string {
  return atMs === null ? never : new Date(atMs).toISOString();
}
