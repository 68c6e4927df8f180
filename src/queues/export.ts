// The queue to the hub as files that somebody carries there (protocol/queue-file/segment.ts).
//
//   the one who carries ──have, done──► next ──► the first lane that has more ──► read ──► sealed file ──► … nothing: all is out
//
// Owns which messages stand in which file. Where files go is not its business: whoever asks says what there is
// already, so an export that was broken off goes on where it was, also after a restart.
//
// Invariants
//   Nothing is taken out of the queue: what is exported waits until a receipt or the link's acknowledgement frees it.
//   The files of a lane follow each other without a hole: each begins behind the end of the one before, or behind
//   what has left the lane.
//   The device's key is used, never seen.

import { queueFileBytesTarget, queueFileMessagesMax } from '../limits.ts';
import type { Lane } from '../model/lane.ts';
import { moduleFileName } from '../model/module-file-name.ts';
import type { Clock } from '../platform/clock.ts';
import type { Entropy } from '../platform/entropy.ts';
import {
  encodeSegmentHeader,
  encodeSegmentMessage,
  type SegmentFacts,
  saltBytes,
} from '../protocol/queue-file/index.ts';
import { noHubError, QueuesError } from './errors.ts';
import { firstAfter, lanesOf, messagesAfter } from './lane-walk.ts';
import type { FileSeal, QueueStore } from './ports.ts';

export interface ExportRequest {
  readonly queue: string;
  /** What there is already, by stream. */
  readonly have: readonly { readonly stream: string; readonly after: number; readonly last: number }[];
  /** Streams of which nothing more is wanted: what came since their last file belongs to the next export. */
  readonly done: readonly string[];
}

export interface ExportedFile {
  readonly name: string;
  readonly facts: SegmentFacts;
  /** Nothing of its lane is behind it. */
  readonly isLast: boolean;
  readonly contentBase64: string;
  /** What waits in the whole queue, exported or not: for progress and free space. */
  readonly waiting: { readonly messages: number; readonly bytes: number };
}

export interface ExportPorts {
  readonly store: QueueStore;
  readonly clock: Clock;
  readonly entropy: Entropy;
  /** Undefined without a hub. */
  readonly seal: FileSeal | undefined;
}

/** The end of the names of queue files. */
export const queueFileSuffix = '.weirq';
const offsetDigits = 12;

interface Gathered {
  readonly after: number;
  readonly first: number;
  readonly last: number;
  readonly records: readonly Buffer[];
  readonly isLast: boolean;
}

export class QueueExport {
  readonly #ports: ExportPorts;
  readonly #options: { readonly deviceId: string; readonly hubQueue: string };

  constructor(ports: ExportPorts, options: { readonly deviceId: string; readonly hubQueue: string }) {
    this.#ports = ports;
    this.#options = options;
  }

  /** The next file; undefined when there is nothing more. Rejects QUEUES_NO_HUB, _NOT_FOR_HUB, _RENEWED. */
  async next({ queue, have, done }: ExportRequest): Promise<ExportedFile | undefined> {
    const { store, seal } = this.#ports;
    const { hubQueue } = this.#options;
    if (seal === undefined) throw noHubError();
    if (queue !== hubQueue)
      throw new QueuesError(
        'QUEUES_NOT_FOR_HUB',
        `Only ${hubQueue} leads to the hub, ${queue} does not. Leave --queue out.`,
      );
    if ((await store.lanes()).length === 0) return undefined;
    const { epoch } = store;
    const lanes = await lanesOf(store, queue);
    for (const lane of lanes) {
      const head = lane.messages === 0 ? undefined : await firstAfter(store, lane, 0);
      if (head === undefined || done.includes(head.hop.stream)) continue;
      const { stream } = head.hop;
      const gone = head.offset - 1;
      const after = covered(
        have.filter((part) => part.stream === stream),
        gone,
      );
      const gathered = await this.#gather(lane, after);
      if (gathered === undefined) continue;
      if (store.epoch !== epoch)
        throw new QueuesError('QUEUES_RENEWED', 'The outbox began afresh just now. Export again.');
      const waiting = lanes.reduce(
        (sum, { messages, bytes }) => ({ messages: sum.messages + messages, bytes: sum.bytes + bytes }),
        { messages: 0, bytes: 0 },
      );
      return { ...this.#sealed(seal, { lane, epoch, stream, gone }, gathered), waiting };
    }
    return undefined;
  }

  async #gather(lane: Lane, after: number): Promise<Gathered | undefined> {
    const records: Buffer[] = [];
    let [bytes, first, last, isLast] = [0, 0, 0, true];
    for await (const { offset, message } of messagesAfter(this.#ports.store, lane, after)) {
      const record = encodeSegmentMessage(offset, message);
      const isFull = records.length === queueFileMessagesMax || bytes + record.length > queueFileBytesTarget;
      if (isFull && records.length > 0) {
        isLast = false;
        break;
      }
      if (records.length === 0) first = offset;
      last = offset;
      bytes += record.length;
      records.push(record);
    }
    return records.length === 0 ? undefined : { after, first, last, records, isLast };
  }

  #sealed(
    seal: FileSeal,
    from: { readonly lane: Lane; readonly epoch: string; readonly stream: string; readonly gone: number },
    { after, first, last, records, isLast }: Gathered,
  ): Omit<ExportedFile, 'waiting'> {
    const { clock, entropy } = this.#ports;
    const { deviceId } = this.#options;
    const { lane, epoch, stream, gone } = from;
    const { queue, priority, live } = lane;
    const range = { gone, after, first, last, messages: records.length };
    const facts = { deviceId, epoch, stream, queue, priority, live, ...range, createdMs: Math.round(clock.wallMs()) };
    const plain = Buffer.concat(records);
    const salt = entropy.bytes(saltBytes);
    const bodyBytes = plain.length + seal.sealTagBytes;
    const header = encodeSegmentHeader(facts, { salt, proof: seal.sealProof(salt), bodyBytes });
    const file = Buffer.concat([header, seal.seal(plain, { salt, associated: header })]);
    const number = String(after).padStart(offsetDigits, '0');
    const name = `${moduleFileName(deviceId) ?? 'device'}-${stream}-${number}${queueFileSuffix}`;
    return { name, facts, isLast, contentBase64: file.toString('base64') };
  }
}

/** How far from `gone` on the parts reach without a hole. */
export function covered(parts: readonly { readonly after: number; readonly last: number }[], gone: number): number {
  let reach = gone;
  for (const { after, last } of [...parts].sort((a, b) => a.after - b.after)) {
    if (after <= reach) reach = Math.max(reach, last);
  }
  return reach;
}
