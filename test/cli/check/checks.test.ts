import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { StatusReport } from '../../../src/admin/index.ts';
import { type Check, checkTimeoutMs } from '../../../src/cli/check/check.ts';
import { type CheckAnswer, type CheckFacts, checks, runChecks } from '../../../src/cli/check/index.ts';
import { runCli } from '../../../src/cli/index.ts';
import { readConfig } from '../../../src/config/index.ts';
import { WeirError } from '../../../src/model/errors.ts';
import { type Disk, systemDisk } from '../../../src/platform/disk.ts';
import type { KernelFeatures } from '../../../src/platform/kernel-features.ts';
import type { Machine, TlsFacts } from '../../../src/platform/machine.ts';
import { recordedContext } from '../../support/cli-context.ts';
import { SimClock } from '../../support/sim-clock.ts';

const disk = systemDisk();
const nowMs = Date.UTC(2026, 10, 21, 12);
const dayMs = 86_400_000;
const key = 'c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ=';
const connected = `[provisioning]\nconnection_string = "HostName=hub.example;DeviceId=gw;SharedAccessKey=${key}"\n`;

const report: StatusReport = {
  version: '0.1.0',
  uptimeMs: 1,
  deviceId: 'gw',
  hub: { hostname: '', state: 'disabled', sinceMs: 0 },
  deployment: { version: 0, code: 406, description: '' },
  clients: 0,
  queues: [],
  modules: [],
  store: { fileBytes: 4_096, messageBytes: 1_000, freeBytes: 1_000_000, reserveBytes: 100_000, quarantined: [] },
  memoryPssBytes: 50_000_000,
};

const certificate: TlsFacts = {
  isTrusted: true,
  distrust: undefined,
  subject: 'hub.example',
  issuer: 'plant CA',
  notBeforeMs: nowMs - dayMs,
  notAfterMs: nowMs + 90 * dayMs,
  protocol: 'TLSv1.3',
};

const healthy: Machine = {
  uid: 0,
  architecture: 'arm64',
  resolve: () => Promise.resolve(['10.0.0.2']),
  reachTcp: () => Promise.resolve(),
  inspectTls: () => Promise.resolve(certificate),
  listenObstacle: () => Promise.resolve(undefined),
  space: () => Promise.resolve({ freeBytes: 8e9, totalBytes: 16e9, freeInodes: 1e6, totalInodes: 2e6 }),
  mayAccess: () => Promise.resolve(true),
};

const capable: KernelFeatures = {
  kernel: '6.12.1',
  machine: 'aarch64',
  root: true,
  starts: true,
  cgroup: '2',
  landlockAbi: 6,
  lacking: {},
  egress: { none: true, local: true },
};

interface World {
  readonly toml?: string;
  readonly machine?: Partial<Machine>;
  readonly daemon?: CheckFacts['daemon'];
  /** Content of absolute paths that the machine really has otherwise; undefined means "there is none". */
  readonly files?: Readonly<Record<string, string | undefined>>;
  readonly lists?: Readonly<Record<string, readonly string[]>>;
  readonly native?: Partial<CheckFacts['native']>;
  readonly kernel?: Partial<KernelFeatures>;
  readonly builtAtMs?: number;
  /** What a socket answers; absent: nobody is there. */
  readonly sockets?: Readonly<Record<string, string>>;
  readonly prepare?: (dir: string) => void;
}

const notRunning: CheckFacts['daemon'] = {
  error: new WeirError({ code: 'ADMIN_NOT_RUNNING', message: 'not running' }),
};

async function factsOf(t: Test, world: World): Promise<CheckFacts> {
  const dir = t.testdir({ data: {}, run: {}, shim: '' });
  const configPath = join(dir, 'config.toml');
  if (world.toml !== undefined) writeFileSync(configPath, `hostname = "gw-1"\n${world.toml}`, { mode: 0o600 });
  chmodSync(join(dir, 'shim'), 0o755);
  world.prepare?.(dir);
  return {
    disk: overlaid(world),
    clock: new SimClock(nowMs),
    machine: { ...healthy, ...world.machine },
    reading: await readConfig({ configPath, disk }),
    dataDir: join(dir, 'data'),
    runDir: join(dir, 'run'),
    daemon: world.daemon ?? notRunning,
    builtAtMs: world.builtAtMs ?? nowMs - 30 * dayMs,
    kernel: () => Promise.resolve({ ...capable, ...world.kernel }),
    askSocket: (path) => {
      const answer = world.sockets?.[path];
      const silent = new WeirError({ code: 'PLATFORM_HTTP_FAILED', message: `Nobody answers on ${path}.` });
      return answer === undefined ? Promise.reject(silent) : Promise.resolve(answer);
    },
    native: { load: () => undefined, shimPath: () => join(dir, 'shim'), ...world.native },
  };
}

