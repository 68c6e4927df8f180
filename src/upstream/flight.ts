// Telemetry under way to the hub: the flight of one connection, and the words of a telemetry message on the wire.
//
// One flight a connection; it ends with it. The window is the sender's business (window.messages, window.bytes in
// link.ts). Every message carries its place in our outbox as `$.hop`, so a repetition is not logged twice by the hub.

import type { Message } from '../model/message.ts';
import type { Clock } from '../platform/clock.ts';
import { encodePropertyBag } from '../protocol/iothub/property-bag.ts';
import { telemetryTopic } from '../protocol/iothub/topics.ts';
import type { MqttClient } from '../protocol/mqtt/client.ts';
import { PublishFlight } from '../protocol/mqtt/flight.ts';
import { offlineError } from './errors.ts';
import type { OutgoingMessage } from './ports.ts';

export class Flight extends PublishFlight<OutgoingMessage> {
  constructor(client: Pick<MqttClient, 'publishFor'>, clock: Clock) {
    const text = new TimeText();
    super({
      client,
      nowMs: () => clock.monotonicMs(),
      wire: (outgoing) => wire(outgoing, text),
      failed: () => offlineError('Sending messages'),
    });
  }
}

interface TelemetryPacket {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 1;
}

function wire({ message, hop }: OutgoingMessage, text: TimeText): TelemetryPacket {
  const bag = encodePropertyBag({
    system: originOf(message, text),
    properties: message.properties,
    output: message.output,
    hop,
  });
  return { topic: telemetryTopic(message.sender, bag), payload: message.body, qos: 1 };
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
