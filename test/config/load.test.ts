import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ConfigError, loadConfig, locate, readConfig, redactedConfig } from '../../src/config/index.ts';
import { formatRedacted } from '../../src/config/redacted.ts';
import { settings } from '../../src/config/schema.ts';
import { systemDisk } from '../../src/platform/disk.ts';

const disk = systemDisk();
const key = 'c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ=';

function written(
  t: Test,
  text: string,
  files: Record<string, string> = {},
): { readonly dir: string; readonly configPath: string } {
  const dir = t.testdir({ 'config.toml': text.replaceAll('DIR', ''), ...files });
  const configPath = join(dir, 'config.toml');
  writeFileSync(configPath, text.replaceAll('DIR', dir));
  chmodSync(configPath, 0o600);
  return { dir, configPath };
}

t.test('an empty file gives the defaults', async (t) => {
  const { configPath } = written(t, '');
  const config = await loadConfig({ configPath, disk });
  t.match(config, {
    dataDir: '/var/lib/weir',
    runDir: '/run/weir',
    path: configPath,
    provisioning: { source: 'none' },
    trustBundleCert: undefined,
    log: { level: 'info' },
    listeners: {
      unix: true,
      tcp: undefined,
      tls: undefined,
      ws: undefined,
      wss: undefined,
      proxied: [],
      trustedProxies: ['127.0.0.0/8', '::1'],
    },
    store: {
      quotaBytes: 536_870_912,
      commitDelayMs: 200,
      commitDelayMsMin: 5,
      commitMessages: 256,
      commitBytes: 65_536,
      reserveBytes: undefined,
      flashLifeYears: 5,
      flashEnduranceBytes: undefined,
      timeToLiveSecs: 7_200,
    },
    routes: { mode: 'isolated' },
    upstream: { liveFirst: undefined },
    containers: {
      sockets: ['/run/podman/podman.sock', '/var/run/docker.sock'],
      network: { name: 'azure-iot-edge', ipv6: false, ipam: [] },
      allowElevated: true,
      images: { collect: true, recurrenceMs: 86_400_000, ageMs: 604_800_000 },
    },
    modules: {
      graceMs: 10_000,
      logBytesMax: 1_048_576,
      logFiles: 4,
      user: undefined,
      firstUid: 0,
      verifyMs: 120_000,
      management: [],
    },
  });
  t.ok(config.hostname.length > 0, 'the host name is that of the machine');
  t.ok(Object.isFrozen(config) && Object.isFrozen(config.store), 'it is frozen');
});

const noBroker = {
  isTls: false,
  ca: undefined,
  certificate: undefined,
  privateKey: undefined,
  username: undefined,
  password: undefined,
  clientId: undefined,
  version: undefined,
  timeToLiveMs: undefined,
  telemetryTopic: undefined,
  topics: [],
};

