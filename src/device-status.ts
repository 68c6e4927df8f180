// What a gateway says of itself when an operator asks: one report from all its parts.
//
// Part of the composition root (device.ts): the only place that sees all parts at once. Owns which number comes from
// which part and nothing else; the shape of the report is admin's (admin/ports.ts).

import { type ModuleReport, neverStarted, type StatusReport } from './admin/index.ts';
import type { Agent, Routing } from './agent/index.ts';
import type { Bridges } from './bridge/index.ts';
import type { Broker } from './broker/index.ts';
import type { Ground } from './device-ground.ts';
import type { FlashWear } from './flash/index.ts';
import { priorityUnset } from './model/lane.ts';
import { buildInfo } from './platform/native.ts';
import type { OperatorQueues } from './queues/index.ts';
import type { Store } from './store/index.ts';
import type { Supervisor } from './supervisor/index.ts';
import type { UpstreamLink } from './upstream/index.ts';

export interface StatusParts {
  readonly ground: Ground;
  readonly store: Store;
  readonly operator: OperatorQueues;
  readonly wear: FlashWear;
  readonly agent: Agent;
  readonly routing: Routing;
  readonly broker: Broker;
  readonly bridges: Bridges;
  readonly supervisor: Supervisor;
  readonly hub: { readonly link: UpstreamLink } | undefined;
  readonly deviceId: string;
  readonly hubHostname: string;
  readonly startedAtMs: number;
}

export async function deviceStatus(parts: StatusParts): Promise<StatusReport> {
  const { ground, store, operator, wear, agent, routing, broker, bridges, supervisor, hub, startedAtMs } = parts;
  const { clock, processes } = ground;
  const [lanes, facts, memoryPssBytes] = await Promise.all([
    store.lanes().then((known) => operator.counted(known)),
    store.facts(),
    processes.pssBytes(processes.pid),
  ]);
  return {
    version: buildInfo().version,
    uptimeMs: clock.wallMs() - startedAtMs,
    deviceId: parts.deviceId,
    hub: {
      hostname: hub === undefined ? '' : parts.hubHostname,
      ...(hub?.link.status() ?? { state: 'disabled', sinceMs: startedAtMs }),
    },
    deployment: agent.status(),
    routes: routing.status(),
    clients: broker.connectedClients().length,
    bridges: bridges.status(),
    queues: lanes.map(({ priority, ...rest }) => ({
      ...rest,
      priority: priority === priorityUnset ? null : priority,
    })),
    modules: moduleReports({ supervisor, agent }),
    store: {
      fileBytes: facts.fileBytes,
      messageBytes: facts.messageBytes,
      freeBytes: facts.space.freeBytes ?? null,
      reserveBytes: facts.space.reserveBytes,
      quarantined: facts.quarantined,
    },
    flash: wear.facts(),
    memoryPssBytes: memoryPssBytes ?? null,
  };
}

/** Modules that run or ran, and those of the deployment that nobody is asked to start yet. */
export function moduleReports({
  supervisor,
  agent,
}: {
  readonly supervisor: Supervisor;
  readonly agent: Agent;
}): readonly ModuleReport[] {
  const observed = supervisor.observe();
  const texts = new Map(agent.rollout().modules.map(({ name, text }) => [name, text]));
  const known = new Set(observed.map(({ name }) => name));
  const missing = agent
    .unsupported()
    .filter(({ name }) => !known.has(name))
    .map(neverStarted);
  return [...observed, ...missing].map((module) => {
    const progress = texts.get(module.name);
    return progress === undefined || progress === module.statusDescription ? module : { ...module, progress };
  });
}
