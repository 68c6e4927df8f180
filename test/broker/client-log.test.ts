// What a client makes the log say.

import t from 'tap';
import { ClientLog } from '../../src/broker/client-log.ts';
import { brokerClientLinesMax, brokerClientLogMs, brokerClientsLoggedMax } from '../../src/limits.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock } from '../support/sim-clock.ts';

t.test('a client gets so many lines in a while, and the next one tells how many were left out', async (t) => {
  const clock = new SimClock();
  const { log, lines } = keptLog(clock);
  const clientLog = new ClientLog(clock, log);
  for (let line = 0; line < 1000; line++) clientLog.write('warn', 'refused', { client: 'storm', line });
  t.equal(lines.length, brokerClientLinesMax);
  clientLog.write('info', 'connected', { client: 'calm' });
  t.match(lines.at(-1), /info .*connected client=calm\n/, 'others are heard');
  await clock.advance(brokerClientLogMs - 1);
  clientLog.write('warn', 'refused', { client: 'storm' });
  t.equal(lines.length, brokerClientLinesMax + 1);
  await clock.advance(1);
  clientLog.write('warn', 'refused', { client: 'storm' });
  t.match(lines.at(-1), new RegExp(`refused client=storm leftOut=${1001 - brokerClientLinesMax}\n`));
  clientLog.write('warn', 'refused', { client: 'storm' });
  t.notMatch(lines.at(-1), /leftOut/, 'told once');
});

t.test('of too many clients those told of first are forgotten', async (t) => {
  const clock = new SimClock();
  const { log, lines } = keptLog(clock);
  const clientLog = new ClientLog(clock, log);
  for (let line = 0; line < brokerClientLinesMax; line++) clientLog.write('warn', 'refused', { client: 'first' });
  for (let client = 1; client < brokerClientsLoggedMax; client++)
    clientLog.write('info', 'connected', { client: `${client}` });
  const before = lines.length;
  clientLog.write('warn', 'refused', { client: 'first' });
  t.equal(lines.length, before);
  clientLog.write('info', 'connected', { client: 'one more' });
  clientLog.write('warn', 'refused', { client: 'first' });
  t.equal(lines.length, before + 2);
});
