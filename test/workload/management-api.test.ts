// Azure's management API, call by call: what is served, what is refused and with which way out.

import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { systemDisk } from '../../src/platform/disk.ts';
import { systemHttp } from '../../src/platform/http.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { dockerFrames } from '../../src/workload/docker-frames.ts';
import { type ManagedGateway, type ManagedModule, ManagementSocket } from '../../src/workload/index.ts';
import { readLogQuery } from '../../src/workload/log-query.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock } from '../support/sim-clock.ts';

const http = systemHttp();
const version = '?api-version=2022-08-03';
const nowMs = Date.UTC(2026, 10, 21, 12);

const module = (name: string, more: Partial<ManagedModule> = {}): ManagedModule => ({
  name,
  type: 'docker',
  settings: { image: `registry/${name}:1` },
  runtimeStatus: 'running',
  description: 'running',
  startedAtMs: nowMs - 60_000,
  exitedAtMs: null,
  exitCode: 0,
  ...more,
});

async function serve(t: Test) {
  const restarted: string[] = [];
  const asked: object[] = [];
  const gateway: ManagedGateway = {
    modules: () => [
      module('edgeAgent', { isSystem: true }),
      module('pump'),
      module('ailing', { type: 'process', settings: {}, runtimeStatus: 'unhealthy' }),
      module('done', { runtimeStatus: 'stopped', exitedAtMs: nowMs }),
      module('dead', { runtimeStatus: 'backoff', exitedAtMs: nowMs, exitCode: 137, startedAtMs: null }),
    ],
    identities: () => [{ moduleId: 'pump', generationId: 'g1' }],
    async *log({ signal, ...request }) {
      asked.push(request);
      yield '2026-11-21T11:00:00.000Z O one\n2026-11-21T11:00:01.000Z E zwö\n';
      yield '2026-11-21T11:30:00.000Z O three\n';
    },
    restart: (name) => Promise.resolve(void restarted.push(name)),
    machine: () =>
      Promise.resolve({
        architecture: 'aarch64',
        version: '1.2.3',
        kernelVersion: '6.1',
        operatingSystem: 'Debian 12',
        cpus: 4,
        totalMemoryBytes: 1000,
        usedMemoryBytes: 400,
        usedCpuPercent: 12.5,
        hostUptimeMs: 90_500,
        processUptimeMs: 60_000,
        provisioningType: 'none',
        disks: [{ name: '/var/lib/weir', availableBytes: 5, totalBytes: 9, fileSystem: '0xef53' }],
      }),
    nowMs: () => nowMs,
  };
  const directory = await mkdtemp(join(tmpdir(), 'weir-g-'));
  t.teardown(() => systemDisk().remove('test', directory));
  const { log } = keptLog(new SimClock());
  const socketPath = join(directory, 'mgmt.sock');
  const socket = new ManagementSocket({ http, log, metrics: createMetrics(), gateway }, { socketPath });
  await socket.start();
  await socket.start();
  t.teardown(() => socket.close());
  const call = async (method: string, path: string) => {
    const { status, body } = await http.call({ socketPath, method, path });
    return { status, body: body === '' ? '' : (JSON.parse(body) as unknown) };
  };
  return { call, restarted, asked, socketPath };
}

