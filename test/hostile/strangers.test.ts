// Those who never become clients: half-open connections, slow ones, nonsense, storms, more of them than there are files.

import { execFile } from 'node:child_process';
import { connect as connectSocket, type Socket } from 'node:net';
import { promisify } from 'node:util';
import t from 'tap';
import { connectBytesMax } from '../../src/limits.ts';
import { generatorFile } from '../bench/load.ts';
import { Random } from '../fuzz/random.ts';
import type { RawClient } from './raw-client.ts';
import { kibibyte, Siege } from './siege.ts';

const run = promisify(execFile);
/** What one connection may cost beside the bytes it sent. */
const connectionBytes = 16 * kibibyte;
const tlsConnectionBytes = 96 * kibibyte;
const soon = { connect_ms_max: 1500 };

/** A socket that is connected, and when it is closed. */
async function dial(port: number): Promise<{ readonly socket: Socket; readonly closed: Promise<void> }> {
  const socket = connectSocket({ port, host: '127.0.0.1' });
  socket.on('error', () => undefined);
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()));
  await new Promise<void>((resolve, reject) => socket.once('connect', resolve).once('error', reject));
  // Unread bytes would keep the end from being seen.
  socket.resume();
  return { socket, closed };
}

t.test('connections that say nothing, or half of what they must, are closed, over TCP and TLS', async (t) => {
  const siege = await Siege.lay(t, { listen: ['tcp', 'tls'], limits: soon });
  const tls = siege.broker.port('tls');
  // A record that announces a ClientHello of 512 bytes, and some of it.
  const beginsHello = Buffer.from('160301020001', 'hex');
  const beginsConnect = Buffer.from('10ff04', 'hex');
  const silent = await siege.many(300, () => dial(siege.port));
  const half = await siege.many(300, () => dial(siege.port));
  for (const { socket } of half) socket.write(beginsConnect);
  const silentTls = await siege.many(150, () => dial(tls));
  const halfTls = await siege.many(150, () => dial(tls));
  for (const { socket } of halfTls) socket.write(beginsHello);
  const mute = await siege.many(100, () => siege.stream({ port: tls, tls: true }));
  await siege.witness.exchanged();
  await Promise.all([...silent, ...half, ...silentTls, ...halfTls, ...mute].map(({ closed }) => closed));
  t.pass('the broker closed all of them');
  siege.grewAtMost(600 * connectionBytes + 400 * tlsConnectionBytes, 'a thousand half-open connections');
  await siege.lift();
});

