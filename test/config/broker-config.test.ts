// The configuration of `weir broker`: options over file, every mistake with its place, and nobody let in by mistake.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import {
  type BrokerConfig,
  type BrokerOptions,
  describeBrokerSettings,
  loadBrokerConfig,
} from '../../src/config/broker-config.ts';
import { ConfigError } from '../../src/config/index.ts';
import { systemDisk } from '../../src/platform/disk.ts';

const ceilings = { connectionsMax: 100, queueBytesMax: 4_194_304, connectMsMax: 10_000 };

async function load(t: Test, text: string | undefined, options: BrokerOptions = {}): Promise<BrokerConfig> {
  const dir = mkdtempSync(join(tmpdir(), 'weir-'));
  t.teardown(() => rmSync(dir, { recursive: true, force: true }));
  const configPath = text === undefined ? undefined : join(dir, 'b.toml');
  if (configPath !== undefined) writeFileSync(configPath, text ?? '');
  try {
    return await loadBrokerConfig({ configPath, options, ceilings, disk: systemDisk() });
  } catch (error) {
    if (error instanceof ConfigError) error.message = error.message.replaceAll(`${dir}/`, '');
    throw error;
  }
}

t.test('without a word it listens to this machine alone', async (t) => {
  t.match(await load(t, undefined), {
    path: undefined,
    listeners: [{ text: 'tcp://127.0.0.1:1883', url: { scheme: 'tcp', host: '127.0.0.1', port: 1883 }, isLocal: true }],
    allowAnonymous: undefined,
    dataDir: undefined,
    deniedPublish: 'drop',
    sysIntervalMs: 10_000,
    logLevel: 'info',
    limits: {},
  });
});

t.test('the file says everything the options say, and the options win', async (t) => {
  const text = `
listen = ["tls://0.0.0.0:8883", "unix:///run/b.sock"]
allow_anonymous = false
password_file = "passwd"
acl_file = "/etc/acl"
data_dir = "data"
tls_cert = "c.pem"
tls_key = "k.pem"
tls_ca = "ca.pem"
require_certificate = true
use_identity_as_username = true
denied_publish = "disconnect"
sys_interval = "1m"
log_level = "warn"

[limits]
connections_max = 50
queue_bytes_max = "1MiB"
connect_ms_max = "5s"
`;
  const config = await load(t, text, { logLevel: 'debug', aclFile: '/other' });
  t.match(config, {
    listeners: [
      { url: { scheme: 'tls', port: 8883 }, isLocal: false },
      { url: { scheme: 'unix', path: '/run/b.sock' }, isLocal: true },
    ],
    allowAnonymous: false,
    passwordFile: /^\/.*\/passwd$/,
    aclFile: '/other',
    dataDir: /^\/.*\/data$/,
    tlsCert: /\/c\.pem$/,
    requireCertificate: true,
    useIdentityAsUsername: true,
    deniedPublish: 'disconnect',
    sysIntervalMs: 60_000,
    logLevel: 'debug',
  });
  t.same(config.limits, { connectionsMax: 50, queueBytesMax: 1_048_576, connectMsMax: 5000 });
  t.match(await load(t, 'listen = "tcp://127.0.0.1:0"'), { listeners: [{ url: { port: 0 } }] }, 'one text is a list');
});

t.test('every mistake is told with its place', async (t) => {
  const rows: readonly (readonly [text: string, says: RegExp])[] = [
    ['aclfile = "x"', /b\.toml:1:1: aclfile: unknown key\. Did you mean acl_file\?/],
    ['\nlisten = ["http://x"]', /b\.toml:2:1: listen: http:\/\/x is not understood\. Allowed: .*tcp:\/\/HOST:PORT/],
    ['listen = 5', /b\.toml:1:1: listen: 5 is not a list of texts/],
    ['allow_anonymous = "yes"', /b\.toml:1:1: allow_anonymous: "yes" is neither true nor false\./],
    ['sys_interval = 10', /sys_interval: 10 has no unit/],
    ['denied_publish = "ignore"', /denied_publish: "ignore" is not allowed\. Allowed: "drop" or "disconnect"/],
    ['[limits]\nconnections_max = 101', /b\.toml:2:1: limits\.connections_max: 101 is not within/],
    ['[limits]\nqueue_bytes_max = "1GiB"', /limits\.queue_bytes_max: "1GiB" is more than 4MiB/],
    ['[limits]\nconections_max = 1', /limits\.conections_max: unknown key\. Did you mean limits\.connections_max\?/],
    ['limits = 1', /limits: 1 is not a table/],
    ['listen = ["tls://127.0.0.1:1"]', /listen: tls:\/\/127\.0\.0\.1:1 needs a certificate and its key/],
    ['tls_cert = "a"', /tls_cert: its counterpart is missing/],
    ['require_certificate = true', /require_certificate: nobody can vouch .* Give tls_ca/],
  ];
  for (const [text, says] of rows) await t.rejects(load(t, text), { code: 'CONFIG_INVALID', message: says }, text);
  await t.rejects(load(t, 'log_level = "loud"\nacl_file = 1\n'), {
    message: /b\.toml:2:1: acl_file.*|b\.toml:1:1: log_level/,
    problems: { length: 2 },
  });
  await t.rejects(load(t, 'listen = ['), { code: 'CONFIG_SYNTAX', message: /b\.toml:1:/ });
  await t.rejects(load(t, undefined, { listen: ['tcp//x'] }), {
    message: /weir broker: listen: --listen tcp\/\/x is not understood|--listen tcp\/\/x is not understood/,
  });
});

