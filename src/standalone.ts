// The broker alone, put together: `weir broker`, which a small site runs instead of mosquitto.
//
//   client ─► listener ─► Broker ─► SysTopics ($SYS)
//                          │  └──► Store: sessions, queues, retained messages      (with data_dir)
//                          └─────► Access: Credentials, AclAuthoriser ◄─ files ◄─ reload()
//
// Owns no logic: it constructs each part, plugs parts into each other's ports, starts and ends them in order.
// Order of the end: no new clients, a DISCONNECT for those who understand it, the store last.

import { join } from 'node:path';
import { Access } from './access/index.ts';
import { Broker, brokerLimits, SysTopics } from './broker/index.ts';
import { type BrokerConfig, loadBrokerConfig } from './config/index.ts';
import { errorMessage, WeirError } from './model/errors.ts';
import { type Clock, systemClock } from './platform/clock.ts';
import { type Disk, systemDisk } from './platform/disk.ts';
import { type Entropy, systemEntropy } from './platform/entropy.ts';
import { createLog, type Log } from './platform/log.ts';
import { createMetrics, type Metrics } from './platform/metrics.ts';
import { buildInfo, storeThreadSource } from './platform/native.ts';
import {
  type ListenEndpoint,
  type Listener,
  type Network,
  systemNetwork,
  type TlsContext,
  trustedProxies,
} from './platform/net.ts';
import { systemPeerCredentials } from './platform/peer-credentials.ts';
import { startThread } from './platform/thread.ts';
import { tlsContext } from './platform/tls.ts';
import { WallKeeper } from './platform/wall-keeper.ts';
import { systemWitnesses } from './platform/wall-witnesses.ts';
import { Store } from './store/index.ts';

export interface StandaloneOptions {
  readonly configPath: string | undefined;
  readonly options: Parameters<typeof loadBrokerConfig>[0]['options'];
  readonly writeLog: (line: string) => void;
}

export interface RunningBroker {
  /** With the ports really bound. */
  readonly listeners: readonly string[];
  readonly config: BrokerConfig;
  /** Who comes in without proving a name: nobody, whoever is on this machine, everybody. */
  readonly anonymous: 'nobody' | 'local' | 'everybody';
  /** Reads password, ACL and TLS files anew. Never rejects: files with mistakes leave what was. */
  reload(): Promise<void>;
  /** Idempotent. */
  close(): Promise<void>;
}

interface Ground {
  readonly config: BrokerConfig;
  readonly clock: Clock;
  /** Behind `clock`; knows the last good time where there is a directory to note it in. */
  readonly wall: WallKeeper;
  readonly entropy: Entropy;
  readonly disk: Disk;
  readonly network: Network;
  readonly log: Log;
  readonly metrics: Metrics;
}

const privateMode = 0o700;
const everyoneMode = 0o666;

/** What [limits] may name beside the broker's bounds: its pace, where the largest number means nothing. */
const paceCeilings = {
  messagesPerSecondMax: 1_000_000,
  messagesPerSecondTotalMax: 10_000_000,
  connectionsPerSecondMax: 100_000,
  keepAliveSecondsMax: 65_535,
  sessionExpirySecondsMax: 0xffff_ffff,
};

/** Starts the broker; resolves when clients may connect. Throws ConfigError, AccessError, PLATFORM_LISTEN_FAILED, STORE_…. */
export async function startBroker(options: StandaloneOptions): Promise<RunningBroker> {
  const broker = new StandaloneBroker(await openGround(options));
  try {
    return await broker.start();
  } catch (error) {
    await broker.close();
    throw error;
  }
}

async function openGround({ configPath, options, writeLog }: StandaloneOptions): Promise<Ground> {
  const disk = systemDisk();
  const builtMs = Date.parse(buildInfo().builtAt);
  const wall = new WallKeeper({ machine: systemClock(), disk, witnesses: systemWitnesses() }, { builtMs });
  const clock = systemClock(wall);
  const config = await loadBrokerConfig({
    configPath,
    options,
    ceilings: { ...brokerLimits(), ...paceCeilings },
    disk,
  });
  return {
    config,
    clock,
    wall,
    entropy: systemEntropy(),
    disk,
    network: systemNetwork({ peerCredentials: systemPeerCredentials() }),
    log: createLog({ clock, level: config.logLevel, write: writeLog }),
    metrics: createMetrics(),
  };
}

