// Receipts that came back from the hub: what they cover leaves the queue.
//
//   text ─► signature of the device's key ─► device, epoch ─► its lane ─► from the head without a hole ─► release
//
// The store frees a lane only from its head up to an offset. A receipt behind a hole (a file whose receipt is missing)
// frees nothing and says so; what it covers leaves when the hub acknowledges it over the link, or when the missing
// receipt comes. It is safe while the queue drains: the sender is told, and its position moves too.

import { queueReceiptBytesMax } from '../limits.ts';
import type { Lane } from '../model/lane.ts';
import type { Log } from '../platform/log.ts';
import { parseReceipt, type ReceiptFacts } from '../protocol/queue-file/index.ts';
import { noHubError, QueuesError } from './errors.ts';
import { firstAfter } from './lane-walk.ts';
import type { FileSeal, QueueSender, QueueStore } from './ports.ts';

export interface ReceiptText {
  readonly name: string;
  readonly text: string;
}

export interface ReceiptReport {
  readonly name: string;
  /** `gone`: nothing that it covers waited any more. `other`: it is another gateway's. */
  readonly outcome: 'freed' | 'gone' | 'other' | 'refused';
  readonly messages?: number;
  readonly code?: string;
  readonly message?: string;
}

export interface ReceiptPorts {
  readonly store: QueueStore;
  readonly sender: QueueSender;
  readonly seal: FileSeal | undefined;
  readonly log: Log;
}

interface Checked {
  readonly name: string;
  readonly facts: ReceiptFacts;
}

export class Receipts {
  readonly #ports: ReceiptPorts;
  readonly #deviceId: string;

  constructor(ports: ReceiptPorts, options: { readonly deviceId: string }) {
    this.#ports = ports;
    this.#deviceId = options.deviceId;
  }

  /** Answers for each receipt what became of it, in the order given. Rejects QUEUES_NO_HUB. */
  async take(receipts: readonly ReceiptText[]): Promise<readonly ReceiptReport[]> {
    const { seal } = this.#ports;
    if (seal === undefined) throw noHubError();
    const reports = new Map<string, ReceiptReport>();
    const streams = new Map<string, Checked[]>();
    for (const receipt of receipts) {
      const checked = this.#check(receipt, seal);
      if (checked === 'other') reports.set(receipt.name, { name: receipt.name, outcome: 'other' });
      else if (checked instanceof QueuesError) reports.set(receipt.name, refused(receipt.name, checked));
      else streams.set(checked.facts.stream, [...(streams.get(checked.facts.stream) ?? []), checked]);
    }
    for (const checked of streams.values())
      for (const report of await this.#takeOfStream(checked)) reports.set(report.name, report);
    return receipts.flatMap(({ name }) => reports.get(name) ?? []);
  }

  #check({ name, text }: ReceiptText, seal: FileSeal): Checked | 'other' | QueuesError {
    const read =
      text.length > queueReceiptBytesMax
        ? ({ ok: false, fault: 'foreign', reason: 'it is too long' } as const)
        : parseReceipt(text);
    if (!read.ok) {
      const mend =
        read.fault === 'newer'
          ? 'Update this gateway: the hub is of a newer weir.'
          : 'Have the hub import the file again.';
      return new QueuesError(
        'QUEUES_RECEIPT_INVALID',
        `${name} is not a receipt that can be read: ${read.reason}. ${mend}`,
      );
    }
    const { facts, signature, signed, salt } = read;
    // One stick may carry the files of many gateways.
    if (facts.deviceId !== this.#deviceId) return 'other';
    if (!seal.verifyReceipt(signature, signed, salt))
      return new QueuesError(
        'QUEUES_RECEIPT_FORGED',
        `${name} was changed, or signed with another key than this gateway's. Have the hub import the file again.`,
      );
    if (facts.epoch !== this.#ports.store.epoch) return stale(name);
    return { name, facts };
  }

  /** Of one lane: as far as they reach from its head without a hole, it is freed, once for all of them. */
  async #takeOfStream(checked: readonly Checked[]): Promise<readonly ReceiptReport[]> {
    const [{ facts }] = checked as [Checked];
    const { store, sender, log } = this.#ports;
    const lane: Lane = { queue: facts.queue, priority: facts.priority, live: facts.live };
    const head = await firstAfter(store, lane, 0);
    if (head === undefined) return checked.map(({ name }) => ({ name, outcome: 'gone' as const }));
    // An outbox that began afresh meanwhile has other messages at these offsets.
    if (store.epoch !== facts.epoch || head.hop.stream !== facts.stream)
      return checked.map(({ name }) => refused(name, stale(name)));
    let reach = head.offset - 1;
    const reports: ReceiptReport[] = [];
    for (const { name, facts: own } of [...checked].sort((a, b) => a.facts.after - b.facts.after)) {
      if (own.last < head.offset) reports.push({ name, outcome: 'gone' });
      else if (own.after > reach) reports.push(refused(name, gap(name, { reach, after: own.after })));
      else {
        reach = Math.max(reach, own.last);
        reports.push({ name, outcome: 'freed', messages: own.messages });
      }
    }
    if (reach >= head.offset) {
      await sender.release(lane, reach);
      log.info('receipts freed messages that the hub has', { ...lane, from: head.offset, last: reach });
    }
    return reports;
  }
}

function refused(name: string, { code, message }: QueuesError): ReceiptReport {
  return { name, outcome: 'refused', code, message };
}

function stale(name: string): QueuesError {
  return new QueuesError(
    'QUEUES_RECEIPT_STALE',
    `${name} is for a life of the outbox that is over: nothing of it waits here any more. Delete it.`,
  );
}

function gap(name: string, { reach, after }: { readonly reach: number; readonly after: number }): QueuesError {
  return new QueuesError(
    'QUEUES_RECEIPT_GAP',
    `${name} frees nothing yet: messages ${reach + 1} to ${after} before it have no receipt. Bring theirs, or let the gateway connect.`,
  );
}
