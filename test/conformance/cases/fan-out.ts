// One message for many: what each gets follows its own version, subscription and limits, however the broker shares work.

import { Packets, prop } from '../packets.ts';
import { both, Client, type ConformanceCase } from '../script.ts';

const p4 = new Packets('3.1.1');
const asPublished = 0x08;
const noLocal = 0x04;

const cases: readonly (readonly ConformanceCase[])[] = [
  both(
    'subscribers of every kind get the same messages, each in its own form',
    { v5: '3.3.4-3 3.3.1-12 3.3.1-13 3.1.2-24 3.1.2-25 3.8.4-8 3.8.3-3 4.6.0-6 3.1.2-27' },
    (p, a) => {
      const plain = new Client('plain', p);
      const second = new Client('second', p);
      const numbered = new Client('numbered', p);
      const other = new Client('other', p);
      const retaining = new Client('retaining', p);
      const small = new Client('small', p);
      const old = new Client('old', p4);
      const older = new Client('older', p4);
      const careful = new Client('careful', p);
      const all = [plain, second, numbered, other, retaining, small];
      const large = 'y'.repeat(200);
      const id = (value: number) => ({ props: [prop.subscriptionId(value)] });
      // Short and large ones, alone and side by side in one read, retained ones between them.
      const messages = [
        p.publish('t', '1'),
        p.publish('t', '2'),
        p.publish('t', large),
        p.publish('t', large),
        p.publish('t', '3', { retain: true }),
        p.publish('t', '4', { props: [prop.user('k', 'v')] }),
        p.publish('t', '5'),
      ];
      const arrive = (extra: { readonly props?: readonly (readonly number[])[] } = {}) => [
        p.publish('t', '1', extra),
        p.publish('t', '2', extra),
        p.publish('t', large, extra),
        p.publish('t', large, extra),
        p.publish('t', '3', extra),
        p.publish('t', '4', { props: [prop.user('k', 'v'), ...(extra.props ?? [])] }),
        p.publish('t', '5', extra),
      ];
      const arriveOld = ['1', '2', large, large, '3', '4', '5'].map((payload) => p4.publish('t', payload));
      return [
        ...all.map((client) => client.up(client === small ? { props: [prop.packetBytesMax(100)] } : {})),
        careful.up({ props: [prop.receiveMaximum(2)] }),
        old.up(),
        older.up(),
        a.up(),
        plain.sends(p.subscribe(1, [['t', 0]])),
        second.sends(p.subscribe(1, [['#', 0]])),
        numbered.sends(p.subscribe(1, [['t', 0]], [prop.subscriptionId(1)])),
        other.sends(p.subscribe(1, [['t', 0]], [prop.subscriptionId(300)])),
        retaining.sends(p.subscribe(1, [['t', asPublished]])),
        small.sends(p.subscribe(1, [['t', 0]])),
        careful.sends(p.subscribe(1, [['t', 1]])),
        a.sends(p.subscribe(1, [['t', noLocal]])),
        ...[...all, a].map((client) => client.gets(p.suback(1, [0]))),
        careful.gets(p.suback(1, [1])),
        old.sends(p4.subscribe(1, [['t', 0]])),
        old.gets(p4.suback(1, [0])),
        older.sends(p4.subscribe(1, [['+', 1]])),
        older.gets(p4.suback(1, [1])),
        a.sends(...messages),
        a.sends(p.publish('t', 'last', { qos: 1, id: 1 })),
        a.gets(p.puback(1)),
        plain.gets(...arrive(), p.publish('t', 'last')),
        second.gets(...arrive(), p.publish('t', 'last')),
        numbered.gets(...arrive(id(1)), p.publish('t', 'last', id(1))),
        other.gets(...arrive(id(300)), p.publish('t', 'last', id(300))),
        retaining.gets(
          ...arrive().slice(0, 4),
          p.publish('t', '3', { retain: true }),
          ...arrive().slice(5),
          p.publish('t', 'last'),
        ),
        small.gets(...arrive().slice(0, 2), ...arrive().slice(4), p.publish('t', 'last')),
        careful.gets(...arrive(), p.publish('t', 'last', { qos: 1, id: '?' })),
        old.gets(...arriveOld, p4.publish('t', 'last')),
        older.gets(...arriveOld, p4.publish('t', 'last', { qos: 1, id: '?' })),
      ];
    },
  ),
  both('the same from a client of 3.1.1', { v5: '3.3.4-3 3.1.2-24 4.6.0-6' }, (p) => {
    const source = new Client('source', p4);
    const subscribers = [1, 2, 3, 4, 5].map((n) => new Client(`new-${n}`, p));
    const old = [1, 2, 3, 4].map((n) => new Client(`old-${n}`, p4));
    const payloads = ['1', '2', 'z'.repeat(300), '3', '4'];
    const props = (at: number) => (at === 0 ? {} : { props: [prop.subscriptionId(at)] });
    return [
      source.up(),
      ...subscribers.flatMap((client, at) => [
        client.up(),
        client.sends(p.subscribe(1, [['t', 0]], props(at).props)),
        client.gets(p.suback(1, [0])),
      ]),
      ...old.flatMap((client) => [
        client.up(),
        client.sends(p4.subscribe(1, [['t', 0]])),
        client.gets(p4.suback(1, [0])),
      ]),
      source.sends(...payloads.map((payload) => p4.publish('t', payload))),
      ...subscribers.map((client, at) => client.gets(...payloads.map((payload) => p.publish('t', payload, props(at))))),
      ...old.map((client) => client.gets(...payloads.map((payload) => p4.publish('t', payload)))),
    ];
  }),
];

export const fanOutCases: readonly ConformanceCase[] = cases.flat();
