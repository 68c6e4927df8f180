// A gateway and a hub of the executable, with modules that do nothing but exist: their identities publish from the
// bench's own clients, with tokens as the modules themselves would get them. The line to the hub can be cut.

import { Buffer } from 'node:buffer';
import { createHmac } from 'node:crypto';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Identity } from '../../../src/model/address.ts';
import type { JsonObject } from '../../../src/model/json.ts';
import { formatSas, formatUsername, sasResource, sasStringToSign } from '../../../src/protocol/iothub/index.ts';
import { faultDiskEnv, setRules } from '../../support/fault-disk.ts';
import { manifest, program } from '../../support/world/manifest.ts';
import { socketCall } from '../../support/world/unix-http.ts';
import { World } from '../../support/world/world.ts';
import type { ClientIdentity } from './mqtt-client.ts';

const apiVersion = '2022-08-03';
const tokenLifeSeconds = 7200;
const quota = '16GiB';
const pollMs = 50;
const hubHostname = 'localhost';

/** Of the hub: its clients' messages, counted by its log. */
export interface HubCount {
  readonly messages: number;
  readonly atMs: number;
}

export class Gateway {
  readonly world: World;
  readonly #rules: string | undefined;
  clients: readonly ClientIdentity[] = [];

  private constructor(world: World, rules: string | undefined) {
    this.world = world;
    this.#rules = rules;
  }

  /** `isSick`: its disk can be made to stall. */
  static async start({
    modules,
    isSick = false,
    routes,
  }: {
    readonly modules: number;
    readonly isSick?: boolean;
    /** Without: everything goes upstream. */
    readonly routes?: JsonObject;
  }): Promise<Gateway> {
    let rules: string | undefined;
    const env = (directory: string): Record<string, string> => {
      const root = join(directory, 'gw', 'data');
      mkdirSync(root, { recursive: true, mode: 0o700 });
      rules = join(directory, 'disk.rules');
      setRules(rules, []);
      return faultDiskEnv({ root, rules });
    };
    const world = new World({ name: 'bench-store', ...(isSick ? { env } : {}) });
    const gateway = new Gateway(world, rules);
    try {
      await gateway.#deploy(modules, routes);
      return gateway;
    } catch (error) {
      await world.close();
      throw error;
    }
  }

  get socketPath(): string {
    return join(this.world.runDir, 'mqtt.sock');
  }

  /** Every fsync of the gateway takes so long from now on; 0: as long as it takes. */
  stall(delayMs: number): void {
    if (this.#rules !== undefined) setRules(this.#rules, delayMs === 0 ? [] : [`sync ${delayMs}ms *`]);
  }

  async hubCount(): Promise<HubCount> {
    return { messages: await this.world.lastOffset(), atMs: performance.now() };
  }

  /** Asks until the hub has `messages` in its log. */
  hubHas(messages: number, timeoutMs: number): Promise<HubCount> {
    return this.world.eventually(
      `${messages} messages at the hub`,
      async () => {
        const now = await this.hubCount();
        if (now.messages >= messages) return now;
        await new Promise((resolve) => setTimeout(resolve, pollMs));
        return undefined;
      },
      timeoutMs,
    );
  }

  get hubAuthorityFile(): string {
    return join(this.world.directory, 'hub', 'certs', 'hub-ca.pem');
  }

  /** Devices of the hub that need no gateway. */
  async hubDevices(count: number): Promise<readonly ClientIdentity[]> {
    const { world } = this;
    const devices: ClientIdentity[] = [];
    for (let number = 0; number < count; number++) {
      const deviceId = `direct${number}`;
      await world.succeed('hub', 'device', 'create', deviceId, ...world.hubDirs);
      const text = await world.succeed('hub', 'device', 'connection-string', deviceId, ...world.hubDirs);
      const key = Buffer.from(/SharedAccessKey=([^;\s]+)/.exec(text)?.[1] ?? '', 'base64');
      const { resource, expirySeconds, toSign } = tokenParts({ deviceId });
      const signature = createHmac('sha256', key).update(toSign).digest('base64');
      devices.push({
        clientId: deviceId,
        username: formatUsername(hubHostname, { deviceId }),
        password: formatSas({ resource, expirySeconds, signature }),
        topic: `devices/${deviceId}/messages/events/`,
      });
    }
    return devices;
  }

  async close(): Promise<void> {
    await this.world.close();
  }

  async #deploy(count: number, routes: JsonObject | undefined): Promise<void> {
    const { world } = this;
    await world.startHub();
    await world.provision(`[store]\nquota = "${quota}"`);
    await world.startGateway();
    const names = Array.from({ length: count }, (_, number) => `load${number}`);
    const sleeper = program('/bin/sleep', ['infinity']);
    const deployed = Object.fromEntries(names.map((name) => [name, sleeper]));
    await world.deploy(manifest({ modules: deployed, ...(routes === undefined ? {} : { routes }) }));
    for (const name of names) await world.running(name);
    this.clients = await Promise.all(names.map((name) => this.#client(name)));
  }

  async #client(moduleId: string): Promise<ClientIdentity> {
    const { deviceId, runDir } = this.world;
    const identity = { deviceId, moduleId };
    const { resource, expirySeconds, toSign } = tokenParts(identity);
    const data = Buffer.from(toSign).toString('base64');
    const { status, body } = await socketCall({
      socketPath: join(runDir, 'modules', moduleId, 'api', 'workload.sock'),
      method: 'POST',
      path: `/modules/${moduleId}/genid/0/sign?api-version=${apiVersion}`,
      body: JSON.stringify({ keyId: 'primary', algo: 'HMACSHA256', data }),
    });
    if (status !== 200) throw new TypeError(`the workload socket of ${moduleId} answered ${status}: ${body}`);
    const { digest } = JSON.parse(body) as { readonly digest: string };
    return {
      clientId: `${deviceId}/${moduleId}`,
      username: formatUsername(hubHostname, identity),
      password: formatSas({ resource, expirySeconds, signature: digest }),
      topic: `devices/${deviceId}/modules/${moduleId}/messages/events/`,
    };
  }
}

function tokenParts(identity: Identity): {
  readonly resource: string;
  readonly expirySeconds: number;
  readonly toSign: string;
} {
  const expirySeconds = Math.floor(Date.now() / 1000) + tokenLifeSeconds;
  const resource = sasResource(hubHostname, identity);
  return { resource, expirySeconds, toSign: sasStringToSign(resource, expirySeconds) };
}
