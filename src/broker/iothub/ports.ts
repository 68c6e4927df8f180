// What the IoT Hub front needs from outside: a place for telemetry and twins, and the say about who acts for whom.
//
// The gateway answers from router/ and twin/, the hub from its event log and registry.

import type { Identity } from '../../model/address.ts';
import type { JsonObject } from '../../model/json.ts';
import type { Message } from '../../model/message.ts';
import type { Twin } from '../../model/twin.ts';

export interface DeviceBackend {
  /** Resolves after the message is on stable storage; the PUBACK depends on it. */
  telemetry(message: Message): Promise<void>;
  /** The same for several, in one commit; when it rejects, none of them was taken. Absent: frames are not taken. */
  telemetryFrame?(messages: readonly Message[]): Promise<void>;
  twin(identity: Identity): Promise<Twin>;
  /** Resolves with the new reported version. Throws WeirError with fields.status 400|404|413… for a bad patch. */
  patchReported(identity: Identity, patch: JsonObject): Promise<number>;
  connected?(identity: Identity): void;
  disconnected?(identity: Identity): void;
  /** May `speaker` act for `owner`? (gateway: never; hub: `$edgeHub` for modules of its device) */
  mayActFor(speaker: Identity, owner: Identity): boolean;
  /**
   * The `$edgeHub` that takes what is meant for `owner` while `owner` itself is not here: of its own device for modules,
   * of the parent for a leaf device and its modules. Absent, or undefined: there is none. mayActFor still decides.
   */
  gatewayOf?(owner: Identity): Identity | undefined;
  /**
   * Whether `speaker` answers for messages of others that it may not act for (any more): they are taken as its own,
   * with the application property `weir-sender`, where a refusal would block what is behind them for ever.
   */
  takesOver?(speaker: Identity): boolean;
  /** The state of what `speaker` is told of the devices behind it; undefined: it is told nothing. */
  scopeVersion?(speaker: Identity): string | undefined;
  /** One page of it. Throws WeirError with fields.status. */
  scopePage?(speaker: Identity, after: string | undefined): JsonObject;
}
