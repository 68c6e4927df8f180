// The registry: which devices and modules exist, whether they may connect, and with which keys.
//
// Owns table `identity`. A twin is born and gone with its identity (triggers in database.ts). Creating an edge
// device creates its system modules $edgeAgent and $edgeHub with it.
//
// Whoever loses the right to be connected (deleted, disabled, other keys) is announced to `onRevoked` listeners
// after the change is committed, so that a standing connection ends too.
//
// A change needs no If-Match here: `expectedEtag` is what api.ts read from the header, `*` for whatever is there.

import { hubDevicesMax, hubKeyBytesMax, hubKeyBytesMin, hubListRowsMax, hubModulesPerDeviceMax } from '../limits.ts';
import { edgeAgentId, edgeHubId, type Identity, identityKey, isValidId } from '../model/address.ts';
import type { Clock } from '../platform/clock.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { HubDatabase } from './database.ts';
import {
  alreadyExists,
  deviceNotFound,
  etagMismatch,
  invalidArgument,
  limitReached,
  moduleNotFound,
} from './errors.ts';

export interface SymmetricKeys {
  /** Base64 of 16 to 64 bytes. */
  readonly primaryKey: string;
  readonly secondaryKey: string;
}

export interface IdentityRecord {
  readonly identity: Identity;
  /** Differs for every life of an id: deleted and created again is somebody else. */
  readonly generationId: string;
  readonly etag: string;
  readonly enabled: boolean;
  readonly statusReason: string | undefined;
  readonly keys: SymmetricKeys;
  /** Devices only: may run modules. */
  readonly edge: boolean;
  /** `iotEdge` for a module made by a manifest. */
  readonly managedBy: string | undefined;
  readonly createdMs: number;
}

/** What a caller may choose; everything absent is made (keys) or defaulted (enabled, not edge). */
export interface IdentitySettings {
  readonly enabled?: boolean | undefined;
  readonly statusReason?: string | undefined;
  readonly keys?: SymmetricKeys | undefined;
  readonly edge?: boolean | undefined;
  readonly managedBy?: string | undefined;
}

interface IdentityRow {
  readonly device: string;
  readonly module: string;
  readonly generation: string;
  readonly etag: string;
  readonly enabled: number;
  readonly status_reason: string | null;
  readonly primary_key: string;
  readonly secondary_key: string;
  readonly edge: number;
  readonly managed_by: string | null;
  readonly created_ms: number;
}

const generatedKeyBytes = 32;
const etagBytes = 6;
const generationDigits = 6;
const base64Text = /^[A-Za-z0-9+/]+={0,2}$/;

export class Registry {
  readonly #database: HubDatabase;
  readonly #clock: Clock;
  readonly #entropy: Entropy;
  readonly #revoked = new Set<(identity: Identity) => void>();

  constructor(ports: { readonly database: HubDatabase; readonly clock: Clock; readonly entropy: Entropy }) {
    this.#database = ports.database;
    this.#clock = ports.clock;
    this.#entropy = ports.entropy;
  }

