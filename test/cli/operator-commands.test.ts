import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { StatusReport } from '../../src/admin/index.ts';
import { runCli } from '../../src/cli/index.ts';
import { systemProcesses } from '../../src/platform/process.ts';
import { recordedContext } from '../support/cli-context.ts';

const nowMs = Date.UTC(2026, 10, 21, 12);
const where = ['--run-dir', '/r', '--data-dir', '/d'];

const report: StatusReport = {
  version: '0.1.0',
  uptimeMs: 90_061_000,
  deviceId: 'gateway-1',
  hub: { hostname: 'hub.example', state: 'waiting', sinceMs: nowMs - 125_000, lastError: 'ECONNREFUSED' },
  deployment: { version: 12, code: 200, description: '' },
  clients: 3,
  queues: [
    {
      queue: '$upstream',
      priority: 3,
      live: false,
      messages: 1_500,
      bytes: 400_000,
      oldestEnqueuedMs: nowMs - 60_000,
      dropped: { quota: 7, ttl_expiry: 0 },
    },
    { queue: 'filter/inputs/in', priority: null, live: true, messages: 0, bytes: 0, dropped: {} },
  ],
  modules: [
    {
      name: 'modbus',
      runtimeStatus: 'running',
      pid: 4_711,
      exitCode: 0,
      statusDescription: 'running',
      restartCount: 0,
      startedAtMs: nowMs - 7_200_000,
      exitedAtMs: null,
      nextStartAtMs: null,
    },
    {
      name: 'filter',
      runtimeStatus: 'backoff',
      pid: null,
      exitCode: 1,
      statusDescription: 'ended with code 1',
      restartCount: 4,
      startedAtMs: nowMs - 9_000,
      exitedAtMs: nowMs - 5_000,
      nextStartAtMs: nowMs + 20_000,
    },
  ],
  store: {
    fileBytes: 12_918_456,
    messageBytes: 400_000,
    freeBytes: 9_000_000_000,
    reserveBytes: 900_000_000,
    quarantined: ['/d/quarantine/weir.db-1'],
  },
  memoryPssBytes: 43_200_000,
};

const answers = { 'GET /status': report, 'GET /modules': report.modules, 'GET /queues': report.queues };

t.test('status tells hub, deployment, store, modules and queues within 80 columns', async (t) => {
  const context = recordedContext({ answers, nowMs });
  t.equal(await runCli(['status', ...where], context), 0);
  t.equal(
    context.out(),
    `weir 0.1.0, gateway-1, up 1d 1h
hub         waiting to try hub.example again, for 2m 5s: ECONNREFUSED
deployment  version 12 applied
clients     3 connected
store       12.3 MiB, 1 damaged put aside
memory      41.2 MiB

MODULE  STATUS   SINCE  RESTARTS   PID  DESCRIPTION
modbus  running  2h            0  4711
filter  backoff  5s            4  -     ended with code 1 (again in 20s)

QUEUE             PRIORITY  MESSAGES  SIZE       OLDEST  DROPPED
$upstream         3             1500  390.6 KiB  1m      7 quota
filter/inputs/in  - live           0  0 B        -       none
`,
  );
  t.ok(
    context
      .out()
      .split('\n')
      .every((line) => line.length <= 80),
  );
});

t.test('too little space is told only when it matters', async (t) => {
  const store = { ...report.store, freeBytes: 40_000_000, reserveBytes: 67_108_864 };
  const context = recordedContext({ answers: { 'GET /status': { ...report, store } }, nowMs });
  t.equal(await runCli(['status', ...where], context), 0);
  t.match(context.out(), /store +12\.3 MiB, only 38\.1 MiB free of 64.0 MiB in reserve/);
});