function overlaid({ files = {}, lists = {} }: World): Disk {
  return {
    ...disk,
    readTextIfPresent: (operation, path) =>
      path in files ? Promise.resolve(files[path]) : disk.readTextIfPresent(operation, path),
    facts: async (operation, path) => {
      if (!(path in files)) return disk.facts(operation, path);
      return files[path] === undefined ? undefined : disk.facts(operation, '/proc/self/status');
    },
    list: (operation, path) => (path in lists ? Promise.resolve(lists[path] ?? []) : disk.list(operation, path)),
  };
}

function module(change: Partial<StatusReport['modules'][number]>): StatusReport['modules'][number] {
  return {
    name: 'm',
    runtimeStatus: 'running',
    pid: 1,
    exitCode: 0,
    statusDescription: 'running',
    restartCount: 0,
    startedAtMs: 0,
    exitedAtMs: null,
    nextStartAtMs: null,
    ...change,
  };
}

function running(change: Partial<StatusReport> = {}): CheckFacts['daemon'] {
  return { status: { ...report, ...change } };
}

function unreachable(errno: string): Promise<never> {
  return Promise.reject(
    new WeirError({ code: 'PLATFORM_UNREACHABLE', message: 'hub.example cannot be reached.', fields: { errno } }),
  );
}

