// A message on its way from a module or device to the cloud or to a module's input.
//
// Owns the shape that every stage shares: broker (accepts it), router (decides), store (keeps it), upstream
// (sends it), hub (logs it). Immutable from birth.
//
// `hop` is the idempotence key of the last hop. Every sender that can repeat itself names its stream (a name
// that no other life of any sender uses) and counts 1, 2, 3 … in it. The receiver keeps the highest sequence
// per stream in the same transaction as the message and ignores what is not higher, so a repetition after a
// lost acknowledgement never becomes a second message. Senders that give no hop get MQTT's at-least-once.

import { type Identity, identityKey } from './address.ts';

export interface StreamPosition {
  /** Unique to one life of one sender's outgoing queue, ≤ 64 characters of [A-Za-z0-9._-]. */
  readonly stream: string;
  /** 1, 2, 3 … without holes as sent; the receiver accepts only higher than the last. */
  readonly sequence: number;
}

/** What a message tells of. Only routes look at it: it decides the message's source and is not stored. */
export type MessageKind = 'telemetry' | 'twinChange' | 'desiredChange' | 'deviceLifecycle' | 'deviceConnectionState';

export interface Message {
  /** Undefined: telemetry. */
  readonly kind?: MessageKind | undefined;
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
  /** Id of the gateway's device that sent it for its sender; absent: the sender's own device did. `hop` is of its stream. */
  readonly carrier?: string | undefined;
}

/** Whose message it was that a gateway sent for a device which is not behind it. */
const takenOverProperty = 'weir-sender';

/**
 * The message as the gateway's own. A gateway may hold messages of a device that was behind it and is so no more: they were
 * acknowledged to the device, so they must not be lost, nor block what waits behind them; and nobody speaks in the name
 * of a device that is not behind him.
 */
export function takenOver(message: Message, gateway: Identity): Message {
  const properties = { ...message.properties, [takenOverProperty]: identityKey(message.sender) };
  return { ...message, sender: gateway, properties };
}

/**
 * The message's own source path for routes: `/messages/`, `/messages/modules/<m>/`, `/messages/modules/<m>/outputs/<o>/`;
 * for what the gateway tells by itself `/twinChangeNotifications/` (of reported properties, as IoT Edge),
 * `/desiredChangeNotifications/`, `/deviceLifecycle/`, `/deviceConnectionState/`.
 */
export function messageSource(message: Pick<Message, 'kind' | 'sender' | 'output'>): string {
  if (message.kind !== undefined && message.kind !== 'telemetry') return eventSources[message.kind];
  if (message.sender.moduleId === undefined) return '/messages/';
  if (message.output === undefined) return `/messages/modules/${message.sender.moduleId}/`;
  return `/messages/modules/${message.sender.moduleId}/outputs/${message.output}/`;
}

/** Sources of the messages that are no telemetry. */
export const eventSources = {
  twinChange: '/twinChangeNotifications/',
  desiredChange: '/desiredChangeNotifications/',
  deviceLifecycle: '/deviceLifecycle/',
  deviceConnectionState: '/deviceConnectionState/',
} as const satisfies Record<Exclude<MessageKind, 'telemetry'>, string>;

/**
 * True for what Azure's gateways never tell: a route from everything (`FROM /*`) that was written for them must not begin
 * to carry it.
 */
export function isTakenByNameOnly(source: string): boolean {
  return source !== eventSources.twinChange && !source.startsWith('/messages/');
}
