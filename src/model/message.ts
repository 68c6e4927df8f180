// A message on its way from a module or device to the cloud or to a module's input.
//
// Owns the shape that every stage shares: broker (accepts it), router (decides), store (keeps it), upstream
// (sends it), hub (logs it). Immutable from birth.
//
// `hop` is the idempotence key of the last hop. Every sender that can repeat itself names its stream (a name
// that no other life of any sender uses) and counts 1, 2, 3 … in it. The receiver keeps the highest sequence
// per stream in the same transaction as the message and ignores what is not higher, so a repetition after a
// lost acknowledgement never becomes a second message. Senders that give no hop get MQTT's at-least-once.

import type { Identity } from './address.ts';

export interface StreamPosition {
  /** Unique to one life of one sender's outgoing queue, ≤ 64 characters of [A-Za-z0-9._-]. */
  readonly stream: string;
  /** 1, 2, 3 … without holes as sent; the receiver accepts only higher than the last. */
  readonly sequence: number;
}

export interface Message {
  readonly sender: Identity;
  /** Output name of a module message; undefined for a device's or a module's unnamed telemetry. */
  readonly output?: string | undefined;
  /** System properties by IoT Hub's names: messageId, correlationId, userId, to, contentType, contentEncoding, absoluteExpiryTime, messageSchema, creationTime … */
  readonly system: Readonly<Record<string, string>>;
  /** Application properties. */
  readonly properties: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  /** Wall time at which this node accepted the message, milliseconds since 1970 UTC. */
  readonly enqueuedMs: number;
  readonly hop?: StreamPosition | undefined;
}

/** The message's own source path for routes: `/messages/`, `/messages/modules/<m>/`, `/messages/modules/<m>/outputs/<o>/`. */
export function messageSource(message: Pick<Message, 'sender' | 'output'>): string {
  if (message.sender.moduleId === undefined) return '/messages/';
  if (message.output === undefined) return `/messages/modules/${message.sender.moduleId}/`;
  return `/messages/modules/${message.sender.moduleId}/outputs/${message.output}/`;
}
