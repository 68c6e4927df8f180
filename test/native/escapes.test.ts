// A hostile module tries to get out. Each attack is run twice: shut in with everything that there is, and free, to
// show that it is the wall that stops it. Where the probe says that this machine lacks the wall, it is passed over.

import { chmodSync, existsSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type KernelFeatures, probeKernel } from '../../src/platform/kernel-features.ts';
import { shimBinary } from '../support/shim-binary.ts';
import { asModule, Cells, until } from '../support/shut-in.ts';

const isRoot = process.getuid?.() === 0;
const walls = ['--drop-capabilities', '--private-tmp', '--read-only-root', '--landlock', '--seccomp'];
const limits = ['--cgroup', 'escapes', '--memory', '67108864', '--pids', '40', '--cpus', '1'];

const has = (features: KernelFeatures, names: readonly string[]): boolean =>
  names.every((name) => features.lacking[name] === undefined);

interface Attack {
  readonly what: string;
  readonly command: readonly string[];
  /** Walls that stop it, all of them: the attack is judged only where these are. */
  readonly by: readonly string[];
  readonly meets: RegExp;
  /** What it meets without walls; absent: not tried. */
  readonly free?: RegExp;
  /** Free, it is tried as root: only root could. */
  readonly asRoot?: boolean;
}

const denied = /^E(PERM|ACCES|ROFS)$/;

