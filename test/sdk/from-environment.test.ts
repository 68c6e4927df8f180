// ModuleClient.fromEnvironment, unmodified, in process modules; and who else may use their sockets.

import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { manifest, program } from '../support/world/manifest.ts';
import { socketCall } from '../support/world/unix-http.ts';
import { World } from '../support/world/world.ts';
import { provesItself } from './edge-module.ts';
import { mqttPort, portsTaken } from './sdk-place.ts';

const address = '127.0.0.86';
const skip = await portsTaken(address, [mqttPort]);
const edgeModule = join(process.cwd(), 'test/sdk/programs/edge-module.mjs');

/** Asks for the trust bundle of another module, and writes down what it is told. */
const thief = `
const { request } = require('node:http');
const own = process.env.IOTEDGE_WORKLOADURI.replace('unix://', '');
const socketPath = own.replace('/thief/', '/worker/');
const ask = () => {
  const call = request({ socketPath, path: '/trust-bundle?api-version=2018-06-28', agent: false }, (answer) => {
    let text = '';
    answer.on('data', (piece) => (text += piece));
    answer.on('end', () => console.log('told', answer.statusCode, text.slice(0, 200)));
  });
  call.on('error', (error) => console.log('error', error.message));
  call.end();
};
setInterval(ask, 300);
`;

t.test('a process module proves itself, and no other module can use its socket', { skip }, async (t) => {
  const world = new World({ name: 'env' });
  t.teardown(() => world.close());
  await world.startHub();
  const toml = `[listeners]\ntls = "tls://${address}:${mqttPort}"\n[modules]\nmanagement = ["watcher"]`;
  await world.provision(toml, address);
  await world.startGateway();
  // As an executable with the interpreter in its first line, as scripts are deployed.
  const script = join(world.directory, 'worker.sh');
  writeFileSync(script, `#!/bin/sh\nexec ${process.execPath} ${edgeModule}\n`);
  chmodSync(script, 0o755);
  const modules = {
    worker: program(script),
    thief: program(process.execPath, ['-e', thief]),
    watcher: program('/bin/sh', ['-c', 'env; exec sleep 1000']),
  };
  await world.deploy(manifest({ modules }));
  await t.test('telemetry, twin, method, certificate', (t) => provesItself(t, world, 'worker'));

  const logOf = (name: string): Promise<string> => world.succeed('logs', name, ...world.gatewayDirs);
  const told = await world.eventually(
    'the thief is told something',
    async () => /told .*/.exec(await logOf('thief'))?.[0],
  );
  t.match(told, /^told 403 .*Unauthorized.*belongs to module 'worker'.*of the module 'thief'/);
  const socketPath = join(world.runDir, 'modules', 'worker', 'api', 'workload.sock');
  const path = '/trust-bundle?api-version=2018-06-28';
  t.equal((await socketCall({ socketPath, method: 'GET', path })).status, 200, 'an operator reads it all the same');
  const metrics = JSON.parse((await world.adminCall('GET', '/metrics')).body) as readonly {
    readonly name: string;
    readonly value: number;
    readonly labels?: Readonly<Record<string, string>>;
  }[];
  const refusals = metrics.find(
    ({ name, labels }) => name === 'weir_workload_refused' && labels?.['reason'] === 'WORKLOAD_CALLER_FORBIDDEN',
  );
  t.ok((refusals?.value ?? 0) > 0, 'counted');

  await t.test('management: for operators, and for the module that the configuration names', async (t) => {
    const own = join(world.runDir, 'modules', 'watcher', 'api', 'mgmt.sock');
    const environment = await world.eventually('the watcher shows its environment', async () => {
      const text = await logOf('watcher');
      return text.includes('IOTEDGE_') ? text : undefined;
    });
    t.match(environment, `IOTEDGE_MANAGEMENTURI=unix://${own}`);
    t.notMatch(await logOf('worker'), /MANAGEMENTURI/);
    for (const at of [own, join(world.runDir, 'mgmt.sock')]) {
      const call = (method: string, path: string) =>
        socketCall({ socketPath: at, method, path: `${path}?api-version=2022-08-03` });
      const { modules: listed } = JSON.parse((await call('GET', '/modules')).body) as { modules: { name: string }[] };
      t.same(listed.map(({ name }) => name).sort(), ['edgeAgent', 'edgeHub', 'thief', 'watcher', 'worker']);
      t.equal((await call('POST', '/modules/worker/stop')).status, 403);
      const before = await world.running('thief');
      t.equal((await call('POST', '/modules/thief/restart')).status, 204);
      await world.eventually(
        'it is another process',
        async () => (await world.running('thief')).pid !== before.pid || undefined,
      );
      t.match((await call('GET', '/modules/worker/logs')).body, /open\n/);
      t.match(JSON.parse((await call('GET', '/systeminfo')).body), { osType: 'linux', cpus: Number });
      t.match(JSON.parse((await call('GET', '/systeminfo/resources')).body), { disks: [{ available_space: Number }] });
    }
  });

  await t.test('the gateway is killed: modules go on, and their sockets are theirs again', async (t) => {
    const { pid } = await world.running('worker');
    await world.killGateway();
    await world.startGateway();
    const offset = await world.lastOffset();
    await world.messages('worker', 2, offset);
    t.equal((await world.running('worker')).pid, pid);
    const before = (await logOf('thief')).length;
    const after = await world.eventually('the thief is told again', async () => {
      const text = (await logOf('thief')).slice(before);
      return text.includes('told ') ? text : undefined;
    });
    t.match(after, /told 403/);
    t.notMatch(after, /told 200/);
  });
});
