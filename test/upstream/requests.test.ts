// Requests that wait for the hub: answers, time-outs, loss of the link, the limit.

import t from 'tap';
import { Requests } from '../../src/upstream/requests.ts';
import { SimClock } from '../support/sim-clock.ts';

const answer = { status: 200, version: 1, payload: Buffer.alloc(0) };

t.test('an answer goes to whom it belongs, once', async (t) => {
  const requests = new Requests(new SimClock(), { timeoutMs: 1000, pendingMax: 4 });
  const rids: string[] = [];
  const first = requests.ask('first', (rid) => Promise.resolve(void rids.push(rid)));
  const second = requests.ask('second', (rid) => Promise.resolve(void rids.push(rid)));
  t.equal(requests.answered(rids[1] ?? '', { ...answer, status: 204 }), true);
  t.equal(requests.answered(rids[0] ?? '', answer), true);
  t.equal(requests.answered(rids[0] ?? '', answer), false);
  t.equal(requests.answered('foreign', answer), false);
  t.equal((await first).status, 200);
  t.equal((await second).status, 204);
});

t.test('no answer in time, a lost link and too many requests reject with their codes', async (t) => {
  const clock = new SimClock();
  const requests = new Requests(clock, { timeoutMs: 1000, pendingMax: 1 });
  const slow = requests.ask('slow', () => Promise.resolve());
  await t.rejects(
    requests.ask('one too many', () => Promise.resolve()),
    { code: 'UPSTREAM_TOO_MANY_REQUESTS' },
  );
  const rejected = t.rejects(slow, { code: 'UPSTREAM_RESPONSE_TIMEOUT' });
  await clock.advance(1000);
  await rejected;
  const lost = requests.ask('lost', () => Promise.resolve());
  requests.rejectAll();
  await t.rejects(lost, { code: 'UPSTREAM_OFFLINE' });
  await t.rejects(
    requests.ask('unsent', () => Promise.reject(new TypeError('no link'))),
    { code: 'UPSTREAM_OFFLINE' },
  );
  t.equal(clock.timerCount, 0);
});
