// The executable over a disk that is full, takes no writes, fails or stalls: it goes on, it acknowledges nothing that
// is not safe, it serves again by itself when the disk is well, and what was acknowledged is at the hub or counted.

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { faultDiskEnv, setRules } from '../support/fault-disk.ts';
import { wholeTree } from '../support/removal.ts';
import { SessionClient } from '../support/session-client.ts';
import { type SickDisk, sickDisk } from '../support/sick-disk.ts';
import { readLedger } from '../support/world/ledger.ts';
import { manifest, program } from '../support/world/manifest.ts';
import { bundleModule, moduleEnv } from '../support/world/module-program.ts';
import { Program } from '../support/world/program.ts';
import { readyMs, World, weirBinary } from '../support/world/world.ts';

const diskMiB = 24;
/** Left on the disk that is filled: some hundred messages. */
const leftBytes = 1_000_000;
/** No acknowledgement for so long: the disk refuses. */
const silenceMs = 1500;
const backlogLeast = 50;
/** Lines in the gateway's log about its clients a second: connections, their ends, publishes refused. */
const clientLinesPerSecondMax = 3;

/** A gateway with a module that writes down what was acknowledged, and a line that is cut. */
class Patient {
  readonly world: World;
  readonly #ledger: string;
  #last = 0;
  #sinceMs = 0;

  constructor(world: World) {
    this.world = world;
    this.#ledger = join(world.directory, 'ledger.txt');
  }

