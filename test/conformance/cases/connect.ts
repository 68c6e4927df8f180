// CONNECT and CONNACK: what is accepted, what is refused, and how.

import type { Admission, ConnectAttempt } from '../../../src/broker/ports.ts';
import { counted, hex, packet, prop, u8, u16 } from '../packets.ts';
import { both, type ConformanceCase } from '../script.ts';
import { admitted } from '../stage.ts';

const malformed = { v4: undefined, v5: [0x81, 0x82] } as const;
const refuse = (reason: 'identifier-rejected' | 'unavailable' | 'bad-credentials' | 'not-authorized'): Admission => ({
  admitted: false,
  reason,
  detail: 'refused by the test',
});
const refusing = (reason: 'identifier-rejected' | 'unavailable' | 'bad-credentials' | 'not-authorized') => ({
  authenticate: async ({ username }: ConnectAttempt) => (username === 'bad' ? refuse(reason) : admitted()),
});

const first: readonly (readonly ConformanceCase[])[] = [
  both('a connection that begins with PINGREQ is closed', { v4: '3.1.0-1', v5: '3.1.0-1 3.14.0-1' }, (p, a) => [
    a.opens(),
    a.sends(p.pingreq()),
    a.closed(),
  ]),
  both(
    'a connection that begins with PUBLISH is closed, and nobody gets the message',
    { v4: '3.1.0-1', v5: '3.1.0-1' },
    (p, a, b) => [
      b.up(),
      b.sends(p.subscribe(1, [['t', 0]])),
      b.gets(p.suback(1, [0])),
      a.opens(),
      a.sends(p.publish('t', 'x')),
      a.closed(),
      b.silent(),
    ],
  ),
  both(
    'a second CONNECT ends the connection',
    { v4: '3.1.0-2 4.8.0-1', v5: '3.1.0-2 3.2.0-2 3.14.4-2 4.13.1-1' },
    (p, a) => [a.up(), a.sends(p.connect({ id: 'a' })), a.ends(0x82)],
  ),
  both(
    'CONNACK answers CONNECT, in one read or byte by byte',
    { v4: '3.1.4-4 3.2.0-1 7.1.1-1', v5: '3.1.4-5 3.2.0-1 3.2.2-1 4.2.0-1' },
    (p, a, b) => [
      a.up(),
      b.opens(),
      b.sendsInPieces(1, p.connect({ id: 'b' })),
      b.getsWhat('CONNACK 0', (got) => (got[0] === 0x20 && got[2] === 0 && got[3] === 0 ? undefined : 'no CONNACK 0')),
    ],
  ),
  both('another protocol name is not spoken', { v4: '3.1.2-1 3.2.2-6', v5: '3.1.2-1' }, (p, a) => [
    a.opens(),
    a.sends(p.connect({ id: 'a', protocol: 'MQTX' })),
    a.refused({ v4: undefined, v5: [0x84] }),
  ]),
  both('the protocol name is compared with its case', { v4: '3.1.2-1', v5: '3.1.2-1' }, (p, a) => [
    a.opens(),
    a.sends(p.connect({ id: 'a', protocol: 'mqtt' })),
    a.refused({ v4: undefined, v5: [0x84] }),
  ]),
  both('a protocol level that never was is refused', { v4: '3.1.2-2 3.2.2-4 3.2.2-5' }, (p, a, b) => [
    a.opens(),
    a.sends(p.connect({ id: 'a', level: 3 })),
    a.refused({ v4: 1, v5: [] }),
    b.opens(),
    b.sends(p.connect({ id: 'b', level: 0x84 })),
    b.refused({ v4: 1, v5: [] }),
  ]),
  both('an unknown protocol version is refused', { v5: '3.1.2-2 4.13.2-1' }, (p, a) => [
    a.opens(),
    a.sends(p.connect({ id: 'a', level: 6 })),
    a.refused({ v4: 1, v5: [0x84] }),
  ]),
  both(
    'flags in the fixed header of CONNECT are refused',
    { v4: '2.2.2-1 2.2.2-2 3.1.4-1', v5: '2.1.3-1 3.1.4-1' },
    (p, a) => [a.opens(), a.sends([0x11, ...p.connect({ id: 'a' }).slice(1)]), a.refused(malformed)],
  ),
];

