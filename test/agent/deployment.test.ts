// Reading deployments: Azure's manifest sections, weir's process modules, and every kind of mistake at once.

import t from 'tap';
import { readCreateOptions } from '../../src/agent/create-options.ts';
import { parseDeployment } from '../../src/agent/deployment.ts';
import { planLaunch, unsupportedReason } from '../../src/agent/plan.ts';
import type { JsonObject } from '../../src/model/json.ts';

const context = { builtins: ['modbus', 'simulated-temperature-sensor'] };
const quickstart: JsonObject = {
  schemaVersion: '1.1',
  runtime: { type: 'docker', settings: { minDockerVersion: 'v1.25', loggingOptions: '', registryCredentials: {} } },
  systemModules: {
    edgeAgent: { type: 'docker', settings: { image: 'mcr.microsoft.com/azureiotedge-agent:1.5', createOptions: '{}' } },
    edgeHub: {
      type: 'docker',
      status: 'running',
      restartPolicy: 'always',
      settings: { image: 'mcr.microsoft.com/azureiotedge-hub:1.5', createOptions: '{}' },
    },
  },
  modules: {
    SimulatedTemperatureSensor: {
      version: '1.0',
      type: 'docker',
      status: 'running',
      restartPolicy: 'always',
      settings: { image: 'mcr.microsoft.com/azureiotedge-simulated-temperature-sensor:1.5', createOptions: '{}' },
      env: { MessageCount: { value: -1 } },
    },
  },
};

t.test("Azure's quickstart runs with the built-in sensor", (t) => {
  const parsed = parseDeployment(quickstart, context);
  if (!parsed.ok) return void t.fail(JSON.stringify(parsed));
  t.same(parsed.problems, []);
  const [sensor] = parsed.deployment.modules;
  t.same(sensor?.program, { kind: 'builtin', name: 'simulated-temperature-sensor' });
  t.same(sensor?.env, { MessageCount: '-1' });
  t.equal(sensor?.restartPolicy, 'always');
  t.end();
});

t.test("the images of Azure's modules that weir carries run built in, and no others", (t) => {
  const programs = [
    'mcr.microsoft.com/azureiotedge/modbus:1.0',
    'own.example:5000/azureiotedge-modbus@sha256:00',
    'weir:modbus',
    'mcr.microsoft.com/notazureiotedge/modbus:1.0',
    'example.com/modbus:1.0',
  ].map((image) => {
    const parsed = parseDeployment(
      { schemaVersion: '1.1', modules: { m: { type: 'docker', settings: { image } } } },
      context,
    );
    return parsed.ok ? parsed.deployment.modules[0]?.program.kind : 'refused';
  });
  t.same(programs, ['builtin', 'builtin', 'builtin', 'container', 'container']);
  t.end();
});

t.test('process modules and foreign containers are told apart', (t) => {
  const parsed = parseDeployment(
    {
      schemaVersion: '1.0',
      modules: {
        meter: { type: 'process', startupOrder: 2, settings: { executable: 'weir:modbus' } },
        own: { type: 'process', startupOrder: 1, settings: { executable: '/usr/bin/own', args: ['-v'], cwd: '/tmp' } },
        other: { type: 'docker', settings: { image: 'example.com/other:1' } },
      },
    },
    context,
  );
  if (!parsed.ok) return void t.fail(JSON.stringify(parsed));
  t.same(parsed.problems, []);
  const orders = planLaunch(parsed.deployment, {
    builtinCommand: (name) => ['/weir', 'module', 'run', name],
    environment: new Map([['own', { IOTEDGE_MODULEID: 'own' }]]),
    baseEnv: { PATH: '/bin' },
    executableDigest: 'abc',
    account: { uid: 1000, gid: 1000, groups: [20] },
    graceMs: 1000,
    logBytesMax: 1000,
    logFiles: 2,
    digest: (text) => `${text.length}`,
  });
  t.same(
    orders.map(({ name, command }) => [name, ...command]),
    [
      ['own', '/usr/bin/own', '-v'],
      ['meter', '/weir', 'module', 'run', 'modbus'],
    ],
    'in startupOrder, the container left out',
  );
  t.match(orders[0], { uid: 1000, gid: 1000, groups: [20] });
  t.same(orders[0]?.env, { PATH: '/bin', IOTEDGE_MODULEID: 'own' });
  t.match(
    unsupportedReason(parsed.deployment.modules.find((module) => module.name === 'other') ?? fail()),
    /example.com\/other:1/,
  );
  t.end();
});

function fail(): never {
  throw new TypeError('the module is missing');
}

const whole: readonly [string, JsonObject, number][] = [
  ['empty', {}, 417],
  ['a missing schema version', { modules: {} }, 412],
  ['a schema version of the future', { schemaVersion: '2.0' }, 412],
  ['modules that are no object', { schemaVersion: '1.0', modules: [] }, 400],
];
for (const [name, desired, status] of whole) {
  t.test(`a deployment with ${name} is refused with ${status}`, (t) => {
    const parsed = parseDeployment(desired, context);
    t.equal(parsed.ok ? 0 : parsed.status, status);
    t.end();
  });
}

t.test('every mistake of every module is named with its path; the good ones stand', (t) => {
  const parsed = parseDeployment(
    {
      schemaVersion: '1.0',
      modules: {
        good: { type: 'process', settings: { executable: '/bin/true' } },
        'bad name': { type: 'process', settings: { executable: '/bin/true' } },
        text: 'x',
        many: {
          type: 'vm',
          status: 'paused',
          restartPolicy: 'sometimes',
          startupOrder: -1,
          env: { A: 1 },
          settings: { executable: 'relative' },
        },
        chunk: { type: 'docker', settings: { image: 'i', createOptions: '{', createOptions02: '}' } },
        unknown: { type: 'process', settings: { executable: 'weir:nothing' } },
      },
    },
    context,
  );
  if (!parsed.ok) return void t.fail(JSON.stringify(parsed));
  t.same(
    parsed.deployment.modules.map((module) => module.name),
    ['good'],
  );
  const paths = parsed.problems.map((problem) => problem.path);
  for (const path of [
    'modules.bad name',
    'modules.text',
    'modules.many.type',
    'modules.many.status',
    'modules.many.restartPolicy',
    'modules.many.startupOrder',
    'modules.many.env.A',
    'modules.many.settings.executable',
    'modules.chunk.settings.createOptions',
    'modules.unknown.settings.executable',
  ]) {
    t.ok(paths.includes(path), path);
  }
  t.end();
});

t.test('createOptions are joined in order, whatever their case, and gaps are errors', (t) => {
  t.same(readCreateOptions({ createOptions: '{"a"', CREATEOPTIONS01: ':1', createOptions02: '}' }), {
    ok: true,
    value: { a: 1 },
  });
  t.same(readCreateOptions({}), { ok: true, value: {} });
  t.same(readCreateOptions({ createOptions: '' }), { ok: true, value: {} });
  t.same(readCreateOptions({ createOptions: 'null' }), { ok: true, value: {} });
  t.same(readCreateOptions({ createOptions: { a: 1 } }), { ok: true, value: { a: 1 } });
  for (const bad of [
    { createOptions: '{' },
    { createOptions01: '{}' },
    { createOptions: '{', createOptions02: '}' },
    { createOptions: '{}', createOptions00: '' },
    { createOptions: '[]' },
    { createOptions: 1 },
  ]) {
    t.equal(readCreateOptions(bad).ok, false, JSON.stringify(bad));
  }
  t.end();
});