t.test('a handshake of TLS that takes its time, and packets a byte at a time, hold up nobody', async (t) => {
  const siege = await Siege.lay(t, { listen: ['tcp', 'tls'] });
  const drip = async (client: RawClient, bytes: Uint8Array): Promise<void> => {
    for (const byte of bytes) {
      await client.write(Uint8Array.of(byte));
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const slow = async (index: number): Promise<void> => {
    const client = await siege.stream(index % 2 === 0 ? {} : { port: siege.broker.port('tls'), tls: true });
    const connack = client.next('connack');
    await drip(client, client.bytes({ cmd: 'connect', clientId: `slow-${index}`, clean: true, protocolVersion: 5 }));
    t.match(await connack, { reasonCode: 0 });
    const puback = client.next('puback');
    const facts = { qos: 1, dup: false, retain: false, messageId: 7 } as const;
    await drip(client, client.bytes({ cmd: 'publish', topic: 'slow', payload: 'x'.repeat(200), ...facts }));
    t.match(await puback, { messageId: 7 });
  };
  // A proxy that hands the client's side of a TLS handshake on in single bytes.
  const hello = await dial(siege.broker.port('tls'));
  for (const byte of Buffer.from('16030102000100', 'hex')) hello.socket.write(Uint8Array.of(byte));
  await Promise.all(Array.from({ length: 40 }, (_, index) => slow(index)));
  await siege.witness.exchanged();
  siege.grewAtMost(40 * tlsConnectionBytes, 'slow clients');
  hello.socket.destroy();
  await siege.lift();
});

t.test('nonsense before, and instead of, a CONNECT ends its own connection', async (t) => {
  const siege = await Siege.lay(t, { listen: ['tcp', 'tls', 'ws'], limits: soon });
  const random = new Random(20);
  const openings: readonly Uint8Array[] = [
    Buffer.from('GET / HTTP/1.1\r\nHost: a\r\n\r\n'),
    Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'),
    Buffer.from('160301020001000001fc0303', 'hex'),
    Buffer.from('PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\n'),
    Buffer.alloc(70_000),
    Buffer.alloc(70_000, 0xff),
    // A length of five bytes; one of 256 MiB; a PUBLISH, a PINGREQ and an AUTH first; a protocol nobody knows.
    Buffer.from('10ffffffff7f', 'hex'),
    Buffer.from('10ffffff7f', 'hex'),
    Buffer.from('3003000161', 'hex'),
    Buffer.from('c000', 'hex'),
    Buffer.from('f000', 'hex'),
    Buffer.from('100c00044e4f50450402003c0000', 'hex'),
    // CONNECT twice in one write, and a CONNECT with a length that lies.
    Buffer.from('100d00044d5154540402003c000161100d00044d5154540402003c000161', 'hex'),
    Buffer.from('10ff0100044d5154540402003c000161', 'hex'),
    Buffer.concat([Buffer.from('10f8ff05', 'hex'), Buffer.alloc(connectBytesMax)]),
  ];
  const ports = [siege.port, siege.broker.port('tls'), siege.broker.port('ws')];
  const say = async (index: number): Promise<void> => {
    const { socket, closed } = await dial(ports[index % ports.length] as number);
    const known = openings[Math.floor(index / ports.length)];
    socket.write(known ?? random.bytes(random.between(1, 3000)));
    // Its listener may wait for more: an end of the stream is the least it must understand.
    if (index % 2 === 1) socket.end();
    await closed;
  };
  await Promise.all(Array.from({ length: 600 }, (_, index) => say(index)));
  t.pass('all of them were closed');
  siege.grewAtMost(600 * connectionBytes, 'nonsense');
  await siege.lift();
});

t.test('as many idle connections as there may be', async (t) => {
  const siege = await Siege.lay(t);
  const reserve = 200;
  const count = Math.min(20_000, siege.broker.openFilesMax() - reserve);
  if (count < 20_000) t.comment(`the system grants ${count + reserve} open files: ${count} connections`);
  const args = { mode: 'idle', port: siege.port, count, sources: 8, hold: 0.2, concurrency: 200 };
  const load = run(
    generatorFile,
    Object.entries({ ...args, pid: siege.broker.pid }).flatMap(([name, value]) => [`--${name}`, String(value)]),
  );
  await siege.witness.sys('clients/connected', (connected) => connected > count);
  await siege.witness.exchanged();
  const result = JSON.parse((await load).stdout) as Readonly<Record<string, number>>;
  t.match(result, { answered: count, closed: 0 }, 'all of them live, and were asked');
  siege.grewAtMost(count * connectionBytes, `${count} idle connections`);
  await siege.lift();
});

t.test('five hundred clients that reconnect in a storm, and take over from themselves', async (t) => {
  const siege = await Siege.lay(t);
  const load = run(generatorFile, [
    ...['--mode', 'connect', '--port', String(siege.port), '--concurrency', '500', '--seconds', '2', '--sources', '4'],
  ]);
  await siege.witness.exchanged();
  t.ok((JSON.parse((await load).stdout) as { connects?: number; count?: number }) !== undefined);
  const count = 500;
  const enter = (index: number): Promise<RawClient> =>
    siege.client({ clientId: `storm-${index}`, clean: false, properties: { sessionExpiryInterval: 60 } });
  let clients = await siege.many(count, enter);
  for (let round = 0; round < 3; round++) {
    const before = clients;
    clients = await siege.many(count, enter);
    await Promise.all(before.map(({ closed }) => closed));
    t.ok(
      before.every(({ disconnect }) => disconnect?.reasonCode === 0x8e),
      'who is taken over is told',
    );
  }
  await siege.witness.sys('clients/connected', (connected) => connected === count + 2);
  await Promise.all(clients.map((client) => client.drop()));
  await siege.witness.sys('clients/disconnected', (away) => away === count);
  siege.grewAtMost(2 * count * connectionBytes, 'a storm');
  await siege.lift();
});

t.test('more connections than the broker may have files leave those that are there alone', async (t) => {
  const siege = await Siege.lay(t, { openFilesMax: 128 });
  const strangers = await siege.many(400, () => dial(siege.port));
  await siege.witness.exchanged();
  t.ok(siege.broker.openFiles() >= 120, 'there are no files left');
  for (const { socket } of strangers) socket.destroy();
  await siege.lift();
});

t.test('more connections than connections_max are closed at once', async (t) => {
  const siege = await Siege.lay(t, { limits: { connections_max: 50 } });
  const strangers = await siege.many(200, () => dial(siege.port));
  await Promise.race(strangers.map(({ closed }) => closed));
  await siege.witness.exchanged();
  t.ok(siege.broker.openFiles() <= 50 + 40, 'the others hold no files');
  for (const { socket } of strangers) socket.destroy();
  await siege.lift();
});
