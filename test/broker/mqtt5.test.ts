// MQTT 5 on the inbound side: CONNECT and CONNACK, PUBLISH with aliases and reason codes, SUBSCRIBE, DISCONNECT, wills.

import { Buffer } from 'node:buffer';
import t from 'tap';
import type { Admission, AuthenticationExchange } from '../../src/broker/ports.ts';
import type { ControlPacket } from '../../src/protocol/mqtt/packet.ts';
import { settle } from '../support/sim-clock.ts';
import {
  ack,
  admit,
  connect,
  disconnect,
  everybody,
  Harness,
  publish,
  StubService,
  subscribe,
  subscribe5,
  unsubscribe,
  type Wire,
} from './broker-harness.ts';

const v5 = { version: 5 } as const;

async function looked(wire: Wire): Promise<string[]> {
  await settle();
  return wire.seen();
}

t.test('a 5.0 client connects, subscribes, publishes at every QoS and disconnects', async (t) => {
  const h = await new Harness(t).start();
  const wire = h.wire();
  wire.send(connect('a', v5), subscribe5(1, [{ topic: 't/#', qos: 2 }]));
  t.same(await looked(wire), ['connack 0', 'suback 1 2']);
  wire.send(publish('t/0', 'zero'), publish('t/0', 'again'), publish('t/1', 'one', { qos: 1, id: 5 }));
  t.same(await looked(wire), ['publish t/0 zero q0', 'publish t/0 again q0', 'publish t/1 one q1 #1', 'puback 5']);
  wire.send(ack('puback', 1), publish('t/2', 'two', { qos: 2, id: 6 }), ack('pubrel', 6));
  t.same(await looked(wire), ['publish t/2 two q2 #2', 'pubrec 6', 'pubcomp 6']);
  wire.send(ack('pubrec', 2));
  t.same(await looked(wire), ['pubrel 2']);
  wire.send(ack('pubcomp', 2), unsubscribe(7, 't/#', 'never'), { cmd: 'pingreq' }, disconnect());
  t.same(await looked(wire), ['unsuback 7 0,17', 'pingresp']);
  t.ok(wire.ended);
  t.equal(h.ended('client-disconnect'), 1);
});

t.test('CONNACK says what the broker takes and where it grants other than what was asked for', async (t) => {
  const h = await new Harness(t, {
    limits: { keepAliveSecondsMax: 60, sessionExpirySecondsMax: 3600, inflightInboundMax: 7 },
  }).start();
  const properties = async (packet: Parameters<Wire['send']>[0]): Promise<unknown> => {
    const wire = h.wire();
    wire.send(packet);
    await settle();
    const [connack] = wire.received;
    return connack?.cmd === 'connack' ? { ...connack.properties } : connack;
  };
  const ours = { receiveMaximum: 7, maximumPacketSize: 327_688, topicAliasMaximum: 64 };
  t.same(await properties(connect('a', { ...v5, keepalive: 60 })), ours, 'nothing to say beyond our own bounds');
  t.same(
    await properties(connect('', { keepalive: 61, properties: { sessionExpiryInterval: 3601 } })),
    { ...ours, sessionExpiryInterval: 3600, assignedClientIdentifier: 'auto-1', serverKeepAlive: 60 },
    'a name, a shorter session, a shorter keep-alive [MQTT-3.2.2-16], [MQTT-3.2.2-21]',
  );
  t.match(await properties(connect('b', v5)), { serverKeepAlive: 60 }, 'no keep-alive is one that is too long');
});

t.test('the server keep-alive is the one that counts', async (t) => {
  const h = await new Harness(t, { limits: { keepAliveSecondsMax: 10 } }).start();
  const wire = await h.client('a', v5);
  await h.clock.advance(14_000);
  t.notOk(wire.ended);
  await h.clock.advance(2000);
  t.same(wire.seen(), ['disconnect 0x8d']);
  t.ok(wire.ended);
});