const flags: readonly (readonly ConformanceCase[])[] = [
  both('the reserved connect flag is refused', { v4: '3.1.2-3 3.1.4-1', v5: '3.1.2-3 3.1.4-1' }, (p, a) => [
    a.opens(),
    a.sends(p.connect({ id: 'a', flags: 0x03 })),
    a.refused(malformed),
  ]),
  both('a will QoS without a will is refused', { v4: '3.1.2-11 3.1.2-13', v5: '3.1.2-11' }, (p, a) => [
    a.opens(),
    a.sends(p.connect({ id: 'a', flags: 0x0a })),
    a.refused(malformed),
  ]),
  both('will retain without a will is refused', { v4: '3.1.2-11 3.1.2-15', v5: '3.1.2-13' }, (p, a) => [
    a.opens(),
    a.sends(p.connect({ id: 'a', flags: 0x22 })),
    a.refused(malformed),
  ]),
  both('will fields without the will flag are refused', { v4: '3.1.2-11', v5: '3.1.4-1' }, (p, a) => [
    a.opens(),
    a.sends(p.connect({ id: 'a', flags: 0x02, will: { topic: 't', payload: 'x' } })),
    a.refused(malformed),
  ]),
  both('will QoS 3 is refused', { v4: '3.1.2-14', v5: '3.1.2-12' }, (p, a) => [
    a.opens(),
    a.sends(p.connect({ id: 'a', will: { topic: 't', payload: 'x', qos: 3 } })),
    a.refused({ v4: undefined, v5: [0x81, 0x82, 0x9b] }),
  ]),
  both('the will flag without will fields is refused', { v4: '3.1.2-9', v5: '3.1.2-9' }, (p, a) => [
    a.opens(),
    a.sends(p.connect({ id: 'a', flags: 0x06 })),
    a.refused(malformed),
  ]),
  both('a user name without its flag is refused', { v4: '3.1.2-18', v5: '3.1.2-16' }, (p, a) => [
    a.opens(),
    a.sends(p.connect({ id: 'a', flags: 0x02, user: 'u' })),
    a.refused(malformed),
  ]),
  both('the user name flag without a user name is refused', { v4: '3.1.2-19', v5: '3.1.2-17' }, (p, a) => [
    a.opens(),
    a.sends(p.connect({ id: 'a', flags: 0x82 })),
    a.refused(malformed),
  ]),
  both('a password without its flag is refused', { v4: '3.1.2-20', v5: '3.1.2-18' }, (p, a) => [
    a.opens(),
    a.sends(p.connect({ id: 'a', flags: 0x82, user: 'u', password: 'p' })),
    a.refused(malformed),
  ]),
  both('the password flag without a password is refused', { v4: '3.1.2-21', v5: '3.1.2-19' }, (p, a) => [
    a.opens(),
    a.sends(p.connect({ id: 'a', flags: 0xc2, user: 'u' })),
    a.refused(malformed),
  ]),
  both('a password needs a user name', { v4: '3.1.2-22' }, (p, a) => [
    a.opens(),
    a.sends(p.connect({ id: 'a', password: 'p' })),
    a.refused(malformed),
  ]),
  both('a password needs no user name', { v5: '3.1.2-19' }, (_p, a) => [a.up({ password: 'p' })]),
];

