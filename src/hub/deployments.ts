// Applying a manifest to one device: Azure's applyConfigurationContent.
//
// All or nothing, in one transaction: the manifest is checked whole; then module identities are made to be
// exactly those it names (the system modules stay), and the desired properties of each named module replaced.
// What is equal already stays as it is, version included. Changes are announced after the commit.

import { edgeAgentId, edgeHubId } from '../model/address.ts';
import type { JsonValue } from '../model/json.ts';
import type { HubDatabase } from './database.ts';
import { HubError, manifestRefused } from './errors.ts';
import { type Manifest, parseManifest } from './manifest/manifest.ts';
import type { DesiredChange } from './ports.ts';
import type { Registry } from './registry.ts';
import type { Twins } from './twins.ts';

export interface DeploymentOutcome {
  readonly deviceId: string;
  readonly modulesCreated: readonly string[];
  readonly modulesDeleted: readonly string[];
  /** Twins whose desired properties changed, with their new version. */
  readonly twinsChanged: readonly { readonly moduleId: string; readonly version: number }[];
  readonly twinsUnchanged: readonly string[];
}

export class Deployments {
  readonly #database: HubDatabase;
  readonly #registry: Registry;
  readonly #twins: Twins;

  constructor(ports: { readonly database: HubDatabase; readonly registry: Registry; readonly twins: Twins }) {
    this.#database = ports.database;
    this.#registry = ports.registry;
    this.#twins = ports.twins;
  }

  /** Throws HUB_DEVICE_NOT_FOUND, HUB_NOT_EDGE_DEVICE, HUB_MANIFEST_INVALID (with all problems); then nothing has changed. */
  apply(deviceId: string, document: JsonValue): DeploymentOutcome {
    const device = this.#registry.get({ deviceId });
    if (!device.edge) throw notEdge(deviceId);
    const parsed = parseManifest(document);
    if (!parsed.ok) throw manifestRefused(parsed.problems, parsed.total);
    const { created, doomed } = this.#difference(deviceId, parsed.manifest);
    const changes = this.#database.transaction(() => {
      // Deleted first: a device at its limit of modules may exchange one for another.
      for (const moduleId of doomed) this.#registry.delete({ deviceId, moduleId });
      for (const moduleId of created) this.#registry.createModule(deviceId, moduleId, { managedBy: 'iotEdge' });
      return this.#replaceAll(deviceId, parsed.manifest);
    });
    this.#twins.announce(changes);
    const changed = new Set(changes.map((change) => change.identity.moduleId));
    return {
      deviceId,
      modulesCreated: created,
      modulesDeleted: doomed,
      twinsChanged: changes.map(({ identity, version }) => ({ moduleId: identity.moduleId ?? '', version })),
      twinsUnchanged: [...parsed.manifest.desired.keys()].filter((moduleId) => !changed.has(moduleId)),
    };
  }

  #difference(
    deviceId: string,
    manifest: Manifest,
  ): { readonly created: readonly string[]; readonly doomed: readonly string[] } {
    const present = new Set(this.#registry.modules(deviceId).map((module) => module.identity.moduleId ?? ''));
    const kept = new Set([...manifest.moduleIds, edgeAgentId, edgeHubId]);
    return {
      created: [...kept].filter((moduleId) => !present.has(moduleId)),
      doomed: [...present].filter((moduleId) => !kept.has(moduleId)),
    };
  }

  /** Changes in the order modules first, then $edgeHub, then $edgeAgent: a module finds its settings when it is started. */
  #replaceAll(deviceId: string, manifest: Manifest): readonly DesiredChange[] {
    const system = [edgeHubId, edgeAgentId];
    const order = [...[...manifest.desired.keys()].filter((moduleId) => !system.includes(moduleId)), ...system];
    const changes: DesiredChange[] = [];
    for (const moduleId of order) {
      const change = this.#twins.replaceDesired({ deviceId, moduleId }, manifest.desired.get(moduleId) ?? {});
      if (change !== undefined) changes.push(change);
    }
    return changes;
  }
}

function notEdge(deviceId: string): HubError {
  return new HubError({
    code: 'HUB_NOT_EDGE_DEVICE',
    message: `Device ${deviceId} is not an edge device and cannot run modules. Create it with: weir hub device create ${deviceId} --edge`,
    status: 400,
    azureCode: 'InvalidOperation',
    fields: { device: deviceId },
  });
}