t.test('a refused 5.0 client gets a reason code, and a reason string that gives nothing away', async (t) => {
  const rows: readonly [Admission['admitted'] extends never ? never : Admission | Error, string][] = [
    [{ admitted: false, reason: 'identifier-rejected', detail: 'secret' }, 'connack 0x85'],
    [{ admitted: false, reason: 'unavailable', detail: 'secret' }, 'connack 0x88'],
    [{ admitted: false, reason: 'bad-credentials', detail: 'secret' }, 'connack 0x86'],
    [{ admitted: false, reason: 'not-authorized', detail: 'secret' }, 'connack 0x87'],
    [new RangeError('secret'), 'connack 0x88'],
  ];
  for (const [admission, answer] of rows) {
    const authenticate = async (): Promise<Admission> => {
      if (admission instanceof Error) throw admission;
      return admission;
    };
    const h = await new Harness(t, { authenticate }).start();
    const wire = h.wire();
    wire.send(connect('a', v5));
    await settle();
    t.notMatch(Buffer.from(wire.received[0]?.raw ?? '', 'hex').toString('latin1'), /secret/);
    t.same(wire.seen(), [answer]);
    t.ok(wire.ended);
  }
});

t.test('a CONNECT that is wrong is answered with what is wrong with it', async (t) => {
  const rows: readonly [string, string, string][] = [
    ['10 0e 0004 4d515454 05 03 0000 00 0001 61', 'connack 0x81', 'reserved flag [MQTT-3.1.2-3]'],
    ['10 11 0004 4d515454 05 02 0000 03 210000 0001 61', 'connack 0x82', 'receive maximum 0 (§3.1.2.11.3)'],
    ['10 14 0004 4d515454 05 02 0000 06 210001 210001 0001 61', 'connack 0x82', 'a property twice'],
    ['10 12 0004 4d515454 05 02 0000 04 16 0001 61 0001 61', 'connack 0x82', 'data without method (§3.1.2.11.10)'],
    ['10 12 0004 4d515454 05 02 0000 04 15 0001 61 0001 61', 'connack 0x8c', 'a method nobody speaks (§4.12)'],
    ['10 15 0004 4d515454 05 06 0000 00 0001 61 00 0001 23 0001 63', 'connack 0x90', 'a will to a wildcard'],
    ['10 0e 0004 4d515454 07 02 0000 00 0001 61', 'connack 0x84', 'a later version [MQTT-3.1.2-2]'],
  ];
  for (const [hex, answer, why] of rows) {
    const h = await new Harness(t).start();
    const wire = h.wire();
    wire.version = 5;
    wire.send(hex);
    t.same(await looked(wire), [answer], why);
    t.ok(wire.ended, why);
  }
});

t.test('the session lives as long as its expiry says, and DISCONNECT may change that', async (t) => {
  const h = await new Harness(t).start();
  const asked = { clean: false, properties: { sessionExpiryInterval: 100 } };
  const present = async (): Promise<string | undefined> => {
    const wire = h.wire();
    wire.send(connect('a', asked));
    const [connack] = await looked(wire);
    wire.send(disconnect());
    await settle();
    return connack;
  };
  (await h.client('a', asked)).send(disconnect());
  await h.clock.advance(99_000);
  t.equal(await present(), 'connack 0 present');
  await h.clock.advance(102_000);
  t.equal(await present(), 'connack 0', 'over');
  (await h.client('a', asked)).send(disconnect(0, { sessionExpiryInterval: 0 }));
  await settle();
  t.equal(await present(), 'connack 0', 'given up by DISCONNECT');
  const wire = await h.client('a', { ...v5, clean: false });
  wire.send(disconnect(0, { sessionExpiryInterval: 1 }));
  t.same(await looked(wire), ['disconnect 0x82'], '0 cannot be raised (§3.14.2.2.2)');
  t.equal(await present(), 'connack 0');
});

