import t from 'tap';
import type { JsonObject } from '../../src/model/json.ts';
import { TwinClient } from '../../src/modules/twin-client.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock } from '../support/sim-clock.ts';

function setUp() {
  const clock = new SimClock();
  const { log, lines } = keptLog(clock);
  const desired: JsonObject[] = [];
  const sent: { readonly topic: string; readonly body: string }[] = [];
  const client = new TwinClient({ clock, log, onDesired: (section) => void desired.push(section) });
  const publish = ({ topic, payload }: { readonly topic: string; readonly payload: Uint8Array }): void =>
    void sent.push({ topic, body: Buffer.from(payload).toString() });
  const answer = (status: number, body: unknown = ''): void => {
    const rid = /\$rid=(\w+)/.exec(sent.at(-1)?.topic ?? '')?.[1] ?? '';
    client.response({ status, rid }, Buffer.from(typeof body === 'string' ? body : JSON.stringify(body)));
  };
  return { clock, client, publish, answer, desired, sent, lines };
}

t.test('the desired section is known after the first answer and said once', async (t) => {
  const { client, publish, answer, desired, sent } = setUp();
  client.up(publish);
  t.same(sent, [{ topic: '$iothub/twin/GET/?$rid=1', body: ' ' }]);
  answer(200, { desired: { a: 1, $version: 3, $metadata: {} }, reported: {} });
  t.same(desired, [{ a: 1 }]);
  client.down();
  client.up(publish);
  answer(200, { desired: { a: 1, $version: 3 }, reported: {} });
  t.equal(desired.length, 1, 'nothing has changed');
});

t.test('a twin that cannot be read is asked for again, at growing distance', async (t) => {
  const { clock, client, publish, answer, sent, desired } = setUp();
  client.up(publish);
  answer(500);
  await clock.advance(999);
  t.equal(sent.length, 1);
  await clock.advance(1);
  t.equal(sent.length, 2);
  answer(429);
  await clock.advance(1999);
  t.equal(sent.length, 2);
  await clock.advance(1);
  t.equal(sent.length, 3);
  answer(200, 'no JSON');
  await clock.advance(4000);
  answer(200, { desired: { $version: 1 } });
  t.same(desired, [{}]);
});

t.test('a request nobody answers is repeated after its time', async (t) => {
  const { clock, client, publish, sent } = setUp();
  client.up(publish);
  await clock.advance(30_000);
  t.same(
    sent.map(({ topic }) => topic),
    ['$iothub/twin/GET/?$rid=1', '$iothub/twin/GET/?$rid=2'],
  );
});

t.test('reported patches are composed while one is under way, and again with one that failed', async (t) => {
  const { clock, client, publish, answer, sent } = setUp();
  client.up(publish);
  answer(200, { desired: { $version: 1 } });
  client.report({ a: 1 });
  client.report({ b: 1 });
  await clock.advance(200);
  t.same(JSON.parse(sent.at(-1)?.body ?? ''), { a: 1, b: 1 });
  client.report({ b: 2 });
  await clock.advance(1000);
  t.equal(sent.length, 2, 'one at a time');
  answer(503);
  client.report({ c: null });
  await clock.advance(999);
  t.equal(sent.length, 2, 'a new report does not hurry a repetition');
  await clock.advance(1);
  t.same(JSON.parse(sent.at(-1)?.body ?? ''), { a: 1, b: 2, c: null });
  answer(204);
  t.equal(client.isReporting, false);
});

t.test('a patch under way when the link ends is sent again by the next', async (t) => {
  const { clock, client, publish, sent } = setUp();
  client.up(publish);
  client.report({ a: 1 });
  await clock.advance(200);
  client.down();
  client.report({ a: 2 });
  client.up(publish);
  await clock.advance(0);
  t.same(JSON.parse(sent.at(-1)?.body ?? ''), { a: 2 });
  client.down();
  t.equal(clock.timerCount, 0, 'nothing is left running');
});
