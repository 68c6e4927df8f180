import t, { type Test } from 'tap';
import { messageBytesMax } from '../../src/limits.ts';
import type { PublishWaiter } from '../../src/protocol/mqtt/client.ts';
import { linkLost } from '../../src/protocol/mqtt/errors.ts';
import { Flight } from '../../src/upstream/flight.ts';
import type { OutgoingMessage } from '../../src/upstream/ports.ts';
import { numberedMessage } from '../support/messages.ts';
import { SimClock } from '../support/sim-clock.ts';

interface Sent {
  readonly topic: string;
  acknowledge(): void;
  lose(): void;
}

/** A client that leaves it to the test when and how each publish settles. */
function world() {
  const clock = new SimClock();
  const sent: Sent[] = [];
  const publishFor = (waiter: PublishWaiter, { topic }: { readonly topic: string }): void => {
    sent.push({ topic, acknowledge: () => waiter.resolve(), lose: () => waiter.reject(linkLost('gw')) });
  };
  return { clock, sent, flight: new Flight({ publishFor }, clock) };
}

function outgoing(from: number, to: number): OutgoingMessage[] {
  return Array.from({ length: to - from + 1 }, (_, index) => ({
    message: numberedMessage(from + index),
    hop: { stream: 'epoch.7', sequence: from + index },
  }));
}

t.test('each message carries its own place, and a batch is answered when all are acknowledged', async (t: Test) => {
  const { sent, flight } = world();
  const answer = flight.send(outgoing(41, 43));
  t.equal(sent.length, 3, 'handed over at once');
  t.match(sent[0]?.topic, /%24\.hop=epoch\.7:41|\$\.hop=epoch\.7:41/);
  t.match(sent[2]?.topic, /hop=epoch\.7:43/);
  for (const one of sent) one.acknowledge();
  t.equal(await answer, 3);
});

t.test('what counts is the acknowledged front', async (t: Test) => {
  const { sent, flight } = world();
  const answer = flight.send(outgoing(1, 4));
  sent[3]?.acknowledge();
  sent[0]?.acknowledge();
  sent[1]?.acknowledge();
  sent[2]?.lose();
  t.equal(await answer, 2);
  const none = flight.send(outgoing(3, 3));
  sent[4]?.lose();
  await t.rejects(none, { code: 'UPSTREAM_OFFLINE' });
});

t.test('after something that was not taken nothing is sent until all has settled', async (t: Test) => {
  const { sent, flight } = world();
  const first = flight.send(outgoing(1, 2));
  const [good, bad, behind] = outgoing(3, 5) as [OutgoingMessage, OutgoingMessage, OutgoingMessage];
  const huge = { ...bad, message: { ...bad.message, body: new Uint8Array(messageBytesMax + 1) } };
  const second = flight.send([good, huge, behind]);
  t.equal(sent.length, 3, 'up to what cannot be sent');
  await t.rejects(flight.send(outgoing(6, 6)), { code: 'UPSTREAM_OFFLINE' });
  for (const one of sent) one.acknowledge();
  t.equal(await first, 2);
  t.equal(await second, 1);
  const third = flight.send(outgoing(6, 6));
  t.equal(sent.length, 4, 'then it goes on');
  sent[3]?.acknowledge();
  t.equal(await third, 1);
});

t.test('the time without an acknowledgement counts only while something is under way', async (t: Test) => {
  const { clock, sent, flight } = world();
  await clock.advance(5000);
  t.equal(flight.stalledMs, 0);
  const answer = flight.send(outgoing(1, 2));
  await clock.advance(3000);
  t.equal(flight.stalledMs, 3000);
  sent[0]?.acknowledge();
  await clock.advance(1000);
  t.equal(flight.stalledMs, 1000);
  sent[1]?.acknowledge();
  await answer;
  t.equal(flight.stalledMs, 0);
});
