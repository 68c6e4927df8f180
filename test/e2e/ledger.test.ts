// The promise of the product on the real executable: nothing acknowledged is lost, nothing is logged twice, the
// order of each module is kept, while the line is cut and the gateway, the hub and modules are killed at moments
// drawn from a seed. LEDGER_SEEDS=1,2,3 chooses the seeds; `make ledger` runs twenty.
//
// Two of the blows aim at moments: the gateway (and with it the store's thread) dies while a backlog drains, when
// batches are read, sent, confirmed and removed all at once; and the hub dies while it takes such a backlog.

import { join } from 'node:path';
import t from 'tap';
import { seededEntropy } from '../support/sim-entropy.ts';
import { judge, readLedger } from '../support/world/ledger.ts';
import { manifest, program, sensor } from '../support/world/manifest.ts';
import { bundleModule, moduleEnv } from '../support/world/module-program.ts';
import { World } from '../support/world/world.ts';

const seeds = (process.env['LEDGER_SEEDS'] ?? '1,2,3,4').split(',').map(Number);
const blows = 8;
const testMs = 600_000;
const backlogLeast = 60;
const pauseMsMax = 1200;
const drainMsMax = 60;

t.setTimeout(testMs * seeds.length);

function rest(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Lets a backlog grow, lets it drain for a drawn moment, and strikes then. */
async function whileDraining(world: World, draw: () => number, strike: () => Promise<void>): Promise<string> {
  world.line.cut();
  await world.eventually('a backlog', async () => (await world.queued()) >= backlogLeast || undefined);
  const backlog = await world.queued();
  world.line.mend();
  await world.eventually('the drain is at work', async () => (await world.queued()) < backlog || undefined);
  await rest(Math.floor(draw() * drainMsMax));
  await strike();
  return `while a backlog of ${backlog} drained`;
}

async function gatewayAnew(world: World, pauseMs: number): Promise<void> {
  await world.killGateway();
  await rest(pauseMs);
  await world.startGateway();
}

async function hubAnew(world: World, pauseMs: number): Promise<void> {
  await world.killHub();
  await rest(pauseMs);
  await world.startHub();
}

type Blow = (world: World, pauseMs: number, draw: () => number) => Promise<string>;

const kinds: readonly Blow[] = [
  async (world, pauseMs) => {
    world.line.cut();
    await rest(pauseMs);
    world.line.mend();
    return `line cut for ${pauseMs} ms`;
  },
  async (world, pauseMs) => {
    await gatewayAnew(world, pauseMs);
    return `gateway killed, back after ${pauseMs} ms`;
  },
  async (world, pauseMs) => {
    await hubAnew(world, pauseMs);
    return `hub killed, back after ${pauseMs} ms`;
  },
  async (world, _pauseMs, draw) => {
    const name = draw() < 0.5 ? 'ledger' : 'sensor';
    return world.killModule(name) ? `module ${name} killed` : `module ${name} was not running`;
  },
  async (world, pauseMs, draw) =>
    `gateway killed ${await whileDraining(world, draw, () => gatewayAnew(world, pauseMs / 4))}`,
  async (world, pauseMs, draw) => `hub killed ${await whileDraining(world, draw, () => hubAnew(world, pauseMs / 4))}`,
];

for (const seed of seeds) {
  t.test(`nothing is lost, doubled or reordered with seed ${seed}`, { timeout: testMs }, async (t) => {
    const entropy = seededEntropy(seed);
    const world = new World();
    t.teardown(() => world.close());
    const ledgerFile = join(world.directory, 'ledger.txt');
    const path = await bundleModule('ledger-module', world.directory);
    const env = { ...moduleEnv, LEDGER_FILE: ledgerFile, LEDGER_EVERY_MS: '10', LEDGER_OPEN: '1000' };
    await world.startHub();
    await world.provision();
    await world.startGateway();
    await world.deploy(
      manifest({ modules: { ledger: program(process.execPath, [path], { env }), sensor: sensor(100) } }),
    );
    await world.eventually(
      'both modules at the hub',
      async () => new Set((await world.events()).map((event) => event.moduleId)).size >= 2 || undefined,
    );
    for (let blow = 0; blow < blows; blow += 1) {
      await rest(Math.floor(entropy.fraction() * 700));
      const kind = kinds[Math.floor(entropy.fraction() * kinds.length)];
      t.comment(await kind?.(world, Math.floor(entropy.fraction() * pauseMsMax), entropy.fraction));
    }
    const acknowledged = readLedger(ledgerFile);
    const verdict = await world.eventually(
      'everything that was acknowledged is at the hub',
      async () => {
        const seen = judge(await world.events(), acknowledged);
        return seen.missing === 0 || seen.faults.length > 0 ? seen : undefined;
      },
      testMs / 2,
    );
    t.comment(JSON.stringify(verdict));
    t.same(verdict.faults, [], 'no hole, no repetition, no change of order');
    t.equal(verdict.missing, 0, 'nothing that was acknowledged is missing');
    t.ok(verdict.acknowledged > 50, 'the ledger module was at work');
  });
}
