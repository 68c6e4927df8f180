// The hub, put together: reads like the diagram, from the device to the reader of the log and back.
//
//   device ─TLS─► broker ─► IotHubFront ─► HubDeviceBackend ─► Ingest ─► EventLog ◄── HubApi ◄─ service, CLI
//                               ▲                └──► Twins ◄── Deployments ◄────────────┘
//                               └── desired changes ──┘          Registry ─► HubAuthenticator
//
// Owns no logic: it constructs each part, plugs parts into each other's ports, starts and ends them in order.
// Order of the end: no new requests, no new packets, what is pending committed, the database last.

import { join } from 'node:path';
import { Broker, IotHubFront } from './broker/index.ts';
import {
  Deployments,
  Devicebound,
  EventLog,
  HubApi,
  HubAuthenticator,
  HubDeviceBackend,
  Ingest,
  openHubDatabase,
  QueueImport,
  Registry,
  Retention,
  Twins,
} from './hub/index.ts';
import { CertificateStore, DeviceKey, verifyToken } from './identity/index.ts';
import { hubInflightInboundMax, hubSessionsBytesMax } from './limits.ts';
import { edgeHubId, type Identity, identityKey } from './model/address.ts';
import { errorMessage, WeirError } from './model/errors.ts';
import type { Message } from './model/message.ts';
import { type Clock, systemClock } from './platform/clock.ts';
import { shortDigest } from './platform/digest.ts';
import { type Disk, systemDisk } from './platform/disk.ts';
import { type Entropy, systemEntropy } from './platform/entropy.ts';
import { type Http, systemHttp } from './platform/http.ts';
import { createLog, type Log, type LogLevel } from './platform/log.ts';
import { createMetrics, type Metrics } from './platform/metrics.ts';
import { buildInfo, storeThreadSource } from './platform/native.ts';
import { type Listener, type Network, systemNetwork, type TlsContext } from './platform/net.ts';
import { type Sqlite, systemSqlite } from './platform/sqlite.ts';
import { startThread } from './platform/thread.ts';
import { tlsContext } from './platform/tls.ts';
import { WallKeeper } from './platform/wall-keeper.ts';
import { systemWitnesses } from './platform/wall-witnesses.ts';
import { Store } from './store/index.ts';

export interface HubOptions {
  readonly dataDir: string;
  readonly runDir: string;
  /** The service API's socket; `<runDir>/hub.sock` when absent. */
  readonly socketPath?: string | undefined;
  /** Names and addresses under which devices reach the hub; the first stands in connection strings. */
  readonly hostnames: readonly string[];
  /** Where MQTT over TLS listens; port 0 takes any free one. */
  readonly mqtt: { readonly host: string; readonly port: number };
  /** MQTT over WebSocket and TLS, on any path; Azure's clients know port 443 only. */
  readonly mqttWss?: { readonly host: string; readonly port: number } | undefined;
  /** MQTT without TLS, for a closed network or a test. */
  readonly mqttPlain?: { readonly host: string; readonly port: number } | undefined;
  /** PEM file of the authorities that issue client certificates to devices. */
  readonly deviceAuthoritiesPath?: string | undefined;
  readonly retentionBytes: number;
  readonly retentionMs: number;
  /** What the hub tells in the log besides telemetry. */
  readonly events?: readonly ('twin-changes' | 'lifecycle' | 'connections')[];
  readonly logLevel: LogLevel;
  readonly writeLog: (line: string) => void;
}

export interface RunningHub {
  /** The port really bound. */
  readonly mqttPort: number;
  readonly mqttPlainPort: number | undefined;
  readonly mqttWssPort: number | undefined;
  /** As in connection strings. */
  readonly hostname: string;
  readonly socketPath: string;
  /** PEM of the authority that devices are to trust. */
  readonly caPath: string;
  /** Idempotent. */
  close(): Promise<void>;
}

interface Ground {
  readonly clock: Clock;
  /** Behind `clock`: notes the last good time when it is closed. */
  readonly wall: WallKeeper;
  readonly entropy: Entropy;
  readonly disk: Disk;
  readonly network: Network;
  readonly http: Http;
  readonly sqlite: Sqlite;
  readonly log: Log;
  readonly metrics: Metrics;
}

const privateMode = 0o700;
const passableMode = 0o711;
const anchorMode = 0o644;
const loopbackNames = ['localhost', '127.0.0.1'];

/** Starts the hub; resolves when devices may connect and the service API answers. */
export async function startHub(options: HubOptions): Promise<RunningHub> {
  const hub = new CloudHub(options, openGround(options));
  try {
    return await hub.start();
  } catch (error) {
    await hub.close();
    throw error;
  }
}