t.test('every key is taken, and the command line wins over the file', async (t) => {
  const { configPath, dir } = written(
    t,
    `hostname = "gw-1.plant.example"
parent_hostname = "upper.example"
trust_bundle_cert = "file://DIR/ca%20file.pem"
data_dir = "/data"
run_dir = "/run/a"
allow_elevated_docker_permissions = false
[moby_runtime]
uri = "unix:///run/user/1000/podman/podman.sock"
[moby_runtime.network]
name = "plant"
ipv6 = true
[[moby_runtime.network.ipam.config]]
gateway = "172.18.0.1"
subnet = "172.18.0.0/16"
ip_range = "172.18.4.0/24"
[image_garbage_collection]
enabled = false
cleanup_recurrence = "12h"
image_age_cleanup_threshold = "3d"
cleanup_time = "03:00"
[provisioning]
source = "manual"
iothub_hostname = "hub.example"
iothub_port = 9883
device_id = "gw-1"
[provisioning.authentication]
method = "sas"
device_id_pk = { uri = "file://DIR/key" }
[log]
level = "debug"
[listeners]
tcp = "tcp://127.0.0.1:1883"
tls = "tls://[::]:8883"
proxy_protocol = ["tls://[::]:8883"]
trusted_proxies = ["10.0.0.7", "fd00::/8"]
[broker]
sys_interval = "30s"
password_file = "file:///etc/weir/passwords"
client_ca = "file:///etc/weir/users.pem"
authorizations = "file:///etc/weir/policy.json"
[store]
quota = "64MiB"
commit_delay = "100ms"
commit_delay_min = "1ms"
commit_messages = 64
commit_bytes = "16KiB"
reserve = "32MiB"
flash_life_years = 8
flash_endurance = "40TB"
time_to_live = "7d"
[routes]
mode = "strict"
[upstream]
live_first = true
backlog_rate = 200
[upstream.mqtt]
url = "mqtt://10.0.0.9"
[bridges.plant]
url = "mqtts://[::1]:9883"
username = "gw"
password = { uri = "file://DIR/key" }
ca = "file:///etc/weir/plant.pem"
certificate = "file:///etc/weir/gw.pem"
private_key = "file:///etc/weir/gw.key"
client_id = "gw-one"
version = "3.1.1"
time_to_live = "7d"
topics = [ { direction = "both", topic = "a/#", in_prefix = "here/", out_prefix = "there/" } ]
[modules]
grace = "3s"
log_size = "64KiB"
log_files = 2
verify = "30s"
user = "weir"
first_uid = 64000
management = ["monitor"]
`,
    { 'ca file.pem': '-----BEGIN CERTIFICATE-----\n', key: `${key}\n` },
  );
  chmodSync(join(dir, 'key'), 0o600);
  const reading = await readConfig({ configPath, runDir: '/run/b', disk });
  t.equal(reading.error, undefined);
  t.same(reading.warnings, []);
  t.same(reading.config, {
    hostname: 'gw-1.plant.example',
    dataDir: '/data',
    runDir: '/run/b',
    path: configPath,
    provisioning: {
      source: 'manual',
      hubHostname: 'hub.example',
      hubPort: 9883,
      deviceId: 'gw-1',
      deviceKeyBase64: key,
      gatewayHostname: 'upper.example',
    },
    trustBundleCert: join(dir, 'ca file.pem'),
    log: { level: 'debug' },
    listeners: {
      unix: true,
      tcp: { host: '127.0.0.1', port: 1883 },
      tls: { host: '::', port: 8883 },
      ws: undefined,
      wss: undefined,
      proxied: ['tls'],
      trustedProxies: ['10.0.0.7', 'fd00::/8'],
    },
    broker: {
      sysIntervalMs: 30_000,
      passwordFile: '/etc/weir/passwords',
      clientCa: '/etc/weir/users.pem',
      authorizations: '/etc/weir/policy.json',
    },
    routes: { mode: 'strict' },
    upstream: {
      liveFirst: { backlogPerSecond: 200 },
      mqtt: { ...noBroker, name: '$upstream', host: '10.0.0.9', port: 1883 },
    },
    bridges: [
      {
        name: 'plant',
        host: '::1',
        port: 9883,
        isTls: true,
        ca: '/etc/weir/plant.pem',
        certificate: '/etc/weir/gw.pem',
        privateKey: '/etc/weir/gw.key',
        username: 'gw',
        password: key,
        clientId: 'gw-one',
        version: 4,
        timeToLiveMs: 604_800_000,
        telemetryTopic: undefined,
        topics: [{ direction: 'both', topic: 'a/#', inPrefix: 'here/', outPrefix: 'there/' }],
      },
    ],
    store: {
      quotaBytes: 67_108_864,
      commitDelayMs: 100,
      commitDelayMsMin: 1,
      commitMessages: 64,
      commitBytes: 16_384,
      reserveBytes: 33_554_432,
      flashLifeYears: 8,
      flashEnduranceBytes: 40_000_000_000_000,
      timeToLiveSecs: 604_800,
    },
    containers: {
      sockets: ['/run/user/1000/podman/podman.sock'],
      network: {
        name: 'plant',
        ipv6: true,
        ipam: [{ gateway: '172.18.0.1', subnet: '172.18.0.0/16', ipRange: '172.18.4.0/24' }],
      },
      allowElevated: false,
      images: { collect: false, recurrenceMs: 43_200_000, ageMs: 259_200_000 },
    },
    modules: {
      graceMs: 3_000,
      logBytesMax: 65_536,
      logFiles: 2,
      user: 'weir',
      firstUid: 64_000,
      verifyMs: 30_000,
      management: ['monitor'],
    },
  });
});

