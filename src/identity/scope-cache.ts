// The devices behind this gateway and their modules: what the hub last told of them, in memory and, sealed, on disk, so
// that they are known while the hub is away and after a restart.
//
//   {path}   0600   "weir scope 1" LF base64 of: 32 bytes of salt, sealed JSON of all rows as one page (scope-page.ts)
//
// Sealed by this machine's local key (seal.ts) together with the names of hub and device: keys of devices are never
// in the clear on disk, and the scope of another life of this gateway opens nothing. A file that does not open is set
// aside as `{path}.damaged`, and the gateway knows nobody until the hub tells again.
//
// Invariants
//   What is known is one version of the hub's whole, never parts of two.
//   Whoever loses the right to a standing connection is announced to `onRevoked` after it is lost here: removed,
//   disabled, other keys or thumbprints, another life; a device takes its modules along.

import { scopeFileBytesMax } from '../limits.ts';
import { type Identity, identityKey } from '../model/address.ts';
import { errorMessage } from '../model/errors.ts';
import type { JsonObject } from '../model/json.ts';
import type { Clock } from '../platform/clock.ts';
import type { Disk } from '../platform/disk.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { Log } from '../platform/log.ts';
import type { DeviceKey } from './device-key.ts';
import { parseScopePage, type ScopeMember, type ScopePage } from './scope-page.ts';

export interface ScopeCachePorts {
  readonly disk: Disk;
  readonly entropy: Entropy;
  readonly clock: Clock;
  readonly log: Log;
  readonly sealKey: DeviceKey;
}

export interface ScopeCacheOptions {
  readonly path: string;
  /** Whose scope it is. */
  readonly hubHostname: string;
  readonly deviceId: string;
}

/** An identity and, for a module, its device: both must be enabled. */
export interface ScopeEntry {
  readonly own: ScopeMember;
  readonly device: ScopeMember;
}

const magic = 'weir scope 1\n';
const saltBytes = 32;
const privateMode = 0o600;

export class ScopeCache {
  readonly #ports: ScopeCachePorts;
  readonly #options: ScopeCacheOptions;
  readonly #revoked = new Set<(identity: Identity) => void>();
  readonly #left = new Set<(identity: Identity) => void>();
  readonly #joined = new Set<(identity: Identity) => void>();
  #members: ReadonlyMap<string, ScopeMember> = new Map();
  #version: string | undefined;
  #toldMs: number | undefined;

  constructor(ports: ScopeCachePorts, options: ScopeCacheOptions) {
    this.#ports = ports;
    this.#options = options;
  }

  /** Recalls what the last run knew. */
  async start(): Promise<void> {
    const { disk, log } = this.#ports;
    const { path } = this.#options;
    const text = await disk.readTextIfPresent('scope:load', path);
    if (text === undefined) return;
    try {
      const page = this.#open(text);
      if (page === undefined) throw new TypeError('it was sealed by another key, or changed');
      this.#take(page.version, page.members);
      log.info('devices behind this gateway', { identities: this.#members.size, from: 'disk' });
    } catch (error) {
      await disk.rename('scope:quarantine', path, `${path}.damaged`);
      log.error('the sealed scope cannot be used: set aside; devices are let in again once the hub has told of them', {
        path: `${path}.damaged`,
        reason: errorMessage(error),
      });
    }
  }

  /** Of what is known; undefined: nothing was ever told. */
  get version(): string | undefined {
    return this.#version;
  }

  /** When the hub told it, in this run; undefined: not yet. */
  get toldMs(): number | undefined {
    return this.#toldMs;
  }

  find(identity: Identity): ScopeEntry | undefined {
    const own = this.#members.get(identityKey(identity));
    const device = this.#members.get(identity.deviceId);
    return own === undefined || device === undefined ? undefined : { own, device };
  }

  /** All identities, devices and modules. */
  identities(): readonly Identity[] {
    return [...this.#members.values()].map(({ identity }) => identity);
  }

  /** Takes all pages of one version in place of what was known. Resolves when the sealed copy is on disk. */
  async replace(pages: readonly ScopePage[]): Promise<void> {
    const version = pages[0]?.version ?? '';
    const members = pages.flatMap((page) => page.members);
    const before = this.#members;
    this.#take(version, members);
    this.#toldMs = this.#ports.clock.wallMs();
    this.#ports.log.info('devices behind this gateway', { identities: this.#members.size, from: 'hub' });
    this.#announce(before);
    await this.#save({
      version,
      devices: pages.flatMap((page) => page.rows.devices),
      modules: pages.flatMap((page) => page.rows.modules),
    });
  }

  /** Called for each identity whose standing connection must end. */
  onRevoked(listener: (identity: Identity) => void): void {
    this.#revoked.add(listener);
  }

  /** Called for each identity that is behind this gateway no more. */
  onLeft(listener: (identity: Identity) => void): void {
    this.#left.add(listener);
  }

  /** Called for each identity that the hub has told of and that was not behind this gateway before. */
  onJoined(listener: (identity: Identity) => void): void {
    this.#joined.add(listener);
  }

  #take(version: string, members: readonly ScopeMember[]): void {
    this.#members = new Map(members.map((member) => [identityKey(member.identity), member]));
    this.#version = version;
  }

  #announce(before: ReadonlyMap<string, ScopeMember>): void {
    const isAsBefore = (key: string): boolean => this.#members.get(key)?.stamp === before.get(key)?.stamp;
    for (const [key, { identity }] of before) {
      if (!isAsBefore(key) || !isAsBefore(identity.deviceId)) for (const listener of this.#revoked) listener(identity);
      if (!this.#members.has(key)) for (const listener of this.#left) listener(identity);
    }
    for (const [key, { identity }] of this.#members) {
      if (!before.has(key)) for (const listener of this.#joined) listener(identity);
    }
  }

  async #save(rows: JsonObject): Promise<void> {
    const { disk, entropy, log, sealKey } = this.#ports;
    const salt = Buffer.from(entropy.bytes(saltBytes));
    const sealed = sealKey.seal(Buffer.from(JSON.stringify(rows)), this.#sealing(salt));
    const data = `${magic}${Buffer.concat([salt, sealed]).toString('base64')}`;
    try {
      await disk.writeFileAtomic('scope:save', this.#options.path, { data, mode: privateMode });
    } catch (error) {
      log.error('the scope could not be kept on disk: after a restart without the hub an older one holds', {
        path: this.#options.path,
        reason: errorMessage(error),
      });
    }
  }

  #open(text: string): ScopePage | undefined {
    if (text.length > scopeFileBytesMax) throw new TypeError(`it has ${text.length} bytes`);
    if (!text.startsWith(magic)) throw new TypeError('it is no scope');
    const bytes = Buffer.from(text.slice(magic.length), 'base64');
    const salt = bytes.subarray(0, saltBytes);
    const plain = this.#ports.sealKey.unseal(bytes.subarray(saltBytes), this.#sealing(salt));
    return plain === undefined ? undefined : parseScopePage(plain, scopeFileBytesMax);
  }

  #sealing(salt: Buffer) {
    const { hubHostname, deviceId } = this.#options;
    const associated = Buffer.from(`${magic}${hubHostname.toLowerCase()}\n${deviceId}\n`);
    return { salt, associated, purpose: 'scope' } as const;
  }
}
