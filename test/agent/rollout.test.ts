// A deployment on trial: it becomes the good one after its modules proved themselves, or the one before it comes back.

import t from 'tap';
import { AgentSite, deployment, meter } from '../support/agent-site.ts';
import { settle } from '../support/sim-clock.ts';

async function siteWith(version: string): Promise<AgentSite> {
  const site = new AgentSite();
  await site.agent.start();
  site.twin.set(deployment({ meter: meter(version) }));
  await settle();
  await site.clock.advance(60_000);
  return site;
}

const crashing = { runtimeStatus: 'backoff', exitCode: 1, exitedAtMs: 9, statusDescription: 'ended with code 1' };

t.test('a deployment whose modules stay ready for the whole window is the good one', async (t) => {
  const site = await siteWith('1');
  t.equal(site.agent.rollout().phase, 'settled');
  site.twin.set(deployment({ meter: meter('2') }));
  await settle();
  t.same(site.running, ['meter2'], 'converged at once');
  t.match(site.agent.rollout(), { phase: 'verifying', modules: [] });
  t.match(site.agent.status(), { version: 2, code: 200, description: /verified/ });
  await site.clock.advance(59_999);
  t.equal(site.agent.rollout().phase, 'verifying');
  await site.clock.advance(1);
  t.equal(site.agent.rollout().phase, 'settled');
  t.match(site.twin.reportedNow, { lastDesiredVersion: 2, lastDesiredStatus: { code: 200, description: '' } });
  await site.agent.close();
  t.equal(site.clock.timerCount, 0);
});

t.test('a module that gives up brings the deployment before it back, with the reason', async (t) => {
  const site = await siteWith('1');
  site.twin.set(deployment({ meter: meter('2'), other: meter() }));
  await settle();
  t.same(site.running, ['meter2', 'other']);
  site.overrides.set('meter/2', { runtimeStatus: 'failed', exitCode: 78, statusDescription: 'it ended with code 78' });
  site.notify();
  await site.clock.advance(1000);
  t.same(site.running, ['meter1']);
  t.match(site.agent.rollout(), { phase: 'rolled-back', detail: 'meter: it ended with code 78' });
  t.match(site.twin.reportedNow, {
    lastDesiredVersion: 2,
    lastDesiredStatus: { code: 500, description: /rolled back.*meter: it ended with code 78/ },
  });
  t.same(Object.keys(site.twin.reportedNow['modules'] ?? {}), ['meter']);
  t.same(site.identities, ['meter'], 'the module that came with it has no identity any more');
  t.same([...new Set(site.logs)], ['meter', 'other'], 'its log is there for whoever asks why');
  await site.agent.close();
  await site.reborn().start();
  t.same(site.running, ['meter1'], 'it is not tried again after a restart');
  t.same([...new Set(site.logs)], ['meter', 'other'], 'and its log is still there');
  t.match(site.agent.status(), { version: 2, code: 500, description: /meter: it ended with code 78/ });
  site.overrides.clear();
  site.twin.set(deployment({ meter: meter('2') }));
  await settle();
  t.same(site.running, ['meter2'], 'the hub asks anew');
  await site.clock.advance(60_000);
  t.same(site.logs, ['meter'], 'nobody asks any more when a later one is in force');
  await site.agent.close();
});

t.test('a module that crashes often enough fails the deployment before its time is over', async (t) => {
  const site = await siteWith('1');
  site.twin.set(deployment({ meter: meter('2') }));
  await settle();
  for (let restartCount = 0; restartCount <= 5; restartCount += 1) {
    t.same(site.running, ['meter2'], `${restartCount} restarts`);
    site.overrides.set('meter/2', { ...crashing, restartCount });
    site.notify();
    await site.clock.advance(1000);
  }
  t.same(site.running, ['meter1']);
  t.match(site.agent.status().description, /ended 5 times, with code 1/);
  await site.agent.close();
});

