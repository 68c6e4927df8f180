// The registry: which devices and modules exist, whether they may connect, by which keys or certificates, and behind
// which gateway.
//
// Owns table `identity`. A twin is born and gone with its identity (triggers in database.ts). Creating an edge
// device creates its system modules $edgeAgent and $edgeHub with it.
//
// A leaf device may have a parent: the edge device that speaks for it and its modules, and that gets their keys as its
// scope (scope.ts) to know them while the hub is away. Whoever changes something in a scope announces it to
// `onScopeChanged` listeners. Edge devices have no parent here: each connects to the hub itself.
//
// Whoever loses the right to be connected (deleted, disabled, other keys) is announced to `onRevoked` listeners
// after the change is committed, so that a standing connection ends too.
//
// A change needs no If-Match here: `expectedEtag` is what api.ts read from the header, `*` for whatever is there.

import { hubDevicesMax, hubListRowsMax, hubModulesPerDeviceMax, scopeIdentitiesMax } from '../limits.ts';
import { edgeAgentId, edgeHubId, type Identity, identityKey, isValidId } from '../model/address.ts';
import type { Clock } from '../platform/clock.ts';
import type { Entropy } from '../platform/entropy.ts';
import {
  type AuthenticationKind,
  type AuthenticationSettings,
  type Credentials,
  chosenCredentials,
  noKeys,
  type SymmetricKeys,
  sameCredentials,
} from './credentials.ts';
import type { HubDatabase } from './database.ts';
import {
  alreadyExists,
  deviceNotFound,
  etagMismatch,
  invalidArgument,
  limitReached,
  moduleNotFound,
} from './errors.ts';
import type { Notices } from './notices.ts';
import { type TwinDocument, twinJson } from './twin-json.ts';

export interface IdentityRecord {
  readonly identity: Identity;
  /** Differs for every life of an id: deleted and created again is somebody else. */
  readonly generationId: string;
  readonly etag: string;
  readonly enabled: boolean;
  readonly statusReason: string | undefined;
  readonly authentication: AuthenticationKind;
  /** Empty texts unless the authentication is `sas`. */
  readonly keys: SymmetricKeys;
  /** Of its certificates, for `selfSigned`. */
  readonly thumbprints: Credentials['thumbprints'];
  /** Devices only: may run modules. */
  readonly edge: boolean;
  /** Leaf devices only: the id of the edge device that they stand behind. */
  readonly parent: string | undefined;
  /** `iotEdge` for a module made by a manifest. */
  readonly managedBy: string | undefined;
  readonly createdMs: number;
}

/** What a caller may choose; everything absent is made (keys) or defaulted (enabled, not edge). */
export interface IdentitySettings {
  readonly enabled?: boolean | undefined;
  readonly statusReason?: string | undefined;
  readonly keys?: SymmetricKeys | undefined;
  readonly authentication?: AuthenticationSettings | undefined;
  readonly edge?: boolean | undefined;
  /** Null: none (any more). */
  readonly parent?: string | null | undefined;
  readonly managedBy?: string | undefined;
}

/** The twins, for those who are told that an identity came or went. */
interface TwinSource {
  read(identity: Identity): TwinDocument;
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
  readonly authentication: string;
  readonly primary_thumbprint: string | null;
  readonly secondary_thumbprint: string | null;
  readonly parent: string | null;
}

const generatedKeyBytes = 32;
const etagBytes = 6;
const generationDigits = 6;

export class Registry {
  readonly #database: HubDatabase;
  readonly #clock: Clock;
  readonly #entropy: Entropy;
  readonly #notices: Notices | undefined;
  readonly #twins: TwinSource;
  readonly #revoked = new Set<(identity: Identity) => void>();
  readonly #scopeChanged = new Set<(gatewayId: string) => void>();

  constructor(ports: {
    readonly database: HubDatabase;
    readonly clock: Clock;
    readonly entropy: Entropy;
    readonly notices?: Notices | undefined;
    readonly twins: TwinSource;
  }) {
    this.#notices = ports.notices;
    this.#twins = ports.twins;
    this.#database = ports.database;
    this.#clock = ports.clock;
    this.#entropy = ports.entropy;
  }

