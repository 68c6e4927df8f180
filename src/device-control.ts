// What keeps the gateway as deployed: supervisor, agent and routes; and the socket of its operators.
//
// Part of the composition root (device.ts).

import { join } from 'node:path';
import { type AdminDevice, AdminServer, ModuleLog } from './admin/index.ts';
import { Agent, type AgentFacts, BrokerSections, type OwnTwin, Routing } from './agent/index.ts';
import { type IotHubFront, ModuleInput } from './broker/index.ts';
import { redactedConfig } from './config/index.ts';
import { openContainers } from './device-containers.ts';
import { findAccount } from './device-ground.ts';
import { openAgentMethods } from './device-methods.ts';
import type {
  BrokerParts,
  ControlParts,
  DataParts,
  HubParts,
  IdentityParts,
  ModuleParts,
  Stage,
} from './device-parts.ts';
import { deviceStatus } from './device-status.ts';
import { edgeAgentId, edgeHubId, type Identity, sameIdentity } from './model/address.ts';
import { shortDigest } from './platform/digest.ts';
import { buildInfo, shimPath } from './platform/native.ts';
import { OperatorQueues } from './queues/index.ts';
import { type Router, upstreamQueue } from './router/index.ts';
import { Supervisor } from './supervisor/index.ts';
import type { TwinCache } from './twin/index.ts';

/** The routes of `$edgeHub`, and a way into each module input that they, or messages that wait, lead to. */
export async function openRouting(
  stage: Stage,
  parts: IdentityParts & DataParts & ModuleParts & BrokerParts,
): Promise<void> {
  const { config, clock, log } = stage.ground;
  const { store, memory, twins, router, clients, front, deviceId, access, bridges } = parts;
  const attachInputs = (queues: readonly string[]): void => {
    for (const queue of queues) attachInput({ router, front, deviceId }, queue);
  };
  attachInputs((await store.lanes()).map((facts) => facts.queue));
  const routing = new Routing({
    twin: twinOf(twins, { deviceId, moduleId: edgeHubId }),
    memory,
    log: log.child('routing'),
    facts: agentFacts(stage),
    timeToLiveSecs: config.store.timeToLiveSecs,
    mode: config.routes.mode,
    clock,
    clients,
    sections: new BrokerSections({
      memory,
      log: log.child('routing'),
      hands: [
        { name: 'authorizations', apply: (value, path) => access.setPolicy(value, path) },
        { name: 'bridges', apply: (value, path) => bridges.setBridges(value, path) },
      ],
    }),
    hands: {
      setRoutes: (routes, { timeToLiveSecs }) => {
        const problems = router.setRoutes(routes, { timeToLiveSecs: Math.max(0, timeToLiveSecs) });
        attachInputs(router.queues());
        return problems.map(({ route, message }) => ({ name: route, message }));
      },
      checkRoutes: (routes) => router.checkRoutes(routes).map(({ route, message }) => ({ name: route, message })),
    },
  });
  await routing.start();
  stage.closing.push(() => routing.close());
}

/** The supervisor, and the agent that tells it what is to run. */
export async function openControl(
  stage: Stage,
  parts: IdentityParts & DataParts & ModuleParts & BrokerParts,
): Promise<ControlParts> {
  const { ground, closing, extras } = stage;
  const { config, clock, entropy, disk, log, processes, network } = ground;
  const { memory, twins, registry, deviceId } = parts;
  const containers = await openContainers(stage, parts);
  const supervisor = new Supervisor({
    containers,
    clock,
    entropy,
    disk,
    processes,
    network,
    log: log.child('supervisor'),
    shimPath: shimPath(),
    runDirectory: config.runDir,
    logDirectory: join(config.dataDir, 'logs'),
  });
  await supervisor.start();
  closing.push(() => supervisor.close({ stopModules: false }));
  const agent = new Agent({
    twin: twinOf(twins, { deviceId, moduleId: edgeAgentId }),
    hands: supervisor,
    images: containers.images,
    identities: registry,
    memory,
    clock,
    log: log.child('agent'),
    facts: agentFacts(stage),
    context: { builtins: extras.builtinModules },
    planFacts: {
      builtinCommand: (name) => [processes.executable, 'module', 'run', name],
      baseEnv: { ...processes.inherited },
      executableDigest: buildInfo().commit,
      graceMs: config.modules.graceMs,
      logBytesMax: config.modules.logBytesMax,
      logFiles: config.modules.logFiles,
      digest: shortDigest,
      account: await findAccount(config),
    },
  });
  closing.push(() => agent.close());
  return { supervisor, agent };
}

/** What operators ask and order: on a socket of their own, and from the hub. */
export async function openAdmin(
  stage: Stage,
  parts: IdentityParts & DataParts & HubParts & BrokerParts & ControlParts,
): Promise<void> {
  const { ground, closing, startedAtMs } = stage;
  const { config, http, log, metrics, disk, clock, entropy, processes } = ground;
  const { store, router, memory, supervisor, deviceId, hubKey } = parts;
  const operator = new OperatorQueues(
    { store, sender: router, documents: memory, clock, entropy, log: log.child('queues'), seal: hubKey },
    { deviceId, hubQueue: upstreamQueue },
  );
  const moduleLog = new ModuleLog({ disk, clock }, { logDir: join(config.dataDir, 'logs') });
  const build = buildInfo();
  const device: AdminDevice = {
    status: () => deviceStatus({ ...parts, ground, operator, startedAtMs }),
    queues: operator,
    restartModule: (name) => supervisor.restart(name),
    logs: (request) => moduleLog.read(request),
    config: () => redactedConfig(config),
    version: () => ({ ...build, node: processes.nodeVersion }),
  };
  const server = new AdminServer(
    { http, log: log.child('admin'), metrics, device },
    { socketPath: join(config.runDir, 'admin.sock') },
  );
  await server.start();
  closing.push(() => server.close());
  openAgentMethods(stage, { ...parts, device });
}

function agentFacts({ ground, startedAtMs }: Stage): AgentFacts {
  const { version, builtAt, commit } = buildInfo();
  return { version: { version, build: builtAt, commit }, architecture: ground.processes.architecture, startedAtMs };
}

function attachInput(
  { router, front, deviceId }: { readonly router: Router; readonly front: IotHubFront; readonly deviceId: string },
  queue: string,
): void {
  const [, moduleId, input] = /^([^/]+)\/inputs\/(.+)$/.exec(queue) ?? [];
  if (moduleId === undefined || input === undefined || router.isAttached(queue)) return;
  router.attach(queue, new ModuleInput(front, { target: { deviceId, moduleId }, input }));
}

function twinOf(twins: TwinCache, identity: Identity): OwnTwin {
  return {
    desired: () => twins.twin(identity).desired,
    reported: () => twins.twin(identity).reported.properties,
    patchReported: (patch) => twins.patchReported(identity, patch),
    onDesired: (listener) =>
      twins.onDesired((news) => {
        if (sameIdentity(news.identity, identity)) listener();
      }),
  };
}
