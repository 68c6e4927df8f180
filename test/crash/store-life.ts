// One life of a real Store over a directory: it tells what it finds, then takes messages, hands them on and saves
// documents, all at once, and says so in marks (workload.ts).

import { join } from 'node:path';
import { errorCode } from '../../src/model/errors.ts';
import type { Clock } from '../../src/platform/clock.ts';
import { createLog } from '../../src/platform/log.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import type { Thread } from '../../src/platform/thread.ts';
import { Store } from '../../src/store/index.ts';
import { seededEntropy } from '../support/sim-entropy.ts';
import {
  documentKeys,
  type Found,
  type Inventory,
  isWhole,
  lanes,
  lanesOf,
  type Mark,
  messageOf,
  type Size,
} from './workload.ts';

const quotaBytes = 268_435_456;
const documentsPerLife = 1_000_000;
const readMessagesMax = 64;
const readBytesMax = 1_048_576;

export interface Plan {
  readonly seed: number;
  /** Counts the lives over one directory: documents of a later one have higher numbers. */
  readonly life: number;
  /** The messages of this life: repeats what is not acknowledged, from `first` on. */
  readonly first: number;
  readonly last: number;
  readonly size: Size;
  /** Most messages under way at a time. */
  readonly windowMax: number;
  /** Part of what is read that is confirmed, 0 to 1. */
  readonly drain: number;
}

export interface OpenedStore {
  readonly store: Store;
  readonly logged: () => string;
}

export async function openStore(
  directory: string,
  { clock, startThread }: { readonly clock: Clock; readonly startThread: () => Thread },
): Promise<OpenedStore> {
  const lines: string[] = [];
  const log = createLog({ clock, level: 'info', write: (line) => void lines.push(line) });
  const store = new Store(
    { clock, log, metrics: createMetrics(), startThread },
    {
      path: join(directory, 'weir.db'),
      quarantine: join(directory, 'quarantine'),
      quotaBytes,
      commitDelayMs: 1,
      commitDelayMsMin: 1,
      // So that a second commit is under way beside the first.
      commitMessages: 5,
    },
  );
  await store.start();
  return { store, logged: () => lines.join('') };
}

/** All that is there. Reads past the end of every lane. */
export async function inventoryOf(store: Store, size: Size): Promise<Inventory> {
  const found: Found[][] = [];
  for (const lane of lanes) found.push(await readLane(store, lane, size));
  const facts = await store.lanes();
  const counts = lanes.map(
    (lane) =>
      facts.find(
        ({ queue, priority, live }) => queue === lane.queue && priority === lane.priority && live === lane.live,
      )?.messages ?? 0,
  );
  const dropped = facts.flatMap((one) => Object.values(one.dropped)).reduce((sum, count) => sum + count, 0);
  const documents: Record<string, number> = {};
  for (const key of documentKeys) documents[key] = Number((await store.state(key)) ?? 0);
  const { quarantined } = await store.facts();
  return { epoch: store.epoch, lanes: found, counts, dropped, documents, quarantined: quarantined.length };
}

async function readLane(store: Store, lane: (typeof lanes)[number], size: Size): Promise<Found[]> {
  const found: Found[] = [];
  for (let afterOffset = 0; ; ) {
    const batch = await store.read(lane, { afterOffset, messagesMax: readMessagesMax, bytesMax: readBytesMax });
    if (batch.length === 0) return found;
    for (const { offset, message, hop } of batch) {
      const n = Number(message.properties['sequenceNumber']);
      found.push({ offset, n, hop: `${hop.stream} ${hop.sequence}`, whole: isWhole(message, size) });
      afterOffset = offset;
    }
  }
}

/** Resolves when every message of the plan is acknowledged and the drain has stopped. */
export async function live(store: Store, plan: Plan, say: (mark: Mark) => void): Promise<void> {
  const draw = seededEntropy(plan.seed).fraction;
  const drains = lanes.map((_, lane) => new LaneDrain(store, lane, { draw, say, part: plan.drain }));
  const stop = store.onAppended((lane) => {
    const index = lanes.findIndex(({ queue, priority }) => queue === lane.queue && priority === lane.priority);
    drains[index]?.wake();
  });
  for (let next = plan.first; next <= plan.last; ) {
    const end = Math.min(plan.last, next + Math.floor(draw() * plan.windowMax));
    if (draw() < 0.3) save(store, plan.life * documentsPerLife + next, { draw, say });
    next = await appendBatch(store, { first: next, last: end, size: plan.size }, say);
  }
  stop();
  for (const drain of drains) await drain.idle;
}

/** Answers the first message that is not acknowledged: what is behind a refused one is sent again with it. */
async function appendBatch(
  store: Store,
  { first, last, size }: { readonly first: number; readonly last: number; readonly size: Size },
  say: (mark: Mark) => void,
): Promise<number> {
  const numbers = Array.from({ length: last - first + 1 }, (_, index) => first + index);
  const outcomes = await Promise.all(
    numbers.map(async (n) => {
      say(['send', n]);
      try {
        const targets = lanesOf(n).map((lane) => ({ ...lanes[lane]!, timeToLiveMs: undefined }));
        await store.append(messageOf(n, size), targets);
        say(['ack', n]);
        return true;
      } catch (error) {
        say(['refused', n, errorCode(error)]);
        return false;
      }
    }),
  );
  const refused = outcomes.indexOf(false);
  if (refused < 0) return last + 1;
  await new Promise((resolve) => setTimeout(resolve, retryMs));
  return first + refused;
}

const retryMs = 5;

function save(
  store: Store,
  n: number,
  { draw, say }: { readonly draw: () => number; readonly say: (mark: Mark) => void },
): void {
  const key = documentKeys[Math.floor(draw() * documentKeys.length)] ?? 'routes';
  say(['save', key, n]);
  store.saveState(key, String(n)).then(
    () => say(['saved', key, n]),
    (error: unknown) => say(['refused', n, errorCode(error)]),
  );
}

/** Reads and confirms one lane as the router's pump does, one batch at a time. */
class LaneDrain {
  readonly #store: Store;
  readonly #lane: number;
  readonly #how: { readonly draw: () => number; readonly say: (mark: Mark) => void; readonly part: number };
  #afterOffset = 0;
  #wanted = false;
  idle: Promise<void> | undefined;

  constructor(
    store: Store,
    lane: number,
    how: { readonly draw: () => number; readonly say: (mark: Mark) => void; readonly part: number },
  ) {
    this.#store = store;
    this.#lane = lane;
    this.#how = how;
  }

  wake(): void {
    this.#wanted = true;
    this.idle ??= this.#run().finally(() => {
      this.idle = undefined;
    });
  }

  async #run(): Promise<void> {
    const { draw, say, part } = this.#how;
    const lane = lanes[this.#lane]!;
    while (this.#wanted) {
      this.#wanted = false;
      try {
        const batch = await this.#store.read(lane, {
          afterOffset: this.#afterOffset,
          messagesMax: 1 + Math.floor(draw() * readMessagesMax),
          bytesMax: readBytesMax,
        });
        const chosen = batch[Math.floor(batch.length * draw())];
        if (chosen === undefined || draw() > part) continue;
        const n = Number(chosen.message.properties['sequenceNumber']);
        this.#afterOffset = chosen.offset;
        say(['confirm', this.#lane, n]);
        await this.#store.confirm(lane, chosen.offset);
        say(['confirmed', this.#lane, n]);
      } catch (error) {
        say(['refused', 0, errorCode(error)]);
      }
    }
  }
}