t.test('topic aliases: set, used, set anew, and what is none ends the connection', async (t) => {
  const h = await new Harness(t).start();
  const watcher = await h.client('w');
  watcher.send(subscribe(1, ['#', 1]));
  await looked(watcher);
  const aliased = (topic: string, payload: string, topicAlias: number): ReturnType<typeof publish> =>
    publish(topic, payload, { properties: { topicAlias } });
  const wire = await h.client('a', v5);
  wire.send(aliased('one', '1', 1), aliased('', '2', 1), aliased('two', '3', 64), publish('one', '4'));
  wire.send(publish('', '5', { qos: 1, id: 9, properties: { topicAlias: 64 } }), aliased('three', '6', 1));
  wire.send(aliased('', '7', 1), aliased('', '8', 64));
  t.same(await looked(watcher), [
    ...['publish one 1 q0', 'publish one 2 q0', 'publish two 3 q0', 'publish one 4 q0'],
    ...['publish two 5 q1 #1', 'publish three 6 q0', 'publish three 7 q0', 'publish two 8 q0'],
  ]);
  t.same(wire.seen(), ['puback 9']);
  const rows: readonly [Parameters<Wire['send']>[0], string, string][] = [
    [aliased('', 'x', 2), 'disconnect 0x94', 'an alias that was never set'],
    [aliased('x', 'x', 65), 'disconnect 0x94', 'above our maximum [MQTT-3.3.2-9]'],
    ['30 07 0001 61 03 230000', 'disconnect 0x94', 'alias 0 [MQTT-3.3.2-8]'],
    ['30 03 0000 00', 'disconnect 0x82', 'neither topic nor alias'],
  ];
  for (const [packet, answer, why] of rows) {
    const other = await h.client('other', v5);
    other.send(packet);
    t.same(await looked(other), [answer], why);
    t.ok(other.ended, why);
  }
});

t.test('topics behind aliases are bounded in bytes', async (t) => {
  const h = await new Harness(t).start();
  const wire = await h.client('a', v5);
  for (let topicAlias = 1; topicAlias <= 3; topicAlias++) {
    wire.send(publish(`${topicAlias}${'x'.repeat(50_000)}`, '', { properties: { topicAlias } }));
  }
  t.same(await looked(wire), ['disconnect 0x97']);
});

t.test('what is published is answered with what became of it', async (t) => {
  const authoriser = { ...everybody, mayPublish: (_: unknown, topic: string) => topic !== 'closed' };
  const h = await new Harness(t, { authoriser }).start();
  const wire = await h.client('a', v5);
  wire.send(publish('t', 'x', { qos: 1, id: 1 }), publish('t', 'x', { qos: 2, id: 2 }));
  wire.send(
    publish('closed', 'x', { qos: 1, id: 3 }),
    publish('closed', 'x', { qos: 2, id: 4 }),
    publish('closed', 'x'),
  );
  wire.send(ack('pubrel', 2), ack('pubrel', 4), ack('pubrel', 5));
  t.same(await looked(wire), [
    ...['puback 1 0x10', 'pubrec 2 0x10', 'puback 3 0x87', 'pubrec 4 0x87', 'pubcomp 2', 'pubcomp 4 0x92'],
    'pubcomp 5 0x92',
  ]);
  t.notOk(wire.ended, 'a denied publish ends nothing');
  t.equal(h.count('weir_broker_dropped_total', 'not-authorized'), 3);
  wire.send(ack('pubrec', 77), ack('pubrec', 78, 0x80));
  t.same(await looked(wire), ['pubrel 77 0x92'], 'a PUBREC of nothing is told so, a failed one ends the exchange');
});

