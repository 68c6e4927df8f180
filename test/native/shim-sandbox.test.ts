// Each option that shuts a module in, by itself: what it gives, and what it leaves alone.

import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import { parseKernelFeatures, probeKernel } from '../../src/platform/kernel-features.ts';
import { shimBinary } from '../support/shim-binary.ts';
import { asModule, type Cell, Cells, until } from '../support/shut-in.ts';

const isRoot = process.getuid?.() === 0;
const needsRoot = { skip: isRoot ? false : 'needs root' };
const features = await probeKernel(shimBinary());
const lacks = (...names: readonly string[]): string | false =>
  names.some((name) => features.lacking[name] !== undefined)
    ? `this machine lacks ${names.join(' or ')}`
    : !isRoot && 'needs root';

async function said(cells: Cells, script: string, options: readonly string[]): Promise<readonly string[]> {
  const cell = cells.start(['/bin/sh', '-c', script], options);
  await cell.ended();
  return cell.said();
}

/** Directories of the module's cgroups, by what the kernel says of a process of it. */
function groupsOf(pid: number): readonly string[] {
  return readFileSync(`/proc/${pid}/cgroup`, 'utf8')
    .split('\n')
    .filter((line) => line.includes('weir.modules'))
    .map((line) => line.slice(line.lastIndexOf('/') + 1));
}

t.test('the probe tells of this machine, and what it tells is well-formed', async (t) => {
  t.equal(features.starts, true);
  t.match(features.kernel, /^\d+\.\d+/);
  t.equal(features.root, isRoot);
  t.equal(parseKernelFeatures('{"kernel":"6"}'), undefined);
  t.equal(parseKernelFeatures('no json'), undefined);
  await t.rejects(probeKernel('/bin/false'), { code: 'PLATFORM_PROBE_FAILED' });
});

t.test('a machine that refuses is told of as such, by the probe and by the module alike', needsRoot, async (t) => {
  // A shim in a shim: the inner one has no rights, and the outer's filter refuses what it tries.
  const cells = new Cells(t);
  const shim = join(cells.root, 'shim');
  execFileSync('cp', [shimBinary(), shim]);
  const inner = cells.directory('inner');
  const outer = [...asModule, '--drop-capabilities', '--seccomp', '--cwd', inner];
  const probe = cells.start([shim, '--probe'], outer);
  await probe.ended();
  const told = parseKernelFeatures(probe.said().join('\n'));
  t.match(told, { root: false, starts: true, egress: { local: false } });
  const wishes = ['--cgroup', 'x', '--memory', '67108864', '--private-tmp', '--read-only-root', '--hide', '/var'];
  const common = ['--dir', inner, '--log', join(inner, 'log'), '--log-bytes', '100000', '--log-files', '1'];
  const cell = cells.start([shim, ...common, ...wishes, '--', '/bin/echo', 'runs'], outer);
  await cell.ended();
  const state = JSON.parse(readFileSync(join(inner, 'state.json'), 'utf8')) as { lacking: readonly string[] };
  t.same(state.lacking, ['cgroup', 'memory', 'private-tmp', 'read-only-root', 'hide']);
  for (const name of state.lacking) t.ok(told?.lacking[name], `the probe says so of ${name}`);
  const log = readFileSync(join(inner, 'log'), 'utf8');
  t.match(log, / S private-tmp is not in force: a mount namespace cannot be made: Operation not permitted\n/);
  t.match(log, / O runs\n/, 'the module runs all the same');
});

t.test(
  '/tmp, /var/tmp and /dev/shm are its own, bounded, and gone with it',
  { skip: lacks('private-tmp') },
  async (t) => {
    const cells = new Cells(t);
    const script = [
      'ls -A /tmp /var/tmp /dev/shm | grep -v : | tr -d "\\n"; echo empty',
      'for place in /tmp /var/tmp /dev/shm; do echo x > $place/weir-own-$$ && stat -c "%a %U" $place; done',
      'head -c 2000000 /dev/zero > /dev/shm/big; stat -c %s /dev/shm/big; echo $$',
    ].join('\n');
    const lines = await said(cells, script, [...asModule, '--private-tmp', '--tmp-bytes', '1048576']);
    t.match(lines, ['empty', '1777 root', '1777 root', '1777 root']);
    const size = Number(lines.at(-2));
    t.ok(size > 900_000 && size <= 1_048_576, `${size} bytes of a megabyte`);
    for (const place of ['/tmp', '/var/tmp', '/dev/shm'])
      t.notOk(existsSync(`${place}/weir-own-${lines.at(-1)}`), place);
  },
);

