// One connection after the other against the bytes of MQTT 3.1.1: handshake, acknowledgements, endings.

import { Buffer } from 'node:buffer';
import t from 'tap';
import type { Admission } from '../../src/broker/ports.ts';
import { brokerInflightInboundBytesMax } from '../../src/limits.ts';
import { settle } from '../support/sim-clock.ts';
import { ack, admit, bytesOf, connect, Harness, publish, StubService, subscribe } from './broker-harness.ts';

t.test('a CONNECT is accepted, and the level decides about the answer', async (t) => {
  const rows: readonly [string, string, string, string][] = [
    ['3.1.1', '10 0d 0004 4d515454 04 02 0000 0001 61', '20020000', ''],
    ['3.1', '10 0f 0006 4d5149736470 03 02 0000 0001 62', '20020000', ''],
    ['5.0', '10 0e 0004 4d515454 05 02 0000 00 0001 61', '200e00000b 210080 2700050008 220040', ''],
    ['level 6', '10 0d 0004 4d515454 06 02 0000 0001 61', '2003008400', 'unsupported-protocol'],
    ['a bridge of mosquitto', '10 0d 0004 4d515454 84 02 0000 0001 61', '20020001', 'unsupported-protocol'],
    ['3.1 name with level 4', '10 0f 0006 4d5149736470 04 02 0000 0001 62', '20020001', 'unsupported-protocol'],
    ['another name', '10 0d 0004 4d515458 04 02 0000 0001 61', '', 'malformed-packet'],
    ['no client id, not clean', '10 0c 0004 4d515454 04 00 0000 0000', '20020002', 'identifier-rejected'],
    ['no client id, clean', '10 0c 0004 4d515454 04 02 0000 0000', '20020000', ''],
    ['PINGREQ first', 'c000', '', 'unexpected-packet'],
    ['PUBLISH first', '30 03 0001 61', '', 'unexpected-packet'],
    ['a will with a wildcard', '10 13 0004 4d515454 04 06 0000 0001 61 0001 23 0001 63', '', 'malformed-topic'],
    ['reserved flag', '10 0d 0004 4d515454 04 03 0000 0001 61', '', 'malformed-packet'],
    ['more than a CONNECT may have', '10 ff ff 7f', '', 'packet-too-large'],
  ];
  for (const [what, hex, answer, reason] of rows) {
    const h = await new Harness(t).start();
    const wire = h.wire();
    let raw = '';
    wire.write = (chunk) => {
      raw += Buffer.from(chunk).toString('hex');
      return true;
    };
    wire.send(hex);
    await settle();
    t.equal(raw, answer.replaceAll(' ', ''), what);
    t.equal(wire.ended, reason !== '', `${what}: ${reason === '' ? 'open' : 'closed'}`);
    if (reason !== '') t.equal(h.ended(reason), 1, `${what}: ${reason}`);
  }
});

t.test('a refused client gets the return code of the reason, and a failing authenticator admits nobody', async (t) => {
  const rows: readonly [Admission | Error, string][] = [
    [{ admitted: false, reason: 'identifier-rejected', detail: '' }, 'connack 2'],
    [{ admitted: false, reason: 'unavailable', detail: '' }, 'connack 3'],
    [{ admitted: false, reason: 'bad-credentials', detail: '' }, 'connack 4'],
    [{ admitted: false, reason: 'not-authorized', detail: '' }, 'connack 5'],
    [new RangeError('the registry is gone'), 'connack 3'],
  ];
  for (const [admission, answer] of rows) {
    const authenticate = async (): Promise<Admission> => {
      if (admission instanceof Error) throw admission;
      return admission;
    };
    const h = await new Harness(t, { authenticate }).start();
    const wire = h.wire();
    wire.send(connect('a'), subscribe(1, ['#', 0]));
    await settle();
    t.same(wire.seen(), [answer]);
    t.ok(wire.ended);
    t.same(h.broker.connectedClients(), []);
  }
});

t.test('packets sent before the CONNACK are kept until the client is admitted', async (t) => {
  let admitted: (admission: Admission) => void = () => undefined;
  const authenticate = (): Promise<Admission> => new Promise((resolve) => (admitted = resolve));
  const h = await new Harness(t, { authenticate }).start();
  const wire = h.wire();
  const rest = Buffer.concat(
    [subscribe(1, ['a', 1]), publish('a', 'x', { qos: 1, id: 9 })].map((packet) => bytesOf(packet)),
  );
  wire.send(connect('a'), rest.subarray(0, 5));
  await settle();
  t.ok(wire.paused, 'the socket is not read on');
  wire.send(rest.subarray(5));
  await settle();
  t.same(wire.seen(), []);
  admitted(admit('a'));
  await settle();
  t.same(wire.seen(), ['connack 0', 'suback 1 1', 'publish a x q1 #1', 'puback 9']);
  t.notOk(wire.paused);
});

