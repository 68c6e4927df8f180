// What the supervisor and the agent may rely on, whichever engine is behind the socket: run against real podman
// (podman.test.ts) and against the tests' own engine (fake-engine.test.ts).

import { existsSync, readFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import type { Test } from 'tap';
import { until } from '../support/world/program.ts';
import { type Gateway, type Module, type TestEngine, waitMs } from './stage.ts';

const ticking = 'i=0; while true; do i=$((i+1)); echo tick $i; echo tock $i >&2; sleep 0.1; done';
/** Ends at once on SIGTERM: the first process of a container ignores signals that it does not handle. */
const obedient = `trap "echo bye; exit 0" TERM; ${ticking}`;
/** Says well twice, and then no more. */
const countingCheck = 'n=$(cat /tmp/n || echo 0); n=$((n+1)); echo $n > /tmp/n; echo check $n; test $n -le 2';
const stubborn = `trap "" TERM; ${ticking}`;

export interface ContractSubject {
  readonly engine: TestEngine;
  /** A fresh gateway's directory and network. */
  gateway(t: Test, more?: Partial<ConstructorParameters<typeof Gateway>[1]>): Gateway;
}

function shell(script: string): { readonly options: object } {
  return { options: { Cmd: ['/bin/sh', '-c', script] } };
}

function read(gateway: Gateway, name: string): string {
  const path = gateway.logPath(name);
  const older = existsSync(`${path}.1`) ? readFileSync(`${path}.1`, 'utf8') : '';
  return older + (existsSync(path) ? readFileSync(path, 'utf8') : '');
}

function ticks(text: string, word: string): readonly number[] {
  return [...text.matchAll(new RegExp(`^\\S+Z [OE] ${word} (\\d+)$`, 'gm'))].map((found) => Number(found[1]));
}

/** Takes connections and says nothing. */
async function silentRegistry(t: Test): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => void sockets.add(socket.on('error', () => undefined)));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });
  const address = server.address();
  return `127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}`;
}