t.test('modules, identities and the machine are told in Azure words', async (t) => {
  const { call, socketPath } = await serve(t);
  const { body } = await call('GET', `/modules${version}`);
  const { modules } = body as { readonly modules: readonly Record<string, unknown>[] };
  t.same(
    modules.map(({ name }) => name),
    ['edgeAgent', 'pump', 'ailing', 'done', 'dead'],
  );
  t.same(modules[1], {
    id: 'pump',
    name: 'pump',
    type: 'docker',
    config: { settings: { image: 'registry/pump:1' }, env: [] },
    status: { startTime: '2026-11-21T11:59:00.000Z', runtimeStatus: { status: 'running', description: 'running' } },
  });
  t.match(modules[2], { type: 'process', status: { runtimeStatus: { status: 'running' } } });
  t.match(await call('GET', `/modules/dead${version}`), {
    status: 200,
    body: {
      status: {
        exitStatus: { exitTime: '2026-11-21T12:00:00.000Z', statusCode: '137' },
        runtimeStatus: { status: 'failed' },
      },
    },
  });
  const identities = { identities: [{ moduleId: 'pump', managedBy: 'iotedge', generationId: 'g1', authType: 'Sas' }] };
  for (const path of ['/identities', '/identities/'])
    t.same(await call('GET', `${path}${version}`), { status: 200, body: identities });
  t.match(await call('GET', `/systeminfo${version}`), {
    body: {
      osType: 'linux',
      architecture: 'aarch64',
      version: '1.2.3',
      provisioning: { type: 'none', dynamicReprovisioning: false, alwaysReprovisionOnStartup: false },
      kernel_version: '6.1',
      operating_system: 'Debian 12',
      cpus: 4,
      total_memory: 1000,
    },
  });
  t.match(await call('GET', `/systeminfo/resources${version}`), {
    body: {
      host_uptime: 90,
      process_uptime: 60,
      used_cpu: 12.5,
      used_ram: 400,
      total_ram: 1000,
      disks: [{ name: '/var/lib/weir', available_space: 5, total_space: 9, file_system: '0xef53' }],
      docker_stats: '[]',
    },
  });
  t.equal((await systemDisk().facts('test', socketPath))?.mode, 0o660);
});

t.test('a module is restarted; one that runs is not started', async (t) => {
  const { call, restarted } = await serve(t);
  t.same(await call('POST', `/modules/pump/restart${version}`), { status: 204, body: '' });
  t.same(await call('POST', `/modules/pump/start${version}`), { status: 304, body: '' });
  t.same(await call('POST', `/modules/ailing/start${version}`), { status: 304, body: '' });
  t.same(await call('POST', `/modules/dead/start${version}`), { status: 204, body: '' });
  t.same(restarted, ['pump', 'dead']);
});

t.test('what the agent inside decides is refused with the way there', async (t) => {
  const { call, restarted } = await serve(t);
  const table: readonly [string, string, number, RegExp][] = [
    ['POST', `/modules${version}`, 403, /Unauthorized: making modules.*weir deploy/],
    ['PUT', `/modules/pump${version}&start=true`, 403, /changing modules.*weir deploy/],
    ['DELETE', `/modules/pump${version}`, 403, /removing modules.*weir deploy/],
    ['POST', `/modules/pump/prepareupdate${version}`, 403, /fetching images/],
    ['POST', `/modules/pump/stop${version}`, 403, /"status": "stopped"/],
    ['POST', `/modules/done/start${version}`, 403, /done its work or is deployed as stopped/],
    ['POST', `/modules/edgeAgent/restart${version}`, 403, /systemctl restart weir/],
    ['POST', `/identities${version}`, 403, /identities with the deployment/],
    ['POST', `/identities/${version}`, 403, /making identities/],
    ['PUT', `/identities/pump${version}`, 403, /changing identities/],
    ['DELETE', `/identities/pump${version}`, 403, /removing identities/],
    ['POST', `/device/reprovision${version}`, 403, /\[provisioning\] in config.toml/],
    ['GET', `/systeminfo/supportbundle${version}`, 403, /weir support-bundle/],
    ['GET', `/modules/nobody${version}`, 404, /Module not found: 'nobody'/],
    ['GET', `/modules/nobody/logs${version}`, 404, /Module not found/],
    ['POST', `/modules/nobody/restart${version}`, 404, /Module not found/],
    ['POST', `/modules/nobody/start${version}`, 404, /Module not found/],
    ['POST', `/modules/pump/pause${version}`, 404, /no POST \/modules\/pump\/pause in the management API/],
    ['GET', `/${version}`, 404, /no GET \/ in/],
    ['GET', '/modules', 400, /api-version not specified/],
    ['GET', '/modules?api-version=2022-08-04', 400, /invalid api-version "2022-08-04"/],
    ['GET', '/systeminfo/resources?api-version=2018-06-28', 400, /2019-11-05 or newer/],
    ['GET', `/modules/pump/logs${version}&tail=few`, 400, /invalid parameter: tail/],
  ];
  for (const [method, path, status, message] of table)
    t.match(await call(method, path), { status, body: { message } }, `${method} ${path}`);
  t.same(restarted, []);
});

