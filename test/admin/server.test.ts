import { statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
  AdminClient,
  type AdminDevice,
  AdminError,
  AdminServer,
  type LogRequest,
  type StatusReport,
} from '../../src/admin/index.ts';
import type { AdminQueues } from '../../src/admin/ports.ts';
import { WeirError } from '../../src/model/errors.ts';
import { systemHttp } from '../../src/platform/http.ts';
import type { Log } from '../../src/platform/log.ts';
import { createMetrics } from '../../src/platform/metrics.ts';

const report: StatusReport = {
  version: '0.1.0',
  uptimeMs: 60_000,
  deviceId: 'gw',
  hub: { hostname: 'hub.example', state: 'connected', sinceMs: 1_000 },
  deployment: { version: 3, code: 200, description: '' },
  clients: 2,
  queues: [
    {
      queue: '$upstream',
      priority: null,
      live: false,
      messages: 4,
      bytes: 1_000,
      oldestEnqueuedMs: 500,
      dropped: { quota: 1 },
    },
  ],
  modules: [
    {
      name: 'modbus',
      runtimeStatus: 'running',
      pid: 77,
      exitCode: 0,
      statusDescription: 'running',
      restartCount: 0,
      startedAtMs: 1,
      exitedAtMs: null,
      nextStartAtMs: null,
    },
  ],
  store: { fileBytes: 4_096, messageBytes: 1_000, freeBytes: 1_000_000, reserveBytes: 100_000, quarantined: [] },
  memoryPssBytes: null,
};

class FakeDevice implements AdminDevice {
  readonly restarted: string[] = [];
  readonly requests: LogRequest[] = [];
  readonly endless: boolean;
  ended = false;

  constructor(options: { readonly endless: boolean } = { endless: false }) {
    this.endless = options.endless;
  }

  readonly asked: unknown[] = [];

  readonly deployment: AdminDevice['deployment'] = {
    progress: () => ({
      phase: 'preparing',
      detail: 'fetching',
      sinceMs: 5,
      modules: [{ name: 'modbus', text: 'pulling image: 40 %' }],
      status: { version: 3, code: 200, description: '' },
    }),
    deploy: async (manifest, options) => {
      this.asked.push([manifest, options]);
      return { ok: false, problems: [{ path: 'a.b', message: 'write c' }], plan: [] };
    },
  };

  async usage() {
    return { monotonicMs: 7, modules: [] };
  }

  async *supportBundle(request: Parameters<AdminDevice['supportBundle']>[0]) {
    this.asked.push({ ...request, signal: undefined });
    yield Buffer.from([0, 1, 2, 255]);
    yield Buffer.alloc(0);
    yield Buffer.from('PK');
  }

  readonly queues: AdminQueues = {
    peek: async (request) => {
      this.asked.push(request);
      return [];
    },
    purge: async (request) => {
      this.asked.push(request);
      return [{ queue: request.queue, priority: 3, live: false, messages: 7 }];
    },
    exportNext: async (request) => {
      this.asked.push(request);
      return undefined;
    },
    takeReceipts: async (receipts) => receipts.map(({ name }) => ({ name, outcome: 'gone' })),
  };

  status(): Promise<StatusReport> {
    return Promise.resolve(report);
  }

  restartModule(name: string): Promise<void> {
    if (name === 'broken')
      return Promise.reject(new WeirError({ code: 'SUPERVISOR_BUSY', message: 'The module is busy.' }));
    if (name !== 'modbus')
      return Promise.reject(new AdminError('ADMIN_NO_SUCH_MODULE', `There is no module '${name}'.`));
    this.restarted.push(name);
    return Promise.resolve();
  }

  async *logs(request: LogRequest): AsyncIterable<string> {
    this.requests.push(request);
    if (request.name === 'none') throw new AdminError('ADMIN_NO_SUCH_MODULE', 'There is no log.');
    try {
      yield 'line 1\n';
      yield 'line 2\n';
      if (this.endless)
        await new Promise<void>((resolve) => request.signal.addEventListener('abort', () => resolve(), { once: true }));
    } finally {
      this.ended = true;
    }
  }

  config(): Record<string, string> {
    return { hostname: 'gw' };
  }

  version(): Record<string, string> {
    return { version: '0.1.0' };
  }
}

const silent: Log = { debug() {}, info() {}, warn() {}, error() {}, writes: () => false, child: () => silent };

async function served(
  t: Test,
  device: FakeDevice,
): Promise<{ readonly client: AdminClient; readonly runDir: string; readonly server: AdminServer }> {
  // A socket's path is at most 107 bytes: tap's own directories are longer.
  const runDir = await mkdtemp(join(tmpdir(), 'weir-admin-'));
  const http = systemHttp();
  const metrics = createMetrics();
  metrics.counter('messages', { to: 'upstream' }).add(3);
  const server = new AdminServer({ http, log: silent, metrics, device }, { socketPath: join(runDir, 'admin.sock') });
  await server.start();
  t.teardown(async () => {
    await server.close();
    await rm(runDir, { recursive: true });
  });
  return { client: new AdminClient(http, runDir), runDir, server };
}

