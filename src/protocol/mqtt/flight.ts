// Messages under way on one connection: batches handed over, acknowledged one by one, answered as a whole.
//
//   send(batch) ─► publish each ─► PUBACKs in any order ─► how many from the front have arrived
//
// One flight a queue and connection; it ends with the connection. How much may be under way is the sender's business.
//
// Invariants
//   A message counts as accepted only after the PUBACK for it and for all before it in its batch.
//   Once a message was not taken, nothing handed over after it is sent, until every batch under way has settled: order
//   is kept, and a receiver that knows places in a stream never takes a repetition for something it has. The end of
//   the connection does the same by itself.

import { messageBytesMax } from '../../limits.ts';
import type { MqttClient, MqttClientPublish, PublishWaiter } from './client.ts';
import { isValidTopicName } from './topic.ts';

export interface FlightPorts<Item> {
  readonly client: Pick<MqttClient, 'publishFor'>;
  /** Monotonic, milliseconds. */
  nowMs(): number;
  /** What is published of an item; undefined: it can never be sent, which its owner has told, and counts as arrived. */
  wire(item: Item): (MqttClientPublish & { readonly qos: 1 }) | undefined;
  /** What send() rejects with when nothing arrived; `cause` is what the client said last. */
  failed(cause: unknown): Error;
}

/** A batch under way. */
interface Watch {
  /** Acknowledgements come in order from all servers we know, but nothing says that they must. */
  readonly acknowledged: Uint8Array;
  /** Messages that have not settled, and one more while the batch is handed over. */
  open: number;
  readonly resolve: (accepted: number) => void;
}

type Settle = (watch: Watch, index: number, outcome: 'acknowledged' | { readonly cause: unknown }) => void;

/** One message of a batch: an object and not three closures, since there are hundreds at a time. */
class Place implements PublishWaiter {
  readonly #settle: Settle;
  readonly #watch: Watch;
  readonly #index: number;

  constructor(settle: Settle, watch: Watch, index: number) {
    this.#settle = settle;
    this.#watch = watch;
    this.#index = index;
  }

  resolve(): void {
    this.#settle(this.#watch, this.#index, 'acknowledged');
  }

  reject(cause: unknown): void {
    this.#settle(this.#watch, this.#index, { cause });
  }
}

export class PublishFlight<Item> {
  readonly #ports: FlightPorts<Item>;
  #batches = 0;
  #messages = 0;
  #broken = false;
  #cause: unknown;
  #progressMs = 0;

  constructor(ports: FlightPorts<Item>) {
    this.#ports = ports;
  }

  /** For how long nothing of what is under way was acknowledged, milliseconds; 0 when nothing is. */
  get stalledMs(): number {
    return this.#messages === 0 ? 0 : this.#ports.nowMs() - this.#progressMs;
  }

  /** Resolves with how many from the front were acknowledged, when no more can be. Rejects when none was. */
  async send(batch: readonly Item[]): Promise<number> {
    if (this.#messages === 0) this.#progressMs = this.#ports.nowMs();
    this.#batches++;
    try {
      const accepted = await this.#handOver(batch);
      if (accepted === 0 && batch.length > 0) throw this.#ports.failed(this.#cause);
      return accepted;
    } finally {
      if (--this.#batches === 0) this.#broken = false;
    }
  }

  #handOver(batch: readonly Item[]): Promise<number> {
    return new Promise((resolve) => {
      const watch: Watch = { acknowledged: new Uint8Array(batch.length), open: 1, resolve };
      for (let index = 0; index < batch.length; index++) {
        const packet = this.#ports.wire(batch[index] as Item);
        if (packet === undefined) {
          watch.acknowledged[index] = 1;
          continue;
        }
        this.#broken ||= !isSendable(packet);
        if (this.#broken) break;
        watch.open++;
        this.#messages++;
        this.#ports.client.publishFor(new Place(this.#settle, watch, index), packet);
      }
      this.#oneLess(watch);
    });
  }

  readonly #settle: Settle = (watch, index, outcome) => {
    this.#messages--;
    if (outcome === 'acknowledged') {
      this.#progressMs = this.#ports.nowMs();
      watch.acknowledged[index] = 1;
    } else {
      this.#broken = true;
      this.#cause = outcome.cause;
    }
    this.#oneLess(watch);
  };

  #oneLess(watch: Watch): void {
    if (--watch.open > 0) return;
    const missing = watch.acknowledged.indexOf(0);
    watch.resolve(missing === -1 ? watch.acknowledged.length : missing);
  }
}

function isSendable({ topic, payload }: MqttClientPublish): boolean {
  return isValidTopicName(topic) && payload.byteLength <= messageBytesMax;
}