const payload: readonly (readonly ConformanceCase[])[] = [
  both(
    'the fields of the payload are read in their order',
    { v4: '3.1.3-1 3.1.2-9 3.1.2-19 3.1.2-21', v5: '3.1.3-1 3.1.2-9 3.1.2-17 3.1.2-19' },
    (p, a, b) => [
      b.up({ user: 'other', password: 'other' }),
      b.sends(p.subscribe(1, [['will/topic', 1]])),
      b.gets(p.suback(1, [1])),
      a.up({ user: 'user', password: 'secret', will: { topic: 'will/topic', payload: 'gone', qos: 1 } }),
      a.lost(),
      b.gets(p.publish('will/topic', 'gone', { qos: 1, id: 'm' })),
      b.sends(p.puback('m')),
    ],
    {
      broker: {
        authenticate: async ({ clientId, username, password }) =>
          clientId === 'b' || (username === 'user' && String(password) === 'secret')
            ? admitted()
            : refuse('bad-credentials'),
      },
    },
  ),
  both('a CONNECT without a client id is refused', { v4: '3.1.3-3 3.1.4-1', v5: '3.1.3-3 3.1.4-1' }, (p, a) => [
    a.opens(),
    a.sends(packet(0x10, counted('MQTT'), u8(p.is5 ? 5 : 4), u8(2), u16(0), p.is5 ? [0] : [])),
    a.refused(malformed),
  ]),
  both('bytes behind the payload are refused', { v4: '3.1.4-1', v5: '3.1.4-1' }, (p, a) => [
    a.opens(),
    a.sends(packet(0x10, p.connect({ id: 'a' }).slice(2), hex('00'))),
    a.refused(malformed),
  ]),
  both('a client id that is no UTF-8 is refused', { v4: '3.1.3-4 1.5.3-1', v5: '3.1.3-4 1.5.4-1' }, (p, a) => [
    a.opens(),
    a.sends(p.connect({ id: Uint8Array.of(0x61, 0xff) })),
    a.refused({ v4: undefined, v5: [0x81, 0x82, 0x85] }),
  ]),
  both('a client id with U+0000 is refused', { v4: '3.1.3-4 1.5.3-2', v5: '3.1.3-4 1.5.4-2' }, (p, a) => [
    a.opens(),
    a.sends(p.connect({ id: 'a\0b' })),
    a.refused({ v4: undefined, v5: [0x81, 0x82, 0x85] }),
  ]),
  both('client ids of 23 letters and digits are accepted', { v4: '3.1.3-5', v5: '3.1.3-5' }, (_p, a, b, c) => [
    a.up({ id: '0123456789abcdefghijklm' }),
    b.up({ id: 'nopqrstuvwxyzABCDEFGHIJ' }),
    c.up({ id: 'KLMNOPQRSTUVWXYZ' }),
  ]),
  both('a will topic that is no UTF-8 is refused', { v4: '3.1.3-10', v5: '3.1.3-11' }, (p, a) => [
    a.opens(),
    a.sends(p.connect({ id: 'a', will: { topic: Uint8Array.of(0x61, 0xed, 0xa0, 0x80), payload: 'x' } })),
    a.refused({ v4: undefined, v5: [0x81, 0x82, 0x90] }),
  ]),
  both('a will topic with a wildcard is refused', { v4: '4.7.1-1', v5: '4.7.0-1' }, (p, a) => [
    a.opens(),
    a.sends(p.connect({ id: 'a', will: { topic: 'a/#', payload: 'x' } })),
    a.refused({ v4: undefined, v5: [0x81, 0x82, 0x90] }),
  ]),
  both('a user name that is no UTF-8 is refused', { v4: '3.1.3-11', v5: '3.1.3-12' }, (p, a) => [
    a.opens(),
    a.sends(p.connect({ id: 'a', user: Uint8Array.of(0xc0, 0x80) })),
    a.refused(malformed),
  ]),
  both('an empty client id is given one, each another', { v4: '3.1.3-6 3.1.3-7' }, (p, a, b) => [
    a.up({ id: '' }),
    b.up({ id: '' }),
    a.sends(p.subscribe(1, [['t', 0]])),
    a.gets(p.suback(1, [0])),
    b.sends(p.publish('t', 'x')),
    a.gets(p.publish('t', 'x')),
  ]),
  both('an empty client id needs clean session', { v4: '3.1.3-7 3.1.3-8 3.2.2-4 3.2.2-5' }, (p, a) => [
    a.opens(),
    a.sends(p.connect({ id: '', clean: false })),
    a.refused({ v4: 2, v5: [] }),
  ]),
];

