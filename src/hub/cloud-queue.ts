// The cloud-to-device messages that wait: one queue a device, first come first served, on disk before they are accepted.
//
//   enqueue ──► waiting ──complete──► gone (Success)
//                 │  ▲
//                 │  └─ failed(): sent, not acknowledged ── too often ──► gone (DeliveryCountExceeded)
//                 ├── its time is over ──► gone (Expired)
//                 └── purge ──► gone (Purged)
//
// Owns table `cloud_message`. Every end is one transaction with its feedback, where the sender asked for it
// (positive: Success; negative: everything else; full: both).
//
// Time is over by the wall clock, as the sender meant it. While nobody vouches for that clock, a message's life is
// counted by the monotonic one, anew in each life of the hub: an order must not wait for ever, nor go too soon.
//
// Bounded per device in number and per message in bytes. Policy when full: the sender is refused.
// Who has a message under way is devicebound.ts; it says which ones must not expire meanwhile.

import {
  hubCloudDeliveriesMax,
  hubCloudExpireMax,
  hubCloudLifeMs,
  hubCloudLifeMsMax,
  hubCloudMessageBytesMax,
  hubCloudMessagesPerDeviceMax,
  propertyBagBytesMax,
} from '../limits.ts';
import { isValidId } from '../model/address.ts';
import type { Clock } from '../platform/clock.ts';
import type { Entropy } from '../platform/entropy.ts';
import { encodePropertyBag } from '../protocol/iothub/property-bag.ts';
import { type HubDatabase, textsColumn } from './database.ts';
import { messageQueueFull, messageRefused } from './errors.ts';
import type { Feedback, Outcome } from './feedback.ts';
import type { Registry } from './registry.ts';

export type AckKind = 'none' | 'positive' | 'negative' | 'full';

/** What a sender gives; what is absent is made or left out. */
export interface CloudMessageRequest {
  readonly body: Buffer;
  /** Application properties. */
  readonly properties: Readonly<Record<string, string>>;
  readonly messageId?: string | undefined;
  readonly correlationId?: string | undefined;
  readonly userId?: string | undefined;
  readonly contentType?: string | undefined;
  readonly contentEncoding?: string | undefined;
  readonly expiresMs?: number | undefined;
  readonly ack?: AckKind | undefined;
}

export interface CloudMessage {
  readonly sequence: number;
  readonly deviceId: string;
  readonly messageId: string;
  readonly enqueuedMs: number;
  readonly expiresMs: number;
  readonly deliveries: number;
  readonly ack: AckKind;
  /** As the device gets them. */
  readonly system: Readonly<Record<string, string>>;
  readonly properties: Readonly<Record<string, string>>;
  readonly body: Buffer;
}

interface CloudMessageRow {
  readonly sequence: number;
  readonly device: string;
  readonly enqueued_ms: number;
  readonly expires_ms: number;
  readonly deliveries: number;
  readonly ack: string;
  readonly message_id: string;
  readonly system: string;
  readonly properties: string;
  readonly body: Buffer;
}

export interface CloudQueuePorts {
  readonly database: HubDatabase;
  readonly registry: Pick<Registry, 'get' | 'find'>;
  readonly feedback: Feedback;
  readonly clock: Clock;
  readonly entropy: Entropy;
}

const ackProperty = 'iothub-ack';
const systemPrefix = '$.';
const textCharactersMax = 1024;

export class CloudQueue {
  readonly #ports: CloudQueuePorts;
  /** By sequence: the monotonic time at which it is over; of former lives' messages from the first look on. */
  readonly #deadlines = new Map<number, number>();
  #knowsFormer = false;

  constructor(ports: CloudQueuePorts) {
    this.#ports = ports;
  }

