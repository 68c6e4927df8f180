// The executable killed with SIGKILL at drawn system calls: before one, after half of a write's bytes, after one; in its
// start, while it takes messages, while it hands them to the hub. At the end the hub has everything that was
// acknowledged, once, in order. CRASH_SEEDS=1,2,… chooses the seeds.

import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { faultDiskEnv, setRules } from '../support/fault-disk.ts';
import { seededEntropy } from '../support/sim-entropy.ts';
import { judge, readLedger } from '../support/world/ledger.ts';
import { manifest, program } from '../support/world/manifest.ts';
import { bundleModule, moduleEnv } from '../support/world/module-program.ts';
import { World } from '../support/world/world.ts';

const seeds = (process.env['CRASH_SEEDS'] ?? '1,2').split(',').map(Number);
const rounds = 16;
const testMs = 600_000;
const changes = 'create,write,sync,truncate,rename,unlink,mkdir';
/** Calls of a start, and of some seconds of work. */
const callsMax = 250;
const openingCalls = 40;
/** A round that has not come to its call by then is ended from outside. */
const roundMsMax = 5000;
/** The hub answers in two of three rounds: else a backlog grows. */
const reachable = 0.66;

t.setTimeout(testMs * seeds.length);

for (const seed of seeds) {
  t.test(
    `the gateway keeps what it acknowledged, killed at any call, seed ${seed}`,
    { timeout: testMs },
    async (t: Test) => {
      const draw = seededEntropy(seed).fraction;
      const world = new World({
        env: (directory) => {
          const root = join(directory, 'gw', 'data');
          mkdirSync(root, { recursive: true, mode: 0o700 });
          return faultDiskEnv({ root, rules: join(directory, 'disk.rules') });
        },
      });
      t.teardown(() => world.close());
      const rules = join(world.directory, 'disk.rules');
      const ledger = join(world.directory, 'ledger.txt');
      const path = await bundleModule('ledger-module', world.directory);
      const env = { ...moduleEnv, LEDGER_FILE: ledger, LEDGER_EVERY_MS: '5', LEDGER_OPEN: '1000' };
      await world.startHub();
      await world.provision();
      await world.startGateway();
      await world.deploy(manifest({ modules: { ledger: program(process.execPath, [path], { env }) } }));
      await world.messages('ledger', 1);
      await world.killGateway();
      const ends: string[] = [];
      for (let round = 1; round <= rounds; round++) {
        if (draw() < reachable) world.line.mend();
        else world.line.cut();
        const where = ['before', 'half', 'after'][Math.floor(draw() * 3)] ?? 'before';
        const call = 1 + Math.floor(draw() * (draw() < 0.3 ? openingCalls : callsMax));
        setRules(rules, [`${changes} kill-${where} * ${call}`]);
        const gateway = world.start('run', ...world.gatewayDirs);
        world.gateway = gateway;
        const late = setTimeout(() => void gateway.end('SIGKILL'), roundMsMax);
        const { code, stderr } = await gateway.result();
        clearTimeout(late);
        ends.push(`round ${round}: kill-${where} ${call}, ended with ${code ?? 'SIGKILL'}`);
        t.equal(code, null, `round ${round} ends by SIGKILL and by nothing else ${stderr.slice(0, 500)}`);
      }
      setRules(rules, []);
      world.line.mend();
      await world.startGateway();
      await world.eventually('the ledger module is at work', () => readLedger(ledger).length > rounds || undefined);
      const acknowledged = readLedger(ledger);
      const verdict = await world.eventually('everything that was acknowledged is at the hub', async () => {
        const seen = judge(await world.events(), acknowledged);
        return seen.missing === 0 || seen.faults.length > 0 ? seen : undefined;
      });
      if (verdict.faults.length > 0) t.comment(`CRASH_SEEDS=${seed}\n${ends.join('\n')}`);
      t.comment(JSON.stringify(verdict));
      t.same(verdict.faults, [], 'no hole, no repetition, no change of order');
      t.equal(verdict.missing, 0, 'nothing that was acknowledged is missing');
      t.same((await world.status()).store.quarantined, [], 'no file was taken for a damaged one');
    },
  );
}
