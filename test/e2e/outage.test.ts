// The hub away: cut line, killed hub, a start without it. What was acknowledged waits on disk and arrives in order,
// once; the gateway runs what it was last told.

import { join } from 'node:path';
import t, { type Test } from 'tap';
import { judge, readLedger } from '../support/world/ledger.ts';
import { manifest, program, sensor } from '../support/world/manifest.ts';
import { bundleModule, moduleEnv } from '../support/world/module-program.ts';
import { World } from '../support/world/world.ts';

const backlog = 2000;

async function stage(t: Test): Promise<World> {
  const world = new World();
  t.teardown(() => world.close());
  await world.startHub();
  await world.provision();
  await world.startGateway();
  return world;
}

async function isConnected(world: World): Promise<true | undefined> {
  return (await world.status()).hub.state === 'connected' || undefined;
}

/** Nothing missing, nothing twice, in order; `life` of the sensor never ended. */
async function whole(t: Test, world: World, moduleId = 'sensor'): Promise<void> {
  const verdict = judge(
    (await world.events()).filter((event) => event.moduleId === moduleId),
    [],
  );
  t.same(verdict.faults, [], 'no hole, no repetition, no change of order');
  t.equal(verdict.lives, 1, `${moduleId} lived once`);
}

t.test('a cut line fills the queue, which survives a killed gateway and drains when the line is mended', async (t) => {
  const world = await stage(t);
  await world.deploy(manifest({ modules: { sensor: sensor(20) } }));
  await world.messages('sensor', 5);
  world.line.cut();
  await world.eventually('the gateway notices', async () => !(await isConnected(world)) || undefined);
  await world.eventually('a queue of 40', async () => (await world.queued()) >= 40 || undefined);

  const table = await world.succeed('queue', 'status', ...world.gatewayDirs);
  t.match(
    table,
    /QUEUE +PRIORITY +MESSAGES +SIZE +OLDEST +DROPPED\n\$upstream +- +\d+ .* none\n/,
    'weir queue status shows it',
  );
  const status = await world.succeed('status', ...world.gatewayDirs);
  t.match(status, /hub +(waiting|connecting) to/, 'weir status says that the hub is away');

  const before = await world.queued();
  await world.killGateway();
  await world.startGateway();
  t.ok((await world.queued()) >= before, 'nothing of the queue was lost with the process');

  world.line.mend();
  await world.drained();
  await world.messages('sensor', before);
  await whole(t, world);
});

t.test('a killed hub goes on where it was, and the gateway finds it again', async (t) => {
  const world = await stage(t);
  await world.deploy(manifest({ modules: { sensor: sensor(20) } }));
  await world.messages('sensor', 5);
  const { pid } = await world.running('sensor');
  for (let kill = 0; kill < 3; kill += 1) {
    const offset = await world.lastOffset();
    await world.killHub();
    await world.eventually('messages wait', async () => (await world.queued()) >= 10 || undefined);
    await world.startHub();
    await world.messages('sensor', 10, offset);
  }
  await world.patchDesired('sensor', { SendInterval: 0.05 });
  await world.eventually('a wish after the restarts is heard', async () => {
    const { reported } = await world.twin('sensor');
    return reported['SendInterval'] === 0.05 || undefined;
  });
  t.equal((await world.running('sensor')).pid, pid, 'the module noticed nothing');
  await whole(t, world);
});

t.test('a gateway that starts without its hub runs the last good deployment', async (t) => {
  const world = await stage(t);
  await world.deploy(manifest({ modules: { sensor: sensor(20) } }));
  await world.messages('sensor', 5);
  const first = await world.running('sensor');
  await world.killHub();
  await world.stopGateway();
  // As after a power cut: no module runs, the volatile directory is empty.
  world.clearRunDir();
  await world.startGateway();
  const second = await world.running('sensor');
  t.not(second.pid, first.pid, 'a new process, after the power came back');
  t.match((await world.status()).deployment, { code: 200 }, 'the deployment from the disk is in force');
  await world.eventually('its messages are kept', async () => (await world.queued()) >= 10 || undefined);
  await world.startHub();
  await world.drained();
  const events = (await world.events()).filter((event) => event.moduleId === 'sensor');
  t.same(judge(events, []).faults, []);
  t.equal(judge(events, []).lives, 2, 'both lives of the sensor are in the log');
});

t.test(`a backlog of ${backlog} messages arrives in order, each once`, async (t) => {
  const world = await stage(t);
  const ledgerFile = join(world.directory, 'ledger.txt');
  const path = await bundleModule('ledger-module', world.directory);
  const env = { ...moduleEnv, LEDGER_FILE: ledgerFile, LEDGER_EVERY_MS: '1', LEDGER_OPEN: '1000' };
  await world.deploy(manifest({ modules: { ledger: program(process.execPath, [path], { env }) } }));
  await world.messages('ledger', 1);
  world.line.cut();
  await world.eventually(`${backlog} wait`, async () => (await world.queued()) >= backlog || undefined);
  await world.killGateway();
  await world.startGateway();
  const acknowledged = readLedger(ledgerFile);
  world.line.mend();
  const verdict = await world.eventually('all of them at the hub', async () => {
    const seen = judge(await world.events(), acknowledged);
    return seen.missing === 0 || seen.faults.length > 0 ? seen : undefined;
  });
  t.same(verdict.faults, []);
  t.ok(verdict.acknowledged >= backlog, `${verdict.acknowledged} acknowledged messages are there`);
});
