// What operators do to queues, in one place: look, carry to the hub by hand, take its receipts, purge.
//
// Plugged into the admin socket by device.ts. Each verb is a file beside this one.

import type { Clock } from '../platform/clock.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { Log } from '../platform/log.ts';
import { type ExportedFile, type ExportRequest, QueueExport } from './export.ts';
import { type PeekedMessage, type PeekRequest, peek } from './peek.ts';
import type { Documents, FileSeal, LaneFacts, QueueSender, QueueStore } from './ports.ts';
import { Purge, type PurgeReport, type PurgeRequest } from './purge.ts';
import { type ReceiptReport, Receipts, type ReceiptText } from './receipts.ts';

export interface OperatorQueuesPorts {
  readonly store: QueueStore;
  readonly sender: QueueSender;
  readonly documents: Documents;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly log: Log;
  /** Undefined without a hub: nothing is carried then. */
  readonly seal: FileSeal | undefined;
}

export interface OperatorQueuesOptions {
  readonly deviceId: string;
  /** The queue that leads to the hub. */
  readonly hubQueue: string;
}

export class OperatorQueues {
  readonly #store: QueueStore;
  readonly #purge: Purge;
  readonly #export: QueueExport;
  readonly #receipts: Receipts;

  constructor(ports: OperatorQueuesPorts, options: OperatorQueuesOptions) {
    this.#store = ports.store;
    this.#purge = new Purge(ports);
    this.#export = new QueueExport(ports, options);
    this.#receipts = new Receipts(ports, options);
  }

  peek(request: PeekRequest): Promise<readonly PeekedMessage[]> {
    return peek(this.#store, request);
  }

  purge(request: PurgeRequest): Promise<readonly PurgeReport[]> {
    return this.#purge.purge(request);
  }

  exportNext(request: ExportRequest): Promise<ExportedFile | undefined> {
    return this.#export.next(request);
  }

  takeReceipts(receipts: readonly ReceiptText[]): Promise<readonly ReceiptReport[]> {
    return this.#receipts.take(receipts);
  }

  /** The lanes with what was purged among what was dropped. */
  counted<Facts extends LaneFacts>(lanes: readonly Facts[]): Promise<readonly Facts[]> {
    return this.#purge.counted(lanes);
  }
}
