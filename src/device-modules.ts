// The identities of modules, the sockets on which they prove them, and what each module is told of all that.
//
// Part of the composition root (device.ts). A module's sockets are alone in a directory of their own,
// <run>/modules/<name>/api, which a container gets at the same path: the directory, because a socket that is opened
// again after a restart of the runtime is another file of the same name.

import { dirname, join } from 'node:path';
import { Clients, ModuleRegistry } from './agent/index.ts';
import type { Config } from './config/index.ts';
import { managedGateway } from './device-management.ts';
import type { ControlParts, DataParts, HubParts, IdentityParts, ModuleParts, Stage } from './device-parts.ts';
import { ModuleKeys } from './identity/index.ts';
import { unixPathBytesMax } from './limits.ts';
import { moduleFileName } from './model/module-file-name.ts';
import { systemProcessTable } from './platform/process-lineage.ts';
import { CallerCheck, ManagementSocket, WorkloadSockets } from './workload/index.ts';

const passableMode = 0o711;
const workloadApiVersion = '2022-08-03';
const anyAddresses: readonly string[] = ['0.0.0.0', '::'];
const azureNames: readonly string[] = ['edgeHub', 'edgeAgent'];

export async function openModules(
  { ground, closing }: Stage,
  parts: IdentityParts & DataParts & HubParts,
): Promise<ModuleParts> {
  const { config, http, log, metrics, disk, entropy, clock } = ground;
  const { deviceId, hubHostname, certificates, localKey, memory, twins, notices, hub } = parts;
  const clients = new Clients(() => clock.wallMs());
  const later: ModuleParts['later'] = { modules: () => [], gateway: undefined };
  const callers = new CallerCheck({ processes: systemProcessTable(), clock, modules: () => later.modules() });
  const workload = new WorkloadSockets(
    {
      http,
      log,
      metrics,
      keys: new ModuleKeys(localKey),
      certificates,
      gateway: () => later.gateway,
      mayUse: (moduleId, peer) => callers.mayUse(moduleId, peer),
    },
    { hubHostname, deviceId },
  );
  closing.push(() => workload.closeAll());
  const told = { config, deviceId, hubHostname };
  let isWarned = false;
  const registry = new ModuleRegistry({
    memory,
    newGenerationId: () => entropy.uuid(),
    workload: {
      open: async (module) => {
        const paths = socketPaths(config, module.moduleId);
        await disk.makeDirectory('device:module', dirname(paths.directory), passableMode);
        await disk.makeDirectory('device:module-api', paths.directory, passableMode);
        await workload.open(module, paths);
      },
      close: (moduleId) => workload.close(moduleId),
    },
    joined: (moduleId) => hub?.sync.watch({ deviceId, moduleId }),
    created: (moduleId) => void notices.created({ deviceId, moduleId }, twins.twin({ deviceId, moduleId })),
    left: async (moduleId) => {
      const module = { deviceId, moduleId };
      clients.forget(module);
      void notices.deleted(module, twins.twin(module));
      await (hub === undefined ? twins.forget(module) : hub.sync.unwatch(module));
    },
    provision: (module) => {
      if (module.kind === 'process') return { env: environment(told, module) };
      const { directory } = socketPaths(config, module.moduleId);
      const obstacle = gatewayObstacle(config);
      if (obstacle !== undefined && !isWarned) {
        isWarned = true;
        log.warn('modules in containers cannot reach the broker of this gateway', { reason: obstacle });
      }
      return {
        env: environment(told, module),
        mounts: [{ source: directory, target: directory, readOnly: true }],
        hosts: gatewayHosts(config),
      };
    },
  });
  await registry.start();
  return { registry, clients, callers, later };
}