t.test(
  'what options name in a covered directory stays visible there',
  { skip: lacks('private-tmp', 'hide') },
  async (t) => {
    const cells = new Cells(t);
    const shown = cells.directory('deep/down/shown');
    writeFileSync(join(shown, 'file'), 'seen');
    const own = cells.directory('own');
    writeFileSync(join(cells.root, 'not-shown'), '');
    const script = `cat ${shown}/file; echo; ls ${cells.root}; (echo x > ${own}/new) && echo wrote; (echo x > ${shown}/new) 2>/dev/null || echo refused`;
    const options = [...asModule, '--readable', shown, '--writable', own];
    for (const cover of [['--private-tmp'], ['--hide', dirname(cells.root)], ['--hide', cells.root]]) {
      const lines = await said(cells, script, [...options, ...cover]);
      t.same(lines, ['seen', 'deep', 'own', 'wrote', 'refused'], cover.join(' '));
    }
    t.equal(readFileSync(join(own, 'new'), 'utf8'), 'x\n', 'it is the real directory');
  },
);

t.test(
  'a hidden file is empty, a hidden directory too, a missing one is no matter',
  { skip: lacks('hide') },
  async (t) => {
    const cells = new Cells(t);
    const secret = join(cells.root, 'secret');
    writeFileSync(secret, 'of others', { mode: 0o644 });
    mkdirSync(join(cells.root, 'secrets'));
    writeFileSync(join(cells.root, 'secrets', 'one'), 'of others');
    symlinkSync('secrets', join(cells.root, 'by-link'));
    const hidden = ['--hide', secret, '--hide', join(cells.root, 'by-link'), '--hide', '/does/not/exist'];
    const lines = await said(
      cells,
      `cat ${secret} | wc -c; ls -A ${cells.root}/secrets | wc -l; echo x > ${cells.root}/secrets/y || echo refused`,
      hidden,
    );
    t.same(
      lines.filter((line) => !line.includes('Read-only')),
      ['0', '0', 'refused'],
    );
  },
);

t.test('a read-only root is writable where it is said', { skip: lacks('read-only-root') }, async (t) => {
  const cells = new Cells(t);
  const place = cells.directory('writable');
  const file = join(cells.directory('other'), 'file');
  writeFileSync(file, 'a');
  chmodSync(file, 0o666);
  const script = `for at in ${place}/x ${file} ${cells.root}/other/y /usr/x /run/x /proc/sys/kernel/hostname; do (echo x > $at) 2>/dev/null && echo "$at yes" || echo "$at no"; done; echo > /dev/null && echo null`;
  const lines = await said(cells, script, [
    '--read-only-root',
    '--writable',
    place,
    '--writable',
    file,
    '--writable',
    '/does/not/exist',
  ]);
  t.same(lines, [
    `${place}/x yes`,
    `${file} yes`,
    `${cells.root}/other/y no`,
    '/usr/x no',
    '/run/x no',
    '/proc/sys/kernel/hostname no',
    'null',
  ]);
  t.notOk(existsSync('/usr/x'));
});

t.test(
  'mounts of the machine come and go in the module too, and its own stay its own',
  { skip: lacks('read-only-root') },
  async (t) => {
    const cells = new Cells(t);
    // Shared, as systemd makes all of them; a machine without it may not.
    const media = cells.directory('media');
    const stick = cells.directory('media/stick');
    execFileSync('mount', ['--bind', media, media]);
    t.teardown(() => execFileSync('sh', ['-c', `umount ${stick} 2>/dev/null; umount ${media}`]));
    execFileSync('mount', ['--make-shared', media]);
    execFileSync('mount', ['-t', 'tmpfs', 'weir-stick', stick]);
    writeFileSync(join(stick, 'file'), '');
    const cell = cells.start(
      ['/bin/sh', '-c', `ls ${stick}; while [ -e ${stick}/file ]; do sleep 0.01; done; echo gone`],
      ['--read-only-root'],
    );
    await until('it sees the stick', () => cell.said().includes('file'));
    t.notMatch(readFileSync('/proc/self/mountinfo', 'utf8'), / - tmpfs weir /, 'nothing of the module shows outside');
    execFileSync('umount', [stick]);
    await cell.ended();
    t.same(cell.said(), ['file', 'gone']);
  },
);

