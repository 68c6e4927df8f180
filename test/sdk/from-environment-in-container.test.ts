// ModuleClient.fromEnvironment, unmodified, in a container; and who else may use the container's socket.

import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';
import type { JsonObject } from '../../src/model/json.ts';
import { Podman } from '../support/podman.ts';
import { manifest, program } from '../support/world/manifest.ts';
import { World } from '../support/world/world.ts';
import { makeEdgeImage } from './edge-image.ts';
import { provesItself } from './edge-module.ts';
import { mqttPort } from './sdk-place.ts';

const image = 'localhost/edge-module:1';
const network = `weir-env-${process.pid}`;
const hostname = 'weir-gateway.plant.example';

const container = (createOptions: JsonObject = {}): JsonObject => ({
  version: '1.0',
  type: 'docker',
  status: 'running',
  restartPolicy: 'always',
  imagePullPolicy: 'never',
  settings: { image, createOptions: JSON.stringify(createOptions) },
});

/** A network of its own, with a container in it that lets the bridge and its address exist before the gateway does. */
function bridgeAddress(podman: Podman): string {
  podman.run('network', 'create', network);
  const waits = ['/usr/bin/node', '-e', 'setInterval(() => undefined, 60000)'];
  podman.run('run', '--detach', '--network', network, '--name', 'holder', image, ...waits);
  const [found] = JSON.parse(podman.run('network', 'inspect', network)) as readonly {
    readonly subnets: readonly { readonly gateway: string }[];
  }[];
  return found?.subnets[0]?.gateway ?? '';
}

t.test('a module in a container proves itself, and its socket is its own', async (t) => {
  const podman = new Podman();
  const world = new World({ name: 'box' });
  t.teardown(async () => {
    await world.close();
    await podman.close();
  });
  await podman.start();
  makeEdgeImage(podman, image);
  const address = bridgeAddress(podman);
  await world.startHub();
  const toml = [
    `[listeners]\ntls = "tls://${address}:${mqttPort}"`,
    `[moby_runtime]\nuri = "unix://${podman.socket}"\nnetwork = "${network}"`,
  ].join('\n');
  await world.provision(toml, hostname);
  await world.startGateway();
  const socket = '/api/workload.sock';
  const thief = `const { request } = require('node:http');
    const ask = () => {
      const call = request({ socketPath: process.env.IOTEDGE_WORKLOADURI.replace('unix://', '').replace('/thief/', '/boxed/'),
        path: '/trust-bundle?api-version=2018-06-28', agent: false }, (answer) => console.log('told', answer.statusCode));
      call.on('error', (error) => console.log('error', error.message));
      call.end();
    };
    setInterval(ask, 500);`;
  const modules = { boxed: container(), thief: program(process.execPath, ['-e', thief]) };
  await world.deploy(manifest({ modules }));
  await t.test('telemetry, twin, method, certificate', (t) => provesItself(t, world, 'boxed'));

  const path = join(world.runDir, 'modules', 'boxed', socket);
  const asking = `require('node:http').get({ socketPath: '${path}', path: '/trust-bundle?api-version=2018-06-28' },
    (answer) => console.log('told', answer.statusCode)).on('error', (error) => console.log('error', error.code))`;
  const boxed =
    podman
      .run('ps', '--format', '{{.Names}}')
      .split('\n')
      .find((name) => name.includes('boxed')) ?? '';
  t.match(
    podman.run('exec', boxed, '/usr/bin/node', '-e', asking),
    /told 200/,
    'what is run in the container belongs to it',
  );
  const other = ['--volume', `${path.slice(0, path.lastIndexOf('/'))}:${path.slice(0, path.lastIndexOf('/'))}`];
  const stranger = podman.run('run', '--rm', ...other, '--network', network, image, '/usr/bin/node', '-e', asking);
  t.match(stranger, /told 403/, 'another container that was given the socket does not');
  const told = await world.eventually(
    'the thief is told',
    async () => /told \d+/.exec(await world.succeed('logs', 'thief', ...world.gatewayDirs))?.[0],
  );
  t.equal(told, 'told 403', 'a process module neither');
  const whose = { env: { ...process.env, LC_ALL: 'C' }, encoding: 'utf8' } as const;
  const operator = execFileSync(process.execPath, ['-e', asking], whose);
  t.match(operator, /told 200/, 'root on this machine does');

  await t.test('the gateway is killed: the container goes on, through the same socket', async (t) => {
    const { startedAtMs } = await world.running('boxed');
    await world.killGateway();
    await world.startGateway();
    const offset = await world.lastOffset();
    await world.messages('boxed', 2, offset);
    t.equal((await world.running('boxed')).startedAtMs, startedAtMs);
    t.match(podman.run('exec', boxed, '/usr/bin/node', '-e', asking), /told 200/, 'a new socket in the same directory');
  });
});
