// $SYS: mosquitto's names, only what changed, and moving averages that follow the rate.

import t from 'tap';
import type { BrokerFacts } from '../../src/broker/broker-facts.ts';
import { isSysTopic, SysTopics } from '../../src/broker/sys-topics.ts';
import { SimClock } from '../support/sim-clock.ts';

const nothing: BrokerFacts = {
  clientsConnected: 0,
  clientsDisconnected: 0,
  clientsMaximum: 0,
  subscriptions: 0,
  sharedSubscriptions: 0,
  retainedMessages: 0,
  retainedBytes: 0,
  queuedMessages: 0,
  queuedBytes: 0,
  clientsExpired: 0,
  messagesReceived: 0,
  messagesSent: 0,
  publishesReceived: 0,
  publishesSent: 0,
  publishesDropped: 0,
  publishBytesReceived: 0,
  publishBytesSent: 0,
  bytesReceived: 0,
  bytesSent: 0,
  socketsOpened: 0,
  connects: 0,
};

function open() {
  const clock = new SimClock();
  const said = new Map<string, string>();
  let count = 0;
  const state = { facts: nothing };
  const sys = new SysTopics(
    {
      clock,
      broker: {
        facts: () => state.facts,
        publish: ({ topic, payload }) => {
          count++;
          said.set(topic, payload.toString());
        },
      },
    },
    { version: 'weir version 1.2.3', intervalMs: 10_000 },
  );
  return { clock, said, sys, state, published: () => count };
}

t.test('the first round tells everything under the names mosquitto has', async (t) => {
  const { said, sys, state } = open();
  state.facts = { ...nothing, clientsConnected: 3, clientsDisconnected: 2, queuedMessages: 4, retainedMessages: 5 };
  sys.start();
  t.equal(said.get('$SYS/broker/version'), 'weir version 1.2.3');
  t.equal(said.get('$SYS/broker/uptime'), '0 seconds');
  t.equal(said.get('$SYS/broker/clients/connected'), '3');
  t.equal(said.get('$SYS/broker/clients/disconnected'), '2');
  t.equal(said.get('$SYS/broker/clients/total'), '5');
  t.equal(said.get('$SYS/broker/store/messages/count'), '9');
  t.equal(said.get('$SYS/broker/retained messages/count'), '5');
  for (const name of ['maximum', 'expired']) t.equal(said.get(`$SYS/broker/clients/${name}`), '0');
  for (const name of ['messages/dropped', 'messages/received', 'messages/sent', 'bytes/received', 'bytes/sent'])
    t.equal(said.get(`$SYS/broker/publish/${name}`), '0');
  t.notOk(
    [...said.keys()].some((topic) => topic.includes('/load/')),
    'a rate needs two rounds',
  );
  await sys.close();
});

t.test('a round publishes only what changed since the last', async (t) => {
  const { clock, said, sys, state, published } = open();
  sys.start();
  await clock.advance(10_000);
  const before = published();
  await clock.advance(10_000);
  t.equal(published() - before, 1, 'the uptime alone');
  t.equal(said.get('$SYS/broker/uptime'), '20 seconds');
  state.facts = { ...nothing, subscriptions: 7 };
  await clock.advance(10_000);
  t.equal(said.get('$SYS/broker/subscriptions/count'), '7');
  t.equal(published() - before, 3, 'and the uptime again');
  await sys.close();
  await clock.advance(60_000);
  t.equal(published() - before, 3, 'nothing after close');
});

t.test('the moving averages start at the first rate and follow it, the short window first', async (t) => {
  const { clock, said, sys, state } = open();
  const load = (window: string): number => Number(said.get(`$SYS/broker/load/publish/received/${window}`));
  sys.start();
  state.facts = { ...nothing, publishesReceived: 100 };
  await clock.advance(10_000);
  t.equal(load('1min'), 600);
  t.equal(load('15min'), 600);
  await clock.advance(10_000);
  t.equal(said.get('$SYS/broker/load/publish/received/1min'), (600 * Math.exp(-1 / 6)).toFixed(2));
  t.equal(said.get('$SYS/broker/load/publish/received/5min'), (600 * Math.exp(-1 / 30)).toFixed(2));
  t.ok(load('1min') < load('5min') && load('5min') < load('15min'));
  await sys.close();
});

t.test('$SYS and what lies below it belong to the broker, lookalikes do not', async (t) => {
  t.ok(isSysTopic('$SYS'));
  t.ok(isSysTopic('$SYS/broker/version'));
  t.notOk(isSysTopic('$SYSTEM/x'));
  t.notOk(isSysTopic('a/$SYS/b'));
});