const systemd = { '/run/systemd/system': 'x' };
const flash: NonNullable<StatusReport['flash']> = {
  device: 'mmcblk0',
  kind: 'eMMC',
  writtenBytes: 1_000_000,
  bytesPerDay: 1_073_741_824,
  deviceBytesPerDay: null,
  amplification: 2.5,
  lifeUsed: { from: 10, to: 20 },
  preEol: 'normal',
  lifeYears: null,
  lifeBasis: null,
  sparingDelayMs: null,
};
const emmc = (
  registers: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string | undefined>> => ({
  '/proc/self/mountinfo': '28 1 179:2 / / rw,noatime shared:1 - ext4 /dev/root rw\n',
  '/sys/dev/block/179:2/partition': '2\n',
  '/sys/dev/block/179:2/../uevent': 'DEVNAME=mmcblk0\n',
  ...Object.fromEntries(
    Object.entries({ life_time: '0x01 0x02', pre_eol_info: '0x01', ...registers }).map(([name, text]) => [
      `/sys/class/block/mmcblk0/device/${name}`,
      text,
    ]),
  ),
});
const noUnit = {
  '/etc/systemd/system/weir.service': undefined,
  '/usr/lib/systemd/system/weir.service': undefined,
  '/lib/systemd/system/weir.service': undefined,
};
const podmanSocket = '/run/podman/podman.sock';
const noEngine = { [podmanSocket]: undefined, '/var/run/docker.sock': undefined };
const namedSocket = '[moby_runtime]\nuri = "unix:///srv/sock"';
const engineVersion = (name: string): string => JSON.stringify({ Version: '4.3.1', Components: [{ Name: name }] });
const tls = (change: Partial<TlsFacts>): Partial<Machine> => ({
  inspectTls: () => Promise.resolve({ ...certificate, ...change }),
});
const space = (change: Partial<Awaited<ReturnType<Machine['space']>>>): Partial<Machine> => ({
  space: () => Promise.resolve({ freeBytes: 8e9, totalBytes: 16e9, freeInodes: 1e6, totalInodes: 2e6, ...change }),
});

type Row = readonly [id: string, result: CheckAnswer['result'], says: RegExp, world: World];

const rows: readonly Row[] = [
  ['config-well-formed', 'ok', /config\.toml/, { toml: '' }],
  ['config-well-formed', 'fail', /does not exist.*weir config init/s, {}],
  ['config-well-formed', 'fail', /store\.quota: 5 has no unit/, { toml: '[store]\nquota = 5' }],
  ['config-well-formed', 'warn', /Did you mean store\.quota/, { toml: '[store]\nqouta = "5MiB"' }],
  ['config-permissions', 'ok', /only the owner/, { toml: connected }],
  ['config-permissions', 'skip', /no configuration/, {}],
  [
    'config-permissions',
    'warn',
    /everybody.*chmod 640/s,
    { toml: connected, prepare: (dir) => chmodSync(join(dir, 'config.toml'), 0o644) },
  ],
  ['hostname', 'ok', /gw-1/, { toml: '' }],
  ['hostname', 'skip', /no usable/, { toml: 'x = ' }],
  [
    'hostname',
    'warn',
    /localhost/,
    { prepare: (dir) => writeFileSync(join(dir, 'config.toml'), 'hostname = "localhost"') },
  ],
  [
    'hostname',
    'fail',
    /not a host name/,
    { prepare: (dir) => writeFileSync(join(dir, 'config.toml'), 'hostname = "gw-"') },
  ],
  ['device-key-decodable', 'ok', /32 bytes/, { toml: connected }],
  ['device-key-decodable', 'skip', /no hub/, { toml: '' }],
  [
    'device-key-decodable',
    'warn',
    /16 bytes/,
    { toml: connected.replace(key, Buffer.alloc(16, 7).toString('base64')) },
  ],
  ['listeners', 'ok', /unix socket alone/, { toml: '' }],
  ['listeners', 'ok', /127\.0\.0\.1:1883/, { toml: '[listeners]\ntcp = "tcp://127.0.0.1:1883"' }],
  ['listeners', 'warn', /without TLS/, { toml: '[listeners]\ntcp = "tcp://0.0.0.0:1883"' }],
  [
    'listeners',
    'ok',
    /0\.0\.0\.0:1883/,
    { toml: '[listeners]\ntcp = "tcp://0.0.0.0:1883"\nproxy_protocol = ["tcp://0.0.0.0:1883"]' },
  ],
  [
    'listeners',
    'fail',
    /EADDRINUSE.*another address/s,
    { toml: '[listeners]\ntls = "tls://[::]:8883"', machine: { listenObstacle: () => Promise.resolve('EADDRINUSE') } },
  ],
  [
    'listeners',
    'fail',
    /nobody listens on 127/,
    {
      toml: '[listeners]\ntcp = "tcp://127.0.0.1:1883"',
      daemon: running(),
      machine: { reachTcp: () => unreachable('ECONNREFUSED') },
    },
  ],
  [
    'listeners',
    'ok',
    /8883/,
    {
      toml: '[listeners]\ntls = "tls://0.0.0.0:8883"',
      daemon: running(),
      machine: { listenObstacle: () => Promise.resolve('EADDRINUSE') },
    },
  ],
  ['data-dir-writable', 'ok', /7\.5 GiB free/, { toml: '' }],
  ['data-dir-writable', 'fail', /only 9\.5 MiB free/, { toml: '', machine: space({ freeBytes: 1e7 }) }],
  ['data-dir-writable', 'fail', /3 inodes/, { toml: '', machine: space({ freeInodes: 3 }) }],
  ['data-dir-writable', 'ok', /free/, { toml: '', machine: space({ freeInodes: 0, totalInodes: 0 }) }],
  ['data-dir-writable', 'warn', /wears out/, { toml: '', machine: space({ freeBytes: 6e8 }) }],
  ['data-dir-writable', 'warn', /less than store\.quota/, { toml: '[store]\nquota = "1TiB"' }],
  [
    'data-dir-writable',
    'fail',
    /cannot be written by this user \(uid 0\)/,
    { toml: '', machine: { mayAccess: () => Promise.resolve(false) } },
  ],
  ['flash-wear', 'skip', /nobody tells/, { files: { '/proc/self/mountinfo': '' } }],
  ['flash-wear', 'skip', /mmcblk0 does not tell/, { files: emmc({ life_time: undefined }) }],
  ['flash-wear', 'ok', /mmcblk0, life used 10–20 %/, { files: emmc({}) }],
  ['flash-wear', 'warn', /four fifths.*exchange/s, { files: emmc({ pre_eol_info: '0x02' }) }],
  ['flash-wear', 'fail', /nine tenths/, { files: emmc({ pre_eol_info: '0x03' }) }],
  ['flash-wear', 'fail', /used up/, { files: emmc({ life_time: '0x0b 0x01' }) }],
  [
    'flash-wear',
    'warn',
    /lasts 1\.5 years at the present pace, less than 5, life used 10–20 %, 1\.0 GiB a day/,
    { toml: '', files: emmc({}), daemon: running({ flash: { ...flash, lifeYears: 1.5, lifeBasis: 'endurance' } }) },
  ],
  [
    'flash-wear',
    'ok',
    /7 years left/,
    { toml: '', files: emmc({}), daemon: running({ flash: { ...flash, lifeYears: 7, lifeBasis: 'registers' } }) },
  ],
  ['run-dir', 'ok', /run/, { toml: '' }],
  ['run-dir', 'warn', /mode 500/, { prepare: (dir) => chmodSync(join(dir, 'run'), 0o500) }],
  ['local-time', 'ok', /2026-11-21T12:00:00/, { files: { '/run/systemd/timesync/synchronized': undefined } }],
  ['local-time', 'ok', /kept by a time service/, { files: { '/run/systemd/timesync/synchronized': '' } }],
  ['local-time', 'fail', /before this program was built.*timedatectl/s, { builtAtMs: nowMs + dayMs }],
  ['local-time', 'fail', /20 years after/, { builtAtMs: nowMs - 21 * 366 * dayMs }],
  [
    'memory',
    'ok',
    /95\.4 MiB available, weir uses 47\.7 MiB/,
    { files: { '/proc/meminfo': 'MemAvailable:   97656 kB\n' }, daemon: running() },
  ],
  ['memory', 'warn', /only 9\.8 MiB/, { files: { '/proc/meminfo': 'MemAvailable:   10000 kB\n' } }],
  ['memory', 'skip', /does not tell/, { files: { '/proc/meminfo': undefined } }],
  ['isolation-starts', 'ok', /Linux 6\.12\.1, aarch64/, {}],
  ['isolation-starts', 'fail', /trial start failed/, { kernel: { starts: false } }],
  ['isolation-users', 'skip', /no usable/, {}],
  ['isolation-users', 'ok', /from 64000 on/, { toml: '[modules]\nfirst_uid = 64000\n' }],
  ['isolation-users', 'warn', /run as root, without.*first_uid/s, { toml: '' }],
  ['isolation-users', 'warn', /all modules run as nobody/, { toml: '[modules]\nuser = "nobody"\n' }],
  ['isolation-users', 'warn', /same user as it does/, { toml: '', machine: { uid: 1000 } }],
  ['isolation-memory', 'ok', /cgroup v2/, {}],
  ['isolation-memory', 'ok', /v1 beside v2/, { kernel: { cgroup: 'hybrid' } }],
  [
    'isolation-memory',
    'warn',
    /memory: no such controller\nA module that leaks.*cgroup_enable=memory/s,
    { kernel: { lacking: { memory: 'no such controller' } } },
  ],
  ['isolation-processor', 'ok', /cgroup v2/, {}],
  ['isolation-processor', 'warn', /cpus: refused.*loops/s, { kernel: { lacking: { cpus: 'refused' } } }],
  ['isolation-processes', 'ok', /cgroup v2/, {}],
  ['isolation-processes', 'warn', /pids: refused.*forks/s, { kernel: { lacking: { pids: 'refused' } } }],
  ['isolation-disk', 'ok', /cgroup v1\n/, { kernel: { cgroup: '1' } }],
  ['isolation-disk', 'warn', /io-weight: no weights.*bfq/s, { kernel: { lacking: { 'io-weight': 'no weights' } } }],
  ['isolation-ending', 'ok', /cgroup v2/, {}],
  ['isolation-ending', 'warn', /cgroup: none mounted/, { kernel: { lacking: { cgroup: 'none mounted' } } }],
  ['isolation-privileges', 'ok', /a user of their own/, {}],
  ['isolation-privileges', 'ok', /^no_new_privs\n/, { kernel: { root: false } }],
  ['isolation-files', 'ok', /Landlock ABI 6/, {}],
  [
    'isolation-files',
    'warn',
    /landlock: not there\nOwners and modes.*not root.*lsm=/s,
    { kernel: { root: false, lacking: { landlock: 'not there' } } },
  ],
  ['isolation-root', 'ok', /read-only mounts/, {}],
  ['isolation-root', 'warn', /private-tmp: no.*shared/s, { kernel: { lacking: { 'private-tmp': 'no' } } }],
  ['isolation-signals', 'ok', /Landlock ABI 6/, {}],
  ['isolation-signals', 'warn', /signal-scope: old.*6\.12/s, { kernel: { lacking: { 'signal-scope': 'old' } } }],
  ['isolation-system-calls', 'ok', /seccomp/, {}],
  ['isolation-system-calls', 'warn', /seccomp: none.*SECCOMP_FILTER/s, { kernel: { lacking: { seccomp: 'none' } } }],
  ['isolation-network', 'ok', /none and local/, {}],
  [
    'isolation-network',
    'warn',
    /"local" would not hold: no cgroup v2.*CONFIG_CGROUP_BPF/s,
    { kernel: { egress: { none: true, local: false }, lacking: { egress: 'no cgroup v2' } } },
  ],
  ['native-addons', 'ok', /better_sqlite3, serialport, host, weir-shim/, {}],
  [
    'native-addons',
    'fail',
    /serialport: wrong ELF class/,
    {
      native: {
        load: (name) => {
          if (name === 'serialport') throw new WeirError({ code: 'X', message: 'wrong ELF class' });
        },
      },
    },
  ],
  [
    'native-addons',
    'fail',
    /weir-shim: noexec/,
    {
      native: {
        shimPath: () => {
          throw new WeirError({ code: 'X', message: 'noexec' });
        },
      },
    },
  ],
  ['native-addons', 'fail', /cannot be executed/, { native: { shimPath: () => '/proc/self/status' } }],
  ['serial-ports', 'skip', /none/, { lists: { '/dev': ['tty', 'ttyS0'], '/dev/serial/by-id': [] } }],
  [
    'serial-ports',
    'ok',
    /\/dev\/ttyUSB0, \/dev\/ttyAMA0/,
    { lists: { '/dev': ['ttyUSB0', 'ttyAMA0'], '/dev/serial/by-id': [] } },
  ],
  [
    'serial-ports',
    'ok',
    /by-id\/usb-x, \/dev\/ttyAMA0\n/,
    { lists: { '/dev': ['ttyUSB0', 'ttyAMA0'], '/dev/serial/by-id': ['usb-x'] } },
  ],
  [
    'serial-ports',
    'warn',
    /no permission for \/dev\/ttyACM1.*dialout/s,
    { lists: { '/dev': ['ttyACM1'], '/dev/serial/by-id': [] }, machine: { mayAccess: () => Promise.resolve(false) } },
  ],
  ['systemd-unit-installed', 'skip', /does not run systemd/, { files: { '/run/systemd/system': undefined } }],
  ['systemd-unit-installed', 'warn', /weir config init/, { files: { ...systemd, ...noUnit } }],
  [
    'systemd-unit-installed',
    'warn',
    /not enabled/,
    {
      files: { ...systemd, '/etc/systemd/system/weir.service': 'x' },
      lists: { '/etc/systemd/system/multi-user.target.wants': [] },
    },
  ],
  [
    'systemd-unit-installed',
    'ok',
    /weir\.service/,
    {
      files: { ...systemd, '/etc/systemd/system/weir.service': 'x' },
      lists: { '/etc/systemd/system/multi-user.target.wants': ['weir.service'] },
    },
  ],
  ['hub-resolve', 'ok', /hub\.example is 10\.0\.0\.2/, { toml: connected }],
  ['hub-resolve', 'skip', /no hub is configured/, { toml: '' }],
  ['hub-resolve', 'skip', /no usable/, {}],
  ['hub-resolve', 'fail', /name servers/, { toml: connected, machine: { resolve: () => unreachable('ENOTFOUND') } }],
  ['hub-resolve', 'ok', /upper\.example/, { toml: `parent_hostname = "upper.example"\n${connected}` }],
  ['hub-tcp', 'ok', /hub\.example:8883/, { toml: connected }],
  ['hub-tcp', 'fail', /firewall.*8883/s, { toml: connected, machine: { reachTcp: () => unreachable('ETIMEDOUT') } }],
  ['hub-tls', 'ok', /'plant CA', TLSv1\.3, for 90d/, { toml: connected }],
  ['hub-tls', 'warn', /expires in 3d/, { toml: connected, machine: tls({ notAfterMs: nowMs + 3 * dayMs }) }],
  ['hub-tls', 'fail', /expired 2d ago/, { toml: connected, machine: tls({ notAfterMs: nowMs - 2 * dayMs }) }],
  ['hub-tls', 'fail', /not valid yet.*clock/s, { toml: connected, machine: tls({ notBeforeMs: nowMs + dayMs }) }],
  [
    'hub-tls',
    'fail',
    /SELF_SIGNED.*Set trust_bundle_cert/s,
    { toml: connected, machine: tls({ isTrusted: false, distrust: 'SELF_SIGNED' }) },
  ],
  [
    'hub-tls',
    'fail',
    /host name that is in the certificate/,
    { toml: connected, machine: tls({ isTrusted: false, distrust: 'ERR_TLS_CERT_ALTNAME_INVALID' }) },
  ],
  ['hub-tls', 'skip', /not reached/, { toml: connected, machine: { inspectTls: () => unreachable('ECONNREFUSED') } }],
  ['hub-tls', 'fail', /MQTT over TLS/, { toml: connected, machine: { inspectTls: () => unreachable('ECONNRESET') } }],
  ['daemon-running', 'ok', /version 0\.1\.0/, { daemon: running() }],
  ['daemon-running', 'warn', /systemctl start weir/, {}],
  [
    'daemon-running',
    'warn',
    /as root/,
    { daemon: { error: new WeirError({ code: 'ADMIN_FORBIDDEN', message: 'no' }) } },
  ],
  [
    'daemon-running',
    'fail',
    /journalctl/,
    { daemon: { error: new WeirError({ code: 'PLATFORM_HTTP_FAILED', message: 'reset' }) } },
  ],
  ['store-openable', 'ok', /4\.0 KiB/, { daemon: running() }],
  [
    'store-openable',
    'warn',
    /put aside: \/q\/1/,
    {
      daemon: running({
        store: {
          fileBytes: 1,
          messageBytes: 1_000,
          freeBytes: 1_000_000,
          reserveBytes: 100_000,
          quarantined: ['/q/1'],
        },
      }),
    },
  ],
  ['store-openable', 'skip', /does not exist yet/, {}],
  [
    'store-openable',
    'ok',
    /weir\.db/,
    { prepare: (dir) => writeFileSync(join(dir, 'data/weir.db'), 'SQLite format 3\u0000rest') },
  ],
  [
    'store-openable',
    'fail',
    /not a database/,
    { prepare: (dir) => writeFileSync(join(dir, 'data/weir.db'), 'garbage garbage garbage') },
  ],
  ['store-openable', 'fail', /cannot be read/, { prepare: (dir) => mkdirSync(join(dir, 'data/weir.db')) }],
  ['container-engine', 'skip', /no usable/, {}],
  ['container-engine', 'skip', /modules of type "docker" need one/, { toml: '', files: noEngine }],
  [
    'container-engine',
    'ok',
    /podman 4\.3\.1, .run.podman/,
    { toml: '', files: { [podmanSocket]: '' }, sockets: { [podmanSocket]: engineVersion('Podman Engine') } },
  ],
  [
    'container-engine',
    'ok',
    /docker 4\.3\.1, .srv.sock/,
    { toml: namedSocket, files: { '/srv/sock': '' }, sockets: { '/srv/sock': engineVersion('Engine') } },
  ],
  ['container-engine', 'warn', /srv.sock does not exist.*systemctl/s, { toml: namedSocket }],
  ['container-engine', 'warn', /Nobody answers on .srv/, { toml: namedSocket, files: { '/srv/sock': '' } }],
  [
    'container-engine',
    'warn',
    /is no container engine/,
    { toml: namedSocket, files: { '/srv/sock': '' }, sockets: { '/srv/sock': '{}' } },
  ],
  [
    'container-engine',
    'fail',
    /^m need one/,
    { toml: '', files: noEngine, daemon: running({ modules: [module({ kind: 'container' })] }) },
  ],
  ['modules-healthy', 'skip', /does not run/, {}],
  ['modules-healthy', 'ok', /none deployed/, { daemon: running() }],
  ['modules-healthy', 'ok', /^m$/m, { daemon: running({ modules: [module({})] }) }],
  [
    'modules-healthy',
    'fail',
    /m: backoff, ended with code 1.*weir logs m/s,
    { daemon: running({ modules: [module({ runtimeStatus: 'backoff', statusDescription: 'ended with code 1' })] }) },
  ],
  ['modules-healthy', 'warn', /restarted 9 times/, { daemon: running({ modules: [module({ restartCount: 9 })] }) }],
];

for (const [index, [id, result, says, world]] of rows.entries()) {
  t.test(`${id} says ${result} (row ${index})`, async (t) => {
    const check = checks.find((candidate) => candidate.id === id);
    if (check === undefined) throw new Error(`there is no check ${id}`);
    const [answer] = await runChecks([check], await factsOf(t, world));
    t.equal(answer?.result, result, JSON.stringify(answer));
    t.match(`${answer?.cause}\n${answer?.mend}`, says);
    t.equal(
      answer?.mend !== '',
      result === 'warn' || result === 'fail',
      'what is wrong has a mend, what is not has none',
    );
  });
}

t.test('every check has rows here, and ids are unique', async (t) => {
  const ids = checks.map(({ id }) => id);
  t.equal(new Set(ids).size, ids.length);
  for (const id of ids) t.ok(rows.filter(([known]) => known === id).length > 1, id);
});

t.test('a check that hangs is cut off, one that throws is a failure, both beside the others', async (t) => {
  const facts = await factsOf(t, {});
  const clock = new SimClock();
  const odd: readonly Check[] = [
    { id: 'hangs', group: 'hub', title: 'x', run: () => new Promise(() => undefined) },
    {
      id: 'throws',
      group: 'hub',
      title: 'x',
      run: () => {
        throw new WeirError({ code: 'X', message: 'odd' });
      },
    },
    { id: 'fine', group: 'hub', title: 'x', run: () => ({ result: 'ok', cause: '', mend: '' }) },
  ];
  const answering = runChecks(odd, { ...facts, clock });
  await clock.advance(checkTimeoutMs);
  t.match(await answering, [
    { id: 'hangs', result: 'fail', ms: checkTimeoutMs },
    { id: 'throws', result: 'fail', cause: /odd/ },
    { id: 'fine', result: 'ok' },
  ]);
  t.equal(clock.timerCount, 0);
});

t.test('the command prints groups, causes, mends and totals, and its exit code tells of failures', async (t) => {
  const dir = t.testdir({ 'c.toml': '[store]\nquota = 3\n' });
  const runDir = mkdtempSync(join(tmpdir(), 'weir-check-'));
  t.teardown(() => rmSync(runDir, { recursive: true }));
  const argv = ['check', '--config', join(dir, 'c.toml'), '--data-dir', dir, '--run-dir', runDir];
  const failing = recordedContext();
  t.equal(await runCli([...argv, '--only', 'config-well-formed', '--only', 'run-dir'], failing), 1);
  t.match(
    failing.out(),
    /^configuration\n {2}fail {2}the configuration can be used\n {8}.*quota[\s\S]*mend: [\s\S]*\[config-well-formed\]\n\nmachine\n {2}ok/,
  );
  t.match(failing.out(), /1 ok, 0 warnings, 1 failed, 0 skipped\n$/);
  const fine = recordedContext();
  t.equal(await runCli([...argv, '--only', 'run-dir', '--json'], fine), 0);
  t.match(JSON.parse(fine.out()), {
    checks: [{ id: 'run-dir', group: 'machine', result: 'ok', ms: Number }],
    totals: { ok: 1, fail: 0 },
  });
  const list = recordedContext();
  t.equal(await runCli(['check', '--list', '--json'], list), 0);
  t.equal((JSON.parse(list.out()) as readonly unknown[]).length, checks.length);
});
