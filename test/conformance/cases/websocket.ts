// MQTT over WebSocket: frames and packets need not meet, and only binary frames carry packets.

import { Buffer } from 'node:buffer';
import type { Octets } from '../packets.ts';
import { both, type ConformanceCase, type Step } from '../script.ts';

const text = 1;
const binary = 2;
const continuation = 0;
const ping = 9;

/** A frame of `name`; `octets` are bytes only. */
function frame(name: string, [opcode, isFinal]: readonly [number, boolean], octets: Octets): Step {
  return {
    text: `${name} sends a frame of type ${opcode} with ${octets.length} bytes`,
    play: async (stage) => stage.frame(name, { opcode, isFinal, bytes: Buffer.from(octets as number[]) }),
  };
}

const over = ['websocket'] as const;

const cases: readonly (readonly ConformanceCase[])[] = [
  ...['mqtt', 'mqttv3.1, mqtt', 'chat,mqtt , other'].map((offered) =>
    both(
      `the server selects the subprotocol mqtt of '${offered}'`,
      { v4: '6.0.0-4', v5: '6.0.0-4' },
      (p, a) => [
        a.opens(offered),
        a.sends(p.connect({ id: 'a' })),
        a.getsWhat('CONNACK 0', (got, stage) => {
          if (got[0] !== 0x20 || got[3] !== 0) return 'no CONNACK 0';
          const selected = stage.subprotocol('a');
          return selected === 'mqtt' ? undefined : `the server selected '${selected}'`;
        }),
      ],
      { over },
    ),
  ),
  both(
    'a text frame closes the connection, whatever is in it',
    { v4: '6.0.0-1', v5: '6.0.0-1' },
    (p, a, b) => [
      a.up(),
      frame('a', [text, true], p.pingreq()),
      {
        text: 'the connection of a is closed',
        play: async (stage) => {
          const next = await stage.next('a');
          // 5.0 may say why first.
          if (next !== undefined && next[0] !== 0xe0) throw new Error('a got an answer to its text frame');
          if (!(await stage.closed('a'))) throw new Error('the connection of a stays open');
        },
      },
      b.opens(),
      frame('b', [text, true], p.connect({ id: 'b' })),
      b.closed(),
    ],
    { over },
  ),
  both(
    'frames and packets need not be aligned',
    { v4: '6.0.0-2', v5: '6.0.0-2' },
    (p, a) => {
      const subscribe = p.subscribe(1, [['t', 0]]);
      const publish = p.publish('t', 'x'.repeat(300));
      return [
        a.up(),
        // The end of one packet and the beginning of the next in a frame, and both again in a fragmented message.
        frame('a', [binary, true], [...p.pingreq(), ...subscribe.slice(0, 3)]),
        frame('a', [binary, true], [...subscribe.slice(3), ...publish.slice(0, 20)]),
        frame('a', [binary, true], []),
        frame('a', [binary, false], publish.slice(20, 21)),
        frame('a', [ping, true], []),
        frame('a', [continuation, false], publish.slice(21, 150)),
        frame('a', [continuation, true], [...publish.slice(150), ...p.pingreq()]),
        a.gets(p.pingresp(), p.suback(1, [0])),
        a.getsInAnyOrder(publish, p.pingresp()),
      ];
    },
    { over },
  ),
  both(
    'a packet larger than one length field of a frame',
    { v4: '6.0.0-2', v5: '6.0.0-2' },
    (p, a) => [
      a.up(),
      a.sends(p.subscribe(1, [['t', 1]])),
      a.gets(p.suback(1, [1])),
      ...[125, 126, 65_535, 65_536, 200_000].flatMap((bytes) => {
        const message = p.publish('t', 'x'.repeat(bytes));
        return [a.sends(message), a.gets(message)];
      }),
    ],
    { over },
  ),
];

export const websocketCases: readonly ConformanceCase[] = cases.flat();
