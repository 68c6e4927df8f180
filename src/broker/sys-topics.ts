// The broker's numbers as retained messages below $SYS/broker, under the names mosquitto uses.
//
//   facts() ──every intervalMs──► texts ──those that changed──► publish(topic, text, retained)
//
// Owns the names, the moving averages below load/, and what was published last: a number that did not change is not
// published again, so that a quiet broker is quiet here too. Does not own who may read or write these topics; the
// authoriser refuses publishes to $SYS, and the exchange keeps these messages in memory only.
//
// load/…/1min is what mosquitto computes: an exponentially weighted moving average of the rate per minute,
//   average += (1 - e^(-dt/window)) * (rate - average), starting at the first rate.

import { Buffer } from 'node:buffer';
import type { Clock, Timer } from '../platform/clock.ts';
import type { BrokerFacts } from './broker-facts.ts';

export interface SysPorts {
  readonly clock: Clock;
  readonly broker: {
    facts(): BrokerFacts;
    publish(message: {
      readonly topic: string;
      readonly payload: Uint8Array;
      readonly qos: 0;
      readonly retain: true;
    }): void;
  };
}

export interface SysOptions {
  /** What stands in $SYS/broker/version, such as `weir version 0.3.0`. */
  readonly version: string;
  /** Time between two rounds. */
  readonly intervalMs: number;
}

const prefix = '$SYS/broker/';
const msPerSecond = 1000;
const secondsPerMinute = 60;
const rateDigits = 2;
/** Name of the window and its length in minutes. */
const windows = [
  ['1min', 1],
  ['5min', 5],
  ['15min', 15],
] as const;

/** Topic below load/ -> the counter whose rate it is. */
const loads = {
  'messages/received': 'messagesReceived',
  'messages/sent': 'messagesSent',
  'publish/dropped': 'publishesDropped',
  'publish/received': 'publishesReceived',
  'publish/sent': 'publishesSent',
  'bytes/received': 'bytesReceived',
  'bytes/sent': 'bytesSent',
  sockets: 'socketsOpened',
  connections: 'connects',
} as const satisfies Readonly<Record<string, keyof BrokerFacts>>;

/** Topic -> the number that stands there. mosquitto's older names stay for the dashboards that know them. */
const plain = {
  'clients/connected': (facts) => facts.clientsConnected,
  'clients/active': (facts) => facts.clientsConnected,
  'clients/disconnected': (facts) => facts.clientsDisconnected,
  'clients/inactive': (facts) => facts.clientsDisconnected,
  'clients/total': (facts) => facts.clientsConnected + facts.clientsDisconnected,
  'clients/maximum': (facts) => facts.clientsMaximum,
  'clients/expired': (facts) => facts.clientsExpired,
  'messages/received': (facts) => facts.messagesReceived,
  'messages/sent': (facts) => facts.messagesSent,
  'messages/stored': (facts) => facts.queuedMessages + facts.retainedMessages,
  'store/messages/count': (facts) => facts.queuedMessages + facts.retainedMessages,
  'store/messages/bytes': (facts) => facts.queuedBytes + facts.retainedBytes,
  'subscriptions/count': (facts) => facts.subscriptions,
  'shared_subscriptions/count': (facts) => facts.sharedSubscriptions,
  'retained messages/count': (facts) => facts.retainedMessages,
  'publish/messages/received': (facts) => facts.publishesReceived,
  'publish/messages/sent': (facts) => facts.publishesSent,
  'publish/messages/dropped': (facts) => facts.publishesDropped,
  'publish/bytes/received': (facts) => facts.publishBytesReceived,
  'publish/bytes/sent': (facts) => facts.publishBytesSent,
  'bytes/received': (facts) => facts.bytesReceived,
  'bytes/sent': (facts) => facts.bytesSent,
} as const satisfies Readonly<Record<string, (facts: BrokerFacts) => number>>;

/** Whether `topic` lies where only the broker itself may publish. */
export function isSysTopic(topic: string): boolean {
  return topic === '$SYS' || topic.startsWith('$SYS/');
}

export class SysTopics {
  readonly #ports: SysPorts;
  readonly #options: SysOptions;
  readonly #published = new Map<string, string>();
  readonly #averages = new Map<string, number>();
  #startedMs = 0;
  #lastMs = 0;
  #last: BrokerFacts | undefined;
  #timer: Timer | undefined;

  constructor(ports: SysPorts, options: SysOptions) {
    this.#ports = ports;
    this.#options = options;
  }

  /** Publishes the first round at once. */
  start(): void {
    this.#startedMs = this.#ports.clock.monotonicMs();
    this.#lastMs = this.#startedMs;
    this.#say('version', this.#options.version);
    this.#round();
  }

  close(): Promise<void> {
    this.#timer?.cancel();
    this.#timer = undefined;
    return Promise.resolve();
  }

  #round(): void {
    const { clock, broker } = this.#ports;
    const nowMs = clock.monotonicMs();
    const facts = broker.facts();
    this.#say('uptime', `${Math.floor((nowMs - this.#startedMs) / msPerSecond)} seconds`);
    for (const [topic, value] of Object.entries(plain)) this.#say(topic, String(value(facts)));
    if (this.#last !== undefined && nowMs > this.#lastMs) this.#averageLoads(facts, this.#last, nowMs - this.#lastMs);
    this.#last = facts;
    this.#lastMs = nowMs;
    this.#timer = clock.setTimer(this.#options.intervalMs, () => this.#round(), { background: true });
  }

  #averageLoads(facts: BrokerFacts, before: BrokerFacts, elapsedMs: number): void {
    const minutes = elapsedMs / msPerSecond / secondsPerMinute;
    for (const [name, counter] of Object.entries(loads)) {
      const rate = (facts[counter] - before[counter]) / minutes;
      for (const [window, windowMinutes] of windows) {
        const topic = `load/${name}/${window}`;
        const average = this.#averages.get(topic) ?? rate;
        const next = average + (1 - Math.exp(-minutes / windowMinutes)) * (rate - average);
        this.#averages.set(topic, next);
        this.#say(topic, next.toFixed(rateDigits));
      }
    }
  }

  #say(name: string, text: string): void {
    if (this.#published.get(name) === text) return;
    this.#published.set(name, text);
    this.#ports.broker.publish({ topic: `${prefix}${name}`, payload: Buffer.from(text), qos: 0, retain: true });
  }
}
