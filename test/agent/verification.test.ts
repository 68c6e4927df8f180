// The judgement over a deployment on trial: what counts for it and against it, and for how long.

import { strict as assert } from 'node:assert';
import t from 'tap';
import { parseDeployment } from '../../src/agent/deployment.ts';
import type { LaunchOrder, ModuleFacts } from '../../src/agent/ports.ts';
import { failingOf, type Judgement, Verification } from '../../src/agent/verification.ts';
import { deployment, meter } from '../support/agent-site.ts';

const stableMs = 60_000;
const readyMs = 300_000;

function order(more: Partial<LaunchOrder> = {}): LaunchOrder {
  return {
    name: 'meter',
    generation: '2',
    wanted: 'running',
    restartPolicy: 'always',
    startupOrder: 0,
    command: ['/weir'],
    env: {},
    graceMs: 1,
    logBytesMax: 1,
    logFiles: 1,
    ...more,
  };
}

function seen(more: Partial<ModuleFacts> = {}): ModuleFacts {
  return {
    name: 'meter',
    generation: '2',
    runtimeStatus: 'running',
    exitCode: 0,
    statusDescription: 'running',
    startedAtMs: 5,
    exitedAtMs: null,
    restartCount: 0,
    lastRestartAtMs: null,
    ...more,
  };
}

function verification(orders: readonly LaunchOrder[]): Verification {
  return new Verification({ orders, failing: [], startedMs: 0, stableMs, readyMs });
}

const notReady = { health: { healthy: true, ready: false, text: '' } };
const verdicts = (judgements: readonly Judgement[]): readonly string[] => judgements.map(({ verdict }) => verdict);

t.test('the process of before, as long as it has not ended, is no proof for its successor', async (t) => {
  const trial = verification([order()]);
  t.match(trial.look([seen({ generation: '1' })], 0), {
    verdict: 'wait',
    checks: [{ module: 'meter', ok: false, text: 'the earlier one has not ended yet' }],
  });
  t.same(
    verdicts([trial.look([seen({ generation: '1' })], stableMs), trial.look([seen()], stableMs)]),
    ['wait', 'wait'],
    'its time does not count',
  );
  t.equal(trial.look([seen()], 2 * stableMs).verdict, 'good');
  t.equal(verification([order()]).look([seen({ generation: '1', runtimeStatus: 'failed' })], 0).verdict, 'wait');
});

t.test('a module that is wanted stopped is not waited for', async (t) => {
  const trial = verification([order(), order({ name: 'spare', wanted: 'stopped' })]);
  const facts = [seen(), seen({ name: 'spare', runtimeStatus: 'failed', exitCode: 1 })];
  t.equal(trial.look(facts, 0).verdict, 'wait');
  const { verdict, checks } = trial.look(facts, stableMs);
  t.equal(verdict, 'good');
  t.same(checks, [{ module: 'meter', ok: true, text: 'running' }]);
});

t.test('the longest start period of all is added to the time to get ready', async (t) => {
  const health = { intervalMs: 1000, timeoutMs: 1000, retries: 1, notify: true };
  const orders = [90_000, 10_000].map((startPeriodMs, at) =>
    order({ name: `m${at}`, health: { ...health, startPeriodMs } }),
  );
  const facts = orders.map(({ name }) => seen({ name, ...notReady }));
  const endMs = readyMs + 90_000 + stableMs;
  const trial = verification(orders);
  t.match(trial.look(facts, endMs - 1), { verdict: 'wait', lookAgainMs: 1 });
  t.equal(trial.look(facts, endMs).verdict, 'bad');
  const without = verification([order()]);
  const waiting = [seen(notReady)];
  const endWithoutMs = readyMs + stableMs;
  t.same(verdicts([without.look(waiting, endWithoutMs - 1), without.look(waiting, endWithoutMs)]), ['wait', 'bad']);
});

t.test('who was failing before is told from who only starts, was asked to end, or ended well', async (t) => {
  const ended = { exitedAtMs: 9 };
  const rows: readonly (readonly [string, Partial<ModuleFacts>, boolean])[] = [
    ['runs', {}, false],
    ['fine', { health: { healthy: true, ready: true, text: '' } }, false],
    ['not-ready', notReady, false],
    ['coughs', { health: { healthy: false, ready: true, text: 'coughs' } }, true],
    ['unhealthy', { runtimeStatus: 'unhealthy' }, true],
    ['gave-up', { runtimeStatus: 'failed' }, true],
    ['dead', { runtimeStatus: 'dead' }, true],
    ['starts', { runtimeStatus: 'unknown' }, false],
    ['crashed', { ...ended, runtimeStatus: 'backoff', exitCode: 1 }, true],
    ['crashed-once', { ...ended, runtimeStatus: 'stopped', exitCode: 1 }, true],
    ['ended-well', { ...ended, runtimeStatus: 'stopped' }, false],
    ['asked-again', { ...ended, runtimeStatus: 'backoff', exitCode: 75 }, false],
    ['never-ran', { runtimeStatus: 'stopped', exitCode: 1 }, false],
    ['not-wanted', { runtimeStatus: 'failed' }, false],
    ['not-deployed', { runtimeStatus: 'failed' }, false],
  ];
  const names = rows.map(([name]) => name).filter((name) => name !== 'not-deployed');
  const asked = Object.fromEntries(names.map((name) => [name, meter()]));
  const parsed = parseDeployment(deployment({ ...asked, 'not-wanted': { ...meter(), status: 'stopped' } }), {
    builtins: ['modbus'],
  });
  assert(parsed.ok);
  const facts = rows.map(([name, more]) => seen({ ...more, name }));
  t.same(
    failingOf(parsed.deployment, facts),
    rows.filter(([, , isFailing]) => isFailing).map(([name]) => name),
  );
});