function attacksOn(cells: Cells, victimPid: number): readonly Attack[] {
  const secret = join(cells.root, 'other', 'secret');
  const other = join(cells.root, 'other');
  return [
    {
      what: 'read a file of another module',
      command: ['read', secret],
      by: ['landlock'],
      meets: /EACCES|ENOENT/,
      free: /allowed/,
    },
    {
      what: 'list the directory of another module',
      command: ['list', other],
      by: ['landlock'],
      meets: /EACCES|ENOENT/,
      free: /allowed/,
    },
    {
      what: 'write a file of another module',
      command: ['write', secret],
      by: ['landlock'],
      meets: /EACCES|EROFS|ENOENT/,
      free: /allowed/,
    },
    {
      what: 'make a file beside it',
      command: ['make', join(other, 'planted')],
      by: ['landlock'],
      meets: /EACCES|EROFS|ENOENT/,
      free: /allowed/,
    },
    {
      what: 'remove a file of another module',
      command: ['remove', join(other, 'planted')],
      by: ['landlock'],
      meets: /EACCES|EROFS|ENOENT/,
      free: /allowed/,
    },
    {
      what: 'leave a file in the shared /dev/shm',
      command: ['make', '/dev/shm/weir-planted'],
      by: ['private-tmp'],
      meets: /allowed/,
    },
    { what: 'write into the system', command: ['make', '/usr/weir-planted'], by: ['read-only-root'], meets: denied },
    {
      what: 'write its own limits',
      command: ['write', '/sys/fs/cgroup/memory/weir.modules'],
      by: ['landlock'],
      meets: /EACCES|EROFS|ENOENT|EISDIR/,
    },
    { what: 'read the disk below the files', command: ['read', '/dev/vda'], by: ['landlock'], meets: /EACCES|ENOENT/ },
    { what: 'read the memory of the machine', command: ['read', '/dev/mem'], by: ['landlock'], meets: /EACCES|ENOENT/ },
    {
      what: 'read the environment of another module',
      command: ['read', `/proc/${victimPid}/environ`],
      by: ['landlock'],
      meets: denied,
      free: /allowed/,
    },
    {
      what: 'open the memory of another module',
      command: ['write', `/proc/${victimPid}/mem`],
      by: ['landlock'],
      meets: denied,
      free: /allowed/,
    },
    {
      what: 'signal another module of the same user',
      command: ['signal', String(victimPid)],
      by: ['signal-scope'],
      meets: denied,
      free: /allowed/,
    },
    {
      what: 'read the memory of another module',
      command: ['look', String(victimPid)],
      by: ['seccomp'],
      meets: denied,
      free: /allowed/,
    },
    {
      what: 'trace another module',
      command: ['ptrace', String(victimPid)],
      by: ['seccomp'],
      meets: denied,
      free: /allowed/,
    },
    {
      what: 'trace another module, without seccomp',
      command: ['ptrace', String(victimPid)],
      by: ['landlock'],
      meets: denied,
    },
    { what: 'become root', command: ['setuid'], by: ['capabilities'], meets: denied, free: /allowed/, asRoot: true },
    { what: 'mount', command: ['mount'], by: ['capabilities'], meets: denied, free: /ENODEV/, asRoot: true },
    { what: 'unmount', command: ['unmount'], by: ['capabilities'], meets: denied, free: /EINVAL/, asRoot: true },
    {
      what: 'change its root',
      command: ['chroot'],
      by: ['capabilities'],
      meets: denied,
      free: /allowed/,
      asRoot: true,
    },
    {
      what: 'make a device',
      command: ['node', join('/tmp', 'weir-planted-null')],
      by: ['capabilities'],
      meets: denied,
    },
    { what: 'make a namespace of users', command: ['unshare'], by: ['seccomp'], meets: denied, free: /allowed/ },
    { what: 'make one by clone', command: ['clone'], by: ['seccomp'], meets: denied, free: /allowed/ },
    { what: 'make one by clone3', command: ['clone3'], by: ['seccomp'], meets: /ENOSYS/, free: /EINVAL/ },
    { what: 'load a kernel module', command: ['module'], by: ['seccomp'], meets: denied },
    { what: 'load a BPF program', command: ['bpf'], by: ['seccomp'], meets: denied },
    { what: 'use the kernel keyring', command: ['keys'], by: ['seccomp'], meets: denied, free: /allowed/ },
    { what: 'use io_uring', command: ['io_uring'], by: ['seccomp'], meets: /ENOSYS/, free: /EFAULT/ },
    { what: 'use userfaultfd', command: ['userfaultfd'], by: ['seccomp'], meets: denied },
    { what: 'profile the kernel', command: ['perf'], by: ['seccomp'], meets: denied, free: /EFAULT/, asRoot: true },
    { what: 'set the clock', command: ['clock'], by: ['seccomp'], meets: denied, free: /EFAULT/, asRoot: true },
    { what: 'switch swap off', command: ['swap'], by: ['seccomp'], meets: denied },
    { what: 'rename the machine', command: ['hostname'], by: ['seccomp'], meets: denied, free: /EFAULT/, asRoot: true },
    {
      what: 'listen to packets of others',
      command: ['packet'],
      by: ['capabilities'],
      meets: /EPERM|EAFNOSUPPORT/,
      free: /allowed/,
      asRoot: true,
    },
    {
      what: 'make packets of its own',
      command: ['raw'],
      by: ['capabilities'],
      meets: denied,
      free: /allowed/,
      asRoot: true,
    },
    {
      what: 'call the kernel by the gate of another word size',
      command: ['old-call'],
      by: ['seccomp'],
      meets: /ENOSYS/,
    },
  ];
}

t.test('a hostile module stays where it is', { skip: isRoot ? false : 'needs root' }, async (t) => {
  const features = await probeKernel(shimBinary());
  const cells = new Cells(t);
  const other = cells.directory('other');
  writeFileSync(join(other, 'secret'), 'of another module');
  chmodSync(join(other, 'secret'), 0o666);
  const victim = cells.start([cells.hostile, 'fork', '1'], asModule);
  const sleeper = cells.start(['/bin/sleep', '1000'], asModule);
  await victim.ended();
  const { pid } = await sleeper.running();
  for (const attack of attacksOn(cells, pid)) {
    if (!has(features, attack.by)) {
      t.pass(`${attack.what}: this machine lacks ${attack.by.join(', ')}, and says so`);
      continue;
    }
    if (attack.free !== undefined)
      t.match(
        await cells.attack(attack.command, attack.asRoot === true ? [] : asModule),
        attack.free,
        `free: ${attack.what}`,
      );
    const without = attack.what.endsWith('without seccomp') ? '--seccomp' : '';
    const options = [...asModule, ...walls.filter((wall) => wall !== without)];
    t.match(await cells.attack(attack.command, options), attack.meets, `shut in: ${attack.what}`);
  }
  t.same(sleeper.state().pid, pid, 'the other module runs on');
});