t.test('a listener that others reach wants a password file, certificates, or the word that all may come', async (t) => {
  const open = /0\.0\.0\.0:1883 would let everybody in .*allow_anonymous/;
  await t.rejects(load(t, undefined, { listen: ['tcp://0.0.0.0:1883'] }), { code: 'CONFIG_INVALID', message: open });
  await t.rejects(load(t, undefined, { listen: ['tcp://0.0.0.0:1883'], allowAnonymous: false }), { message: open });
  await t.rejects(load(t, 'listen = ["tcp://127.0.0.1:1", "ws://10.0.0.1:80"]'), {
    message: /b\.toml:1:1: listen: ws:\/\/10\.0\.0\.1:80 would let everybody in/,
  });
  const tls = { tlsCert: '/c', tlsKey: '/k', tlsCa: '/a' };
  await t.rejects(load(t, undefined, { listen: ['tls://0.0.0.0:1'], ...tls }), { message: /would let everybody in/ });
  for (const options of [
    { listen: ['tcp://0.0.0.0:1883'], allowAnonymous: true },
    { listen: ['tcp://0.0.0.0:1883'], passwordFile: '/p' },
    { listen: ['tls://0.0.0.0:1'], ...tls, requireCertificate: true },
    { listen: ['tcp://127.9.9.9:1', 'tcp://[::1]:1', 'tcp://localhost:1', 'unix:///s'] },
  ])
    await t.resolves(load(t, undefined, options));
});

t.test('a mosquitto.conf is recognised, and shown as the TOML it would be', async (t) => {
  const conf = `# a site
listener 1883 0.0.0.0
allow_anonymous false
password_file /etc/mosquitto/passwd
acl_file /etc/mosquitto/acl
listener 8883
certfile /etc/c.pem
keyfile /etc/k.pem
listener 8080
protocol websockets
listener 0 /run/m.sock
persistence true
persistence_location /var/lib/mosquitto/
max_queued_messages 500
max_inflight_messages 0
sys_interval 30
log_type all
connection bridge-1
`;
  await t.rejects(load(t, conf), {
    code: 'CONFIG_MOSQUITTO',
    message: /b\.toml: this is a mosquitto\.conf, and weir reads TOML/,
  });
  const message = await load(t, conf).then(
    () => '',
    (error: ConfigError) => error.message,
  );
  t.match(message, /# line 18: connection has no counterpart/);
  t.match(message, /# what mosquitto kept in \/var\/lib\/mosquitto\/ is not taken over/);
  const toml = message
    .split('\n')
    .filter((line) => line.startsWith('    ') && !line.includes('#') && !line.includes('See '))
    .map((line) => line.trim())
    .join('\n');
  await t.rejects(load(t, toml), { message: /queue_messages_max: unknown key/ }, 'this test has three bounds only');
  t.match(await load(t, toml.replace(/\[limits\][\s\S]*/, '')), {
    listeners: [
      { text: 'tcp://0.0.0.0:1883' },
      { text: 'tls://0.0.0.0:8883' },
      { text: 'ws://0.0.0.0:8080' },
      { text: 'unix:///run/m.sock' },
    ],
    allowAnonymous: false,
    passwordFile: '/etc/mosquitto/passwd',
    tlsCert: '/etc/c.pem',
    dataDir: '/var/lib/weir-broker',
    sysIntervalMs: 30_000,
    logLevel: 'debug',
  });
});

t.test('docs/broker.md describes every key', (t) => {
  const page = readFileSync(join(import.meta.dirname, '../../docs/broker.md'), 'utf8');
  for (const { key, allowed, fallback, meaning } of describeBrokerSettings({}))
    t.ok(page.includes(`| \`${key}\` | ${allowed} | ${fallback} | ${meaning} |`), `${key} is described as it is`);
  t.end();
});

t.test('a listener behind a proxy is named as it stands in listen, and brings anybody', async (t) => {
  const config = await load(
    t,
    'listen = ["tcp://127.0.0.1:1883", "tcp://127.0.0.1:1884"]\nproxy_protocol = ["tcp://127.0.0.1:1884"]\npassword_file = "p"',
  );
  t.match(config.listeners, [
    { isLocal: true, isProxied: false },
    { isLocal: false, isProxied: true },
  ]);
  t.same(config.trustedProxies, ['127.0.0.0/8', '::1']);
  const named = { proxyProtocol: ['tcp://127.0.0.1:1883'], trustedProxies: ['10.0.0.0/8', 'fd00::1'] };
  await t.rejects(load(t, undefined, named), { message: /would let everybody in/ });
  t.match(await load(t, undefined, { ...named, allowAnonymous: true }), { trustedProxies: named.trustedProxies });
  await t.rejects(load(t, 'proxy_protocol = ["tcp://127.0.0.1:9"]'), { message: /is not among the listeners/ });
  for (const wrong of ['10.0.0.0/33', '10.0.0.256', 'proxy.example', '::1/129', '1::2::3', '10.0.0.1/8/8'])
    await t.rejects(load(t, `trusted_proxies = ["${wrong}"]`), { message: /neither an address nor a network/ }, wrong);
});
