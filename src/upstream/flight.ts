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
  constructor(client: Pick<MqttClient, 'publish'>, clock: Clock) {
    super({
      client,
      nowMs: () => clock.monotonicMs(),
      wire,
      failed: () => offlineError('Sending messages'),
    });
  }
}

interface TelemetryPacket {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 1;
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
