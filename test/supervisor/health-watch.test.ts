import t from 'tap';
import { HealthWatch } from '../../src/supervisor/health-watch.ts';
import type { Health, ModuleHealth } from '../../src/supervisor/ports.ts';
import { SimClock } from '../support/sim-clock.ts';

type Result = { readonly code: number | null; readonly timedOut: boolean; readonly output: string };

const good: Result = { code: 0, timedOut: false, output: 'fine\n' };
const bad: Result = { code: 1, timedOut: false, output: 'no answer on port 80\nmore\n' };
const quiet: Health = { intervalMs: 10_000, timeoutMs: 3000, retries: 3, startPeriodMs: 30_000, notify: false };

function watched(health: Partial<Health>, { adopted = false } = {}) {
  const clock = new SimClock();
  const told: ModuleHealth[] = [];
  const subject = { result: good, checks: 0 };
  const watch = new HealthWatch(
    {
      clock,
      check: async () => {
        subject.checks += 1;
        return subject.result;
      },
      tell: (state) => void told.push(state),
    },
    { ...quiet, ...health },
  );
  watch.start({ adopted });
  return { clock, told, subject, watch, last: () => told.at(-1) };
}

t.test('what nobody asks and what tells nothing is well and ready', async (t) => {
  const { told, clock } = watched({});
  await clock.advance(3_600_000);
  t.same(told, [{ healthy: true, ready: true, text: '' }]);
});

t.test('READY=1 makes it ready, STATUS is shown', async (t) => {
  const { watch, last, told } = watched({ notify: true });
  t.same(last(), { healthy: true, ready: false, text: '' });
  watch.notified('STATUS=opening /dev/ttyS0');
  t.same(last(), { healthy: true, ready: false, text: 'opening /dev/ttyS0' });
  watch.notified('READY=1\nSTATUS=polling 12 devices');
  t.same(last(), { healthy: true, ready: true, text: 'polling 12 devices' });
  watch.notified('STATUS=polling 12 devices\nMAINPID=1');
  t.equal(told.length, 3, 'the same is not told again');
  watch.notified(`STATUS=${'x'.repeat(10_000)}`);
  t.equal(last()?.text.length, 200, 'a text has a bound');
});

t.test('what does not say READY=1 within its start period is unhealthy, until it does', async (t) => {
  const { watch, clock, last } = watched({ notify: true });
  await clock.advance(29_999);
  t.match(last(), { healthy: true });
  await clock.advance(1);
  t.same(last(), { healthy: false, ready: false, text: 'did not say READY=1 within 30 s' });
  watch.notified('READY=1');
  t.same(last(), { healthy: true, ready: true, text: '' });
  await clock.advance(3_600_000);
  t.match(last(), { healthy: true }, 'without a watchdog nothing more is expected');
});

t.test('a watchdog wants to hear something in time, from READY=1 on', async (t) => {
  const { watch, clock, last } = watched({ notify: true, watchdogMs: 5000 });
  watch.notified('WATCHDOG=1');
  t.match(last(), { ready: false }, 'a sign of life is not readiness');
  watch.notified('READY=1');
  for (let at = 0; at < 10; at += 1) {
    await clock.advance(4000);
    watch.notified('WATCHDOG=1');
  }
  t.match(last(), { healthy: true, ready: true });
  await clock.advance(5000);
  t.same(last(), { healthy: false, ready: true, text: 'did not say WATCHDOG=1 within 5 s' });
  watch.notified('WATCHDOG=1');
  t.match(last(), { healthy: true });
  watch.notified('WATCHDOG=trigger');
  t.match(last(), { healthy: false, text: /trigger/ });
});

t.test('a module that says that it stops is not expected to say more', async (t) => {
  const { watch, clock, last } = watched({ notify: true, watchdogMs: 5000 });
  watch.notified('READY=1');
  watch.notified('STOPPING=1');
  await clock.advance(60_000);
  t.match(last(), { healthy: true });
});

t.test('a health command is asked often until it is good, then in its interval', async (t) => {
  const { subject, clock, last } = watched({ command: ['/bin/true'] });
  subject.result = bad;
  t.match(last(), { healthy: true, ready: false });
  await clock.advance(5000);
  t.equal(subject.checks, 5);
  t.match(last(), { healthy: true, ready: false }, 'in the start period a bad answer does not count');
  subject.result = good;
  await clock.advance(1000);
  t.match(last(), { healthy: true, ready: true });
  await clock.advance(20_000);
  t.equal(subject.checks, 8);
});

t.test('bad answers in a row make it unhealthy, a good one makes it well', async (t) => {
  const { subject, clock, last } = watched({ command: ['/bin/true'] });
  await clock.advance(1000);
  subject.result = bad;
  await clock.advance(20_000);
  t.match(last(), { healthy: true, ready: true }, 'twice is not three times');
  await clock.advance(10_000);
  t.same(last(), {
    healthy: false,
    ready: true,
    text: 'its health command ended with code 1: no answer on port 80',
  });
  subject.result = good;
  await clock.advance(10_000);
  t.match(last(), { healthy: true });
  subject.result = { code: null, timedOut: true, output: '' };
  await clock.advance(30_000);
  t.match(last(), { healthy: false, text: 'its health command took longer than 3 s' });
});

t.test('what was never well is unhealthy after its start period', async (t) => {
  const { subject, clock, last } = watched({ command: ['/bin/true'] });
  subject.result = bad;
  await clock.advance(32_000);
  t.match(last(), { healthy: false, ready: false });
});

t.test('what runs since an earlier life of the runtime has had its start period', async (t) => {
  const { subject, clock, last } = watched({ command: ['/bin/true'] }, { adopted: true });
  subject.result = bad;
  await clock.advance(3000);
  t.match(last(), { healthy: false });
});

t.test('after its end nothing is asked and nothing is told', async (t) => {
  const { watch, subject, clock, told } = watched({ command: ['/bin/true'], notify: true });
  await watch.close();
  watch.notified('READY=1');
  await clock.advance(3_600_000);
  t.equal(subject.checks, 0);
  t.equal(told.length, 1);
});