t.test('each resource answers what the device tells', async (t) => {
  const { client, runDir } = await served(t, new FakeDevice());
  t.same(await client.status(), report);
  t.same(await client.modules(), report.modules);
  t.same(await client.queues(), report.queues);
  t.same(await client.metrics(), [{ name: 'messages', labels: { to: 'upstream' }, value: 3 }]);
  t.same(await client.config(), { hostname: 'gw' });
  t.same(await client.version(), { version: '0.1.0' });
  t.equal(statSync(join(runDir, 'admin.sock')).mode & 0o777, 0o660, 'owner and group alone may connect');
});

t.test('a process of a module is turned away, whoever it runs as', async (t) => {
  const runDir = await mkdtemp(join(tmpdir(), 'weir-admin-'));
  const asked: number[] = [];
  const http = systemHttp({ peerCredentials: () => ({ pid: 4711, uid: 0, gid: 0 }) });
  const isModule = (pid: number): Promise<boolean> => {
    asked.push(pid);
    return Promise.resolve(asked.length === 1);
  };
  const ports = { http, log: silent, metrics: createMetrics(), device: new FakeDevice(), isModule };
  const server = new AdminServer(ports, { socketPath: join(runDir, 'admin.sock') });
  await server.start();
  t.teardown(async () => {
    await server.close();
    await rm(runDir, { recursive: true });
  });
  const client = new AdminClient(systemHttp(), runDir);
  await t.rejects(client.status(), { code: 'ADMIN_FORBIDDEN', message: /4711 is a module/ });
  t.same(await client.status(), report);
  t.same(asked, [4711, 4711]);
});

t.test('a deployment is planned, carried out and followed', async (t) => {
  const device = new FakeDevice();
  const { client } = await served(t, device);
  t.match(await client.deployment(), { phase: 'preparing', modules: [{ text: 'pulling image: 40 %' }] });
  const answer = { ok: false, problems: [{ path: 'a.b', message: 'write c' }], plan: [] };
  t.same(await client.deploy('{"a":1}', { dryRun: true }), answer);
  t.same(await client.deploy('{"a":2}', { dryRun: false }), answer);
  t.same(device.asked, [
    [{ a: 1 }, { dryRun: true }],
    [{ a: 2 }, { dryRun: false }],
  ]);
  await t.rejects(client.deploy('[1]', { dryRun: true }), {
    code: 'ADMIN_BAD_REQUEST',
    message: /no?t? a JSON object/,
  });
  t.same(await client.usage(), { monotonicMs: 7, modules: [] });
});

t.test('a support bundle comes as its bytes', async (t) => {
  const device = new FakeDevice();
  const { client } = await served(t, device);
  const pieces: Buffer[] = [];
  const { signal } = new AbortController();
  for await (const piece of client.supportBundle({ sinceMs: 4, runtimeOnly: true, signal })) pieces.push(piece);
  t.same(Buffer.concat(pieces), Buffer.from([0, 1, 2, 255, 0x50, 0x4b]));
  t.match(device.asked, [{ sinceMs: 4, runtimeOnly: true }]);
});

t.test('a module is restarted, and refusals keep their code', async (t) => {
  const device = new FakeDevice();
  const { client } = await served(t, device);
  await client.restartModule('modbus');
  t.same(device.restarted, ['modbus']);
  await t.rejects(client.restartModule('nobody'), {
    code: 'ADMIN_NO_SUCH_MODULE',
    message: /nobody/,
    fields: { status: 404 },
  });
  await t.rejects(client.restartModule('broken'), { code: 'SUPERVISOR_BUSY', fields: { status: 500 } });
  await t.rejects(client.restartModule('../etc/x'), { code: 'ADMIN_BAD_REQUEST' });
});

t.test('logs are streamed with the wishes of the reader', async (t) => {
  const device = new FakeDevice();
  const { client } = await served(t, device);
  let text = '';
  for await (const piece of client.logs({ name: 'modbus', tail: 5, sinceMs: 12, signal: new AbortController().signal }))
    text += piece;
  t.equal(text, 'line 1\nline 2\n');
  t.match(device.requests[0], { name: 'modbus', tail: 5, sinceMs: 12, follow: false });
});

t.test('a log that cannot be read is an error, not an empty log', async (t) => {
  const { client } = await served(t, new FakeDevice());
  const reading = async (): Promise<void> => {
    for await (const _ of client.logs({ name: 'none', signal: new AbortController().signal })) t.fail('no piece comes');
  };
  await t.rejects(reading(), { code: 'ADMIN_NO_SUCH_MODULE' });
});

t.test('a followed log ends when the reader leaves', async (t) => {
  const device = new FakeDevice({ endless: true });
  const { client } = await served(t, device);
  const gone = new AbortController();
  let text = '';
  for await (const piece of client.logs({ name: 'modbus', follow: true, signal: gone.signal })) {
    text += piece;
    if (text.endsWith('line 2\n')) gone.abort();
  }
  t.equal(text, 'line 1\nline 2\n');
  while (!device.ended) await new Promise((resolve) => setImmediate(resolve));
  t.ok(device.ended, 'the device was told');
});

