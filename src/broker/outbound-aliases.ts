// Topic aliases of one MQTT 5 connection, from us to the client (§3.3.2.3.4): a topic that comes again is sent as a
// number.
//
//   first time   topic in full, remembered as seen
//   second       topic in full with the alias that stands for it from now on
//   third …      the alias alone
//
// Made when the first message is written to a client that allows aliases. Few: what is sent to one client at a time
// comes from few topics, and the table is looked through in order. When it is full the oldest alias gets a new topic.

import { Buffer } from 'node:buffer';
import { brokerOutboundAliasesMax } from '../limits.ts';
import type { PublishView } from '../protocol/mqtt/publish.ts';
import type { DeliveryHeader } from './delivery.ts';

const topicLengthBytes = 2;
/** The alias property takes three bytes of every packet: a shorter topic is not worth it. */
const topicBytesMin = 6;
const seenMax = 4;

export class OutboundAliases {
  /** Length-prefixed topic bytes; the alias is the index and one. */
  readonly #topics: Buffer[] = [];
  readonly #seen: Buffer[] = [];
  readonly #max: number;
  #nextSeen = 0;
  #nextAlias = 0;
  #last = -1;

  constructor(topicAliasMax: number) {
    this.#max = Math.min(topicAliasMax, brokerOutboundAliasesMax);
  }

  /** Writes into `header` what the client gets in place of the topic of `view`. The packet must be sent then. */
  apply(view: PublishView, header: DeliveryHeader): void {
    if (view.topicBytes < topicBytesMin) return;
    const known = this.#find(view);
    if (known >= 0) {
      header.topicAlias = known + 1;
      header.omitTopic = true;
      return;
    }
    if (!this.#wasSeen(view)) return;
    this.#topics[this.#nextAlias] = topicOf(view);
    header.topicAlias = this.#nextAlias + 1;
    this.#nextAlias = (this.#nextAlias + 1) % this.#max;
  }

  #find(view: PublishView): number {
    const last = this.#topics[this.#last];
    if (last !== undefined && isTopicOf(view, last)) return this.#last;
    this.#last = this.#topics.findIndex((topic) => isTopicOf(view, topic));
    return this.#last;
  }

  #wasSeen(view: PublishView): boolean {
    if (this.#seen.some((topic) => isTopicOf(view, topic))) return true;
    this.#seen[this.#nextSeen] = topicOf(view);
    this.#nextSeen = (this.#nextSeen + 1) % seenMax;
    return false;
  }
}

function topicOf(view: PublishView): Buffer {
  return Buffer.from(view.topicBuffer.subarray(view.topicFrom, view.topicAt + view.topicBytes));
}

function isTopicOf({ topicBuffer, topicFrom, topicBytes }: PublishView, topic: Buffer): boolean {
  if (topic.length !== topicBytes + topicLengthBytes) return false;
  return topicBuffer.compare(topic, 0, topic.length, topicFrom, topicFrom + topic.length) === 0;
}
