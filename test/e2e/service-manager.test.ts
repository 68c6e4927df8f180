// `weir run` under a service manager: told when it serves and how it ends, fed only while the store's thread lives.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { DatagramReceiver } from '../support/datagram-receiver.ts';
import { faultDiskEnv, setRules } from '../support/fault-disk.ts';
import { wholeTree } from '../support/removal.ts';
import { manifest, sensor } from '../support/world/manifest.ts';
import { World } from '../support/world/world.ts';

const watchdogMs = 4000;

async function stage(t: Test, more: (world: World) => Record<string, string> = () => ({})) {
  const directory = mkdtempSync(join(tmpdir(), 'weir-sd-'));
  const path = join(directory, 'notify');
  const receiver = new DatagramReceiver(path);
  const env = { NOTIFY_SOCKET: path, WATCHDOG_USEC: String(watchdogMs * 1000) };
  const world: World = new World({ name: 'sd' });
  t.teardown(async () => {
    await world.close();
    await receiver.close();
    rmSync(directory, wholeTree);
  });
  await receiver.start();
  await world.startHub();
  await world.provision();
  const startGateway = async (): Promise<number> => {
    const gateway = world.startWith({ ...env, ...more(world) }, 'run', ...world.gatewayDirs);
    world.gateway = gateway;
    await receiver.next('READY=1');
    return gateway.pid;
  };
  return { world, receiver, startGateway };
}

const textsOf = (receiver: DatagramReceiver, pid: number): readonly string[] =>
  receiver
    .received()
    .filter((datagram) => datagram.pid === pid)
    .map(({ text }) => text);

t.test('the manager hears of the start, of what goes on, of reloading and of the end', async (t) => {
  const { world, receiver, startGateway } = await stage(t);
  const pid = await startGateway();
  t.match(textsOf(receiver, pid)[0], /^READY=1\nSTATUS=serving; hub \w+; 0 of 0 modules run$/);
  t.match(world.gateway?.stdout, /weir is ready/, 'not before');
  await world.deploy(manifest({ modules: { sensor: sensor(200) } }));
  await receiver.next('STATUS=serving; hub connected; 1 of 1 modules run');
  await receiver.next('WATCHDOG=1');
  process.kill(pid, 'SIGHUP');
  const reloading = await receiver.next('RELOADING=1');
  t.match(reloading.text, /^RELOADING=1\nMONOTONIC_USEC=\d+$/);
  const from = receiver.received().findIndex(({ text }) => text === reloading.text);
  await receiver.next('READY=1', from);
  await world.stopGateway();
  const texts = textsOf(receiver, pid);
  t.match(
    texts.find((text) => text.startsWith('STOPPING=1')),
    /modules go on/,
  );
  t.same(
    receiver.received().filter((datagram) => datagram.pid !== pid),
    [],
    'no module speaks to it',
  );
});

t.test('a store thread that hangs in the disk is no sign of life', async (t) => {
  const { world, receiver, startGateway } = await stage(t, (made) => {
    setRules(join(made.directory, 'rules'), []);
    return faultDiskEnv({ root: join(made.directory, 'gw', 'data'), rules: join(made.directory, 'rules') });
  });
  const pid = await startGateway();
  await world.deploy(manifest({ modules: { sensor: sensor(100) } }));
  await world.messages('sensor', 3);
  const fed = (): number => textsOf(receiver, pid).filter((text) => text === 'WATCHDOG=1').length;
  await world.eventually('it is fed', () => fed() >= 3 || undefined);
  const from = receiver.received().length;
  setRules(join(world.directory, 'rules'), ['write,sync hold *']);
  await receiver.next('STATUS=no sign of life of: store', from);
  const before = fed();
  await new Promise((resolve) => setTimeout(resolve, watchdogMs));
  t.equal(fed(), before, 'not for a whole period, after which it would have been ended');
  t.match(world.gateway?.stdout, /no sign of life: the watchdog is not fed.*store/);
  setRules(join(world.directory, 'rules'), []);
  await world.eventually('it is fed again', () => fed() > before || undefined);
  const offset = await world.lastOffset();
  await world.messages('sensor', 3, offset);
});