t.test('more than the bound before the CONNACK ends the connection', async (t) => {
  const authenticate = (): Promise<Admission> => new Promise((resolve) => setTimeout(() => resolve(admit('a')), 5));
  const h = await new Harness(t, { authenticate }).start();
  const wire = h.wire();
  wire.send(connect('a'));
  for (let n = 0; n < 5; n++) wire.send(Buffer.alloc(65_536, 0xc0));
  t.equal(h.ended('input-overrun'), 1);
});

t.test('time-outs: CONNECT, keep-alive, credentials, lingering', async (t) => {
  const authenticate = async (): Promise<Admission> => admit('a', Date.UTC(2026, 0, 1) + 100_000);
  const h = await new Harness(t, { authenticate }).start();
  const silent = h.wire();
  const kept = await h.client('kept', { keepalive: 10 });
  const lost = await h.client('lost', { keepalive: 10 });
  const forever = await h.client('forever');
  await h.clock.advance(9_500);
  t.notOk(silent.ended);
  await h.clock.advance(1_000);
  t.ok(silent.ended, 'no CONNECT within 10 s');
  t.equal(h.ended('connect-timeout'), 1);
  kept.send('c000');
  await h.clock.advance(7_000);
  t.same(kept.seen(), ['pingresp']);
  t.ok(lost.ended, 'nothing for one and a half keep-alives');
  t.notOk(kept.ended);
  t.equal(h.ended('keep-alive-timeout'), 1);
  await h.clock.advance(60_000);
  t.notOk(forever.ended);
  await h.clock.advance(30_000);
  t.ok(forever.ended, 'the credentials ended');
  t.equal(h.ended('credentials-expired'), 1);
});

t.test('a client with the same id takes the connection over', async (t) => {
  const h = await new Harness(t).start();
  const watcher = await h.client('watcher');
  watcher.send(subscribe(1, ['will/#', 0]));
  const first = await h.client('a', { will: { topic: 'will/a', payload: 'gone' } });
  const second = await h.client('a');
  t.ok(first.ended);
  t.notOk(second.ended);
  t.equal(h.ended('taken-over'), 1);
  t.same(watcher.seen(), ['suback 1 0', 'publish will/a gone q0']);
  t.same(
    h.broker.connectedClients().map((client) => [client.clientId, client.remote]),
    [
      ['watcher', 'memory:1'],
      ['a', 'memory:3'],
    ],
  );
});

const nonsense: readonly [string, string, string][] = [
  ['10 0d 0004 4d515454 04 02 0000 0001 61', 'unexpected-packet', 'a second CONNECT [MQTT-3.1.0-2]'],
  ['20020000', 'unexpected-packet', 'CONNACK'],
  ['d000', 'unexpected-packet', 'PINGRESP'],
  ['0000', 'unexpected-packet', 'type 0'],
  ['f000', 'unexpected-packet', 'type 15'],
  ['c100', 'malformed-packet', 'PINGREQ with flags'],
  ['c00100', 'malformed-packet', 'PINGREQ with a body'],
  ['e100', 'malformed-packet', 'DISCONNECT with flags [MQTT-3.14.1-1]'],
  ['3003000000', 'malformed-topic', 'an empty topic'],
  ['3003000123', 'malformed-topic', 'a wildcard in a topic [MQTT-3.3.2-2]'],
  ['30030001ff', 'malformed-packet', 'a topic not UTF-8'],
  ['3003000100', 'malformed-packet', 'U+0000 in a topic'],
  ['3003000561', 'malformed-packet', 'a topic longer than the packet'],
  ['3605000161 0001', 'malformed-packet', 'QoS 3'],
  ['3205000161 0000', 'invalid-packet-id', 'packet id 0'],
  ['3803000161', 'malformed-packet', 'a duplicate of QoS 0'],
  ['40020000', 'invalid-packet-id', 'PUBACK 0'],
  ['4003000100', 'malformed-packet', 'a PUBACK too long'],
  ['40010001', 'malformed-packet', 'a PUBACK too short'],
  ['60020001', 'malformed-packet', 'PUBREL with wrong flags [MQTT-3.6.1-1]'],
  ['82020001', 'protocol-error', 'SUBSCRIBE without filters'],
  ['8206000100016103', 'protocol-error', 'SUBSCRIBE to QoS 3'],
  ['820800010003612b6200', 'malformed-filter', 'SUBSCRIBE to a+b'],
  ['a2020001', 'protocol-error', 'UNSUBSCRIBE without filters'],
  ['30ffffffff01', 'malformed-length', 'a length of five bytes'],
  ['30ffffff7f', 'packet-too-large', 'a packet of 256 MiB'],
];