  /** Throws HUB_DEVICE_NOT_FOUND, HUB_MESSAGE_INVALID, HUB_MESSAGE_QUEUE_FULL. On disk when it returns. */
  enqueue(deviceId: string, request: CloudMessageRequest): CloudMessage {
    const { database, registry, clock, entropy } = this.#ports;
    registry.get({ deviceId });
    const nowMs = clock.wallMs();
    const message = checked(deviceId, { ...request, messageId: request.messageId ?? entropy.uuid() }, nowMs);
    const sequence = database.transaction(() => {
      if (this.count(deviceId) >= hubCloudMessagesPerDeviceMax)
        throw messageQueueFull(deviceId, hubCloudMessagesPerDeviceMax);
      database.run(
        `INSERT INTO cloud_message (device, enqueued_ms, expires_ms, deliveries, ack, message_id, system, properties, body)
         VALUES (?, ?, ?, 0, ?, ?, ?, ?, ?)`,
        deviceId,
        nowMs,
        message.expiresMs,
        message.ack,
        message.messageId,
        JSON.stringify(message.system),
        JSON.stringify(message.properties),
        message.body,
      );
      return database.get<{ readonly sequence: number }>('SELECT max(sequence) AS sequence FROM cloud_message')
        ?.sequence;
    });
    const queued = { ...message, sequence: sequence ?? 0 };
    this.#deadlines.set(queued.sequence, clock.monotonicMs() + queued.expiresMs - nowMs);
    return queued;
  }

  /** The oldest for the device; undefined when none waits. */
  next(deviceId: string): CloudMessage | undefined {
    const row = this.#ports.database.get<CloudMessageRow>(
      'SELECT * FROM cloud_message WHERE device = ? ORDER BY sequence LIMIT 1',
      deviceId,
    );
    return row === undefined ? undefined : toMessage(row);
  }

  count(deviceId: string): number {
    const row = this.#ports.database.get<{ readonly count: number }>(
      'SELECT count(*) AS count FROM cloud_message WHERE device = ?',
      deviceId,
    );
    return row?.count ?? 0;
  }

  /** The device acknowledged it. */
  complete(message: CloudMessage): void {
    this.#end([message], 'Success');
  }

  /** It was sent and not acknowledged; the last time is one time too many. */
  failed(message: CloudMessage): void {
    if (message.deliveries + 1 >= hubCloudDeliveriesMax) {
      this.#end([message], 'DeliveryCountExceeded');
      return;
    }
    this.#ports.database.run(
      'UPDATE cloud_message SET deliveries = deliveries + 1 WHERE sequence = ?',
      message.sequence,
    );
  }

  /** Ends those whose time is over, but for `underWay` (sequences), a bounded number; how many. */
  expire(underWay: ReadonlySet<number>): number {
    const { database, clock } = this.#ports;
    const trusted = clock.wallTrusted();
    if (trusted) this.#forgetDeadlines();
    const rows = trusted
      ? database.all<CloudMessageRow>(
          'SELECT * FROM cloud_message WHERE expires_ms <= ? ORDER BY expires_ms LIMIT ?',
          clock.wallMs(),
          hubCloudExpireMax,
        )
      : this.#outlived();
    const expired = rows.filter(({ sequence }) => !underWay.has(sequence)).map(toMessage);
    this.#end(expired, 'Expired');
    return expired.length;
  }

  /** Wall time at which the next one is over; undefined when none waits. */
  nextExpiryMs(): number | undefined {
    const row = this.#ports.database.get<{ readonly at: number | null }>(
      'SELECT min(expires_ms) AS at FROM cloud_message',
    );
    return row?.at ?? undefined;
  }

  /** Empties the device's queue; how many were in it. Throws HUB_DEVICE_NOT_FOUND. */
  purge(deviceId: string): number {
    const { database, registry } = this.#ports;
    registry.get({ deviceId });
    const rows = database.all<CloudMessageRow>(
      'SELECT * FROM cloud_message WHERE device = ? ORDER BY sequence',
      deviceId,
    );
    this.#end(rows.map(toMessage), 'Purged');
    return rows.length;
  }

  #outlived(): readonly CloudMessageRow[] {
    const { database, clock } = this.#ports;
    const nowMs = clock.monotonicMs();
    if (!this.#knowsFormer) {
      this.#knowsFormer = true;
      const former = 'SELECT sequence, enqueued_ms, expires_ms FROM cloud_message';
      for (const { sequence, enqueued_ms: from, expires_ms: to } of database.all<CloudMessageRow>(former))
        if (!this.#deadlines.has(sequence)) this.#deadlines.set(sequence, nowMs + to - from);
    }
    const over = [...this.#deadlines].filter(([, deadlineMs]) => deadlineMs <= nowMs).slice(0, hubCloudExpireMax);
    const rows: CloudMessageRow[] = [];
    for (const [sequence] of over) {
      const row = database.get<CloudMessageRow>('SELECT * FROM cloud_message WHERE sequence = ?', sequence);
      // It went with its device.
      if (row === undefined) this.#deadlines.delete(sequence);
      else rows.push(row);
    }
    return rows;
  }

  /** Whoever vouches for the clock may stop doing so: then all are counted anew. */
  #forgetDeadlines(): void {
    this.#deadlines.clear();
    this.#knowsFormer = false;
  }

  #end(messages: readonly CloudMessage[], outcome: Outcome): void {
    const { database, registry, feedback, clock } = this.#ports;
    if (messages.length === 0) return;
    const atMs = clock.wallMs();
    let told = false;
    database.transaction(() => {
      for (const { sequence, deviceId, messageId, ack } of messages) {
        // Purged or deleted meanwhile: it has had its end.
        if (database.run('DELETE FROM cloud_message WHERE sequence = ?', sequence) === 0) continue;
        if (ack !== 'full' && ack !== (outcome === 'Success' ? 'positive' : 'negative')) continue;
        const generationId = registry.find({ deviceId })?.generationId ?? '';
        feedback.add({ deviceId, generationId, messageId, outcome, atMs });
        told = true;
      }
    });
    for (const { sequence } of messages) this.#deadlines.delete(sequence);
    if (told) feedback.committed();
  }
}