function openGround(options: HubOptions): Ground {
  const disk = systemDisk();
  const builtMs = Date.parse(buildInfo().builtAt);
  const wall = new WallKeeper({ machine: systemClock(), disk, witnesses: systemWitnesses() }, { builtMs });
  const clock = systemClock(wall);
  return {
    clock,
    wall,
    entropy: systemEntropy(),
    disk,
    network: systemNetwork(),
    http: systemHttp(),
    sqlite: systemSqlite(),
    log: createLog({ clock, level: options.logLevel, write: options.writeLog }).child('hub'),
    metrics: createMetrics(),
  };
}

type State = ReturnType<CloudHub['openState']>;
type Front = Awaited<ReturnType<CloudHub['openFront']>>;

/** Wiring, in the order of the flow: state, trust, devices, services. */
class CloudHub {
  readonly #options: HubOptions;
  readonly #ground: Ground;
  /** Run last to first by close(). */
  readonly #closing: (() => Promise<void> | void)[] = [];

  constructor(options: HubOptions, ground: Ground) {
    this.#options = options;
    this.#ground = ground;
  }

  async start(): Promise<RunningHub> {
    const { disk, log, wall } = this.#ground;
    const { dataDir, runDir, hostnames } = this.#options;
    await disk.makeDirectory('hub:data', dataDir, privateMode).catch(unusable(dataDir));
    await wall.start(join(dataDir, 'clock.stamp'), log.child('clock'));
    this.#closing.push(() => wall.close());
    await disk.makeDirectory('hub:run', runDir, passableMode).catch(unusable(runDir));
    const state = this.openState();
    const trust = await this.openTrust();
    const front = await this.openFront(state, trust.context);
    const running = {
      mqttPort: portOf(front.tls),
      mqttPlainPort: front.plain === undefined ? undefined : portOf(front.plain),
      mqttWssPort: front.wss === undefined ? undefined : portOf(front.wss),
      hostname: hostnames[0] ?? 'localhost',
      socketPath: this.#options.socketPath ?? join(runDir, 'hub.sock'),
      caPath: trust.caPath,
    };
    await this.#openApi(state, { front, running });
    log.info('the hub is ready', { mqttPort: running.mqttPort, socket: running.socketPath });
    return { ...running, close: () => this.close() };
  }

