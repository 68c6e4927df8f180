// `weir top`, `weir logs` of several modules, `weir restart` that waits, `weir list` with what is going on.

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { runCli } from '../../src/cli/index.ts';
import { type RecordedContext, recordedContext, Sequence } from '../support/cli-context.ts';
import { SimClock } from '../support/sim-clock.ts';

const nowMs = Date.UTC(2026, 10, 21, 12);
const where = ['--run-dir', '/r', '--data-dir', '/d'];

function usage(monotonicMs: number, changes: Readonly<Record<string, object>> = {}): object {
  const module = {
    kind: 'process',
    runtimeStatus: 'running',
    restartCount: 0,
    startedAtMs: nowMs - 90_000,
    processes: 2,
    memoryBytes: 12_582_912,
    messagesSent: 0,
    messagesReceived: 0,
  };
  return {
    monotonicMs,
    modules: [
      { ...module, name: 'weir', pid: 10, cpuMs: 1_000, ...changes['weir'] },
      { ...module, name: 'modbus', pid: 11, cpuMs: 500, restartCount: 3, ...changes['modbus'] },
      {
        ...{ ...module, name: 'filter', kind: 'container', runtimeStatus: 'backoff', pid: null },
        ...{ processes: null, cpuMs: null, memoryBytes: null, startedAtMs: null },
      },
    ],
  };
}

const first = usage(100_000);
const second = usage(102_000, {
  weir: { cpuMs: 1_100, messagesSent: 50, messagesReceived: 40 },
  modbus: { cpuMs: 3_500, messagesSent: 21 },
});

/** Time passes only once the daemon was asked: until then it is this process that is slow. */
async function ran(argv: readonly string[], context: RecordedContext, clock: SimClock): Promise<number> {
  let code: number | undefined;
  const running = runCli([...argv, ...where], context).then((ended) => {
    code = ended;
  });
  while (code === undefined) {
    await new Promise((resolve) => setImmediate(resolve));
    if (context.calls.length > 0) await clock.advance(200);
  }
  await running;
  return code;
}

const table = `MODULE  STATUS    CPU%  MEMORY    PROCS  OUT/S  IN/S  RESTARTS  UP
weir    running    5.0  12.0 MiB      2   25.0  20.0         0  1m 32s
modbus  running  150.0  12.0 MiB      2   10.5   0.0         3  1m 32s
filter  backoff  -      -         -        0.0   0.0         0  -
`;

t.test('top --once is one table of rates within 80 columns', async (t) => {
  const clock = new SimClock(nowMs);
  const context = recordedContext({ answers: { 'GET /usage': new Sequence(first, second) }, clock });
  t.equal(await ran(['top', '--once'], context, clock), 0);
  t.equal(context.out(), table);
});

t.test('top --json is one document with rates', async (t) => {
  const clock = new SimClock(nowMs);
  const context = recordedContext({ answers: { 'GET /usage': new Sequence(first, second) }, clock });
  t.equal(await ran(['top', '--json', '--interval', '2'], context, clock), 0);
  t.match(JSON.parse(context.out()), {
    overMs: 2_000,
    modules: [
      { name: 'weir', cpuPercent: 5, messagesSentPerSecond: 25, messagesReceivedPerSecond: 20 },
      { name: 'modbus', cpuPercent: 150, memoryBytes: 12_582_912 },
      { name: 'filter', cpuPercent: null, memoryBytes: null },
    ],
  });
});

t.test('a module that was restarted has no rate of its processor for a moment', async (t) => {
  const clock = new SimClock(nowMs);
  const restarted = usage(102_000, { modbus: { pid: 99, cpuMs: 9_999 } });
  const context = recordedContext({ answers: { 'GET /usage': new Sequence(first, restarted) }, clock });
  t.equal(await ran(['top', '--once'], context, clock), 0);
  t.match(context.out(), /^modbus +running +- +12\.0 MiB/m);
});