function checked(
  deviceId: string,
  request: CloudMessageRequest & { readonly messageId: string },
  nowMs: number,
): Omit<CloudMessage, 'sequence'> {
  const { body, messageId, correlationId, userId, contentType, contentEncoding, ack = 'none' } = request;
  if (!isValidId(messageId))
    throw messageRefused(
      "The message id has 1 to 128 characters out of letters, digits and - : . + % _ # * ? ! ( ) , = @ ; $ '.",
    );
  for (const text of [correlationId, userId, contentType, contentEncoding]) {
    if (text !== undefined && text.length > textCharactersMax)
      throw messageRefused(`A system property has ${text.length} characters, ${textCharactersMax} are allowed.`);
  }
  const wrong = Object.keys(request.properties).find(
    (name) => name === '' || name.startsWith(systemPrefix) || name === ackProperty,
  );
  if (wrong !== undefined)
    throw messageRefused(
      `'${wrong}' is no name for a property: names that are empty or begin with $. are the system's.`,
    );
  const expiresMs = request.expiresMs ?? nowMs + hubCloudLifeMs;
  if (!(expiresMs > nowMs && expiresMs <= nowMs + hubCloudLifeMsMax))
    throw messageRefused(
      'The expiry must lie in the future, at most two days from now. Check the clock of the sender.',
      'InvalidMessageExpiryTime',
    );
  const system = withoutAbsent({
    messageId,
    to: `/devices/${encodeURIComponent(deviceId)}/messages/devicebound`,
    absoluteExpiryTime: new Date(expiresMs).toISOString(),
    correlationId,
    userId,
    contentType,
    contentEncoding,
  });
  const properties = { [ackProperty]: ack, ...request.properties };
  const bag = encodePropertyBag({ system, properties });
  const bytes = body.length + Buffer.byteLength(bag);
  if (bytes > hubCloudMessageBytesMax || bag.length > propertyBagBytesMax)
    throw messageRefused(
      `The message with its properties has ${bytes} bytes, ${hubCloudMessageBytesMax} are allowed.`,
      'MessageTooLarge',
    );
  return { deviceId, messageId, enqueuedMs: nowMs, expiresMs, deliveries: 0, ack, system, properties, body };
}

function withoutAbsent(texts: Readonly<Record<string, string | undefined>>): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(texts).filter((entry): entry is [string, string] => entry[1] !== undefined));
}

function toMessage(row: CloudMessageRow): CloudMessage {
  return {
    sequence: row.sequence,
    deviceId: row.device,
    messageId: row.message_id,
    enqueuedMs: row.enqueued_ms,
    expiresMs: row.expires_ms,
    deliveries: row.deliveries,
    ack: row.ack as AckKind,
    system: textsColumn(row.system),
    properties: textsColumn(row.properties),
    body: row.body,
  };
}