t.test(
  'capabilities are dropped, and kept ones reach a module that is not root',
  { skip: lacks('capabilities') },
  async (t) => {
    const cells = new Cells(t);
    const sets = 'grep ^Cap /proc/self/status | tr -s "\\t" " "';
    const none = '0000000000000000';
    const raw = '0000000000002000';
    t.same(await said(cells, sets, [...asModule, '--drop-capabilities']), [
      `CapInh: ${none}`,
      `CapPrm: ${none}`,
      `CapEff: ${none}`,
      `CapBnd: ${none}`,
      `CapAmb: ${none}`,
    ]);
    t.same(
      await said(cells, sets, ['--drop-capabilities']),
      [`CapInh: ${none}`, `CapPrm: ${none}`, `CapEff: ${none}`, `CapBnd: ${none}`, `CapAmb: ${none}`],
      'root alike',
    );
    const kept = await said(cells, sets, [...asModule, '--drop-capabilities', '--keep-capability', 'cap_net_raw']);
    t.same(kept, [`CapInh: ${raw}`, `CapPrm: ${raw}`, `CapEff: ${raw}`, `CapBnd: ${raw}`, `CapAmb: ${raw}`]);
    const options = [...asModule, '--drop-capabilities', '--keep-capability', 'NET_RAW', '--seccomp'];
    t.equal(await cells.attack(['raw'], options), 'allowed', 'and is of use');
    t.equal(await cells.attack(['packet'], options), 'allowed', 'the filter lets it');
    t.equal(
      await cells.attack(
        ['chroot'],
        [...asModule, '--drop-capabilities', '--keep-capability', 'SYS_CHROOT', '--seccomp'],
      ),
      'allowed',
    );
  },
);

t.test('a capability that we do not have ourselves is told of', needsRoot, async (t) => {
  const cells = new Cells(t);
  const had = BigInt(`0x${/^CapPrm:\s+(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]}`);
  const cell = cells.start(['/bin/true'], [...asModule, '--drop-capabilities', '--keep-capability', 'SYS_RESOURCE']);
  await cell.ended();
  t.same(cell.state().lacking, (had & (1n << 24n)) === 0n ? ['keep-capability'] : []);
});

t.test(
  'Landlock leaves what programs need, what is named, and nothing else',
  { skip: lacks('landlock') },
  async (t) => {
    const cells = new Cells(t);
    const own = cells.directory('own');
    const shown = cells.directory('shown');
    writeFileSync(join(shown, 'file'), 'seen');
    writeFileSync(join(cells.root, 'other'), '', { mode: 0o644 });
    const script = [
      `cat ${shown}/file; echo; cat ${cells.root}/other 2>/dev/null || echo hidden`,
      `cd ${own} && mkdir d && echo a > d/a && mv d/a b && truncate -s 0 b && rm -r d && echo worked`,
      'cat /etc/hostname > /dev/null && ls /usr > /dev/null && head -c 4 /dev/urandom > /dev/null && cat /proc/self/status > /dev/null && echo system',
      'cat /dev/kmsg > /dev/null 2>&1 || echo no device',
    ].join('\n');
    t.same(await said(cells, script, [...asModule, '--landlock', '--readable', shown, '--writable', own]), [
      'seen',
      'hidden',
      'worked',
      'system',
      'no device',
    ]);
  },
);

t.test('its own processes may signal and trace each other', { skip: lacks('landlock', 'signal-scope') }, async (t) => {
  const cells = new Cells(t);
  const script = `sleep 100 & kill -0 $! && kill $! && wait $!; echo $?; sleep 100 & ${cells.hostile} look $!; kill $! && wait $! 2>/dev/null`;
  t.same(
    await said(cells, script, [...asModule, '--landlock', '--readable', cells.hostile]),
    ['143', 'allowed'],
    'what is inside of one module stays its own matter',
  );
});

