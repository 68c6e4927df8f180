// The command line of the real executable where nothing runs yet: what each command says then, and what it can do
// without anybody.

import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import t, { type Test } from 'tap';
import { manifest, sensor } from '../support/world/manifest.ts';
import { World } from '../support/world/world.ts';

function nothingRuns(t: Test): World {
  const world = new World();
  t.teardown(() => world.close());
  return world;
}

const checkIdLeast = 15;

t.test('without a daemon every command says so and what to do', async (t) => {
  const world = nothingRuns(t);
  const rows: readonly (readonly [args: readonly string[], says: RegExp])[] = [
    [['status'], /weir is not running on .* weir run.*\[ADMIN_NOT_RUNNING\]/],
    [['list'], /weir is not running on .* weir run.*\[ADMIN_NOT_RUNNING\]/],
    [['restart', 'modbus'], /weir is not running on .* weir run.*\[ADMIN_NOT_RUNNING\]/],
    [['queue', 'status'], /weir is not running on .* weir run.*--run-dir.*\[ADMIN_NOT_RUNNING\]/],
    [['queue', 'peek', '$upstream'], /weir is not running on .* weir run.*--run-dir.*\[ADMIN_NOT_RUNNING\]/],
    [['logs', 'modbus'], /no log of a module 'modbus'.*\[ADMIN_NO_SUCH_MODULE\]/],
    [['run'], /no configuration file.*weir config init.*\[CONFIG_MISSING\]/],
    [['config', 'show'], /no configuration file.*weir config init.*\[CONFIG_MISSING\]/],
  ];
  for (const [args, says] of rows) {
    const { code, stderr } = await world.run(...args, ...world.gatewayDirs);
    t.equal(code, 1, `weir ${args.join(' ')} ends with 1`);
    t.match(stderr, says);
    t.equal(stderr.trim().split('\n').length, 1, 'in one line');
  }
  const json = await world.run('status', '--json', ...world.gatewayDirs);
  t.same(JSON.parse(json.stdout), { running: false, runDir: world.runDir, modules: [] }, '--json stays JSON');

  const manifest = 'test/e2e/quickstart-manifest.json';
  for (const args of [
    ['device', 'list'],
    ['device', 'create', 'd'],
    ['device', 'show', 'd'],
    ['device', 'connection-string', 'd'],
    ['device', 'delete', 'd'],
    ['deploy', '--device', 'd', manifest],
    ['twin', 'show', 'd'],
    ['monitor', '--no-follow'],
  ]) {
    const { code, stderr } = await world.run('hub', ...args, ...world.hubDirs);
    t.equal(code, 1, `weir hub ${args.join(' ')} ends with 1`);
    t.match(stderr, /No hub answers on .*weir hub start.*\[CLI_HUB_NOT_RUNNING\]/);
  }
});

t.test('wrong usage ends with 2 and names the nearest right word', async (t) => {
  const world = nothingRuns(t);
  t.match(await world.run('status', '--jsno'), { code: 2, stderr: /Unknown option: --jsno\. Did you mean --json\?/ });
  t.match(await world.run('staus'), { code: 2, stderr: /Did you mean status\?/ });
  t.match(await world.run('hub', 'deploy', 'm.json'), { code: 2, stderr: /device/ });
  t.match(await world.run('list', '--run-dir', '/a', '--run-dir', '/b'), { code: 2, stderr: /more than once/ });
  t.match(await world.run(), { code: 2, stdout: /Commands:/ });
});

t.test('it tells what it is and what is inside', async (t) => {
  const world = nothingRuns(t);
  t.match(JSON.parse(await world.succeed('version', '--json')), {
    version: /^\d+\.\d+\.\d+/,
    commit: /^[0-9a-f]{7,40}\+?$/,
    target: 'linux-x64',
    builtAt: /^\d{4}-\d\d-\d\dT/,
    node: /^\d+\.\d+\.\d+$/,
    sqlite: /^3\.\d+\.\d+$/,
    openssl: /^3\./,
  });
  t.match(await world.succeed('version'), /^weir \d+\.\d+\.\d+ \([0-9a-f]+\+?, linux-x64\)\n$/);
  const notices = await world.succeed('licenses');
  for (const part of ['better-sqlite3', 'SQLite', 'serialport', 'modbus-serial', 'yargs', 'smol-toml', 'Node.js'])
    t.ok(notices.includes(part), `${part} is named`);
  t.match(notices, /Apache License/);
});

