// WebSocket as no browser would send it.

import { connect as connectSocket, type Socket } from 'node:net';
import t from 'tap';
import { packetBytesMax, webSocketHeaderBytesMax } from '../../src/limits.ts';
import { Random } from '../fuzz/random.ts';
import { kibibyte, Siege } from './siege.ts';

const connectionBytes = 32 * kibibyte;
const upgrade = [
  'GET /mqtt HTTP/1.1',
  'Host: localhost',
  'Connection: Upgrade',
  'Upgrade: websocket',
  'Sec-WebSocket-Version: 13',
  'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
  'Sec-WebSocket-Protocol: mqtt',
  '\r\n',
].join('\r\n');
/** CONNECT of 3.1.1, clean, with an assigned client id; PINGREQ. */
const connectPacket = Buffer.from('100c00044d51545404020000' + '0000', 'hex');
const pingreq = Buffer.from('c000', 'hex');
const opcode = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9 } as const;

interface FrameOptions {
  readonly code?: number;
  readonly isFinal?: boolean;
  readonly isMasked?: boolean;
  readonly reserved?: number;
  /** Announced; the payload's own when absent. */
  readonly length?: bigint;
}

/** A frame of a client; masked with zeros, which is as good a mask as any. */
function frame(payload: Uint8Array, options: FrameOptions = {}): Buffer {
  const { code = opcode.binary, isFinal = true, isMasked = true, reserved = 0 } = options;
  const length = options.length ?? BigInt(payload.length);
  const first = (isFinal ? 0x80 : 0) | reserved | code;
  const mask = isMasked ? 0x80 : 0;
  const head = Buffer.alloc(length < 126n ? 2 : length < 65_536n ? 4 : 10);
  head[0] = first;
  head[1] = mask | (head.length === 2 ? Number(length) : head.length === 4 ? 126 : 127);
  if (head.length === 4) head.writeUInt16BE(Number(length), 2);
  if (head.length === 10) head.writeBigUInt64BE(length, 2);
  return Buffer.concat([head, Buffer.alloc(isMasked ? 4 : 0), payload]);
}

/** A stream, what came on it, and its end. */
class Web {
  readonly socket: Socket;
  readonly closed: Promise<void>;
  isClosed = false;
  bytes = Buffer.alloc(0);
  #look: () => void = () => undefined;

  constructor(port: number) {
    this.socket = connectSocket({ port, host: '127.0.0.1', noDelay: true });
    this.socket.on('error', () => undefined);
    this.socket.on('data', (chunk) => {
      this.bytes = Buffer.concat([this.bytes, chunk]);
      this.#look();
    });
    this.closed = new Promise((resolve) =>
      this.socket.once('close', () => {
        this.isClosed = true;
        this.#look();
        resolve();
      }),
    );
  }

  write(bytes: Uint8Array | string): void {
    this.socket.write(bytes);
  }

  /** Until `isThere`, or the end. */
  until(isThere: (bytes: Buffer) => boolean): Promise<boolean> {
    return new Promise((resolve) => {
      this.#look = () => {
        if (isThere(this.bytes) || this.isClosed) resolve(isThere(this.bytes));
      };
      this.#look();
    });
  }

  async upgraded(): Promise<void> {
    this.write(upgrade);
    if (!(await this.until((bytes) => bytes.includes('\r\n\r\n')))) throw new TypeError('no upgrade');
    this.bytes = Buffer.alloc(0);
  }

  /** The close code that came, if one came. */
  get closeCode(): number | undefined {
    const at = this.bytes.lastIndexOf(Buffer.from([0x88]));
    return at < 0 || at + 4 > this.bytes.length ? undefined : this.bytes.readUInt16BE(at + 2);
  }

  /** Packets of the broker are at the end of a binary frame. */
  answers(hex: string): Promise<boolean> {
    return this.until((bytes) => bytes.includes(Buffer.from(hex, 'hex')));
  }
}

async function opened(siege: Siege): Promise<Web> {
  const web = new Web(siege.broker.port('ws'));
  await web.upgraded();
  return web;
}

t.test('packets in pieces, and pieces of packets, are served', async (t) => {
  const siege = await Siege.lay(t, { listen: ['tcp', 'ws'] });
  const bytes = Buffer.concat([connectPacket, pingreq]);
  const fragments = [...bytes].map((byte, at) =>
    frame(Uint8Array.of(byte), {
      code: at === 0 ? opcode.binary : opcode.continuation,
      isFinal: at === bytes.length - 1,
    }),
  );
  const ways: Readonly<Record<string, readonly Buffer[]>> = {
    'a frame for each byte': [...bytes].map((byte) => frame(Uint8Array.of(byte))),
    'one message in fragments of a byte': fragments,
    'a ping between fragments': fragments
      .flatMap((part) => [part, frame(Buffer.from('p'), { code: opcode.ping })])
      .slice(0, -1),
    'empty frames between': [...bytes].flatMap((byte) => [frame(Buffer.alloc(0)), frame(Uint8Array.of(byte))]),
    'each byte of the stream by itself': [...frame(bytes)].map((byte) => Buffer.from([byte])),
    'two packets in a frame': [frame(bytes)],
  };
  for (const [name, frames] of Object.entries(ways)) {
    const web = await opened(siege);
    for (const part of frames) {
      web.write(part);
      await new Promise((resolve) => setImmediate(resolve));
    }
    t.ok(await web.answers('20020000'), `${name}: CONNACK`);
    t.ok(await web.answers('d000'), `${name}: PINGRESP`);
    web.socket.destroy();
  }
  await siege.lift();
});

