// Sending cloud-to-device messages: whoever listens gets the oldest one that waits for it, then the next.
//
//   send() ─► CloudQueue ─► [device listens?] ─► post.deliver() ─┬─ acknowledged ─► complete, next one
//                 ▲                                              └─ not ─► it waits for the device's next coming
//                 └────────────────────────────────────────────────────────┘
//
// One message a device is under way: order is kept, and a message that nobody acknowledged is the first one again.
// It counts as a delivery only when the device may have seen it; a message that breaks its device ten times is given up.
// Those that are under way do not expire. What was acknowledged and could not be deleted (a full disk) comes again:
// at least once is the promise.

import { hubCloudRetryMs } from '../limits.ts';
import type { Identity } from '../model/address.ts';
import { errorCode, errorMessage } from '../model/errors.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { Log } from '../platform/log.ts';
import type { Counter, Metrics } from '../platform/metrics.ts';
import { type CloudMessage, type CloudMessageRequest, CloudQueue } from './cloud-queue.ts';
import type { HubDatabase } from './database.ts';
import { Feedback } from './feedback.ts';
import type { Post } from './ports.ts';
import type { Registry } from './registry.ts';

export interface DeviceboundPorts {
  readonly database: HubDatabase;
  readonly registry: Pick<Registry, 'get' | 'find'>;
  readonly post: Post;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** The wall clock may be set meanwhile, so no wait for it is longer. */
const expiryLookMs = 60_000;
/** The device never saw the message. */
const unseen = new Set(['IOTHUB_NOT_LISTENING', 'IOTHUB_BUSY']);

export class Devicebound {
  /** What became of the messages. */
  readonly feedback: Feedback;
  readonly #ports: DeviceboundPorts;
  readonly #queue: CloudQueue;
  readonly #delivered: Counter;
  /** By device: the sequence of its message under way. */
  readonly #underWay = new Map<string, number>();
  readonly #retries = new Map<string, Timer>();
  #expiryTimer: Timer | undefined;
  #closed = false;

  constructor(ports: DeviceboundPorts) {
    this.#ports = ports;
    this.feedback = new Feedback(ports);
    this.#queue = new CloudQueue({ ...ports, feedback: this.feedback });
    this.#delivered = ports.metrics.counter('weir_hub_cloud_messages_delivered');
  }

  start(): void {
    this.#lookAtExpiry();
  }

  /** Nothing more is sent; what is under way ends with the broker. */
  close(): void {
    this.#closed = true;
    this.#expiryTimer?.cancel();
    for (const timer of this.#retries.values()) timer.cancel();
    this.#retries.clear();
  }

  /** Throws what CloudQueue.enqueue() does. */
  send(deviceId: string, request: CloudMessageRequest): CloudMessage {
    const message = this.#queue.enqueue(deviceId, request);
    this.#lookAtExpiry();
    this.look({ deviceId });
    return message;
  }

  purge(deviceId: string): number {
    return this.#queue.purge(deviceId);
  }

  waiting(deviceId: string): number {
    return this.#queue.count(deviceId);
  }

  /** The device may have begun to listen. */
  look({ deviceId }: Identity): void {
    const { post, log } = this.#ports;
    const queue = this.#queue;
    if (this.#closed || this.#underWay.has(deviceId) || !post.isListening({ deviceId })) return;
    this.#retries.get(deviceId)?.cancel();
    this.#retries.delete(deviceId);
    try {
      queue.expire(new Set(this.#underWay.values()));
      const message = queue.next(deviceId);
      if (message === undefined) return;
      this.#underWay.set(deviceId, message.sequence);
      void this.#deliver(message);
    } catch (error) {
      log.error('cloud-to-device messages cannot be read', { device: deviceId, detail: errorMessage(error) });
      this.#retryLater(deviceId);
    }
  }

  async #deliver(message: CloudMessage): Promise<void> {
    const { deviceId } = message;
    const { post } = this.#ports;
    let failure: unknown;
    try {
      await post.deliver({ deviceId }, message);
    } catch (error) {
      failure = error ?? 'unknown';
    }
    const settled = this.#settle(message, failure);
    this.#underWay.delete(deviceId);
    if (settled && failure === undefined) this.look({ deviceId });
    else this.#retryLater(deviceId);
  }

  /** False when the disk did not take it. */
  #settle(message: CloudMessage, failure: unknown): boolean {
    const { log, metrics } = this.#ports;
    const queue = this.#queue;
    const { deviceId, messageId } = message;
    try {
      if (failure === undefined) {
        queue.complete(message);
        this.#delivered.add();
      } else {
        const code = errorCode(failure);
        metrics.counter('weir_hub_cloud_messages_not_taken', { reason: code }).add();
        log.debug('a cloud-to-device message was not taken', { device: deviceId, messageId, reason: code });
        // While the hub ends, every connection does.
        if (!unseen.has(code) && !this.#closed) queue.failed(message);
      }
      return true;
    } catch (error) {
      log.error('what became of a cloud-to-device message cannot be written down: it is sent again', {
        device: deviceId,
        messageId,
        detail: errorMessage(error),
      });
      return false;
    }
  }

  /** A device that is away is looked at when it is back; one that is still there must not be asked in a loop. */
  #retryLater(deviceId: string): void {
    if (this.#closed || this.#retries.has(deviceId)) return;
    const again = (): void => {
      this.#retries.delete(deviceId);
      this.look({ deviceId });
    };
    this.#retries.set(deviceId, this.#ports.clock.setTimer(hubCloudRetryMs, again, { background: true }));
  }

  #lookAtExpiry(): void {
    const { clock, log } = this.#ports;
    const queue = this.#queue;
    this.#expiryTimer?.cancel();
    if (this.#closed) return;
    let delayMs = expiryLookMs;
    try {
      queue.expire(new Set(this.#underWay.values()));
      const nextMs = queue.nextExpiryMs();
      if (nextMs === undefined) return;
      delayMs = Math.min(delayMs, Math.max(hubCloudRetryMs, nextMs - clock.wallMs()));
    } catch (error) {
      log.error('expired cloud-to-device messages cannot be taken out', { detail: errorMessage(error) });
    }
    this.#expiryTimer = clock.setTimer(delayMs, () => this.#lookAtExpiry(), { background: true });
  }
}