t.test('what cannot be retained, or is not the text it says it is, is refused', async (t) => {
  const h = await new Harness(t, { limits: { retainedMessagesMax: 1 } }).start();
  const wire = await h.client('a', v5);
  wire.send(subscribe5(1, [{ topic: '#', qos: 0, rap: true }]));
  await looked(wire);
  const properties = { payloadFormatIndicator: true };
  wire.send(publish('one', 'x', { retain: true, qos: 1, id: 1 }), publish('two', 'x', { retain: true, qos: 1, id: 2 }));
  wire.send(publish('two', 'x', { retain: true, qos: 2, id: 3 }), publish('two', '', { retain: true, qos: 1, id: 4 }));
  wire.send(publish('two', 'x', { retain: true, qos: 2, id: 3 }));
  t.same(await looked(wire), [
    ...[
      'publish one x q0 retained',
      'puback 1',
      'puback 2 0x97',
      'pubrec 3 0x97',
      'publish two  q0 retained',
      'puback 4',
    ],
    'pubrec 3 0x97',
  ]);
  wire.send(publish('t', Buffer.from([0xff]), { qos: 1, id: 1, properties }), publish('t', 'ü', { properties }));
  wire.send(publish('t', Buffer.from([0xff]), { properties }));
  t.same(await looked(wire), ['puback 1 0x99', 'publish t ü q0']);
  t.equal(h.count('weir_broker_dropped_total', 'payload-format'), 2);
});

t.test('a 3.1.1 client that may not publish is disconnected, or its message dropped, as the policy says', async (t) => {
  const authoriser = { ...everybody, mayPublish: () => false };
  const h = await new Harness(t, { authoriser, limits: { deniedPublish: 'drop' } }).start();
  const wire = await h.client('a');
  wire.send(
    publish('t', 'x'),
    publish('t', 'x', { qos: 1, id: 1 }),
    publish('t', 'x', { qos: 2, id: 2 }),
    ack('pubrel', 2),
  );
  t.same(await looked(wire), ['puback 1', 'pubrec 2', 'pubcomp 2']);
  t.notOk(wire.ended);
});

t.test('rules that change hold for the very next message, of runs and aliases too', async (t) => {
  let allowed = true;
  const authoriser = { epoch: 0, mayPublish: () => allowed, maySubscribe: () => true };
  const h = await new Harness(t, { authoriser }).start();
  const wire = await h.client('a', v5);
  wire.send(subscribe(1, ['t', 0]), publish('t', '1', { properties: { topicAlias: 1 } }), publish('t', '2'));
  t.same(await looked(wire), ['suback 1 0', 'publish t 1 q0', 'publish t 2 q0']);
  allowed = false;
  authoriser.epoch++;
  wire.send(publish('t', '3'), publish('t', '4'), publish('', '5', { qos: 1, id: 5, properties: { topicAlias: 1 } }));
  t.same(await looked(wire), ['puback 5 0x87']);
  allowed = true;
  authoriser.epoch++;
  wire.send(publish('', '6', { properties: { topicAlias: 1 } }), publish('t', '7'), publish('t', '8'));
  t.same(await looked(wire), ['publish t 6 q0', 'publish t 7 q0', 'publish t 8 q0']);
});

t.test('more unanswered publishes than our receive maximum end the connection', async (t) => {
  const h = await new Harness(t, { limits: { inflightInboundMax: 2 } }).start();
  const wire = await h.client('a', v5);
  wire.send(publish('t', 'x', { qos: 2, id: 1 }), publish('t', 'x', { qos: 2, id: 2 }), ack('pubrel', 1));
  wire.send(publish('t', 'x', { qos: 1, id: 3 }), publish('t', 'x', { qos: 2, id: 2, dup: true }));
  wire.send(publish('t', 'x', { qos: 2, id: 4 }));
  t.same(await looked(wire), [
    'pubrec 1 0x10',
    'pubrec 2 0x10',
    'pubcomp 1',
    'puback 3 0x10',
    'pubrec 2',
    'pubrec 4 0x10',
  ]);
  wire.send(publish('t', 'x', { qos: 1, id: 5 }));
  t.same(await looked(wire), ['disconnect 0x93']);
  t.equal(h.ended('receive-maximum-exceeded'), 1);
});

