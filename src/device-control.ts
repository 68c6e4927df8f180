// What keeps the gateway as deployed: supervisor, agent and routes.
//
// Part of the composition root (device.ts).

import { join } from 'node:path';
import {
  Agent,
  type AgentFacts,
  BrokerSections,
  type LocalTwins,
  type OwnTwin,
  Routing,
  recallLocalTwins,
} from './agent/index.ts';
import { type IotHubFront, ModuleInput } from './broker/index.ts';
import type { Config } from './config/index.ts';
import { openArtifacts } from './device-artifacts.ts';
import { openContainers } from './device-containers.ts';
import { deviceGroups, findAccount, firstUid } from './device-ground.ts';
import { moduleNameBytesMax } from './device-modules.ts';
import type {
  BrokerParts,
  ControlParts,
  DataParts,
  IdentityParts,
  ModuleParts,
  RoutingParts,
  Stage,
} from './device-parts.ts';
import { edgeAgentId, edgeHubId, type Identity, sameIdentity } from './model/address.ts';
import { shortDigest } from './platform/digest.ts';
import { hostFacts } from './platform/host-facts.ts';
import { buildInfo, shimPath } from './platform/native.ts';
import type { Router } from './router/index.ts';
import { Supervisor } from './supervisor/index.ts';
import type { TwinCache } from './twin/index.ts';

/** The routes of `$edgeHub`, and a way into each module input that they, or messages that wait, lead to. */
export async function openRouting(
  stage: Stage,
  parts: IdentityParts & DataParts & ModuleParts & BrokerParts,
): Promise<RoutingParts> {
  const { config, clock, log } = stage.ground;
  const { store, memory, twins, router, clients, front, deviceId, access, bridges } = parts;
  const attachInputs = (queues: readonly string[]): void => {
    for (const queue of queues) attachInput({ router, front, deviceId }, queue);
  };
  localTwinsOf(twins, deviceId).serve(await recallLocalTwins(memory));
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
  return { routing };
}

/** The supervisor, and the agent that tells it what is to run. */
export async function openControl(
  stage: Stage,
  parts: IdentityParts & DataParts & ModuleParts & BrokerParts,
): Promise<ControlParts> {
  const { ground, closing, extras } = stage;
  const { config, clock, entropy, disk, log, processes, network } = ground;
  const { memory, twins, registry, store, deviceId } = parts;
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
    dataDirectory: join(config.dataDir, 'modules'),
    // Keys of the gateway, and what other modules keep: also from a module that is root and meets no Landlock.
    hidden: [config.dataDir, ...ground.configPlaces],
    firstUid: firstUid(ground),
    deviceGroups: await deviceGroups(),
  });
  await supervisor.start();
  closing.push(() => supervisor.close({ stopModules: false }));
  const agent = new Agent({
    twin: twinOf(twins, { deviceId, moduleId: edgeAgentId }),
    hands: supervisor,
    artifacts: await openArtifacts(stage, parts),
    images: containers.images,
    identities: registry,
    memory,
    clock,
    log: log.child('agent'),
    facts: agentFacts(stage),
    context: {
      builtins: extras.builtinModules,
      parentHostname: parentHostname(config),
      moduleNameBytesMax: moduleNameBytesMax(config),
    },
    verifyMs: config.modules.verifyMs,
    localTwins: localTwinsOf(twins, deviceId),
    machine: {
      roomBytes: async () => {
        const { space } = await store.facts();
        return (space.freeBytes ?? Number.MAX_SAFE_INTEGER) - space.reserveBytes;
      },
      memoryTotalBytes: (await hostFacts()).totalMemoryBytes,
      architecture: processes.architecture,
    },
    orderFacts: {
      builtinCommand: (name) => [processes.executable, 'module', 'run', name],
      nodeCommand: (file) => [processes.executable, 'module', 'run-node', file],
      baseEnv: { ...processes.inherited },
      executableDigest: buildInfo().commit,
      graceMs: config.modules.graceMs,
      logBytesMax: config.modules.logBytesMax,
      logFiles: config.modules.logFiles,
      digest: shortDigest,
      account: firstUid(ground) === undefined ? await findAccount(config) : undefined,
    },
  });
  closing.push(() => agent.close());
  return { supervisor, agent };
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

/** What `weir deploy` brought for modules and routes, in place of the hub's. */
function localTwinsOf(twins: TwinCache, deviceId: string): LocalTwins {
  return {
    hubVersion: (moduleId) => twins.hubVersion({ deviceId, moduleId }),
    serve: (sections) =>
      twins.serveLocal(
        Object.entries(sections).map(([moduleId, section]) => ({ identity: { deviceId, moduleId }, ...section })),
      ),
  };
}

/** What `$upstream` means in the name of an image. */
function parentHostname({ provisioning }: Config): string | undefined {
  return provisioning.source === 'manual' ? provisioning.gatewayHostname : undefined;
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
