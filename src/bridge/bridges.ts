// All bridges of a gateway, and what the broker and the twin see of them.
//
//   broker ─ tap ─► every bridge whose rules name the topic ─► its queue ─► safe: the publisher gets its PUBACK
//   twin   ─ mqttBroker.bridges ─► rules beside those of the configuration; a document with mistakes changes nothing
//
// A message goes to the queue of each bridge by each name it has there, but never back to the bridge it came by.
// Stored is whatever is tapped, also what was published at QoS 0: a publisher of QoS 0 that the store cannot follow is
// slowed down, and what the store refuses then is counted as dropped.

import { errorCode, errorMessage, WeirError } from '../model/errors.ts';
import type { JsonValue } from '../model/json.ts';
import type { Problem } from '../model/problem.ts';
import type { TopicRule } from '../protocol/mqtt/bridge-topics.ts';
import { Bridge, type BridgePorts } from './bridge.ts';
import { parseBridges } from './bridge-document.ts';
import type { BridgeQueue, TakenMessage } from './ports.ts';
import type { RemoteBroker } from './remote-link.ts';
import { storedForm } from './stored-form.ts';

/** The broker that stands for `$upstream`. */
export const upstreamBroker = '$upstream';

export interface BridgeOptions {
  readonly broker: RemoteBroker;
  readonly rules: readonly TopicRule[];
  /** How telemetry for this broker is called; undefined: it gets none. */
  readonly telemetryTopic: string | undefined;
  /** How long messages wait for it; undefined: as long as there is room. */
  readonly timeToLiveMs: number | undefined;
}

export interface BridgesPorts extends BridgePorts {
  readonly queue: BridgeQueue;
}

interface Entry {
  readonly bridge: Bridge;
  readonly timeToLiveMs: number | undefined;
}

export class Bridges {
  readonly #ports: BridgesPorts;
  readonly #deviceId: string;
  readonly #entries: ReadonlyMap<string, Entry>;
  #epoch = 0;

  constructor(ports: BridgesPorts, options: { readonly deviceId: string; readonly bridges: readonly BridgeOptions[] }) {
    this.#ports = ports;
    this.#deviceId = options.deviceId;
    this.#entries = new Map(
      options.bridges.map(({ broker, rules, telemetryTopic, timeToLiveMs }) => {
        const bridge = new Bridge(ports, broker, { rules, telemetryTopic });
        return [broker.name, { bridge, timeToLiveMs }];
      }),
    );
  }

  /** Changes with the rules. */
  get epoch(): number {
    return this.#epoch;
  }

  get all(): readonly Bridge[] {
    return [...this.#entries.values()].map(({ bridge }) => bridge);
  }

  /** Each other broker, and whether it is reached now. */
  status(): readonly { readonly name: string; readonly isConnected: boolean }[] {
    return this.all.map(({ name, isConnected }) => ({ name, isConnected }));
  }

  async start(): Promise<void> {
    for (const bridge of this.all) await bridge.start();
  }

  async close(): Promise<void> {
    await Promise.all(this.all.map((bridge) => bridge.close()));
  }

  /** The twin's section, which stands at `path`; undefined: it has none. Answers what is wrong: then nothing changes. */
  setBridges(document: JsonValue | undefined, path: string): readonly Problem[] {
    const { rules, problems } = parseBridges(document ?? [], path, [...this.#entries.keys()]);
    if (problems.length > 0) return problems;
    for (const [name, { bridge }] of this.#entries) bridge.setRules(rules.get(name) ?? []);
    this.#epoch++;
    const topics = [...rules.values()].reduce((sum, list) => sum + list.length, 0);
    this.#ports.log.info('bridges in force', { brokers: this.#entries.size, topicsOfTwin: topics });
    return [];
  }

  takes(topic: string): boolean {
    return this.all.some((bridge) => bridge.waysOut(topic).length > 0);
  }

  /** Resolves when the message is stored for every bridge it goes to. */
  async take(message: TakenMessage): Promise<void> {
    const enqueuedMs = this.#ports.clock.wallMs();
    const work: Promise<void>[] = [];
    for (const { bridge, timeToLiveMs } of this.#entries.values()) {
      if (bridge.name === message.origin) continue;
      const lifeMs = Math.min(
        message.expiresInMs ?? Number.POSITIVE_INFINITY,
        timeToLiveMs ?? Number.POSITIVE_INFINITY,
      );
      for (const topic of bridge.waysOut(message.topic)) {
        const stored = storedForm(message, { topic, deviceId: this.#deviceId, enqueuedMs });
        const options = { timeToLiveMs: Number.isFinite(lifeMs) ? Math.max(1, Math.ceil(lifeMs)) : undefined };
        work.push(this.#put(bridge, message, () => this.#ports.queue.put(bridge.queue, stored, options)));
      }
    }
    await Promise.all(work);
  }

  /** What can never be stored, and what nobody waits for, is dropped and counted; the rest is its publisher's to repeat. */
  async #put({ name }: Bridge, { qos, topic }: TakenMessage, put: () => Promise<void>): Promise<void> {
    const { log, metrics } = this.#ports;
    try {
      await put();
      metrics.counter('weir_bridge_messages_taken_total', { bridge: name }).add();
    } catch (error) {
      const isFinal = error instanceof WeirError && error.code === 'STORE_RECORD_TOO_LARGE';
      if (qos > 0 && !isFinal) throw error;
      metrics.counter('weir_bridge_messages_dropped_total', { bridge: name, reason: errorCode(error) }).add();
      log.debug('a message was not stored for a bridge', { bridge: name, topic, reason: errorMessage(error) });
    }
  }
}