t.test('a module that never gets ready fails the deployment when the time is over', async (t) => {
  const site = await siteWith('1');
  site.twin.set(deployment({ meter: { ...meter('2'), health: { notify: true, startPeriod: '1m' } } }));
  await settle();
  site.overrides.set('meter/2', { health: { healthy: true, ready: false, text: 'no READY=1 yet' } });
  site.notify();
  await site.clock.advance(300_000);
  t.match(site.agent.rollout(), { phase: 'verifying', modules: [{ name: 'meter', text: /no READY=1 yet/ }] });
  await site.clock.advance(120_000);
  t.same(site.running, ['meter1']);
  t.match(site.agent.status().description, /meter: not ready yet: no READY=1 yet/);
  await site.agent.close();
});

t.test('the window begins anew with every error', async (t) => {
  const site = await siteWith('1');
  site.twin.set(deployment({ meter: meter('2') }));
  await settle();
  await site.clock.advance(50_000);
  site.overrides.set('meter/2', { restartCount: 1, exitCode: 1, exitedAtMs: 9 });
  site.notify();
  await site.clock.advance(1000);
  await site.clock.advance(59_000);
  t.equal(site.agent.rollout().phase, 'verifying');
  await site.clock.advance(1000);
  t.equal(site.agent.rollout().phase, 'settled');
  await site.agent.close();
});

t.test('a module that was failing before cannot fail a deployment', async (t) => {
  const site = new AgentSite();
  await site.agent.start();
  site.twin.set(deployment({ meter: meter('1'), sick: meter() }));
  await settle();
  await site.clock.advance(60_000);
  t.equal(site.agent.rollout().phase, 'settled');
  site.overrides.set('sick', { runtimeStatus: 'failed', exitCode: 1, exitedAtMs: 9 });
  site.twin.set(deployment({ meter: meter('2'), sick: meter() }));
  await settle();
  await site.clock.advance(60_000);
  t.same(site.running, ['meter2', 'sick']);
  t.equal(site.agent.rollout().phase, 'settled');
  await site.agent.close();
});

t.test('modules that end well prove nothing bad', async (t) => {
  const site = await siteWith('1');
  site.twin.set(deployment({ meter: meter('2'), job: { ...meter(), restartPolicy: 'never' } }));
  await settle();
  site.overrides.set('job', { runtimeStatus: 'stopped', exitedAtMs: 9, exitCode: 0 });
  site.overrides.set('meter', { runtimeStatus: 'backoff', exitedAtMs: 9, exitCode: 75, restartCount: 9 });
  site.notify();
  await site.clock.advance(62_000);
  t.equal(site.agent.rollout().phase, 'settled');
  t.same(site.running, ['job', 'meter2']);
  await site.agent.close();
});

for (const before of ['', ', an empty one before it'])
  t.test(`the very first deployment${before}: its modules stay when they fail, and the status says so`, async (t) => {
    const site = new AgentSite();
    await site.agent.start();
    if (before !== '') site.twin.set(deployment({}));
    await settle();
    site.twin.set(deployment({ meter: meter('1') }));
    site.overrides.set('meter', { ...crashing });
    await settle();
    await site.clock.advance(360_000);
    t.same(site.running, ['meter1'], 'there is nothing to go back to');
    t.match(site.agent.status(), { code: 500, description: /no earlier deployment.*meter: ended with code 1/ });
    t.notMatch(site.kept.lines.join('\n'), /is restored/);
    site.overrides.clear();
    await site.clock.advance(120_000);
    t.match(site.agent.status(), { code: 200, description: '' });
    t.equal(site.agent.rollout().phase, 'settled');
    await site.agent.close();
  });

t.test('the first deployment, as long as all its modules run, is one to go back to', async (t) => {
  for (const isWell of [true, false]) {
    const site = new AgentSite();
    await site.agent.start();
    site.twin.set(deployment({ meter: meter('1') }));
    await settle();
    if (!isWell) site.overrides.set('meter/1', crashing);
    site.overrides.set('meter/2', { runtimeStatus: 'failed', statusDescription: 'gone' });
    site.twin.set(deployment({ meter: meter('2') }));
    await settle();
    await site.clock.advance(1000);
    t.same(site.running, [isWell ? 'meter1' : 'meter2']);
    await site.agent.close();
  }
});

