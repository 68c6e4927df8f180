// The contract of containers against real podman, with a registry of its own.

import t from 'tap';
import { Podman, registryUser } from '../support/podman.ts';
import { containersContract } from './contract.ts';
import { Gateway, type TestEngine } from './stage.ts';

const watchedMs = 3_000;
/** What a start leaves to be done takes a busy machine some time. */
const looksMax = 20;
/** A call that looks without pause takes more than half a processor; what is right, less than a hundredth. */
const shareMax = 0.1;

t.test('podman', async (t) => {
  const podman = new Podman();
  t.teardown(() => podman.close());
  await podman.startRegistry();
  await podman.start();
  const engine: TestEngine = {
    socket: podman.socket,
    publish: (repository, options) => Promise.resolve(podman.publish(repository, options)),
    stopEngine: () => podman.stopService(),
    startEngine: () => podman.startService(),
    stopRegistry: () => podman.stopRegistry(),
    containers: () => Promise.resolve(lines(podman.run('ps', '--all', '--format', '{{.Names}}'))),
    images: () => Promise.resolve(lines(podman.run('images', '--format', '{{.Repository}}:{{.Tag}}'))),
    removeContainer: (name) => Promise.resolve(void podman.run('rm', '--force', '--time', '0', name)),
  };
  const network = `weir-test-${process.pid}`;
  containersContract(t, {
    engine,
    gateway: (t, more) => new Gateway(t, { engine, network, ...more, directory: more?.directory ?? t.testdir() }),
  });
});

t.test('a container that runs costs the engine next to nothing', async (t) => {
  const podman = new Podman();
  t.teardown(() => podman.close());
  await podman.start();
  podman.image('localhost/weir/box:1');
  const own = new Gateway(t, { engine: podman, network: `weir-idle-${process.pid}`, directory: t.testdir() });
  await own.containers.start();
  const module = own.module('idle');
  module.launch('localhost/weir/box:1', {
    options: { Cmd: ['/bin/sh', '-c', 'trap "exit 0" TERM; while true; do sleep 0.2; done'] },
    container: { pullPolicy: 'never' } as never,
  });
  await module.up();
  let taken = Number.POSITIVE_INFINITY;
  for (let look = 1; look <= looksMax && taken >= watchedMs * shareMax; look++) {
    const before = podman.serviceCpuMs();
    await new Promise((resolve) => setTimeout(resolve, watchedMs));
    taken = podman.serviceCpuMs() - before;
  }
  t.ok(taken < watchedMs * shareMax, `${taken} ms of processor in ${watchedMs} ms`);
  module.runner.terminate(2_000);
  t.match(await module.ended(), { code: 0 }, 'and its end is learnt');
});

t.test('a private registry: refused without credentials, served with them, and a digest names one image', async (t) => {
  const podman = new Podman();
  t.teardown(() => podman.close());
  await podman.startRegistry({ withPassword: true });
  await podman.start();
  const image = podman.publish('weir/private:1');
  const gateway = new Gateway(t, { engine: podman, network: 'unused', directory: t.testdir() });
  const { images } = gateway.containers;
  const prepare = (name: string, credentials?: typeof registryUser) =>
    images.prepare(
      {
        image: name,
        pullPolicy: 'on-create',
        ...(credentials === undefined ? {} : { credentials: { ...credentials, address: podman.registry } }),
      },
      () => undefined,
      new AbortController().signal,
    );
  await t.rejects(prepare(image), { code: 'CONTAINERS_PULL_FAILED', retryable: false, message: /credentials/ });
  await t.rejects(prepare(image, { ...registryUser, password: 'wrong' }), { code: 'CONTAINERS_PULL_FAILED' });
  const { id } = await prepare(image, registryUser);
  const digest = podman.run('image', 'inspect', '--format', '{{.Digest}}', image).trim();
  const pinned = image.replace(/:1$/, `@${digest}`);
  podman.run('rmi', image);
  t.equal((await prepare(pinned, registryUser)).id, id);
  t.equal((await prepare(pinned)).id, id, 'what is here by its digest needs no registry');
  await t.rejects(prepare(image.replace(/:1$/, `@sha256:${'0'.repeat(64)}`), registryUser), {
    code: 'CONTAINERS_PULL_FAILED',
  });
});

function lines(text: string): readonly string[] {
  return text.split('\n').filter((line) => line !== '');
}
