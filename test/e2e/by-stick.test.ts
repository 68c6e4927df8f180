// A gateway without a link: its queue goes to the hub on a stick, and the hub's receipts empty it. What the link
// brings afterwards, or the stick a second time, is not there twice.

import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { judge, readLedger } from '../support/world/ledger.ts';
import { manifest, program } from '../support/world/manifest.ts';
import { bundleModule, moduleEnv } from '../support/world/module-program.ts';
import { World } from '../support/world/world.ts';

const backlog = 1500;
const messages = 2 * backlog;

t.test('a queue goes by stick while the line is cut, and nothing is at the hub twice', async (t) => {
  const world = new World();
  t.teardown(() => world.close());
  const stick = join(world.directory, 'stick');
  mkdirSync(stick);
  await world.startHub();
  await world.provision();
  await world.startGateway();
  const ledgerFile = join(world.directory, 'ledger.txt');
  const path = await bundleModule('ledger-module', world.directory);
  const env = {
    ...moduleEnv,
    LEDGER_FILE: ledgerFile,
    LEDGER_EVERY_MS: '2',
    LEDGER_COUNT: String(messages),
    LEDGER_OPEN: '100',
  };
  await world.deploy(manifest({ modules: { ledger: program(process.execPath, [path], { env }) } }));
  await world.messages('ledger', 1);
  world.line.cut();
  await world.eventually(`${backlog} wait`, async () => (await world.queued()) >= backlog || undefined);

  const look = await world.succeed('queue', 'peek', '$upstream', '--count', '2', '--json', ...world.gatewayDirs);
  t.match(JSON.parse(look), [{ deviceId: world.deviceId, moduleId: 'ledger' }, { moduleId: 'ledger' }]);

  const out = JSON.parse(await world.succeed('queue', 'export', stick, '--json', ...world.gatewayDirs)) as {
    readonly messages: number;
    readonly complete: boolean;
  };
  t.ok(out.complete && out.messages >= backlog, `${out.messages} messages are on the stick`);
  t.ok((await world.queued()) >= out.messages, 'the queue keeps them');

  t.match(await world.succeed('hub', 'import', stick, ...world.hubDirs), / of \d+ files? taken, \d+ new messages/);
  const once = await world.lastOffset();
  await world.succeed('hub', 'import', stick, ...world.hubDirs);
  t.equal(await world.lastOffset(), once, 'a second import changes nothing');
  t.ok(readdirSync(stick).some((name) => name.endsWith('.receipt')));

  await world.eventually('all is acknowledged', () => readLedger(ledgerFile).length === messages || undefined);
  const before = await world.queued();
  t.match(await world.succeed('queue', 'import', stick, ...world.gatewayDirs), /\d+ receipts? frees? \d+ messages/);
  await world.eventually('the queue is shorter', async () => {
    return (await world.queued()) <= before - out.messages || undefined;
  });
  await world.killGateway();
  await world.startGateway();
  const acknowledged = readLedger(ledgerFile);

  world.line.mend();
  const verdict = await world.eventually('all of them at the hub', async () => {
    const seen = judge(await world.events(), acknowledged);
    return seen.missing === 0 || seen.faults.length > 0 ? seen : undefined;
  });
  t.same(verdict.faults, [], 'no hole, no repetition, no change of order');
  t.equal(verdict.acknowledged, messages);
  await world.succeed('hub', 'import', stick, ...world.hubDirs);
  const late = judge(await world.events(), acknowledged);
  t.same(late.faults, [], 'nor after the stick came once more');
});

t.test('a purge leaves nothing to send, and is told', async (t) => {
  const world = new World();
  t.teardown(() => world.close());
  await world.startHub();
  await world.provision();
  await world.startGateway();
  const path = await bundleModule('ledger-module', world.directory);
  const env = { ...moduleEnv, LEDGER_FILE: join(world.directory, 'ledger.txt'), LEDGER_EVERY_MS: '5' };
  await world.deploy(manifest({ modules: { ledger: program(process.execPath, [path], { env }) } }));
  await world.messages('ledger', 1);
  world.line.cut();
  await world.eventually('some wait', async () => (await world.queued()) >= 300 || undefined);
  const refused = await world.run('queue', 'purge', '$upstream', ...world.gatewayDirs);
  t.equal(refused.code, 2, 'without a terminal it wants --yes');
  t.match(await world.succeed('queue', 'purge', '$upstream', '--yes', ...world.gatewayDirs), /messages .* are deleted/);
  const status = await world.status();
  const purged = status.queues.reduce((sum, { dropped }) => sum + (dropped['purged'] ?? 0), 0);
  t.ok(purged >= 300, `${purged} are counted as purged`);
});