t.test('a run directory that is too long for sockets is refused from the command line, too', async (t) => {
  const configPath = join(t.testdir({ 'c.toml': 'hostname = "gw"\n' }), 'c.toml');
  const longest = `/${'r'.repeat(79)}`;
  t.equal((await readConfig({ configPath, runDir: longest, disk })).config?.runDir, longest);
  const { error } = await readConfig({ configPath, runDir: `${longest}r`, disk });
  t.match(error, { code: 'CONFIG_INVALID', message: /--run-dir .* too long.*at most 80/ });
});

t.test('a connection string is enough for a manual provisioning', async (t) => {
  const { configPath } = written(
    t,
    `[provisioning]\nconnection_string = "HostName=127.0.0.1;DeviceId=gw;SharedAccessKey=${key};Port=18883"\n`,
  );
  const config = await loadConfig({ configPath, disk });
  t.same(config.provisioning, {
    source: 'manual',
    hubHostname: '127.0.0.1',
    hubPort: 18_883,
    deviceId: 'gw',
    deviceKeyBase64: key,
    gatewayHostname: undefined,
  });
});

interface BadRow {
  readonly toml: string;
  readonly at: string;
  readonly key: string;
  readonly says: RegExp;
}

const bad: readonly BadRow[] = [
  { toml: '[moby_runtime]\nuri = "tcp://x:1"', at: ':2:1', key: 'moby_runtime.uri', says: /unix:\/\/\/path/ },
  { toml: '[moby_runtime]\nnetwork = "a b"', at: ':2:1', key: 'moby_runtime.network', says: /a name, or/ },
  {
    toml: '[moby_runtime.network]\nname = "n"\nsubnet = "1.2.3.4/8"',
    at: ':1:2',
    key: 'moby_runtime.network',
    says: /not a network/,
  },
  {
    toml: '[image_garbage_collection]\nimage_age_cleanup_threshold = "1ms"',
    at: ':2:1',
    key: 'image_garbage_collection.image_age_cleanup_threshold',
    says: /less than/,
  },
  { toml: '[bridges]\n"a.b" = {}', at: ':2:1', key: 'bridges.a.b', says: /no name of a bridge/ },
  { toml: '[bridges.a]\ntopics = []', at: ':1:2', key: 'bridges.a.url', says: /address of the broker is missing/ },
  { toml: '[bridges.a]\nurl = "http://x"', at: ':2:1', key: 'bridges.a.url', says: /not an address of this kind/ },
  { toml: '[bridges.a]\nurl = "mqtt://x"\nca = "file:///a"', at: ':3:1', key: 'bridges.a.ca', says: /for TLS/ },
  {
    toml: '[bridges.a]\nurl = "mqtt://x"\ntopics = [{ direction = "out", topic = "devices/#" }]',
    at: ':3:1',
    key: 'bridges.a.topics',
    says: /topic 1: topic: "devices\/#" belongs to this gateway/,
  },
  {
    toml: '[bridges.a]\nurl = "mqtt://x"\ntopics = [{ direction = "up", topic = 3, prefix = "" }]',
    at: ':3:1',
    key: 'bridges.a.topics',
    says: /no key prefix|direction is one of|topic is not a text/,
  },
  {
    toml: '[upstream.mqtt]\nurl = "mqtt://x"\ntopic = "a/b"',
    at: ':3:1',
    key: 'upstream.mqtt.topic',
    says: /no \{device\}/,
  },
  { toml: 'hostname = 7', at: ':1:1', key: 'hostname', says: /7 is not a text/ },
  { toml: 'hostname = "a b"', at: ':1:1', key: 'hostname', says: /"a b" is not allowed.*host name/ },
  { toml: '\ndata_dir = "var"', at: ':2:1', key: 'data_dir', says: /absolute path/ },
  { toml: `run_dir = "/${'r'.repeat(90)}"`, at: ':1:1', key: 'run_dir', says: /at most 80/ },
  { toml: '[store]\nquota = 64', at: ':2:1', key: 'store.quota', says: /64 has no unit.*"512MiB"/ },
  { toml: '[store]\nquota = "64"', at: ':2:1', key: 'store.quota', says: /"64" is not a size/ },
  { toml: '[store]\nquota = "1KiB"', at: ':2:1', key: 'store.quota', says: /less than 1MiB/ },
  { toml: '[store]\n  flash_life_years = 101', at: ':2:3', key: 'store.flash_life_years', says: /from 0 to 100/ },
  { toml: '[store]\n  flash_endurance = "1MB"', at: ':2:3', key: 'store.flash_endurance', says: /less than 1GiB|1GiB/ },
  { toml: '[store]\n  commit_delay = "2s"', at: ':2:3', key: 'store.commit_delay', says: /more than 1s/ },
  { toml: '[store]\ncommit_messages = 0', at: ':2:1', key: 'store.commit_messages', says: /from 1 to 16384/ },
  { toml: '[store]\nreserve = "2TiB"', at: ':2:1', key: 'store.reserve', says: /more than 1TiB/ },
  {
    toml: '[listeners]\ntls = "tls://[::]:8883"\nproxy_protocol = ["tls://[::]:8884"]',
    at: ':3:1',
    key: 'listeners.proxy_protocol',
    says: /tls:\/\/\[::\]:8884 is not among the listeners/,
  },
  {
    toml: '[listeners]\ntrusted_proxies = ["10.0.0.0/33"]',
    at: ':2:1',
    key: 'listeners.trusted_proxies',
    says: /10\.0\.0\.0\/33 is neither an address nor a network/,
  },
  { toml: '[listeners]\nproxy_protocol = true', at: ':2:1', key: 'listeners.proxy_protocol', says: /list of texts/ },
  { toml: 'store = 3', at: ':1:1', key: 'store', says: /table/ },
  { toml: '[modules]\nlog_files = 100', at: ':2:1', key: 'modules.log_files', says: /from 1 to 99/ },
  { toml: '[modules]\nlog_files = 1.5', at: ':2:1', key: 'modules.log_files', says: /not within/ },
  { toml: '[modules]\nuser = "a b"', at: ':2:1', key: 'modules.user', says: /user of this machine/ },
  { toml: '[log]\nlevel = "loud"', at: ':2:1', key: 'log.level', says: /"debug", "info", "warn", "error"/ },
  {
    toml: '[listeners]\ntcp = "127.0.0.1:1883"',
    at: ':2:1',
    key: 'listeners.tcp',
    says: /tcp:\/\/host:port/,
  },
  {
    toml: '[listeners]\ntcp = "tls://127.0.0.1:1883"',
    at: ':2:1',
    key: 'listeners.tcp',
    says: /not an address/,
  },
  {
    toml: '[listeners]\ntls = "tls://0.0.0.0:70000"',
    at: ':2:1',
    key: 'listeners.tls',
    says: /not an address/,
  },
  { toml: 'trust_bundle_cert = "/etc/ca.pem"', at: ':1:1', key: 'trust_bundle_cert', says: /file URI/ },
  {
    toml: 'trust_bundle_cert = "file:///nonexistent/ca.pem"',
    at: ':1:1',
    key: 'trust_bundle_cert',
    says: /does not exist/,
  },
  {
    toml: '[provisioning]\nsource = "dps"',
    at: ':2:1',
    key: 'provisioning.source',
    says: /not supported.*"manual" or "none"/,
  },
  {
    toml: '[provisioning]\nsource = "manual"',
    at: ':1:2',
    key: 'provisioning.iothub_hostname',
    says: /is missing/,
  },
  {
    toml: '[provisioning]\nconnection_string = "HostName=h;SharedAccessKey=TOPSECRET"',
    at: ':2:1',
    key: 'provisioning.connection_string',
    says: /no DeviceId/,
  },
  {
    toml: '[provisioning]\nconnection_string = "HostName=h;DeviceId=d"',
    at: ':2:1',
    key: 'provisioning.connection_string',
    says: /no SharedAccessKey/,
  },
  {
    toml: '[provisioning]\nconnection_string = "HostName=h;DeviceId=d;SharedAccessKey=TOPSECRET"',
    at: ':2:1',
    key: 'provisioning.connection_string',
    says: /not base64|bytes long/,
  },
  {
    toml: '[provisioning]\nconnection_string = { vlaue = "TOPSECRET" }',
    at: ':2:1',
    key: 'provisioning.connection_string',
    says: /not shown/,
  },
  {
    toml: '[provisioning]\nconnection_string = { uri = "file:///nonexistent/TOP" }',
    at: ':2:1',
    key: 'provisioning.connection_string',
    says: /does not exist/,
  },
];