t.test('what is released, one by one or many at once, counts against our receive maximum no longer', async (t) => {
  const h = await new Harness(t, { limits: { inflightInboundMax: 4 } }).start();
  const wire = await h.client('p', { version: 5 });
  for (let round = 0; round < 4; round++) {
    wire.send(...[1, 2, 3, 4].map((id) => publish('t', 'x', { qos: 2, id })));
    t.equal((await looked(wire)).length, 4);
    wire.send(round % 2 === 0 ? '62020001 62020002 62020003 62020004' : '6203000100 62020002 6203000300 62020004');
    t.same(await looked(wire), ['pubcomp 1', 'pubcomp 2', 'pubcomp 3', 'pubcomp 4']);
  }
  t.notOk(wire.ended);
});

t.test('each filter of a SUBSCRIBE has an answer of its own', async (t) => {
  const authoriser = { ...everybody, maySubscribe: (_: unknown, filter: string) => filter !== 'closed/#' };
  const service = new StubService();
  service.granted = undefined;
  const h = await new Harness(t, { authoriser, service, limits: { subscriptionsPerSessionMax: 2 } }).start();
  const wire = await h.client('a', v5);
  wire.send(
    subscribe5(1, [
      { topic: 'a', qos: 2 },
      { topic: 'closed/#', qos: 1 },
      { topic: '$share/g/closed/#', qos: 1 },
      { topic: '$svc/x', qos: 1 },
      { topic: 'b', qos: 1 },
      { topic: 'c', qos: 0 },
    ]),
  );
  t.same(await looked(wire), ['suback 1 2,135,135,143,1,151']);
  const rows: readonly [Parameters<Wire['send']>[0], string, string][] = [
    [subscribe5(1, [{ topic: 'a+', qos: 0 }]), 'disconnect 0x8f', 'a filter with a stray wildcard'],
    [
      subscribe5(1, [{ topic: '$share/g/a', qos: 0, nl: true }]),
      'disconnect 0x82',
      'no local on a share [MQTT-3.8.3-4]',
    ],
    [subscribe5(1, [{ topic: '$share/g', qos: 0 }]), 'disconnect 0x8f', 'a share of nothing [MQTT-4.8.2-1]'],
    ['82 09 0001 02 0b00 0001 61 00', 'disconnect 0x82', 'subscription identifier 0 (§3.8.2.1.2)'],
    ['82 07 0001 00 0001 61 40', 'disconnect 0x81', 'reserved option bits [MQTT-3.8.3-5]'],
  ];
  for (const [packet, answer, why] of rows) {
    const other = await h.client('other', v5);
    other.send(packet);
    t.same(await looked(other), [answer], why);
  }
});

t.test('retained messages come as retain handling says', async (t) => {
  const h = await new Harness(t).start();
  const wire = await h.client('a', v5);
  wire.send(publish('t', 'kept', { retain: true }));
  await settle();
  const came = async (rh: 0 | 1 | 2): Promise<boolean> => {
    wire.send(subscribe5(1, [{ topic: 't', qos: 0, rh }]));
    return (await looked(wire)).length === 2;
  };
  t.notOk(await came(2), 'never');
  t.notOk(await came(1), 'the subscription was there');
  t.ok(await came(0), 'always');
  wire.send(unsubscribe(2, 't'));
  await looked(wire);
  t.ok(await came(1), 'a new subscription');
});

t.test('the broker says why it ends a 5.0 connection', async (t) => {
  let expiresAtMs: number | undefined;
  const h = await new Harness(t, { authenticate: async () => admit('a', expiresAtMs) }).start();
  const first = await h.client('a', v5);
  const second = await h.client('a', v5);
  t.same(first.seen(), ['disconnect 0x8e'], 'taken over [MQTT-3.1.4-3]');
  h.broker.disconnect('a', 'maintenance');
  await settle();
  const [word] = second.received;
  t.match(word, { cmd: 'disconnect', reasonCode: 0x98, properties: { reasonString: 'disconnected: maintenance' } });
  expiresAtMs = h.clock.wallMs() + 5000;
  const third = await h.client('a', v5);
  await h.clock.advance(6000);
  t.same(third.seen(), ['disconnect 0xa0']);
  expiresAtMs = undefined;
  const small = await h.client('a', { properties: { maximumPacketSize: 30 } });
  small.send('30 ff ff ff 7f');
  t.equal((await looked(small)).join(), 'disconnect 0x95', 'without a string that would be too long');
  const last = await h.client('a', v5);
  const old = await h.client('old');
  await h.broker.close();
  t.same(last.seen(), ['disconnect 0x8b']);
  t.same(old.seen(), [], '3.1.1 has no such word');
});

