// The runtime's own log as `weir logs weir` reads it.

import t from 'tap';
import { OwnLog } from '../../src/admin/own-log.ts';
import type { LogRequest } from '../../src/admin/ports.ts';
import { recentLines } from '../../src/platform/log.ts';
import { SimClock } from '../support/sim-clock.ts';

const base = Date.UTC(2026, 0, 1);

function line(index: number): string {
  return `${new Date(base + index * 1_000).toISOString()} info  broker: line ${index}`;
}

function lines(from: number, to: number): string {
  return Array.from({ length: to - from }, (_, index) => `${line(from + index)}\n`).join('');
}

t.test('since, until and tail choose lines', async (t) => {
  const recent = recentLines(1_000_000);
  const log = new OwnLog(recent, new SimClock());
  const all = async (request: Partial<LogRequest>): Promise<string> => {
    let text = '';
    for await (const piece of log.read({ name: 'weir', signal: new AbortController().signal, ...request }))
      text += piece;
    return text;
  };
  t.equal(await all({}), '');
  for (let index = 0; index < 10; index++) recent.write(`${line(index)}\n`);
  t.equal(await all({}), lines(0, 10));
  t.equal(await all({ sinceMs: base + 3_000 }), lines(3, 10));
  t.equal(await all({ untilMs: base + 3_000 }), lines(0, 3));
  t.equal(await all({ sinceMs: base + 2_000, untilMs: base + 8_000, tail: 2 }), lines(6, 8));
  t.equal(await all({ tail: 0 }), '');
});

t.test('a reader who follows gets what comes, each line once, until he leaves', async (t) => {
  const clock = new SimClock();
  const recent = recentLines(200);
  const log = new OwnLog(recent, clock);
  recent.write(`${line(0)}\n`);
  const gone = new AbortController();
  let text = '';
  const reading = (async () => {
    for await (const piece of log.read({ name: 'weir', follow: true, signal: gone.signal })) text += piece;
  })();
  await clock.advance(300);
  recent.write(`${line(1)}\n`);
  await clock.advance(300);
  recent.write(`${line(2)}\n`);
  recent.write(`${line(3)}\n`);
  await clock.advance(300);
  gone.abort();
  await reading;
  t.equal(text, lines(0, 4));
});
