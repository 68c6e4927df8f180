// A broker killed with SIGKILL at drawn moments, QoS 1 and 2 under way in both directions.
//
//   publisher ──QoS 1 and 2──► broker ✗ ──► subscriber, which comes and goes
//
// Both clients keep their own state and come back without a clean session. Afterwards: what was acknowledged has
// arrived, QoS 2 once and in order, the subscription was made a single time, and retained messages are no older than
// acknowledged. CRASH_SEEDS=1,2,… chooses the seeds.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { build } from 'esbuild';
import t, { type Test } from 'tap';
import { SessionClient } from '../support/session-client.ts';
import { seededEntropy } from '../support/sim-entropy.ts';
import { bundleStoreThread } from '../support/store-thread.ts';
import { Program, until } from '../support/world/program.ts';

const seeds = (process.env['CRASH_SEEDS'] ?? Array.from({ length: 20 }, (_, index) => index + 1).join())
  .split(',')
  .map(Number);
const kills = 4;
/** Seeds at a time: each waits most of its time for a program to start. */
const jobs = 3;
const window = 16;
const retainedTopics = 4;
const waitMs = 180_000;
const messagesLeast = 20;
const testMs = 600_000;

async function bundle(directory: string): Promise<string> {
  const outfile = join(directory, 'broker-process.cjs');
  const root = process.cwd();
  await bundleStoreThread(directory);
  await build({
    entryPoints: [join(root, 'test/support/broker-process.ts')],
    outfile,
    bundle: true,
    platform: 'node',
    target: 'node20',
    format: 'cjs',
    logLevel: 'error',
    define: { 'import.meta.url': JSON.stringify(pathToFileURL(join(root, 'src/platform/native.ts')).href) },
  });
  return outfile;
}

t.jobs = jobs;
const directory = t.testdir();
const bundled = bundle(directory);

/** The broker of one seed: killed and started again over the same data. */
class Life {
  readonly #command: readonly string[];
  #program: Program | undefined;
  port = 0;

  constructor(command: readonly string[]) {
    this.#command = command;
  }

  async start(): Promise<void> {
    const program = new Program(this.#command, {});
    this.#program = program;
    const { port } = JSON.parse(await program.line('"port"', waitMs)) as { port: number };
    this.port = port;
  }

  async kill(): Promise<void> {
    await this.#program?.end('SIGKILL');
  }

  get log(): string {
    return this.#program?.stderr ?? '';
  }
}

/** Numbered messages for as long as it runs, never more than the window under way. */
class Source {
  readonly client = new SessionClient('publisher');
  readonly #draw: () => number;
  /** By message: its QoS. */
  readonly qosOf = new Map<string, 1 | 2>();
  running = false;
  #next = 1;

  constructor(draw: () => number) {
    this.#draw = draw;
    this.client.onRoom = () => this.fill();
  }

  fill(): void {
    while (this.running && this.client.connected && this.client.inflight < window) {
      const n = this.#next++;
      const text = String(n);
      const kind = this.#draw();
      if (kind < 0.1) {
        const topic = `retained/${n % retainedTopics}`;
        this.client.publish(topic, text, { qos: 1, retain: true });
        continue;
      }
      const qos = kind < 0.5 ? 1 : 2;
      this.qosOf.set(text, qos);
      this.client.publish(`data/${qos}`, text, { qos });
    }
  }
}

function rest(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function comeBack(client: SessionClient, life: Life): Promise<boolean | undefined> {
  return until(`${life.port} takes the client`, waitMs, () => client.connect(life.port));
}

for (const seed of seeds) {
  t.test(
    `nothing acknowledged is lost and QoS 2 arrives once with seed ${seed}`,
    { timeout: testMs, buffered: true },
    async (t: Test) => {
      const draw = seededEntropy(seed).fraction;
      const dataDir = join(directory, `seed-${seed}`);
      mkdirSync(dataDir);
      const life = new Life([process.execPath, await bundled, dataDir, join(directory, 'store-thread.cjs')]);
      t.teardown(() => life.kill());
      await life.start();
      const subscriber = new SessionClient('subscriber');
      t.equal(await comeBack(subscriber, life), false, 'a new session');
      await subscriber.subscribe('data/#', 2);
      const source = new Source(draw);
      await comeBack(source.client, life);
      t.teardown(() => {
        source.running = false;
        subscriber.drop();
        source.client.drop();
      });
      source.running = true;
      source.fill();
      for (let kill = 0; kill < kills; kill++) {
        await rest(50 + draw() * 300);
        // The subscriber may be away, so that messages queue; or it comes back just before the blow.
        if (draw() < 0.5) subscriber.drop();
        await rest(draw() * 200);
        if (!subscriber.connected && draw() < 0.5) await comeBack(subscriber, life);
        await rest(draw() * 60);
        await life.kill();
        subscriber.drop();
        source.client.drop();
        await life.start();
        t.equal(await comeBack(source.client, life), true, "the publisher's session is there");
        source.fill();
        if (draw() < 0.6) t.equal(await comeBack(subscriber, life), true, "the subscriber's session is there");
      }
      const isData = (text: string): boolean => source.qosOf.has(text);
      await until('the publisher is at work', waitMs, () =>
        source.client.acknowledged.filter(isData).length > messagesLeast ? true : undefined,
      );
      source.running = false;
      if (!subscriber.connected) t.equal(await comeBack(subscriber, life), true, 'and at the end');
      await until('everything is acknowledged', waitMs, () => (source.client.inflight === 0 ? true : undefined));
      const data = source.client.acknowledged.filter(isData);
      const arrived = (): Set<string> => new Set(subscriber.received.map(({ text }) => text));
      // One set a look: the clients live in this process, and a costly look would keep them from receiving.
      await until('everything arrives', waitMs, () => {
        const sofar = arrived();
        return data.every((text) => sofar.has(text)) ? true : undefined;
      }).catch(() => undefined);
      const seen = arrived();
      t.same(
        data.filter((text) => !seen.has(text)),
        [],
        `none of ${data.length} acknowledged messages is missing`,
      );
      const twice = subscriber.received.filter(({ qos }) => qos === 2).map(({ text }) => Number(text));
      t.same(
        twice.filter((n, index) => twice.indexOf(n) !== index),
        [],
        'QoS 2 never twice',
      );
      t.same(
        twice,
        [...twice].sort((a, b) => a - b),
        'QoS 2 in order',
      );
      t.same([...subscriber.faults, ...source.client.faults], []);
      await checkRetained(t, source, life);
      t.comment(`${data.length} messages acknowledged`);
    },
  );
}

/** A stranger sees retained messages that are not older than the last one acknowledged for their topic. */
async function checkRetained(t: Test, source: Source, life: Life): Promise<void> {
  const stranger = new SessionClient('stranger');
  await stranger.connect(life.port, { clean: true });
  await stranger.subscribe('retained/#', 1);
  const acknowledged = source.client.acknowledged.filter((text) => !source.qosOf.has(text)).map(Number);
  const topics = new Set(acknowledged.map((n) => n % retainedTopics));
  await until('the retained messages', waitMs, () =>
    stranger.received.length >= topics.size ? true : undefined,
  ).catch(() => undefined);
  for (const topic of topics) {
    const last = Math.max(...acknowledged.filter((n) => n % retainedTopics === topic));
    const found = stranger.received.find((message) => message.topic === `retained/${topic}`);
    t.equal(found?.text, String(last), `retained/${topic}`);
  }
  stranger.drop();
}