t.test('a newer deployment takes the place of one on trial, measured by what was before both', async (t) => {
  const site = await siteWith('1');
  site.twin.set(deployment({ meter: meter('2') }));
  await settle();
  site.overrides.set('meter/2', { ...crashing });
  site.twin.set(deployment({ meter: meter('3') }));
  await settle();
  t.same(site.running, ['meter3']);
  site.overrides.set('meter/3', { runtimeStatus: 'failed', statusDescription: 'gone' });
  site.notify();
  await site.clock.advance(1000);
  t.same(site.running, ['meter1'], 'the failure of the second does not excuse the third');
  await site.agent.close();
});

t.test('a newer one found after a death in the middle of a rollback is measured by the good one, too', async (t) => {
  const site = await siteWith('1');
  site.twin.set(deployment({ meter: meter('2') }));
  await settle();
  const gone = { runtimeStatus: 'failed', statusDescription: 'gone' };
  site.overrides.set('meter/2', gone).set('meter/3', gone);
  site.killAt(2, false);
  site.notify();
  await site.clock.advance(1000);
  t.ok(site.isKilled);
  t.same(site.running, ['meter2'], 'what is to be restored is not restored yet');
  site.twin.set(deployment({ meter: meter('3') }));
  await site.reborn().start();
  await site.clock.advance(61_000);
  t.same(site.running, ['meter1'], 'the failure of the second does not excuse the third');
  t.match(site.agent.status(), { version: 3, code: 500, description: /rolled back.*meter: gone/ });
  await site.agent.close();
});

t.test('what is removed is only stopped until nobody will go back', async (t) => {
  const site = new AgentSite();
  await site.agent.start();
  site.twin.set(deployment({ meter: meter('1'), old: meter() }));
  await settle();
  await site.clock.advance(60_000);
  site.twin.set(deployment({ meter: meter('2') }));
  await settle();
  t.same(
    site.orders.map(({ name, wanted }) => [name, wanted]),
    [
      ['meter', 'running'],
      ['old', 'stopped'],
    ],
  );
  t.same(Object.keys(site.twin.reportedNow['modules'] ?? {}), ['meter']);
  t.same(site.identities, ['meter', 'old']);
  await site.clock.advance(60_000);
  t.same(
    site.orders.map(({ name }) => name),
    ['meter'],
  );
  t.same(site.identities, ['meter']);
  await site.agent.close();
});

t.test('a deployment that takes the machine down is given up after a few boots', async (t) => {
  const site = await siteWith('1');
  site.twin.set(deployment({ meter: meter('2') }));
  await settle();
  for (let boot = 1; boot <= 2; boot += 1) {
    site.clock.reboot();
    await site.reborn().start();
    t.same(site.running, ['meter2'], `boot ${boot}`);
  }
  await site.reborn().start();
  t.same(site.running, ['meter2'], 'a restart of the runtime alone is no boot');
  site.clock.reboot();
  await site.reborn().start();
  t.same(site.running, ['meter1']);
  t.match(site.agent.status(), { version: 2, code: 500, description: /started 3 times while it was verified/ });
  await site.agent.close();
});

t.test('a change that starts nothing needs no proof', async (t) => {
  const site = await siteWith('1');
  site.twin.set(deployment({ meter: { ...meter('1'), restartPolicy: 'never' } }));
  await settle();
  t.equal(site.agent.rollout().phase, 'settled');
  t.equal(site.orders[0]?.restartPolicy, 'never');
  await site.agent.close();
});

t.test('of a signed deployment it is told that its signature is not verified', async (t) => {
  const site = new AgentSite();
  await site.agent.start();
  site.twin.set({
    ...deployment({ meter: meter('1') }),
    integrity: { header: { signercert: ['MII'] }, signature: { bytes: 'AA==', algorithm: 'ES256' } },
  });
  await settle();
  t.match(site.twin.reportedNow, {
    lastDesiredStatus: { code: 200, description: 'its signature (integrity) is not verified' },
  });
  t.match(site.kept.lines.join('\n'), /signed \(integrity\); the signature is not verified/);
  site.twin.set(deployment({ meter: meter('1') }));
  await settle();
  t.match(site.twin.reportedNow, { lastDesiredStatus: { code: 200, description: '' } });
  await site.agent.close();
});
