// What must hold for any bytes whatever that the codec is given. A violation is thrown, with what was expected.
//
//   nothing throws              every reader answers with values or with a problem
//   the readers agree           PublishView and AckView accept what decodePacket accepts, and nothing else;
//                               CONNECT and DISCONNECT have the values of mqtt-packet
//   decode(encode(x)) = x       for what was decoded, and for what a view writes for a receiver of any version
//   cuts do not matter          packets carried over from read to read are the packets of one read

import { strict as assert } from 'node:assert';
import { AckView } from '../../src/protocol/mqtt/ack.ts';
import {
  lengthFieldBytes,
  lengthFieldValue,
  type MqttVersion,
  PacketCarry,
  packetType,
} from '../../src/protocol/mqtt/frame.ts';
import {
  type ControlPacket,
  decodeJudged,
  decodePacket,
  encodePacket,
  peekProtocolLevel,
} from '../../src/protocol/mqtt/packet.ts';
import {
  type PublishHeader,
  PublishView,
  publishBytes,
  type Qos,
  writePublish,
} from '../../src/protocol/mqtt/publish.ts';
import { isValidTopicFilter, isValidTopicName, parseShare } from '../../src/protocol/mqtt/topic.ts';
import { mutate } from './mutations.ts';
import { drawPacket, packetKinds } from './packets.ts';
import { caseRandom, Random } from './random.ts';

const versions = [3, 4, 5] as const;

export interface CodecCase {
  readonly version: MqttVersion;
  readonly bytes: Buffer;
}

/** Case `index` of `seed`; now and then it is made from a case of the corpus. */
export function drawCodecCase(seed: number, index: number, corpus: readonly CodecCase[]): CodecCase {
  const random = caseRandom(seed, index);
  const version = random.chance(0.6) ? 5 : random.pick(versions);
  if (corpus.length > 0 && random.chance(0.1)) {
    const from = random.pick(corpus);
    return { version: from.version, bytes: mutate(from.bytes, random, encoded(random, version)) };
  }
  const bytes = encoded(random, version);
  return { version, bytes: random.chance(0.2) ? bytes : mutate(bytes, random, encoded(random, version)) };
}

function encoded(random: Random, version: MqttVersion): Buffer {
  const kind = random.pick(packetKinds);
  return encodePacket(drawPacket(random, kind === 'auth' && version < 5 ? 'publish' : kind, version), version);
}

/** Holds the codec against one case. The draws within depend on the bytes alone. */
export function checkCodec({ version, bytes }: CodecCase): void {
  const untouched = Buffer.from(bytes);
  const random = new Random(bytes.length * 257 + (bytes[bytes.length >> 1] ?? 0));
  const decoded = decodePacket(bytes, version);
  for (const another of versions) if (another !== version) decodePacket(bytes, another);
  peekProtocolLevel(bytes, Math.min(2, bytes.length));
  const text = bytes.toString('utf8', Math.min(4, bytes.length));
  isValidTopicName(text);
  isValidTopicFilter(text, version);
  parseShare(text);
  if (decoded.ok) {
    checkOracle(decoded.packet, { version, bytes });
    checkAgain(decoded.packet, version);
  }
  checkCarry(bytes, random);
  const field = lengthFieldBytes(bytes, 1, bytes.length);
  if (field >= 1 && bytes.length === 1 + field + lengthFieldValue(bytes, 1, field)) {
    const isMalformedLength = !decoded.ok && decoded.problem === 'malformed-length';
    const type = (bytes[0] as number) >> 4;
    if (type === packetType.publish && !isMalformedLength) checkPublish({ version, bytes }, field, random);
    if (type >= packetType.puback && type <= packetType.pubcomp && !isMalformedLength) {
      const problem = new AckView().read(bytes, { at: 0, bodyAt: 1 + field, end: bytes.length }, version);
      assert.equal(problem, decoded.ok ? undefined : decoded.problem, 'AckView and decodePacket agree');
    }
  }
  assert.ok(bytes.equals(untouched), 'nobody writes into what it reads');
}

/** What is read without mqtt-packet has the values that mqtt-packet gives. */
function checkOracle(packet: ControlPacket, { version, bytes }: CodecCase): void {
  if (packet.cmd !== 'connect' && packet.cmd !== 'disconnect') return;
  if (packet.cmd === 'connect' && packet.will?.propertyBytes !== undefined) return;
  const read = decodeJudged(bytes, undefined, version);
  assert.ok(read.ok, `mqtt-packet reads it, too: ${read.ok ? '' : read.detail}`);
  assert.deepEqual(comparable(packet), comparable(read.packet));
}

function checkAgain(packet: ControlPacket, version: MqttVersion): void {
  let bytes: Buffer;
  const spoken = packet.cmd === 'connect' ? ((packet.protocolVersion ?? 4) as MqttVersion) : version;
  try {
    bytes = encodePacket(packet, spoken);
  } catch (error) {
    // mqtt-packet does not write what a server may read but need not say.
    const refused = /Username is required|clientId must be|Invalid will topic|Invalid qos vector|Invalid mqtt version/;
    assert.match(String(error), refused);
    return;
  }
  const again = decodePacket(bytes, spoken);
  assert.ok(again.ok, `what was encoded decodes: ${again.ok ? '' : again.detail} ${bytes.toString('hex')}`);
  assert.deepEqual(comparable(again.packet), comparable(packet));
}

