// Enhanced authentication of MQTT 5.0: AUTH before and after CONNACK.

import { Buffer } from 'node:buffer';
import type { AuthenticationExchange } from '../../../src/broker/ports.ts';
import { type Packets, prop } from '../packets.ts';
import { parts } from '../received.ts';
import { both, type Client, type ConformanceCase, type Step } from '../script.ts';
import { admitted } from '../stage.ts';

const method = 'CHALLENGE';
const question = 'who are you?';

/** One challenge: whoever answers `me` is admitted. */
function challenge(): AuthenticationExchange {
  let asked = false;
  return {
    next: async (data) => {
      if (!asked) {
        asked = true;
        return { done: false, data: Uint8Array.from(question, (letter) => letter.charCodeAt(0)) };
      }
      const admission =
        Buffer.from(data ?? []).toString() === 'me'
          ? admitted()
          : ({ admitted: false, reason: 'not-authorized', detail: 'a wrong answer' } as const);
      return { done: true, admission, data: Uint8Array.of(0x6f, 0x6b) };
    },
  };
}

const broker = {
  exchange: (name: string) => (name === method ? challenge() : undefined),
};

const authenticate = (p: Packets, a: Client, props: readonly (readonly number[])[] = []): readonly Step[] => [
  a.opens(),
  a.sends(p.connect({ id: 'a', props: [prop.authMethod(method), prop.authData('hello'), ...props] })),
  a.gets(p.auth(0x18, [prop.authMethod(method), prop.authData(question)])),
];

const connackWithMethod = (got: Buffer): string | undefined => {
  const { type, reasons, properties } = parts([...got], '5.0');
  if (type !== 2 || reasons[0] !== 0) return 'no CONNACK that accepts';
  const expected = prop.authMethod(method).join();
  return properties.some((property) => property.join() === expected) ? undefined : 'it does not name the method';
};

const enter = (p: Packets, a: Client): readonly Step[] => [
  ...authenticate(p, a),
  a.sends(p.auth(0x18, [prop.authMethod(method), prop.authData('me')])),
  a.getsWhat('CONNACK with the method', connackWithMethod),
];

const connecting: readonly (readonly ConformanceCase[])[] = [
  both('a method that is not spoken is refused', { v5: '4.12.0-1 4.13.2-1' }, (p, a) => [
    a.opens(),
    a.sends(p.connect({ id: 'a', props: [prop.authMethod('UNKNOWN')] })),
    a.refused({ v4: undefined, v5: [0x8c, 0x87] }),
  ]),
  both(
    'a client shows who it is by AUTH',
    { v5: '4.12.0-2 4.12.0-3 4.12.0-5 3.15.2-1 3.2.0-1' },
    (p, a) => [...enter(p, a), a.sends(p.pingreq()), a.gets(p.pingresp())],
    { broker },
  ),
  both(
    'a wrong answer is refused',
    { v5: '4.12.0-4 3.2.2-7' },
    (p, a) => [
      ...authenticate(p, a),
      a.sends(p.auth(0x18, [prop.authMethod(method), prop.authData('not me')])),
      a.refused({ v4: undefined, v5: [0x87] }),
    ],
    { broker },
  ),
  both(
    'the client answers by the method of its CONNECT',
    { v5: '4.12.0-5' },
    (p, a) => [
      ...authenticate(p, a),
      a.sends(p.auth(0x18, [prop.authMethod('OTHER'), prop.authData('me')])),
      a.refused({ v4: undefined, v5: [0x82, 0x8c] }),
    ],
    { broker },
  ),
  both(
    'the client answers by reason 0x18',
    { v5: '4.12.0-3' },
    (p, a) => [
      ...authenticate(p, a),
      a.sends(p.auth(0x19, [prop.authMethod(method), prop.authData('me')])),
      a.refused({ v4: undefined, v5: [0x82] }),
    ],
    { broker },
  ),
  both(
    'only AUTH and DISCONNECT come before CONNACK',
    { v5: '3.1.2-30 3.14.0-1' },
    (p, a, b, c) => [
      b.up(),
      b.sends(p.subscribe(1, [['t', 0]])),
      b.gets(p.suback(1, [0])),
      ...authenticate(p, a),
      a.sends(p.publish('t', 'x')),
      a.refused({ v4: undefined, v5: [0x82] }),
      b.silent(),
      c.opens(),
      c.sends(p.connect({ id: 'c', props: [prop.authMethod(method)] })),
      c.gets(p.auth(0x18, [prop.authMethod(method), prop.authData(question)])),
      c.sends(p.disconnect()),
      c.closed(),
    ],
    { broker },
  ),
  both(
    'AUTH is no larger than the client takes',
    { v5: '3.15.2-2 3.15.2-3' },
    (p, a) => [
      ...authenticate(p, a, [prop.packetBytesMax(40)]),
      a.sends(p.auth(0x18, [prop.authMethod(method), prop.authData('me')])),
      a.getsWhat('a small CONNACK', (got) => (got.length <= 40 ? connackWithMethod(got) : 'it is too large')),
    ],
    { broker },
  ),
];

