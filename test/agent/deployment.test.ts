// Reading deployments: Azure's manifest sections, weir's process modules, and every kind of mistake at once; and what
// is ordered for them.

import t from 'tap';
import { createOptionsPieces, readCreateOptions } from '../../src/agent/create-options.ts';
import { type Deployment, parseDeployment } from '../../src/agent/deployment.ts';
import { readImage, registryOf } from '../../src/agent/image-reference.ts';
import { launchOrders, type OrderInput } from '../../src/agent/orders.ts';
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
  const [sensor] = parsed.deployment.modules;
  t.same(sensor?.program, { kind: 'builtin', name: 'simulated-temperature-sensor' });
  t.same(sensor?.env, { MessageCount: '-1' });
  t.equal(sensor?.restartPolicy, 'always');
  t.end();
});

t.test("the images of Azure's modules that weir carries run built in, and no others", (t) => {
  const programs = [
    'mcr.microsoft.com/azureiotedge/modbus:1.0',
    'own.example:5000/azureiotedge-modbus@sha256:00000000000000000000000000000000',
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
  const orders = launchOrders({
    ...orderInput(parsed.deployment),
    surroundings: new Map([['own', { env: { IOTEDGE_MODULEID: 'own' } }]]),
  });
  t.same(
    orders.map(({ name, command }) => [name, ...command]),
    [['own', '/usr/bin/own', '-v'], ['meter', '/weir', 'module', 'run', 'modbus'], ['other']],
    'in startupOrder, the container without a command',
  );
  t.match(orders[0], { uid: 1000, gid: 1000, groups: [20], cwd: '/tmp', startupOrder: 1 });
  t.same(orders[0]?.env, { PATH: '/bin', IOTEDGE_MODULEID: 'own' });
  t.match(orders[2], { container: { image: 'example.com/other:1' }, env: {}, startupOrder: 4294967295 });
  t.equal(orders[2]?.uid, undefined, 'who a container runs as is its own affair');
  t.end();
});

function orderInput(deployment: Deployment): OrderInput {
  return {
    deployment,
    facts: {
      builtinCommand: (name) => ['/weir', 'module', 'run', name],
      nodeCommand: (file) => ['/weir', 'module', 'run-node', file],
      baseEnv: { PATH: '/bin' },
      executableDigest: 'abc',
      account: { uid: 1000, gid: 1000, groups: [20] },
      graceMs: 1000,
      logBytesMax: 1000,
      logFiles: 2,
      digest: (text) => text,
    },
    surroundings: new Map(),
    files: new Map(),
    heldBack: new Set(),
  };
}

function read(desired: JsonObject): Deployment {
  const parsed = parseDeployment(desired, context);
  if (!parsed.ok) throw new TypeError(JSON.stringify(parsed.problems));
  return parsed.deployment;
}

function problemsOf(desired: JsonObject): Readonly<Record<string, string>> {
  const parsed = parseDeployment(desired, context);
  return parsed.ok ? {} : Object.fromEntries(parsed.problems.map(({ path, message }) => [path, message]));
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

t.test('every mistake of the whole document is named with its path', (t) => {
  const problems = problemsOf({
    schemaVersion: '1.0',
    runtime: {
      type: 'podman',
      settings: {
        loggingOptions: 'json-file',
        registryCredentials: { own: { username: 'u', password: 'p' } },
      },
    },
    systemModules: {
      edgeAgent: { type: 'process', settings: { image: 'Bad Image' } },
      edgeHub: { type: 'docker', restartPolicy: 'sometimes', settings: { image: 'hub', createOptions: '[' } },
    },
    integrity: 'signed',
    modules: {
      good: { type: 'process', settings: { executable: '/bin/true' } },
      'bad name': { type: 'process', settings: { executable: '/bin/true' } },
      text: 'x',
      many: {
        type: 'vm',
        status: 'paused',
        restartPolicy: 'sometimes',
        imagePullPolicy: 'always',
        startupOrder: -1,
        env: { A: 1 },
        settings: { executable: 'relative' },
      },
      chunk: { type: 'docker', settings: { image: 'i', createOptions: '{', createOptions02: '}' } },
      unknown: { type: 'process', settings: { executable: 'weir:nothing' } },
      limits: {
        type: 'process',
        settings: { executable: 'weir:modbus' },
        resources: { memory: '64', cpu: 0, pids: 0.5, io: { wait: 1 }, data: '-1MB', log: { size: 1, file: 2 } },
        health: { command: [], interval: 5, retries: 0, watchdog: '10s', notify: false },
        stop: { signal: 'SIGKILL', grace: '1y' },
        isolation: { egress: 'some', writable: ['../x'], devices: ['/etc'], capabilities: ['net_rwa'], seccomp: 'yes' },
      },
      blocks: { type: 'process', settings: { executable: '/bin/true' }, resources: [], health: 'ok' },
      contained: {
        type: 'docker',
        settings: { image: 'i', digest: 'sha256:12' },
        resources: { data: '1MB', io: { weight: 10, bytesPerSecond: '1MB' }, log: { files: 2 } },
        health: { watchdog: '30s' },
        isolation: {},
      },
      fetched: {
        type: 'process',
        settings: {
          executable: '../app.js',
          runtime: 'node',
          args: [1],
          source: { url: 'http://example.com/a', sha256: 'ab', size: 0, name: 'a' },
        },
      },
      script: { type: 'process', settings: { executable: '/app', runtime: 'node' } },
    },
  });
  t.same(Object.keys(problems).sort(), [
    'integrity',
    'modules.bad name',
    'modules.blocks.health',
    'modules.blocks.resources',
    'modules.chunk.settings.createOptions',
    'modules.contained.health.watchdog',
    'modules.contained.isolation',
    'modules.contained.resources.data',
    'modules.contained.resources.io.bytesPerSecond',
    'modules.contained.settings.digest',
    'modules.fetched.settings.args',
    'modules.fetched.settings.executable',
    'modules.fetched.settings.source.name',
    'modules.fetched.settings.source.sha256',
    'modules.fetched.settings.source.size',
    'modules.fetched.settings.source.url',
    'modules.limits.health.command',
    'modules.limits.health.interval',
    'modules.limits.health.retries',
    'modules.limits.health.watchdog',
    'modules.limits.isolation.capabilities',
    'modules.limits.isolation.devices',
    'modules.limits.isolation.egress',
    'modules.limits.isolation.seccomp',
    'modules.limits.isolation.writable',
    'modules.limits.resources.cpu',
    'modules.limits.resources.data',
    'modules.limits.resources.io.wait',
    'modules.limits.resources.log.file',
    'modules.limits.resources.log.size',
    'modules.limits.resources.memory',
    'modules.limits.resources.pids',
    'modules.limits.stop.grace',
    'modules.limits.stop.signal',
    'modules.many.env.A',
    'modules.many.imagePullPolicy',
    'modules.many.restartPolicy',
    'modules.many.settings.executable',
    'modules.many.startupOrder',
    'modules.many.status',
    'modules.many.type',
    'modules.script.settings.executable',
    'modules.text',
    'modules.unknown.settings.executable',
    'runtime.settings.loggingOptions',
    'runtime.settings.registryCredentials.own.address',
    'runtime.type',
    'systemModules.edgeAgent.settings.image',
    'systemModules.edgeAgent.type',
    'systemModules.edgeHub.restartPolicy',
    'systemModules.edgeHub.settings.createOptions',
  ]);
  t.match(problems['modules.limits.resources.memory'], /64MB/, 'with the mend');
  t.equal(problems['modules.limits.isolation.capabilities'], '"net_rwa" is no capability; did you mean CAP_NET_RAW?');
  t.equal(problems['modules.limits.health.watchdog'], 'it is fed over NOTIFY_SOCKET; leave out "notify": false');
  t.end();
});

t.test('words compare without case and members nobody knows pass, as in IoT Edge', (t) => {
  const { modules } = read({
    schemaVersion: '1.1.0',
    future: true,
    modules: {
      m: {
        type: 'Docker',
        status: 'Stopped',
        restartPolicy: 'On-Failure',
        imagePullPolicy: 'Never',
        configuration: { id: 'base' },
        settings: { image: ' nginx ', future: 'x', digest: '' },
        env: { N: { value: 5 }, B: { value: true } },
      },
    },
  });
  t.match(modules[0], {
    wanted: 'stopped',
    restartPolicy: 'on-failure',
    pullPolicy: 'never',
    env: { N: '5', B: 'true' },
    program: { kind: 'container', image: 'nginx:latest' },
  });
  t.end();
});

t.test('limits, health, stop and isolation are read, and what nobody says is safe', (t) => {
  const [full, plain, sensor] = read({
    schemaVersion: '1.1',
    modules: {
      a: {
        type: 'process',
        settings: { executable: '/bin/a' },
        resources: { memory: '64MiB', cpu: 0.5, pids: 64, io: { weight: 10, bytesPerSecond: '1MB' }, data: 1000 },
        health: { command: ['/bin/ok', '-q'], interval: '5s', watchdog: '30s' },
        stop: { signal: 'sigint', grace: '2s' },
        isolation: {
          readOnlyRoot: false,
          writable: ['/srv'],
          egress: 'local',
          capabilities: ['net_raw'],
          devices: ['/dev/ttyS0'],
        },
      },
      b: { type: 'process', settings: { executable: '/bin/b' } },
      c: { type: 'process', settings: { executable: 'weir:modbus' } },
    },
  }).modules;
  t.same(full?.resources, {
    memoryBytes: 67_108_864,
    cpus: 0.5,
    pids: 64,
    ioWeight: 10,
    ioBytesPerSecond: 1_000_000,
    dataBytes: 1000,
  });
  t.same(full?.health, {
    command: ['/bin/ok', '-q'],
    intervalMs: 5000,
    timeoutMs: 3000,
    retries: 3,
    startPeriodMs: 30_000,
    notify: true,
    watchdogMs: 30_000,
  });
  t.same(full?.stop, { signal: 'SIGINT', graceMs: 2000 });
  t.same(full?.isolation, {
    readOnlyRoot: false,
    privateTmp: true,
    writable: ['/srv'],
    egress: 'local',
    capabilities: ['CAP_NET_RAW'],
    devices: ['/dev/ttyS0'],
    seccomp: true,
    landlock: true,
  });
  t.match(plain, {
    resources: undefined,
    health: undefined,
    isolation: { readOnlyRoot: true, privateTmp: true, egress: 'any', capabilities: [], devices: [], seccomp: true },
  });
  t.same(sensor?.isolation?.devices, ['/dev'], 'Modbus reaches its serial ports, also those that are plugged in later');
  t.end();
});

t.test('programs that are fetched run from where they are installed', (t) => {
  const source = { url: 'https://example.com/app.tar.gz', sha256: 'AB'.repeat(32), size: 9 };
  const deployment = read({
    schemaVersion: '1.1',
    modules: {
      app: { type: 'process', settings: { executable: 'bin/app', source, args: ['-v'] } },
      script: { type: 'process', settings: { executable: 'main.mjs', runtime: 'node', source, cwd: 'lib' } },
      single: { type: 'process', settings: { executable: 'tool', source } },
      waits: { type: 'process', settings: { executable: 'tool', source } },
    },
  });
  t.match(deployment.modules[0]?.program, { source: { sha256: 'ab'.repeat(32), sizeBytes: 9 } });
  const files = new Map([
    ['app', { directory: '/x/ab' }],
    ['script', { directory: '/x/ab' }],
    ['single', { directory: '/x/cd', file: '/x/cd/app.bin' }],
  ]);
  const orders = launchOrders({ ...orderInput(deployment), files, heldBack: new Set(['waits']) });
  t.same(
    orders.map(({ name, command, cwd }) => [name, command, cwd]),
    [
      ['app', ['/x/ab/bin/app', '-v'], '/x/ab'],
      ['script', ['/weir', 'module', 'run-node', '/x/ab/main.mjs'], '/x/ab/lib'],
      ['single', ['/x/cd/app.bin'], '/x/cd'],
    ],
  );
  t.same(orders[1]?.isolation?.readable, ['/x/ab'], 'and read all of their archive, also from a directory inside it');
  t.end();
});

t.test('a container gets its credentials, its labels and the log configuration of the runtime', (t) => {
  const deployment = read({
    schemaVersion: '1.1',
    runtime: {
      type: 'docker',
      settings: {
        loggingOptions: '{"log-driver":"json-file","log-opts":{"max-size":"10m"}}',
        registryCredentials: {
          hub: { username: 'h', password: '1', address: 'https://index.docker.io/v1/' },
          own: { username: 'o', password: '2', address: 'Own.example:5000' },
        },
      },
    },
    modules: {
      a: {
        type: 'docker',
        version: '1.2',
        restartPolicy: 'always',
        settings: { image: 'own.example:5000/a:1', createOptions: '{"HostConfig":{"Memory":5},"StopTimeout":7}' },
        env: { X: { value: 'y' } },
      },
      b: {
        type: 'docker',
        settings: { image: 'library/b', createOptions: '{"HostConfig":{"LogConfig":{"Type":"none"}}}' },
        resources: { memory: '64MB' },
        stop: { grace: '3s' },
      },
      c: { type: 'docker', settings: { image: 'other.example/c:1' } },
    },
  });
  const mounts = [{ source: '/run/weir/modules/a', target: '/run/weir/modules/a', readOnly: true }];
  const [a, b, c] = launchOrders({
    ...orderInput(deployment),
    surroundings: new Map([['a', { env: { IOTEDGE_MODULEID: 'a' }, mounts, hosts: [{ name: 'gw', address: '::1' }] }]]),
  });
  t.match(a, {
    graceMs: 7000,
    env: { X: 'y', IOTEDGE_MODULEID: 'a' },
    mounts,
    hosts: [{ name: 'gw' }],
    container: {
      createOptions: { HostConfig: { Memory: 5, LogConfig: { Type: 'json-file', Config: { 'max-size': '10m' } } } },
      credentials: { username: 'o' },
      labels: {
        'net.azure-devices.edge.owner': 'Microsoft.Azure.Devices.Edge.Agent',
        'net.azure-devices.edge.original-image': 'own.example:5000/a:1',
        'net.azure-devices.edge.create-options': '{"HostConfig":{"Memory":5},"StopTimeout":7}',
        'net.azure-devices.edge.env': '{"X":{"value":"y"}}',
        'net.azure-devices.edge.version': '1.2',
        'net.azure-devices.edge.restart-policy': 'always',
        'net.azure-devices.edge.image-pull-policy': 'on-create',
      },
    },
  });
  t.equal(a?.env['PATH'], undefined, "the machine's variables are not the container's");
  t.match(b, { graceMs: 3000, resources: { memoryBytes: 64_000_000 }, container: { image: 'library/b:latest' } });
  t.match(b?.container, {
    credentials: { username: 'h' },
    createOptions: { HostConfig: { LogConfig: { Type: 'none' } } },
  });
  t.equal(b?.isolation, undefined, "a container's walls are its engine's");
  t.equal(c?.container?.credentials, undefined);
  t.end();
});

t.test('what needs a new start changes the generation, and nothing else does', (t) => {
  const base: JsonObject = { type: 'process', version: '1', settings: { executable: '/bin/a' } };
  const generation = (module: JsonObject): string | undefined =>
    launchOrders(orderInput(read({ schemaVersion: '1.1', modules: { m: module } })))[0]?.generation;
  for (const change of [
    { version: '2' },
    { settings: { executable: '/bin/b' } },
    { env: { A: { value: '' } } },
    { resources: { pids: 5 } },
    { isolation: { egress: 'none' } },
    { health: { notify: true } },
  ])
    t.not(generation({ ...base, ...change }), generation(base), JSON.stringify(change));
  for (const change of [
    { restartPolicy: 'never' },
    { startupOrder: 3 },
    { status: 'stopped' },
    { stop: { grace: '1s' } },
    { health: { command: ['/bin/ok'] } },
  ])
    t.equal(generation({ ...base, ...change }), generation(base), JSON.stringify(change));
  t.end();
});

t.test('limits of the log are the module’s own where it has some, and start nothing again', (t) => {
  const module: JsonObject = { type: 'process', settings: { executable: '/bin/a' } };
  const order = (resources: JsonObject) =>
    launchOrders(orderInput(read({ schemaVersion: '1.1', modules: { m: { ...module, resources } } })))[0];
  t.match(order({}), { logBytesMax: 1000, logFiles: 2 }, "the gateway's");
  t.match(order({ log: { size: '64KiB', files: 1 } }), { logBytesMax: 65_536, logFiles: 1 });
  t.match(order({ log: { files: 9 } }), { logBytesMax: 1000, logFiles: 9 });
  t.equal(order({ log: { files: 9 } })?.generation, order({})?.generation);
  t.end();
});

t.test('a digest beside the image names what runs', (t) => {
  const digest = `sha256:${'a1'.repeat(32)}`;
  const image = (settings: JsonObject): string | undefined => {
    const parsed = parseDeployment({ schemaVersion: '1.1', modules: { m: { type: 'docker', settings } } }, context);
    if (!parsed.ok) return parsed.problems.map(({ path, message }) => `${path}: ${message}`).join();
    const { program } = parsed.deployment.modules[0] ?? {};
    return program?.kind === 'container' ? program.image : program?.kind;
  };
  t.equal(image({ image: 'r.example/a:1', digest }), `r.example/a:1@${digest}`);
  t.equal(image({ image: 'r.example/a', digest }), `r.example/a@${digest}`);
  t.equal(image({ image: `r.example/a@${digest}`, digest }), `r.example/a@${digest}`);
  t.match(image({ image: `r.example/a@sha256:${'00'.repeat(32)}`, digest }), /digest: the image names another digest/);
  t.match(image({ image: 'r.example/a', digest: 'abc' }), /digest: write sha256:/);
  t.end();
});

t.test('image references are checked and completed', (t) => {
  const digest = `sha256:${'0a'.repeat(32)}`;
  for (const [written, image] of [
    ['nginx', 'nginx:latest'],
    [' nginx:1.2 ', 'nginx:1.2'],
    ['localhost/x', 'localhost/x:latest'],
    ['own.example:5000/a/b_c', 'own.example:5000/a/b_c:latest'],
    ['[::1]:5000/a:1', '[::1]:5000/a:1'],
    [`mcr.microsoft.com/a@${digest}`, `mcr.microsoft.com/a@${digest}`],
    [`a:1@${digest}`, `a:1@${digest}`],
    ['$upstream:443/a:1', 'parent:443/a:1'],
  ] as const)
    t.same(readImage(written, 'parent'), { ok: true, image }, written);
  for (const bad of [
    '',
    'a/B',
    'a b',
    'a/',
    '/a',
    'a:',
    'a:-',
    'a@sha256:12',
    'a@',
    'a//b',
    'http://x/a',
    'x'.repeat(600),
  ])
    t.equal(readImage(bad, undefined).ok, false, bad);
  t.equal(readImage('$upstream/a', undefined).ok, false, 'without a parent gateway');
  t.equal(registryOf('nginx:1'), 'docker.io');
  t.equal(registryOf('library/nginx'), 'docker.io');
  t.equal(registryOf('Own.example:5000/a:1'), 'own.example:5000');
  t.end();
});

t.test('long createOptions are reported in pieces that can be read again', (t) => {
  const options = { Env: Array.from({ length: 200 }, (_, index) => `VARIABLE_${index}=x`) };
  const pieces = createOptionsPieces(options);
  t.ok(Object.keys(pieces).length > 4);
  t.same(readCreateOptions(pieces), { ok: true, value: options });
  t.same(createOptionsPieces({}), { createOptions: '{}' });
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

t.test('what no supervisor could follow is refused or cut before it is tried', (t) => {
  const program = { type: 'process', settings: { executable: '/bin/a' } };
  const names = (name: string, moduleNameBytesMax?: number) =>
    parseDeployment({ schemaVersion: '1.1', modules: { [name]: program } }, { ...context, moduleNameBytesMax });
  t.match(names('m'.repeat(71), 71), { ok: true });
  t.match(names('m'.repeat(72), 71), { ok: false, status: 400, problems: [{ message: /71 bytes fit/ }] });
  t.match(names(':'.repeat(67)), { ok: false, problems: [{ message: /200 bytes fit/ }] });
  const settings = { image: 'own.example:5000/a:1', createOptions: '{"StopTimeout":999999999}' };
  const [order] = launchOrders(
    orderInput(read({ schemaVersion: '1.1', modules: { a: { type: 'docker', settings } } })),
  );
  t.equal(order?.graceMs, 3_600_000);
  t.end();
});
