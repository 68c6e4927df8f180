// A backlog by its bytes, over a real disk and a real line: all that was acknowledged arrives, in order, once.
//
// BIG_BACKLOG_MIB says how many (24; `make big-backlog` plays 1024): gathered while the line is cut, found again by a
// gateway that was killed, and drained.

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { readLedger } from '../support/world/ledger.ts';
import { manifest, program } from '../support/world/manifest.ts';
import { bundleModule, moduleEnv } from '../support/world/module-program.ts';
import { type HubEvent, readyMs, World } from '../support/world/world.ts';

const mebibytes = Number(process.env['BIG_BACKLOG_MIB'] ?? 24);
const bytesPerMiB = 1_048_576;
const messageBytes = 20_000;
const messages = Math.ceil((mebibytes * bytesPerMiB) / messageBytes);
/** Some hundred messages a second on a board. */
const patienceMs = readyMs + messages * 10;
const flaps = 8;
/** Messages of the module under way: less than its outbox holds. */
const openMax = 100;

t.setTimeout(60_000 + 2 * patienceMs);

/** The hub's log from the beginning, read as it grows, and line by line: what has come since the last look may not fit into one text. */
class Arrivals {
  readonly #world: World;
  readonly #there = new Set<string>();
  readonly #last = new Map<string, number>();
  readonly faults: string[] = [];
  #offset = 0;

  constructor(world: World) {
    this.#world = world;
  }

  async look(): Promise<void> {
    for await (const event of this.#world.eachEvent(this.#offset === 0 ? 'earliest' : this.#offset)) this.#take(event);
  }

  #take({ offset, body }: HubEvent): void {
    if (offset <= this.#offset) return;
    this.#offset = offset;
    const { life, number } = (body ?? {}) as { readonly life?: string; readonly number?: number };
    if (life === undefined || number === undefined) return;
    const before = this.#last.get(life) ?? 0;
    if (number <= before) this.faults.push(`${number} comes after ${before}`);
    this.#last.set(life, number);
    this.#there.add(`${life} ${number}`);
  }

  missing(lines: readonly string[]): number {
    return lines.filter((line) => !this.#there.has(line)).length;
  }
}

async function stage(
  t: Test,
  everyMs: number,
): Promise<{ readonly world: World; readonly acknowledged: () => readonly string[] }> {
  const world = new World({ name: 'backlog' });
  t.teardown(() => world.close());
  await world.startHub();
  await world.provision('[store]\nquota = "3GiB"');
  await world.startGateway();
  const file = join(world.directory, 'ledger.txt');
  const path = await bundleModule('ledger-module', world.directory);
  const env = {
    ...moduleEnv,
    LEDGER_FILE: file,
    LEDGER_EVERY_MS: String(everyMs),
    LEDGER_BYTES: String(messageBytes),
    LEDGER_COUNT: String(messages),
    LEDGER_OPEN: String(openMax),
  };
  await world.deploy(manifest({ modules: { ledger: program(process.execPath, [path], { env }) } }));
  await world.messages('ledger', 1);
  return { world, acknowledged: () => readLedger(file) };
}

function residentMiB(pid: number): number {
  const kib = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Math.round(Number(kib) / 1024);
}

t.test(`a backlog of ${mebibytes} MiB arrives in order, each message once`, async (t: Test) => {
  const { world, acknowledged } = await stage(t, 1);
  world.line.cut();
  const count = (): true | undefined => acknowledged().length >= messages || undefined;
  await world.eventually('the backlog is acknowledged', count, patienceMs);
  const { queues } = await world.status();
  t.comment(`${Math.round(queues.reduce((sum, { bytes }) => sum + bytes, 0) / bytesPerMiB)} MiB wait`);
  await world.killGateway();
  const startMs = performance.now();
  await world.startGateway();
  t.comment(`found again in ${Math.round(performance.now() - startMs)} ms`);
  const arrivals = new Arrivals(world);
  const drainMs = performance.now();
  world.line.mend();
  const isThere = async (): Promise<true | undefined> => {
    await arrivals.look();
    return arrivals.missing(acknowledged()) === 0 || undefined;
  };
  await world.eventually('all of it is at the hub', isThere, patienceMs);
  const seconds = (performance.now() - drainMs) / 1000;
  t.comment(
    `drained in ${seconds.toFixed(1)} s; the gateway has ${residentMiB(world.gateway?.pid ?? 0)} MiB in memory`,
  );
  t.same(arrivals.faults, [], 'none twice, none before its turn');
  await world.drained();
  t.same(
    (await world.status()).queues.map(({ dropped }) => dropped),
    [{}],
    'nothing was dropped',
  );
});

t.test('a line that flaps each second: all of it arrives in order, each message once', async (t: Test) => {
  const { world, acknowledged } = await stage(t, 5);
  for (let flap = 0; flap < flaps; flap++) {
    world.line.cut();
    await new Promise((resolve) => setTimeout(resolve, 200));
    world.line.mend();
    await new Promise((resolve) => setTimeout(resolve, 800));
  }
  const during = acknowledged();
  t.ok(during.length > flaps, `${during.length} messages were acknowledged meanwhile`);
  const arrivals = new Arrivals(world);
  await world.eventually('all of it is at the hub', async () => {
    await arrivals.look();
    return arrivals.missing(during) === 0 || undefined;
  });
  t.same(arrivals.faults, [], 'none twice, none before its turn');
});
