// The management API of Azure IoT Edge on a gateway whose agent is inside: requests → answers. No socket here.
//
//   GET  /modules  /modules/{m}                 {"modules": [details]}, details
//   GET  /modules/{m}/logs?tail&since&until&follow&timestamps          Docker's frames (docker-frames.ts)
//   POST /modules/{m}/restart                   204
//   POST /modules/{m}/start                     204, 304 when it runs already
//   GET  /identities                            {"identities": [{"moduleId","managedBy","generationId","authType"}]}
//   GET  /systeminfo  /systeminfo/resources     the machine
//
// At Azure these are edgeAgent's means to carry out the deployment, and only it may change anything. Here the agent is
// a part of the runtime, so that nobody outside has that part, and what would contradict the deployment is refused
// like anybody else's try at Azure, with 403, but with the way that leads there: POST, PUT and DELETE of modules and
// identities, prepareupdate, stop, reprovision. Restarting changes nothing that was deployed and is done; so is
// starting, unless the deployment wants the module stopped. A support bundle is made by the command line.
//
// Details name no variables and no credentials of a module: at Azure `env` is empty as well.

import type { JsonObject } from '../model/json.ts';
import type { HttpRequest, HttpResponse } from '../platform/http.ts';
import { checkApiVersion, firstApiVersion } from './api-version.ts';
import { dockerFrames } from './docker-frames.ts';
import { deployedOnlyError, moduleUnknownError, unknownRouteError } from './errors.ts';
import { readLogQuery } from './log-query.ts';
import type { MachineReport, ManagedGateway, ManagedIdentity, ManagedModule } from './ports.ts';

const statusOk = 200;
const statusNoContent = 204;
const statusNotModified = 304;
const resourcesVersion = '2019-11-05';
const msPerSecond = 1000;

const deployMend = 'Change the deployment: at the hub, or with weir deploy on this machine.';
const identityMend = 'Modules get their identities with the deployment, and lose them with it.';
const stopMend = `${deployMend} A module with "status": "stopped" is stopped and stays so.`;
const systemMend = 'It is a part of weir: systemctl restart weir. Modules go on meanwhile.';
const reprovisionMend = 'Change [provisioning] in config.toml and restart weir.';
const bundleMend = 'Ask on the machine: weir support-bundle.';

/** Requests for which there is somebody else, and who that is. */
const refused: Readonly<Record<string, readonly [what: string, mend: string]>> = {
  'POST modules': ['making modules', deployMend],
  'PUT modules/*': ['changing modules', deployMend],
  'DELETE modules/*': ['removing modules', deployMend],
  'POST modules/*/prepareupdate': ['fetching images', deployMend],
  'POST modules/*/stop': ['stopping modules', stopMend],
  'POST identities': ['making identities', identityMend],
  'PUT identities/*': ['changing identities', identityMend],
  'DELETE identities/*': ['removing identities', identityMend],
  'POST device/reprovision': ['provisioning', reprovisionMend],
  'GET systeminfo/supportbundle': ['packing support bundles', bundleMend],
};

/** Throws WeirErrors with fields.status for whatever is refused. */
export async function answerManagement(
  request: HttpRequest,
  gateway: ManagedGateway | undefined,
): Promise<HttpResponse> {
  const [, name = ''] = request.segments;
  const route = `${request.method} ${routeShape(request.segments)}`;
  const refusal = refused[route];
  checkApiVersion(request, route === 'GET systeminfo/resources' ? resourcesVersion : firstApiVersion);
  if (refusal !== undefined) throw deployedOnlyError(...refusal);
  if (gateway === undefined) throw unknownRouteError(request.method, pathOf(request), 'management');
  switch (route) {
    case 'GET modules':
      return json({ modules: gateway.modules().map(moduleDetails) });
    case 'GET modules/*':
      return json(moduleDetails(moduleNamed(gateway, name)));
    case 'GET modules/*/logs':
      return logs(request, gateway, name);
    case 'POST modules/*/restart':
      if (moduleNamed(gateway, name).isSystem === true) throw deployedOnlyError(`restarting '${name}'`, systemMend);
      await gateway.restart(name);
      return { status: statusNoContent };
    case 'POST modules/*/start':
      return { status: (await start(gateway, name)) ? statusNoContent : statusNotModified };
    case 'GET identities':
      return json({ identities: gateway.identities().map(identityDetails) });
    case 'GET systeminfo':
      return json(systemInfo(await gateway.machine()));
    case 'GET systeminfo/resources':
      return json(systemResources(await gateway.machine()));
    default:
      throw unknownRouteError(request.method, pathOf(request), 'management');
  }
}

