// What the management API tells of this gateway: one view of its modules, identities, logs and machine.
//
// Part of the composition root (device.ts). How modules were deployed stands in the agent's report, which has Azure's
// words and no credentials; what they do now is the supervisor's.

import { join } from 'node:path';
import { ModuleLog } from './admin/index.ts';
import type { ControlParts, DataParts, IdentityParts, ModuleParts, Stage } from './device-parts.ts';
import { edgeAgentId } from './model/address.ts';
import { isJsonObject, type JsonObject, type JsonValue } from './model/json.ts';
import { diskSpace, hostFacts } from './platform/host-facts.ts';
import { buildInfo } from './platform/native.ts';
import type { MachineReport, ManagedGateway, ManagedModule } from './workload/index.ts';

type Parts = IdentityParts & DataParts & ModuleParts & ControlParts;

export function managedGateway(stage: Stage, parts: Parts): ManagedGateway {
  const { config, disk, clock } = stage.ground;
  const { registry, supervisor } = parts;
  const moduleLog = new ModuleLog({ disk, clock }, { logDir: join(config.dataDir, 'logs') });
  return {
    modules: () => managedModules(stage, parts),
    identities: () =>
      registry.moduleIds().map((moduleId) => ({ moduleId, generationId: registry.generationId(moduleId) ?? '' })),
    log: (request) => moduleLog.read(request),
    restart: (name) => supervisor.restart(name),
    machine: () => machineReport(stage),
    nowMs: () => clock.machineWallMs(),
  };
}

function managedModules({ startedAtMs }: Stage, { twins, deviceId, supervisor }: Parts): readonly ManagedModule[] {
  const reported = twins.twin({ deviceId, moduleId: edgeAgentId }).reported.properties;
  const deployed = membersOf(reported['modules']);
  const observed = new Map(supervisor.observe().map((module) => [module.name, module]));
  const names = new Set([...deployed.keys(), ...observed.keys()]);
  return [
    ...['edgeAgent', 'edgeHub'].map((name) => ({
      ...deployedAs(membersOf(reported['systemModules']).get(name)),
      name,
      isSystem: true,
      runtimeStatus: 'running',
      description: 'running inside weir',
      startedAtMs,
      exitedAtMs: null,
      exitCode: 0,
    })),
    ...[...names].map((name) => {
      const { runtimeStatus, statusDescription, exitCode, exitedAtMs, ...found } = observed.get(name) ?? notSeen;
      const { startedAtMs: since } = found;
      return {
        ...deployedAs(deployed.get(name)),
        name,
        runtimeStatus,
        description: statusDescription,
        startedAtMs: since,
        exitedAtMs,
        exitCode,
      };
    }),
  ];
}

const notSeen = {
  runtimeStatus: 'unknown',
  statusDescription: 'not started yet',
  startedAtMs: null,
  exitedAtMs: null,
  exitCode: 0,
};

function deployedAs(report: JsonObject | undefined): Pick<ManagedModule, 'type' | 'settings'> {
  const settings = report?.['settings'];
  return {
    type: report?.['type'] === 'process' ? 'process' : 'docker',
    settings: isJsonObject(settings) ? settings : {},
  };
}

function membersOf(value: JsonValue | undefined): ReadonlyMap<string, JsonObject> {
  const entries = Object.entries(isJsonObject(value) ? value : {});
  return new Map(entries.filter((entry): entry is [string, JsonObject] => isJsonObject(entry[1])));
}

async function machineReport({ ground, startedAtMs }: Stage): Promise<MachineReport> {
  const { config, clock, processes } = ground;
  const { uptimeMs, ...host } = await hostFacts();
  const space = diskSpace(config.dataDir);
  return {
    ...host,
    architecture: processes.architecture,
    version: buildInfo().version,
    hostUptimeMs: uptimeMs,
    processUptimeMs: Math.max(0, clock.wallMs() - startedAtMs),
    provisioningType: config.provisioning.source === 'manual' ? 'manual.device_connection_string' : 'none',
    disks: space === undefined ? [] : [{ name: config.dataDir, ...space }],
  };
}
