import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { capabilityNames } from '../../src/agent/capabilities.ts';
import { modulePaths } from '../../src/supervisor/module-paths.ts';
import type { LaunchSpec } from '../../src/supervisor/ports.ts';
import { shimArguments } from '../../src/supervisor/shim-arguments.ts';
import { shimBinary } from '../support/shim-binary.ts';

const plain: LaunchSpec = {
  name: 'm',
  generation: '1',
  wanted: 'running',
  restartPolicy: 'always',
  command: ['/bin/echo', 'hello'],
  env: {},
  graceMs: 1000,
  logBytesMax: 20_000,
  logFiles: 2,
};
const everything: LaunchSpec = {
  ...plain,
  stopSignal: 'SIGINT',
  rlimits: { nofile: 64 },
  cwd: '/tmp',
  resources: { memoryBytes: 64_000_000, cpus: 0.5, pids: 9, ioWeight: 50, ioBytesPerSecond: 1_000_000 },
  health: { intervalMs: 1, timeoutMs: 1, retries: 1, startPeriodMs: 1, notify: true },
  isolation: {
    readOnlyRoot: true,
    privateTmp: true,
    writable: ['/srv/out'],
    readable: ['/srv/in'],
    egress: 'local',
    capabilities: capabilityNames,
    devices: ['/dev/null'],
    seccomp: true,
    landlock: true,
  },
};
const pairs = (args: readonly string[], name: string): readonly (string | undefined)[] =>
  args.flatMap((arg, at) => (arg === name ? [args[at + 1]] : []));

t.test('what a spec does not ask for is left to the shim, but for a bound on processes', async (t) => {
  const paths = modulePaths('m', { runDirectory: '/run/w', logDirectory: '/log' });
  t.equal(
    shimArguments(plain, { paths, writable: [], readable: [], hidden: [] }).join(' '),
    '--dir /run/w/modules/m --log /log/m.log --log-bytes 20000 --log-files 2 --grace-ms 1000 --no-new-privs --cgroup m --pids 512 -- /bin/echo hello',
  );
});

t.test('groups come with a user, and a long name is cut to what the shim takes', async (t) => {
  const paths = modulePaths('n'.repeat(200), { runDirectory: '/run/w', logDirectory: '/log' });
  const args = shimArguments(
    { ...plain, uid: 5, gid: 6, groups: [7, 8] },
    { paths, writable: [], readable: [], hidden: [] },
  );
  t.same(pairs(args, '--group'), ['7', '8']);
  t.same(
    pairs(shimArguments({ ...plain, groups: [7] }, { paths, writable: [], readable: [], hidden: [] }), '--group'),
    [],
  );
  t.equal(pairs(args, '--cgroup')[0]?.length, 100);
});

t.test('the shim takes everything that a spec can ask for', async (t) => {
  // Not a directory below the test's: a socket's address has 107 bytes.
  const directory = mkdtempSync(join(tmpdir(), 'weir-args-'));
  t.teardown(() => rmSync(directory, { recursive: true }));
  const paths = modulePaths('m', { runDirectory: join(directory, 'r'), logDirectory: directory });
  mkdirSync(paths.directory, { recursive: true });
  const args = shimArguments(everything, {
    paths,
    writable: [directory],
    readable: [paths.directory],
    hidden: ['/srv/secrets'],
  });
  t.same(pairs(args, '--writable'), [directory, '/srv/out']);
  t.same(pairs(args, '--readable'), [paths.directory, '/srv/in']);
  t.same(pairs(args, '--hide'), ['/srv/secrets']);
  t.same(pairs(args, '--cpus'), ['0.5']);
  execFileSync(shimBinary(), args, { env: {} });
  t.match(JSON.parse(readFileSync(paths.exit, 'utf8')), { reason: 'exit', code: 0 });
  t.match(readFileSync(paths.log, 'utf8'), /O hello/);
});