  async start(): Promise<void> {
    const { world } = this;
    await world.startHub();
    await world.provision('[store]\nquota = "256MiB"');
    await world.startGateway();
    const path = await bundleModule('ledger-module', world.directory);
    const env = { ...moduleEnv, LEDGER_FILE: this.#ledger, LEDGER_EVERY_MS: '5', LEDGER_BYTES: '2000' };
    await world.deploy(manifest({ modules: { ledger: program(process.execPath, [path], { env }) } }));
    await world.messages('ledger', 1);
    world.line.cut();
    await world.eventually('a backlog', async () => (await world.queued()) >= backlogLeast || undefined);
  }

  get acknowledged(): readonly string[] {
    return readLedger(this.#ledger);
  }

  /** Waits until so many more are acknowledged. */
  async acknowledges(what: string, more: number): Promise<void> {
    const before = this.acknowledged.length;
    await this.world.eventually(what, () => (this.acknowledged.length >= before + more ? true : undefined));
  }

  /** Waits until nothing is acknowledged any more, or messages are dropped to make room. */
  async suffers(): Promise<string> {
    return this.world.eventually('the disk is felt', async () => {
      if ((await this.dropped()) > 0) return 'drops the oldest';
      return this.#silentMs() > silenceMs ? 'refuses' : undefined;
    });
  }

  /** Since the last acknowledgement, as far as it was looked. */
  #silentMs(): number {
    const now = this.acknowledged.length;
    if (now !== this.#last) [this.#last, this.#sinceMs] = [now, performance.now()];
    return performance.now() - this.#sinceMs;
  }

  /** Waits until nothing is acknowledged any more. */
  async refuses(): Promise<void> {
    await this.world.eventually('the disk refuses', () => (this.#silentMs() > silenceMs ? true : undefined));
  }

  async dropped(): Promise<number> {
    const { queues } = await this.world.status();
    return queues.flatMap((queue) => Object.values(queue.dropped)).reduce((sum, count) => sum + count, 0);
  }

  /** The line is mended: everything arrives in order, once, or is counted as dropped. */
  async judge(t: Test, dropsAllowed: boolean): Promise<void> {
    const { world } = this;
    world.line.mend();
    const acknowledged = this.acknowledged;
    const seen = await world.eventually('what was acknowledged is at the hub', async () => {
      // Asked first: it goes on dropping until the line takes more than comes.
      const dropped = await this.dropped();
      const numbers = await this.#arrived();
      const there = new Set(numbers);
      const missing = acknowledged.filter((line) => !there.has(line));
      return missing.length <= dropped ? { numbers, missing, dropped } : undefined;
    });
    if (!dropsAllowed) t.same(seen.missing, [], 'nothing is missing');
    t.same(faultsOf(seen.numbers), [], 'none twice, none before its turn');
    t.comment(`${acknowledged.length} acknowledged, ${seen.missing.length} missing, ${seen.dropped} dropped`);
  }

  async #arrived(): Promise<readonly string[]> {
    return (await this.world.events()).flatMap(({ body }) => {
      const { life, number } = (body ?? {}) as { readonly life?: string; readonly number?: number };
      return life === undefined ? [] : [`${life} ${number}`];
    });
  }
}

function faultsOf(lines: readonly string[]): readonly string[] {
  const last = new Map<string, number>();
  return lines.flatMap((line) => {
    const [life = '', text] = line.split(' ');
    const number = Number(text);
    const before = last.get(life) ?? 0;
    last.set(life, number);
    return number > before ? [] : [`${number} comes after ${before}`];
  });
}

async function onSmallDisk(t: Test): Promise<{ readonly patient: Patient; readonly disk: SickDisk }> {
  let disk: SickDisk | undefined;
  const world = new World({
    env: (directory) => {
      disk = sickDisk(join(directory, 'gw', 'data'), { scratch: directory, mebibytes: diskMiB });
      return disk.env;
    },
  });
  t.teardown(async () => {
    await world.killGateway();
    world.clearRunDir();
    disk?.remove();
    await world.close();
  });
  if (disk === undefined) throw new TypeError('the world has no disk');
  t.comment(`on ${disk.kind}`);
  const patient = new Patient(world);
  await patient.start();
  return { patient, disk };
}

t.test('a full disk: refused or dropped and counted, and service again when there is room', async (t: Test) => {
  const { patient, disk } = await onSmallDisk(t);
  const { world } = patient;
  disk.fill(leftBytes);
  t.comment(`the gateway ${await patient.suffers()}`);
  t.equal(world.gateway?.running, true, 'the gateway runs');
  t.equal((await world.status()).hub.state !== '', true, 'and answers');
  await world.killGateway();
  await world.startGateway();
  t.pass('it starts on a full disk');
  disk.free();
  await patient.acknowledges('service again', backlogLeast);
  await patient.judge(t, true);
});

t.test('a full disk drains: what has arrived gives its room back', async (t: Test) => {
  const { patient, disk } = await onSmallDisk(t);
  const { world } = patient;
  const filledMs = performance.now();
  disk.fill(leftBytes);
  await patient.suffers();
  await patient.refuses();
  await patient.judge(t, true);
  await world.drained();
  await patient.acknowledges('service again, with nobody having helped', backlogLeast);
  const lines = world.gateway?.stdout.split('\n').filter((line) => / broker(\.iothub)?: /.test(line)) ?? [];
  const seconds = (performance.now() - filledMs) / 1000;
  t.ok(lines.length < 50 + seconds * clientLinesPerSecondMax, `${lines.length} lines about clients in ${seconds} s`);
});

t.test('a start on a disk that was mounted read-only, which then takes writes again', async (t: Test) => {
  const { patient, disk } = await onSmallDisk(t);
  const { world } = patient;
  await world.killGateway();
  world.clearRunDir();
  disk.readOnly();
  await world.startGateway();
  t.equal((await world.queued()) >= backlogLeast, true, 'it starts and knows what waits');
  disk.writable();
  await world.running('ledger');
  await patient.acknowledges('service again', backlogLeast);
  await patient.judge(t, false);
});

const sicknesses = {
  'writes fail': ['write EIO *'],
  'syncs fail': ['sync EIO *'],
  'nothing may be changed': ['write,create,truncate,rename,unlink,mkdir EROFS *'],
  'there is no room': ['write,create,mkdir ENOSPC *'],
  'reads and writes fail': ['read,write EIO *'],
  'every third write fails, for some time': Array.from({ length: 12 }, (_, n) => `write EIO * ${3 * n + 3} 1`),
};

for (const [name, rules] of Object.entries(sicknesses)) {
  t.test(`${name}: nothing is acknowledged that is not safe, and service again by itself`, async (t: Test) => {
    const file = (directory: string): string => join(directory, 'disk.rules');
    const world = new World({
      env: (directory) => {
        mkdirSync(join(directory, 'gw', 'data'), { recursive: true, mode: 0o700 });
        return faultDiskEnv({ root: join(directory, 'gw', 'data'), rules: file(directory) });
      },
    });
    t.teardown(() => world.close());
    const patient = new Patient(world);
    await patient.start();
    setRules(file(world.directory), rules);
    if (rules.length === 1) t.comment(`the gateway ${await patient.suffers()}`);
    else await patient.acknowledges('the worst is over', backlogLeast);
    t.equal(world.gateway?.running, true, 'the gateway runs');
    setRules(file(world.directory), []);
    await patient.acknowledges('service again', backlogLeast);
    t.same((await world.status()).store.quarantined, [], 'a sick disk is not a damaged file');
    await patient.judge(t, false);
  });
}

t.test('a disk that does not answer a sync: others go on as if nothing were', async (t: Test) => {
  const directory = mkdtempSync(join(tmpdir(), 'weir-stall-'));
  t.teardown(() => rmSync(directory, wholeTree));
  const rules = join(directory, 'disk.rules');
  const data = join(directory, 'data');
  mkdirSync(data);
  const broker = new Program(
    [weirBinary, 'broker', '--json', '--listen', 'tcp://127.0.0.1:0', '--allow-anonymous', '--data-dir', data],
    { WEIR_EXTRACT_DIR: directory, ...faultDiskEnv({ root: data, rules }) },
  );
  t.teardown(() => broker.end('SIGKILL'));
  const { listeners } = JSON.parse(await broker.line('"ready"', readyMs)) as { readonly listeners: readonly string[] };
  const port = Number(/:(\d+)$/.exec(listeners[0] ?? '')?.[1]);
  const [keeper, sender, ping, pong] = ['keeper', 'sender', 'ping', 'pong'].map((name) => new SessionClient(name)) as [
    SessionClient,
    SessionClient,
    SessionClient,
    SessionClient,
  ];
  t.teardown(() => [keeper, sender, ping, pong].forEach((client) => void client.drop()));
  await keeper.connect(port);
  await keeper.subscribe('durable', 1);
  await sender.connect(port);
  await pong.connect(port, { clean: true });
  await pong.subscribe('volatile/#', 0);
  await ping.connect(port, { clean: true });
  sender.publish('durable', '1', { qos: 1 });
  await until(() => sender.acknowledged.length === 1);
  keeper.drop();
  setRules(rules, ['sync hold *']);
  sender.publish('durable', '2', { qos: 1 });
  const trips = 500;
  for (let trip = 1; trip <= trips; trip++) {
    ping.publishUnsafe(`volatile/${trip}`, String(trip));
    await until(() => pong.received.length === trip);
  }
  t.equal(sender.acknowledged.length, 1, `${trips} messages went round while one waits for the disk`);
  setRules(rules, []);
  await until(() => sender.acknowledged.length === 2);
  t.same(sender.faults, []);
});

/** Looks at every turn of the loop: the clients live here. */
async function until(look: () => boolean): Promise<void> {
  const endMs = performance.now() + readyMs;
  while (!look()) {
    if (performance.now() > endMs) throw new TypeError('it did not happen');
    await new Promise((resolve) => setImmediate(resolve));
  }
}
