// What three hostile clients do to a broker, step by step: drawn from a seed, or read from a file.
//
//   open 0          a new connection in place 0; one that is there is lost first
//   send 0 1010…    bytes in one read
//   stall 0         takes nothing more            take 0   takes all again
//   lose 0          the connection is gone, without a word
//   turn            the broker's turn ends, the witnesses are looked at
//   pass 1500       milliseconds
//
// As text a script is a step a line, so that a failing one can be read, shortened and kept.

import type { MqttVersion } from '../../src/protocol/mqtt/frame.ts';
import { type ControlPacket, encodePacket } from '../../src/protocol/mqtt/packet.ts';
import { mutate } from './mutations.ts';
import { clientKinds, drawPacket } from './packets.ts';
import { caseRandom, type Random } from './random.ts';

export const places = 3;

export type Step =
  | { readonly op: 'open' | 'stall' | 'take' | 'lose'; readonly place: number }
  | { readonly op: 'send'; readonly place: number; readonly bytes: Buffer }
  | { readonly op: 'turn' }
  | { readonly op: 'pass'; readonly ms: number };

export type Script = readonly Step[];

export function scriptText(script: Script): string {
  return script
    .map((step) => {
      if (step.op === 'turn') return 'turn';
      if (step.op === 'pass') return `pass ${step.ms}`;
      return step.op === 'send' ? `send ${step.place} ${step.bytes.toString('hex')}` : `${step.op} ${step.place}`;
    })
    .join('\n');
}

export function parseScript(text: string): Script {
  const lines = text.split('\n').map((line) => line.replace(/#.*/, '').trim());
  return lines.filter((line) => line !== '').map(parseStep);
}

function parseStep(line: string): Step {
  const [op = '', first = '', second = ''] = line.split(/\s+/);
  const place = Number(first);
  switch (op) {
    case 'turn':
      return { op };
    case 'pass':
      return { op, ms: Number(first) };
    case 'send':
      return { op, place, bytes: Buffer.from(second, 'hex') };
    case 'open':
    case 'stall':
    case 'take':
    case 'lose':
      return { op, place };
    default:
      throw new Error(`no step of a script: ${line}`);
  }
}

const topics = ['a', 'b', 'a/b', 'a/b/c', '/', 'ü', '$SYS/x', '$share/g/a'];
const filters = [
  ...['#', '+', 'a', 'a/#', 'a/+', '+/b', '/', '$SYS/#', '$share/g/a', '$share/g/#', '$share/h/#', '$share/g/a/+'],
  ...['+/+/#', 'a/b/c', '#', '$share//a', 'a#', '$share/g+/a'],
];
const clientIds = ['c0', 'c1', 'c2', ''];
const payloadSizes = [0, 1, 10, 60, 200, 1000, 6000];

/** Case `index` of `seed`. */
export function drawScript(seed: number, index: number): Script {
  const random = caseRandom(seed, index);
  const steps: Step[] = [];
  const versions: (MqttVersion | undefined)[] = Array.from({ length: places }, () => undefined);
  for (let left = random.between(15, 70); left > 0; left--) {
    const place = random.below(places);
    const version = versions[place];
    if (version === undefined || random.chance(0.04)) {
      versions[place] = drawOpening(random, place, steps);
    } else if (random.chance(0.72)) {
      drawSending(random, { place, version }, steps);
    } else {
      const step = drawOther(random, place);
      if (step.op === 'lose') versions[place] = undefined;
      steps.push(step);
    }
    if (random.chance(0.3)) steps.push({ op: 'turn' });
  }
  return steps;
}

function drawOther(random: Random, place: number): Step {
  const drawn = random.fraction();
  if (drawn < 0.2) return { op: 'stall', place };
  if (drawn < 0.45) return { op: 'take', place };
  if (drawn < 0.6) return { op: 'lose', place };
  return drawn < 0.8 ? { op: 'pass', ms: random.pick([100, 1000, 3000, 12_000]) } : { op: 'turn' };
}

function drawOpening(random: Random, place: number, steps: Step[]): MqttVersion {
  const version = random.pick([3, 4, 4, 5, 5, 5, 5] as const);
  const packet = drawPacket(random, 'connect', version) as ControlPacket & Record<string, unknown>;
  packet['clientId'] = random.pick(clientIds);
  packet['clean'] = packet['clientId'] === '' || random.chance(0.5);
  packet['keepalive'] = random.pick([0, 0, 1, 5, 60]);
  if (version === 3 && packet['clientId'] === '') packet['clientId'] = 'c0';
  if (version === 5) {
    packet['properties'] = {
      ...(packet['properties'] as object | undefined),
      ...(random.chance(0.5) ? { receiveMaximum: random.between(1, 3) } : {}),
      ...(random.chance(0.5) ? { topicAliasMaximum: random.between(0, 3) } : {}),
      ...(random.chance(0.3) ? { maximumPacketSize: random.pick([1, 20, 50, 200]) } : {}),
      ...(random.chance(0.5) ? { sessionExpiryInterval: random.pick([0, 2, 100, 4_294_967_295]) } : {}),
    };
  }
  const connect = encodePacket(packet, version);
  steps.push({ op: 'open', place });
  steps.push({ op: 'send', place, bytes: random.chance(0.92) ? connect : mutate(connect, random, connect) });
  if (random.chance(0.8)) steps.push({ op: 'turn' });
  return version;
}

interface Client {
  readonly place: number;
  readonly version: MqttVersion;
}

function drawSending(random: Random, { place, version }: Client, steps: Step[]): void {
  const packets = Array.from({ length: random.pick([1, 1, 1, 2, 3, 8]) }, () => {
    const packet = drawClientPacket(random, version);
    return random.chance(0.12) ? mutate(packet, random, drawClientPacket(random, version)) : packet;
  });
  const bytes = Buffer.concat(packets);
  const cut = random.chance(0.2) ? random.below(bytes.length + 1) : bytes.length;
  steps.push({ op: 'send', place, bytes: bytes.subarray(0, cut) });
  if (cut < bytes.length) {
    if (random.chance(0.5)) steps.push({ op: 'turn' });
    steps.push({ op: 'send', place, bytes: bytes.subarray(cut) });
  }
}

function drawClientPacket(random: Random, version: MqttVersion): Buffer {
  const rare = random.fraction();
  if (rare < 0.02) return encodePacket(drawPacket(random, 'disconnect', version), version);
  if (rare < 0.03) return encodePacket(drawPacket(random, version === 5 ? 'auth' : 'connack', version), version);
  const packet = drawPacket(random, random.pick(clientKinds), version) as ControlPacket & Record<string, unknown>;
  if (packet['messageId'] !== undefined) packet['messageId'] = random.between(1, 5);
  if (packet.cmd === 'publish') {
    packet.topic = random.pick(topics);
    packet.payload = Buffer.alloc(random.pick(payloadSizes), 0x2e);
    if (version === 5 && random.chance(0.3)) {
      packet.properties = { ...packet.properties, topicAlias: random.between(1, 4) };
      if (random.chance(0.5)) packet.topic = '';
    }
  }
  if (packet.cmd === 'subscribe') {
    for (const wanted of packet.subscriptions) {
      wanted.topic = random.pick(filters);
      if (wanted.topic.startsWith('$share/') && random.chance(0.9)) wanted.nl = false;
    }
  }
  if (packet.cmd === 'unsubscribe') packet.unsubscriptions = packet.unsubscriptions.map(() => random.pick(filters));
  return encodePacket(packet, version);
}