for (const [index, { toml, at, key: badKey, says }] of bad.entries()) {
  t.test(`a bad ${badKey} is refused with its place (row ${index})`, async (t) => {
    const { configPath } = written(t, toml);
    const error = await loadConfig({ configPath, disk }).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    if (!(error instanceof ConfigError)) throw error ?? new Error('nothing was thrown');
    t.equal(error.code, 'CONFIG_INVALID');
    const problem = error.problems.find((candidate) => candidate.key === badKey);
    t.equal(problem?.where, `${configPath}${at}`);
    t.match(`${problem?.message} ${problem?.mend}`, says);
    t.notMatch(error.message, /TOPSECRET/, 'no message holds the secret');
  });
}

t.test('all problems are told at once', async (t) => {
  const { configPath } = written(t, 'hostname = 1\n[store]\nquota = "x"\n[log]\nlevel = 3\n');
  const { error } = await readConfig({ configPath, disk });
  t.same(
    error?.problems.map((problem) => problem.key),
    ['hostname', 'log.level', 'store.quota'],
  );
  t.equal(error?.message.split('\n').length, 3);
});

t.test('text that is not TOML is refused with line and column and without its content', async (t) => {
  const { configPath } = written(t, 'hostname = "a"\nconnection_string = "TOPSECRET\n');
  const error = (await readConfig({ configPath, disk })).error;
  t.equal(error?.code, 'CONFIG_SYNTAX');
  t.match(error?.message, /config\.toml:2:\d+: this is not valid TOML/);
  t.notMatch(error?.message, /TOPSECRET/);
});

