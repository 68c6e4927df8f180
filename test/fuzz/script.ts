// What three hostile clients do to a broker, step by step: drawn from a seed, or read from a file.
//
//   open 0          a new connection in place 0; one that is there is lost first
//   send 0 1010…    bytes in one read
//   stall 0         takes nothing more            take 0   takes all again
//   answer 0        acknowledges all that came and is not acknowledged
//   lose 0          the connection is gone, without a word
//   turn            the broker's turn ends, the witnesses are looked at
//   pass 1500       milliseconds
//   restart         the broker is closed, another takes its place and its store
//   with store      at the beginning: sessions are stored; `with drop`: refused publishes of 3.x are dropped
//
// As text a script is a step a line, so that a failing one can be read, shortened and kept.

import type { MqttVersion } from '../../src/protocol/mqtt/frame.ts';
import { type ControlPacket, encodePacket } from '../../src/protocol/mqtt/packet.ts';
import { mutate } from './mutations.ts';
import { acknowledgements, clientKinds, drawPacket } from './packets.ts';
import { caseRandom, type Random } from './random.ts';

export const places = 3;

export type Step =
  | { readonly op: 'open' | 'stall' | 'take' | 'answer' | 'lose'; readonly place: number }
  | { readonly op: 'send'; readonly place: number; readonly bytes: Buffer }
  | { readonly op: 'turn' | 'restart' }
  | { readonly op: 'with'; readonly what: string }
  | { readonly op: 'pass'; readonly ms: number };

export type Script = readonly Step[];

export function scriptText(script: Script): string {
  return script.map(stepText).join('\n');
}

function stepText(step: Step): string {
  switch (step.op) {
    case 'send':
      return `send ${step.place} ${step.bytes.toString('hex')}`;
    case 'pass':
      return `pass ${step.ms}`;
    case 'with':
      return `with ${step.what}`;
    case 'turn':
    case 'restart':
      return step.op;
    default:
      return `${step.op} ${step.place}`;
  }
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
    case 'restart':
      return { op };
    case 'with':
      return { op, what: first };
    case 'pass':
      return { op, ms: Number(first) };
    case 'send':
      return { op, place, bytes: Buffer.from(second, 'hex') };
    case 'open':
    case 'stall':
    case 'take':
    case 'answer':
    case 'lose':
      return { op, place };
    default:
      throw new Error(`no step of a script: ${line}`);
  }
}

const topics = ['a', 'a', 'b', 'a/b', 'a/b', '/', 'ü', '$SYS/x', '$share/g/a', '$svc/a', 'a/b/c'];
const filters = [
  ...['#', '#', '+', 'a', 'a/#', 'a/+', '+/b', '/', '$SYS/#', '$share/g/a', '$share/g/#', '$share/h/#', '$share/g/a/+'],
  ...['+/+/#', 'a/b/c', '$svc/a', '$svc/#'],
];
const honestKinds = clientKinds.filter((kind) => !acknowledgements.includes(kind));
const invalidFilters = ['$share//a', 'a#', '$share/g+/a', 'a/#/b', '$share/g'];
const clientIds = ['c0', 'c1', 'c2', ''];
const payloadSizes = [0, 1, 2, 10, 60, 200, 1000, 6000];

/** What is known of a client while a script is drawn. */
interface Drawn {
  readonly version: MqttVersion;
  /** It acknowledges nothing but what it got. */
  readonly isHonest: boolean;
  /** It said something for which it may have been disconnected. */
  isSuspect: boolean;
}

/** Case `index` of `seed`. */
export function drawScript(seed: number, index: number): Script {
  const random = caseRandom(seed, index);
  const steps: Step[] = [];
  const hasStore = random.chance(0.5);
  if (hasStore) steps.push({ op: 'with', what: 'store' });
  if (random.chance(0.5)) steps.push({ op: 'with', what: 'drop' });
  const clients: (Drawn | undefined)[] = Array.from({ length: places }, () => undefined);
  for (let left = random.between(15, 70); left > 0; left--) {
    const place = random.below(places);
    const client = clients[place];
    if (client === undefined || random.chance(client.isSuspect ? 0.5 : 0.03)) {
      clients[place] = drawOpening(random, place, steps);
    } else if (random.below(100) < 6) {
      drawSqueeze(random, { place, version: client.version }, steps);
    } else if (random.chance(0.75)) {
      if (drawSending(random, { place, ...client }, steps)) client.isSuspect = true;
    } else if (random.chance(0.06)) {
      steps.push({ op: 'restart' });
      clients.fill(undefined);
    } else {
      const step = drawOther(random, place);
      if (step.op === 'lose') clients[place] = undefined;
      steps.push(step);
    }
    if (random.chance(0.3)) steps.push({ op: 'turn' });
  }
  return steps;
}

function drawOther(random: Random, place: number): Step {
  const drawn = random.fraction();
  if (drawn < 0.2) return { op: 'stall', place };
  if (drawn < 0.35) return { op: 'take', place };
  if (drawn < 0.6) return { op: 'answer', place };
  if (drawn < 0.7) return { op: 'lose', place };
  return drawn < 0.85 ? { op: 'pass', ms: random.pick([100, 1000, 3000, 12_000]) } : { op: 'turn' };
}

