// Shared subscriptions of MQTT 5.0.

import type { Buffer } from 'node:buffer';
import { prop } from '../packets.ts';
import { publishRead } from '../received.ts';
import { both, type Client, type ConformanceCase, type Step, settled, wait } from '../script.ts';

const second = 1000;
const lasting = { clean: false, props: [prop.sessionExpiry(3600)] } as const;

/** The payloads that `clients` got, each once among them; `check` sees how they are spread. */
function spread(
  clients: readonly Client[],
  payloads: readonly string[],
  check: (lists: readonly (readonly Buffer[])[]) => string | undefined,
): Step {
  return {
    text: `${clients.map(({ name }) => name).join(' and ')} get ${payloads.join(', ')} between them`,
    play: async (stage) => {
      const lists: (readonly Buffer[])[] = [];
      for (const { name } of clients) lists.push(await stage.all(name));
      const got = lists.flat().map((packet) => publishRead(packet, '5.0').payload);
      if ([...got].sort().join() !== [...payloads].sort().join()) throw new Error(`they got ${got.join(', ')}`);
      const wrong = check(lists);
      if (wrong !== undefined) throw new Error(wrong);
    },
  };
}

const evenly = (lists: readonly (readonly Buffer[])[]) => {
  const counts = lists.map(({ length }) => length);
  return Math.max(...counts) - Math.min(...counts) <= 1 ? undefined : `they got ${counts.join(', ')} messages`;
};

const refused = [
  ['without a filter', '$share/g', '4.8.2-1'],
  ['without anything', '$share/', '4.8.2-1'],
  ['without a share name', '$share//t', '4.8.2-1'],
  ['with an empty filter', '$share/g/', '4.8.2-2'],
  ['with a + in its name', '$share/g+/t', '4.8.2-2'],
  ['with # for a name', '$share/#/t', '4.8.2-2'],
  ['with an invalid filter', '$share/g/a#', '4.8.2-2'],
] as const;