t.test('what the flash takes and how long it lasts is one line, and what is unknown says so', async (t) => {
  const flash: NonNullable<StatusReport['flash']> = {
    device: 'mmcblk0',
    kind: 'eMMC',
    writtenBytes: 2_097_152,
    bytesPerDay: 1_288_490_189,
    deviceBytesPerDay: 2e9,
    amplification: 2.4,
    lifeUsed: { from: 10, to: 20 },
    preEol: 'normal',
    lifeYears: 7.6,
    lifeBasis: 'registers',
    sparingDelayMs: null,
  };
  const unknown = { kind: null, lifeUsed: null, preEol: null, lifeYears: null, lifeBasis: null };
  const rows: readonly (readonly [Partial<typeof flash>, RegExp])[] = [
    [{}, /^flash {7}1\.2 GiB a day, life used 10–20 % \(eMMC\), 8 years left$/m],
    [{ lifeYears: null }, /^flash {7}1\.2 GiB a day, life used 10–20 % \(eMMC\)$/m],
    [{ bytesPerDay: null, ...unknown }, /^flash {7}2\.0 MiB so far, life unknown$/m],
    [{ bytesPerDay: null, writtenBytes: null, ...unknown }, /^flash {7}writes unknown, life unknown$/m],
    [{ ...unknown, lifeYears: 0.42 }, /GiB a day, no wear register, 0\.4 years left$/m],
    [
      { lifeUsed: { from: 100, to: 100 }, preEol: 'urgent' },
      /life used up \(eMMC\), 8 years left, spare blocks urgent$/m,
    ],
    [{ lifeYears: 400, sparingDelayMs: 400 }, /over 100 years left, spared$/m],
  ];
  for (const [change, expected] of rows) {
    const context = recordedContext({
      answers: { 'GET /status': { ...report, flash: { ...flash, ...change } } },
      nowMs,
    });
    t.equal(await runCli(['status', ...where], context), 0);
    t.match(context.out(), expected);
  }
});

t.test('each state of hub and deployment has its words', async (t) => {
  const rows: readonly (readonly [Partial<StatusReport>, RegExp])[] = [
    [{ hub: { hostname: '', state: 'disabled', sinceMs: 0 } }, /hub +none configured/],
    [{ hub: { hostname: 'h', state: 'connected', sinceMs: nowMs - 1_000 } }, /hub +connected to h for 1s/],
    [{ hub: { hostname: 'h', state: 'connecting', sinceMs: nowMs } }, /hub +connecting to h for 0s/],
    [{ deployment: { version: 0, code: 406, description: '' } }, /deployment +none received yet/],
    [{ deployment: { version: 3, code: 400, description: 'no modules' } }, /version 3 not applied \(400\): no modules/],
    [{ deployment: { version: 1, code: 417, description: 'none has been set' } }, /deployment +none received yet/],
    [{ deployment: { version: 3, code: 200, description: 'being verified' } }, /version 3 applied, being verified\n/],
    [{ deployment: { version: 0, code: 200, description: 'made at the device' } }, /deployment +made at the device\n/],
    [
      { deployment: { version: 3, code: 406, description: 'made here' } },
      /made here, in place of the hub's version 3\n/,
    ],
    [{ deployment: { version: 0, code: 500, description: 'no memory' } }, /deployment +not applied \(500\): no memory/],
    [
      { routes: { version: 3, code: 400, description: 'routes.x: bad' } },
      /routes +not all in force \(400\): routes\.x: bad/,
    ],
    [{ deviceId: '', memoryPssBytes: null }, /weir 0\.1\.0, no identity/],
  ];
  for (const [change, expected] of rows) {
    const context = recordedContext({ answers: { 'GET /status': { ...report, ...change } }, nowMs });
    await runCli(['status', ...where], context);
    t.match(context.out(), expected);
  }
});

t.test('--json prints what the daemon answered', async (t) => {
  for (const [argv, expected] of [
    [['status'], report],
    [['list'], report.modules],
    [['queue', 'status'], report.queues],
  ] as const) {
    const context = recordedContext({ answers });
    t.equal(await runCli([...argv, '--json', ...where], context), 0);
    t.same(JSON.parse(context.out()), JSON.parse(JSON.stringify(expected)));
  }
});

