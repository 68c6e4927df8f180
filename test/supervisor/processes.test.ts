// Process modules with everything real: health by sd_notify and by command, limits, users of their own, and modules
// that mean harm.

import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import t from 'tap';
import type { LaunchSpec, ModuleObservation } from '../../src/supervisor/index.ts';
import { eventually, fast, forever, isAlive, module, Site, spec, state } from '../support/supervised-site.ts';

const isRoot = process.getuid?.() === 0;
const firstUid = 64_000;
const serialGroup = 20;
/** Nothing shut. */
const open = {
  readOnlyRoot: false,
  privateTmp: false,
  writable: [],
  egress: 'any',
  capabilities: [],
  devices: [],
  seccomp: false,
  landlock: false,
} as const;
const health = { intervalMs: 50, timeoutMs: 60_000, retries: 2, startPeriodMs: 10_000, notify: false };

/** sd_notify without systemd: a datagram to NOTIFY_SOCKET. */
const python = '/usr/bin/python3';
const notifier = `
import os, socket, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
say = lambda text: s.sendto(text.encode(), os.environ['NOTIFY_SOCKET'])
`;

t.test('a module says that it is ready, and how it is', async (t) => {
  const site = new Site(t);
  const supervisor = await site.supervisor();
  const go = join(site.directory, 'go');
  const said = `${notifier}
while not os.path.exists('${go}'): time.sleep(0.02)
say('READY=1\\nSTATUS=polling %s' % os.environ.get('WATCHDOG_USEC'))
time.sleep(1000)`;
  const ready = spec({ command: [python, '-c', said], health: { ...health, notify: true, watchdogMs: 60_000 } });
  await supervisor.apply([ready]);
  t.match(await module(supervisor, { runtimeStatus: 'running' }), { health: { ready: false } });
  writeFileSync(go, '');
  const told = await module(supervisor, (one) => one.health?.ready === true);
  t.match(told, {
    health: { healthy: true, text: 'polling 60000000' },
    statusDescription: 'running; polling 60000000',
  });
  await supervisor.close({ stopModules: false });
  const next = await site.supervisor();
  await next.apply([ready]);
  await module(next, (one) => one.adopted && one.health?.ready === true && one.health.text === 'polling 60000000');
});

t.test('a module whose watchdog hears nothing any more is ended and started again, and that counts', async (t) => {
  const site = new Site(t);
  const supervisor = await site.supervisor();
  const said = `${notifier}
say('READY=1')
for at in range(5):
  say('WATCHDOG=1')
  time.sleep(0.1)
time.sleep(1000)`;
  const seen: string[] = [];
  supervisor.onChange(() => seen.push(supervisor.observe()[0]?.runtimeStatus ?? ''));
  await supervisor.apply([
    spec({ command: [python, '-c', said], health: { ...health, notify: true, watchdogMs: 400 } }),
  ]);
  const again = await module(supervisor, (one) => one.restartCount === 1 && one.runtimeStatus === 'running');
  t.ok(seen.includes('unhealthy'));
  t.ok(seen.includes('backoff'));
  t.equal(again.exitCode, 143, 'it was asked to end');
});

t.test('a health command judges a module', async (t) => {
  const site = new Site(t);
  const supervisor = await site.supervisor();
  const sick = join(site.directory, 'sick');
  const asked = spec({
    health: { ...health, command: ['/bin/sh', '-c', `test ! -e ${sick} || { echo it coughs; exit 1; }`] },
    restartPolicy: 'on-failure',
  });
  await supervisor.apply([asked]);
  const { pid } = await module(supervisor, (one) => one.health?.ready === true);
  writeFileSync(sick, '');
  t.match(await module(supervisor, { runtimeStatus: 'unhealthy' }), {
    pid,
    statusDescription: 'running; unhealthy: its health command ended with code 1: it coughs',
  });
  await supervisor.apply([{ ...asked, restartPolicy: 'on-unhealthy' }]);
  await module(supervisor, (one) => one.restartCount >= 1);
  t.notOk(isAlive(pid));
});

t.test('a health command that hangs, floods and leaves children behind is ended with them', async (t) => {
  const site = new Site(t);
  const supervisor = await site.supervisor();
  const left = join(site.directory, 'left');
  const command = ['/bin/sh', '-c', `sleep 1000 & echo $! > ${left}; yes`];
  await supervisor.apply([
    spec({ restartPolicy: 'never', health: { ...health, startPeriodMs: 0, retries: 1, timeoutMs: 1000, command } }),
  ]);
  // It is asked again and again: on a busy machine the first one may be ended before it has said anything.
  await module(supervisor, (one) => /took longer than 1 s: y$/.test(one.health?.text ?? ''));
  await supervisor.apply([spec({ wanted: 'stopped' })]);
  await module(supervisor, { runtimeStatus: 'stopped' });
  await eventually('what it left is gone', () => !isAlive(Number(readFileSync(left, 'utf8'))));
});