const cases: readonly (readonly ConformanceCase[])[] = [
  ...refused.map(([what, filter, clause]) =>
    both(`a shared filter ${what} is refused`, { v5: clause }, (p, a) => [
      a.up(),
      a.sends(p.subscribe(1, [[filter, 0]])),
      a.ends(0x81, 0x82, 0x8f),
    ]),
  ),
  both('each message goes to one member, in turn', { v5: '4.8.2-1 4.8.2-2' }, (p, a, b, c) => {
    const payloads = ['1', '2', '3', '4', '5', '6', '7', '8'];
    return [
      a.up(),
      a.sends(p.subscribe(1, [['$share/g/t/+', 0]])),
      a.gets(p.suback(1, [0])),
      b.up(),
      b.sends(p.subscribe(1, [['$share/g/t/+', 0]])),
      b.gets(p.suback(1, [0])),
      c.up(),
      ...payloads.map((payload) => c.sends(p.publish('t/x', payload))),
      settled(),
      spread([a, b], payloads, evenly),
    ];
  }),
  both('other share names and ordinary subscriptions get their own copy', { v5: '4.8.2-2' }, (p, a, b, c) => [
    a.up(),
    a.sends(p.subscribe(1, [['$share/one/t', 0]])),
    a.gets(p.suback(1, [0])),
    b.up(),
    b.sends(p.subscribe(1, [['$share/two/t', 0]])),
    b.gets(p.suback(1, [0])),
    c.up(),
    c.sends(p.subscribe(1, [['t', 0]])),
    c.gets(p.suback(1, [0])),
    c.sends(p.publish('t', 'x')),
    a.gets(p.publish('t', 'x')),
    b.gets(p.publish('t', 'x')),
    c.gets(p.publish('t', 'x')),
  ]),
  both('a member that leaves gets nothing more', { v5: '4.8.2-2 3.10.4-2' }, (p, a, b, c) => [
    a.up(),
    a.sends(p.subscribe(1, [['$share/g/t', 0]])),
    a.gets(p.suback(1, [0])),
    b.up(),
    b.sends(p.subscribe(1, [['$share/g/t', 0]])),
    b.gets(p.suback(1, [0])),
    a.sends(p.unsubscribe(2, ['$share/g/t', '$share/other/t'])),
    a.gets(p.unsuback(2, [0, 0x11])),
    c.up(),
    c.sends(p.publish('t', '1'), p.publish('t', '2')),
    b.gets(p.publish('t', '1'), p.publish('t', '2')),
  ]),
  both('each member gets at its own QoS', { v5: '4.8.2-3' }, (p, a, b, c) => [
    a.up(),
    a.sends(p.subscribe(1, [['$share/g/t', 0]])),
    a.gets(p.suback(1, [0])),
    b.up(),
    b.sends(p.subscribe(1, [['$share/g/t', 1]])),
    b.gets(p.suback(1, [1])),
    c.up(),
    c.sends(...[1, 2, 3, 4].map((id) => p.publish('t', `${id}`, { qos: 2, id }))),
    c.gets(...[1, 2, 3, 4].map((id) => p.pubrec(id))),
    spread([a, b], ['1', '2', '3', '4'], ([toA = [], toB = []]) => {
      const wrongA = toA.some((packet) => publishRead(packet, '5.0').qos !== 0);
      const wrongB = toB.some((packet) => publishRead(packet, '5.0').qos !== 1);
      return wrongA || wrongB ? 'a member got a message at another QoS than its own' : undefined;
    }),
  ]),
  both('the subscription identifier of the member goes with the message', { v5: '3.3.4-3' }, (p, a, b) => [
    a.up(),
    a.sends(p.subscribe(1, [['$share/g/t', 0]], [prop.subscriptionId(7)])),
    a.gets(p.suback(1, [0])),
    b.up(),
    b.sends(p.publish('t', 'x')),
    a.gets(p.publish('t', 'x', { props: [prop.subscriptionId(7)] })),
  ]),
  both('retained messages are not for new members', { v5: '4.8.2-1' }, (p, a, b) => [
    b.up(),
    b.sends(p.publish('t', 'x', { retain: true, qos: 1, id: 1 })),
    b.gets(p.puback(1, 'ok')),
    a.up(),
    a.sends(p.subscribe(1, [['$share/g/t', 0]])),
    a.gets(p.suback(1, [0])),
    a.silent(),
  ]),
  both('no local on a shared subscription is a protocol error', { v5: '3.8.3-4' }, (p, a) => [
    a.up(),
    a.sends(p.subscribe(1, [['$share/g/t', 0x04]])),
    a.ends(0x82),
  ]),
  both('a QoS 2 delivery begun is completed when the member comes back', { v5: '4.8.2-4' }, (p, a, b, c) => [
    a.up(lasting),
    a.sends(p.subscribe(1, [['$share/g/t', 2]])),
    a.gets(p.suback(1, [2])),
    c.up(),
    c.sends(p.publish('t', 'x', { qos: 2, id: 1 })),
    c.gets(p.pubrec(1)),
    a.gets(p.publish('t', 'x', { qos: 2, id: 'm' })),
    b.up(),
    b.sends(p.subscribe(1, [['$share/g/t', 2]])),
    b.gets(p.suback(1, [2])),
    a.lost(),
    b.silent(),
    a.up({ ...lasting, present: true }),
    a.gets(p.publish('t', 'x', { qos: 2, id: 'm', dup: true })),
    a.sends(p.pubrec('m')),
    a.gets(p.pubrel('m')),
    a.sends(p.pubcomp('m')),
    b.silent(),
  ]),
  both('a QoS 2 delivery begun ends with the session of its member', { v5: '4.8.2-5' }, (p, a, b, c) => [
    a.up({ props: [prop.sessionExpiry(5)] }),
    a.sends(p.subscribe(1, [['$share/g/t', 2]])),
    a.gets(p.suback(1, [2])),
    c.up(),
    c.sends(p.publish('t', 'x', { qos: 2, id: 1 })),
    c.gets(p.pubrec(1)),
    a.gets(p.publish('t', 'x', { qos: 2, id: '?' })),
    b.up(),
    b.sends(p.subscribe(1, [['$share/g/t', 2]])),
    b.gets(p.suback(1, [2])),
    a.lost(),
    wait(10 * second),
    b.silent(),
  ]),
  both('a message that a member rejects is discarded', { v5: '4.8.2-6 4.4.0-2' }, (p, a, b, c) => [
    a.up(),
    a.sends(p.subscribe(1, [['$share/g/t', 2]])),
    a.gets(p.suback(1, [2])),
    c.up(),
    c.sends(p.publish('t', '1', { qos: 1, id: 1 }), p.publish('t', '2', { qos: 2, id: 2 })),
    c.gets(p.puback(1), p.pubrec(2)),
    a.gets(p.publish('t', '1', { qos: 1, id: 'm1' }), p.publish('t', '2', { qos: 2, id: 'm2' })),
    b.up(),
    b.sends(p.subscribe(1, [['$share/g/t', 2]])),
    b.gets(p.suback(1, [2])),
    a.sends(p.puback('m1', 0x83), p.pubrec('m2', 0x87)),
    b.silent(),
    a.lost(),
    b.silent(),
  ]),
  both('messages above QoS 0 wait for a member whose session lasts', { v5: '4.5.0-1' }, (p, a, b) => [
    a.up(lasting),
    a.sends(p.subscribe(1, [['$share/g/t', 1]])),
    a.gets(p.suback(1, [1])),
    a.lost(),
    b.up(),
    b.sends(p.publish('t', 'x', { qos: 1, id: 1 })),
    b.gets(p.puback(1)),
    a.up({ ...lasting, present: true }),
    a.gets(p.publish('t', 'x', { qos: 1, id: 'm' })),
  ]),
];

export const sharedCases: readonly ConformanceCase[] = cases.flat();
