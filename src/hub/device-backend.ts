// What devices reach through the broker: telemetry goes to ingest, twins are read and reported.
//
// The device protocol's front (broker/iothub) calls this; it has checked that the speaker is the identity it
// speaks for, or asked mayActFor. Only `$edgeHub` speaks for others: for every identity of its own device.

import { edgeHubId, type Identity } from '../model/address.ts';
import type { JsonObject } from '../model/json.ts';
import type { Message } from '../model/message.ts';
import type { Twin } from '../model/twin.ts';
import type { Ingest } from './ingest.ts';
import type { Twins } from './twins.ts';

export class HubDeviceBackend {
  readonly #ingest: Ingest;
  readonly #twins: Twins;

  constructor(ports: { readonly ingest: Ingest; readonly twins: Twins }) {
    this.#ingest = ports.ingest;
    this.#twins = ports.twins;
  }

  /** Resolves after the message is in the event log, or an earlier copy of it was. */
  telemetry(message: Message): Promise<void> {
    return this.#ingest.accept(message);
  }

  async twin(identity: Identity): Promise<Twin> {
    return this.#twins.read(identity).twin;
  }

  /** The new reported version. Throws a HubError whose `fields.status` is the answer's status. */
  async patchReported(identity: Identity, patch: JsonObject): Promise<number> {
    return this.#twins.patchReported(identity, patch);
  }

  mayActFor(speaker: Identity, owner: Identity): boolean {
    return speaker.moduleId === edgeHubId && speaker.deviceId === owner.deviceId;
  }

  gatewayOf({ deviceId }: Identity): Identity | undefined {
    return { deviceId, moduleId: edgeHubId };
  }
}