interface Parts {
  readonly access: Access;
  readonly broker: Broker;
}

/** Wiring, in the order of the flow: who may what, what is kept, the broker, its listeners. */
class StandaloneBroker {
  readonly #ground: Ground;
  /** Run last to first. */
  readonly #closing: (() => Promise<unknown> | unknown)[] = [];
  #tls: TlsContext | undefined;
  #reloading: Promise<void> = Promise.resolve();

  constructor(ground: Ground) {
    this.#ground = ground;
  }

  async start(): Promise<RunningBroker> {
    const { config } = this.#ground;
    this.#tls = await this.#readTls();
    const access = await this.#openAccess();
    const broker = await this.#openBroker(access);
    const listeners = await this.#openListeners(broker);
    const anonymous = this.#anonymous();
    this.#sayHowOpen(anonymous);
    return {
      listeners,
      config,
      anonymous,
      reload: () => this.#reload({ access, broker }),
      close: () => this.close(),
    };
  }

  async close(): Promise<void> {
    await this.#reloading;
    for (const close of this.#closing.splice(0).reverse()) await close();
  }

  #openAccess(): Promise<Access> {
    const { config, clock, disk, entropy, log, metrics } = this.#ground;
    // Whoever shows a certificate has proven enough, as long as nothing asks for a password.
    const proves = (scheme: string): boolean => config.requireCertificate && (scheme === 'tls' || scheme === 'wss');
    const trusted = config.listeners.filter(({ url, isLocal }) => isLocal || proves(url.scheme));
    const names = new Set(trusted.map(({ text }) => text));
    const anonymous = this.#anonymous();
    return Access.load(
      { clock, disk, entropy, log: log.child('access'), metrics },
      {
        passwordFile: config.passwordFile,
        aclFile: config.aclFile,
        allowsAnonymous: (listener) => anonymous === 'everybody' || (anonymous === 'local' && names.has(listener)),
        certificateIsUser: config.useIdentityAsUsername,
      },
    );
  }

