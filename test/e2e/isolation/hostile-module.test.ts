// A hostile module deployed beside an honest one: what it reaches of the gateway and of the other module, told by its
// own log. With users of their own (modules.first_uid) and, as a second gateway, with modules that run as root.

import { chmodSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { JsonObject } from '../../../src/model/json.ts';
import { type KernelFeatures, probeKernel } from '../../../src/platform/kernel-features.ts';
import { shimBinary } from '../../support/shim-binary.ts';
import { Cells } from '../../support/shut-in.ts';
import { manifest, program, sensor } from '../../support/world/manifest.ts';
import { World } from '../../support/world/world.ts';

const needsRoot = { skip: process.getuid?.() === 0 ? false : 'needs root' };
const refused = /^E(PERM|ACCES|ROFS|NOENT|PIPE|NXIO|CONNREFUSED)$/;

/** The world of this test is in /tmp, and in a /tmp of its own a module may well plant what nobody else sees. */
const planted = /^(E(PERM|ACCES|ROFS|NOENT)|allowed)$/;

interface Attempt {
  readonly name: string;
  readonly command: readonly string[];
  readonly by: readonly string[];
  readonly meets: RegExp;
}

/** A shell that runs each attempt and says what became of it, then lives on. */
function hostileModule(
  hostile: string,
  { attempts, configPath }: { readonly attempts: readonly Attempt[]; readonly configPath: string },
  isolation: JsonObject,
): JsonObject {
  const lines = attempts.map(({ name, command }) => `echo "${name}: $(${hostile} ${command.join(' ')})"`);
  // A file that is hidden can be opened, and is empty.
  lines.push(`echo "read of configuration: $(cat ${configPath} | wc -c)"`);
  const script = [...lines, 'echo done', 'while :; do sleep 1; done'].join('\n');
  return { ...program('/bin/sh', ['-c', script]), isolation: { readable: [hostile], ...isolation } };
}

interface Attack {
  readonly toml: string;
  readonly egress: string;
  readonly isolation?: JsonObject;
  /** These attempts alone, which are refused without the wall that refuses them otherwise. */
  readonly only?: readonly string[];
}

async function attack(t: Test, { toml, egress, isolation = {}, only }: Attack): Promise<void> {
  const features = await probeKernel(shimBinary());
  const cells = new Cells(t);
  const world = new World();
  t.teardown(() => world.close());
  chmodSync(world.directory, 0o711);
  await world.startHub();
  await world.provision(toml);
  await world.startGateway();
  await world.deploy(manifest({ modules: { sensor: sensor(200) } }));
  await world.running('sensor');
  const honest = await world.module('sensor');
  const attempts = attemptsOn(world, honest?.pid ?? 0).flatMap((attempt) =>
    only === undefined ? [attempt] : only.includes(attempt.name) ? [{ ...attempt, by: ['read-only-root'] }] : [],
  );
  const modules = {
    sensor: sensor(200),
    hostile: hostileModule(cells.hostile, { attempts, configPath: world.configPath }, { egress, ...isolation }),
  };
  await world.deploy(manifest({ modules }));
  await world.running('hostile');
  const log = join(world.dataDir, 'logs', 'hostile.log');
  await world.eventually('the hostile module is through', () =>
    Promise.resolve(/ O done$/m.test(textOf(log)) || undefined),
  );
  t.match(textOf(log), / O read of configuration: 0$/m);
  judge(t, { said: textOf(log), attempts, features });
  for (const place of [world.dataDir, world.runDir]) t.notOk(existsSync(join(place, 'planted')), 'nothing was planted');
  const after = await world.module('sensor');
  t.same([after?.pid, after?.startedAtMs], [honest?.pid, honest?.startedAtMs], 'the honest module never noticed');
  t.match(await world.module('hostile'), { runtimeStatus: 'running' });
}

function attemptsOn(world: World, pid: number): readonly Attempt[] {
  const { runDir, dataDir, configPath } = world;
  const rows: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['configuration', ['read', configPath], ['landlock']],
    ['store', ['read', join(dataDir, 'weir.db')], ['landlock']],
    ['identity', ['list', join(dataDir, 'identity')], ['landlock']],
    ['other log', ['read', join(dataDir, 'logs', 'sensor.log')], ['landlock']],
    ['other data', ['list', join(dataDir, 'modules', 'sensor', 'data')], ['landlock']],
    ['plant in data', ['make', join(dataDir, 'planted')], ['landlock']],
    ['plant in run', ['make', join(runDir, 'planted')], ['landlock']],
    ['other control socket', ['end', join(runDir, 'modules', 'sensor', 'ctl.sock')], ['cgroup']],
    ['own control socket', ['end', join(runDir, 'modules', 'hostile', 'ctl.sock')], ['cgroup']],
    ['signal the other', ['signal', String(pid)], ['signal-scope']],
    ['memory of the other', ['write', `/proc/${pid}/mem`], ['landlock']],
    ['environment of the other', ['read', `/proc/${pid}/environ`], ['landlock']],
    ['mount', ['mount'], ['capabilities']],
    ['internet', ['udp', '8.8.8.8', '53'], []],
  ];
  return rows.map(([name, command, by]) => ({
    name,
    command,
    by,
    meets: name === 'internet' ? /EPERM|ENETUNREACH/ : name.startsWith('plant') ? planted : refused,
  }));
}

function judge(
  t: Test,
  { said, attempts, features }: { said: string; attempts: readonly Attempt[]; features: KernelFeatures },
): void {
  for (const { name, by, meets } of attempts) {
    if (by.some((wall) => features.lacking[wall] !== undefined)) continue;
    if (name === 'internet' && !features.egress.local) continue;
    t.match(new RegExp(` O ${name}: (.*)$`, 'm').exec(said)?.[1], meets, name);
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

t.test('a module with a user of its own', needsRoot, (t) =>
  attack(t, { toml: '[modules]\nfirst_uid = 64000\n', egress: 'local' }),
);

t.test('a module that runs as root, without its rights', needsRoot, (t) => attack(t, { toml: '', egress: 'none' }));

t.test('a module that is root and meets no Landlock sees nothing of what the gateway keeps', needsRoot, (t) =>
  attack(t, {
    toml: '',
    egress: 'any',
    isolation: { landlock: false, privateTmp: false },
    only: ['store', 'identity', 'other log', 'other data'],
  }),
);

t.test('the check of the executable says what its own shim can', needsRoot, async (t) => {
  const world = new World();
  t.teardown(() => world.close());
  const features = await probeKernel(shimBinary());
  const result = await world.run(
    'check',
    ...world.gatewayDirs,
    '--json',
    '--only',
    'isolation-files',
    '--only',
    'isolation-memory',
  );
  t.match(JSON.parse(result.stdout), {
    checks: [
      { id: 'isolation-memory', result: features.lacking['memory'] === undefined ? 'ok' : 'warn' },
      { id: 'isolation-files', result: features.lacking['landlock'] === undefined ? 'ok' : 'warn' },
    ],
  });
});
