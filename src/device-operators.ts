// What operators ask and order: at the gateway on the admin socket, and from the hub by the direct methods of `$edgeAgent`.
//
// Part of the composition root (device.ts).

import { join } from 'node:path';
import { type AdminDevice, AdminServer, ModuleLog, OwnLog, type UsageReport } from './admin/index.ts';
import { AgentMethods, type LogQuestion, supportBundle } from './agent-methods/index.ts';
import { redactedConfig } from './config/index.ts';
import type {
  BrokerParts,
  ControlParts,
  DataParts,
  HubParts,
  IdentityParts,
  RoutingParts,
  Stage,
} from './device-parts.ts';
import { deviceStatus, moduleReports } from './device-status.ts';
import { agentLogPatternMsMax } from './limits.ts';
import { errorCode } from './model/errors.ts';
import type { JsonValue } from './model/json.ts';
import { trustedAuthorities } from './platform/download.ts';
import { buildInfo } from './platform/native.ts';
import { compilePattern } from './platform/pattern.ts';
import { isInModuleGroup, systemProcessTable } from './platform/process-lineage.ts';
import { processUsage } from './platform/process-usage.ts';
import { systemWebPut } from './platform/web-put.ts';
import { OperatorQueues } from './queues/index.ts';
import { upstreamQueue } from './router/index.ts';

type Parts = IdentityParts & DataParts & HubParts & BrokerParts & RoutingParts & ControlParts;

/** The runtime's own log, under the names that Azure's two runtime modules have, and under its own. */
const ownLogNames = ['weir', 'edgeAgent', 'edgeHub'];

export async function openOperators(stage: Stage, parts: Parts): Promise<void> {
  const { ground, closing } = stage;
  const { config, http, log, metrics, disk, clock } = ground;
  const moduleLog = new ModuleLog({ disk, clock }, { logDir: join(config.dataDir, 'logs') });
  const bundleParts = bundlePartsOf(stage, parts, { device: () => device, names: () => moduleLog.names() });
  const device = adminDevice(stage, parts, { bundleParts, moduleLog });
  const processes = systemProcessTable();
  const isModule = async (pid: number): Promise<boolean> => {
    const lineage = await processes.lineage(pid);
    return lineage === undefined || isInModuleGroup(lineage); // who is gone needs no answer
  };
  const server = new AdminServer(
    { http, log: log.child('admin'), metrics, device, isModule },
    { socketPath: join(config.runDir, 'admin.sock') },
  );
  await server.start();
  closing.push(() => server.close());
  openAgentMethods(stage, parts, bundleParts);
}

type BundleParts = Parameters<typeof supportBundle>[0];

/** What logs and status are, for whoever is not at the machine. */
function bundlePartsOf(
  { ground }: Stage,
  { supervisor, agent }: Parts,
  { device, names }: { readonly device: () => AdminDevice; readonly names: () => Promise<readonly string[]> },
): BundleParts {
  const { metrics, recentLog, clock } = ground;
  const wantedOf = (name: string): 'running' | 'stopped' =>
    agent.deployment()?.modules.find((module) => module.name === name)?.wanted ?? 'running';
  return {
    clock,
    modules: { list: () => supervisor.observe().map(({ name }) => ({ name, wanted: wantedOf(name) })) },
    logs: { ofModule: (question) => written(device(), question), own: () => recentLog.lines(), names },
    support: {
      documents: async () => ({
        'status.json': (await device().status()) as unknown as JsonValue,
        'deployment.json': device().deployment.progress() as unknown as JsonValue,
        'usage.json': (await device().usage()) as unknown as JsonValue,
        'config.json': device().config(),
        'version.json': device().version(),
        'metrics.json': metrics.snapshot() as unknown as JsonValue,
      }),
    },
  };
}