  async #openBroker({ credentials, authoriser }: Access): Promise<Broker> {
    const { config, clock, log, metrics, network } = this.#ground;
    const store = await this.#openStore();
    const broker = new Broker(
      {
        network,
        clock,
        log: log.child('broker'),
        metrics,
        authenticator: credentials,
        authoriser,
        ...(store === undefined ? {} : { sessionStore: store.sessions }),
      },
      { ...config.limits, deniedPublish: config.deniedPublish },
    );
    this.#closing.push(() => broker.close());
    await broker.start();
    if (config.sysIntervalMs > 0) this.#openSysTopics(broker);
    return broker;
  }

  async #openStore(): Promise<Store | undefined> {
    const { config, clock, wall, disk, log, metrics } = this.#ground;
    const { dataDir, quotaBytes } = config;
    if (dataDir === undefined) return undefined;
    await disk.makeDirectory('broker:data', dataDir, privateMode).catch(unusable(dataDir));
    await wall.start(join(dataDir, 'clock.stamp'), log.child('clock'));
    this.#closing.push(() => wall.close());
    const store = new Store(
      { startThread: () => startThread(storeThreadSource(), undefined), clock, log: log.child('store'), metrics },
      { path: join(dataDir, 'broker.db'), quarantine: join(dataDir, 'quarantine'), quotaBytes },
    );
    this.#closing.push(() => store.close());
    await store.start();
    return store;
  }

  #openSysTopics(broker: Broker): void {
    const { config, clock } = this.#ground;
    const version = `weir version ${buildInfo().version}`;
    const sys = new SysTopics({ clock, broker }, { version, intervalMs: config.sysIntervalMs });
    this.#closing.push(() => sys.close());
    sys.start();
  }

  /** The addresses of all listeners, as URLs. */
  async #openListeners(broker: Broker): Promise<readonly string[]> {
    const bound: string[] = [];
    for (const { text, url, isProxied } of this.#ground.config.listeners) {
      const listener = await broker.listen(text, this.#endpointOf(url, isProxied));
      bound.push(urlOf(url.scheme, listener));
    }
    return bound;
  }

  #endpointOf(url: BrokerConfig['listeners'][number]['url'], isProxied: boolean): ListenEndpoint {
    const proxied = isProxied ? { proxyProtocol: trustedProxies(this.#ground.config.trustedProxies) } : {};
    if (url.scheme === 'unix') return { kind: 'unix', path: url.path, mode: everyoneMode, ...proxied };
    const { scheme, host, port } = url;
    const layers = { ...proxied, ...(scheme === 'ws' || scheme === 'wss' ? { websocket: true } : {}) };
    if (scheme === 'tcp' || scheme === 'ws') return { kind: 'tcp', host, port, ...layers };
    const current = (): TlsContext => this.#tls as TlsContext;
    // Read anew for each accepted connection, so that a renewed certificate needs no new listener.
    return {
      kind: 'tcp',
      host,
      port,
      ...layers,
      get tls() {
        return current();
      },
    };
  }

  async #readTls(): Promise<TlsContext | undefined> {
    const { config, disk } = this.#ground;
    const { tlsCert, tlsKey, tlsCa, requireCertificate, useIdentityAsUsername } = config;
    if (tlsCert === undefined || tlsKey === undefined) return undefined;
    const read = async (path: string): Promise<string> =>
      (await disk.readFile('broker:tls', path).catch(unusable(path))).toString('utf8');
    const material = { certificatePem: await read(tlsCert), privateKeyPem: await read(tlsKey) };
    const authorities = tlsCa === undefined ? {} : { authoritiesPem: await read(tlsCa) };
    const clientCertificates = requireCertificate ? 'require' : useIdentityAsUsername ? 'request' : 'none';
    try {
      return tlsContext({ ...material, ...authorities, clientCertificates });
    } catch (cause) {
      throw new WeirError({
        code: 'STANDALONE_TLS_INVALID',
        message: `The certificate ${tlsCert} and the key ${tlsKey} cannot be used: ${errorMessage(cause)}. Both must be PEM files that belong together.`,
        cause,
      });
    }
  }

  #anonymous(): RunningBroker['anonymous'] {
    const { allowAnonymous, passwordFile } = this.#ground.config;
    if (allowAnonymous === true) return 'everybody';
    return allowAnonymous === false || passwordFile !== undefined ? 'nobody' : 'local';
  }

  #sayHowOpen(anonymous: RunningBroker['anonymous']): void {
    const { config, log } = this.#ground;
    const { aclFile, passwordFile } = config;
    if (anonymous === 'local')
      log.warn('clients on this machine come in without a password; others do not: give a password file to change it');
    if (anonymous !== 'nobody' && aclFile !== undefined && passwordFile === undefined)
      log.warn('user names are believed as they are given, since there is no password file', { acl: aclFile });
    if (config.dataDir === undefined)
      log.info('sessions and retained messages live in memory; --data-dir keeps them over a restart');
  }

  #reload(parts: Parts): Promise<void> {
    this.#reloading = this.#reloading.then(() => this.#reloadNow(parts));
    return this.#reloading;
  }

  async #reloadNow({ access, broker }: Parts): Promise<void> {
    const { log } = this.#ground;
    try {
      this.#tls = await this.#readTls();
    } catch (error) {
      log.error('the old certificate stays', { reason: errorMessage(error) });
    }
    const changed = await access.reload();
    for (const { clientId, principal } of broker.connectedClients())
      if (changed?.has(principal) === true) broker.disconnect(clientId, 'the user is gone or has a new password');
  }
}

function urlOf(scheme: string, { address }: Listener): string {
  if ('path' in address) return `unix://${address.path}`;
  const host = address.host.includes(':') ? `[${address.host}]` : address.host;
  return `${scheme}://${host}:${address.port}`;
}

function unusable(path: string): (cause: unknown) => never {
  return (cause) => {
    throw new WeirError({
      code: 'STANDALONE_PATH_UNUSABLE',
      message: `${path} cannot be used: ${errorMessage(cause)}. Correct the path, or let this user read and write it.`,
      fields: { path },
      cause,
    });
  };
}
