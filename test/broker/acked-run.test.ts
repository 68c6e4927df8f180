// Runs of QoS 1 and 2: sent in one read they come out as if each packet had come alone.

import t, { type Test } from 'tap';
import { settle } from '../support/sim-clock.ts';
import { ack, Harness, publish, subscribe, subscribe5, type Wire } from './broker-harness.ts';

type Sent = Parameters<Wire['send']>[0];

interface Seen {
  readonly publisher: readonly string[];
  readonly receivers: readonly (readonly string[])[];
}

interface Play {
  readonly version: 4 | 5;
  /** Receivers: version, QoS of the subscription, receive maximum. */
  readonly receivers: readonly { readonly version: 4 | 5; readonly qos: 0 | 1 | 2; readonly id?: number }[];
  readonly packets: readonly Sent[];
  readonly inflightOutboundMax?: number;
}

async function play(
  t: Test,
  { version, receivers, packets, inflightOutboundMax }: Play,
  whole: boolean,
): Promise<Seen> {
  const limits = inflightOutboundMax === undefined ? {} : { limits: { inflightOutboundMax } };
  const h = await new Harness(t, limits).start();
  const wires: Wire[] = [];
  for (const [index, receiver] of receivers.entries()) {
    const wire = await h.client(`r${index}`, { version: receiver.version });
    if (receiver.id === undefined) wire.send(subscribe(1, ['t/#', receiver.qos]));
    else wire.send(subscribe5(1, [{ topic: 't/#', qos: receiver.qos }], receiver.id));
    await settle();
    wire.seen();
    wires.push(wire);
  }
  const publisher = await h.client('p', { version });
  // The topic is known from its second packet on.
  publisher.send(publish('t/1', 'first'));
  const seen: string[][] = wires.map(() => []);
  const said: string[] = [];
  const batches = whole ? [packets] : packets.map((packet) => [packet]);
  for (const batch of batches) publisher.send(...batch);
  for (let round = 0; round < 40; round++) {
    await settle();
    said.push(...publisher.seen());
    for (const [index, wire] of wires.entries()) answer(wire, seen[index] as string[], whole);
  }
  t.equal(h.count('weir_broker_messages_received_total'), packets.filter(isPublish).length + 1);
  return { publisher: said.sort(), receivers: seen };
}

function isPublish(packet: Sent): boolean {
  return typeof packet === 'object' && 'cmd' in packet && packet.cmd === 'publish';
}

/** Says what a client has to say to what came: in one read, or one by one. */
function answer(wire: Wire, seen: string[], whole: boolean): void {
  const answers: Sent[] = [];
  for (const packet of wire.received.splice(0)) {
    const id = packet.messageId ?? 0;
    if (packet.cmd === 'pubrel') answers.push(ack('pubcomp', id));
    if (packet.cmd !== 'publish') continue;
    seen.push(`${packet.topic} ${packet.payload} q${packet.qos}${packet.dup ? ' dup' : ''} #${id}`);
    if (packet.qos > 0) answers.push(ack(packet.qos === 1 ? 'puback' : 'pubrec', id));
  }
  if (whole && answers.length > 0) wire.send(...answers);
  else for (const each of answers) wire.send(each);
}

const row = (qos: 1 | 2, count: number, { topic = 't/1', from = 1 } = {}): Sent[] =>
  Array.from({ length: count }, (_, n) => publish(topic, 'x'.repeat(n % 40) + n, { qos, id: from + n }));
const released = (count: number): Sent[] => Array.from({ length: count }, (_, n) => ack('pubrel', n + 1));

const four = [{ version: 4, qos: 2 }] as const;
const plays: Readonly<Record<string, Play>> = {
  'QoS 1, one receiver': { version: 4, receivers: four, packets: row(1, 30) },
  'QoS 2, released together': { version: 4, receivers: four, packets: [...row(2, 30), ...released(30)] },
  'MQTT 5, QoS 1 and 2': {
    version: 5,
    receivers: [{ version: 5, qos: 2 }],
    packets: [...row(1, 20), ...row(2, 20), ...released(20), ack('pubrel', 99)],
  },
  'receivers of both versions, of every QoS, and one with a subscription id': {
    version: 5,
    receivers: [
      { version: 4, qos: 2 },
      { version: 5, qos: 1 },
      { version: 5, qos: 0 },
      { version: 5, qos: 2, id: 7 },
    ],
    packets: [...row(1, 10), ...row(2, 10), ...released(10)],
  },
  'a window that is smaller than the run': {
    version: 4,
    receivers: four,
    packets: [...row(1, 20), ...row(2, 20), ...released(20)],
    inflightOutboundMax: 7,
  },
  'an id that is repeated within the run, and one that is not released': {
    version: 4,
    receivers: four,
    packets: [...row(2, 3), ...row(2, 5), ack('pubrel', 2), ...row(2, 3)],
  },
  'QoS mixed, topics in turn, duplicates': {
    version: 4,
    receivers: [...four, { version: 4, qos: 1 }],
    packets: [
      ...row(1, 5),
      publish('t/1', 'between'),
      ...row(1, 5, { topic: 't/2' }),
      publish('t/2', 'again', { qos: 1, id: 9, dup: true }),
      ...row(1, 3, { topic: 't/2', from: 20 }),
      publish('nobody', 'x', { qos: 1, id: 44 }),
      ...row(1, 3, { topic: 'nobody', from: 50 }),
    ],
  },
  'nobody subscribed': { version: 5, receivers: [], packets: [...row(1, 5), ...row(2, 5), ...released(5)] },
};

for (const [name, one] of Object.entries(plays)) {
  t.test(`${name}: a read of many packets is as good as many reads`, async (t) => {
    const [many, single] = [await play(t, one, true), await play(t, one, false)];
    t.same(many.receivers, single.receivers);
    t.same(many.publisher, single.publisher);
    t.equal(
      many.receivers.every((lines) => lines.length > 1),
      true,
    );
  });
}

t.test('a packet id of zero in a run ends the connection', async (t) => {
  const h = await new Harness(t).start();
  const receiver = await h.client('r');
  receiver.send(subscribe(1, ['t', 1]));
  const publisher = await h.client('p');
  publisher.send(publish('t', 'a', { qos: 1, id: 1 }), publish('t', 'b', { qos: 1, id: 2 }), '32 06 00 01 74 00 00 78');
  await settle();
  t.equal(publisher.ended, true);
  t.equal(h.ended('invalid-packet-id'), 1);
});