t.test('root that is shut in is not root over the machine', { skip: isRoot ? false : 'needs root' }, async (t) => {
  const features = await probeKernel(shimBinary());
  const cells = new Cells(t);
  writeFileSync(join(cells.root, 'secret'), 'of root', { mode: 0o600 });
  const { pid } = await cells.start(['/bin/sleep', '1000']).running();
  const attacks: readonly (readonly [readonly string[], readonly string[]])[] = [
    [['read', join(cells.root, 'secret')], ['landlock']],
    [['read', '/etc/shadow'], ['capabilities']],
    [['make', '/etc/weir-planted'], ['landlock']],
    [['write', '/proc/sys/kernel/hostname'], ['landlock']],
    [['write', '/sys/fs/cgroup/unified/cgroup.procs'], ['landlock']],
    [['signal', String(pid)], ['signal-scope']],
    [['mount'], ['capabilities']],
    [['setuid'], []],
  ];
  for (const [command, by] of attacks) {
    if (!has(features, by)) continue;
    const said = await cells.attack(command, walls);
    // Root without capabilities still owns what is root's: /etc/shadow opens for its owner, and it is root already.
    const owns = command[1] === '/etc/shadow' || command[0] === 'setuid';
    t.match(said, owns ? /allowed/ : /^E(PERM|ACCES|ROFS|NOENT)$/, command.join(' '));
  }
});

t.test('limits hold, and a module that meets one ends alone', { skip: isRoot ? false : 'needs root' }, async (t) => {
  const features = await probeKernel(shimBinary());
  const cells = new Cells(t);
  const shut = [...asModule, ...walls, ...limits];
  const bystander = cells.start(['/bin/sleep', '1000'], [...asModule, '--cgroup', 'bystander']);
  if (has(features, ['memory'])) {
    const hog = cells.start([cells.hostile, 'memory', '200'], shut);
    t.match(
      await hog.ended(),
      { signal: 9, reason: 'signal', oomKilled: true },
      'a memory hog is taken, and it is said why',
    );
    const modest = cells.start([cells.hostile, 'memory', '20'], shut);
    t.match(await modest.ended(), { code: 0, oomKilled: false }, 'a modest one is not');
  }
  if (has(features, ['pids'])) {
    const bomb = cells.start([cells.hostile, 'fork', '100000'], shut);
    await bomb.ended();
    const forked = Number(/forked (\d+)/.exec(bomb.said().join())?.[1]);
    t.ok(forked > 0 && forked < 40, `a fork bomb got ${forked} of 40`);
    const graveyard = cells.start([cells.hostile, 'zombies', '100000'], shut);
    await graveyard.ended();
    const zombies = Number(/zombies (\d+)/.exec(graveyard.said().join())?.[1]);
    t.ok(zombies > 0 && zombies < 40, `a maker of zombies got ${zombies} of 40`);
  }
  t.ok((await bystander.running()).pid > 1, 'another module runs on');
});

t.test(
  'a control socket does not listen to modules, not even to root',
  { skip: isRoot ? false : 'needs root' },
  async (t) => {
    const features = await probeKernel(shimBinary());
    if (!has(features, ['cgroup'])) {
      t.pass('this machine has no cgroups, and says so');
      return;
    }
    const cells = new Cells(t);
    const victim = cells.start(['/bin/sleep', '1000']);
    const { pid } = await victim.running();
    const control = join(victim.dir, 'ctl.sock');
    t.equal(await cells.attack(['end', control], ['--cgroup', 'killer']), 'EPIPE');
    t.ok(isAlive(pid), 'it runs on');
    t.equal(await cells.attack(['end', control], []), 'allowed', 'it is the cgroup that tells');
    t.match(await victim.ended(), { signal: 9 });
  },
);

