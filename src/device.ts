// The gateway, put together: reads like the diagram in ARCHITECTURE.md, from the field to the cloud and back.
//
// Owns no logic: it constructs each part, plugs parts into each other's ports, and starts and ends them in order.
// Everything that can wait for the first connection (certificates, the hub, modules' sockets) starts after the
// broker listens, so that a gateway serves its modules within moments of power-up.
//
// Order of the end: no new work (link, agent), drains, broker, store. Modules keep running (guarantee G6).

import { dirname, join } from 'node:path';
import { type AdminDevice, AdminServer, ModuleLog } from './admin/index.ts';
import { Agent, type AgentFacts, Clients, ModuleRegistry, type OwnTwin, Routing } from './agent/index.ts';
import { Broker, IotHubFront, ModuleInput, SysTopics } from './broker/index.ts';
import { redactedConfig } from './config/index.ts';
import { behindProxy, type DeviceOptions, findAccount, type Ground, openGround } from './device-ground.ts';
import { deviceStatus } from './device-status.ts';
import { FlashWear } from './flash/index.ts';
import {
  CertificateStore,
  DeviceKey,
  loadOrCreateDeviceKey,
  ModuleAuthenticator,
  ModuleKeys,
} from './identity/index.ts';
import { edgeAgentId, edgeHubId, type Identity, sameIdentity } from './model/address.ts';
import { errorMessage } from './model/errors.ts';
import type { JsonObject } from './model/json.ts';
import type { Message } from './model/message.ts';
import { moduleFileName } from './model/module-file-name.ts';
import { shortDigest } from './platform/digest.ts';
import { buildInfo, shimPath, storeThreadSource } from './platform/native.ts';
import type { Listener } from './platform/net.ts';
import { startThread } from './platform/thread.ts';
import { tlsContext } from './platform/tls.ts';
import { OperatorQueues } from './queues/index.ts';
import { Router, upstreamQueue } from './router/index.ts';
import { StateFile, Store } from './store/index.ts';
import { Supervisor } from './supervisor/index.ts';
import { TwinCache, TwinSync } from './twin/index.ts';
import { UpstreamLink } from './upstream/index.ts';
import { WorkloadSockets } from './workload/index.ts';

export interface RunningDevice {
  /** Resolves when clients may connect; rejects when the gateway cannot start. */
  readonly ready: Promise<void>;
  /** Ends the runtime; modules keep running. Idempotent. */
  close(): Promise<void>;
}

/** Built-in modules by name; the command line hands them in, so that the root stays free of them. */
export interface DeviceExtras {
  readonly builtinModules: readonly string[];
}

const passableMode = 0o711;
const everyoneMode = 0o666;
const twinRetryMs = 10_000;
const keepAliveSeconds = 60;
const tokenLifeSeconds = 3600;
const backoff = { floorMs: 200, firstCeilingMs: 1000, ceilingMsMax: 60_000 };
const workloadApiVersion = '2022-08-03';
const localDeviceId = 'local';

/** Starts the gateway. Returns at once; `ready` tells when it serves. */
export function startDevice(options: DeviceOptions, extras: DeviceExtras): RunningDevice {
  const starting = openGround(options).then((ground) => new Device(ground, extras));
  const ready = starting.then((device) => device.start());
  return {
    ready,
    close: async () => {
      const device = await starting.catch(() => undefined);
      await ready.catch(() => undefined);
      await device?.close();
    },
  };
}

interface IdentityParts {
  readonly deviceId: string;
  readonly hubHostname: string;
  /** Proves this gateway to the hub; undefined without a hub. */
  readonly hubKey: DeviceKey | undefined;
  readonly trustPem: string | undefined;
  /** Never leaves this machine: the keys of local modules come from it. */
  readonly localKey: DeviceKey;
  readonly certificates: CertificateStore;
}

interface DataParts {
  readonly store: Store;
  readonly memory: StateFile;
  readonly twins: TwinCache;
  readonly router: Router;
  readonly wear: FlashWear;
}