  /** Throws HUB_ARGUMENT_INVALID, HUB_DEVICE_EXISTS, HUB_LIMIT_REACHED. */
  createDevice(deviceId: string, settings: IdentitySettings = {}): IdentityRecord {
    checkId('device', deviceId);
    const created = this.#database.transaction(() => {
      if (this.find({ deviceId }) !== undefined) throw alreadyExists({ deviceId });
      if (this.deviceCount() >= hubDevicesMax) {
        throw limitReached(`The hub holds its maximum of ${hubDevicesMax} devices. Delete some.`, 'TooManyDevices');
      }
      const record = this.#insert({ deviceId }, settings);
      this.#checkPlace(record);
      this.#checkRoom(record.parent);
      if (record.edge) this.#createSystemModules(deviceId);
      return record;
    });
    this.#announceScope(created.parent);
    return created;
  }

  /** Throws HUB_ARGUMENT_INVALID, HUB_DEVICE_NOT_FOUND, HUB_MODULE_EXISTS, HUB_LIMIT_REACHED. */
  createModule(deviceId: string, moduleId: string, settings: IdentitySettings = {}): IdentityRecord {
    checkId('module', moduleId);
    const device = this.get({ deviceId });
    const created = this.#database.transaction(() => {
      if (this.find({ deviceId, moduleId }) !== undefined) throw alreadyExists({ deviceId, moduleId });
      if (this.modules(deviceId).length >= hubModulesPerDeviceMax) {
        throw limitReached(
          `Device ${deviceId} has its maximum of ${hubModulesPerDeviceMax} modules. Delete some.`,
          'TooManyModulesOnDevice',
        );
      }
      const module = this.#insert({ deviceId, moduleId }, { ...settings, parent: undefined });
      this.#checkRoom(device.parent);
      return module;
    });
    this.#announceScope(device.parent);
    return created;
  }

  /** Changes what `settings` names; the rest stays. Throws HUB_DEVICE_NOT_FOUND, HUB_MODULE_NOT_FOUND, HUB_ETAG_MISMATCH. */
  update(identity: Identity, settings: IdentitySettings, expectedEtag = '*'): IdentityRecord {
    const before = this.get(identity);
    checkEtag(before, expectedEtag);
    const credentials = chosenCredentials(settings, { before, newKey: () => this.#newKey() });
    const enabled = settings.enabled ?? before.enabled;
    const edge = settings.edge ?? before.edge;
    const parent = settings.parent === undefined ? before.parent : (settings.parent ?? undefined);
    this.#database.transaction(() => {
      this.#checkPlace({ ...before, ...credentials, edge, parent });
      this.#database.run(
        `UPDATE identity SET etag = ?, enabled = ?, status_reason = ?, primary_key = ?, secondary_key = ?, edge = ?,
           authentication = ?, primary_thumbprint = ?, secondary_thumbprint = ?, parent = ?
         WHERE device = ? AND module = ?`,
        this.#newEtag(),
        Number(enabled),
        settings.statusReason ?? before.statusReason ?? null,
        credentials.keys.primaryKey,
        credentials.keys.secondaryKey,
        Number(edge),
        credentials.authentication,
        credentials.thumbprints.primary ?? null,
        credentials.thumbprints.secondary ?? null,
        parent ?? null,
        identity.deviceId,
        identity.moduleId ?? '',
      );
      if (parent !== before.parent) this.#checkRoom(parent);
      if (edge && !before.edge) this.#createSystemModules(identity.deviceId);
    });
    if (!enabled || !sameCredentials(credentials, before)) this.#announceRevoked(this.#withModules(identity));
    for (const gatewayId of new Set([this.#parentOf(before), parent])) this.#announceScope(gatewayId);
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

  /** Ids of the devices that stand behind the gateway. */
  children(gatewayId: string): readonly string[] {
    return this.#database
      .all<{ readonly device: string }>('SELECT device FROM identity WHERE parent = ? ORDER BY device', gatewayId)
      .map(({ device }) => device);
  }

  /** True when `owner` is a device behind the gateway, or a module of one. */
  isBehind(gatewayId: string, { deviceId }: Identity): boolean {
    const row = this.#database.get<{ readonly parent: string | null }>(
      "SELECT parent FROM identity WHERE device = ? AND module = ''",
      deviceId,
    );
    return row?.parent === gatewayId;
  }

  deviceCount(): number {
    return (
      this.#database.get<{ readonly count: number }>("SELECT count(*) AS count FROM identity WHERE module = ''")
        ?.count ?? 0
    );
  }

  /** Removes a device with its modules and twins, or one module. What it sent stays in the log. */
  delete(identity: Identity, expectedEtag = '*'): void {
    const before = this.get(identity);
    checkEtag(before, expectedEtag);
    const gone = this.#withModules(identity);
    const gatewayId = this.#parentOf(before);
    this.#database.transaction(() => {
      for (const { deviceId, moduleId } of gone) {
        this.#tellLifecycle('delete', { deviceId, moduleId });
        this.#database.run('DELETE FROM identity WHERE device = ? AND module = ?', deviceId, moduleId ?? '');
      }
    });
    this.#announceRevoked(gone);
    this.#announceScope(gatewayId);
  }

  onRevoked(listener: (identity: Identity) => void): void {
    this.#revoked.add(listener);
  }

  /** Called with the id of a gateway after something in its scope has changed. */
  onScopeChanged(listener: (gatewayId: string) => void): void {
    this.#scopeChanged.add(listener);
  }

  /** May the record stand where it says? Throws HUB_ARGUMENT_INVALID, HUB_DEVICE_NOT_FOUND. */
  #checkPlace({ identity, parent, edge, authentication }: IdentityRecord): void {
    if (edge && authentication !== 'sas')
      throw invalidArgument('An edge device proves itself with keys: weir run knows no other way. Use type sas.');
    if (parent === undefined) return;
    if (edge || identity.moduleId !== undefined)
      throw invalidArgument(
        `${identityKey(identity)} cannot have a parent: gateways connect to the hub themselves, modules go with their device.`,
      );
    if (!this.get({ deviceId: parent }).edge)
      throw invalidArgument(
        `${parent} cannot be a parent: it is no edge device (weir hub device create ${parent} --edge).`,
      );
  }

  /** After a change inside its transaction. Throws HUB_LIMIT_REACHED, which undoes it. */
  #checkRoom(gatewayId: string | undefined): void {
    if (gatewayId === undefined) return;
    const behind = this.#database.get<{ readonly count: number }>(
      'SELECT count(*) AS count FROM identity AS child JOIN identity AS own ON own.device = child.device WHERE child.parent = ?',
      gatewayId,
    );
    if ((behind?.count ?? 0) > scopeIdentitiesMax)
      throw limitReached(
        `Behind ${gatewayId} are ${scopeIdentitiesMax} devices and modules already. Put others behind another gateway.`,
        'TooManyDevices',
      );
  }

  #parentOf({ identity, parent }: IdentityRecord): string | undefined {
    return identity.moduleId === undefined ? parent : this.find({ deviceId: identity.deviceId })?.parent;
  }

  #insert(identity: Identity, settings: IdentitySettings): IdentityRecord {
    const { keys, authentication, thumbprints } = chosenCredentials(settings, { newKey: () => this.#newKey() });
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
      authentication,
      primary_thumbprint: thumbprints.primary ?? null,
      secondary_thumbprint: thumbprints.secondary ?? null,
      parent: settings.parent ?? null,
    };
    this.#database.run(
      `INSERT INTO identity (device, module, generation, etag, enabled, status_reason, primary_key, secondary_key, edge,
         managed_by, created_ms, authentication, primary_thumbprint, secondary_thumbprint, parent)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
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
      row.authentication,
      row.primary_thumbprint,
      row.secondary_thumbprint,
      row.parent,
    );
    this.#tellLifecycle('create', identity);
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

  #announceScope(gatewayId: string | undefined): void {
    if (gatewayId === undefined) return;
    for (const listener of this.#scopeChanged) listener(gatewayId);
  }

  #tellLifecycle(verb: 'create' | 'delete', identity: Identity): void {
    this.#notices?.tell('lifecycle', () => {
      const { generationId, etag: deviceEtag } = this.get(identity);
      const opType = `${verb}${identity.moduleId === undefined ? 'Device' : 'Module'}Identity`;
      return { identity, opType, body: twinJson(this.#twins.read(identity), { deviceEtag, generationId }) };
    });
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

function toRecord(row: IdentityRow): IdentityRecord {
  return {
    identity: row.module === '' ? { deviceId: row.device } : { deviceId: row.device, moduleId: row.module },
    generationId: row.generation,
    etag: row.etag,
    enabled: row.enabled !== 0,
    statusReason: row.status_reason ?? undefined,
    authentication: row.authentication as AuthenticationKind,
    keys: row.authentication === 'sas' ? { primaryKey: row.primary_key, secondaryKey: row.secondary_key } : noKeys,
    thumbprints: { primary: row.primary_thumbprint ?? undefined, secondary: row.secondary_thumbprint ?? undefined },
    edge: row.edge !== 0,
    parent: row.parent ?? undefined,
    managedBy: row.managed_by ?? undefined,
    createdMs: row.created_ms,
  };
}