t.test('a followed log ends when the server closes', async (t) => {
  const device = new FakeDevice({ endless: true });
  const { client, server } = await served(t, device);
  const reading = (async () => {
    for await (const piece of client.logs({ name: 'modbus', follow: true, signal: new AbortController().signal })) {
      if (piece.includes('line')) void server.close();
    }
  })();
  await reading.catch(() => undefined);
  while (!device.ended) await new Promise((resolve) => setImmediate(resolve));
  t.ok(device.ended);
});

t.test('what is not there, not allowed or not a number is refused with code and message', async (t) => {
  const { runDir } = await served(t, new FakeDevice());
  const http = systemHttp();
  const call = (method: string, path: string): Promise<{ readonly status: number; readonly body: string }> =>
    http.call({ socketPath: join(runDir, 'admin.sock'), method, path });
  const rows: readonly (readonly [string, string, number, string])[] = [
    ['GET', '/', 404, 'ADMIN_NOT_FOUND'],
    ['GET', '/nothing', 404, 'ADMIN_NOT_FOUND'],
    ['GET', '/status/more', 404, 'ADMIN_NOT_FOUND'],
    ['GET', '/modules/m', 404, 'ADMIN_NOT_FOUND'],
    ['GET', '/modules/m/logs/x', 404, 'ADMIN_NOT_FOUND'],
    ['POST', '/status', 405, 'ADMIN_BAD_REQUEST'],
    ['GET', '/modules/m/restart', 405, 'ADMIN_BAD_REQUEST'],
    ['GET', '/modules/m/logs?tail=-1', 400, 'ADMIN_BAD_REQUEST'],
    ['GET', '/modules/m/logs?tail=x', 400, 'ADMIN_BAD_REQUEST'],
    ['GET', '/modules/m/logs?tail=99999999', 400, 'ADMIN_BAD_REQUEST'],
    ['GET', '/modules/a%20b/logs', 400, 'ADMIN_BAD_REQUEST'],
  ];
  for (const [method, path, status, code] of rows) {
    const answer = await call(method, path);
    t.equal(answer.status, status, `${method} ${path}`);
    t.match(JSON.parse(answer.body), { code, message: String }, `${method} ${path} says why`);
  }
});

t.test('without a daemon the client says so and how to start it', async (t) => {
  const runDir = await mkdtemp(join(tmpdir(), 'weir-admin-'));
  t.teardown(() => rm(runDir, { recursive: true }));
  const client = new AdminClient(systemHttp(), runDir);
  await t.rejects(client.status(), {
    code: 'ADMIN_NOT_RUNNING',
    message: `weir is not running on ${runDir}. Start it: systemctl start weir, or weir run; or name the directory of the one that runs with --run-dir.`,
  });
  await t.rejects(client.restartModule('m'), { code: 'ADMIN_NOT_RUNNING' });
});

t.test('queues are looked into, purged and carried by their names', async (t) => {
  const device = new FakeDevice();
  const { client } = await served(t, device);
  t.same(await client.peekQueue({ queue: '$upstream', priority: 3, count: 5, from: 'last' }), []);
  t.same(await client.purgeQueue({ queue: 'filter/inputs/in', beforeMs: 12.5 }), [
    { queue: 'filter/inputs/in', priority: 3, live: false, messages: 7 },
  ]);
  const have = [{ stream: 'e.1', after: 0, last: 9 }];
  t.equal(await client.exportQueue({ queue: '$upstream', have, done: ['e.2'] }), undefined);
  t.same(await client.takeReceipts([{ name: 'a', text: 'x' }]), [{ name: 'a', outcome: 'gone' }]);
  t.same(device.asked, [
    { queue: '$upstream', priority: 3, count: 5, from: 'last' },
    { queue: 'filter/inputs/in', priority: undefined, beforeMs: 12 },
    { queue: '$upstream', have, done: ['e.2'] },
  ]);
});

t.test('a request about queues that cannot be understood is refused with the reason', async (t) => {
  const { runDir } = await served(t, new FakeDevice());
  const http = systemHttp();
  const rows = [
    ['GET', '/queues/q/messages?from=middle', '', 400],
    ['GET', '/queues/q/messages?count=1001', '', 400],
    ['GET', '/queues/q/messages?priority=11', '', 400],
    ['POST', '/queues/q/files', '[]', 400],
    ['POST', '/queues/q/files', '{"have":[{"stream":"e"}],"done":[]}', 400],
    ['POST', '/queues/q/files', '{"have":[],"done":[1]}', 400],
    ['POST', '/receipts', '{"receipts":[{"name":"a"}]}', 400],
    ['POST', '/receipts', '{"receipts":', 400],
    ['PUT', '/queues/q/messages', '', 405],
    ['GET', '/queues/q/other', '', 404],
    ['GET', '/queues/q', '', 404],
  ] as const;
  for (const [method, path, body, status] of rows) {
    const answer = await http.call({ socketPath: join(runDir, 'admin.sock'), method, path, body });
    t.equal(answer.status, status, `${method} ${path} ${body}: ${answer.body}`);
  }
});
