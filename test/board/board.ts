// The ARM executables under qemu-user: they run, their native parts load, and each carries messages from a sensor
// through broker, SQLite and TLS to its own hub. WEIR_BIN_ARM64 and WEIR_BIN_ARMV7 tell where they are.
//
// A weir that starts others (modules, shims) needs the kernel to start ARM programs by itself (native/pack/binfmt.sh);
// where it does not, that part is skipped and says so. Everything is an order of magnitude slower than on a board:
// each target is a test file of its own, with the time of one.

import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { judge } from '../support/world/ledger.ts';
import { manifest, sensor } from '../support/world/manifest.ts';
import { World } from '../support/world/world.ts';

const messagesLeast = 3;

export interface Board {
  readonly target: string;
  readonly binary: string;
  readonly sysroot: string;
  readonly emulator: string;
  /** The kernel's entry that starts programs of this architecture. */
  readonly binfmt: string;
  /** As the agent reports it, which is what uname says. */
  readonly architecture: string | RegExp;
}

export function testBoard({ target, binary, sysroot, emulator, binfmt, architecture }: Board): void {
  const env = { QEMU_LD_PREFIX: sysroot };
  const missing = existsSync(binary) ? false : `${binary} is not built`;

  t.test(`${target}: version and check run, the native parts load`, { skip: missing }, async (t) => {
    const world = new World({ binary: [emulator, '-L', sysroot, binary], env });
    t.teardown(() => world.close());
    t.match(JSON.parse(await world.succeed('version', '--json')), { target, sqlite: /^3\./, node: /^\d+\./ });
    const { stdout } = await world.run('check', '--json', ...world.gatewayDirs);
    const { checks } = JSON.parse(stdout) as { readonly checks: readonly { readonly id: string }[] };
    t.match(
      checks.find(({ id }) => id === 'native-addons'),
      { result: 'ok' },
    );
  });

  t.test(`${target}: JavaScript programs run, CommonJS and ES modules`, { skip: missing }, async (t) => {
    const world = new World({ binary: [emulator, '-L', sysroot, binary], env });
    t.teardown(() => world.close());
    const files = {
      'package.json': '{}',
      'app.js': 'console.log(require.main === module, process.argv[2]); import("./late.mjs");',
      'late.mjs': 'import { sep } from "node:path"; console.log(await Promise.resolve(sep), process.argv[2]);',
      'bad.mjs': 'throw new TypeError("boom");',
    };
    for (const [name, text] of Object.entries(files)) writeFileSync(join(world.directory, name), text);
    const run = (file: string) => world.run('module', 'run-node', join(world.directory, file), 'word');
    t.match(await run('app.js'), { code: 0, stdout: 'true word\n/ word\n' });
    t.match(await run('late.mjs'), { code: 0, stdout: '/ word\n' });
    t.match(await run('bad.mjs'), { code: 1, stderr: /TypeError: boom\n {4}at .*bad\.mjs:1/ });
  });

  const alone = missing || (existsSync(binfmt) ? false : 'the kernel does not start ARM programs by itself');

  t.test(`${target}: a sensor's messages reach a hub, through a kill of the gateway`, { skip: alone }, async (t) => {
    const world = new World({ binary: [binary], env });
    t.teardown(() => world.close());
    await world.startHub();
    await world.provision();
    await world.startGateway();
    await world.deploy(manifest({ modules: { sensor: sensor(500) } }));
    await world.messages('sensor', messagesLeast);
    const { pid } = await world.running('sensor');
    await world.killGateway();
    await world.startGateway();
    const after = await world.lastOffset();
    await world.messages('sensor', messagesLeast, after);
    t.equal((await world.running('sensor')).pid, pid, 'the module was adopted');
    const verdict = judge(await world.events(), []);
    t.same(verdict.faults, [], 'nothing is missing, doubled or out of order');
    t.equal(verdict.lives, 1);
    const reported = await world.eventually('the agent has reported', async () => {
      const { runtime } = (await world.twin('$edgeAgent')).reported;
      return runtime as { readonly platform: object } | undefined;
    });
    t.match(reported.platform, { os: 'linux', architecture });
  });
}
