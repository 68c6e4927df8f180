// Messages that an operator gives up: counted for ever under the reason `purged`, logged, and then let go.
//
// The counts are a document of their own: {"epoch":…,"lanes":{laneKey: messages}}. It is saved before the messages are
// let go, so that a power cut in between counts too many rather than losing messages that nobody counted. Counts of
// another epoch are over with it, as all drop counts are.
//
// A message that is under way just then may still arrive, and one that arrives while a long lane is walked through is
// counted with the others.

import { isJsonObject, parseJson } from '../model/json.ts';
import { type Lane, laneKey } from '../model/lane.ts';
import type { Log } from '../platform/log.ts';
import { lanesOf, lastOffset, messagesAfter } from './lane-walk.ts';
import type { Documents, LaneFacts, QueueSender, QueueStore } from './ports.ts';

export interface PurgeRequest {
  readonly queue: string;
  /** 0 to 9, 10 for messages without one; undefined: all. */
  readonly priority?: number | undefined;
  /** Only messages accepted before this wall time, from the oldest up to the first that was not. */
  readonly beforeMs?: number | undefined;
}

export interface PurgeReport extends Lane {
  readonly messages: number;
}

export interface PurgePorts {
  readonly store: QueueStore;
  readonly sender: QueueSender;
  readonly documents: Documents;
  readonly log: Log;
}

const documentKey = 'queues-purged';

export class Purge {
  readonly #ports: PurgePorts;
  #counts: { readonly epoch: string; readonly lanes: Map<string, number> } | undefined;
  #turn: Promise<unknown> = Promise.resolve();

  constructor(ports: PurgePorts) {
    this.#ports = ports;
  }

  /** Rejects QUEUES_UNKNOWN_QUEUE, or as the documents do: then nothing was purged. */
  purge(request: PurgeRequest): Promise<readonly PurgeReport[]> {
    const purged = this.#turn.then(() => this.#purge(request));
    this.#turn = purged.catch(() => undefined);
    return purged;
  }

  /** The facts with what was purged among what was dropped. */
  async counted<Facts extends LaneFacts>(lanes: readonly Facts[]): Promise<readonly Facts[]> {
    const counts = await this.#known();
    return lanes.map((facts) => {
      const purged = counts.get(laneKey(facts));
      return purged === undefined ? facts : { ...facts, dropped: { ...facts.dropped, purged } };
    });
  }

  async #purge({ queue, priority, beforeMs }: PurgeRequest): Promise<readonly PurgeReport[]> {
    const { store, sender, log } = this.#ports;
    const reports: PurgeReport[] = [];
    for (const facts of await lanesOf(store, queue, priority)) {
      const { epoch } = store;
      const lane: Lane = { queue: facts.queue, priority: facts.priority, live: facts.live };
      const { messages, last } = await this.#walk(lane, beforeMs);
      // An outbox that began afresh meanwhile has other messages at these offsets.
      if (messages === 0 || store.epoch !== epoch) continue;
      await this.#count(lane, messages);
      await sender.release(lane, last);
      log.warn('messages were purged by an operator', { event: 'purged', ...lane, messages });
      reports.push({ ...lane, messages });
    }
    return reports;
  }

  async #walk(lane: Lane, beforeMs: number | undefined): Promise<{ readonly messages: number; readonly last: number }> {
    const { store } = this.#ports;
    // What comes while it is walked through is not meant.
    const end = await lastOffset(store, lane);
    let [messages, last] = [0, 0];
    for await (const { offset, message } of messagesAfter(store, lane, 0)) {
      if (offset > end || (beforeMs !== undefined && message.enqueuedMs >= beforeMs)) break;
      messages++;
      last = offset;
    }
    return { messages, last };
  }

  async #count(lane: Lane, messages: number): Promise<void> {
    const counts = new Map(await this.#known());
    counts.set(laneKey(lane), (counts.get(laneKey(lane)) ?? 0) + messages);
    const { epoch } = this.#ports.store;
    await this.#ports.documents.saveState(documentKey, JSON.stringify({ epoch, lanes: Object.fromEntries(counts) }));
    this.#counts = { epoch, lanes: counts };
  }

  async #known(): Promise<ReadonlyMap<string, number>> {
    const { store, documents } = this.#ports;
    const { epoch } = store;
    if (this.#counts?.epoch !== epoch) {
      const text = await documents.state(documentKey);
      this.#counts ??= { epoch, lanes: readCounts(text, epoch) };
      if (this.#counts.epoch !== epoch) this.#counts = { epoch, lanes: new Map() };
    }
    return this.#counts.lanes;
  }
}

function readCounts(text: string | undefined, epoch: string): Map<string, number> {
  const parsed = parseJson(text ?? '{}');
  if (!parsed.ok || !isJsonObject(parsed.value) || parsed.value['epoch'] !== epoch) return new Map();
  const { lanes } = parsed.value as { readonly lanes?: unknown };
  const entries = typeof lanes === 'object' && lanes !== null ? Object.entries(lanes as Record<string, unknown>) : [];
  return new Map(entries.filter((entry): entry is [string, number] => typeof entry[1] === 'number'));
}