t.test('a missing file names the command that writes one', async (t) => {
  const configPath = join(t.testdir(), 'none.toml');
  await t.rejects(loadConfig({ configPath, disk }), { code: 'CONFIG_MISSING', message: /weir config init/ });
});

t.test('a directory in the place of the file is refused', async (t) => {
  await t.rejects(loadConfig({ configPath: t.testdir(), disk }), { code: 'CONFIG_UNREADABLE' });
});

t.test('a file without end is refused before it is read', async (t) => {
  const { configPath } = written(t, `#${'x'.repeat(1_100_000)}`);
  await t.rejects(loadConfig({ configPath, disk }), { code: 'CONFIG_UNREADABLE', message: /larger/ });
});

t.test('unknown keys are warned about with the nearest known one, and nothing else happens', async (t) => {
  const { configPath } = written(
    t,
    'hostnmae = "x"\nquota = "1GiB"\n[agent]\nname = "edgeAgent"\n[stroe]\nquota = "9MiB"\n[store]\nzzz = 1\n',
  );
  const warnings: string[] = [];
  const config = await loadConfig({
    configPath,
    disk,
    onWarning: ({ key: warned, mend }) => warnings.push(`${warned}: ${mend}`),
  });
  t.same(warnings, [
    'hostnmae: Did you mean hostname?',
    'quota: Did you mean store.quota?',
    'agent: It may be removed.',
    'stroe.quota: Did you mean store.quota?',
    'store.zzz: See docs/configuration.md.',
  ]);
  t.equal(config.store.quotaBytes, 536_870_912);
});