const open: readonly (readonly ConformanceCase[])[] = [
  both(
    'without a method there is no AUTH',
    { v5: '4.12.0-6 4.12.0-7' },
    (p, a) => [a.up({ lacks: [0x15, 0x16] }), a.sends(p.auth(0x19, [prop.authMethod(method)])), a.ends(0x82)],
    { broker },
  ),
  both(
    'AUTH with flags ends the connection',
    { v5: '3.15.1-1' },
    (p, a) => [...enter(p, a), a.sends([0xf1, ...p.auth(0x19, [prop.authMethod(method)]).slice(1)]), a.ends(0x81)],
    { broker },
  ),
  both(
    'AUTH with a reason that does not exist ends the connection',
    { v5: '3.15.2-1' },
    (p, a) => [...enter(p, a), a.sends(p.auth(0x42, [prop.authMethod(method)])), a.ends(0x81, 0x82)],
    { broker },
  ),
  both(
    'AUTH of a client with reason 0 ends the connection',
    { v5: '3.15.2-1' },
    (p, a) => [...enter(p, a), a.sends(p.auth(0x00, [prop.authMethod(method)])), a.ends(0x82)],
    { broker },
  ),
  both(
    'a client shows again who it is',
    { v5: '4.12.1-1 4.12.0-5 3.15.2-1' },
    (p, a) => [
      ...enter(p, a),
      a.sends(p.auth(0x19, [prop.authMethod(method), prop.authData('hello')])),
      a.gets(p.auth(0x18, [prop.authMethod(method), prop.authData(question)])),
      a.sends(p.pingreq()),
      a.gets(p.pingresp()),
      a.sends(p.auth(0x18, [prop.authMethod(method), prop.authData('me')])),
      a.gets(p.auth(0x00, [prop.authMethod(method), prop.authData('ok')])),
    ],
    { broker },
  ),
  both(
    'it does so by the same method',
    { v5: '4.12.1-1' },
    (p, a) => [...enter(p, a), a.sends(p.auth(0x19, [prop.authMethod('OTHER')])), a.ends(0x82, 0x8c)],
    { broker },
  ),
  both(
    'whoever fails is disconnected',
    { v5: '4.12.1-2' },
    (p, a) => [
      ...enter(p, a),
      a.sends(p.auth(0x19, [prop.authMethod(method)])),
      a.gets(p.auth(0x18, [prop.authMethod(method), prop.authData(question)])),
      a.sends(p.auth(0x18, [prop.authMethod(method), prop.authData('not me')])),
      a.ends(0x87),
    ],
    { broker },
  ),
  both(
    'an answer nobody asked for ends the connection',
    { v5: '4.12.1-1 4.13.1-1' },
    (p, a) => [...enter(p, a), a.sends(p.auth(0x18, [prop.authMethod(method), prop.authData('me')])), a.ends(0x82)],
    { broker },
  ),
];

export const authCases: readonly ConformanceCase[] = [...connecting, ...open].flat();
