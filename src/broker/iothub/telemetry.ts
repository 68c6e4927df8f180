// One telemetry publish → one Message, or of a frame several; or a typed refusal. Pure.
//
// What the sender says about who it is (`$.cdid`, `$.cmid`) is dropped: the sender is the topic's identity, and
// the front has checked that the connection may speak for it. As at IoT Hub, a retained publish is not retained and
// carries the property `mqtt-retain` instead, and a will carries `iothub-MessageType`.

import { messageBytesMax, propertyBagBytesMax } from '../../limits.ts';
import type { Identity } from '../../model/address.ts';
import type { Message } from '../../model/message.ts';
import {
  type DecodedPropertyBag,
  decodePropertyBag,
  encodePropertyBag,
  lockProperty,
} from '../../protocol/iothub/property-bag.ts';
import { decodeTelemetryFrame } from '../../protocol/iothub/telemetry-frame.ts';
import { cloudToDeviceTopic, inputTopic } from '../../protocol/iothub/topics.ts';
import type { InboundPublish } from '../ports.ts';
import { badFrameError, badPropertiesError, tooLargeError } from './errors.ts';

/** A bag below this cannot grow over propertyBagBytesMax by being written anew: percent-encoding at most triples it. */
const bagBytesHarmless = Math.floor(propertyBagBytesMax / 3);

/** Throws IOTHUB_PROPERTIES_INVALID, IOTHUB_TOO_LARGE. */
export function readTelemetry(
  publish: InboundPublish,
  topic: { readonly sender: Identity; readonly bag: string },
  nowMs: number,
): Message {
  const { system, properties, output, hop } = readBag(topic.bag, publish.topic);
  const message: Message = {
    sender: topic.sender,
    output,
    system,
    properties: publish.retain || publish.will ? withMarks(publish, properties) : properties,
    body: publish.payload,
    enqueuedMs: nowMs,
    hop,
  };
  checkSize(message, topic.bag);
  return message;
}

/** All messages of a frame. Throws IOTHUB_FRAME_INVALID, and what readTelemetry() throws of each. */
export function readFrame({ topic, payload }: InboundPublish, nowMs: number): readonly Message[] {
  const frame = decodeTelemetryFrame(payload);
  if (!frame.ok) throw badFrameError(frame.reason);
  let text: string | undefined;
  let bag: Bag | undefined;
  return frame.messages.map(({ sender, bag: ownText, body, hop }) => {
    if (bag === undefined || ownText !== text) bag = readBag(ownText, topic);
    text = ownText;
    const { output, system, properties } = bag;
    if (bag.hop !== undefined) throw badFrameError('a message in it has a position of its own');
    const message: Message = { sender, output, system, properties, body, enqueuedMs: nowMs, hop };
    checkSize(message, ownText);
    return message;
  });
}

type Bag = Omit<Extract<DecodedPropertyBag, { readonly ok: true }>, 'ok'>;

function readBag(text: string, topic: string): Bag {
  const bag = decodePropertyBag(text);
  if (!bag.ok) throw badPropertiesError(topic, bag.reason);
  const { output, hop, properties } = bag;
  return { system: withoutClaims(bag.system), properties, output, hop };
}

function checkSize(message: Message, bag: string): void {
  const bytes = message.body.byteLength + textBytes(message.system) + textBytes(message.properties);
  if (bytes > messageBytesMax) throw tooLargeError('The message with its properties', bytes, messageBytesMax);
  if (bag.length <= bagBytesHarmless) return;
  const bagBytes = encodePropertyBag(message).length;
  if (bagBytes > propertyBagBytesMax) throw tooLargeError('The text of the properties', bagBytes, propertyBagBytesMax);
}

/** The topic by which a module's input gets the message: with its sender, without what only the last hop needed. */
export function inputTopicOf(target: Identity, input: string, message: Message): string {
  const { deviceId, moduleId } = message.sender;
  const sender = { connectionDeviceId: deviceId, ...(moduleId === undefined ? {} : { connectionModuleId: moduleId }) };
  return inputTopic(
    target,
    input,
    encodePropertyBag({ system: { ...message.system, ...sender }, properties: message.properties }),
  );
}

/** The topic by which a device gets a message from the cloud; `lock` is for a gateway that is to pass it on. */
export function deviceboundTopicOf(
  device: Identity,
  { system, properties }: Pick<Message, 'system' | 'properties'>,
  lock?: string,
): string {
  const bag = { system, properties: lock === undefined ? properties : { ...properties, [lockProperty]: lock } };
  return cloudToDeviceTopic(device, encodePropertyBag(bag));
}

function withMarks(
  { retain, will }: InboundPublish,
  properties: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  const retained = retain ? { 'mqtt-retain': 'true' } : {};
  return { ...properties, ...retained, ...(will ? { 'iothub-MessageType': 'Will' } : {}) };
}

/** Without what the sender says about who it is. */
function withoutClaims(said: Readonly<Record<string, string>>): Readonly<Record<string, string>> {
  if (said['connectionDeviceId'] === undefined && said['connectionModuleId'] === undefined) return said;
  const { connectionDeviceId: _device, connectionModuleId: _module, ...system } = said;
  return system;
}

function textBytes(properties: Readonly<Record<string, string>>): number {
  let bytes = 0;
  for (const key of Object.keys(properties))
    bytes += Buffer.byteLength(key) + Buffer.byteLength(properties[key] as string);
  return bytes;
}
