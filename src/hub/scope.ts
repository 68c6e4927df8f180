// The scope of a gateway: the devices behind it and their modules, with the keys and thumbprints by which the gateway
// knows them while this hub is away.
//
//   page   { version, devices: [Device …], modules: [Module …], continuationLink? }     the members of Azure's
//          devicesAndModulesInDeviceScope: deviceId, generationId, status, capabilities, deviceScope, parentScopes,
//          authentication; modules add moduleId and managedBy
//
// A page holds at most `scopePageIdentitiesMax` identities, by device and module, a device before its modules;
// `continuationLink` is the last of them, to be sent for the next page.
// `version` is a digest over all of the scope: pages of different versions do not belong together. A gateway that
// reads while something changes sees another version on the next page, and begins again.
//
// Only the gateway itself gets its scope; the device protocol's front sees to that.

import { scopePageIdentitiesMax } from '../limits.ts';
import { type Identity, identityKey, parseIdentityKey } from '../model/address.ts';
import type { JsonObject } from '../model/json.ts';
import type { HubDatabase } from './database.ts';
import { invalidArgument } from './errors.ts';
import type { IdentityRecord, Registry } from './registry.ts';
import { authenticationJson, type GatewayLife, scopeText } from './scope-text.ts';

export interface ScopePorts {
  readonly database: HubDatabase;
  readonly registry: Pick<Registry, 'find' | 'get'>;
  /** A short digest of a text. */
  readonly digest: (text: string) => string;
}

interface MemberRow {
  readonly device: string;
  readonly module: string;
  readonly generation: string;
  readonly etag: string;
}

export class Scope {
  readonly #ports: ScopePorts;

  constructor(ports: ScopePorts) {
    this.#ports = ports;
  }

  /** Changes with every change of an identity in the scope. */
  version(gatewayId: string): string {
    const rows = this.#ports.database.all<MemberRow>(
      `SELECT own.device, own.module, own.generation, own.etag
       FROM identity AS child JOIN identity AS own ON own.device = child.device
       WHERE child.parent = ? ORDER BY own.device, own.module`,
      gatewayId,
    );
    const lines = rows.map(({ device, module, generation, etag }) => `${device}/${module} ${generation} ${etag}\n`);
    return this.#ports.digest(lines.join(''));
  }

  /** One page, as JSON. `after`: the continuation link of the page before. Throws HUB_ARGUMENT_INVALID, HUB_DEVICE_NOT_FOUND. */
  page(gatewayId: string, after?: string): JsonObject {
    const gateway = this.#ports.registry.get({ deviceId: gatewayId });
    const life = { deviceId: gatewayId, generationId: gateway.generationId };
    const found = this.#members(gatewayId, after);
    const records = found.slice(0, scopePageIdentitiesMax).flatMap((row) => this.#ports.registry.find(row) ?? []);
    const last = records.at(-1);
    return {
      version: this.version(gatewayId),
      devices: records
        .filter(({ identity }) => identity.moduleId === undefined)
        .map((record) => deviceMember(record, life)),
      modules: records.filter(({ identity }) => identity.moduleId !== undefined).map(moduleMember),
      ...(found.length > scopePageIdentitiesMax && last !== undefined
        ? { continuationLink: identityKey(last.identity) }
        : {}),
    };
  }

  /** One more than a page holds, when there are. */
  #members(gatewayId: string, after: string | undefined): readonly Identity[] {
    const from = after === undefined ? { deviceId: '' } : parseIdentityKey(after);
    if (from === undefined) throw invalidArgument(`${JSON.stringify(after)} continues nothing. Begin without it.`);
    return this.#ports.database
      .all<Pick<MemberRow, 'device' | 'module'>>(
        `SELECT own.device, own.module FROM identity AS child JOIN identity AS own ON own.device = child.device
         WHERE child.parent = ? AND (own.device, own.module) > (?, ?) ORDER BY own.device, own.module LIMIT ?`,
        gatewayId,
        from.deviceId,
        from.moduleId ?? '',
        scopePageIdentitiesMax + 1,
      )
      .map(({ device, module }) => (module === '' ? { deviceId: device } : { deviceId: device, moduleId: module }));
  }
}

function deviceMember(record: IdentityRecord, gateway: GatewayLife): JsonObject {
  return {
    deviceId: record.identity.deviceId,
    generationId: record.generationId,
    status: record.enabled ? 'enabled' : 'disabled',
    capabilities: { iotEdge: false },
    deviceScope: scopeText(gateway),
    parentScopes: [scopeText(gateway)],
    authentication: authenticationJson(record),
  };
}

function moduleMember(record: IdentityRecord): JsonObject {
  return {
    deviceId: record.identity.deviceId,
    moduleId: record.identity.moduleId ?? '',
    generationId: record.generationId,
    status: record.enabled ? 'enabled' : 'disabled',
    managedBy: record.managedBy ?? '',
    authentication: authenticationJson(record),
  };
}