function adminDevice(
  stage: Stage,
  parts: Parts,
  { bundleParts, moduleLog }: { readonly bundleParts: BundleParts; readonly moduleLog: ModuleLog },
): AdminDevice {
  const { ground, startedAtMs } = stage;
  const { config, log, clock, entropy, processes, recentLog } = ground;
  const { store, router, memory, supervisor, agent, deviceId, hubKey } = parts;
  const operator = new OperatorQueues(
    { store, sender: router, documents: memory, clock, entropy, log: log.child('queues'), seal: hubKey },
    { deviceId, hubQueue: upstreamQueue },
  );
  const ownLog = new OwnLog(recentLog, clock);
  const build = buildInfo();
  return {
    status: () => deviceStatus({ ...parts, ground, operator, startedAtMs }),
    queues: operator,
    deployment: {
      progress: () => {
        const { since, ...rollout } = agent.rollout();
        return { ...rollout, sinceMs: since, status: agent.status() };
      },
      deploy: (manifest, options) => agent.applyLocal(manifest, options),
    },
    usage: () => usageReport(stage, parts),
    supportBundle: ({ runtimeOnly = false, signal, ...window }) =>
      supportBundle(bundleParts, { window, runtimeOnly, signal }),
    restartModule: (name) => supervisor.restart(name),
    logs: (request) => (ownLogNames.includes(request.name) ? ownLog.read(request) : moduleLog.read(request)),
    config: () => redactedConfig(config),
    version: () => ({ ...build, node: processes.nodeVersion }),
  };
}

function openAgentMethods(
  { ground, closing }: Stage,
  { supervisor, systemCalls, deviceId, hubHostname, trustPem }: Parts,
  bundleParts: BundleParts,
): void {
  const { clock, entropy, log, config } = ground;
  const { provisioning } = config;
  const methods = new AgentMethods(
    {
      ...bundleParts,
      modules: { ...bundleParts.modules, restart: (name) => supervisor.restart(name) },
      web: systemWebPut({ authorities: () => trustedAuthorities(trustPem) }),
      patterns: { compile: (source, options) => compilePattern(source, { ...options, msMax: agentLogPatternMsMax }) },
      clock,
      entropy,
      log: log.child('agent-methods'),
    },
    {
      deviceId,
      hubHostname,
      ...(provisioning.source === 'none' ? {} : { parentHostname: provisioning.gatewayHostname }),
    },
  );
  systemCalls.answerFor = { agent: methods };
  closing.push(() => methods.close());
}

/** The runtime and its modules; what a module receives is what the drains sent into its inputs. */
async function usageReport({ ground, startedAtMs }: Stage, parts: Parts): Promise<UsageReport> {
  const { clock, processes, metrics } = ground;
  const modules = moduleReports(parts);
  const pids = modules.flatMap(({ pid }) => pid ?? []);
  const usages = await processUsage(pids, { alone: [processes.pid] });
  const received = new Map<string, number>();
  let total = 0;
  for (const { name, labels, value } of metrics.snapshot()) {
    if (name !== 'router_messages_sent_total') continue;
    const [module = ''] = (labels['queue'] ?? '').split('/inputs/');
    received.set(module, (received.get(module) ?? 0) + value);
    total += value;
  }
  const self = usages.get(processes.pid);
  return {
    monotonicMs: clock.monotonicMs(),
    modules: [
      {
        name: 'weir',
        kind: 'process',
        runtimeStatus: 'running',
        restartCount: 0,
        startedAtMs,
        pid: processes.pid,
        processes: self?.processes ?? null,
        cpuMs: self?.cpuMs ?? null,
        memoryBytes: self?.memoryBytes ?? null,
        messagesSent: total,
        messagesReceived: parts.traffic.total(),
      },
      ...modules.map(({ name, kind = 'process', runtimeStatus, restartCount, startedAtMs, pid }) => {
        const usage = pid === null ? undefined : usages.get(pid);
        return {
          ...{ name, kind, runtimeStatus, restartCount, startedAtMs, pid },
          processes: usage?.processes ?? null,
          cpuMs: usage?.cpuMs ?? null,
          memoryBytes: usage?.memoryBytes ?? null,
          messagesSent: parts.traffic.count(name),
          messagesReceived: received.get(name) ?? 0,
        };
      }),
    ],
  };
}

/** A module that has not written yet has an empty log. */
async function* written(device: AdminDevice, question: LogQuestion): AsyncIterable<string> {
  try {
    yield* device.logs(question);
  } catch (error) {
    if (errorCode(error) !== 'ADMIN_NO_SUCH_MODULE') throw error;
  }
}
