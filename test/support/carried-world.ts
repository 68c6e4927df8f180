// A gateway's queue, a hub and a stick, without processes: the store in memory, the rest as it is.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DeviceKey } from '../../src/identity/index.ts';
import { priorityUnset } from '../../src/model/lane.ts';
import type { Message } from '../../src/model/message.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { OperatorQueues } from '../../src/queues/index.ts';
import type { StoreTarget } from '../../src/router/ports.ts';
import { Router } from '../../src/router/router.ts';
import { hubState } from './hub-state.ts';
import { MemoryStore } from './memory-store.ts';
import { numberedMessage, sequenceOf } from './messages.ts';
import { keptLog } from './quiet-log.ts';
import { SimClock } from './sim-clock.ts';
import { seededEntropy } from './sim-entropy.ts';

export const hubQueue = '$upstream';
export const deviceId = 'gateway';

export function carriedWorld() {
  const directory = mkdtempSync(join(tmpdir(), 'weir-carried-'));
  const clock = new SimClock();
  const store = new MemoryStore(() => clock.wallMs());
  const kept = keptLog(clock);
  const entropy = seededEntropy(4);
  const router = new Router({ store, clock, entropy, log: kept.log, metrics: createMetrics() }, { timeToLiveSecs: 0 });
  const hub = hubState(directory);
  const { keys } = hub.registry.createDevice(deviceId, { edge: true });
  const documents = new Map<string, string>();
  const queues = new OperatorQueues(
    {
      store,
      sender: router,
      documents: {
        state: async (key) => documents.get(key),
        saveState: async (key, value) => void documents.set(key, value),
      },
      clock,
      entropy,
      log: kept.log,
      seal: new DeviceKey(keys.primaryKey),
    },
    { deviceId, hubQueue },
  );
  /** Messages `from` to `to`, into the lane without a priority unless said otherwise. */
  const fill = async (
    from: number,
    to: number,
    target: Partial<StoreTarget> & { readonly over?: Partial<Message> } = {},
  ): Promise<void> => {
    const { over, ...lane } = target;
    const into = { queue: hubQueue, priority: priorityUnset, live: false, timeToLiveMs: undefined, ...lane };
    for (let n = from; n <= to; n++) await store.append(numberedMessage(n, over), [into]);
  };
  /** Sequence numbers in the hub's log, in its order. */
  const logged = (): readonly number[] => {
    const { events } = hub.eventLog.read({ afterOffset: 0 });
    return events.map((event) => sequenceOf(event as unknown as Message));
  };
  const close = async (): Promise<void> => {
    await router.close();
    hub.database.close();
    rmSync(directory, { recursive: true });
  };
  return { directory, clock, store, router, hub, queues, documents, lines: kept.lines, fill, logged, close };
}

export type CarriedWorld = ReturnType<typeof carriedWorld>;
