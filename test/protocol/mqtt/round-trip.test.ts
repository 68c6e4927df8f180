// Drawn packets of every type and version: mqtt-packet encodes them, and what is decoded is what was drawn.

import { Buffer } from 'node:buffer';
import t from 'tap';
import { lengthFieldBytes, type MqttVersion } from '../../../src/protocol/mqtt/frame.ts';
import { type ControlPacket, decodeJudged, decodePacket, encodePacket } from '../../../src/protocol/mqtt/packet.ts';
import { PublishView, publishBytes, type Qos, writePublish } from '../../../src/protocol/mqtt/publish.ts';
import { drawPacket, packetKinds } from '../../fuzz/packets.ts';
import { Random } from '../../fuzz/random.ts';

const versions = [3, 4, 5] as const;
const drawsPerKind = 150;

/** What is not drawn but decoded beside it, and what an encoder may leave out. */
function comparable(packet: object): unknown {
  const { cmd, ...fields } = packet as { cmd: string; will?: object };
  const kept: Record<string, unknown> = { cmd };
  for (const [name, value] of Object.entries(fields)) {
    if (['length', 'qos', 'dup', 'retain', 'payload', 'topic'].includes(name) && cmd !== 'publish') continue;
    if (name !== 'length' && name !== 'propertyBytes' && value !== null && value !== undefined) kept[name] = value;
  }
  if (fields.will !== undefined) kept['will'] = { ...fields.will, propertyBytes: undefined };
  return JSON.parse(JSON.stringify(kept));
}

t.test('a valid packet decodes to what it was encoded from', async (t) => {
  for (const version of versions) {
    for (const kind of packetKinds.filter((name) => version === 5 || name !== 'auth')) {
      const random = new Random(version * 100 + packetKinds.indexOf(kind));
      let wrong = 0;
      for (let count = 0; count < drawsPerKind && wrong === 0; count++) {
        const packet = drawPacket(random, kind, version);
        const bytes = encodePacket(packet, version);
        const decoded = decodePacket(bytes, version);
        if (decoded.ok && t.same(comparable(decoded.packet), comparable(packet), `${kind} of ${version}`)) continue;
        t.comment(`${bytes.toString('hex')} ${decoded.ok ? '' : `${decoded.problem} ${decoded.detail}`}`);
        wrong++;
      }
      t.equal(wrong, 0, `${kind} of ${version}`);
    }
  }
});

t.test('CONNECT and DISCONNECT have the values that mqtt-packet gives, whoever reads them', async (t) => {
  const random = new Random(31_141);
  const read = { plain: 0, other: 0 };
  for (let count = 0; count < 3_000; count++) {
    const version = random.pick(versions);
    const bytes = encodePacket(drawPacket(random, random.chance(0.8) ? 'connect' : 'disconnect', version), version);
    const decoded = decodePacket(bytes, version);
    const judged = decodeJudged(bytes, undefined, version);
    if (!decoded.ok || !judged.ok) throw new Error(`not read: ${bytes.toString('hex')}`);
    if ('length' in decoded.packet) read.other++;
    else read.plain++;
    const [ours, theirs] = [comparable(decoded.packet), comparable(judged.packet)];
    if (JSON.stringify(sorted(ours)) !== JSON.stringify(sorted(theirs))) t.same(ours, theirs, bytes.toString('hex'));
  }
  t.ok(read.plain > 1_000 && read.other > 100, `both ways were taken: ${JSON.stringify(read)}`);
});

function sorted(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort()
      .map(([name, inner]) => [name, sorted(inner)]),
  );
}

type PublishPacket = Extract<ControlPacket, { cmd: 'publish' }>;

function viewOf(bytes: Buffer, version: MqttVersion): PublishView {
  const view = new PublishView();
  const from = 1 + lengthFieldBytes(bytes, 1, bytes.length);
  const problem = view.read(bytes, { firstByte: bytes[0] as number, from, to: bytes.length }, version);
  if (problem !== undefined) throw new Error(`${problem}: ${bytes.toString('hex')}`);
  return view;
}

const header = { retain: false, duplicate: false, packetId: 77, omitTopic: false, topicAlias: 0 };

t.test('a drawn PUBLISH goes through the view to a receiver of any version', async (t) => {
  const random = new Random(20_261_121);
  for (let count = 0; count < 2_000; count++) {
    const from = random.pick(versions);
    const packet = drawPacket(random, 'publish', from) as PublishPacket;
    const view = viewOf(encodePacket(packet, from), from);
    const to = random.pick(versions);
    const qos = random.below(packet.qos + 1) as Qos;
    const expirySeconds = from === 5 ? view.expirySeconds : undefined;
    const subscriptionIds = to === 5 && random.chance(0.3) ? [1, 268_435_455] : [];
    const out = { ...header, version: to, qos, expirySeconds, subscriptionIds };
    const sources = [view, view.kept(), PublishView.fromCanonical(view.canonical(), { ...packet, expiresAtMs: 0 })];
    const written = sources.map((source) => {
      const target = Buffer.alloc(publishBytes(source, out));
      const end = writePublish(source, out, { target, at: 0 });
      return end === target.length ? target.toString('hex') : `${end} of ${target.length} bytes`;
    });
    const bytes = Buffer.from(written[0] ?? '', 'hex');
    const decoded = decodePacket(bytes, to);
    if (!decoded.ok || decoded.packet.cmd !== 'publish') throw new Error(written[0]);
    const properties: Record<string, unknown> = { ...(from === 5 && to === 5 ? packet.properties : {}) };
    if (subscriptionIds.length > 0) properties['subscriptionIdentifier'] = [...subscriptionIds];
    const wanted: Record<string, unknown> = { cmd: 'publish', topic: packet.topic, payload: packet.payload, qos };
    Object.assign(wanted, { retain: false, dup: false, ...(qos > 0 ? { messageId: 77 } : {}) });
    if (Object.keys(properties).length > 0) wanted['properties'] = properties;
    const same =
      t.same(comparable(decoded.packet), comparable(wanted), `from ${from} to ${to}`) &&
      t.same(new Set(written).size, 1, 'the view, its copy and its stored form are the same bytes on the wire');
    if (!same) break;
  }
});
