// The telemetry under way on one connection: batches handed over, acknowledged one by one, answered as a whole.
//
// One flight a connection; it ends with it. Owns the words of a telemetry message on the wire. The window is the
// sender's business (window.messages, window.bytes in link.ts); this only hands over.
//
// Invariants
//   A message counts as accepted only after the hub's PUBACK for it and for all before it in its batch.
//   Once a message was not taken, nothing handed over after it is sent, until every batch under way has settled:
//   the hub would take its repetition for something it has. The end of the connection does the same by itself.
//   Every message carries its place in our outbox as `$.hop`, so a repetition is not logged twice by the hub.

import { messageBytesMax } from '../limits.ts';
import type { Message } from '../model/message.ts';
import type { Clock } from '../platform/clock.ts';
import { encodePropertyBag } from '../protocol/iothub/property-bag.ts';
import { telemetryTopic } from '../protocol/iothub/topics.ts';
import type { MqttClient } from '../protocol/mqtt/client.ts';
import { isValidTopicName } from '../protocol/mqtt/topic.ts';
import { offlineError } from './errors.ts';
import type { OutgoingMessage } from './ports.ts';

export class Flight {
  readonly #client: Pick<MqttClient, 'publish'>;
  readonly #clock: Clock;
  #batches = 0;
  #messages = 0;
  #broken = false;
  #progressMs = 0;

  constructor(client: Pick<MqttClient, 'publish'>, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  /** For how long nothing of what is under way was acknowledged, milliseconds; 0 when nothing is. */
  get stalledMs(): number {
    return this.#messages === 0 ? 0 : this.#clock.monotonicMs() - this.#progressMs;
  }

  /** Resolves with how many from the front were acknowledged, when no more can be. Rejects when none was. */
  async send(batch: readonly OutgoingMessage[]): Promise<number> {
    if (this.#messages === 0) this.#progressMs = this.#clock.monotonicMs();
    this.#batches++;
    try {
      const accepted = await this.#handOver(batch);
      if (accepted === 0 && batch.length > 0) throw offlineError('Sending messages');
      return accepted;
    } finally {
      if (--this.#batches === 0) this.#broken = false;
    }
  }

  #handOver(batch: readonly OutgoingMessage[]): Promise<number> {
    return new Promise((resolve) => {
      // Acknowledgements come in order from all hubs we know, but nothing says that they must.
      const acknowledged = new Uint8Array(batch.length);
      let open = 1;
      const settled = (): void => {
        if (--open > 0) return;
        const missing = acknowledged.indexOf(0);
        resolve(missing === -1 ? batch.length : missing);
      };
      for (const [index, outgoing] of batch.entries()) {
        const packet = wire(outgoing);
        this.#broken ||= !isSendable(packet);
        if (this.#broken) break;
        open++;
        this.#messages++;
        this.#client.publish(packet).then(
          () => {
            this.#messages--;
            this.#progressMs = this.#clock.monotonicMs();
            acknowledged[index] = 1;
            settled();
          },
          () => {
            this.#messages--;
            this.#broken = true;
            settled();
          },
        );
      }
      settled();
    });
  }
}

interface TelemetryPacket {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 1;
}

function isSendable({ topic, payload }: TelemetryPacket): boolean {
  return isValidTopicName(topic) && payload.byteLength <= messageBytesMax;
}

function wire({ message, hop }: OutgoingMessage): TelemetryPacket {
  const bag = encodePropertyBag({
    system: originOf(message),
    properties: message.properties,
    output: message.output,
    hop,
  });
  return { topic: telemetryTopic(message.sender, bag), payload: message.body, qos: 1 };
}

/** System properties as they are sent on: the time of acceptance at the gateway travels as creation time, unless the sender gave one. */
function originOf(message: Message): Readonly<Record<string, string>> {
  if (message.system['creationTime'] !== undefined) return message.system;
  return { ...message.system, creationTime: new Date(message.enqueuedMs).toISOString() };
}