t.test('top draws over itself at a terminal, and appends elsewhere; a stop ends it with 0', async (t) => {
  for (const isTerminal of [true, false]) {
    const clock = new SimClock(nowMs);
    const context = recordedContext({
      answers: { 'GET /usage': new Sequence(first, second) },
      clock,
      isTerminal,
      rows: 5,
    });
    const running = runCli(['top', ...where], context);
    while (context.calls.length < 3) {
      await new Promise((resolve) => setImmediate(resolve));
      if (context.calls.length > 0) await clock.advance(200);
    }
    context.stop();
    t.equal(await running, 0);
    const out = context.out();
    if (isTerminal) {
      const screens = out.split('\u001b[H').slice(1);
      t.ok(screens.length >= 3, 'several screens');
      for (const screen of screens) {
        t.ok(screen.endsWith('\u001b[J'), 'what was below is erased');
        t.ok(screen.split('\r\n').length - 1 <= 4, 'it does not scroll a screen of 5 lines');
      }
      t.match(screens[1], /weir {4}running {4}5\.0/);
    } else {
      t.notOk(out.includes('\u001b'));
      t.ok(out.includes(`2026-11-21T12:00:02Z\n${table}`), 'each table has its time');
    }
  }
});

t.test('an interval of nothing is refused', async (t) => {
  const context = recordedContext({ answers: {} });
  t.equal(await runCli(['top', '--interval', '0', ...where], context), 2);
});

t.test('logs of several modules have their names, without names they are all modules', async (t) => {
  const answers = {
    'GET /modules': [{ name: 'a' }, { name: 'long' }, { name: 'silent' }],
    'GET /modules/a/logs?': '1\n2\n a line in pieces\n',
    'GET /modules/long/logs?': '3\n',
    'GET /modules/a/logs?tail=1': '2\n',
    'GET /modules/long/logs?tail=1': '3\n',
  };
  const named = recordedContext({ answers });
  t.equal(await runCli(['logs', 'a', 'long', ...where], named), 0);
  t.equal(named.out(), 'a    | 1\na    | 2\na    |  a line in pieces\nlong | 3\n');
  const one = recordedContext({ answers });
  t.equal(await runCli(['logs', 'a', ...where], one), 0);
  t.equal(one.out(), '1\n2\n a line in pieces\n');
  const followed = recordedContext({
    answers: { 'GET /modules/a/logs?follow=true': 'x\n', 'GET /modules/b/logs?follow=true': 'y\n' },
  });
  t.equal(await runCli(['logs', 'a', 'b', '-f', ...where], followed), 0);
  t.match(followed.out(), /^a \| x$/m);
  t.match(followed.out(), /^b \| y$/m);
});

t.test('logs for programs are an object a line', async (t) => {
  const answers = {
    'GET /modules/a/logs?': `2026-11-21T09:12:44.123Z O  {"hot":1}\n2026-11-21T09:12:44.124Z E \ntorn\n`,
    'GET /modules/weir/logs?': '2026-11-21T09:12:44.125Z warn  broker: full n=1\n',
  };
  const context = recordedContext({ answers });
  t.equal(await runCli(['logs', 'a', 'weir', '--json', ...where], context), 0);
  const atMs = Date.UTC(2026, 10, 21, 9, 12, 44, 123);
  t.same(
    context
      .out()
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line)),
    [
      { module: 'a', atMs, stream: 'stdout', text: ' {"hot":1}' },
      { module: 'a', atMs: atMs + 1, stream: 'stderr', text: '' },
      { module: 'a', text: 'torn' },
      { module: 'weir', atMs: atMs + 2, level: 'warn', text: 'broker: full n=1' },
    ],
  );
});

