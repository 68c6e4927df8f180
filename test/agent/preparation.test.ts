// Before anything is stopped: what a deployment needs fits, is fetched, and lies ready; what cannot be had is told.

import t from 'tap';
import type { ModuleArtifacts, ModuleImages } from '../../src/agent/ports.ts';
import type { JsonObject } from '../../src/model/json.ts';
import { AgentSite, deployment, meter } from '../support/agent-site.ts';
import { settle } from '../support/sim-clock.ts';

const sha = (digit: string): string => digit.repeat(64);

function fetched(digit: string, more: JsonObject = {}): JsonObject {
  const source = { url: `https://example.com/${digit}.tar`, sha256: sha(digit), size: 1000, ...more };
  return { type: 'process', settings: { executable: 'bin/app', source } };
}

function container(image: string): JsonObject {
  return { type: 'docker', settings: { image, createOptions: '{}' } };
}

/** Installs when told to; remembers what it was asked. */
class SlowArtifacts implements ModuleArtifacts {
  readonly asked: string[] = [];
  readonly installed = new Set<string>();
  kept: readonly string[] = [];
  fault: Error | undefined;
  #waiting: (() => void)[] = [];

  async install(
    { sha256 }: { readonly sha256: string },
    told: (progress: string) => void,
    signal: AbortSignal,
  ): Promise<{ readonly directory: string; readonly installedBytes: number }> {
    this.asked.push(sha256.slice(0, 1));
    if (!this.installed.has(sha256)) {
      told('downloading: 40 %');
      await new Promise<void>((resolve, reject) => {
        this.#waiting.push(resolve);
        signal.addEventListener('abort', () => reject(new TypeError('nobody waits any more')));
      });
      if (this.fault !== undefined) throw this.fault;
      this.installed.add(sha256);
    }
    return { directory: `/files/${sha256.slice(0, 1)}`, installedBytes: 1000 };
  }

  keepOnly(sha256s: readonly string[]): Promise<void> {
    this.kept = sha256s.map((sha256) => sha256.slice(0, 1));
    return Promise.resolve();
  }

  async answer(fault?: Error): Promise<void> {
    this.fault = fault;
    for (const resolve of this.#waiting.splice(0)) resolve();
    await settle();
  }
}

class FakeImages implements ModuleImages {
  readonly asked: unknown[] = [];
  kept: readonly string[] = [];
  architecture = 'amd64';
  fault: Error | undefined;