t.test('the network is shut as the probe says', { skip: isRoot ? false : 'needs root' }, async (t) => {
  const features = await probeKernel(shimBinary());
  const cells = new Cells(t);
  const tcp = await listening(t, { port: 0, host: '127.0.0.1' });
  const address = tcp.address();
  const port = String(typeof address === 'object' ? address?.port : 0);
  const path = join(cells.directory('sockets'), 'a.sock');
  await listening(t, { path });
  chmodSync(path, 0o777);
  const abstract = `weir-escapes-${process.pid}`;
  await listening(t, { path: `\0${abstract}` });
  const cgroup = ['--cgroup', 'network'];
  t.equal(await cells.attack(['tcp', '127.0.0.1', port], asModule), 'allowed', 'free');
  if (features.egress.local) {
    const local = [...asModule, ...cgroup, '--egress', 'local'];
    t.equal(await cells.attack(['tcp', '127.0.0.1', port], local), 'allowed', 'local: this machine');
    for (const host of ['8.8.8.8', '2001:4860:4860::8888', '::ffff:8.8.8.8', '172.32.0.1', '192.169.0.1', '11.0.0.1'])
      t.match(await cells.attack(['tcp', host, '443'], local), /EPERM|ENETUNREACH/, `local: TCP to ${host}`);
    t.equal(await cells.attack(['tcp', '8.8.8.8', '443'], local), 'EPERM');
    t.equal(await cells.attack(['udp', '8.8.8.8', '53'], local), 'EPERM', 'local: UDP');
    for (const host of [
      '10.1.2.3',
      '172.16.0.1',
      '172.31.255.254',
      '192.168.1.1',
      '169.254.1.1',
      '224.0.0.251',
      '127.0.0.1',
    ])
      t.not(await cells.attack(['udp', host, '9'], local), 'EPERM', `local: ${host} is near`);
  }
  if (features.egress.none) {
    const none = [...asModule, '--egress', 'none'];
    t.match(
      await cells.attack(['tcp', '127.0.0.1', port], none),
      /ECONNREFUSED|ENETUNREACH|EAFNOSUPPORT/,
      'none: this machine',
    );
    t.match(await cells.attack(['udp', '10.0.0.1', '53'], none), /ENETUNREACH|EAFNOSUPPORT/, 'none: the site');
    t.equal(await cells.attack(['unix', path], none), 'allowed', 'none: a socket in the file system');
  }
  if (has(features, ['signal-scope'])) {
    t.equal(await cells.attack(['abstract', abstract], asModule), 'allowed', 'free: an abstract socket');
    t.equal(
      await cells.attack(['abstract', abstract], [...asModule, '--landlock']),
      'EPERM',
      'shut in: an abstract socket',
    );
    t.equal(
      await cells.attack(['unix', path], [...asModule, '--landlock']),
      'allowed',
      'shut in: a socket in the file system',
    );
  }
});

t.test(
  'a module that ignores its end is ended with all that it started',
  { skip: isRoot ? false : 'needs root' },
  async (t) => {
    const cells = new Cells(t);
    const script =
      'trap "" TERM; setsid sleep 1000 & (setsid sh -c "trap \\"\\" TERM; sleep 1001 & wait" &) ; echo up; while :; do sleep 1; done';
    const cell = cells.start(['/bin/sh', '-c', script], [...asModule, ...walls, ...limits, '--grace-ms', '200']);
    await cell.running();
    await until('all are there', () => cell.processes().length >= 4);
    cell.signal('SIGTERM');
    t.match(await cell.ended(), { signal: 9, message: /grace/, oomKilled: false });
    await until('all are gone', () => cell.processes().length === 0);
  },
);

const isAlive = (pid: number): boolean => existsSync(`/proc/${pid}/environ`);

function listening(
  t: Test,
  where: { readonly port?: number; readonly host?: string; readonly path?: string },
): Promise<Server> {
  const server = createServer((socket) => socket.destroy());
  t.teardown(() => new Promise((resolve) => server.close(resolve)));
  return new Promise((resolve) => server.listen(where, () => resolve(server)));
}
