// Renewal of the token, with the one long timer in the test's hand; and how a broker is left in peace that ends each
// session.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { moduleReconnectMsMax, moduleSessionMsMin, moduleTokenRenewMs } from '../../src/limits.ts';
import { readEnvironment } from '../../src/modules/environment.ts';
import { Link } from '../../src/modules/link.ts';
import { WorkloadClient } from '../../src/modules/workload-client.ts';
import { type Clock, systemClock } from '../../src/platform/clock.ts';
import { systemEntropy } from '../../src/platform/entropy.ts';
import { systemHttp } from '../../src/platform/http.ts';
import { systemNetwork } from '../../src/platform/net.ts';
import { keptLog } from '../support/quiet-log.ts';
import { ScriptedBroker } from '../support/scripted-broker.ts';

t.test('the link signs in anew before its token expires', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'weir-link-'));
  const broker = new ScriptedBroker(directory);
  await broker.start();
  const renewals: (() => void)[] = [];
  const system = systemClock();
  let wallMs = Date.UTC(2026, 0, 1);
  const clock: Clock = {
    ...system,
    wallMs: () => wallMs,
    setTimer(delayMs, callback, options) {
      if (delayMs !== moduleTokenRenewMs) return system.setTimer(delayMs, callback, options);
      renewals.push(callback);
      return { cancel: () => undefined };
    },
  };
  const env = readEnvironment(broker.environment);
  const http = systemHttp();
  const changes: string[] = [];
  const { log } = keptLog(clock);
  const link = new Link(
    { network: systemNetwork(), clock, entropy: systemEntropy(), log, workload: new WorkloadClient(http, env) },
    env,
    {
      onUp: () => void changes.push('up'),
      onDown: () => void changes.push('down'),
      onMessage: () => undefined,
    },
  );
  link.start();
  t.teardown(async () => {
    await link.close();
    await broker.close();
    rmSync(directory, { recursive: true, force: true });
  });
  await broker.until(() => broker.connects.length === 1);
  await until(() => changes.length === 1);
  wallMs += moduleTokenRenewMs;
  renewals[0]?.();
  await broker.until(() => broker.connects.length === 2);
  await until(() => changes.length === 3);
  t.same(changes, ['up', 'down', 'up']);
  const expiries = broker.connects.map(({ password }) => Number(/se=(\d+)/.exec(password ?? '')?.[1]));
  t.equal((expiries[1] ?? 0) - (expiries[0] ?? 0), moduleTokenRenewMs / 1000, 'the second token lives longer');
  await until(() => broker.disconnects > 0);
  t.equal(broker.disconnects, 1, 'the first session was ended in good order');
});

t.test('a broker that ends each session at once is tried more and more slowly', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'weir-link-'));
  const broker = new ScriptedBroker(directory);
  await broker.start();
  const system = systemClock();
  const pauses: number[] = [];
  let skippedMs = 0;
  const clock: Clock = {
    ...system,
    monotonicMs: () => system.monotonicMs() + skippedMs,
    setTimer(delayMs, callback, options) {
      // The link's own ticks and time-outs are as they are; the pauses between its attempts are over at once.
      if (delayMs === Math.floor(delayMs)) return system.setTimer(delayMs, callback, options);
      pauses.push(delayMs);
      return system.setTimer(0, callback, options);
    },
  };
  const env = readEnvironment(broker.environment);
  const { log } = keptLog(clock);
  let ups = 0;
  const link = new Link(
    { network: systemNetwork(), clock, entropy: systemEntropy(), log, workload: new WorkloadClient(systemHttp(), env) },
    env,
    {
      onUp: () => {
        ups += 1;
        // The ninth session lasts.
        if (ups === 9) skippedMs += moduleSessionMsMin;
        if (ups <= 9) broker.drop();
      },
      onDown: () => undefined,
      onMessage: () => undefined,
    },
  );
  link.start();
  t.teardown(async () => {
    await link.close();
    await broker.close();
    rmSync(directory, { recursive: true, force: true });
  });
  await until(() => ups === 10);
  t.equal(pauses.length, 8, 'one before each attempt but the first, and none after the session that lasted');
  for (const [index, delayMs] of pauses.entries()) {
    const ceilingMs = Math.min(moduleReconnectMsMax, 400 * 2 ** index);
    t.ok(delayMs >= ceilingMs / 2 && delayMs <= ceilingMs, `${delayMs} ms after ${index + 1} such sessions`);
  }
});

async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) await new Promise((resolve) => setImmediate(resolve));
}