  prepare(image: { readonly image: string }): Promise<{ readonly id: string; readonly architecture: string }> {
    this.asked.push(image);
    return this.fault === undefined
      ? Promise.resolve({ id: 'sha256:1', architecture: this.architecture })
      : Promise.reject(this.fault);
  }
  keepOnly(images: readonly string[]): Promise<void> {
    this.kept = images;
    return Promise.resolve();
  }
  available(): Promise<{ readonly ok: true; readonly engine: string }> {
    return Promise.resolve({ ok: true, engine: 'test' });
  }
}

function bench(more: { readonly room?: number; readonly memory?: number } = {}) {
  const artifacts = new SlowArtifacts();
  const images = new FakeImages();
  const machine = {
    roomBytes: () => Promise.resolve(more.room ?? 1e9),
    memoryTotalBytes: more.memory ?? 1e9,
    architecture: 'x86_64',
  };
  const site = new AgentSite({ ports: { artifacts, images, machine } });
  return { artifacts, images, site };
}

async function deploy(site: AgentSite, modules: JsonObject): Promise<void> {
  site.twin.set(deployment(modules));
  await settle();
}

t.test('what runs goes on until all its successor needs is there', async (t) => {
  const { artifacts, site } = bench();
  await site.agent.start();
  await deploy(site, { meter: meter('1') });
  await site.clock.advance(60_000);
  await deploy(site, { meter: meter('2'), app: fetched('a') });
  t.same(site.running, ['meter1']);
  t.match(site.agent.rollout(), { phase: 'preparing', modules: [{ name: 'app', text: 'downloading: 40 %' }] });
  t.match(site.agent.status(), { version: 1, code: 200 }, 'the one in force is the one that is told of');
  t.match(site.twin.reportedNow, { lastDesiredVersion: 1 }, 'the hub is not told that it were there');
  await artifacts.answer();
  t.same(site.running, ['app', 'meter2']);
  t.same(site.orders[0]?.command, ['/files/a/bin/app']);
  await site.clock.advance(60_000);
  t.same(artifacts.kept, ['a']);
  t.match(site.twin.reportedNow, { lastDesiredVersion: 2, lastDesiredStatus: { code: 200 } });
  await site.agent.close();
});

t.test('what cannot be fetched changes nothing, is told, and is tried again after growing pauses', async (t) => {
  const { artifacts, site } = bench();
  await site.agent.start();
  await deploy(site, { meter: meter('1') });
  await deploy(site, { meter: meter('2'), app: fetched('a') });
  await artifacts.answer(new TypeError('the server is away'));
  t.same(site.running, ['meter1']);
  t.match(site.twin.reportedNow, {
    lastDesiredVersion: 2,
    lastDesiredStatus: { code: 500, description: /not applied yet.*app: the server is away/ },
  });
  await site.clock.advance(9_999);
  t.equal(artifacts.asked.length, 1);
  await site.clock.advance(1);
  t.equal(artifacts.asked.length, 2);
  await artifacts.answer(new TypeError('the server is away'));
  await site.clock.advance(19_999);
  t.equal(artifacts.asked.length, 2);
  await site.clock.advance(1);
  await artifacts.answer();
  t.same(site.running, ['app', 'meter2']);
  await site.agent.close();
  t.equal(site.clock.timerCount, 0);
});

t.test('a newer deployment ends the fetching of the one before it', async (t) => {
  const { artifacts, site } = bench();
  await site.agent.start();
  await deploy(site, { meter: meter('1') });
  await deploy(site, { app: fetched('a') });
  await deploy(site, { app: fetched('b') });
  await artifacts.answer();
  t.same(site.orders[0]?.command, ['/files/b/bin/app']);
  t.same(artifacts.asked, ['a', 'b']);
  await site.agent.close();
});

t.test('with nothing to protect, modules do not wait for the files of one another', async (t) => {
  const { artifacts, site } = bench();
  await site.agent.start();
  await deploy(site, { meter: meter('1'), app: fetched('a') });
  t.same(site.running, ['meter1']);
  t.same(site.agent.unsupported(), [{ name: 'app', reason: 'its files are being fetched' }]);
  t.match(site.twin.reportedNow, {
    modules: { app: { runtimeStatus: 'unknown' }, meter: { runtimeStatus: 'running' } },
  });
  await artifacts.answer(new TypeError('the server is away'));
  t.match(site.twin.reportedNow, {
    lastDesiredStatus: { code: 500, description: /app: the server is away/ },
    modules: { app: { runtimeStatus: 'failed', statusDescription: 'the server is away' } },
  });
  await site.clock.advance(200_000);
  t.equal(site.agent.rollout().phase, 'verifying', 'it is not whole yet');
  await artifacts.answer();
  t.same(site.running, ['app', 'meter1']);
  await site.clock.advance(60_000);
  t.equal(site.agent.rollout().phase, 'settled');
  await site.agent.close();
});

t.test('after a restart installed modules are ordered at once, whatever the artefacts say', async (t) => {
  const { artifacts, site } = bench();
  await site.agent.start();
  await deploy(site, { app: fetched('a') });
  await artifacts.answer();
  await site.clock.advance(60_000);
  await site.agent.close();
  artifacts.installed.clear();
  await site.reborn().start();
  t.same(site.running, ['app']);
  t.same(site.orders[0]?.command, ['/files/a/bin/app']);
  t.equal(artifacts.asked.length, 2, 'what was lost is fetched again');
  await site.agent.close();
});

t.test('a deployment that does not fit is not fetched', async (t) => {
  for (const [what, more, modules, reason] of [
    ['room', { room: 2399 }, { a: fetched('a'), b: fetched('b') }, /need 2400 bytes, and 2399 are free/],
    ['architecture', {}, { a: fetched('a', { architecture: 'aarch64' }) }, /built for arm64, and this machine is x64/],
    [
      'memory',
      { memory: 100_000_000 },
      { a: { ...meter('2'), resources: { memory: '60MB' } }, b: { ...meter('3'), resources: { memory: '60MB' } } },
      /120000000 bytes of memory together, and the machine has 100000000/,
    ],
  ] as const) {
    const { artifacts, site } = bench(more);
    await site.agent.start();
    await deploy(site, { meter: meter('1') });
    await deploy(site, modules);
    t.same(site.running, ['meter1'], what);
    t.same(artifacts.asked, [], what);
    t.match(site.agent.status(), { version: 2, code: 500, description: reason }, what);
    await site.agent.close();
  }
});

t.test('files that are there already need no room', async (t) => {
  const { artifacts, site } = bench({ room: 1300 });
  await site.agent.start();
  await deploy(site, { app: fetched('a') });
  await artifacts.answer();
  await deploy(site, { app: fetched('a'), other: fetched('b') });
  await artifacts.answer();
  t.same(site.running, ['app', 'other']);
  await site.agent.close();
});

t.test('new images are pulled before anything is stopped, with the credentials of their registry', async (t) => {
  const { images, site } = bench();
  await site.agent.start();
  await deploy(site, { c: container('own.example/c:1') });
  t.same(images.asked, [], 'with nothing in force whoever runs the container pulls its image');
  await site.clock.advance(60_000);
  images.fault = new TypeError('the registry is away');
  site.twin.set({
    ...deployment({ c: container('own.example/c:2'), d: { ...container('x'), imagePullPolicy: 'never' } }),
    runtime: { settings: { registryCredentials: { own: { username: 'u', password: 'p', address: 'own.example' } } } },
  });
  await settle();
  t.match(site.agent.status(), { code: 500, description: /c: the registry is away; d: the registry is away/ });
  t.equal(site.orders[0]?.container?.image, 'own.example/c:1');
  images.fault = undefined;
  images.architecture = 'arm64';
  await site.clock.advance(10_000);
  t.match(site.agent.status(), { code: 500, description: /c:2 is built for arm64, and this machine is x64/ });
  images.architecture = 'amd64';
  await site.clock.advance(20_000);
  t.same(
    site.orders.map(({ container: spec }) => spec?.image),
    ['own.example/c:2', 'x:latest'],
  );
  t.match(images.asked.slice(-2), [
    { image: 'own.example/c:2', pullPolicy: 'on-create', credentials: { username: 'u' } },
    { image: 'x:latest', pullPolicy: 'never' },
  ]);
  await site.clock.advance(60_000);
  t.same(images.kept, ['own.example/c:2', 'x:latest']);
  await site.agent.close();
});