t.test('a module has a directory of its own, and a limit for it', async (t) => {
  const site = new Site(t);
  const dataLookMs = 100;
  const supervisor = await site.supervisor({ ...fast, dataLookMs });
  const data = join(site.directory, 'data/m/data');
  const fill = 'cd "$WEIR_MODULE_DATA" && test "$HOME" = "$PWD" && dd if=/dev/zero of=big bs=64k count=32 2>/dev/null';
  const greedy = spec({
    script: `${fill}; ${forever}`,
    resources: { dataBytes: 1_000_000 },
    restartPolicy: 'on-failure',
  });
  await supervisor.apply([greedy]);
  const over = await module(supervisor, (one) => one.runtimeStatus === 'backoff');
  t.match(
    over.statusDescription,
    /its directory .*data\/m\/data holds \d+ bytes, and 1000000 are its limit; it was ended/,
  );
  t.equal(statSync(data).mode & 0o777, 0o700);
  await supervisor.apply([
    { ...greedy, generation: '2', command: ['/bin/sh', '-c', `rm "$WEIR_MODULE_DATA/big"; ${forever}`] },
  ]);
  // A look may come before it has cleared up: then it is ended and started once more.
  await eventually('it has cleared up', () => !existsSync(join(data, 'big')));
  for (let pid: number | null | undefined; pid !== supervisor.observe()[0]?.pid; await pause(5 * dataLookMs))
    pid = (await module(supervisor, { generation: '2', runtimeStatus: 'running' })).pid;
  await supervisor.apply([]);
  await eventually('it is gone', () => supervisor.observe().length === 0);
  t.ok(existsSync(data), 'its data stays when it is removed: it may be rolled back to');
});

t.test(
  'each module has a user of its own, the same one in every life',
  { skip: !isRoot && 'needs root' },
  async (t) => {
    const site = new Site(t);
    chmodSync(site.directory, 0o711);
    const supervisor = await site.supervisor(fast, { firstUid, deviceGroups: [serialGroup] });
    const isolation = { ...open, devices: ['/dev/null'] };
    const all = [
      spec({ name: 'a', script: `touch $WEIR_MODULE_DATA/mine; ${forever}` }),
      { ...spec({ name: 'b' }), isolation },
    ];
    await supervisor.apply(all);
    await module(supervisor, { runtimeStatus: 'running' }, 'a');
    const b = await module(supervisor, { runtimeStatus: 'running' }, 'b');
    const uidOf = (pid: number | null): string =>
      /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';
    t.equal(uidOf(b.pid), String(firstUid + 1));
    const groupsOf = (pid: number | null): string =>
      /^Groups:[ \t]*(.*?) *$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1] ?? '';
    t.equal(groupsOf(b.pid), String(serialGroup), 'one that may use devices is in their groups');
    const mine = join(site.directory, 'data/a/data/mine');
    await eventually('its file', () => existsSync(mine));
    t.equal(statSync(mine).uid, firstUid);
    t.throws(
      () =>
        execFileSync('/bin/ls', [join(site.directory, 'data/a/data')], {
          uid: firstUid + 1,
          gid: firstUid + 1,
          stdio: 'pipe',
        }),
      /Permission denied/,
      'nobody else gets in',
    );
    const second = await site.supervisor(fast, { firstUid: firstUid + 100 });
    await second.apply([spec({ name: 'c' }), ...all.slice(1).map((one) => ({ ...one, generation: '2' }))]);
    const again = await module(second, (one) => one.generation === '2' && one.runtimeStatus === 'running', 'b');
    t.equal(uidOf(again.pid), String(firstUid + 1), 'its number stays, whatever the first one is now');
    t.equal(uidOf((await module(second, { runtimeStatus: 'running' }, 'c')).pid), String(firstUid + 100));
  },
);

t.test(
  'a module that is shut in as far as the kernel can has all that is its own',
  { skip: !isRoot && 'needs root' },
  async (t) => {
    const site = new Site(t);
    chmodSync(site.directory, 0o711);
    const supervisor = await site.supervisor(fast, { firstUid });
    const inTmp = `/tmp/weir-was-here-${process.pid}`;
    const said = `${notifier}
open(os.environ['WEIR_MODULE_DATA'] + '/mine', 'w').write('x')
def attempt(what):
  try:
    what()
    return 'yes'
  except OSError as error:
    return 'no'
outside = attempt(lambda: open('/usr/weir-was-here', 'w'))
tmp = attempt(lambda: open('${inTmp}', 'w'))
say('READY=1\\nSTATUS=outside %s, tmp %s' % (outside, tmp))
time.sleep(1000)`;
    const isolation = {
      readOnlyRoot: true,
      privateTmp: true,
      writable: [],
      egress: 'none',
      capabilities: [],
      devices: [],
      seccomp: true,
      landlock: true,
    } as const;
    await supervisor.apply([
      spec({ command: [python, '-c', said], health: { ...health, notify: true }, isolation, restartPolicy: 'never' }),
    ]);
    const ready = await module(supervisor, (one) => one.health?.ready === true);
    t.equal(ready.health?.text, 'outside no, tmp yes');
    t.ok(existsSync(join(site.directory, 'data/m/data/mine')));
    if (ready.lacking?.includes('private-tmp') !== true) t.notOk(existsSync(inTmp));
  },
);

