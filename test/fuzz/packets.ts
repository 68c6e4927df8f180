// Valid packets drawn at random, as values that mqtt-packet encodes: every type, every field, every property.
//
// What is drawn is valid after the specification, so that a decoder which refuses it is wrong. Sizes lean to the
// small and to the edges of the length field.

import type { MqttVersion } from '../../src/protocol/mqtt/frame.ts';
import type { ControlPacket } from '../../src/protocol/mqtt/packet.ts';
import type { Random } from './random.ts';

export const packetKinds = [
  ...['connect', 'connack', 'publish', 'puback', 'pubrec', 'pubrel', 'pubcomp', 'subscribe', 'suback'],
  ...['unsubscribe', 'unsuback', 'pingreq', 'pingresp', 'disconnect', 'auth'],
] as const;

export const acknowledgements: readonly string[] = ['puback', 'pubrec', 'pubcomp'];

/** What a client may send once it is connected. */
export const clientKinds = [
  ...['publish', 'publish', 'publish', 'subscribe', 'subscribe', 'unsubscribe', 'puback', 'pubrec', 'pubrel'],
  ...['pubcomp', 'pingreq'],
];

type Properties = Record<string, unknown>;

const letters = ['a', 'b', 'sensor', 'temp', '0', '', 'ü', '日本', '😀', ' ', '$SYS', 'x'.repeat(40)];
const words = [
  '',
  'a',
  'text/plain',
  'ü',
  '😀',
  '\ufffd',
  '\ufeffbom',
  'a b',
  'x'.repeat(130),
  '__proto__',
  'constructor',
];
const sizes = [0, 0, 1, 2, 7, 31, 48, 49, 100, 120, 127, 128, 129, 200, 1_000];
const integers = [1, 2, 127, 128, 255, 256, 16_383, 16_384, 65_535];
const large = [0, 1, 255, 65_536, 2_147_483_647, 2_147_483_648, 4_294_967_295];
const identifiers = [1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455];
const reasons: Readonly<Record<string, readonly number[]>> = {
  connack: [0, 0x80, 0x87, 0x8a, 0x97, 0x9f],
  puback: [0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
  pubrec: [0, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
  pubrel: [0, 0x92],
  pubcomp: [0, 0x92],
  suback: [0, 1, 2, 0x80, 0x83, 0x87, 0x8f, 0x91, 0x97, 0x9e, 0xa1, 0xa2],
  unsuback: [0, 0x11, 0x80, 0x83, 0x87, 0x8f, 0x91],
  disconnect: [0, 4, 0x80, 0x81, 0x82, 0x8b, 0x8e, 0x93, 0x9c, 0xa2],
  auth: [0x18, 0x19],
};

export function drawPacket(random: Random, kind: string, version: MqttVersion): ControlPacket {
  const packet: Properties = { cmd: kind };
  const properties: Properties = {};
  draws[kind]?.(packet, random, version);
  if (version === 5) {
    propertyDraws[kind]?.(properties, random);
    if (!kind.startsWith('ping') && random.chance(0.4)) properties['userProperties'] = pairs(random);
    if (Object.keys(properties).length > 0) packet['properties'] = properties;
  }
  return packet as unknown as ControlPacket;
}

export function drawTopic(random: Random): string {
  const count = random.between(1, 5);
  const topic = Array.from({ length: count }, () => random.pick(letters)).join('/');
  return topic === '' ? '/' : topic;
}

export function drawFilter(random: Random): string {
  const levels = drawTopic(random).split('/');
  const filter = levels.map((level) => (random.chance(0.25) ? '+' : level)).join('/');
  return random.chance(0.2) ? `${filter}/#` : filter;
}

const draws: Readonly<Record<string, (packet: Properties, random: Random, version: MqttVersion) => void>> = {
  connect: drawConnect,
  connack: (packet, random, version) => {
    const code = random.pick(version === 5 ? (reasons['connack'] ?? []) : [0, 1, 2, 3, 4, 5]);
    packet[version === 5 ? 'reasonCode' : 'returnCode'] = code;
    packet['sessionPresent'] = code === 0 && random.chance(0.5);
  },
  publish: (packet, random) => {
    const qos = random.below(3);
    Object.assign(packet, { topic: drawTopic(random), payload: random.bytes(random.pick(sizes)), qos });
    Object.assign(packet, { retain: random.chance(0.3), dup: qos > 0 && random.chance(0.3) });
    if (qos > 0) packet['messageId'] = random.pick(integers);
  },
  puback: drawAck,
  pubrec: drawAck,
  pubrel: drawAck,
  pubcomp: drawAck,
  subscribe: (packet, random, version) => {
    packet['messageId'] = random.pick(integers);
    packet['subscriptions'] = Array.from({ length: random.between(1, 5) }, () => ({
      topic: drawFilter(random),
      qos: random.below(3),
      ...(version === 5 ? { nl: random.chance(0.3), rap: random.chance(0.3), rh: random.below(3) } : {}),
    }));
  },
  suback: (packet, random, version) => {
    packet['messageId'] = random.pick(integers);
    const codes = version === 5 ? (reasons['suback'] ?? []) : [0, 1, 2, 0x80];
    packet['granted'] = Array.from({ length: random.between(1, 5) }, () => random.pick(codes));
  },
  unsubscribe: (packet, random) => {
    packet['messageId'] = random.pick(integers);
    packet['unsubscriptions'] = Array.from({ length: random.between(1, 5) }, () => drawFilter(random));
  },
  unsuback: (packet, random, version) => {
    packet['messageId'] = random.pick(integers);
    if (version !== 5) return;
    packet['granted'] = Array.from({ length: random.between(1, 5) }, () => random.pick(reasons['unsuback'] ?? []));
  },
  disconnect: (packet, random, version) => {
    if (version === 5) packet['reasonCode'] = random.pick(reasons['disconnect'] ?? []);
  },
  auth: (packet, random) => {
    packet['reasonCode'] = random.pick(reasons['auth'] ?? []);
  },
};

function drawConnect(packet: Properties, random: Random, version: MqttVersion): void {
  const protocol = version === 3 ? 'MQIsdp' : 'MQTT';
  Object.assign(packet, { protocolId: protocol, protocolVersion: version, clean: random.chance(0.7) });
  packet['keepalive'] = random.pick([0, ...integers]);
  packet['clientId'] =
    version === 4 && packet['clean'] === true && random.chance(0.2) ? '' : `c${random.pick(letters)}`;
  if (random.chance(0.4)) {
    const will: Properties = {
      topic: drawTopic(random),
      payload: random.bytes(random.pick(sizes)),
      qos: random.below(3),
      retain: random.chance(0.3),
    };
    const properties: Properties = {};
    if (random.chance(0.4)) properties['willDelayInterval'] = random.pick(large);
    drawMessageProperties(properties, random);
    if (random.chance(0.4)) properties['userProperties'] = pairs(random);
    if (version === 5 && Object.keys(properties).length > 0) will['properties'] = properties;
    packet['will'] = will;
  }
  if (random.chance(0.5)) {
    packet['username'] = `u${random.pick(words)}`;
    if (random.chance(0.7)) packet['password'] = random.bytes(random.between(1, 40));
  }
}

function drawAck(packet: Properties, random: Random, version: MqttVersion): void {
  packet['messageId'] = random.pick(integers);
  if (version === 5) packet['reasonCode'] = random.pick(reasons[packet['cmd'] as string] ?? []);
}

function drawReason(properties: Properties, random: Random): void {
  if (random.chance(0.3)) properties['reasonString'] = random.pick(words);
}

function drawMessageProperties(properties: Properties, random: Random): void {
  if (random.chance(0.3)) properties['payloadFormatIndicator'] = random.chance(0.5);
  if (random.chance(0.3)) properties['messageExpiryInterval'] = random.pick(large);
  if (random.chance(0.3)) properties['contentType'] = random.pick(words);
  if (random.chance(0.3)) properties['responseTopic'] = drawTopic(random);
  if (random.chance(0.3)) properties['correlationData'] = random.bytes(random.pick(sizes));
}

function drawHandshakeProperties(properties: Properties, random: Random): void {
  if (random.chance(0.3)) properties['sessionExpiryInterval'] = random.pick(large);
  if (random.chance(0.3)) properties['receiveMaximum'] = random.pick(integers);
  if (random.chance(0.2)) properties['maximumPacketSize'] = random.pick(large.slice(1));
  if (random.chance(0.3)) properties['topicAliasMaximum'] = random.pick([0, ...integers]);
  if (random.chance(0.1)) drawAuthentication(properties, random);
}

function drawAuthentication(properties: Properties, random: Random): void {
  properties['authenticationMethod'] = random.pick(words);
  if (random.chance(0.5)) properties['authenticationData'] = random.bytes(random.pick(sizes));
}

const serverFlags = [
  ...['retainAvailable', 'wildcardSubscriptionAvailable', 'subscriptionIdentifiersAvailable'],
  'sharedSubscriptionAvailable',
];

const propertyDraws: Readonly<Record<string, (properties: Properties, random: Random) => void>> = {
  connect: (properties, random) => {
    drawHandshakeProperties(properties, random);
    if (random.chance(0.3)) properties['requestResponseInformation'] = random.chance(0.5);
    if (random.chance(0.3)) properties['requestProblemInformation'] = random.chance(0.5);
  },
  connack: (properties, random) => {
    drawHandshakeProperties(properties, random);
    drawReason(properties, random);
    for (const name of serverFlags) if (random.chance(0.2)) properties[name] = random.chance(0.5);
    if (random.chance(0.2)) properties['maximumQoS'] = random.below(2);
    if (random.chance(0.2)) properties['serverKeepAlive'] = random.pick(integers);
    if (random.chance(0.2)) properties['assignedClientIdentifier'] = random.pick(words);
    if (random.chance(0.2)) properties['responseInformation'] = random.pick(words);
    if (random.chance(0.2)) properties['serverReference'] = random.pick(words);
  },
  publish: drawMessageProperties,
  puback: drawReason,
  pubrec: drawReason,
  pubrel: drawReason,
  pubcomp: drawReason,
  suback: drawReason,
  unsuback: drawReason,
  subscribe: (properties, random) => {
    if (random.chance(0.4)) properties['subscriptionIdentifier'] = random.pick(identifiers);
  },
  disconnect: (properties, random) => {
    drawReason(properties, random);
    if (random.chance(0.2)) properties['sessionExpiryInterval'] = random.pick(large);
    if (random.chance(0.2)) properties['serverReference'] = random.pick(words);
  },
  auth: (properties, random) => {
    drawAuthentication(properties, random);
    drawReason(properties, random);
  },
};

/** mqtt-packet loses an empty value that is followed by another of the same name: several values are not empty. */
function pairs(random: Random): Properties {
  const drawn: Properties = Object.create(null) as Properties;
  for (let count = random.between(1, 4); count > 0; count--) {
    const several = random.chance(0.3);
    drawn[random.pick(words)] = several ? [`1${random.pick(words)}`, `2${random.pick(words)}`] : random.pick(words);
  }
  return drawn;
}
