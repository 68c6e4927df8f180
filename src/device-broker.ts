// What clients of the gateway meet: the broker with its listeners, and the IoT Hub protocol in front of router and twins.
//
// Part of the composition root (device.ts).

import { join } from 'node:path';
import { ModuleTraffic } from './admin/index.ts';
import { Broker, IotHubFront, SysTopics } from './broker/index.ts';
import { openCalls } from './device-calls.ts';
import { behindProxy, type Ground } from './device-ground.ts';
import { admitting, clientAuthorities, followPolicy, openMqtt } from './device-mqtt.ts';
import type { BrokerParts, DataParts, HubParts, IdentityParts, ModuleParts, Stage } from './device-parts.ts';
import { type CertificateStore, ModuleAuthenticator } from './identity/index.ts';
import type { Identity } from './model/address.ts';
import { errorMessage } from './model/errors.ts';
import type { JsonObject } from './model/json.ts';
import type { Message } from './model/message.ts';
import type { HttpAnswerer } from './platform/http-answerer.ts';
import { buildInfo } from './platform/native.ts';
import type { Listener } from './platform/net.ts';

const everyoneMode = 0o666;

/** The broker and the IoT Hub protocol in front of router and twins. */
export async function openBroker(
  stage: Stage,
  parts: IdentityParts & DataParts & HubParts & ModuleParts,
): Promise<BrokerParts> {
  const { config, network, clock, log, metrics } = stage.ground;
  const { store, router, twins, notices, hub, registry, clients, localKey, deviceId, hubHostname } = parts;
  const traffic = new ModuleTraffic();
  const backend = {
    telemetry: (message: Message) => {
      traffic.sent(message.sender.deviceId === deviceId ? message.sender.moduleId : undefined);
      return router.accept(message);
    },
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
  const { http, systemCalls } = openCalls(stage, { ...parts, front, authenticator });
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
  followTwins({ twins, notices, front });
  return { broker, front, http, systemCalls, traffic, access, bridges };
}

/** Who listens is told of changes of its desired properties, also of those it missed. */
function followTwins({ twins, notices, front }: Pick<DataParts & BrokerParts, 'twins' | 'notices' | 'front'>): void {
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