t.test('a rate for a backlog that nothing passes is warned about, with what it needs', async (t) => {
  const read = (text: string) => readConfig({ configPath: written(t, text).configPath, disk });
  for (const text of ['backlog_rate = 200', 'live_first = false\nbacklog_rate = 200']) {
    const { config, warnings } = await read(`[upstream]\n${text}\n`);
    t.equal(config?.upstream.liveFirst, undefined);
    t.match(warnings, [{ key: 'upstream.backlog_rate', where: /:[23]:/, mend: /live_first = true/ }], text);
  }
  t.same((await read('[upstream]\nlive_first = true\nbacklog_rate = 200\n')).warnings, []);
  t.same((await read('[upstream]\nlive_first = true\n')).warnings, []);
});

t.test('a secret that others can read is warned about', async (t) => {
  const { configPath, dir } = written(t, '[provisioning]\nconnection_string = { uri = "file://DIR/cs" }\n', {
    cs: `HostName=h;DeviceId=d;SharedAccessKey=${key}\n`,
  });
  chmodSync(join(dir, 'cs'), 0o644);
  const fromFile = await readConfig({ configPath, disk });
  t.equal(fromFile.error, undefined);
  t.match(fromFile.warnings[0], { key: 'provisioning.connection_string', mend: /chmod 600/ });

  writeFileSync(
    configPath,
    `[provisioning]\nconnection_string = { value = "HostName=h;DeviceId=d;SharedAccessKey=${key}" }\n`,
  );
  chmodSync(configPath, 0o644);
  const inline = await readConfig({ configPath, disk });
  t.match(inline.warnings[0], { mend: /chmod 640/ });
  chmodSync(configPath, 0o640);
  t.same((await readConfig({ configPath, disk })).warnings, []);
});

t.test('the directories are found even when the file is broken', async (t) => {
  const { configPath } = written(t, 'run_dir = "/run/x"\nhostname = 3\n');
  t.same(await locate({ configPath, disk }), { dataDir: '/var/lib/weir', runDir: '/run/x' });
  t.same(await locate({ configPath, disk, runDir: '/run/y' }), {
    dataDir: '/var/lib/weir',
    runDir: '/run/y',
  });
  writeFileSync(configPath, '= broken');
  t.same(await locate({ configPath, disk }), { dataDir: '/var/lib/weir', runDir: '/run/weir' });
});

t.test('what is shown never holds a key, and reads as the same configuration', async (t) => {
  const { configPath, dir } = written(
    t,
    `[provisioning]\nconnection_string = "HostName=h;DeviceId=d;SharedAccessKey=${key}"\n[store]\nquota = "64MiB"\n`,
  );
  const config = await loadConfig({ configPath, disk });
  const text = formatRedacted(redactedConfig(config));
  t.notMatch(text, new RegExp(key));
  t.match(text, /quota = "64MiB"/);
  const again = join(dir, 'again.toml');
  writeFileSync(again, text.replace('********', key));
  chmodSync(again, 0o600);
  const second = await loadConfig({ configPath: again, disk });
  t.same({ ...second, path: undefined }, { ...config, path: undefined });
});

t.test('the documentation describes exactly the keys that exist', async (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/configuration.md'), 'utf8');
  for (const { key: described, fallback } of settings) {
    const row = page.split('\n').find((line) => line.startsWith(`| \`${described}\` |`));
    t.ok(row, `${described} has a row`);
    t.ok(row?.includes(fallback.replaceAll('"', '')) || row?.includes(fallback), `${described} tells its default`);
  }
});