  /** Throws HUB_ARGUMENT_INVALID, HUB_DEVICE_EXISTS, HUB_LIMIT_REACHED. */
  createDevice(deviceId: string, settings: IdentitySettings = {}): IdentityRecord {
    checkId('device', deviceId);
    return this.#database.transaction(() => {
      if (this.find({ deviceId }) !== undefined) throw alreadyExists({ deviceId });
      if (this.deviceCount() >= hubDevicesMax) {
        throw limitReached(`The hub holds its maximum of ${hubDevicesMax} devices. Delete some.`, 'TooManyDevices');
      }
      const record = this.#insert({ deviceId }, settings);
      if (record.edge) this.#createSystemModules(deviceId);
      return record;
    });
  }

  /** Throws HUB_ARGUMENT_INVALID, HUB_DEVICE_NOT_FOUND, HUB_MODULE_EXISTS, HUB_LIMIT_REACHED. */
  createModule(deviceId: string, moduleId: string, settings: IdentitySettings = {}): IdentityRecord {
    checkId('module', moduleId);
    return this.#database.transaction(() => {
      this.get({ deviceId });
      if (this.find({ deviceId, moduleId }) !== undefined) throw alreadyExists({ deviceId, moduleId });
      if (this.modules(deviceId).length >= hubModulesPerDeviceMax) {
        throw limitReached(
          `Device ${deviceId} has its maximum of ${hubModulesPerDeviceMax} modules. Delete some.`,
          'TooManyModulesOnDevice',
        );
      }
      return this.#insert({ deviceId, moduleId }, settings);
    });
  }

  /** Changes what `settings` names; the rest stays. Throws HUB_DEVICE_NOT_FOUND, HUB_MODULE_NOT_FOUND, HUB_ETAG_MISMATCH. */
  update(identity: Identity, settings: IdentitySettings, expectedEtag = '*'): IdentityRecord {
    const before = this.get(identity);
    checkEtag(before, expectedEtag);
    const keys = settings.keys === undefined ? before.keys : checkedKeys(settings.keys);
    const enabled = settings.enabled ?? before.enabled;
    const edge = settings.edge ?? before.edge;
    this.#database.transaction(() => {
      this.#database.run(
        'UPDATE identity SET etag = ?, enabled = ?, status_reason = ?, primary_key = ?, secondary_key = ?, edge = ? WHERE device = ? AND module = ?',
        this.#newEtag(),
        Number(enabled),
        settings.statusReason ?? before.statusReason ?? null,
        keys.primaryKey,
        keys.secondaryKey,
        Number(edge),
        identity.deviceId,
        identity.moduleId ?? '',
      );
      if (edge && !before.edge) this.#createSystemModules(identity.deviceId);
    });
    const keysChanged = keys.primaryKey !== before.keys.primaryKey || keys.secondaryKey !== before.keys.secondaryKey;
    if (!enabled || keysChanged) this.#announceRevoked(this.#withModules(identity));
    return this.get(identity);
  }

  /** Throws HUB_DEVICE_NOT_FOUND or HUB_MODULE_NOT_FOUND. */
  get(identity: Identity): IdentityRecord {
    const found = this.find(identity);
    if (found !== undefined) return found;
    if (identity.moduleId === undefined || this.find({ deviceId: identity.deviceId }) === undefined)
      throw deviceNotFound(identity.deviceId);
    throw moduleNotFound(identity.deviceId, identity.moduleId);
  }

  find({ deviceId, moduleId }: Identity): IdentityRecord | undefined {
    const row = this.#database.get<IdentityRow>(
      'SELECT * FROM identity WHERE device = ? AND module = ?',
      deviceId,
      moduleId ?? '',
    );
    return row === undefined ? undefined : toRecord(row);
  }

  /** Devices by id, at most `top` after the id `after`. */
  devices({
    after = '',
    top = hubListRowsMax,
  }: {
    readonly after?: string;
    readonly top?: number;
  } = {}): readonly IdentityRecord[] {
    return this.#database
      .all<IdentityRow>(
        "SELECT * FROM identity WHERE device > ? AND module = '' ORDER BY device LIMIT ?",
        after,
        Math.min(top, hubListRowsMax),
      )
      .map(toRecord);
  }

  /** The modules of a device by id, the system modules included. Throws HUB_DEVICE_NOT_FOUND. */
  modules(deviceId: string): readonly IdentityRecord[] {
    this.get({ deviceId });
    return this.#database
      .all<IdentityRow>("SELECT * FROM identity WHERE device = ? AND module <> '' ORDER BY module", deviceId)
      .map(toRecord);
  }

  deviceCount(): number {
    return (
      this.#database.get<{ readonly count: number }>("SELECT count(*) AS count FROM identity WHERE module = ''")
        ?.count ?? 0
    );
  }

  /** Removes a device with its modules and twins, or one module. What it sent stays in the log. */
  delete(identity: Identity, expectedEtag = '*'): void {
    checkEtag(this.get(identity), expectedEtag);
    const gone = this.#withModules(identity);
    this.#database.transaction(() => {
      for (const { deviceId, moduleId } of gone) {
        this.#database.run('DELETE FROM identity WHERE device = ? AND module = ?', deviceId, moduleId ?? '');
      }
    });
    this.#announceRevoked(gone);
  }

  onRevoked(listener: (identity: Identity) => void): void {
    this.#revoked.add(listener);
  }

  #insert(identity: Identity, settings: IdentitySettings): IdentityRecord {
    const keys =
      settings.keys === undefined
        ? { primaryKey: this.#newKey(), secondaryKey: this.#newKey() }
        : checkedKeys(settings.keys);
    const row: IdentityRow = {
      device: identity.deviceId,
      module: identity.moduleId ?? '',
      generation: `${this.#clock.wallMs()}${this.#digits()}`,
      etag: this.#newEtag(),
      enabled: Number(settings.enabled ?? true),
      status_reason: settings.statusReason ?? null,
      primary_key: keys.primaryKey,
      secondary_key: keys.secondaryKey,
      edge: Number(settings.edge ?? false),
      managed_by: settings.managedBy ?? null,
      created_ms: this.#clock.wallMs(),
    };
    this.#database.run(
      `INSERT INTO identity (device, module, generation, etag, enabled, status_reason, primary_key, secondary_key, edge, managed_by, created_ms)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
      row.device,
      row.module,
      row.generation,
      row.etag,
      row.enabled,
      row.status_reason,
      row.primary_key,
      row.secondary_key,
      row.edge,
      row.managed_by,
      row.created_ms,
    );
    return toRecord(row);
  }

  #createSystemModules(deviceId: string): void {
    for (const moduleId of [edgeAgentId, edgeHubId]) {
      if (this.find({ deviceId, moduleId }) === undefined)
        this.#insert({ deviceId, moduleId }, { managedBy: 'iotEdge' });
    }
  }

  #withModules(identity: Identity): readonly Identity[] {
    if (identity.moduleId !== undefined) return [identity];
    return [...this.modules(identity.deviceId).map((module) => module.identity), identity];
  }

  #announceRevoked(identities: readonly Identity[]): void {
    for (const identity of identities) {
      for (const listener of this.#revoked) listener(identity);
    }
  }

  #newKey(): string {
    return Buffer.from(this.#entropy.bytes(generatedKeyBytes)).toString('base64');
  }

  #newEtag(): string {
    return Buffer.from(this.#entropy.bytes(etagBytes)).toString('base64');
  }

  #digits(): string {
    return String(Math.floor(this.#entropy.fraction() * 10 ** generationDigits)).padStart(generationDigits, '0');
  }
}

function checkId(what: 'device' | 'module', id: string): void {
  if (isValidId(id)) return;
  throw invalidArgument(
    `${JSON.stringify(id)} cannot be a ${what} id: 1 to 128 letters, digits or any of - : . + % _ # * ? ! ( ) , = @ ; $ ' are allowed.`,
  );
}

function checkEtag(record: IdentityRecord, expected: string): void {
  if (expected !== '*' && expected !== record.etag) throw etagMismatch(identityKey(record.identity));
}

function checkedKeys(keys: SymmetricKeys): SymmetricKeys {
  for (const [name, key] of Object.entries(keys) as readonly [string, string][]) {
    const bytes = Buffer.from(key, 'base64').length;
    if (!base64Text.test(key) || bytes < hubKeyBytesMin || bytes > hubKeyBytesMax) {
      throw invalidArgument(
        `${name} must be the base64 of ${hubKeyBytesMin} to ${hubKeyBytesMax} bytes. Leave both keys out to have them made.`,
      );
    }
  }
  return keys;
}

function toRecord(row: IdentityRow): IdentityRecord {
  return {
    identity: row.module === '' ? { deviceId: row.device } : { deviceId: row.device, moduleId: row.module },
    generationId: row.generation,
    etag: row.etag,
    enabled: row.enabled !== 0,
    statusReason: row.status_reason ?? undefined,
    keys: { primaryKey: row.primary_key, secondaryKey: row.secondary_key },
    edge: row.edge !== 0,
    managedBy: row.managed_by ?? undefined,
    createdMs: row.created_ms,
  };
}
