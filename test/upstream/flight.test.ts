import t, { type Test } from 'tap';
import {
  messageBytesMax,
  telemetryFrameBytesMax,
  telemetryFrameMessagesMax,
  upstreamSingleStreamsMax,
} from '../../src/limits.ts';
import { decodePropertyBag } from '../../src/protocol/iothub/property-bag.ts';
import { decodeTelemetryFrame, frameTopic } from '../../src/protocol/iothub/telemetry-frame.ts';
import type { MqttClientPublish, PublishWaiter } from '../../src/protocol/mqtt/client.ts';
import { linkLost } from '../../src/protocol/mqtt/errors.ts';
import { Flight } from '../../src/upstream/flight.ts';
import { Framing } from '../../src/upstream/framing.ts';
import type { OutgoingMessage } from '../../src/upstream/ports.ts';
import { numberedMessage } from '../support/messages.ts';
import { SimClock } from '../support/sim-clock.ts';

interface Sent {
  readonly topic: string;
  readonly payload: Uint8Array;
  acknowledge(): void;
  lose(): void;
}

/** A client that leaves it to the test when and how each publish settles. */
function world() {
  const clock = new SimClock();
  const sent: Sent[] = [];
  const publishFor = (waiter: PublishWaiter, { topic, payload }: MqttClientPublish): void => {
    sent.push({ topic, payload, acknowledge: () => waiter.resolve(), lose: () => waiter.reject(linkLost('gw')) });
  };
  const framing = new Framing();
  const flightTo = (takesFrames: boolean): Flight => {
    const flight = new Flight({ publishFor }, clock, framing);
    flight.takesFrames = takesFrames;
    return flight;
  };
  return { clock, sent, flight: flightTo(false), flightTo };
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

/** What each publish carries: the numbers of a frame's messages, or the word for a message that goes singly. */
function carried(sent: readonly Sent[]): (number[] | 'single')[] {
  return sent.map(({ topic, payload }) => {
    if (topic !== frameTopic) return 'single';
    const frame = decodeTelemetryFrame(Buffer.from(payload));
    return frame.ok ? frame.messages.map(({ hop }) => hop.sequence) : [];
  });
}

t.test(
  'to a hub that takes frames a batch goes in frames; one message alone, and a large one, as ever',
  async (t: Test) => {
    const { sent, flightTo } = world();
    const flight = flightTo(true);
    const [first, second, third, fourth] = outgoing(1, 4) as [
      OutgoingMessage,
      OutgoingMessage,
      OutgoingMessage,
      OutgoingMessage,
    ];
    const large = { ...third, message: { ...third.message, body: new Uint8Array(telemetryFrameBytesMax) } };
    const answers = [
      flight.send([first, second, large, fourth]),
      flight.send(outgoing(5, 5)),
      flight.send(outgoing(6, 75)),
    ];
    t.same(carried(sent), [
      [1, 2],
      'single',
      'single',
      'single',
      Array.from({ length: telemetryFrameMessagesMax }, (_, index) => 6 + index),
      [70, 71, 72, 73, 74, 75],
    ]);
    for (const one of sent) one.acknowledge();
    t.same(await Promise.all(answers), [4, 1, 70]);
  },
);

t.test('a frame says of each message what a topic would', async (t: Test) => {
  const { sent, flightTo } = world();
  void flightTo(true).send(outgoing(41, 42));
  const frame = decodeTelemetryFrame(Buffer.from(sent[0]?.payload ?? []));
  if (!frame.ok) throw new Error(frame.reason);
  const { bag, sender, hop, body } = frame.messages[1] as (typeof frame.messages)[number];
  const original = numberedMessage(42);
  t.same(sender, original.sender);
  t.same(hop, { stream: 'epoch.7', sequence: 42 });
  t.same(body, original.body);
  t.match(decodePropertyBag(bag), {
    ok: true,
    output: original.output,
    properties: original.properties,
    system: { ...original.system, creationTime: new Date(original.enqueuedMs).toISOString() },
    hop: undefined,
  });
});

t.test('a gap or another stream ends a frame', async (t: Test) => {
  const { sent, flightTo } = world();
  const other = outgoing(8, 9).map((one) => ({ ...one, hop: { ...one.hop, stream: 'epoch.8' } }));
  const answer = flightTo(true).send([...outgoing(1, 3), ...outgoing(5, 7), ...other]);
  t.same(carried(sent), [
    [1, 2, 3],
    [5, 6, 7],
    [8, 9],
  ]);
  for (const one of sent) one.acknowledge();
  t.equal(await answer, 8);
});

t.test('what counts is the messages of the frames that were acknowledged', async (t: Test) => {
  const { sent, flightTo } = world();
  const answer = flightTo(true).send([...outgoing(1, 3), ...outgoing(5, 7)]);
  sent[0]?.acknowledge();
  sent[1]?.lose();
  t.equal(await answer, 3);
});

t.test(
  'what was in a frame that was not acknowledged goes singly, also on the next connection; then frames again',
  async (t: Test) => {
    const { sent, flightTo } = world();
    const lost = flightTo(true).send([...outgoing(1, 3), ...outgoing(5, 7)]);
    for (const one of sent.splice(0)) one.lose();
    await t.rejects(lost, { code: 'UPSTREAM_OFFLINE' });

    const flight = flightTo(true);
    const refused = flight.send(outgoing(1, 9));
    t.same(carried(sent), [...Array.from({ length: 7 }, () => 'single'), [8, 9]]);
    sent[0]?.acknowledge();
    for (const one of sent.splice(0).slice(1)) one.lose();
    t.equal(await refused, 1, 'the second is the one that is refused: it alone holds up what is behind it');

    const again = flight.send(outgoing(3, 12));
    t.same(carried(sent), [...Array.from({ length: 7 }, () => 'single'), [10, 11, 12]]);
    for (const one of sent.splice(0)) one.acknowledge();
    t.equal(await again, 10);
    void flight.send(outgoing(13, 14));
    t.same(carried(sent), [[13, 14]]);
  },
);

t.test('only so many lanes are remembered of which messages go singly', async (t: Test) => {
  const { sent, flightTo } = world();
  const flight = flightTo(true);
  const lane = (number: number) =>
    outgoing(1, 2).map((one) => ({ ...one, hop: { ...one.hop, stream: `e.${number}` } }));
  for (let number = 0; number <= upstreamSingleStreamsMax; number++) {
    const lost = flight.send(lane(number));
    for (const one of sent.splice(0)) one.lose();
    await t.rejects(lost);
  }
  void flight.send(lane(0));
  void flight.send(lane(1));
  t.same(carried(sent), [[1, 2], 'single', 'single']);
});
