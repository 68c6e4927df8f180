// Killed at every step: whatever call to the outside was the last one of the agent's life, the next life ends where
// an undisturbed one would have ended, and no set of modules is ever handed over that nobody asked for.

import t from 'tap';
import { AgentSite, deployment, meter } from '../support/agent-site.ts';
import { settle } from '../support/sim-clock.ts';

interface Course {
  readonly name: string;
  /** What happens after the good deployment (meter 1, old) is in force. */
  readonly go: (site: AgentSite) => Promise<void>;
  readonly ends: { readonly running: readonly string[]; readonly code: number; readonly phase: string };
}

const good = deployment({ meter: meter('1'), old: meter() });
const next = deployment({ meter: meter('2'), young: meter() });
const courses: readonly Course[] = [
  {
    name: 'a deployment that is good',
    go: async (site) => {
      site.twin.set(next);
      await settle();
      await site.clock.advance(61_000);
    },
    ends: { running: ['meter2', 'young'], code: 200, phase: 'settled' },
  },
  {
    name: 'a deployment that is rolled back',
    go: async (site) => {
      site.overrides.set('meter/2', { runtimeStatus: 'failed', statusDescription: 'no' });
      site.twin.set(next);
      await settle();
      await site.clock.advance(61_000);
    },
    ends: { running: ['meter1', 'old'], code: 500, phase: 'rolled-back' },
  },
  {
    name: 'a deployment that replaces one on trial',
    go: async (site) => {
      site.twin.set(deployment({ meter: meter('9') }));
      await settle();
      site.twin.set(next);
      await settle();
      await site.clock.advance(61_000);
    },
    ends: { running: ['meter2', 'young'], code: 200, phase: 'settled' },
  },
  {
    name: 'everything removed',
    go: async (site) => {
      site.twin.set(deployment({}));
      await settle();
      await site.clock.advance(61_000);
    },
    ends: { running: [], code: 200, phase: 'settled' },
  },
];
const asked = new Set(['meter1,old', 'meter2,young', 'meter9', '']);

async function begin(): Promise<AgentSite> {
  const site = new AgentSite();
  await site.agent.start();
  site.twin.set(good);
  await settle();
  await site.clock.advance(61_000);
  return site;
}

for (const { name, go, ends } of courses) {
  t.test(`${name}: killed at every step`, async (t) => {
    const undisturbed = await begin();
    undisturbed.killAt(Number.MAX_SAFE_INTEGER, true);
    await go(undisturbed);
    t.match(undisturbed.agent.rollout(), { phase: ends.phase });
    const steps = undisturbed.calls;
    t.ok(steps > 4, `there are ${steps} steps to be killed at`);
    for (let step = 1; step <= steps; step += 1) {
      for (const after of [false, true]) {
        const site = await begin();
        site.killAt(step, after);
        await go(site);
        t.ok(site.isKilled, `${step}: it was killed`);
        await site.reborn().start();
        await settle();
        await site.clock.advance(61_000);
        const where = `killed ${after ? 'after' : 'before'} step ${step}`;
        t.same(site.running, ends.running, where);
        t.equal(site.agent.status().code, ends.code, where);
        t.equal(site.agent.rollout().phase, ends.phase, where);
        for (const orders of site.applied) {
          const set = orders
            .filter((order) => order.wanted === 'running')
            .map(({ name, env }) => `${name}${env['V'] ?? ''}`);
          t.ok(asked.has(set.join()), `${where}: ${set.join()}`);
        }
        await site.agent.close();
      }
    }
  });
}