  async close(): Promise<void> {
    for (const close of this.#closing.splice(0).reverse()) await close();
  }

  /** Everything durable, and what writes it. */
  openState() {
    const { clock, entropy, sqlite, log, metrics } = this.#ground;
    const { dataDir, retentionBytes, retentionMs } = this.#options;
    const database = openHubDatabase(join(dataDir, 'hub.db'), sqlite);
    this.#closing.push(() => database.close());
    const hubName = this.#options.hostnames[0]?.split('.')[0] ?? '';
    const notices = { hubName, kinds: this.#options.events ?? [] };
    const eventLog = new EventLog({ database, clock }, { retentionBytes, retentionMs, notices });
    const twins = new Twins({ database, clock, notices: eventLog.notices });
    const registry = new Registry({ database, clock, entropy, notices: eventLog.notices, twins });
    const deployments = new Deployments({ database, registry, twins });
    const ingest = new Ingest({ database, eventLog, clock, log: log.child('ingest'), metrics });
    this.#closing.push(() => ingest.close());
    const imports = new QueueImport({
      database,
      registry,
      eventLog,
      clock,
      entropy,
      log: log.child('import'),
      metrics,
      sealOf: (keyBase64) => new DeviceKey(keyBase64),
    });
    const retention = new Retention({ eventLog, clock, log: log.child('retention') });
    this.#closing.push(() => retention.close());
    retention.start();
    return { database, registry, twins, deployments, eventLog, ingest, imports };
  }

  /** The hub's own authority, and the certificate it shows; renewed while running. */
  async openTrust() {
    const { disk, clock, log } = this.#ground;
    const directory = join(this.#options.dataDir, 'certs');
    const hostnames = this.#hostnames();
    const certificates = new CertificateStore(
      { disk, clock, log, tlsContext },
      { directory, authorityName: `weir hub CA ${hostnames[0] ?? ''}`, hostnames },
    );
    this.#closing.push(() => certificates.close());
    await certificates.start();
    const caPath = join(directory, 'hub-ca.pem');
    await disk.writeFileAtomic('hub:ca', caPath, { data: certificates.authorityCertificatePem(), mode: anchorMode });
    const { deviceAuthoritiesPath } = this.#options;
    const devices =
      deviceAuthoritiesPath === undefined
        ? undefined
        : (await disk.readFile('hub:device-ca', deviceAuthoritiesPath)).toString('utf8');
    let current = certificates.serverContext(devices);
    certificates.onRenewed(() => {
      current = certificates.serverContext(devices);
    });
    return { caPath, context: () => current };
  }

  /** The broker with IoT Hub's protocol on it; desired changes and revocations reach connected devices at once. */
  async openFront(state: State, context: () => TlsContext) {
    const { network, clock, log, metrics } = this.#ground;
    const { mqtt, mqttPlain, mqttWss } = this.#options;
    const { registry, twins } = state;
    const backend = new HubDeviceBackend({ ...state, digest: shortDigest });
    const front = new IotHubFront({ backend, clock, log, metrics });
    const authenticator = new HubAuthenticator(
      { registry, verify: verifyToken, clock },
      { hostnames: this.#hostnames(), trustsAuthorities: this.#options.deviceAuthoritiesPath !== undefined },
    );
    // Only IoT Hub's topics exist here: there is no publish/subscribe between devices.
    const authoriser = { mayPublish: () => false, maySubscribe: () => false };
    const { sessions: sessionStore } = await this.#openSessions();
    const broker = new Broker(
      { network, clock, log, metrics, authenticator, authoriser, service: front, sessionStore },
      { inflightInboundMax: hubInflightInboundMax },
    );
    this.#closing.push(() => broker.close());
    twins.onDesired(({ identity, patch, version }) => front.notifyDesired(identity, patch, version));
    registry.onRevoked(
      (identity) =>
        void broker.disconnect(identityKey(identity), 'the identity was deleted, disabled or given new keys'),
    );
    registry.onScopeChanged((deviceId) => front.notifyScope({ deviceId, moduleId: edgeHubId }));
    const devicebound = this.#openDevicebound(state, front);
    await broker.start();
    // Read anew for each accepted connection, so that a renewed certificate needs no new listener.
    const secured = (
      at: { readonly host: string; readonly port: number },
      layers: { readonly websocket?: true } = {},
    ) => ({
      kind: 'tcp' as const,
      ...at,
      ...layers,
      get tls() {
        return context();
      },
    });
    const tls = await broker.listen('tls', secured(mqtt));
    const wss = mqttWss === undefined ? undefined : await broker.listen('wss', secured(mqttWss, { websocket: true }));
    const plain = mqttPlain === undefined ? undefined : await broker.listen('tcp', { kind: 'tcp', ...mqttPlain });
    return { front, devicebound, tls, plain, wss };
  }

  /** Microsoft's clients subscribe once in their life and never again: what they subscribed to outlives the hub's restart. */
  async #openSessions(): Promise<Store> {
    const { clock, log, metrics } = this.#ground;
    const { dataDir } = this.#options;
    const store = new Store(
      { startThread: () => startThread(storeThreadSource(), undefined), clock, log: log.child('sessions'), metrics },
      { path: join(dataDir, 'sessions.db'), quarantine: join(dataDir, 'quarantine'), quotaBytes: hubSessionsBytesMax },
    );
    await store.start();
    this.#closing.push(() => store.close());
    return store;
  }

  /** Messages to devices: they wait here until their device, or the gateway it stands behind, takes them. */
  #openDevicebound({ database, registry }: State, front: IotHubFront): Devicebound {
    const { clock, entropy, log, metrics } = this.#ground;
    const post = {
      isListening: (device: Identity) => front.isListeningToCloud(device),
      deliver: (device: Identity, message: Pick<Message, 'system' | 'properties' | 'body'>) =>
        front.deliverToDevice(device, message),
    };
    const devicebound = new Devicebound({ database, registry, post, clock, entropy, log: log.child('c2d'), metrics });
    front.onDevicebound((device) => devicebound.look(device));
    this.#closing.push(async () => devicebound.close());
    devicebound.start();
    return devicebound;
  }

  /** The service API: what `weir hub …` and other services speak to. */
  async #openApi(
    state: State,
    { front, running }: { readonly front: Front; readonly running: Omit<RunningHub, 'close'> },
  ): Promise<void> {
    const { http, clock, entropy, log } = this.#ground;
    const { hostname, mqttPort, mqttPlainPort, mqttWssPort, caPath } = running;
    const api = new HubApi(
      {
        ...state,
        http,
        presence: front.front,
        devicebound: front.devicebound,
        invokeMethod: (callee, call) => front.front.invokeMethod(callee, call),
        clock,
        entropy,
        log: log.child('api'),
        facts: () => ({
          hostname,
          mqttPort,
          mqttPlainPort: mqttPlainPort ?? null,
          mqttWssPort: mqttWssPort ?? null,
          caPath,
        }),
      },
      { socketPath: running.socketPath },
    );
    this.#closing.push(() => api.close());
    await api.start();
  }

  #hostnames(): readonly string[] {
    return [...new Set([...this.#options.hostnames, ...loopbackNames])];
  }
}

function unusable(directory: string): (cause: unknown) => never {
  return (cause) => {
    throw new WeirError({
      code: 'HUB_DIRECTORY_UNUSABLE',
      message: `The directory ${directory} cannot be used: ${errorMessage(cause)}. Run as root, or choose --data-dir and --run-dir.`,
      fields: { directory },
      cause,
    });
  };
}

function portOf(listener: Listener): number {
  return 'port' in listener.address ? listener.address.port : 0;
}
