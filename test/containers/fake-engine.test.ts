// The contract of containers against the tests' own engine, which speaks as Docker does: quick, and without root.

import t from 'tap';
import { FakeEngine } from '../support/fake-engine.ts';
import { containersContract } from './contract.ts';
import { Gateway, type TestEngine } from './stage.ts';

t.setTimeout(120_000);

t.test('an engine that speaks as Docker does', async (t) => {
  const fake = new FakeEngine();
  t.teardown(() => fake.close());
  await fake.start();
  const engine: TestEngine = {
    socket: fake.socket,
    publish: (repository) => Promise.resolve(fake.publish(repository)),
    stopEngine: () => fake.stop(),
    startEngine: () => fake.start(),
    stopRegistry: () => Promise.resolve(fake.stopRegistry()),
    containers: () => Promise.resolve([...fake.containers.values()].map(({ name }) => name)),
    images: () => Promise.resolve([...fake.images.keys()]),
    removeContainer: (name) => Promise.resolve(fake.remove(name)),
  };
  containersContract(t, {
    engine,
    gateway: (t, more) =>
      new Gateway(t, { engine, network: 'edge', ...more, directory: more?.directory ?? t.testdir() }),
  });
});
