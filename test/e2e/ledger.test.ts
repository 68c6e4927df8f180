// The promise of the product on the real executable: nothing acknowledged is lost, nothing is logged twice, the
// order of each module is kept, while the line is cut and the gateway, the hub and modules are killed at moments
// drawn from a seed. LEDGER_SEEDS=1,2,3 chooses the seeds.

import { join } from 'node:path';
import t from 'tap';
import type { JsonObject } from '../../src/model/json.ts';
import { seededEntropy } from '../support/sim-entropy.ts';
import { judge, readLedger } from '../support/world/ledger.ts';
import { bundleLedgerModule } from '../support/world/ledger-program.ts';
import { World } from '../support/world/world.ts';

const seeds = (process.env['LEDGER_SEEDS'] ?? '1,2,3').split(',').map(Number);
const blows = 8;

function manifest(program: string, ledgerFile: string): JsonObject {
  return {
    modulesContent: {
      $edgeAgent: {
        'properties.desired': {
          schemaVersion: '1.1',
          runtime: { type: 'docker', settings: { minDockerVersion: 'v1.25' } },
          systemModules: {
            edgeAgent: {
              type: 'docker',
              settings: { image: 'mcr.microsoft.com/azureiotedge-agent:1.5', createOptions: '{}' },
            },
            edgeHub: {
              type: 'docker',
              status: 'running',
              restartPolicy: 'always',
              settings: { image: 'mcr.microsoft.com/azureiotedge-hub:1.5', createOptions: '{}' },
            },
          },
          modules: {
            ledger: {
              version: '1',
              type: 'process',
              status: 'running',
              restartPolicy: 'always',
              settings: { executable: process.execPath, args: [program] },
              env: { LEDGER_FILE: { value: ledgerFile }, LEDGER_EVERY_MS: { value: '10' } },
            },
            sensor: {
              version: '1',
              type: 'process',
              status: 'running',
              restartPolicy: 'always',
              settings: { executable: 'weir:simulated-temperature-sensor' },
              env: { MessageCount: { value: '-1' }, MessageDelay: { value: '00:00:00.100' } },
            },
          },
        },
      },
      $edgeHub: {
        'properties.desired': {
          schemaVersion: '1.1',
          routes: { all: 'FROM /messages/* INTO $upstream' },
          storeAndForwardConfiguration: { timeToLiveSecs: 7200 },
        },
      },
    },
  };
}

async function strike(world: World, draw: () => number): Promise<string> {
  const kind = Math.floor(draw() * 4);
  const pauseMs = Math.floor(draw() * 1200);
  const rest = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, pauseMs));
  if (kind === 0) {
    world.line.cut();
    await rest();
    world.line.mend();
    return `line cut for ${pauseMs} ms`;
  }
  if (kind === 1) {
    await world.killGateway();
    await rest();
    await world.startGateway();
    return `gateway killed, back after ${pauseMs} ms`;
  }
  if (kind === 2) {
    await world.killHub();
    await rest();
    await world.startHub();
    return `hub killed, back after ${pauseMs} ms`;
  }
  const name = draw() < 0.5 ? 'ledger' : 'sensor';
  return world.killModule(name) ? `module ${name} killed` : `module ${name} was not running`;
}

for (const seed of seeds) {
  t.test(`nothing is lost, doubled or reordered with seed ${seed}`, { timeout: 240_000 }, async (t) => {
    const entropy = seededEntropy(seed);
    const world = new World();
    t.teardown(() => world.close());
    const ledgerFile = join(world.directory, 'ledger.txt');
    const program = await bundleLedgerModule(world.directory);
    await world.startHub();
    await world.provision();
    await world.startGateway();
    await world.deploy(manifest(program, ledgerFile));
    await world.eventually(
      'both modules at the hub',
      async () => new Set((await world.events()).map((event) => event.moduleId)).size >= 2 || undefined,
    );
    for (let blow = 0; blow < blows; blow += 1) {
      await new Promise((resolve) => setTimeout(resolve, Math.floor(entropy.fraction() * 700)));
      t.comment(await strike(world, entropy.fraction));
    }
    const acknowledged = readLedger(ledgerFile);
    const verdict = await world.eventually(
      'everything that was acknowledged is at the hub',
      async () => {
        const seen = judge(await world.events(), acknowledged);
        return seen.missing === 0 || seen.faults.length > 0 ? seen : undefined;
      },
      120_000,
    );
    t.comment(JSON.stringify(verdict));
    t.same(verdict.faults, [], 'no hole, no repetition, no change of order');
    t.equal(verdict.missing, 0, 'nothing that was acknowledged is missing');
    t.ok(verdict.acknowledged > 50, 'the ledger module was at work');
  });
}
