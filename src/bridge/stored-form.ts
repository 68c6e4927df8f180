// A bridged message as the queue keeps it, and as a packet for the other broker.
//
//   queue     sender: this gateway    body: the payload
//             system  mqttTopic       its topic on the other broker, decided when it was taken
//                     mqttRetain      "1" when it is retained
//                     mqttProperties  MQTT 5 properties as bytes, in base64
//                     mqttExpiryMs    how long it holds from its acceptance on
//   packet    QoS 1, whatever it came with: what was stored is to arrive

import type { Message } from '../model/message.ts';
import type { MqttClientPublish } from '../protocol/mqtt/client.ts';
import type { TakenMessage } from './ports.ts';

const nothing = Buffer.alloc(0);
const msPerSecond = 1000;

export function storedForm(
  { payload, retain, propertyBytes, expiresInMs }: TakenMessage,
  facts: { readonly topic: string; readonly deviceId: string; readonly enqueuedMs: number },
): Message {
  const { topic, deviceId, enqueuedMs } = facts;
  return {
    sender: { deviceId },
    system: {
      mqttTopic: topic,
      ...(retain ? { mqttRetain: '1' } : {}),
      ...(propertyBytes.length === 0 ? {} : { mqttProperties: propertyBytes.toString('base64') }),
      ...(expiresInMs === undefined ? {} : { mqttExpiryMs: String(Math.ceil(expiresInMs)) }),
    },
    properties: {},
    body: payload,
    enqueuedMs,
  };
}

/** Undefined: it is no bridged message. */
export function bridgedPacket(
  { system, body, enqueuedMs }: Message,
  nowMs: number,
): (MqttClientPublish & { readonly qos: 1 }) | undefined {
  const { mqttTopic: topic, mqttRetain, mqttProperties, mqttExpiryMs } = system;
  if (topic === undefined) return undefined;
  const expiresInMs = mqttExpiryMs === undefined ? undefined : Number(mqttExpiryMs) - Math.max(0, nowMs - enqueuedMs);
  return {
    topic,
    payload: body,
    qos: 1,
    retain: mqttRetain === '1',
    propertyBytes: mqttProperties === undefined ? nothing : Buffer.from(mqttProperties, 'base64'),
    expirySeconds: expiresInMs === undefined ? undefined : Math.max(1, Math.ceil(expiresInMs / msPerSecond)),
  };
}