t.test('a client that cannot take its CONNACK is not admitted', async (t) => {
  const h = await new Harness(t).start();
  const wire = h.wire();
  wire.send(connect('a', { properties: { maximumPacketSize: 10 } }));
  await settle();
  t.same(wire.seen(), ['connack 0x95'], 'in the five bytes it does take [MQTT-3.1.2-24]');
  t.ok(wire.ended);
});

t.test('a will waits for its delay, unless its session ends or its client comes back', async (t) => {
  const h = await new Harness(t).start();
  const watcher = await h.client('w');
  watcher.send(subscribe(1, ['will/#', 1]));
  await looked(watcher);
  const leaving = (name: string, sessionExpiryInterval: number, willDelayInterval: number) => ({
    clean: false,
    properties: { sessionExpiryInterval },
    will: { topic: `will/${name}`, payload: 'gone', properties: { willDelayInterval } },
  });
  (await h.client('late', leaving('late', 100, 10))).destroy();
  (await h.client('short', leaving('short', 5, 10))).destroy();
  (await h.client('none', leaving('none', 0, 10))).destroy();
  (await h.client('back', leaving('back', 100, 10))).destroy();
  (await h.client('anew', leaving('anew', 100, 10))).destroy();
  (await h.client('said', leaving('said', 100, 10))).send(disconnect(4));
  (await h.client('quiet', leaving('quiet', 100, 10))).send(disconnect());
  t.same(await looked(watcher), ['publish will/none gone q0'], 'its session ended with the connection');
  await h.client('back', leaving('back', 100, 10));
  await h.client('anew', { ...leaving('anew', 100, 10), clean: true });
  t.same(await looked(watcher), ['publish will/anew gone q0'], 'a clean start ends the session [MQTT-3.1.2-8]');
  await h.clock.advance(7000);
  t.same(await looked(watcher), ['publish will/short gone q0']);
  await h.clock.advance(5000);
  t.same((await looked(watcher)).sort(), ['publish will/late gone q0', 'publish will/said gone q0']);
  await h.clock.advance(200_000);
  t.same(await looked(watcher), [], 'nobody twice, and not the one that came back [MQTT-3.1.3-9]');
});

t.test('a takeover leaves the will at once, unless it waits and the session goes on', async (t) => {
  const h = await new Harness(t).start();
  const watcher = await h.client('w');
  watcher.send(subscribe(1, ['will', 1]));
  await looked(watcher);
  const options = (willDelayInterval: number, clean: boolean) => ({
    clean,
    properties: { sessionExpiryInterval: 100 },
    will: { topic: 'will', payload: `${willDelayInterval}`, properties: { willDelayInterval } },
  });
  await h.client('a', options(0, false));
  await h.client('a', options(9, false));
  t.same(await looked(watcher), ['publish will 0 q0']);
  await h.client('a', options(8, false));
  t.same(await looked(watcher), [], 'it waits, and the session goes on');
  await h.client('a', options(7, true));
  t.same(await looked(watcher), ['publish will 8 q0'], 'the session ended');
});

t.test('the properties of a will are those of its message', async (t) => {
  const h = await new Harness(t).start();
  const watcher = await h.client('w', v5);
  watcher.send(subscribe5(1, [{ topic: 'will', qos: 1 }]));
  await looked(watcher);
  const properties = {
    willDelayInterval: 0,
    payloadFormatIndicator: true,
    messageExpiryInterval: 60,
    contentType: 'text/plain',
    responseTopic: 'answer',
    correlationData: Buffer.from('c'),
    userProperties: { a: ['1', '2'] },
  };
  (await h.client('a', { ...v5, will: { topic: 'will', payload: 'gone', qos: 1, properties } })).destroy();
  await settle();
  const [message] = watcher.received;
  const { willDelayInterval: _, ...rest } = properties;
  t.match(message, { cmd: 'publish', topic: 'will', qos: 1, properties: rest });
});