t.test('devices are used with --device alone', { skip: lacks('landlock') }, async (t) => {
  const cells = new Cells(t);
  t.equal(await cells.attack(['read', '/dev/loop-control'], ['--landlock']), 'EACCES');
  t.equal(
    await cells.attack(
      ['read', '/dev/kmsg'],
      ['--landlock', '--device', '/dev/kmsg', '--read-only-root', '--private-tmp'],
    ),
    'allowed',
  );
});

t.test(
  'a group has its limits in force, holds all descendants, and is gone afterwards',
  { skip: lacks('cgroup', 'memory', 'pids', 'cpus') },
  async (t) => {
    const cells = new Cells(t);
    const options = ['--cgroup', 'limits', '--memory', '67108864', '--pids', '30', '--cpus', '0.25'];
    const cell = cells.start(['/bin/sh', '-c', 'setsid sleep 1000 & sleep 1000'], [...asModule, ...options]);
    const { pid, shimPid } = await cell.running();
    t.ok(groupsOf(pid).length > 0);
    t.ok(groupsOf(pid).every((name) => /^limits-[0-9a-f]{8}$/.test(name)));
    t.same(groupsOf(shimPid), [], 'the shim itself is outside');
    const values = limitsOf(pid);
    t.match(values, { memory: '67108864', pids: '30' });
    t.equal(values.quotaShare, 0.25);
    await until('all are there', () => cell.processes().length === 3);
    t.same(new Set(cell.processes().flatMap(groupsOf)), new Set(groupsOf(pid)));
    const [name = 'none'] = groupsOf(pid);
    t.not(directoriesNamed(name).length, 0);
    await cell.end();
    t.same(directoriesNamed(name), []);
  },
);

t.test('processor time is what was given', { skip: lacks('cpus') }, async (t) => {
  const cells = new Cells(t);
  const cell = cells.start(
    ['/bin/sh', '-c', 'while :; do :; done'],
    [...asModule, '--cgroup', 'busy', '--cpus', '0.1', '--grace-ms', '0'],
  );
  const { pid } = await cell.running();
  const before = { at: performance.now(), ticks: ticksOf(pid) };
  await until('a second went by', () => performance.now() - before.at > 1_000);
  const share = ((ticksOf(pid) - before.ticks) * 10) / (performance.now() - before.at);
  t.ok(share < 0.25, `${Math.round(share * 100)} % of a processor`);
});

t.test('what a killed shim left in the group is ended by the next one', { skip: lacks('cgroup') }, async (t) => {
  const cells = new Cells(t);
  const options = [...asModule, '--cgroup', 'again'];
  const first = cells.start(['/bin/sh', '-c', 'setsid sleep 1000 & echo up; wait'], options);
  await until('it is up', () => first.said().includes('up') && first.processes().length === 2);
  first.signal('SIGKILL');
  await until('the module is gone, what it started is not', () => first.processes().length === 1);
  const log = ['--log', join(first.dir, 'log'), '--log-bytes', '100000', '--log-files', '2'];
  execFileSync(shimBinary(), ['--dir', first.dir, ...log, ...options, '--', '/bin/true']);
  t.same(first.processes(), [], 'ended before the module started');
});

t.test('two gateways with one name for a module have two groups', { skip: lacks('cgroup') }, async (t) => {
  const cells = new Cells(t);
  const one = cells.start(['/bin/sleep', '1000'], ['--cgroup', 'same']);
  const two = cells.start(['/bin/sleep', '1000'], ['--cgroup', 'same']);
  const [a, b] = [(await one.running()).pid, (await two.running()).pid];
  t.not(groupsOf(a)[0], groupsOf(b)[0]);
  await one.end();
  t.ok(existsSync(`/proc/${b}`));
});

t.test('the signal of a stop can be chosen', async (t) => {
  const cells = new Cells(t);
  const script = 'trap "echo int; exit 3" INT; trap "echo term" TERM; echo up; while :; do sleep 0.05; done';
  const cell = cells.start(['/bin/sh', '-c', script], ['--stop-signal', 'SIGINT']);
  await until('it is up', () => cell.said().includes('up'));
  cell.signal('SIGTERM');
  t.match(await cell.ended(), { code: 3 });
  t.same(cell.said(), ['up', 'int']);
});