t.test('frames that no client may send end their connection with the code for it', async (t) => {
  const siege = await Siege.lay(t, { listen: ['tcp', 'ws'] });
  const wrong: readonly (readonly [what: string, bytes: Buffer, code: number])[] = [
    ['text', frame(connectPacket, { code: opcode.text }), 1003],
    ['no mask', frame(connectPacket, { isMasked: false }), 1002],
    ['a continuation of nothing', frame(connectPacket, { code: opcode.continuation }), 1002],
    ['a reserved bit', frame(connectPacket, { reserved: 0x40 }), 1002],
    ['an unknown opcode', frame(connectPacket, { code: 3 }), 1002],
    ['a long ping', frame(Buffer.alloc(126), { code: opcode.ping }), 1002],
    ['a cut ping', frame(Buffer.alloc(1), { code: opcode.ping, isFinal: false }), 1002],
    ['a length of 2^62', frame(Buffer.alloc(0), { length: 2n ** 62n }), 1009],
    ['a length of 2^63', frame(Buffer.alloc(0), { length: 2n ** 63n }), 1009],
    ['a Close whose code is none', frame(Buffer.from('03ed', 'hex'), { code: opcode.close }), 1002],
    ['one message inside another', Buffer.concat([frame(connectPacket, { isFinal: false }), frame(pingreq)]), 1002],
  ];
  for (const [what, bytes, code] of wrong) {
    const web = await opened(siege);
    web.write(bytes);
    await web.closed;
    t.equal(web.closeCode, code, what);
  }
  const random = new Random(7);
  const strays = await siege.many(300, async () => {
    const web = await opened(siege);
    web.write(random.bytes(random.between(1, 500)));
    web.socket.end();
    return web;
  });
  await Promise.all(strays.map(({ closed }) => closed));
  const large = await opened(siege);
  large.write(frame(connectPacket));
  await large.answers('20020000');
  // A packet that MQTT does not allow, in frames that WebSocket does.
  large.write(frame(Buffer.concat([Buffer.from('30ffffff7f', 'hex'), Buffer.alloc(packetBytesMax)])));
  await large.closed;
  siege.grewAtMost(300 * connectionBytes, 'wrong frames');
  await siege.lift();
});

t.test('upgrades that never end, or are too long, are given up', async (t) => {
  const siege = await Siege.lay(t, { listen: ['tcp', 'ws', 'wss'], limits: { connect_ms_max: 1500 } });
  const port = siege.broker.port('ws');
  const begun = Array.from({ length: 200 }, () => {
    const web = new Web(port);
    web.write(upgrade.slice(0, -2));
    return web;
  });
  const silent = await siege.many(100, () => opened(siege));
  const long = await siege.many(50, async () => {
    const web = new Web(port);
    web.write(`GET /mqtt HTTP/1.1\r\nX-Long: ${'x'.repeat(2 * webSocketHeaderBytesMax)}\r\n`);
    await web.closed;
    return web;
  });
  t.ok(
    long.every(({ bytes }) => bytes.length === 0 || /^HTTP\/1\.1 4\d\d /.test(bytes.toString('latin1'))),
    'a long header is refused',
  );
  await siege.witness.exchanged();
  await Promise.all([...begun, ...silent].map(({ closed }) => closed));
  t.pass('those that said nothing more were closed');
  siege.grewAtMost(350 * connectionBytes, 'upgrades');
  await siege.lift();
});

t.test('pings of a client that takes no answers cost it its connection, or nothing', async (t) => {
  const siege = await Siege.lay(t, { listen: ['tcp', 'ws'] });
  const flooders = await siege.many(10, () => opened(siege));
  const pings = Buffer.concat(Array.from({ length: 1000 }, () => frame(Buffer.alloc(125), { code: opcode.ping })));
  const rounds = 100;
  await Promise.all(
    flooders.map(async (web) => {
      web.write(frame(connectPacket));
      await web.answers('20020000');
      web.socket.pause();
      for (let round = 0; round < rounds && !web.isClosed; round++) web.write(pings);
    }),
  );
  await siege.witness.exchanged();
  siege.grewAtMost(flooders.length * 2 * 1024 * kibibyte, 'pings');
  for (const { socket } of flooders) socket.destroy();
  await siege.lift();
});