/** Docker's frames as [stream, text]. */
function frames(bytes: Buffer): readonly (readonly [number | undefined, string])[] {
  const found: (readonly [number | undefined, string])[] = [];
  for (let at = 0; at < bytes.length; ) {
    const length = bytes.readUInt32BE(at + 4);
    found.push([bytes[at], bytes.toString('utf8', at + 8, at + 8 + length)]);
    at += 8 + length;
  }
  return found;
}

async function framesOf(pieces: readonly string[], options: { untilMs?: number; timestamps?: boolean } = {}) {
  const chunks: Uint8Array[] = [];
  const source = async function* () {
    yield* pieces;
  };
  const { untilMs, timestamps = false } = options;
  for await (const chunk of dockerFrames(source(), { untilMs, timestamps })) chunks.push(chunk);
  return frames(Buffer.concat(chunks));
}

t.test("a module's log comes as Docker's frames", async (t) => {
  const { asked, socketPath } = await serve(t);
  const path = `/modules/pump/logs${version}&tail=5&since=1h&follow=false`;
  const { status, body } = await http.call({ socketPath, method: 'GET', path });
  t.equal(status, 200);
  t.same(frames(Buffer.from(body, 'utf8')), [
    [1, 'one\n'],
    [2, 'zwö\n'],
    [1, 'three\n'],
  ]);
  t.same(asked, [{ name: 'pump', tail: 5, sinceMs: nowMs - 3_600_000, follow: false }]);
});

t.test('frames carry the stamp when asked, and end at the moment asked for', async (t) => {
  const pieces = ['2026-11-21T11:00:00.000Z E one\nits rest\n', '2026-11-21T11:30:00.000Z O two\n', ''];
  t.same(await framesOf(pieces), [
    [2, 'one\n'],
    [2, 'its rest\n'],
    [1, 'two\n'],
  ]);
  t.same(await framesOf(pieces, { timestamps: true, untilMs: Date.UTC(2026, 10, 21, 11, 29) }), [
    [2, '2026-11-21T11:00:00.000Z one\n'],
    [2, 'its rest\n'],
  ]);
});

t.test('moments are understood as Azure writes them', async (t) => {
  const read = (text: string) => readLogQuery(new URLSearchParams(text), nowMs);
  t.same(read(''), { follow: false, timestamps: false });
  t.same(read('tail=all&follow=true&timestamps=true'), { follow: true, timestamps: true });
  const table: readonly [string, number][] = [
    ['1700000000', 1_700_000_000_000],
    ['2026-11-21T11:00:00Z', nowMs - 3_600_000],
    ['2026-11-21T13:00:00+02:00', nowMs - 3_600_000],
    ['10m', nowMs - 600_000],
    ['1 day', nowMs - 86_400_000],
    ['1h 30min', nowMs - 5_400_000],
    ['2hours', nowMs - 7_200_000],
  ];
  for (const [text, moment] of table) t.equal(read(`since=${encodeURIComponent(text)}`).sinceMs, moment, text);
  t.equal(read('until=10m').untilMs, nowMs - 600_000);
  for (const bad of ['since=soon', 'since=3fortnights', 'until=', 'since=-5', 'tail=-1', 'tail=1e9', 'follow=yes'])
    t.throws(() => read(bad), { code: 'WORKLOAD_REQUEST_INVALID' }, bad);
});