interface HubParts {
  readonly hub: { readonly link: UpstreamLink; readonly sync: TwinSync } | undefined;
}

interface ModuleParts {
  readonly clients: Clients;
  readonly registry: ModuleRegistry;
}

interface BrokerParts {
  readonly broker: Broker;
  readonly front: IotHubFront;
}

interface ControlParts {
  readonly supervisor: Supervisor;
  readonly agent: Agent;
}

/** Everything below is wiring, in the order of the flow: store, twins, hub, router, modules, broker, operators. */
class Device {
  readonly #ground: Ground;
  readonly #extras: DeviceExtras;
  readonly #startedAtMs: number;
  /** Run last to first. */
  readonly #closing: (() => Promise<unknown>)[] = [];

  constructor(ground: Ground, extras: DeviceExtras) {
    this.#ground = ground;
    this.#extras = extras;
    this.#startedAtMs = ground.clock.wallMs();
    this.#closing.push(() => ground.wall.close());
  }

  async start(): Promise<void> {
    const { config, log } = this.#ground;
    const identity = await this.#openIdentity();
    const data = await this.#openData();
    const hub = this.#openHub({ ...identity, ...data });
    const modules = await this.#openModules({ ...identity, ...data, ...hub });
    const broker = await this.#openBroker({ ...identity, ...data, ...modules });
    const control = await this.#openControl({ ...identity, ...data, ...modules, ...broker });
    await this.#openAdmin({ ...identity, ...data, ...hub, ...broker, ...control });
    await this.#startFlow({ ...identity, ...data, ...hub, ...broker, ...control });
    log.info('weir is ready', { device: identity.deviceId, runDir: config.runDir });
  }

  async close(): Promise<void> {
    for (const close of this.#closing.splice(0).reverse()) await close();
  }

  /** Who this gateway is, at the hub and towards its own modules. */
  async #openIdentity(): Promise<IdentityParts> {
    const { config, disk, entropy, log, clock } = this.#ground;
    const { provisioning } = config;
    const localKey = await loadOrCreateDeviceKey({ disk, entropy, log }, join(config.dataDir, 'local.key'));
    const trustPem =
      config.trustBundleCert === undefined ? undefined : await disk.readFile('device:trust', config.trustBundleCert);
    const certificates = new CertificateStore(
      { disk, clock, log, tlsContext },
      {
        directory: join(config.dataDir, 'certs'),
        authorityName: `weir gateway ${config.hostname}`,
        hostnames: [...new Set([config.hostname, 'localhost', '127.0.0.1'])],
        extraTrustPem: trustPem?.toString('utf8'),
      },
    );
    this.#closing.push(() => certificates.close());
    return {
      deviceId: provisioning.source === 'manual' ? provisioning.deviceId : localDeviceId,
      hubHostname: provisioning.source === 'manual' ? provisioning.hubHostname : config.hostname,
      hubKey: provisioning.source === 'manual' ? new DeviceKey(provisioning.deviceKeyBase64) : undefined,
      trustPem: trustPem?.toString('utf8'),
      localKey,
      certificates,
    };
  }