t.test('faster than its rate, a client is not read; nothing is lost, nobody else waits', async (t) => {
  const h = await new Harness(t, { limits: { messagesPerSecondMax: 10 } }).start();
  const fast = await h.client('fast', { ...v5, keepalive: 1 });
  const other = await h.client('other');
  other.send(subscribe(1, ['t', 0]));
  await looked(other);
  for (let n = 0; n < 30; n++) fast.send(publish('t', `${n}`));
  await settle();
  t.ok(fast.paused);
  t.equal(other.seen().length, 10, "a second's worth at once");
  other.send(publish('t', 'x'));
  t.same(await looked(other), ['publish t x q0']);
  await h.clock.advance(200);
  t.equal((await looked(other)).length, 20, 'what a read had is taken at once');
  await h.clock.advance(1700);
  t.ok(fast.paused, 'and paid for before the next read');
  t.notOk(fast.ended, 'who is not read cannot be heard: no keep-alive time-out');
  await h.clock.advance(400);
  t.notOk(fast.paused);
  t.equal(h.count('weir_broker_throttled_total'), 2);
});

t.test(
  'all together faster than the broker may be: whoever publishes is read more slowly, nothing is lost',
  async (t) => {
    const h = await new Harness(t, { limits: { messagesPerSecondTotalMax: 10 } }).start();
    const [one, two, other] = [await h.client('one', v5), await h.client('two', v5), await h.client('other')];
    other.send(subscribe(1, ['t', 0]));
    await looked(other);
    for (let n = 0; n < 8; n++) one.send(publish('t', `${n}`));
    for (let n = 0; n < 8; n++) two.send(publish('t', `${n}`));
    await settle();
    t.notOk(one.paused, 'within the second');
    t.ok(two.paused, 'what was left was not enough');
    await h.clock.advance(2000);
    t.equal((await looked(other)).length, 16);
    t.notOk(two.paused);
  },
);

t.test('more connections than a listener takes in a second are closed at once', async (t) => {
  const h = await new Harness(t, { limits: { connectionsPerSecondMax: 2 } }).start();
  const wires = [h.wire(), h.wire(), h.wire()];
  t.same(
    wires.map((wire) => wire.ended),
    [false, false, true],
  );
  t.equal(h.ended('connection-rate'), 1);
  await h.clock.advance(1000);
  t.notOk(h.wire().ended);
});

/** A method of two rounds: `who?`, then the name; `wrong` is nobody, `broken` fails. */
const twoRounds = (method: string): AuthenticationExchange | undefined => {
  if (method !== 'two') return undefined;
  let asked = false;
  return {
    next: async (data) => {
      const name = Buffer.from(data ?? []).toString();
      if (name === 'broken') throw new RangeError('no such table');
      if (!asked) {
        asked = true;
        return { done: false, data: Buffer.from('who?') };
      }
      if (name === 'again') return { done: false, data: undefined };
      if (name === 'wrong') {
        return { done: true, admission: { admitted: false, reason: 'bad-credentials', detail: name }, data: undefined };
      }
      return { done: true, admission: admit(name), data: Buffer.from('welcome') };
    },
  };
};

const authenticating = (data = 'hello', method = 'two'): ReturnType<typeof connect> =>
  connect('a', { properties: { authenticationMethod: method, authenticationData: Buffer.from(data) } });

const auth = (data: string, reasonCode = 0x18, authenticationMethod = 'two'): ControlPacket => ({
  cmd: 'auth',
  reasonCode,
  properties: { authenticationMethod, authenticationData: Buffer.from(data) },
});

