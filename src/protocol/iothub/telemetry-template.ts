// Telemetry for an upstream that is no IoT hub: a topic out of a template, and what a message has beside its body.
//
//   "weir/{device}/{module}/{output}"     of gw1's module plant, output alarms      ─► weir/gw1/plant/alarms
//                                         of gw1 itself: empty levels are left out  ─► weir/gw1
//
//   {device} {module} {output}   where the message comes from; `/ + # %` in them are percent-encoded
//   {properties}                 its properties as IoT Hub writes them in a topic: for brokers that speak 3.1.1
//
// To a broker that speaks 5.0 the properties go as user properties, the content type as content type; IoT Hub's own
// ones (messageId …) under the names that Azure gives them in a topic, `$.mid` and so on. A repetition can be told by
// `$.hop`, as the hub does.

import type { Message, StreamPosition } from '../../model/message.ts';
import type { MqttClientPublish } from '../mqtt/client.ts';
import { encodeProperties } from '../mqtt/publish-properties.ts';
import { isMqttString, isValidTopicName } from '../mqtt/topic.ts';
import { encodePropertyBag } from './property-bag.ts';

const variables = ['device', 'module', 'output', 'properties'];
const variablePattern = /\{([^{}]*)\}/g;

/** What is wrong with a template; undefined: nothing. */
export function templateProblem(template: string): string | undefined {
  for (const [whole, name] of template.matchAll(variablePattern)) {
    if (!variables.includes(name ?? ''))
      return `there is no variable ${whole}; there are ${variables.map((known) => `{${known}}`).join(', ')}`;
  }
  if (!template.includes('{device}')) return 'it has no {device}: messages of two gateways could not be told apart';
  const plain = template.replace(variablePattern, 'x');
  if (/[{}]/.test(plain)) return 'a brace belongs to no variable';
  return isValidTopicName(plain) && !plain.startsWith('$') ? undefined : 'it is no topic to publish to';
}

/** Undefined: there is no topic of this message that can be sent. */
export function telemetryPacket(
  template: string,
  { message, hop }: { readonly message: Message; readonly hop?: StreamPosition | undefined },
): (MqttClientPublish & { readonly qos: 1 }) | undefined {
  const { sender, output, system, properties, body } = message;
  const bag = { system, properties, output, ...(hop === undefined ? {} : { hop }) };
  const values: Readonly<Record<string, string | undefined>> = {
    device: levelOf(sender.deviceId),
    module: levelOf(sender.moduleId),
    output: levelOf(output),
    properties: template.includes('{properties}') ? encodePropertyBag(bag) : undefined,
  };
  const topic = template
    .split('/')
    .map((level) => ({ level, filled: level.replace(variablePattern, (_, name: string) => values[name] ?? '') }))
    .filter(({ level, filled }) => filled !== '' || level === '')
    .map(({ filled }) => filled)
    .join('/');
  if (!isValidTopicName(topic)) return undefined;
  return { topic, payload: body, qos: 1, propertyBytes: propertiesOf(bag) };
}

function propertiesOf(bag: Parameters<typeof encodePropertyBag>[0]): Buffer {
  const { contentType } = bag.system;
  const pairs = encodePropertyBag(bag)
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const equals = pair.indexOf('=');
      const [name, value] = equals === -1 ? [pair, ''] : [pair.slice(0, equals), pair.slice(equals + 1)];
      return [decodeURIComponent(name), decodeURIComponent(value)] as const;
    })
    .filter(([name, value]) => isMqttString(name) && isMqttString(value));
  return encodeProperties({
    ...(contentType === undefined || !isMqttString(contentType) ? {} : { contentType }),
    userProperties: Object.fromEntries(pairs),
  });
}

function levelOf(text: string | undefined): string | undefined {
  return text?.replace(/[/+#%]/g, encodeURIComponent);
}
