// A device backend in memory: twins merge as real ones do, telemetry is kept, failures and delays are scripted.

import type { DeviceBackend } from '../../src/broker/iothub/ports.ts';
import { edgeHubId, type Identity, identityKey } from '../../src/model/address.ts';
import { WeirError } from '../../src/model/errors.ts';
import type { JsonObject } from '../../src/model/json.ts';
import type { Message } from '../../src/model/message.ts';
import { emptyTwin, mergePatch, type Twin } from '../../src/model/twin.ts';

export class FakeDeviceBackend implements DeviceBackend {
  readonly messages: Message[] = [];
  readonly twins = new Map<string, Twin>();
  readonly presence: string[] = [];
  /** Awaited before a message counts as stored; may reject. */
  commit: () => Promise<void> = () => Promise.resolve();
  /** Awaited before a twin is answered; may reject. */
  lookup: () => Promise<void> = () => Promise.resolve();
  gatewaysSpeak = false;

  async telemetry(message: Message): Promise<void> {
    await this.commit();
    this.messages.push(message);
  }

  telemetryFrame?: (messages: readonly Message[]) => Promise<void> = async (messages) => {
    await this.commit();
    this.messages.push(...messages);
  };

  async twin(identity: Identity): Promise<Twin> {
    await this.lookup();
    return this.twins.get(identityKey(identity)) ?? emptyTwin;
  }

  async patchReported(identity: Identity, patch: JsonObject): Promise<number> {
    const before = await this.twin(identity);
    const reported = {
      properties: mergePatch(before.reported.properties, patch),
      version: before.reported.version + 1,
    };
    this.twins.set(identityKey(identity), { ...before, reported });
    return reported.version;
  }

  connected(identity: Identity): void {
    this.presence.push(`+${identityKey(identity)}`);
  }

  disconnected(identity: Identity): void {
    this.presence.push(`-${identityKey(identity)}`);
  }

  /** Who has a parent: identity's device → the gateway's device. */
  readonly parents = new Map<string, string>();

  gatewayOf({ deviceId }: Identity): Identity | undefined {
    return { deviceId: this.parents.get(deviceId) ?? deviceId, moduleId: edgeHubId };
  }

  mayActFor(speaker: Identity, owner: Identity): boolean {
    if (!this.gatewaysSpeak || speaker.moduleId !== edgeHubId) return false;
    if (this.parents.get(owner.deviceId) === speaker.deviceId) return true;
    return speaker.deviceId === owner.deviceId && owner.moduleId !== undefined;
  }

  /** Whether gateways answer for devices that are not behind them. */
  gatewaysTakeOver = false;

  takesOver(speaker: Identity): boolean {
    return this.gatewaysTakeOver && speaker.moduleId === edgeHubId;
  }

  scope: JsonObject = { version: 'v1', devices: [], modules: [] };

  scopeVersion(speaker: Identity): string | undefined {
    return speaker.moduleId === edgeHubId ? String(this.scope['version']) : undefined;
  }

  scopePage(_speaker: Identity, after: string | undefined): JsonObject {
    if (after === 'nonsense')
      throw new WeirError({ code: 'HUB_ARGUMENT_INVALID', message: 'no', fields: { status: 400 } });
    return { ...this.scope, ...(after === undefined ? {} : { after }) };
  }
}