function drawOpening(random: Random, place: number, steps: Step[]): Drawn {
  const version = random.pick([3, 4, 4, 5, 5, 5, 5] as const);
  const packet = drawPacket(random, 'connect', version) as ControlPacket & Record<string, unknown>;
  packet['clientId'] = random.pick(clientIds);
  packet['clean'] = packet['clientId'] === '' || random.chance(0.4);
  packet['keepalive'] = random.pick([0, 0, 0, 1, 5, 60]);
  if (version === 3 && packet['clientId'] === '') packet['clientId'] = 'c0';
  if (version === 5) {
    const { authenticationMethod, authenticationData, ...drawn } = (packet['properties'] ?? {}) as Record<
      string,
      unknown
    >;
    const authentication = random.chance(0.1) ? { authenticationMethod, authenticationData } : {};
    packet['properties'] = {
      ...drawn,
      ...authentication,
      ...(random.chance(0.5) ? { receiveMaximum: random.between(1, 3) } : {}),
      ...(random.chance(0.5) ? { topicAliasMaximum: random.between(0, 3) } : {}),
      ...(random.chance(0.9) ? { maximumPacketSize: random.pick([100, 1500, 100_000]) } : { maximumPacketSize: 20 }),
      ...(random.chance(0.6) ? { sessionExpiryInterval: random.pick([0, 2, 100, 4_294_967_295]) } : {}),
    };
  }
  const connect = encodePacket(packet, version);
  const isBroken = random.chance(0.06);
  steps.push({ op: 'open', place });
  steps.push({ op: 'send', place, bytes: isBroken ? mutate(connect, random, connect) : connect });
  if (random.chance(0.8)) steps.push({ op: 'turn' });
  if (random.chance(0.3)) {
    const everything = encodePacket(
      { cmd: 'subscribe', messageId: 9, subscriptions: [{ topic: '#', qos: 0 }] },
      version,
    );
    steps.push({ op: 'send', place, bytes: everything });
  }
  return { version, isHonest: random.chance(0.5), isSuspect: isBroken };
}

interface Client extends Drawn {
  readonly place: number;
}

/** True when the client may not live through it. */
function drawSending(random: Random, client: Client, steps: Step[]): boolean {
  const { place, version } = client;
  if (random.chance(0.12)) {
    steps.push({ op: 'send', place, bytes: drawFlood(random, version) });
    return false;
  }
  let isSuspect = false;
  const packets = Array.from({ length: random.pick([1, 1, 1, 2, 3, 8]) }, () => {
    const drawn = random.fraction();
    if (drawn < 0.015) isSuspect = true;
    if (drawn < 0.005) return encodePacket(drawPacket(random, 'disconnect', version), version);
    if (drawn < 0.01) return encodePacket(drawPacket(random, version === 5 ? 'auth' : 'connack', version), version);
    if (drawn < 0.015) return encodePacket(drawPacket(random, 'connect', version), version);
    const packet = drawClientPacket(random, client);
    if (drawn > 0.06) return packet;
    isSuspect = true;
    return mutate(packet, random, drawClientPacket(random, client));
  });
  const repeated = random.chance(0.1) ? Array.from({ length: random.between(3, 20) }, () => packets).flat() : packets;
  const bytes = Buffer.concat(repeated);
  const cut = random.chance(0.2) ? random.below(bytes.length + 1) : bytes.length;
  steps.push({ op: 'send', place, bytes: bytes.subarray(0, cut) });
  if (cut < bytes.length) {
    if (random.chance(0.5)) steps.push({ op: 'turn' });
    steps.push({ op: 'send', place, bytes: bytes.subarray(cut) });
  }
  return isSuspect;
}

/** Others take nothing for a while, and all that was kept for them is looked at. */
function drawSqueeze(random: Random, { place, version }: Pick<Client, 'place' | 'version'>, steps: Step[]): void {
  const others = Array.from({ length: places }, (_, index) => index).filter((index) => index !== place);
  for (const other of others) steps.push({ op: 'stall', place: other });
  for (let count = random.between(1, 4); count > 0; count--) {
    steps.push({ op: 'send', place, bytes: drawFlood(random, version) });
    steps.push({ op: 'turn' });
  }
  for (const other of others) steps.push({ op: 'take', place: other });
}

/** Plain QoS 0 messages of one topic, or two: what a broker forwards in runs. */
function drawFlood(random: Random, version: MqttVersion): Buffer {
  const two = [random.pick(topics.slice(0, 6)), random.pick(topics.slice(0, 6))];
  const packets = Array.from({ length: random.between(2, 30) }, () => {
    const payload = Buffer.alloc(random.pick(payloadSizes.slice(0, -2)), random.between(0x61, 0x7a));
    const topic = two[random.chance(0.1) ? 1 : 0] as string;
    return encodePacket({ cmd: 'publish', topic, payload, qos: 0, retain: false, dup: false }, version);
  });
  return Buffer.concat(packets);
}

function drawClientPacket(random: Random, { version, isHonest }: Client): Buffer {
  const packet = drawPacket(random, random.pick(isHonest ? honestKinds : clientKinds), version) as ControlPacket &
    Record<string, unknown>;
  if (packet['messageId'] !== undefined) packet['messageId'] = random.between(1, 5);
  if (packet.cmd === 'publish') {
    packet.topic = random.pick(topics);
    packet.payload = Buffer.alloc(random.pick(payloadSizes), random.between(0x61, 0x7a));
    if (version === 5 && random.chance(0.3)) {
      packet.properties = { ...packet.properties, topicAlias: random.pick([1, 1, 1, 2, 2, 3, 9]) };
      if (random.chance(0.4)) packet.topic = '';
    }
  }
  if (packet.cmd === 'subscribe') {
    for (const wanted of packet.subscriptions) {
      wanted.topic = random.pick(random.chance(0.02) ? invalidFilters : filters);
      if (wanted.topic.startsWith('$share/') && random.chance(0.98)) wanted.nl = false;
    }
  }
  if (packet.cmd === 'unsubscribe') packet.unsubscriptions = packet.unsubscriptions.map(() => random.pick(filters));
  return encodePacket(packet, version);
}
