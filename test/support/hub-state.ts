// The hub's parts over a real SQLite file, with a simulated clock: what its unit tests start from.

import { join } from 'node:path';
import { notListeningError } from '../../src/broker/iothub/errors.ts';
import { openHubDatabase } from '../../src/hub/database.ts';
import { Deployments } from '../../src/hub/deployments.ts';
import { Devicebound } from '../../src/hub/devicebound.ts';
import { EventLog, type EventLogOptions } from '../../src/hub/event-log.ts';
import { Ingest } from '../../src/hub/ingest.ts';
import type { MethodCaller, Post } from '../../src/hub/ports.ts';
import { Positions } from '../../src/hub/positions.ts';
import { QueueImport } from '../../src/hub/queue-import.ts';
import { Registry } from '../../src/hub/registry.ts';
import { Twins } from '../../src/hub/twins.ts';
import { DeviceKey } from '../../src/identity/index.ts';
import type { Identity } from '../../src/model/address.ts';
import type { Message } from '../../src/model/message.ts';
import { shortDigest } from '../../src/platform/digest.ts';
import { createLog } from '../../src/platform/log.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { systemSqlite } from '../../src/platform/sqlite.ts';
import { SimClock } from './sim-clock.ts';
import { seededEntropy } from './sim-entropy.ts';

export const roomyRetention: EventLogOptions = { retentionBytes: 2 ** 30, retentionMs: 7 * 86_400_000 };

export function hubState(directory: string, retention: EventLogOptions = roomyRetention) {
  const clock = new SimClock();
  const lines: string[] = [];
  const log = createLog({ clock, level: 'debug', write: (line) => void lines.push(line) });
  const metrics = createMetrics();
  const database = openHubDatabase(join(directory, 'hub.db'), systemSqlite());
  const eventLog = new EventLog({ database, clock }, retention);
  const { notices } = eventLog;
  const twins = new Twins({ database, clock, notices });
  const registry = new Registry({ database, clock, entropy: seededEntropy(1), notices, twins });
  const positions = new Positions({ database, clock });
  const ingest = new Ingest({ database, eventLog, clock, log, metrics });
  const deployments = new Deployments({ database, registry, twins });
  const post = new FakePost();
  const devicebound = new Devicebound({ database, registry, post, clock, entropy: seededEntropy(3), log, metrics });
  const invokeMethod: MethodCaller = (callee, call) => post.answer(callee, call);
  const imports = new QueueImport({
    database,
    registry,
    eventLog,
    clock,
    entropy: seededEntropy(2),
    log,
    metrics,
    sealOf: (keyBase64) => new DeviceKey(keyBase64),
  });
  return {
    clock,
    log,
    lines,
    metrics,
    database,
    registry,
    twins,
    eventLog,
    positions,
    ingest,
    imports,
    deployments,
    digest: shortDigest,
    post,
    devicebound,
    invokeMethod,
  };
}

/** The way to the devices: who listens, what they got, and when they acknowledge it. */
export class FakePost implements Post {
  readonly listening = new Set<string>();
  readonly given: { readonly deviceId: string; readonly message: Pick<Message, 'system' | 'properties' | 'body'> }[] =
    [];
  /** May reject. */
  acknowledge: () => Promise<void> = () => Promise.resolve();
  answer: MethodCaller = (callee) => Promise.reject(notListeningError(callee, 'methods'));

  isListening({ deviceId }: Identity): boolean {
    return this.listening.has(deviceId);
  }

  deliver({ deviceId }: Identity, message: Pick<Message, 'system' | 'properties' | 'body'>): Promise<void> {
    this.given.push({ deviceId, message });
    return this.acknowledge();
  }
}

export type HubState = ReturnType<typeof hubState>;

export function sample(text: string, fields: Partial<Message> = {}): Message {
  return {
    sender: { deviceId: 'gw', moduleId: 'm' },
    output: 'out',
    system: { contentType: 'application/json' },
    properties: { kind: 'test' },
    body: Buffer.from(text),
    enqueuedMs: Date.UTC(2026, 0, 1),
    ...fields,
  };
}

/** Appends as ingest does, without its promises. */
export function appendAll({ database, positions, eventLog }: HubState, messages: readonly Message[]): number {
  const logged = database.transaction(() => {
    const fresh = positions.advance(messages);
    eventLog.append(fresh, { repeated: messages.length - fresh.length });
    return fresh.length;
  });
  eventLog.committed();
  return logged;
}