const refusals: readonly (readonly ConformanceCase[])[] = [
  both(
    'a rejected client id is told so',
    { v4: '3.1.3-9 3.2.2-4 3.2.2-5', v5: '3.1.3-8 3.2.2-6 3.2.2-7' },
    (p, a) => [a.opens(), a.sends(p.connect({ id: 'a', user: 'bad' })), a.refused({ v4: 2, v5: [0x85] })],
    { broker: refusing('identifier-rejected') },
  ),
  both(
    'bad credentials are told so',
    { v4: '3.2.2-4 3.2.2-5', v5: '3.1.4-2 3.2.2-6 3.2.2-7 3.2.2-8 4.13.2-1' },
    (p, a) => [a.opens(), a.sends(p.connect({ id: 'a', user: 'bad', clean: false })), a.refused({ v4: 4, v5: [0x86] })],
    { broker: refusing('bad-credentials') },
  ),
  both(
    'who is not authorised is told so',
    { v4: '3.2.2-5', v5: '3.1.4-2 3.2.2-7 3.2.2-8' },
    (p, a) => [a.opens(), a.sends(p.connect({ id: 'a', user: 'bad' })), a.refused({ v4: 5, v5: [0x87] })],
    { broker: refusing('not-authorized') },
  ),
  both(
    'a server that is not available says so',
    { v4: '3.2.2-5 4.8.0-2', v5: '3.1.4-2 3.2.2-7 3.2.2-8' },
    (p, a) => [a.opens(), a.sends(p.connect({ id: 'a', user: 'bad' })), a.refused({ v4: 3, v5: [0x88] })],
    { broker: refusing('unavailable') },
  ),
  both(
    'nothing that follows a refused CONNECT is processed',
    { v4: '3.1.4-5', v5: '3.1.4-6' },
    (p, a, b) => [
      b.up(),
      b.sends(p.subscribe(1, [['t', 0]])),
      b.gets(p.suback(1, [0])),
      a.opens(),
      a.sends(p.connect({ id: 'a', user: 'bad' }), p.publish('t', 'x'), p.pingreq()),
      a.refused({ v4: 5, v5: [0x87] }),
      b.silent(),
    ],
    { broker: refusing('not-authorized') },
  ),
  both(
    'a will to a topic that is not allowed is refused',
    { v4: '3.2.2-5 3.1.4-5', v5: '3.1.4-2 3.2.2-7' },
    (p, a) => [
      a.opens(),
      a.sends(p.connect({ id: 'a', will: { topic: 'no', payload: 'x' } })),
      a.refused({ v4: 5, v5: [0x87] }),
    ],
    { broker: { mayPublish: (topic) => topic !== 'no' } },
  ),
  both(
    'what follows an accepted CONNECT at once is processed after CONNACK',
    { v4: '3.2.0-1', v5: '3.2.0-1' },
    (p, a) => [
      a.opens(),
      a.sends(p.connect({ id: 'a' }), p.pingreq()),
      a.getsWhat('CONNACK 0', (got) => (got[0] === 0x20 && got[3] === 0 ? undefined : 'no CONNACK 0')),
      a.gets(p.pingresp()),
    ],
  ),
  both('a client id that is connected already takes over', { v4: '3.1.4-2', v5: '3.1.4-3' }, (p, a, b) => [
    a.up({ id: 'twice' }),
    b.up({ id: 'twice' }),
    a.ends(0x8e),
    b.sends(p.pingreq()),
    b.gets(p.pingresp()),
  ]),
];

function connackProperty(got: Buffer, id: number): string | undefined {
  // 20 len flags reason props: the text property `id`, found by its identifier from the front.
  for (let at = 5; at < got.length; ) {
    const known = got[at] as number;
    const size: Record<number, number> = { 17: 4, 19: 2, 33: 2, 34: 2, 36: 1, 37: 1, 39: 4, 40: 1, 41: 1, 42: 1 };
    const fixed = size[known];
    const length = fixed ?? 2 + got.readUInt16BE(at + 1);
    if (known === id) return got.subarray(at + 3, at + 1 + length).toString();
    at += 1 + length;
  }
  return undefined;
}

function assigned(): readonly ConformanceCase[] {
  const ids: string[] = [];
  const remember = (got: Buffer): string | undefined => {
    const id = connackProperty(got, 0x12);
    if (id === undefined || id === '') return 'there is no assigned client identifier';
    if (ids.includes(id)) return 'the assigned client identifier was given twice';
    ids.push(id);
    return undefined;
  };
  return both(
    'an empty client id is given one, which holds for the session',
    { v5: '3.1.3-6 3.1.3-7 3.2.2-16' },
    (p, a, b, c) => [
      { text: 'no client id is assigned yet', play: async () => void ids.splice(0) },
      a.opens(),
      a.sends(p.connect({ id: '', props: [prop.sessionExpiry(60)] })),
      a.getsWhat('CONNACK with a client id', remember),
      b.opens(),
      b.sends(p.connect({ id: '', clean: false })),
      b.getsWhat('CONNACK with another client id', remember),
      a.lost(),
      c.opens(),
      {
        text: 'c connects with the first of them',
        play: (stage) => stage.send('c', p.connect({ id: ids[0] as string, clean: false })),
      },
      c.getsWhat('CONNACK with the session', (got) => (got[2] === 1 ? undefined : 'there is no session')),
    ],
  );
}

export const connectCases: readonly ConformanceCase[] = [
  ...first,
  ...flags,
  ...payload,
  ...refusals,
  assigned(),
].flat();