t.test('malformed packets end their own connection with a typed reason and disturb nobody', async (t) => {
  const h = await new Harness(t).start();
  const neighbour = await h.client('neighbour');
  neighbour.send(subscribe(1, ['n', 1]));
  await settle();
  neighbour.seen();
  for (const [hex, reason, why] of nonsense) {
    const before = h.ended(reason);
    const wire = await h.client('bad');
    wire.send(hex);
    await settle();
    t.ok(wire.ended, why);
    t.equal(h.ended(reason), before + 1, `${why}: ${reason}`);
    neighbour.send(publish('n', 'x', { qos: 1, id: 7 }));
    await settle();
    const [message, puback] = neighbour.seen();
    t.match(message, /^publish n x q1/);
    t.equal(puback, 'puback 7');
    neighbour.send(ack('puback', Number(message?.split('#')[1])));
  }
  t.equal(h.broker.connectedClients().length, 1);
});

t.test('every cut of every packet, then silence, changes nothing and breaks nothing', async (t) => {
  const h = await new Harness(t).start();
  const packets = [
    connect('b'),
    publish('a', 'x', { qos: 1, id: 1 }),
    subscribe(2, ['a/#', 1]),
    ack('puback', 1),
    { cmd: 'pingreq' as const },
  ];
  for (const packet of packets) {
    const whole = bytesOf(packet);
    for (let cut = 1; cut < whole.length; cut++) {
      const wire = packet.cmd === 'connect' ? h.wire() : await h.client('b');
      wire.send(whole.subarray(0, cut));
      await settle();
      t.same(wire.seen(), [], `${packet.cmd} cut after ${cut}`);
      wire.destroy();
      await settle();
    }
  }
  t.equal(h.broker.connectedClients().length, 0);
});

t.test('input byte by byte is the same as input at once', async (t) => {
  const run = async (split: boolean): Promise<string[]> => {
    const h = await new Harness(t).start();
    const wire = h.wire();
    const stream = Buffer.concat(
      [
        connect('a'),
        subscribe(1, ['t/#', 2]),
        publish('t/1', 'one'),
        publish('t/1', 'two'),
        publish('t/2', Buffer.alloc(300, 0x61), { qos: 1, id: 5 }),
        publish('t/3', 'x', { qos: 2, id: 6 }),
        ack('pubrel', 6),
        { cmd: 'pingreq' as const },
        { cmd: 'unsubscribe' as const, messageId: 8, unsubscriptions: ['t/#'] },
        publish('t/1', 'unheard'),
      ].map((packet) => bytesOf(packet)),
    );
    if (split) for (const byte of stream) wire.send(Buffer.from([byte]));
    else wire.send(stream);
    await settle();
    return wire.seen();
  };
  const once = await run(false);
  t.same(once.slice(0, 4), ['connack 0', 'suback 1 2', 'publish t/1 one q0', 'publish t/1 two q0']);
  t.same(once.slice(5), ['puback 5', 'publish t/3 x q2 #2', 'pubrec 6', 'pubcomp 6', 'pingresp', 'unsuback 8']);
  t.same(await run(true), once);
});

t.test('acknowledgements to a publisher keep the order of arrival, whatever the service settles first', async (t) => {
  const service = new StubService();
  const h = await new Harness(t, { service }).start();
  const wire = await h.client('a');
  wire.send(
    publish('$svc/1', 'one', { qos: 1, id: 1 }),
    publish('plain', 'two', { qos: 1, id: 2 }),
    publish('$svc/3', 'three', { qos: 2, id: 3 }),
    publish('$svc/4', 'four', { qos: 0 }),
    publish('$svc/5', 'five', { qos: 1, id: 5 }),
  );
  await settle();
  t.same(wire.seen(), [], 'nothing is acknowledged before the first is safe');
  t.same(
    service.publishes.map(({ publish: { topic, payload, qos } }) => `${topic} ${payload} ${qos}`),
    ['$svc/1 one 1', '$svc/3 three 2', '$svc/4 four 0', '$svc/5 five 1'],
  );
  service.publishes[3]?.resolve();
  service.publishes[1]?.resolve();
  await settle();
  t.same(wire.seen(), []);
  service.publishes[0]?.resolve();
  await settle();
  t.same(wire.seen(), ['puback 1', 'puback 2', 'pubrec 3', 'puback 5']);
  service.publishes[2]?.resolve();
  wire.send(ack('pubrel', 3));
  await settle();
  t.same(wire.seen(), ['pubcomp 3']);
});

