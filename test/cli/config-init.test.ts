import { chmodSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { fillConfig, fillUnit } from '../../src/cli/config-init.ts';
import { runCli } from '../../src/cli/index.ts';
import { readConfig } from '../../src/config/index.ts';
import { settings } from '../../src/config/schema.ts';
import { systemDisk } from '../../src/platform/disk.ts';
import { recordedContext } from '../support/cli-context.ts';

const key = 'c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ=';
const connection = `HostName=hub.example;DeviceId=gw;SharedAccessKey=${key}`;

t.test('what init writes can be used as it is', async (t) => {
  const dir = t.testdir();
  const context = recordedContext();
  t.equal(await runCli(['config', 'init', '--dir', dir], context), 0, context.err());
  const configPath = join(dir, 'config.toml');
  t.match(context.out(), `weir check --config ${configPath}`);
  const reading = await readConfig({ configPath, disk: systemDisk() });
  t.equal(reading.error, undefined);
  t.same(reading.warnings, []);
  t.match(reading.config, { provisioning: { source: 'none' }, runDir: '/run/weir' });
  t.equal(statSync(configPath).mode & 0o777, 0o600);
  const unit = readFileSync(join(dir, 'weir.service'), 'utf8');
  t.match(unit, `ExecStart=/usr/bin/weir run --config ${configPath}\n`);
  t.notMatch(unit, /@[A-Z]+@/);
});

t.test('the sample names every key', async (t) => {
  const dir = t.testdir();
  await runCli(['config', 'init', '--dir', dir], recordedContext());
  const lines = readFileSync(join(dir, 'config.toml'), 'utf8').split('\n');
  for (const { key: name } of settings) {
    const leaf = name.slice(name.lastIndexOf('.') + 1);
    t.ok(
      lines.some((line) => line.replace(/^# /, '').startsWith(`${leaf} = `)),
      name,
    );
  }
});

t.test('every example in the sample is an allowed value', async (t) => {
  const pem = '-----BEGIN CERTIFICATE-----\n';
  const dir = t.testdir({
    'hub-ca.pem': pem,
    'users-ca.pem': pem,
    'site-ca.pem': pem,
    'gateway.pem': pem,
    'gateway.key': pem,
    'site.password': 'secret',
    passwords: '',
    'policy.json': '[]',
  });
  chmodSync(join(dir, 'site.password'), 0o600);
  await runCli(['config', 'init', '--dir', dir, '--connection-string', connection], recordedContext());
  const path = join(dir, 'config.toml');
  const text = readFileSync(path, 'utf8')
    .replace(/^# (?=[a-z_]+ = |\[)/gm, '')
    .replace(/^iothub_.*\n|^device_id.*\n|^method.*\n|^\[provisioning.authentication\]\n/gm, '')
    .replaceAll('/etc/weir/', `${dir}/`);
  writeFileSync(path, text, { mode: 0o600 });
  const reading = await readConfig({ configPath: path, disk: systemDisk() });
  t.equal(reading.error?.message, undefined);
  t.same(reading.warnings, []);
  t.match(reading.config, {
    listeners: { tcp: { port: 1_883 }, tls: { port: 8_883 } },
    modules: { user: 'weir-modules' },
  });
});

t.test('identity, authorities and directories are filled in', async (t) => {
  const dir = t.testdir({ 'given.pem': '-----BEGIN CERTIFICATE-----\nx\n' });
  const argv = [
    'config',
    'init',
    '--dir',
    join(dir, 'a b'),
    '--unit-dir',
    join(dir, 'units'),
    '--connection-string',
    connection,
  ];
  const more = ['--trust-bundle', join(dir, 'given.pem'), '--data-dir', join(dir, 'data'), '--run-dir', '/run/two'];
  const context = recordedContext();
  t.equal(await runCli([...argv, ...more], context), 0, context.err());
  t.notMatch(context.out(), key, 'the key is not printed');
  const reading = await readConfig({ configPath: join(dir, 'a b/config.toml'), disk: systemDisk() });
  t.equal(reading.error, undefined);
  t.match(reading.config, {
    provisioning: { source: 'manual', hubHostname: 'hub.example', deviceId: 'gw', deviceKeyBase64: key },
    trustBundleCert: join(dir, 'a b/hub-ca.pem'),
    dataDir: join(dir, 'data'),
    runDir: '/run/two',
  });
  t.match(readFileSync(join(dir, 'units/weir.service'), 'utf8'), `--config "${join(dir, 'a b/config.toml')}"`);
});

t.test('a service of the system gives modules users of their own', async (t) => {
  const values = { connectionString: undefined, dataDir: undefined, runDir: undefined, bundlePath: undefined };
  t.equal(fillConfig('a\n@FIRST_UID@\nb\n', { ...values, hasOwnUsers: true }), 'a\nfirst_uid = 64000\nb\n');
  t.equal(fillConfig('a\n@FIRST_UID@\nb\n', { ...values, hasOwnUsers: false }), 'a\n# first_uid = 64000\nb\n');
});

t.test('an existing file is left alone without --force, and kept with it', async (t) => {
  const dir = t.testdir({ 'config.toml': 'hostname = "mine"\n' });
  const refused = recordedContext();
  t.equal(await runCli(['config', 'init', '--dir', dir], refused), 1);
  t.match(refused.err(), /CLI_FILE_EXISTS/);
  t.equal(readFileSync(join(dir, 'config.toml'), 'utf8'), 'hostname = "mine"\n');
  t.equal(await runCli(['config', 'init', '--dir', dir, '--force'], recordedContext()), 0);
  t.equal(readFileSync(join(dir, 'config.toml.bak'), 'utf8'), 'hostname = "mine"\n');
});

t.test('values that cannot be right are refused before anything is written', async (t) => {
  const dir = t.testdir({ 'not.pem': 'hello' });
  const rows: readonly (readonly [readonly string[], number, RegExp])[] = [
    [['--connection-string', 'HostName=h'], 2, /no DeviceId/],
    [['--connection-string', 'HostName=h;DeviceId=d'], 2, /no SharedAccessKey/],
    [['--connection-string', `HostName=h;DeviceId=d;ModuleId=m;SharedAccessKey=${key}`], 2, /for a module/],
    [['--trust-bundle', join(dir, 'none.pem')], 1, /does not exist/],
    [['--trust-bundle', join(dir, 'not.pem')], 1, /no PEM certificate/],
  ];
  for (const [argv, code, message] of rows) {
    const context = recordedContext();
    t.equal(await runCli(['config', 'init', '--dir', join(dir, 'new'), ...argv], context), code);
    t.match(context.err(), message);
  }
  t.equal(await systemDisk().facts('test', join(dir, 'new')), undefined);
});

t.test('a place that cannot be written is told', async (t) => {
  const dir = t.testdir({ file: 'x' });
  const context = recordedContext();
  t.equal(await runCli(['config', 'init', '--dir', join(dir, 'file/sub')], context), 1);
  t.match(context.err(), /CLI_CANNOT_WRITE/);
});

t.test('the unit quotes what systemd would take apart, and omits the usual path', async (t) => {
  const fill = (executable: string, configPath: string): string =>
    fillUnit('ExecStart=@COMMAND@', { executable, configPath });
  t.equal(fill('/usr/bin/weir', '/etc/weir/config.toml'), 'ExecStart=/usr/bin/weir run');
  t.equal(fill('/opt/a b/weir', '/x/100%$y.toml'), 'ExecStart="/opt/a b/weir" run --config /x/100%%$$y.toml');
});

t.test('config check tells problems and warnings, config show masks the key', async (t) => {
  const dir = t.testdir();
  const path = join(dir, 'c.toml');
  writeFileSync(path, '[store]\nquota = 5\nquoat = 1\n', { mode: 0o600 });
  const bad = recordedContext();
  t.equal(await runCli(['config', 'check', '--config', path], bad), 1);
  t.match(
    bad.out(),
    /error +.*c\.toml:2:1: store\.quota: 5 has no unit[\s\S]*warning +.*c\.toml:3:1: store\.quoat[\s\S]*cannot be used/,
  );
  const json = recordedContext();
  await runCli(['config', 'check', '--json', '--config', path], json);
  t.match(JSON.parse(json.out()), { path, problems: [{ key: 'store.quota' }], warnings: [{ key: 'store.quoat' }] });
  writeFileSync(path, `[provisioning]\nconnection_string = "${connection}"\n`, { mode: 0o600 });
  for (const argv of [
    ['config', 'show'],
    ['config', 'show', '--json'],
  ]) {
    const shown = recordedContext();
    t.equal(await runCli([...argv, '--config', path], shown), 0);
    t.match(shown.out(), 'hub.example');
    t.notMatch(shown.out(), key);
  }
});