/** Management in Azure's words, once there is a supervisor to ask. */
export async function openManagement(
  stage: Stage,
  parts: IdentityParts & DataParts & ModuleParts & ControlParts,
): Promise<void> {
  const { ground, closing } = stage;
  const { config, http, log, metrics } = ground;
  const { callers, later, supervisor } = parts;
  later.modules = () => supervisor.observe();
  const gateway = managedGateway(stage, parts);
  later.gateway = gateway;
  const socket = new ManagementSocket(
    { http, log, metrics, gateway, isOperator: (peer) => callers.isOperator(peer) },
    { socketPath: join(config.runDir, 'mgmt.sock') },
  );
  await socket.start();
  closing.push(() => socket.close());
}

interface ModuleSocketPaths {
  readonly directory: string;
  readonly workload: string;
  readonly management?: string;
}

function socketPaths(config: Config, moduleId: string): ModuleSocketPaths {
  const directory = join(config.runDir, 'modules', moduleFileName(moduleId) ?? '%', 'api');
  return {
    directory,
    workload: join(directory, 'workload.sock'),
    ...(config.modules.management.includes(moduleId) ? { management: join(directory, 'mgmt.sock') } : {}),
  };
}

/** What a socket's path leaves for the file name of its module. */
export function moduleNameBytesMax(config: Config): number {
  return unixPathBytesMax - Buffer.byteLength(socketPaths(config, '').workload) + 1;
}

/** Azure's names; the broker's own socket is not where a container could see it. */
function environment(
  {
    config,
    deviceId,
    hubHostname,
  }: { readonly config: Config; readonly deviceId: string; readonly hubHostname: string },
  { moduleId, generationId, kind }: { readonly moduleId: string; readonly generationId: string; readonly kind: string },
): Readonly<Record<string, string>> {
  const { workload, management } = socketPaths(config, moduleId);
  const parent = config.provisioning.source === 'manual' ? config.provisioning.gatewayHostname : undefined;
  return {
    IOTEDGE_WORKLOADURI: `unix://${workload}`,
    IOTEDGE_AUTHSCHEME: 'sasToken',
    IOTEDGE_APIVERSION: workloadApiVersion,
    IOTEDGE_MODULEGENERATIONID: generationId,
    IOTEDGE_IOTHUBHOSTNAME: hubHostname,
    IOTEDGE_GATEWAYHOSTNAME: config.hostname,
    IOTEDGE_DEVICEID: deviceId,
    IOTEDGE_MODULEID: moduleId,
    ...(parent === undefined ? {} : { IOTEDGE_PARENTHOSTNAME: parent }),
    ...(management === undefined ? {} : { IOTEDGE_MANAGEMENTURI: `unix://${management}` }),
    ...(kind === 'process' ? { WEIR_MQTT_URI: `unix://${join(config.runDir, 'mqtt.sock')}` } : {}),
  };
}

/**
 * The gateway's name leads to where its TLS listener is: the machine, or the one address it was given. So do the names
 * of Azure's own modules, which tools ask for their metrics.
 */
function gatewayHosts({ hostname, listeners }: Config): readonly { readonly name: string; readonly address: string }[] {
  const { host } = listeners.tls ?? { host: '0.0.0.0' };
  const isOne = isAddress(host) && !anyAddresses.includes(host);
  const names = !isAddress(hostname) ? [hostname, ...azureNames] : azureNames;
  return names.map((name) => ({ name, address: isOne ? host : 'host-gateway' }));
}

/** An IP address rather than a name: a name has letters, and no colon. */
function isAddress(host: string): boolean {
  return /^[\d.]+$|:/.test(host);
}

/** Why a container finds no broker. */
function gatewayObstacle({ listeners }: Config): string | undefined {
  const { tls } = listeners;
  if (tls === undefined) return 'listeners.tls is off in the configuration: set it to "tls://0.0.0.0:8883"';
  return /^(127\.|::1$|localhost$)/.test(tls.host)
    ? `listeners.tls is on ${tls.host}, which is another place inside a container: set it to "tls://0.0.0.0:8883"`
    : undefined;
}