/** Without what mqtt-packet puts into every packet though it belongs to PUBLISH alone. */
function comparable(packet: ControlPacket): unknown {
  const { length, ...fields } = packet as ControlPacket & { length?: number };
  const ofPublish = ['qos', 'dup', 'retain', 'topic', 'payload'];
  const kept = Object.entries(fields).filter(([name]) => packet.cmd === 'publish' || !ofPublish.includes(name));
  return JSON.parse(JSON.stringify(Object.fromEntries(kept)));
}

function checkPublish({ version, bytes }: CodecCase, field: number, random: Random): void {
  const view = new PublishView();
  const range = { firstByte: bytes[0] as number, from: 1 + field, to: bytes.length };
  const problem = view.read(bytes, range, version);
  const decoded = decodePacket(bytes, version);
  const topic = problem === undefined ? view.topic() : undefined;
  if (!decoded.ok) {
    assert.ok(problem !== undefined || topic === undefined, `decodePacket refuses: ${decoded.detail}`);
    return;
  }
  assert.ok(decoded.packet.cmd === 'publish');
  const { subscriptionIdentifier } = decoded.packet.properties ?? {};
  const isNameless = version === 5 && decoded.packet.topic === '' && view.topicAlias === 0;
  if (subscriptionIdentifier !== undefined || isNameless) {
    assert.equal(
      problem,
      'protocol-error',
      'neither subscription identifiers nor a missing topic are taken from clients',
    );
    return;
  }
  assert.equal(problem, undefined, 'PublishView and decodePacket agree');
  assert.equal(topic, decoded.packet.topic);
  assert.ok(view.payload().equals(Buffer.from(decoded.packet.payload)));
  assert.equal(view.expirySeconds, decoded.packet.properties?.messageExpiryInterval);
  assert.equal(view.topicAlias, decoded.packet.properties?.topicAlias ?? 0);
  if (view.topicBytes === 0) view.useTopic(Buffer.from([0, 1, 0x61]));
  checkWriting(view, random);
}

/** A view, its copy and what was stored of it are the same on the wire, and read back as the same. */
function checkWriting(view: PublishView, random: Random): void {
  const version = random.pick(versions);
  const header: PublishHeader = {
    qos: random.below(view.qos + 1) as Qos,
    retain: random.chance(0.5),
    duplicate: false,
    packetId: random.between(1, 65_535),
    version,
    subscriptionIds: [],
    expirySeconds: random.chance(0.3) ? random.below(2 ** 32) : undefined,
    topicAlias: random.chance(0.3) ? random.between(1, 65_535) : 0,
    omitTopic: false,
  };
  const stored = PublishView.fromCanonical(view.canonical(), { qos: view.qos, retain: false, expiresAtMs: 0 });
  const [bytes, ...others] = [view, view.kept(), view.kept().kept(), stored].map((source) => {
    const target = Buffer.alloc(publishBytes(source, header) + 1, 0xa5);
    assert.equal(writePublish(source, header, { target, at: 0 }), target.length - 1, 'a packet fills its room');
    assert.equal(target[target.length - 1], 0xa5, 'and no more');
    return target.subarray(0, -1);
  });
  assert.ok(bytes !== undefined);
  for (const another of others) assert.ok(another.equals(bytes), 'the same on the wire');
  const again = new PublishView();
  const from = 1 + lengthFieldBytes(bytes, 1, bytes.length);
  const problem = again.read(bytes, { firstByte: bytes[0] as number, from, to: bytes.length }, version);
  assert.equal(problem, undefined, 'what was written is valid');
  assert.equal(again.topic(), view.topic());
  assert.ok(again.payload().equals(view.payload()));
  if (version < 5) return;
  assert.equal(again.expirySeconds, header.expirySeconds);
  assert.equal(again.topicAlias, header.topicAlias);
  assert.deepEqual(
    { ...again.properties(), messageExpiryInterval: 0 },
    { ...view.properties(), messageExpiryInterval: 0 },
  );
}

function checkCarry(bytes: Buffer, random: Random): void {
  const carry = new PacketCarry();
  const twice = Buffer.concat([bytes, bytes]);
  const packetBytesMax = 300_000;
  const wanted = packetsOf(twice, packetBytesMax);
  const found: string[] = [];
  for (let at = 0; at < twice.length; ) {
    const end = Math.min(twice.length, at + random.between(1, 40));
    while (at < end) {
      const next = carry.fill(twice, { at, end, packetBytesMax });
      if (typeof next === 'string') {
        assert.deepEqual([...found, next], wanted);
        return;
      }
      assert.ok(next > at || carry.isWhole, 'each fill goes on');
      at = next;
      if (carry.isWhole) found.push(carry.take().toString('hex'));
    }
  }
  assert.deepEqual(found, wanted);
}

/** The packets of `bytes` in one piece, and the problem at their end if there is one. */
function packetsOf(bytes: Buffer, packetBytesMax: number): string[] {
  const packets: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const field = lengthFieldBytes(bytes, at + 1, bytes.length);
    if (field === -1) return [...packets, 'malformed-length'];
    if (field === 0) return packets;
    const end = at + 1 + field + lengthFieldValue(bytes, at + 1, field);
    if (end - at > packetBytesMax) return [...packets, 'packet-too-large'];
    if (end > bytes.length) return packets;
    packets.push(bytes.toString('hex', at, end));
    at = end;
  }
  return packets;
}
