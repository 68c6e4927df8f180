// Topic aliases of one client: the number it may send instead of a topic (MQTT 5 §3.3.2.3.4).
//
//   PUBLISH topic "sport/tennis" alias 3 ──set──► 3: what was decided about sport/tennis
//   PUBLISH topic ""             alias 3 ──get──► the same, without a look at any text
//
// The mapping lives as long as the network connection [MQTT-3.3.2-7] and is this direction's alone [MQTT-3.3.2-11].
// Bounded by the Topic Alias Maximum of our CONNACK, and by the bytes of the topics: a client that names topics
// of 64 KiB is told so (0x97). No memory before the first alias.

import { brokerTopicAliasBytesMax } from '../limits.ts';

interface Aliased {
  /** The topic's bytes, as far as they count. */
  readonly bytes: { readonly length: number };
}

export class InboundAliases<Entry extends Aliased> {
  readonly #max: number;
  #entries: (Entry | undefined)[] | undefined;
  #bytes = 0;

  /** `max` is what the CONNACK told the client. */
  constructor(max: number) {
    this.#max = max;
  }

  /** What `alias` stands for; undefined when it stands for nothing. */
  get(alias: number): Entry | undefined {
    return this.#entries?.[alias];
  }

  /** From now on `alias` stands for `entry`. Invalid when it is 0 or above the maximum [MQTT-3.3.2-8, -9]. */
  set(alias: number, entry: Entry): 'set' | 'invalid' | 'full' {
    if (alias === 0 || alias > this.#max) return 'invalid';
    this.#entries ??= [];
    const before = this.#entries[alias];
    if (before === entry) return 'set';
    const bytes = this.#bytes + entry.bytes.length - (before?.bytes.length ?? 0);
    if (bytes > brokerTopicAliasBytesMax) return 'full';
    this.#bytes = bytes;
    while (this.#entries.length < alias) this.#entries.push(undefined);
    this.#entries[alias] = entry;
    return 'set';
  }
}