  /** What is durable: messages, twins, state; and the router that fills the queues. */
  async #openData(): Promise<DataParts> {
    const { config, clock, disk, entropy, log, metrics } = this.#ground;
    const store = new Store(
      { startThread: () => startThread(storeThreadSource(), undefined), clock, log: log.child('store'), metrics },
      { path: join(config.dataDir, 'weir.db'), quarantine: join(config.dataDir, 'quarantine'), ...config.store },
    );
    await store.start();
    this.#closing.push(() => store.close());
    const wear = new FlashWear(
      { disk, clock, log: log.child('flash'), metrics, store },
      {
        directory: config.dataDir,
        enduranceBytes: config.store.flashEnduranceBytes,
        lifeYears: config.store.flashLifeYears,
        commitDelayMs: config.store.commitDelayMs,
      },
    );
    await wear.start();
    this.#closing.push(() => wear.close());
    const memory = new StateFile({ documents: store, disk, log }, join(config.dataDir, 'state.json'));
    await memory.start();
    const twins = new TwinCache(store);
    await twins.start();
    const router = new Router({ store, clock, entropy, log: log.child('router'), metrics }, { timeToLiveSecs: 0 });
    return { store, memory, twins, router, wear };
  }

  /** The way to the hub, when there is one. */
  #openHub({ twins, hubKey, trustPem, deviceId }: IdentityParts & DataParts): HubParts {
    const { config, clock, entropy, log, metrics, network } = this.#ground;
    const { provisioning } = config;
    if (provisioning.source === 'none' || hubKey === undefined) return { hub: undefined };
    const link = new UpstreamLink(
      {
        network,
        clock,
        entropy,
        metrics,
        log: log.child('upstream'),
        signToken: (resource, expiry) => hubKey.token(resource, expiry),
      },
      {
        hubHostname: provisioning.hubHostname,
        dialHost: provisioning.gatewayHostname ?? provisioning.hubHostname,
        dialPort: provisioning.hubPort,
        tls: tlsContext(trustPem === undefined ? {} : { authoritiesPem: trustPem }),
        identity: { deviceId, moduleId: edgeHubId },
        keepAliveSeconds,
        tokenLifeSeconds,
        backoff,
      },
    );
    const sync = new TwinSync({ cache: twins, source: link, clock, log: log.child('twin'), retryMs: twinRetryMs });
    link.onDesired((change) => sync.desired(change));
    link.onState((connected) => {
      if (connected) sync.connected();
    });
    for (const moduleId of [edgeAgentId, edgeHubId]) sync.watch({ deviceId, moduleId });
    this.#closing.push(() => sync.close());
    this.#closing.push(() => link.close());
    return { hub: { link, sync } };
  }

  /** The identities of modules and the sockets on which they prove them. */
  async #openModules(parts: IdentityParts & DataParts & HubParts): Promise<ModuleParts> {
    const { config, http, log, metrics, disk, entropy, clock } = this.#ground;
    const { deviceId, hubHostname, certificates, localKey, memory, twins, hub } = parts;
    const clients = new Clients(() => clock.wallMs());
    const socketOf = (moduleId: string): string =>
      join(config.runDir, 'modules', moduleFileName(moduleId) ?? '%', 'workload.sock');
    const workload = new WorkloadSockets(
      { http, log, metrics, keys: new ModuleKeys(localKey), certificates },
      { hubHostname, deviceId },
    );
    this.#closing.push(() => workload.closeAll());
    const registry = new ModuleRegistry({
      memory,
      newGenerationId: () => entropy.uuid(),
      workload: {
        open: async (module) => {
          const path = socketOf(module.moduleId);
          await disk.makeDirectory('device:module', dirname(path), passableMode);
          await workload.open(module, path);
        },
        close: (moduleId) => workload.close(moduleId),
      },
      joined: (moduleId) => hub?.sync.watch({ deviceId, moduleId }),
      left: async (moduleId) => {
        clients.forget({ deviceId, moduleId });
        await (hub === undefined ? twins.forget({ deviceId, moduleId }) : hub.sync.unwatch({ deviceId, moduleId }));
      },
      environment: ({ moduleId, generationId }) => ({
        IOTEDGE_WORKLOADURI: `unix://${socketOf(moduleId)}`,
        IOTEDGE_AUTHSCHEME: 'sasToken',
        IOTEDGE_APIVERSION: workloadApiVersion,
        IOTEDGE_MODULEGENERATIONID: generationId,
        IOTEDGE_IOTHUBHOSTNAME: hubHostname,
        IOTEDGE_GATEWAYHOSTNAME: config.hostname,
        IOTEDGE_DEVICEID: deviceId,
        IOTEDGE_MODULEID: moduleId,
        WEIR_MQTT_URI: `unix://${join(config.runDir, 'mqtt.sock')}`,
      }),
    });
    await registry.start();
    return { registry, clients };
  }

  /** The broker and the IoT Hub protocol in front of router and twins. */
  async #openBroker(parts: IdentityParts & DataParts & ModuleParts): Promise<BrokerParts> {
    const { config, network, clock, log, metrics } = this.#ground;
    const { store, router, twins, registry, clients, localKey, deviceId, hubHostname } = parts;
    const backend = {
      telemetry: (message: Message) => router.accept(message),
      twin: (owner: Identity) => Promise.resolve(twins.twin(owner)),
      patchReported: (owner: Identity, patch: JsonObject) => twins.patchReported(owner, patch),
      mayActFor: () => false,
      connected: (owner: Identity) => clients.connected(owner),
      disconnected: (owner: Identity) => clients.disconnected(owner),
    };
    const front = new IotHubFront({ backend, clock, log: log.child('broker'), metrics });
    const authenticator = new ModuleAuthenticator(
      { deviceKey: localKey, modules: registry, clock },
      { deviceId, hostnames: [hubHostname, config.hostname] },
    );
    // Identities of IoT Hub use IoT Hub's topics; user topics come with authorisation policies.
    const maySubscribe = (_principal: unknown, filter: string): boolean =>
      config.broker.sysIntervalMs > 0 && filter.startsWith('$SYS/');
    const authoriser = { mayPublish: () => false, maySubscribe };
    const broker = new Broker({
      network,
      clock,
      log: log.child('broker'),
      metrics,
      authenticator,
      authoriser,
      service: front,
      sessionStore: store.sessions,
    });
    await broker.start();
    this.#closing.push(() => broker.close());
    this.#openSysTopics(broker);
    await broker.listen('unix', { kind: 'unix', path: join(config.runDir, 'mqtt.sock'), mode: everyoneMode });
    const { tcp, ws } = config.listeners;
    if (tcp !== undefined) await broker.listen('tcp', { kind: 'tcp', ...tcp, ...behindProxy(config, 'tcp') });
    if (ws !== undefined)
      await broker.listen('ws', { kind: 'tcp', ...ws, ...behindProxy(config, 'ws'), websocket: true });
    twins.onDesired(({ identity: owner, patch, version }) => front.notifyDesired(owner, patch, version));
    return { broker, front };
  }

  /** The broker's numbers as topics, where the configuration asks for them. */
  #openSysTopics(broker: Broker): void {
    const { config, clock } = this.#ground;
    const intervalMs = config.broker.sysIntervalMs;
    if (intervalMs === 0) return;
    const sys = new SysTopics({ clock, broker }, { version: `weir version ${buildInfo().version}`, intervalMs });
    this.#closing.push(() => sys.close());
    sys.start();
  }

  /** Agent, routes and supervisor. */
  async #openControl(parts: IdentityParts & DataParts & ModuleParts & BrokerParts): Promise<ControlParts> {
    const { config, clock, entropy, disk, log, processes, network } = this.#ground;
    const { store, memory, twins, router, registry, clients, front, deviceId } = parts;
    const supervisor = new Supervisor({
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
    this.#closing.push(() => supervisor.close({ stopModules: false }));
    const build = buildInfo();
    const facts: AgentFacts = {
      version: { version: build.version, build: build.builtAt, commit: build.commit },
      architecture: processes.architecture,
      startedAtMs: this.#startedAtMs,
    };
    const ownTwin = (moduleId: string): OwnTwin => twinOf(twins, { deviceId, moduleId });
    const agent = new Agent({
      twin: ownTwin(edgeAgentId),
      hands: supervisor,
      identities: registry,
      memory,
      clock,
      log: log.child('agent'),
      facts,
      context: { builtins: this.#extras.builtinModules },
      planFacts: {
        builtinCommand: (name) => [processes.executable, 'module', 'run', name],
        baseEnv: { ...processes.inherited },
        executableDigest: build.commit,
        graceMs: config.modules.graceMs,
        logBytesMax: config.modules.logBytesMax,
        logFiles: config.modules.logFiles,
        digest: shortDigest,
        account: await findAccount(config),
      },
    });
    const attachInputs = (queues: readonly string[]): void => {
      for (const queue of queues) this.#attachInput({ router, front, deviceId }, queue);
    };
    attachInputs((await store.lanes()).map((facts) => facts.queue));
    const routing = new Routing({
      twin: ownTwin(edgeHubId),
      memory,
      log: log.child('routing'),
      facts,
      timeToLiveSecs: config.store.timeToLiveSecs,
      clock,
      clients,
      hands: {
        setRoutes: (routes, { timeToLiveSecs }) => {
          const problems = router.setRoutes(routes, { timeToLiveSecs: Math.max(0, timeToLiveSecs) });
          attachInputs(router.queues());
          return problems.map(({ route, message }) => ({ name: route, message }));
        },
      },
    });
    await routing.start();
    this.#closing.push(() => routing.close());
    this.#closing.push(() => agent.close());
    return { supervisor, agent };
  }

  async #openAdmin(parts: IdentityParts & DataParts & HubParts & BrokerParts & ControlParts): Promise<void> {
    const { config, http, log, metrics, disk, clock, entropy, processes } = this.#ground;
    const { store, router, memory, supervisor, deviceId, hubKey } = parts;
    const operator = new OperatorQueues(
      { store, sender: router, documents: memory, clock, entropy, log: log.child('queues'), seal: hubKey },
      { deviceId, hubQueue: upstreamQueue },
    );
    const moduleLog = new ModuleLog({ disk, clock }, { logDir: join(config.dataDir, 'logs') });
    const build = buildInfo();
    const device: AdminDevice = {
      status: () => deviceStatus({ ...parts, ground: this.#ground, operator, startedAtMs: this.#startedAtMs }),
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
    this.#closing.push(() => server.close());
  }

  /** From here on things move: queues drain, the hub is dialled, modules start. */
  async #startFlow(parts: IdentityParts & DataParts & HubParts & BrokerParts & ControlParts): Promise<void> {
    const { router, hub, broker, agent, certificates } = parts;
    const { tls, wss } = this.#ground.config.listeners;
    if (hub !== undefined) router.attach(upstreamQueue, hub.link, this.#ground.config.upstream);
    router.start();
    this.#closing.push(() => router.close());
    hub?.link.start();
    await certificates.start();
    if (tls !== undefined) await this.#listenTls({ broker, certificates }, 'tls', tls);
    if (wss !== undefined) await this.#listenTls({ broker, certificates }, 'wss', wss);
    await agent.start();
  }

  /** A renewed certificate takes a new listener; connections that are open stay. */
  async #listenTls(
    { broker, certificates }: { readonly broker: Broker; readonly certificates: CertificateStore },
    name: 'tls' | 'wss',
    address: { readonly host: string; readonly port: number },
  ): Promise<void> {
    const { log, config } = this.#ground;
    const layers = { ...behindProxy(config, name), websocket: name === 'wss' };
    const open = (): Promise<Listener> =>
      broker.listen(name, { kind: 'tcp', ...address, ...layers, tls: certificates.serverContext() });
    let listening = open();
    await listening;
    certificates.onRenewed(() => {
      listening = listening.then((old) => old.close()).then(open);
      listening.catch((error: unknown) => log.error('no TLS listener', { reason: errorMessage(error) }));
    });
  }

  #attachInput(
    { router, front, deviceId }: { readonly router: Router; readonly front: IotHubFront; readonly deviceId: string },
    queue: string,
  ): void {
    const [, moduleId, input] = /^([^/]+)\/inputs\/(.+)$/.exec(queue) ?? [];
    if (moduleId === undefined || input === undefined || router.isAttached(queue)) return;
    router.attach(queue, new ModuleInput(front, { target: { deviceId, moduleId }, input }));
  }
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
