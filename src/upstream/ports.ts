// What the link needs from outside: a token to show, and the messages it is given to send.

import type { Identity } from '../model/address.ts';
import type { JsonObject, JsonValue } from '../model/json.ts';
import type { Message, StreamPosition } from '../model/message.ts';
import type { CallPatience } from '../protocol/iothub/topics.ts';

/** Signs `resource` until `expirySeconds` (Unix time) with the device's key: a SharedAccessSignature. */
export type TokenSigner = (resource: string, expirySeconds: number) => string;

/** A message and what the hub recognises its repetition by. */
export interface OutgoingMessage {
  readonly message: Message;
  readonly hop: StreamPosition;
}

export interface DesiredChange {
  readonly identity: Identity;
  readonly patch: JsonObject;
  readonly version: number;
}

export interface MethodCall {
  readonly identity: Identity;
  readonly name: string;
  readonly payload: JsonValue;
  /** How long to wait for the callee and for its answer; absent: the hub does not say. */
  readonly patience?: CallPatience | undefined;
}

export interface MethodAnswer {
  readonly status: number;
  readonly payload: JsonValue;
}

/** From the cloud to a device behind this gateway. */
export type DeviceboundMessage = Pick<Message, 'system' | 'properties' | 'body'>;

export interface LinkStatus {
  readonly state: 'disabled' | 'waiting' | 'connecting' | 'connected';
  /** Wall time of the last change of state, milliseconds since 1970 UTC. */
  readonly sinceMs: number;
  readonly lastError: string | undefined;
}