t.test('enhanced authentication: challenge and response, then the CONNACK with the last data', async (t) => {
  const h = await new Harness(t, { exchange: twoRounds }).start();
  const wire = h.wire();
  wire.send(authenticating());
  await settle();
  t.match(wire.received, [{ cmd: 'auth', reasonCode: 0x18, properties: { authenticationMethod: 'two' } }]);
  t.same(wire.seen(), ['auth 0x18']);
  wire.send(auth('me'), subscribe5(1, [{ topic: 't', qos: 0 }]));
  await settle();
  t.match(wire.received[0], {
    cmd: 'connack',
    properties: { authenticationMethod: 'two', authenticationData: Buffer.from('welcome') },
  });
  t.same(wire.seen(), ['connack 0', 'suback 1 0']);
  t.equal(h.broker.connectedClients()[0]?.principal, 'me');
});

t.test('enhanced authentication: whoever breaks its rules is refused', async (t) => {
  const rows: readonly [readonly Parameters<Wire['send']>[0][], readonly string[], string][] = [
    [[authenticating('hello', 'other')], ['connack 0x8c'], 'a method nobody speaks'],
    [[authenticating(), auth('wrong')], ['auth 0x18', 'connack 0x86'], 'nobody'],
    [[authenticating('broken')], ['connack 0x88'], 'a failing method'],
    [[authenticating(), auth('me', 0x18, 'other')], ['auth 0x18', 'connack 0x82'], 'another method [MQTT-4.12.0-5]'],
    [[authenticating(), auth('me', 0x19)], ['auth 0x18', 'connack 0x82'], 're-authentication before the CONNACK'],
    [[authenticating(), publish('t', 'x')], ['auth 0x18', 'connack 0x82'], 'anything but AUTH [MQTT-3.1.2-30]'],
    [[authenticating(), disconnect()], ['auth 0x18'], 'who gives up gets no answer'],
    [[connect('a', v5), auth('me')], ['connack 0', 'disconnect 0x82'], 'AUTH without a method'],
    [[connect('a'), 'f000'], ['connack 0'], 'AUTH of a 3.1.1 client'],
    [[authenticating(), ...Array.from({ length: 20 }, () => auth('again'))], [], 'without end'],
  ];
  for (const [packets, answers, why] of rows) {
    const h = await new Harness(t, { exchange: twoRounds }).start();
    const wire = h.wire();
    for (const packet of packets) {
      wire.send(packet);
      await settle();
    }
    const seen = wire.seen();
    if (answers.length > 0) t.same(seen, answers, why);
    else t.same([seen.length, seen.at(-1)], [17, 'connack 0x87'], why);
    t.ok(wire.ended, why);
  }
});

t.test('an exchange that its client does not go on with ends in time', async (t) => {
  const h = await new Harness(t, { exchange: twoRounds }).start();
  const wire = h.wire();
  wire.send(authenticating());
  await h.clock.advance(11_000);
  t.same(wire.seen(), ['auth 0x18', 'connack 0x80']);
  t.equal(h.ended('connect-timeout'), 1);
});

t.test('a client authenticates again while everything else goes on', async (t) => {
  const h = await new Harness(t, { exchange: twoRounds }).start();
  const wire = h.wire();
  wire.send(authenticating());
  await settle();
  wire.send(auth('me'));
  await settle();
  wire.seen();
  wire.send(auth('hello', 0x19), publish('t', 'x', { qos: 1, id: 1 }));
  t.same(await looked(wire), ['puback 1 0x10', 'auth 0x18']);
  wire.send(auth('me'));
  t.same(await looked(wire), ['auth 0']);
  wire.send(auth('me'));
  t.same(await looked(wire), ['disconnect 0x82'], 'a response to nothing');
  const other = h.wire();
  other.send(authenticating());
  await settle();
  other.send(auth('me'));
  await settle();
  other.send(auth('hello', 0x19));
  await settle();
  other.send(auth('you'));
  await settle();
  t.equal(other.seen().at(-1), 'disconnect 0x87', 'nobody becomes somebody else');
});