t.test('a QoS 2 publish that is repeated reaches the service and the subscribers once', async (t) => {
  const service = new StubService();
  const h = await new Harness(t, { service }).start();
  const wire = await h.client('a', { clean: false });
  wire.send(subscribe(1, ['p', 0]), publish('$svc/1', 'x', { qos: 2, id: 3 }), publish('p', 'y', { qos: 2, id: 4 }));
  wire.send(publish('$svc/1', 'x', { qos: 2, id: 3, dup: true }), publish('p', 'y', { qos: 2, id: 4, dup: true }));
  service.publishes[0]?.resolve();
  await settle();
  t.equal(service.publishes.length, 1);
  t.same(wire.seen(), ['suback 1 0', 'publish p y q0', 'pubrec 3', 'pubrec 4', 'pubrec 3', 'pubrec 4']);
  wire.destroy();
  await settle();
  const again = await h.client('a', { clean: false });
  again.send(publish('p', 'y', { qos: 2, id: 4, dup: true }), ack('pubrel', 4), publish('p', 'z', { qos: 2, id: 4 }));
  await settle();
  t.same(again.seen(), ['pubrec 4', 'pubcomp 4', 'publish p z q0', 'pubrec 4'], 'the id outlives the connection');
});

t.test('a QoS 2 publish that was not known to be safe when the connection ended is served again', async (t) => {
  const service = new StubService();
  const h = await new Harness(t, { service }).start();
  const wire = await h.client('a', { clean: false });
  wire.send(publish('$svc/1', 'x', { qos: 2, id: 3 }));
  wire.destroy();
  await settle();
  const again = await h.client('a', { clean: false });
  again.send(publish('$svc/1', 'x', { qos: 2, id: 3, dup: true }));
  await settle();
  t.same(again.seen(), [], 'no PUBREC for what may be lost');
  t.equal(service.publishes.length, 1, 'the first is not given up yet');
  service.publishes[0]?.reject(new RangeError('the first was lost'));
  await settle();
  t.ok(again.ended);
  const last = await h.client('a', { clean: false });
  last.send(publish('$svc/1', 'x', { qos: 2, id: 3, dup: true }));
  await settle();
  t.equal(service.publishes.length, 2);
  service.publishes[1]?.resolve();
  await settle();
  t.same(last.seen(), ['pubrec 3']);
  last.send(publish('$svc/1', 'x', { qos: 2, id: 3, dup: true }), ack('pubrel', 3));
  await settle();
  t.same(last.seen(), ['pubrec 3', 'pubcomp 3']);
  t.equal(service.publishes.length, 2);
});

t.test('a rejected publish ends the connection, unacknowledged', async (t) => {
  const service = new StubService();
  const h = await new Harness(t, { service }).start();
  const wire = await h.client('a');
  wire.send(publish('$svc/1', 'x', { qos: 1, id: 1 }), publish('$svc/2', 'y', { qos: 1, id: 2 }));
  service.publishes[0]?.reject(new RangeError('no such module'));
  await settle();
  t.same(wire.seen(), []);
  t.ok(wire.ended);
  t.equal(h.ended('service-rejected'), 1);
  t.match(h.lines.join(''), /service-rejected.*no such module/);
  service.publishes[1]?.resolve();
  await settle();
  t.same(service.calls, ['connected a []', 'disconnected a']);
});

t.test('too many unsettled publishes stop the reading until one settles', async (t) => {
  const service = new StubService();
  const h = await new Harness(t, { service, limits: { inflightInboundMax: 2 } }).start();
  const wire = await h.client('a', { keepalive: 1 });
  wire.send(...[1, 2, 3, 4].map((id) => publish(`$svc/${id}`, 'x', { qos: 1, id })));
  await settle();
  t.equal(service.publishes.length, 2);
  t.ok(wire.paused);
  await h.clock.advance(10_000);
  t.notOk(wire.ended, 'who is not read cannot be heard: no keep-alive time-out');
  service.publishes[0]?.resolve();
  await settle();
  t.equal(service.publishes.length, 3);
  t.ok(wire.paused);
  service.publishes[1]?.resolve();
  service.publishes[2]?.resolve();
  await settle();
  t.equal(service.publishes.length, 4);
  t.notOk(wire.paused);
  service.publishes[3]?.resolve();
  await settle();
  t.same(wire.seen(), ['puback 1', 'puback 2', 'puback 3', 'puback 4']);
});