t.test('logs until a time, and not followed then', async (t) => {
  const untilAt = nowMs - 3_600_000;
  const context = recordedContext({
    answers: { [`GET /modules/m/logs?since=${nowMs - 7_200_000}&until=${untilAt}`]: 'old\n' },
    nowMs,
  });
  t.equal(await runCli(['logs', 'm', '--since', '2h', '--until', '1h', ...where], context), 0);
  t.equal(context.out(), 'old\n');
  const both = recordedContext({ answers: {}, nowMs });
  t.equal(await runCli(['logs', 'm', '-f', '--until', '1h', ...where], both), 2);
});

t.test('without the daemon all files are all modules', async (t) => {
  const dir = t.testdir({ logs: { 'a.log': '1\n', 'b.log': '2\n' } });
  const context = recordedContext();
  t.equal(await runCli(['logs', '--data-dir', dir, '--run-dir', dir], context), 0);
  t.equal(context.out(), 'a | 1\nb | 2\n');
});

t.test('a restart waits until the module runs again, or says why not', async (t) => {
  const module = { name: 'm', runtimeStatus: 'running', statusDescription: 'running', startedAtMs: 1 };
  const clock = new SimClock(nowMs);
  const well = recordedContext({
    clock,
    answers: {
      'GET /modules': new Sequence(
        [module],
        [module],
        [{ ...module, runtimeStatus: 'unknown' }],
        [{ ...module, startedAtMs: 2 }],
      ),
      'POST /modules/m/restart': '',
    },
  });
  t.equal(await ran(['restart', 'm'], well, clock), 0);
  t.match(well.out(), /^m runs again, after/);
  const later = new SimClock(nowMs);
  const ill = recordedContext({
    clock: later,
    answers: {
      'GET /modules': new Sequence(
        [module],
        [{ ...module, runtimeStatus: 'backoff', statusDescription: 'ended with code 1' }],
      ),
      'POST /modules/m/restart': '',
    },
  });
  t.equal(await ran(['restart', 'm'], ill, later), 1);
  t.match(ill.out(), /^m does not run yet: ended with code 1/);
});

t.test('list tells kinds where there are two, health and progress, within 80 columns', async (t) => {
  const module = {
    runtimeStatus: 'running',
    pid: 1,
    exitCode: 0,
    restartCount: 0,
    startedAtMs: nowMs - 60_000,
    exitedAtMs: null,
    nextStartAtMs: null,
  };
  const modules = [
    { ...module, name: 'a', kind: 'process', statusDescription: 'running; unhealthy: no answer' },
    {
      ...module,
      name: 'b',
      kind: 'container',
      runtimeStatus: 'unknown',
      statusDescription: 'not started yet',
      pid: null,
      startedAtMs: null,
      progress: 'pulling image: 40 %',
    },
    { ...module, name: `name-${'x'.repeat(90)}`, kind: 'container', statusDescription: 'running' },
  ];
  const context = recordedContext({ answers: { 'GET /modules': modules }, nowMs });
  t.equal(await runCli(['list', ...where], context), 0);
  t.match(context.out(), /^a +process +running +1m +0 +1 +unhealthy: no answer$/m);
  t.match(context.out(), /^b +container +unknown +- +0 +- +pulling image: 40 %/m);
  t.ok(
    context
      .out()
      .split('\n')
      .every((line) => line.length <= 80),
    context.out(),
  );
});

t.test('a support bundle is written once, and over nothing', async (t) => {
  const dir = t.testdir({ 'there.zip': 'x' });
  const bytes = Buffer.from('PK-archive');
  const answers = { [`GET /support-bundle?since=${nowMs - 86_400_000}`]: `${bytes.toString('base64')}\n` };
  const context = recordedContext({ answers, nowMs });
  const path = join(dir, 'b.zip');
  t.equal(await runCli(['support-bundle', '-o', path, ...where], context), 0);
  t.same(readFileSync(path), bytes);
  const again = recordedContext({ answers, nowMs });
  t.equal(await runCli(['support-bundle', '-o', join(dir, 'there.zip'), ...where], again), 1);
  t.match(again.err(), /--force.*\[CLI_FILE_EXISTS\]/);
  t.notOk(existsSync(join(dir, 'support-bundle.zip')));
});
