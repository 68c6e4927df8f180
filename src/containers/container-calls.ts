// What is asked of the engine about containers and their network, call by call. No decision is taken here.

import { isJsonObject, type JsonObject } from '../model/json.ts';
import type { Engine } from './engine.ts';
import { engineRefusedError, engineUnreadableError } from './errors.ts';
import { type Inspection, inspectionOf } from './inspection.ts';
import { gatewayLabel, moduleLabel, owner, ownerLabel } from './labels.ts';
import type { NetworkOptions } from './ports.ts';

export interface ListedContainer {
  readonly id: string;
  readonly module: string;
}

const statusNotModified = 304;
const statusNotFound = 404;
const statusConflict = 409;
const statusFailed = 500;
const msPerSecond = 1000;
const podmanLookEvery = '250ms';
const nameTaken = /already in use/i;

export class ContainerCalls {
  readonly #engine: Engine;
  readonly #gateway: string;

  constructor(engine: Engine, options: { readonly gateway: string }) {
    this.#engine = engine;
    this.#gateway = options.gateway;
  }

  /** This gateway's containers, of one module or of all, whatever their state. */
  async list(module?: string, signal?: AbortSignal): Promise<readonly ListedContainer[]> {
    const label = [`${gatewayLabel}=${this.#gateway}`, ...(module === undefined ? [] : [`${moduleLabel}=${module}`])];
    const { value } = await this.#engine.call('the list of containers', {
      method: 'GET',
      path: '/containers/json',
      query: { all: '1', filters: JSON.stringify({ label }) },
      ...(signal === undefined ? {} : { signal }),
    });
    // Taken for an empty list, it would let a second container be started beside the first.
    if (!Array.isArray(value)) throw engineUnreadableError('the list of containers');
    return value.flatMap((item) => {
      if (!isJsonObject(item) || typeof item['Id'] !== 'string' || !isJsonObject(item['Labels'])) return [];
      const { [moduleLabel]: name, [gatewayLabel]: gateway } = item['Labels'];
      return typeof name === 'string' && gateway === this.#gateway ? [{ id: item['Id'], module: name }] : [];
    });
  }

  /** Undefined: there is no such container. */
  async inspect(id: string, signal?: AbortSignal): Promise<Inspection | undefined> {
    const { status, value } = await this.#engine.call(
      'a look at a container',
      { method: 'GET', path: `/containers/${id}/json`, ...(signal === undefined ? {} : { signal }) },
      [statusNotFound],
    );
    if (status === statusNotFound) return undefined;
    const found = inspectionOf(value);
    if (found === undefined) throw engineUnreadableError('a look at a container');
    return found;
  }

  /** Undefined when somebody else's container has this name. */
  async create(name: string, body: JsonObject): Promise<string | undefined> {
    const what = `the creation of the container ${name}`;
    const { status, value } = await this.#engine.call(
      what,
      { method: 'POST', path: '/containers/create', query: { name }, body },
      [statusConflict, statusFailed],
    );
    const answer = isJsonObject(value) ? value : {};
    if (status < statusConflict && typeof answer['Id'] === 'string') return answer['Id'];
    const reason = String(answer['message'] ?? answer['cause'] ?? `status ${status}`);
    if (status === statusConflict || nameTaken.test(reason)) return undefined;
    throw engineRefusedError(what, { status, reason });
  }

  async start(id: string): Promise<void> {
    await this.#engine.call('the start of a container', { method: 'POST', path: `/containers/${id}/start` });
  }

  /** Resolves when it has ended, by itself within the grace or killed after it. */
  async stop(id: string, graceMs: number, signal: AbortSignal): Promise<void> {
    const seconds = Math.ceil(graceMs / msPerSecond);
    await this.#engine.call(
      'the end of a container',
      {
        method: 'POST',
        path: `/containers/${id}/stop`,
        query: { t: String(seconds) },
        signal,
        limitMs: 'none',
      },
      [statusNotModified, statusNotFound],
    );
  }

  async kill(id: string, signal: AbortSignal): Promise<void> {
    const request = { method: 'POST', path: `/containers/${id}/kill`, query: { signal: 'SIGKILL' }, signal } as const;
    await this.#engine.call('the end of a container', request, [statusNotFound, statusConflict]);
  }

  /** With its anonymous volumes; what runs is killed. */
  async remove(id: string): Promise<void> {
    const request = { method: 'DELETE', path: `/containers/${id}`, query: { force: '1', v: '1' } } as const;
    await this.#engine.call('the removal of a container', request, [statusNotFound]);
  }

  /**
   * Resolves some time after the container has ended, and perhaps earlier: inspect() tells.
   *
   * Podman answers Docker's call by looking without any pause, and takes most of a processor for it; its own call looks
   * `podmanLookEvery`.
   */
  async wait(id: string, signal: AbortSignal): Promise<void> {
    const { libpodVersion } = await this.#engine.facts();
    const libpod = libpodVersion !== undefined;
    await this.#engine.call(
      'the end of a container',
      {
        method: 'POST',
        path: `/containers/${id}/wait`,
        query: libpod ? { interval: podmanLookEvery } : { condition: 'not-running' },
        libpod,
        signal,
        limitMs: 'none',
      },
      [statusNotFound],
    );
  }

  /** Runs the container's health check now; podman alone can be asked. */
  async checkHealth(id: string, signal: AbortSignal): Promise<void> {
    const { libpodVersion } = await this.#engine.facts();
    if (libpodVersion === undefined) return;
    const request = {
      method: 'GET',
      path: `/containers/${id}/healthcheck`,
      libpod: true,
      signal,
      limitMs: 'none',
    } as const;
    await this.#engine.call('a health check', request, [statusNotFound, statusConflict]);
  }

  /** Under which containers of the network reach this machine: the bridge's own address, IPv4 where there is one. */
  async hostAddress(network: string): Promise<string | undefined> {
    const path = `/networks/${network}`;
    const { value } = await this.#engine.call('a look at the network', { method: 'GET', path }, [statusNotFound]);
    const ipam = isJsonObject(value) ? value['IPAM'] : undefined;
    const pools = isJsonObject(ipam) && Array.isArray(ipam['Config']) ? ipam['Config'] : [];
    const addresses = pools.flatMap((pool) => {
      const gateway = isJsonObject(pool) ? pool['Gateway'] : undefined;
      return typeof gateway === 'string' && gateway !== '' ? [gateway] : [];
    });
    return addresses.find((address) => address.includes('.')) ?? addresses[0];
  }

  /** Makes the network when it is missing; one that is there stays as it is. */
  async ensureNetwork({ name, ipv6, ipam }: NetworkOptions): Promise<void> {
    const found = await this.#engine.call('a look at the network', { method: 'GET', path: `/networks/${name}` }, [
      statusNotFound,
    ]);
    if (found.status !== statusNotFound) return;
    const pools = ipam.map(({ subnet, gateway, ipRange }) => ({
      ...(subnet === undefined ? {} : { Subnet: subnet }),
      ...(gateway === undefined ? {} : { Gateway: gateway }),
      ...(ipRange === undefined ? {} : { IPRange: ipRange }),
    }));
    const body: JsonObject = {
      Name: name,
      CheckDuplicate: true,
      Driver: 'bridge',
      Labels: { [ownerLabel]: owner },
      ...(ipv6 ? { EnableIPv6: true } : {}),
      ...(pools.length === 0 ? {} : { IPAM: { Driver: 'default', Config: pools } }),
    };
    await this.#engine.call(`the creation of the network ${name}`, { method: 'POST', path: '/networks/create', body }, [
      statusConflict,
    ]);
  }
}