t.test('config init writes what config check and weir run accept', async (t) => {
  const world = nothingRuns(t);
  const dir = join(world.directory, 'gw');
  const dirs = ['--data-dir', world.dataDir, '--run-dir', world.runDir];
  const said = await world.succeed('config', 'init', '--dir', dir, ...dirs);
  t.ok(existsSync(join(dir, 'config.toml')) && existsSync(join(dir, 'weir.service')), 'the file and the unit');
  t.match(said, /config\.toml/);
  t.match(readFileSync(join(dir, 'weir.service'), 'utf8'), /^ExecStart=\S+ run/m);
  t.match(await world.run('config', 'check', '--config', world.configPath), {
    code: 0,
    stdout: `${world.configPath} is fine.\n`,
  });
  t.match(JSON.parse(await world.succeed('config', 'check', '--json', '--config', world.configPath)), {
    problems: [],
    warnings: [],
  });
  const again = await world.run('config', 'init', '--dir', dir, ...dirs);
  t.equal(again.code, 1, 'what is there is not overwritten');
  t.match(again.stderr, /--force.*\[CLI_FILE_EXISTS\]/);

  await world.startGateway();
  t.match(await world.status(), { hub: { state: 'disabled' }, modules: [], deployment: { code: 417 } });
  t.match(
    await world.run('run', ...world.gatewayDirs),
    { code: 1, stderr: /\[CLI_ALREADY_RUNNING\]/ },
    'one is enough',
  );
  await world.stopGateway();
});

t.test('directories that cannot be used are told; relative ones serve their modules', async (t) => {
  const world = nothingRuns(t);
  const file = join(world.directory, 'file');
  writeFileSync(file, '');
  writeFileSync(world.configPath, 'hostname = "localhost"\n');
  const config = ['--config', world.configPath];
  t.match(await world.run('run', ...config, '--data-dir', file, '--run-dir', world.runDir), {
    code: 1,
    stderr: /directory .*file cannot be used.*\[DEVICE_DIRECTORY_UNUSABLE\]/,
  });
  t.match(await world.run('run', ...config, '--run-dir', `/tmp/${'x'.repeat(90)}`, '--data-dir', world.dataDir), {
    code: 1,
    stderr: /too long.*\[CONFIG_INVALID\]/,
  });
  await world.startGateway();
  const second = ['--data-dir', world.dataDir, '--run-dir', join(world.directory, 'other')];
  t.match(await world.run('run', ...config, ...second), { code: 1, stderr: /other weir.*\[STORE_LOCKED\]/ });
  await world.stopGateway();

  await world.startHub();
  await world.provision();
  const near = (path: string): string => relative(process.cwd(), path);
  world.gateway = world.start(
    'run',
    ...['--config', near(world.configPath), '--data-dir', near(world.dataDir), '--run-dir', near(world.runDir)],
  );
  await world.deploy(manifest({ modules: { sensor: sensor(50) } }));
  t.match(await world.messages('sensor', 1), [{ moduleId: 'sensor' }]);
});

t.test('weir check answers every question, as JSON too', async (t) => {
  const world = nothingRuns(t);
  const listed = JSON.parse(await world.succeed('check', '--list', '--json')) as readonly { readonly id: string }[];
  t.ok(listed.length >= checkIdLeast, `${listed.length} checks`);
  const { code, stdout } = await world.run('check', '--json', ...world.gatewayDirs);
  t.equal(code, 1, 'there is no configuration: that fails');
  const report = JSON.parse(stdout) as {
    readonly checks: readonly Readonly<Record<string, unknown>>[];
    readonly totals: Readonly<Record<string, number>>;
  };
  t.same(
    report.checks.map(({ id }) => id),
    listed.map(({ id }) => id),
  );
  for (const answer of report.checks) {
    t.match(answer, {
      id: /^[a-z0-9-]+$/,
      group: /^(configuration|machine|isolation|hub|runtime)$/,
      title: String,
      result: /^(ok|warn|fail|skip)$/,
      cause: String,
      mend: String,
      ms: Number,
    });
    if (answer['result'] === 'fail' || answer['result'] === 'warn')
      t.not(answer['mend'], '', `${String(answer['id'])} tells the mend`);
  }
  t.equal(
    Object.values(report.totals).reduce((sum, count) => sum + count, 0),
    report.checks.length,
  );
  t.match(
    report.checks.find(({ id }) => id === 'native-addons'),
    { result: 'ok' },
    'the native parts of the executable can be loaded',
  );
});