t.test('a gateway without modules says where they come from', async (t) => {
  const context = recordedContext({ answers: { 'GET /modules': [] } });
  t.equal(await runCli(['list', ...where], context), 0);
  t.match(context.out(), /No modules/);
});

t.test('a restart is asked for by name', async (t) => {
  const context = recordedContext({ answers: { 'POST /modules/modbus/restart': '' } });
  t.equal(await runCli(['restart', 'modbus', '--no-wait', ...where], context), 0);
  t.match(context.calls, [{ socketPath: '/r/admin.sock', method: 'POST', path: '/modules/modbus/restart' }]);
});

t.test('logs come from the daemon with the wishes of the reader', async (t) => {
  const sinceAt = nowMs - 600_000;
  const context = recordedContext({
    answers: { [`GET /modules/m/logs?tail=5&since=${sinceAt}&follow=true`]: 'a\nb\n' },
    nowMs,
  });
  t.equal(await runCli(['logs', 'm', '-f', '--tail', '5', '--since', '10m', ...where], context), 0);
  t.equal(context.out(), 'a\nb\n');
});

t.test('without the daemon logs come from the files', async (t) => {
  const dir = t.testdir({ logs: { 'm.log': '1\n2\n3\n' } });
  const context = recordedContext();
  t.equal(await runCli(['logs', 'm', '--tail', '2', '--data-dir', dir, '--run-dir', dir], context), 0);
  t.equal(context.out(), '2\n3\n');
  const missing = recordedContext();
  t.equal(await runCli(['logs', 'x', '--data-dir', dir, '--run-dir', dir], missing), 1);
  t.match(missing.err(), /There are: m\./);
});

t.test('without the daemon list and status tell what the shims recorded, and fail', async (t) => {
  const dir = t.testdir({
    modules: { alive: {}, ended: {}, gone: {}, killed: {}, empty: {}, broken: { 'state.json': '{' } },
  });
  const record = (name: string, file: string, value: unknown): void =>
    writeFileSync(join(dir, 'modules', name, file), JSON.stringify(value));
  const processes = systemProcesses();
  const bootId = processes.bootId();
  const pidStart = await processes.startTicks(process.pid);
  record('alive', 'state.json', { pid: process.pid, pidStart, bootId, startedAtMs: nowMs - 60_000 });
  record('ended', 'state.json', { pid: process.pid, pidStart, bootId, startedAtMs: nowMs - 60_000 });
  record('ended', 'exit.json', { pid: 1, code: 3, signal: null, message: '', startedAtMs: nowMs - 60_000 });
  record('killed', 'exit.json', { pid: 1, code: null, signal: 'SIGSEGV', startedAtMs: nowMs });
  // The pid is alive, but it is another process: it started at another time.
  record('gone', 'state.json', { pid: process.pid, pidStart: 1, bootId, startedAtMs: nowMs });
  mkdirSync(join(dir, 'modules', 'other'), { recursive: true });
  const context = recordedContext({ nowMs });
  t.equal(await runCli(['list', '--run-dir', dir], context), 1);
  t.match(context.out(), new RegExp(`alive +running +1m +${process.pid} +running, without its runtime`));
  t.match(context.out(), /ended +ended +1m +- +ended with code 3/);
  t.match(context.out(), /killed +ended .* ended by SIGSEGV/);
  t.match(context.out(), /gone +ended .* without a record/);
  t.notMatch(context.out(), /empty|broken|other/);
  t.match(context.err(), /ADMIN_NOT_RUNNING/);

  const json = recordedContext({ nowMs });
  t.equal(await runCli(['status', '--json', '--run-dir', dir], json), 1);
  t.match(JSON.parse(json.out()), {
    running: false,
    runDir: dir,
    modules: [{ name: 'alive', isRunning: true }, {}, {}, {}],
  });
});

t.test('a second gateway on the same run directory is refused before anything is touched', async (t) => {
  const context = recordedContext({ answers });
  t.equal(await runCli(['run', ...where], context), 1);
  t.match(context.err(), /weir 0\.1\.0 runs already.*\[CLI_ALREADY_RUNNING\]/);
});
