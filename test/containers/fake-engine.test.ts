// The contract of containers against the tests' own engine, which speaks as Docker does: quick, and without root.

import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { FakeEngine } from '../support/fake-engine.ts';
import { containersContract } from './contract.ts';
import { Gateway, type TestEngine } from './stage.ts';

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

async function stage(t: Test): Promise<{ readonly fake: FakeEngine; readonly own: Gateway }> {
  const fake = new FakeEngine();
  t.teardown(() => fake.close());
  await fake.start();
  const own = new Gateway(t, { engine: fake, network: 'edge', directory: t.testdir(), ageMs: 0 });
  await own.containers.start();
  return { fake, own };
}

const untold = (): void => undefined;

t.test('who waits for the pull of another one can leave', async (t) => {
  const { own } = await stage(t);
  const [first, second] = [new AbortController(), new AbortController()];
  const wanted = { image: 'hangs.test/box:1', pullPolicy: 'on-create' } as const;
  const pulling = own.containers.images.prepare(wanted, untold, first.signal);
  const waiting = own.containers.images.prepare(wanted, untold, second.signal);
  await pause(100);
  second.abort();
  await t.rejects(waiting);
  first.abort();
  await t.rejects(pulling);
});

t.test('an image that the engine does not give up keeps none of the others', async (t) => {
  const { fake, own } = await stage(t);
  const names = ['a:1', 'b:1', 'c:1'].map((repository) => fake.publish(repository));
  const { signal } = new AbortController();
  for (const image of names) await own.containers.images.prepare({ image, pullPolicy: 'on-create' }, untold, signal);
  fake.stuckImages.add(names[0] ?? '');
  await own.containers.images.keepOnly([]);
  t.same([...fake.images.keys()], [names[0]]);
});

t.test('an answer that cannot be read is not taken for an empty engine', async (t) => {
  const { fake, own } = await stage(t);
  const image = fake.publish('box:1');
  const module = own.module('alpha');
  module.launch(image, { options: { Cmd: ['/bin/sh', '-c', 'sleep 1000'] } });
  await module.up();
  fake.isGarbled = true;
  await t.rejects(own.containers.known(), { code: 'CONTAINERS_ENGINE_UNSUITABLE' });
  await t.rejects(own.module('alpha').runner.find(), { code: 'CONTAINERS_ENGINE_UNSUITABLE' });
  fake.isGarbled = false;
  t.same(await own.containers.known(), ['alpha']);
});