t.test('shut in with everything, a start takes little longer', { skip: lacks() }, async (t) => {
  const moreMsMax = 30;
  const roundsLeast = 8;
  const roundsMax = 500;
  const cells = new Cells(t);
  const all = [
    ...asModule,
    '--cgroup',
    'fast',
    '--memory',
    '67108864',
    '--drop-capabilities',
    '--private-tmp',
    '--read-only-root',
    '--landlock',
    '--seccomp',
  ];
  const startMs = async (options: readonly string[]): Promise<number> => {
    const cell: Cell = cells.start(['/bin/true'], options);
    return (await cell.ended()).uptimeMs;
  };
  let [shutIn, free] = [await startMs(all), await startMs(asModule)];
  // Some 7 ms by the clock. On a busy machine a start may last for other reasons; the fastest of many does not.
  for (let round = 1; round < roundsLeast || (round < roundsMax && shutIn - free >= moreMsMax); round++) {
    shutIn = Math.min(shutIn, await startMs(all));
    free = Math.min(free, await startMs(asModule));
  }
  t.ok(shutIn - free < moreMsMax, `${shutIn} ms instead of ${free}`);
});

t.test('wrong words are wrong usage', async (t) => {
  const good = ['--dir', '/tmp', '--log', '/tmp/x', '--log-bytes', '16384', '--log-files', '1'];
  const rows: readonly (readonly [readonly string[], RegExp])[] = [
    [['--memory', '1000'], /too small after --memory/],
    [['--memory', '67108864'], /a limit needs --cgroup/],
    [['--cpus', 'half'], /a number like 0.5, not half/],
    [['--cpus', '.5'], /a number like 0.5, not .5/],
    [['--cpus', '0'], /at least 0.001/],
    [['--cpus', '1.5x'], /a number like 0.5/],
    [['--pids', '0'], /too small after --pids/],
    [['--io-weight', '10001'], /whole number .* after --io-weight/],
    [['--cgroup', '../up'], /a plain name/],
    [['--cgroup', 'a b'], /a plain name/],
    [['--cgroup', 'x'.repeat(101)], /a plain name/],
    [['--keep-capability', 'NET_RAW'], /--keep-capability needs --drop-capabilities/],
    [['--drop-capabilities', '--keep-capability', 'FLY'], /does not know FLY/],
    [['--egress', 'some'], /any, local or none, not some/],
    [['--stop-signal', 'SIGKILL'], /--stop-signal is .*, not SIGKILL/],
    [['--writable', 'here'], /absolute path .* after --writable/],
    [['--hide', '/'], /\/ itself cannot stand after --hide/],
    [['--notify', `/${'n'.repeat(108)}`], /longer than a socket's address/],
    [Array.from({ length: 65 }, () => ['--readable', '/usr']).flat(), /too many of --readable/],
  ];
  for (const [args, message] of rows) {
    try {
      execFileSync(shimBinary(), [...good, ...args, '--', '/bin/true'], { stdio: 'pipe' });
      t.fail(args.join(' '));
    } catch (error) {
      const { status, stderr } = error as { status: number; stderr: Buffer };
      t.equal(status, 64, args.join(' ').slice(0, 60));
      t.match(stderr.toString(), message);
    }
  }
});

/** Groups of others end while `find` looks, which it calls a failure: what it found counts. */
function directoriesNamed(name: string): readonly string[] {
  const { stdout } = spawnSync('find', ['/sys/fs/cgroup', '-type', 'd', '-name', name], { encoding: 'utf8' });
  return stdout.split('\n').filter(Boolean);
}

function limitsOf(pid: number): { memory: string; pids: string; quotaShare: number } {
  const dirs = directoriesNamed(groupsOf(pid)[0] ?? '');
  const read = (...names: readonly string[]): string => {
    for (const dir of dirs)
      for (const name of names) if (existsSync(`${dir}/${name}`)) return readFileSync(`${dir}/${name}`, 'utf8').trim();
    return '';
  };
  const [quota, period] = (read('cpu.max') || `${read('cpu.cfs_quota_us')} ${read('cpu.cfs_period_us')}`)
    .split(' ')
    .map(Number);
  return {
    memory: read('memory.max', 'memory.limit_in_bytes'),
    pids: read('pids.max'),
    quotaShare: (quota ?? 0) / (period ?? 1),
  };
}

/** Processor time in ticks of 10 ms: fields 14 and 15 of /proc/PID/stat. */
function ticksOf(pid: number): number {
  const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return Number(fields[11]) + Number(fields[12]);
}