t.test('many bytes of unsettled publishes stop the reading as well', async (t) => {
  const service = new StubService();
  const h = await new Harness(t, { service, limits: { inflightInboundMax: 1024 } }).start();
  const wire = await h.client('a');
  const bytes = 100_000;
  const count = Math.ceil(brokerInflightInboundBytesMax / bytes);
  const send = (id: number): void => wire.send(publish(`$svc/${id}`, 'x'.repeat(bytes), { qos: 1, id }));
  for (let id = 1; id <= count; id++) send(id);
  await settle();
  t.equal(service.publishes.length, count);
  t.ok(wire.paused);
  send(count + 1);
  await settle();
  t.equal(service.publishes.length, count);
  service.publishes[0]?.resolve();
  await settle();
  t.equal(service.publishes.length, count + 1);
  t.ok(wire.paused);
  for (const { resolve } of service.publishes) resolve();
  await settle();
  t.notOk(wire.paused);
  t.equal(wire.seen().length, count + 1);
});

t.test('wills: left on loss, not on DISCONNECT; retained, to the service, and refused at CONNECT', async (t) => {
  const service = new StubService();
  const authoriser = { mayPublish: (_: unknown, topic: string) => topic !== 'forbidden', maySubscribe: () => true };
  const h = await new Harness(t, { service, authoriser }).start();
  const watcher = await h.client('watcher');
  watcher.send(subscribe(1, ['w/#', 1]));
  const will = { topic: 'w/a', payload: 'gone', qos: 1 as const, retain: true };
  (await h.client('a', { will })).send('e000');
  await settle();
  t.same(watcher.seen(), ['suback 1 1']);
  (await h.client('a', { will })).destroy();
  await settle();
  t.same(watcher.seen(), ['publish w/a gone q1 #1']);
  watcher.send(subscribe(2, ['w/a', 0]));
  await settle();
  t.same(watcher.seen(), ['suback 2 0', 'publish w/a gone q0 retained']);
  (await h.client('b', { will: { topic: '$svc/w', payload: 'bye' } })).destroy();
  await settle();
  t.equal(service.publishes[0]?.publish.payload.toString(), 'bye');
  service.publishes[0]?.resolve();
  const refused = h.wire();
  refused.send(connect('c', { will: { topic: 'forbidden', payload: '' } }));
  await settle();
  t.same(refused.seen(), ['connack 5']);
});

t.test('a publish or subscription that is not allowed', async (t) => {
  const authoriser = {
    mayPublish: (principal: { name: string }, topic: string) => principal.name === 'boss' || topic === 'open',
    maySubscribe: (_: unknown, filter: string) => filter !== '#',
  };
  const service = new StubService();
  const h = await new Harness(t, { authoriser, service }).start();
  const wire = await h.client('a', { username: 'worker' });
  service.granted = undefined;
  wire.send(subscribe(1, ['#', 0], ['open', 1], ['$svc/x', 1]), publish('open', 'x'));
  await settle();
  t.same(wire.seen(), ['suback 1 128,1,128', 'publish open x q0']);
  wire.send(publish('closed', 'x', { qos: 1, id: 1 }));
  await settle();
  t.same(wire.seen(), []);
  t.equal(h.ended('not-authorized'), 1);
  const boss = await h.client('b', { username: 'boss' });
  boss.send(publish('closed', 'x', { qos: 1, id: 1 }));
  await settle();
  t.same(boss.seen(), ['puback 1']);
});

t.test('a client that does not take its answers is not read any further', async (t) => {
  const h = await new Harness(t, { limits: { outputBytesMax: 4096 } }).start();
  const wire = await h.client('a');
  wire.taking = false;
  wire.send(Buffer.alloc(8192, Buffer.from('c000', 'hex')));
  await settle();
  t.ok(wire.paused);
  const held = wire.bufferedBytes;
  wire.send(Buffer.alloc(8192, Buffer.from('c000', 'hex')));
  await settle();
  t.ok(held < 4200, `${held} bytes wait`);
  for (let n = 0; n < 8; n++) {
    wire.take();
    await settle();
  }
  t.equal(wire.received.length, 8192, 'every ping is answered in the end');
  t.notOk(wire.paused);
});
