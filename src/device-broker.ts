// What clients of the gateway meet: the sockets on which modules prove themselves, the broker with its listeners, and
// the IoT Hub protocol in front of router and twins.
//
// Part of the composition root (device.ts).

import { dirname, join } from 'node:path';
import { Clients, ModuleRegistry } from './agent/index.ts';
import { Broker, IotHubFront, SysTopics } from './broker/index.ts';
import { openCalls } from './device-calls.ts';
import { behindProxy, type Ground } from './device-ground.ts';
import { admitting, clientAuthorities, followPolicy, openMqtt } from './device-mqtt.ts';
import type { BrokerParts, DataParts, HubParts, IdentityParts, ModuleParts, Stage } from './device-parts.ts';
import { type CertificateStore, ModuleAuthenticator, ModuleKeys } from './identity/index.ts';
import type { Identity } from './model/address.ts';
import { errorMessage } from './model/errors.ts';
import type { JsonObject } from './model/json.ts';
import type { Message } from './model/message.ts';
import { moduleFileName } from './model/module-file-name.ts';
import type { HttpAnswerer } from './platform/http-answerer.ts';
import { buildInfo } from './platform/native.ts';
import type { Listener } from './platform/net.ts';
import { WorkloadSockets } from './workload/index.ts';

const passableMode = 0o711;
const everyoneMode = 0o666;
const workloadApiVersion = '2022-08-03';

/** The identities of modules and the sockets on which they prove them. */
export async function openModules(
  { ground, closing }: Stage,
  parts: IdentityParts & DataParts & HubParts,
): Promise<ModuleParts> {
  const { config, http, log, metrics, disk, entropy, clock } = ground;
  const { deviceId, hubHostname, certificates, localKey, memory, twins, notices, hub } = parts;
  const clients = new Clients(() => clock.wallMs());
  const socketOf = (moduleId: string): string =>
    join(config.runDir, 'modules', moduleFileName(moduleId) ?? '%', 'workload.sock');
  const workload = new WorkloadSockets(
    { http, log, metrics, keys: new ModuleKeys(localKey), certificates },
    { hubHostname, deviceId },
  );
  closing.push(() => workload.closeAll());
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
    created: (moduleId) => void notices.created({ deviceId, moduleId }, twins.twin({ deviceId, moduleId })),
    left: async (moduleId) => {
      const module = { deviceId, moduleId };
      clients.forget(module);
      void notices.deleted(module, twins.twin(module));
      await (hub === undefined ? twins.forget(module) : hub.sync.unwatch(module));
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
export async function openBroker(
  stage: Stage,
  parts: IdentityParts & DataParts & HubParts & ModuleParts,
): Promise<BrokerParts> {
  const { config, network, clock, log, metrics } = stage.ground;
  const { store, router, twins, notices, hub, registry, clients, localKey, deviceId, hubHostname } = parts;
  const backend = {
    telemetry: (message: Message) => router.accept(message),
    twin: (owner: Identity) => hub?.sync.show(owner) ?? Promise.resolve(twins.show(owner)),
    patchReported: async (owner: Identity, patch: JsonObject) => {
      const version = await twins.patchReported(owner, patch);
      await notices.reported(owner, patch);
      return version;
    },
    mayActFor: () => false,
    connected: (owner: Identity) => {
      clients.connected(owner);
      // A device behind this gateway may have subscribed in an earlier run, and ask for nothing in this one.
      if (owner.deviceId !== deviceId) hub?.sync.watch(owner);
      void notices.connected(owner);
    },
    disconnected: (owner: Identity) => {
      clients.disconnected(owner);
      void notices.disconnected(owner);
    },
  };
  const front = new IotHubFront({ backend, clock, log: log.child('broker'), metrics });
  const authenticator = new ModuleAuthenticator(
    { deviceKey: localKey, modules: registry, clock, leafs: hub?.leafs },
    { deviceId, hostnames: [hubHostname, config.hostname] },
  );
  const http = openCalls(stage, { ...parts, front, authenticator });
  const { access, bridges } = await openMqtt(stage, parts, () => broker);
  const broker: Broker = new Broker({
    network,
    clock,
    log: log.child('broker'),
    metrics,
    authenticator: admitting(access, authenticator),
    authoriser: access.authoriser,
    service: front,
    sessionStore: store.sessions,
    tap: bridges,
  });
  followPolicy({ access, broker });
  await broker.start();
  stage.closing.push(() => broker.close());
  openSysTopics(stage, broker);
  await broker.listen('unix', { kind: 'unix', path: join(config.runDir, 'mqtt.sock'), mode: everyoneMode });
  const { tcp, ws } = config.listeners;
  if (tcp !== undefined) await broker.listen('tcp', { kind: 'tcp', ...tcp, ...behindProxy(config, 'tcp') });
  if (ws !== undefined)
    await broker.listen('ws', { kind: 'tcp', ...ws, ...behindProxy(config, 'ws'), websocket: true, http });
  type News = { readonly identity: Identity; readonly patch: JsonObject; readonly version: number };
  const tell = ({ identity: owner, patch, version }: News): void => {
    if (front.notifyDesired(owner, patch, version)) twins.saw(owner);
  };
  twins.onDesired((news) => {
    tell(news);
    void notices.desired(news.identity, news.patch, news.version);
  });
  front.onListening((owner) => {
    const missed = twins.unseen(owner);
    if (missed !== undefined) tell(missed);
  });
  return { broker, front, http, access, bridges };
}

/** The broker's numbers as topics, where the configuration asks for them. */
function openSysTopics({ ground, closing }: Stage, broker: Broker): void {
  const { config, clock } = ground;
  const intervalMs = config.broker.sysIntervalMs;
  if (intervalMs === 0) return;
  const sys = new SysTopics({ clock, broker }, { version: `weir version ${buildInfo().version}`, intervalMs });
  closing.push(() => sys.close());
  sys.start();
}

/** A renewed certificate takes a new listener; connections that are open stay. */
export async function listenTls(
  ground: Ground,
  {
    broker,
    http,
    certificates,
    trustPem,
  }: {
    readonly broker: Broker;
    /** Answers what comes to the port of MQTT over WebSocket and asks for no WebSocket. */
    readonly http: HttpAnswerer;
    readonly certificates: CertificateStore;
    /** Who issues certificates to devices behind this gateway. */
    readonly trustPem: string | undefined;
  },
  name: 'tls' | 'wss',
): Promise<void> {
  const { log, config } = ground;
  const address = config.listeners[name];
  if (address === undefined) return;
  const layers = { ...behindProxy(config, name), ...(name === 'wss' ? { websocket: true, http } : {}) };
  const authorities = await clientAuthorities(ground, trustPem);
  const open = (): Promise<Listener> =>
    broker.listen(name, { kind: 'tcp', ...address, ...layers, tls: certificates.serverContext(authorities) });
  let listening = open();
  await listening;
  certificates.onRenewed(() => {
    listening = listening.then((old) => old.close()).then(open);
    listening.catch((error: unknown) => log.error('no TLS listener', { reason: errorMessage(error) }));
  });
}