t.test('modules that mean harm', async (t) => {
  const site = new Site(t);
  const supervisor = await site.supervisor();
  const gone = async (name: string): Promise<ModuleObservation> => {
    const found = await module(supervisor, {}, name);
    await supervisor.apply(
      supervisor
        .observe()
        .filter((one) => one.name !== name)
        .map((one) => specs[one.name] ?? spec()),
    );
    await eventually(`${name} is gone`, () => !supervisor.observe().some((one) => one.name === name));
    return found;
  };
  const specs: Record<string, LaunchSpec> = {
    bomb: spec({
      name: 'bomb',
      command: [
        python,
        '-c',
        'import os,time\nfor i in range(9):\n  try: os.fork()\n  except OSError: pass\nwhile True: time.sleep(1)',
      ],
      resources: { pids: 32 },
      graceMs: 100,
    }),
    deaf: spec({ name: 'deaf', script: `trap "" TERM; ${forever}`, graceMs: 200 }),
    mute: spec({ name: 'mute', script: `exec >&- 2>&-; ${forever}` }),
    undead: spec({
      name: 'undead',
      command: [
        python,
        '-c',
        'import os,time\nfor i in range(200):\n  if os.fork() == 0: os._exit(0)\ntime.sleep(1000)',
      ],
    }),
    good: spec({ name: 'good' }),
  };
  await supervisor.apply(Object.values(specs));
  const good = await module(supervisor, { runtimeStatus: 'running' }, 'good');
  for (const name of ['deaf', 'mute', 'undead']) await module(supervisor, { runtimeStatus: 'running' }, name);
  const members = (name: string): readonly number[] => {
    const group = state(site, name).pid;
    return readdirSync('/proc')
      .filter((entry) => /^\d+$/.test(entry))
      .map(Number)
      .filter((pid) => {
        try {
          const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
          return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[2]) === group;
        } catch {
          return false;
        }
      });
  };
  const bomb = await module(supervisor, (one) => one.runtimeStatus === 'running', 'bomb');
  await eventually('the bomb forks', () => members('bomb').length > 16);
  if (bomb.lacking?.includes('pids') !== true) t.ok(members('bomb').length <= 32, 'a fork bomb has its limit');
  const bombed = members('bomb');
  await gone('bomb');
  await eventually('it is gone as a whole', () => !bombed.some(isAlive));

  await eventually('there are zombies', () => members('undead').length > 100);
  const undead = members('undead');
  await gone('undead');
  await eventually('none is left behind', () => !undead.some((pid) => existsSync(`/proc/${pid}`)));

  const deaf = await gone('deaf');
  t.notOk(isAlive(deaf.pid), 'one that ignores SIGTERM is killed after its grace');
  const mute = await gone('mute');
  t.notOk(isAlive(mute.pid), 'one that has closed its output is known to run, and is ended');
  t.equal((await module(supervisor, {}, 'good')).pid, good.pid, 'the others are not concerned');
});

t.test('a module that takes more memory than it may is told from one that crashes', async (t) => {
  const site = new Site(t);
  const supervisor = await site.supervisor();
  const hog = 'a = []\nwhile True: a.append(bytearray(1000000))';
  await supervisor.apply([
    spec({
      command: [python, '-c', hog],
      restartPolicy: 'never',
      resources: { memoryBytes: 40_000_000 },
      rlimits: { as: 400_000_000 },
    }),
  ]);
  const { lacking } = await module(supervisor, (one) => one.pid !== null || one.runtimeStatus === 'failed');
  const failed = await module(supervisor, { runtimeStatus: 'failed' });
  if (lacking?.includes('memory') === true) t.equal(failed.exitCode, 1, 'without the limit it runs into its own');
  else t.match(failed, { exitCode: 137, statusDescription: /out of memory/ });
});

t.test('a gigabyte of logs stays within its limit on the disk, and harms nobody', async (t) => {
  const site = new Site(t);
  const supervisor = await site.supervisor();
  const line = 'x'.repeat(120);
  await supervisor.apply([
    spec({
      name: 'loud',
      script: `yes ${line} | head -c 1000000000`,
      restartPolicy: 'never',
      logBytesMax: 1_000_000,
      logFiles: 3,
    }),
    spec({ name: 'good' }),
  ]);
  t.match(await module(supervisor, { runtimeStatus: 'stopped' }, 'loud', 500_000), { exitCode: 0 });
  const sizes = readdirSync(join(site.directory, 'log'))
    .filter((name) => name.startsWith('loud'))
    .map((name) => statSync(join(site.directory, 'log', name)).size);
  t.equal(sizes.length, 3);
  t.ok(Math.max(...sizes) <= 1_000_000, `${sizes}`);
  await module(supervisor, { runtimeStatus: 'running' }, 'good');
});
