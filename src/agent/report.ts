// `$edgeAgent`'s reported properties, exactly as Azure's agent writes them, as a pure function of facts.
//
//   modules.<name>: { version, type, status, restartPolicy, imagePullPolicy, startupOrder?, env,
//                     settings: { image, imageHash?, createOptions[, createOptions01 …] },
//                     exitCode, statusDescription, lastStartTimeUtc, lastExitTimeUtc, restartCount,
//                     lastRestartTimeUtc, runtimeStatus }
//
// A process has its own settings there, as they were deployed. createOptions are text in pieces of 512 characters.
// The caller sends the difference to what was reported last (null deletes what is gone).

import { isJsonObject, type JsonObject, type JsonValue } from '../model/json.ts';
import { cutTwinText } from '../model/twin-rules.ts';
import { createOptionsPieces } from './create-options.ts';
import { type DeployedModule, type Deployment, startupOrderMax } from './deployment.ts';
import type { ModuleFacts } from './ports.ts';
import type { HeldBack } from './rollout-view.ts';

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
  readonly heldBack: readonly HeldBack[];
  readonly facts: AgentFacts;
}): JsonObject {
  const { deployment, status, observed, heldBack, facts } = input;
  const head: JsonObject = {
    schemaVersion: '1.0',
    version: { ...facts.version },
    lastDesiredVersion: status.version,
    lastDesiredStatus: { code: status.code, description: cutTwinText(status.description) },
  };
  if (deployment === undefined) return head;
  const byName = new Map(observed.map((module) => [module.name, module]));
  const held = new Map(heldBack.map((module) => [module.name, module]));
  return {
    ...head,
    runtime: {
      type: deployment.runtime['type'] ?? 'docker',
      platform: { os: 'linux', architecture: facts.architecture, version: facts.version.version },
      settings: deployment.runtime['settings'] ?? {},
    },
    systemModules: {
      edgeAgent: { ...systemModule(deployment.systemModules['edgeAgent']), ...systemState(facts) },
      edgeHub: {
        status: 'running',
        restartPolicy: 'always',
        ...systemModule(deployment.systemModules['edgeHub']),
        ...systemState(facts),
        restartCount: 0,
        lastRestartTimeUtc: never,
      },
    },
    modules: Object.fromEntries(
      deployment.modules.map((module) => [
        module.name,
        moduleReport(module, byName.get(module.name), held.get(module.name)),
      ]),
    ),
  };
}

function systemModule(source: JsonValue | undefined): JsonObject {
  const written = isJsonObject(source) ? source : {};
  const settings = isJsonObject(written['settings']) ? written['settings'] : {};
  return { type: 'docker', imagePullPolicy: 'on-create', env: {}, ...written, settings };
}

function systemState(facts: AgentFacts): JsonObject {
  return {
    exitCode: 0,
    statusDescription: 'running inside weir',
    lastStartTimeUtc: iso(facts.startedAtMs),
    lastExitTimeUtc: never,
    runtimeStatus: 'running',
  };
}

function moduleReport(
  module: DeployedModule,
  observed: ModuleFacts | undefined,
  held: HeldBack | undefined,
): JsonObject {
  return {
    version: module.version,
    type: module.type,
    status: module.wanted,
    restartPolicy: module.restartPolicy,
    imagePullPolicy: module.pullPolicy,
    ...(module.startupOrder === startupOrderMax ? {} : { startupOrder: module.startupOrder }),
    env: isJsonObject(module.source['env']) ? module.source['env'] : {},
    settings: moduleSettings(module, observed),
    exitCode: observed?.exitCode ?? 0,
    statusDescription: held?.reason ?? observed?.statusDescription ?? 'not started yet',
    lastStartTimeUtc: iso(observed?.startedAtMs ?? null),
    lastExitTimeUtc: iso(observed?.exitedAtMs ?? null),
    restartCount: observed?.restartCount ?? 0,
    lastRestartTimeUtc: iso(observed?.lastRestartAtMs ?? null),
    runtimeStatus: held === undefined ? (observed?.runtimeStatus ?? 'unknown') : held.isFault ? 'failed' : 'unknown',
  };
}

function moduleSettings(module: DeployedModule, observed: ModuleFacts | undefined): JsonObject {
  const written = isJsonObject(module.source['settings']) ? module.source['settings'] : {};
  if (module.program.kind !== 'container') return written;
  return {
    image: module.program.image,
    ...(observed?.imageHash === undefined ? {} : { imageHash: observed.imageHash }),
    ...createOptionsPieces(module.program.createOptions),
  };
}

function iso(atMs: number | null): string {
  return atMs === null ? never : new Date(atMs).toISOString();
}
