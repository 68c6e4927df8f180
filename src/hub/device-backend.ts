// What devices reach through the broker: telemetry goes to ingest, twins are read and reported.
//
// The device protocol's front (broker/iothub) calls this; it has checked that the speaker is the identity it
// speaks for, or asked mayActFor. Only `$edgeHub` speaks for others: for every identity of its own device, and for the
// devices that have its device as their parent, with their modules.

import { edgeHubId, type Identity } from '../model/address.ts';
import type { JsonObject } from '../model/json.ts';
import type { Message } from '../model/message.ts';
import type { Twin } from '../model/twin.ts';
import type { HubDatabase } from './database.ts';
import type { Ingest } from './ingest.ts';
import type { Notices } from './notices.ts';
import type { Registry } from './registry.ts';
import { Scope } from './scope.ts';
import type { Twins } from './twins.ts';

export class HubDeviceBackend {
  readonly #ingest: Ingest;
  readonly #twins: Twins;
  readonly #notices: Notices | undefined;
  readonly #registry: Registry;
  readonly #scope: Scope;

  constructor(ports: {
    readonly ingest: Ingest;
    readonly twins: Twins;
    readonly registry: Registry;
    readonly database: HubDatabase;
    readonly eventLog?: { readonly notices: Notices } | undefined;
    /** A short digest of a text. */
    readonly digest: (text: string) => string;
  }) {
    this.#ingest = ports.ingest;
    this.#twins = ports.twins;
    this.#notices = ports.eventLog?.notices;
    this.#registry = ports.registry;
    this.#scope = new Scope(ports);
  }

  /** Resolves after the message is in the event log, or an earlier copy of it was. */
  telemetry(message: Message): Promise<void> {
    return this.#ingest.accept(message);
  }

  /** The same for several, all of them in one commit or none. */
  telemetryFrame(messages: readonly Message[]): Promise<void> {
    return this.#ingest.acceptAll(messages);
  }

  async twin(identity: Identity): Promise<Twin> {
    return this.#twins.read(identity).twin;
  }

  /** The new reported version. Throws a HubError whose `fields.status` is the answer's status. */
  async patchReported(identity: Identity, patch: JsonObject): Promise<number> {
    return this.#twins.patchReported(identity, patch);
  }

  connected(identity: Identity): void {
    this.#notices?.connection('deviceConnected', identity);
  }

  disconnected(identity: Identity): void {
    this.#notices?.connection('deviceDisconnected', identity);
  }

  mayActFor(speaker: Identity, owner: Identity): boolean {
    if (speaker.moduleId !== edgeHubId) return false;
    return speaker.deviceId === owner.deviceId || this.#registry.isBehind(speaker.deviceId, owner);
  }

  gatewayOf({ deviceId }: Identity): Identity | undefined {
    const parent = this.#registry.find({ deviceId })?.parent;
    return { deviceId: parent ?? deviceId, moduleId: edgeHubId };
  }

  /**
   * A gateway may hold messages of a device that was behind it and is so no more: they were acknowledged to the device
   * and must not be lost, nor block what is behind them. They are the gateway's own then.
   */
  takesOver(speaker: Identity): boolean {
    return speaker.moduleId === edgeHubId;
  }

  scopeVersion(speaker: Identity): string | undefined {
    return speaker.moduleId === edgeHubId ? this.#scope.version(speaker.deviceId) : undefined;
  }

  /** Throws HUB_ARGUMENT_INVALID. */
  scopePage(speaker: Identity, after: string | undefined): JsonObject {
    return this.#scope.page(speaker.deviceId, after);
  }
}
