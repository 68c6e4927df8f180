// Telemetry under way to the hub: the flight of one connection, and the words of a telemetry message on the wire.
//
//   batch ─► parcels: frames, and messages that go singly (framing.ts) ─► one publish each ─► how many from the front arrived
//
// One flight a connection; it ends with it. The window is the sender's business (window.messages, window.bytes in
// link.ts). Every message carries its place in our outbox as `$.hop`, or in the head of its frame, so a repetition is not
// logged twice by the hub. Frames go only to a hub that has told on this connection that it takes them.

import type { Message, StreamPosition } from '../model/message.ts';
import type { Clock } from '../platform/clock.ts';
import { encodePropertyBag } from '../protocol/iothub/property-bag.ts';
import { type FramedMessage, frameTopic } from '../protocol/iothub/telemetry-frame.ts';
import { telemetryTopic } from '../protocol/iothub/topics.ts';
import type { MqttClient } from '../protocol/mqtt/client.ts';
import { PublishFlight } from '../protocol/mqtt/flight.ts';
import { offlineError } from './errors.ts';
import { Frame, type Framing, messagesIn, type Parcel } from './framing.ts';
import type { OutgoingMessage } from './ports.ts';

export class Flight {
  /** The hub has told that it takes frames. */
  takesFrames = false;
  readonly #framing: Framing;
  readonly #framed: (outgoing: OutgoingMessage) => FramedMessage;
  readonly #parcels: PublishFlight<Parcel>;

  constructor(client: Pick<MqttClient, 'publishFor'>, clock: Clock, framing: Framing) {
    const text = new TimeText();
    this.#framing = framing;
    this.#framed = (outgoing) => framed(outgoing, text);
    this.#parcels = new PublishFlight({
      client,
      nowMs: () => clock.monotonicMs(),
      wire: (parcel) => (parcel instanceof Frame ? framePacket(parcel) : wire(parcel, text)),
      failed: () => offlineError('Sending messages'),
    });
  }

  /** For how long nothing of what is under way was acknowledged, milliseconds; 0 when nothing is. */
  get stalledMs(): number {
    return this.#parcels.stalledMs;
  }

  /** Resolves with how many from the front were acknowledged, when no more can be. Rejects when none was. */
  async send(batch: readonly OutgoingMessage[]): Promise<number> {
    const parcels = this.takesFrames ? this.#framing.pack(batch, this.#framed) : batch;
    let accepted = 0;
    try {
      accepted = await this.#parcels.send(parcels);
    } finally {
      this.#framing.settled(parcels, accepted);
    }
    if (accepted === parcels.length) return batch.length;
    return parcels.slice(0, accepted).reduce((sum, parcel) => sum + messagesIn(parcel), 0);
  }
}

interface TelemetryPacket {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 1;
}

function wire({ message, hop }: OutgoingMessage, text: TimeText): TelemetryPacket {
  return { topic: telemetryTopic(message.sender, bagOf(message, text, hop)), payload: message.body, qos: 1 };
}

function framePacket({ payload }: Frame): TelemetryPacket {
  return { topic: frameTopic, payload, qos: 1 };
}

function framed({ message, hop }: OutgoingMessage, text: TimeText): FramedMessage {
  return { sender: message.sender, bag: bagOf(message, text), body: message.body, hop };
}

function bagOf(message: Message, text: TimeText, hop?: StreamPosition): string {
  const { properties, output } = message;
  return encodePropertyBag({ system: originOf(message, text), properties, output, hop });
}

/** System properties as they are sent on: the time of acceptance at the gateway travels as creation time, unless the sender gave one. */
function originOf({ system, enqueuedMs }: Message, text: TimeText): Readonly<Record<string, string>> {
  return system['creationTime'] === undefined ? { ...system, creationTime: text.of(enqueuedMs) } : system;
}

/** Times as text; many messages that follow each other are of one millisecond. */
class TimeText {
  #wallMs = Number.NaN;
  #text = '';

  of(wallMs: number): string {
    if (wallMs !== this.#wallMs) this.#text = new Date(wallMs).toISOString();
    this.#wallMs = wallMs;
    return this.#text;
  }
}