export function containersContract(t: Test, { engine, gateway }: ContractSubject): void {
  t.test('pulled, made, started, stopped within its grace, erased', async (t) => {
    const image = await engine.publish('box:1');
    const own = gateway(t);
    await own.containers.start();
    const module = own.module('alpha');
    t.same(await module.runner.find(), { kind: 'nothing' });
    const beforeMs = Date.now();
    module.launch(image, shell(obedient));
    const up = await module.up();
    t.ok(up.startedAtMs >= beforeMs - 1000 && up.startedAtMs <= Date.now() + 1000, 'its start time is now');
    t.match(up.imageHash, /^sha256:[0-9a-f]{64}$/);
    t.ok(
      module.told.some((text) => text.startsWith('pulling image')),
      'the pull is told',
    );
    t.same(await own.containers.known(), ['alpha']);
    await until('it ticks', waitMs, () => ticks(read(own, 'alpha'), 'tick').length >= 3 || undefined);
    module.runner.terminate(60_000);
    t.match(await module.ended(), { code: 0, signal: null, reason: 'exit', pid: null, oomKilled: false });
    const log = read(own, 'alpha');
    t.match(log, /Z O bye\n$/, 'its last word is in the log when its end is told');
    const seen = ticks(log, 'tick');
    t.same(
      seen,
      seen.map((_, index) => index + 1),
      'each line once, in order',
    );
    t.same(ticks(log, 'tock').length, seen.length, 'stderr, too');
    t.equal(module.ups.length, 1);
    await module.runner.erase();
    t.same(await engine.containers(), []);
    t.same(await own.containers.known(), []);
    await module.runner.detach();
    t.equal(module.ends.length, 1, 'one end is told');
  });

  t.test('an exit code is told, and a container whose making is the same is started again', async (t) => {
    const image = await engine.publish('box:2');
    const own = gateway(t);
    await own.containers.start();
    const module = own.module('beta');
    const script = shell('test -f /tmp/been && echo again; touch /tmp/been; exit 75');
    module.launch(image, script);
    t.match(await module.ended(), { code: 75, reason: 'exit', message: /exit code 75/ });
    const [first] = await engine.containers();
    module.launch(image, script);
    await module.ended(2);
    t.same(await engine.containers(), [first]);
    t.match(read(own, 'beta'), /Z O again\n/, 'what it wrote into its own file system is still there');
    module.launch(image, { ...script, env: { MODULE: 'beta', NEW: '1' }, generation: 'g2' });
    await module.ended(3);
    t.equal(read(own, 'beta').match(/again/g)?.length, 1, 'another configuration is another container');
    t.equal((await engine.containers()).length, 1, 'and the old one is gone');
    await module.runner.erase();
    await module.runner.detach();
  });

  t.test('who does not heed SIGTERM is killed after the grace, and it is told as a signal', async (t) => {
    const image = await engine.publish('box:3');
    const own = gateway(t);
    await own.containers.start();
    const module = own.module('gamma');
    module.launch(image, shell(stubborn));
    await module.up();
    await until('it ticks', waitMs, () => ticks(read(own, 'gamma'), 'tick').length > 0 || undefined);
    module.runner.terminate(500);
    t.match(await module.ended(), { code: null, signal: 9, reason: 'signal' });
    await module.runner.erase();
    await module.runner.detach();
  });

  t.test('adopted by the next life of the runtime: same start, no line of its log missing or doubled', async (t) => {
    const image = await engine.publish('box:4');
    const directory = t.testdir();
    const memory = new Map<string, string>();
    const first = gateway(t, { directory, memory });
    await first.containers.start();
    const module = first.module('delta');
    module.launch(image, shell(obedient));
    const up = await module.up();
    await until('it ticks', waitMs, () => ticks(read(first, 'delta'), 'tick').length >= 5 || undefined);
    await module.runner.detach();
    await first.containers.close();
    t.equal(module.ends.length, 0, 'nothing is told after it was let go of');

    for (let life = 2; life <= 4; life++) {
      const next = gateway(t, { directory, memory });
      t.same(await next.containers.known(), ['delta']);
      const adopted = next.module('delta');
      t.same(await adopted.runner.find(), { kind: 'running', state: up }, `life ${life} finds it as it was`);
      const known = ticks(read(next, 'delta'), 'tick').length;
      await until('its log goes on', waitMs, () => ticks(read(next, 'delta'), 'tick').length > known + 5 || undefined);
      if (life < 4) {
        await adopted.runner.detach();
        await next.containers.close();
        continue;
      }
      adopted.runner.terminate(60_000);
      t.match(await adopted.ended(), { code: 0 });
      await adopted.runner.erase();
      await adopted.runner.detach();
    }
    const log = read(first, 'delta');
    for (const word of ['tick', 'tock']) {
      const seen = ticks(log, word);
      t.same(
        seen,
        seen.map((_, index) => index + 1),
        `each ${word} once, in order`,
      );
    }
  });

  t.test('what ended while the runtime was away is found with its exit code and its last lines', async (t) => {
    const image = await engine.publish('box:5');
    const directory = t.testdir();
    const memory = new Map<string, string>();
    const first = gateway(t, { directory, memory });
    await first.containers.start();
    const module = first.module('epsilon');
    module.launch(image, shell('echo one; sleep 1; echo two; exit 3'));
    await module.up();
    await module.runner.detach();
    await first.containers.close();
    const next = gateway(t, { directory, memory });
    const found = await until('it has ended', waitMs, async () => {
      const probe = next.module('epsilon');
      const answer = await probe.runner.find();
      if (answer.kind !== 'ended') await probe.runner.detach();
      return answer.kind === 'ended' ? answer : undefined;
    });
    t.match(found, { kind: 'ended', end: { code: 3, reason: 'exit' } });
    t.match(read(next, 'epsilon'), /Z O one\n(.|\n)*Z O two\n/);
    t.equal(read(next, 'epsilon').match(/ O two\n/g)?.length, 1);
    await next.module('epsilon').runner.erase();
  });

  t.test('an engine that goes away and comes back ends nothing; what ended meanwhile is told then', async (t) => {
    const image = await engine.publish('box:6');
    const own = gateway(t);
    await own.containers.start();
    const module = own.module('zeta');
    module.launch(image, shell(obedient));
    await module.up();
    await until('it ticks', waitMs, () => ticks(read(own, 'zeta'), 'tick').length >= 3 || undefined);
    await engine.stopEngine();
    t.match(await own.containers.images.available(), { ok: false, reason: /container engine/ });
    await t.rejects(own.containers.known(), { code: /CONTAINERS_ENGINE/ }, 'nobody knows now');
    await t.rejects(own.module('eta').runner.find(), { code: /CONTAINERS_ENGINE/ }, 'nor whether one runs');
    const waiting = own.module('eta');
    waiting.launch(image, shell('exit 0'));
    await until('the wait is told', waitMs, () =>
      waiting.told.find((text) => text.includes('waiting for the container engine')),
    );
    const given = own.module('theta');
    given.launch(image, shell('exit 0'));
    given.runner.terminate(0);
    t.match(await given.ended(), { reason: 'start' }, 'a start that is not wanted any more does not wait');
    t.equal(module.ends.length, 0, 'no end is told while the engine is away');
    await until('who runs tells that nobody knows', waitMs, () =>
      module.told.find((text) => text.includes('waiting for the container engine')),
    );
    const known = ticks(read(own, 'zeta'), 'tick').length;
    await engine.startEngine();
    t.match(await waiting.ended(), { code: 0 }, 'what waited was started');
    await until('that it is known again is told', waitMs, () => module.told.at(-1) === '' || undefined);
    await until('the log goes on', waitMs, () => ticks(read(own, 'zeta'), 'tick').length > known + 3 || undefined);
    t.equal(module.ends.length, 0);
    module.runner.terminate(60_000);
    t.match(await module.ended(), { code: 0 });
    const seen = ticks(read(own, 'zeta'), 'tick');
    t.same(
      seen,
      seen.map((_, index) => index + 1),
      'each line once, in order',
    );
    for (const each of [module, waiting, given]) {
      await each.runner.erase();
      await each.runner.detach();
    }
    t.same(await engine.containers(), []);
  });

  t.test('a container that somebody removes is told as lost', async (t) => {
    const image = await engine.publish('box:7');
    const own = gateway(t);
    await own.containers.start();
    const module = own.module('iota');
    module.launch(image, shell(ticking));
    await module.up();
    const [name] = await engine.containers();
    await engine.removeContainer(name ?? '');
    t.match(await module.ended(), { reason: /lost|signal/ });
    await module.runner.detach();
  });

  t.test('a program that is not there is a failed start, with the reason', async (t) => {
    const image = await engine.publish('box:8');
    const own = gateway(t);
    await own.containers.start();
    const module = own.module('kappa');
    module.launch(image, { options: { Cmd: ['/no/such/program'] } });
    t.match(await module.ended(), {
      code: null,
      reason: 'start',
      message: /could not be started: .*no such file|not found/i,
    });
    t.equal(module.ups.length, 0);
    await module.runner.erase();
    await module.runner.detach();
  });

  t.test('a health check is told: ready when it first succeeds, unhealthy when it fails again and again', async (t) => {
    const image = await engine.publish('box:9');
    const own = gateway(t);
    await own.containers.start();
    const module = own.module('lambda');
    module.launch(image, {
      ...shell(obedient),
      health: {
        command: ['/bin/sh', '-c', countingCheck],
        intervalMs: 1_000,
        timeoutMs: 20_000,
        retries: 2,
        startPeriodMs: 0,
      },
    });
    await module.up();
    await until('it is unhealthy', waitMs, () => module.healths.some(({ healthy }) => !healthy) || undefined);
    t.match(module.healths[0], { healthy: true, ready: false }, 'not ready before its first check');
    t.ok(
      module.healths.some(({ ready, text }) => ready && text.startsWith('healthy: check ')),
      `then ready: ${JSON.stringify(module.healths)}`,
    );
    module.runner.terminate(60_000);
    await module.ended();
    await module.runner.erase();
    await module.runner.detach();
  });

  t.test('two gateways on one engine do not see one another, though their modules have one name', async (t) => {
    const image = await engine.publish('box:10');
    const directory = t.testdir({ one: {}, two: {} });
    const gateways = ['one', 'two'].map((name) => gateway(t, { directory: join(directory, name) }));
    const modules: Module[] = [];
    for (const own of gateways) {
      await own.containers.start();
      const module = own.module('nu');
      module.launch(image, shell(obedient));
      await module.up();
      modules.push(module);
    }
    t.equal((await engine.containers()).length, 2);
    const [first, second] = modules;
    await until('both tick', waitMs, () => gateways.every((own) => read(own, 'nu').includes(' O tick ')) || undefined);
    second?.runner.terminate(60_000);
    await second?.ended();
    await second?.runner.erase();
    t.equal(first?.ends.length, 0);
    t.equal((await engine.containers()).length, 1);
    first?.runner.terminate(60_000);
    await first?.ended();
    await first?.runner.erase();
    for (const module of modules) await module.runner.detach();
  });

  t.test('a registry that hangs fails the pull after some time and keeps a start waiting, not failing', async (t) => {
    const own = gateway(t, { times: { pullFirstMsMax: 700 } });
    await own.containers.start();
    const silent = await silentRegistry(t);
    const image = `${silent}/box:1`;
    const pull = own.containers.images.prepare(
      { image, pullPolicy: 'on-create' },
      () => undefined,
      new AbortController().signal,
    );
    await t.rejects(pull, { code: 'CONTAINERS_PULL_STALLED', retryable: true, message: /made no progress/ });
    const module = own.module('xi');
    module.launch(image, shell('exit 0'));
    await until(
      'it is tried again',
      waitMs,
      () => module.told.filter((text) => text.includes('no progress')).length > 1 || undefined,
    );
    t.equal(module.ends.length, 0);
    module.runner.terminate(0);
    t.match(await module.ended(), { reason: 'start' });
    await module.runner.detach();
  });

  t.test(
    'images: digest, never, a name that nobody has, a registry that is gone, removal of what is unused',
    async (t) => {
      const image = await engine.publish('apart/one:1');
      const other = await engine.publish('apart/two:1');
      const memory = new Map<string, string>();
      const own = gateway(t, { memory });
      await own.containers.start();
      const { images } = own.containers;
      const signal = new AbortController().signal;
      const told: string[] = [];
      const prepare = (name: string, pullPolicy: 'on-create' | 'never' = 'on-create') =>
        images.prepare({ image: name, pullPolicy }, (text) => void told.push(text), signal);
      t.match(await images.available(), { ok: true, engine: /^(podman|docker) \d/ });
      await t.rejects(prepare(image, 'never'), { code: 'CONTAINERS_IMAGE_MISSING' });
      await t.rejects(prepare('a b'), { code: 'CONTAINERS_IMAGE_NAME' });
      await t.rejects(prepare(image.replace('/one:', '/none:')), { code: 'CONTAINERS_PULL_FAILED', retryable: false });
      const prepared = await prepare(image);
      t.match(prepared, { id: /^sha256:[0-9a-f]{64}$/, architecture: /^[a-z0-9]+$/ });
      t.same(await prepare(image, 'never'), prepared);
      await prepare(other);
      await images.keepOnly([image, other]);
      t.equal((await engine.images()).filter((name) => name.includes('apart/')).length, 2, 'what is wanted stays');

      const used = own.module('mu');
      used.launch(image, shell('exit 0'));
      await used.ended();
      const later = gateway(t, { memory, ageMs: 0 }).containers.images;
      await later.keepOnly([]);
      t.same(
        (await engine.images()).filter((name) => name.includes('apart/')),
        [image],
        'unused goes, a used one stays',
      );
      await used.runner.erase();
      await later.keepOnly([]);
      t.same(
        (await engine.images()).filter((name) => name.includes('apart/')),
        [],
        'until it is used no more',
      );
      await prepare(image);

      await engine.stopRegistry();
      t.same(await prepare(image), prepared, 'without its registry the copy here serves');
      t.ok(
        told.some((text) => text.includes('copy on this machine')),
        'and it is said',
      );
      await t.rejects(prepare(image.replace('/one:', '/three:')), { code: /^CONTAINERS_PULL_/, retryable: true });
    },
  );
}