/** The path with ids as `*`. Azure's agent asks for `/identities/` as well; no segment is empty here. */
function routeShape(segments: readonly string[]): string {
  const [first, second, third, ...rest] = segments;
  if ((first === 'modules' || first === 'identities') && second !== undefined && rest.length === 0)
    return third === undefined ? `${first}/*` : `${first}/*/${third}`;
  return segments.join('/');
}

function moduleNamed(gateway: ManagedGateway, name: string): ManagedModule {
  const found = gateway.modules().find((module) => module.name === name);
  if (found === undefined) throw moduleUnknownError(name);
  return found;
}

/** False when it runs already. */
async function start(gateway: ManagedGateway, name: string): Promise<boolean> {
  const { runtimeStatus } = moduleNamed(gateway, name);
  if (runtimeStatus === 'running' || runtimeStatus === 'unhealthy') return false;
  if (runtimeStatus === 'stopped')
    throw deployedOnlyError(`starting '${name}', which has done its work or is deployed as stopped,`, deployMend);
  await gateway.restart(name);
  return true;
}

async function logs(request: HttpRequest, gateway: ManagedGateway, name: string): Promise<HttpResponse> {
  const { untilMs, timestamps, ...wanted } = readLogQuery(request.query, gateway.nowMs());
  moduleNamed(gateway, name);
  const lines = gateway.log({ name, ...wanted, signal: request.signal });
  return {
    status: statusOk,
    headers: { 'content-type': 'application/octet-stream' },
    body: dockerFrames(lines, { untilMs, timestamps }),
  };
}

function moduleDetails(module: ManagedModule): JsonObject {
  const { name, type, settings, startedAtMs, exitedAtMs, exitCode } = module;
  const exitStatus =
    exitedAtMs === null ? {} : { exitStatus: { exitTime: stamp(exitedAtMs), statusCode: String(exitCode) } };
  return {
    id: name,
    name,
    type,
    config: { settings, env: [] },
    status: {
      ...(startedAtMs === null ? {} : { startTime: stamp(startedAtMs) }),
      ...exitStatus,
      runtimeStatus: { status: azureStatus(module.runtimeStatus), description: module.description },
    },
  };
}

/** Azure knows running, stopped, failed, dead and unknown. */
function azureStatus(runtimeStatus: string): string {
  if (runtimeStatus === 'unhealthy') return 'running';
  if (runtimeStatus === 'backoff') return 'failed';
  return ['running', 'stopped', 'failed'].includes(runtimeStatus) ? runtimeStatus : 'unknown';
}

function identityDetails({ moduleId, generationId }: ManagedIdentity): JsonObject {
  return { moduleId, managedBy: 'iotedge', generationId, authType: 'Sas' };
}

function systemInfo(machine: MachineReport): JsonObject {
  return {
    osType: 'linux',
    architecture: machine.architecture,
    version: machine.version,
    provisioning: {
      type: machine.provisioningType,
      dynamicReprovisioning: false,
      alwaysReprovisionOnStartup: false,
    },
    server_version: machine.version,
    kernel_version: machine.kernelVersion,
    operating_system: machine.operatingSystem,
    cpus: machine.cpus,
    total_memory: machine.totalMemoryBytes,
    virtualized: 'unknown',
  };
}

function systemResources(machine: MachineReport): JsonObject {
  return {
    host_uptime: Math.floor(machine.hostUptimeMs / msPerSecond),
    process_uptime: Math.floor(machine.processUptimeMs / msPerSecond),
    used_cpu: machine.usedCpuPercent,
    used_ram: machine.usedMemoryBytes,
    total_ram: machine.totalMemoryBytes,
    disks: machine.disks.map(({ name, availableBytes, totalBytes, fileSystem }) => ({
      name,
      available_space: availableBytes,
      total_space: totalBytes,
      file_system: fileSystem,
      file_type: 'Unknown',
    })),
    docker_stats: '[]',
  };
}

function pathOf(request: HttpRequest): string {
  return `/${request.segments.join('/')}`;
}

function stamp(wallMs: number): string {
  return new Date(wallMs).toISOString();
}

function json(body: JsonObject): HttpResponse {
  return { status: statusOk, body: JSON.stringify(body) };
}
