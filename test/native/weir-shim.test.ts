// The shim as a black box: the real program, real processes, real sockets.

import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createConnection, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { wholeTree } from '../support/removal.ts';
import { shimBinary } from '../support/shim-binary.ts';

const shim = shimBinary();
const isRoot = process.getuid?.() === 0;
/** A guard against hangs: a busy machine takes its time. */
const waitMsMax = 120_000;

interface Exit {
  readonly pid: number;
  readonly code: number | null;
  readonly signal: number | null;
  readonly reason: string;
  readonly message: string;
  readonly startedAtMs: number;
  readonly endedAtMs: number;
  readonly uptimeMs: number;
  readonly oomKilled: boolean;
  readonly logDroppedBytes: number;
}

interface State {
  readonly shimPid: number;
  readonly shimStart: number;
  readonly pid: number;
  readonly pidStart: number;
  readonly bootId: string;
}

interface Run {
  readonly dir: string;
  readonly log: string;
  readonly process: ChildProcess;
  readonly ended: Promise<{ readonly code: number | null; readonly stderr: string }>;
  readonly exit: () => Exit;
  readonly state: () => State;
  readonly logText: () => string;
}

interface Options {
  readonly options?: readonly string[];
  readonly through?: readonly string[];
  readonly dir?: string;
  readonly logBytes?: number;
  readonly logFiles?: number;
}

function directory(test: Test): string {
  // Not testdir(): a dropped identity must be able to pass through the parents.
  const dir = mkdtempSync(join(tmpdir(), 'weir-shim-'));
  test.teardown(() => rmSync(dir, wholeTree));
  return dir;
}

function run(test: Test, command: readonly string[], options: Options = {}): Run {
  const dir = options.dir ?? directory(test);
  const log = join(dir, 'module.log');
  const args = [
    '--dir',
    dir,
    '--log',
    log,
    '--log-bytes',
    String(options.logBytes ?? 1_000_000),
    '--log-files',
    String(options.logFiles ?? 3),
  ];
  const [program = shim, ...rest] = [
    ...(options.through ?? []),
    shim,
    ...args,
    ...(options.options ?? []),
    '--',
    ...command,
  ];
  const child = spawn(program, rest, {
    detached: true,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: '/usr/bin:/bin' },
  });
  test.teardown(() => child.kill('SIGKILL'));
  let stderr = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  return {
    dir,
    log,
    process: child,
    ended: new Promise((resolve) => child.once('close', (code) => resolve({ code, stderr }))),
    exit: () => JSON.parse(readFileSync(join(dir, 'exit.json'), 'utf8')) as Exit,
    state: () => JSON.parse(readFileSync(join(dir, 'state.json'), 'utf8')) as State,
    logText: () => readFileSync(log, 'utf8'),
  };
}

const shell = (script: string): readonly string[] => ['/bin/sh', '-c', script];

async function until<Value>(what: string, look: () => Value | undefined | false): Promise<Value> {
  const deadline = performance.now() + waitMsMax;
  for (;;) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > deadline) throw new Error(`did not happen: ${what}`);
    await pause(5);
  }
}

const isAlive = (pid: number): boolean => {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
};

class Client {
  readonly socket: Socket;
  readonly #lines: AsyncIterator<string>;

  constructor(path: string) {
    this.socket = createConnection(path);
    this.socket.on('error', () => undefined);
    this.#lines = createInterface({ input: this.socket })[Symbol.asyncIterator]();
  }

  async line(): Promise<string | undefined> {
    try {
      const next = await this.#lines.next();
      return next.done === true ? undefined : next.value;
    } catch {
      return undefined; // reset: the shim closed with something of ours unread
    }
  }

  say(line: string): void {
    this.socket.write(`${line}\n`);
  }
}

async function client(test: Test, { dir }: Run): Promise<Client> {
  await until('the control socket', () => existsSync(join(dir, 'state.json')));
  const connected = new Client(join(dir, 'ctl.sock'));
  test.teardown(() => connected.socket.destroy());
  return connected;
}

t.test('a module that ends leaves its code, its times and its output', async (t) => {
  const module = run(t, shell('echo to stdout; echo to stderr >&2; exit 7'));
  const before = Date.now();
  t.equal((await module.ended).code, 0);
  const exit = module.exit();
  t.match(exit, {
    code: 7,
    signal: null,
    reason: 'exit',
    message: 'exited with code 7',
    oomKilled: false,
    logDroppedBytes: 0,
  });
  t.equal(exit.pid, module.state().pid);
  t.ok(exit.startedAtMs >= before - waitMsMax && exit.endedAtMs >= exit.startedAtMs && exit.uptimeMs >= 0);
  t.match(module.logText(), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z O to stdout$/m);
  t.match(module.logText(), /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z E to stderr$/m);
  const stamp = Date.parse(module.logText().slice(0, 24));
  t.ok(Math.abs(stamp - exit.startedAtMs) < waitMsMax, 'stamps are UTC');
  t.notOk(existsSync(join(module.dir, 'ctl.sock')), 'the socket is gone');
});

t.test('a module that is killed leaves the signal', async (t) => {
  const module = run(t, shell('kill -SEGV $$'));
  t.equal((await module.ended).code, 0);
  t.match(module.exit(), { code: null, signal: 11, reason: 'signal', message: 'ended by signal 11' });
});

t.test('a program that cannot be executed is reported with the reason', async (t) => {
  const module = run(t, ['/does/not/exist "quoted"']);
  t.equal((await module.ended).code, 0);
  const message = 'cannot execute for /does/not/exist "quoted": No such file or directory';
  t.match(module.exit(), { code: null, signal: null, reason: 'exec', message });
});

t.test('a working directory that is missing is reported as such', async (t) => {
  const module = run(t, shell('true'), { options: ['--cwd', '/does/not/exist'] });
  t.equal((await module.ended).code, 0);
  t.match(module.exit(), { reason: 'exec', message: /enter the working directory/ });
});

t.test('the environment is passed exactly as given', async (t) => {
  // Through `env -i`, because the test runner adds variables of its own to what a test starts.
  const module = run(t, ['/usr/bin/env'], { through: ['/usr/bin/env', '-i', 'ONLY=this one', 'EMPTY='] });
  await module.ended;
  const lines = module
    .logText()
    .trim()
    .split('\n')
    .map((line) => line.slice('2026-11-21T09:12:44.123Z O '.length));
  t.same(lines.sort(), ['EMPTY=', 'ONLY=this one']);
});

t.test('the module has a session, umask and working directory of its own and no stray descriptors', async (t) => {
  const script =
    'echo "sid $(cut -d" " -f6 /proc/$$/stat) $$"; umask; pwd; ls /proc/self/fd | tr "\\n" " "; readlink /proc/self/fd/0';
  const module = run(t, shell(script), { options: ['--cwd', '/usr'] });
  await module.ended;
  const sid = /sid (\d+) (\d+)/.exec(module.logText());
  t.equal(sid?.[1], sid?.[2]);
  t.match(module.logText(), / O 0027\n/);
  t.match(module.logText(), / O \/usr\n/);
  t.match(module.logText(), / O 0 1 2 3 \/dev\/null\n/, '3 is the descriptor of ls itself');
});

t.test('a listed descriptor is inherited, others are not', async (t) => {
  const dir = directory(t);
  const args = [
    '--dir',
    dir,
    '--log',
    join(dir, 'module.log'),
    '--log-bytes',
    '100000',
    '--log-files',
    '1',
    '--keep-fd',
    '4',
  ];
  const child = spawn(
    shim,
    [
      ...args,
      '--',
      '/bin/sh',
      '-c',
      'echo through 4 >&4; if (echo x >&3) 2>/dev/null; then echo open; else echo closed; fi',
    ],
    {
      stdio: ['ignore', 'ignore', 'inherit', 'pipe', 'pipe'],
    },
  );
  let heard = '';
  child.stdio[4]?.on('data', (chunk: Buffer) => {
    heard += chunk.toString();
  });
  await new Promise((resolve) => child.once('close', resolve));
  t.equal(heard, 'through 4\n');
  t.match(readFileSync(join(dir, 'module.log'), 'utf8'), / O closed\n/);
});

t.test('the identity is dropped for good', { skip: isRoot ? false : 'needs root' }, async (t) => {
  const dir = directory(t);
  const module = run(t, shell('grep -E "^(Uid|Gid|Groups|NoNewPrivs)" /proc/self/status; cat module.log'), {
    dir,
    options: ['--uid', '65534', '--gid', '65533', '--group', '20', '--no-new-privs', '--cwd', '/tmp'],
  });
  await module.ended;
  t.match(module.logText(), /O Uid:\t65534\t65534\t65534\t65534\n/);
  t.match(module.logText(), /O Gid:\t65533\t65533\t65533\t65533\n/);
  t.match(module.logText(), /O Groups:\t20 ?\n/);
  t.match(module.logText(), /O NoNewPrivs:\t1\n/);
});

t.test('supplementary groups are emptied when none is given', { skip: isRoot ? false : 'needs root' }, async (t) => {
  const module = run(t, shell('grep -E "^(Groups|NoNewPrivs)" /proc/self/status'), {
    options: ['--uid', '65534', '--gid', '65534'],
  });
  await module.ended;
  t.match(module.logText(), /O Groups:\t ?\n/);
  t.match(module.logText(), /O NoNewPrivs:\t0\n/);
});

t.test('resource limits are visible to the module', async (t) => {
  const module = run(t, shell('ulimit -S -n; ulimit -H -n; ulimit -c'), {
    options: ['--rlimit', 'nofile=64:128', '--rlimit', 'core=0'],
  });
  await module.ended;
  t.match(module.logText(), / O 64\n.* O 128\n.* O 0\n/);
});

t.test('a limit that cannot be set is reported', { skip: isRoot ? false : 'needs root' }, async (t) => {
  const module = run(t, shell('true'), { options: ['--rlimit', 'nofile=9000000000000000000'] });
  await module.ended;
  t.match(module.exit(), { reason: 'exec', message: /set a resource limit/ });
});

t.test('the log keeps to its bounds in size and number, and keeps the newest', async (t) => {
  const module = run(t, shell('i=0; while [ $i -lt 4000 ]; do echo "line number $i"; i=$((i+1)); done'), {
    logBytes: 20_000,
    logFiles: 3,
  });
  await module.ended;
  const files = readdirSync(module.dir)
    .filter((name) => name.startsWith('module.log'))
    .sort();
  t.same(files, ['module.log', 'module.log.1', 'module.log.2']);
  for (const file of files) t.ok(statSync(join(module.dir, file)).size <= 20_000, file);
  const text = files
    .reverse()
    .map((file) => readFileSync(join(module.dir, file), 'utf8'))
    .join('');
  const numbers = [...text.matchAll(/O line number (\d+)\n/g)].map((match) => Number(match[1]));
  t.equal(numbers.at(-1), 3999);
  t.ok(numbers.length > 800, `${numbers.length} lines are kept`);
  t.ok(
    numbers.every((number, at) => at === 0 || number === (numbers[at - 1] ?? 0) + 1),
    'without a hole',
  );
  t.equal(text.split('\n').length - 1, numbers.length, 'no line is torn');
});

t.test('one log file alone starts again from empty', async (t) => {
  const module = run(t, shell('i=0; while [ $i -lt 2000 ]; do echo "line number $i"; i=$((i+1)); done'), {
    logBytes: 16_384,
    logFiles: 1,
  });
  await module.ended;
  t.same(
    readdirSync(module.dir).filter((name) => name.startsWith('module.log')),
    ['module.log'],
  );
  t.ok(statSync(module.log).size <= 16_384);
  t.match(module.logText(), /O line number 1999\n$/);
});

t.test('log files beyond the number allowed now are removed, and a torn last line is ended', async (t) => {
  const dir = directory(t);
  for (const name of ['module.log.1', 'module.log.2', 'module.log.3']) writeFileSync(join(dir, name), 'old\n');
  writeFileSync(join(dir, 'module.log'), 'half a line before the power cut');
  const module = run(t, shell('echo whole'), { dir, logFiles: 2 });
  await module.ended;
  t.same(
    readdirSync(dir)
      .filter((name) => name.startsWith('module.log'))
      .sort(),
    ['module.log', 'module.log.1'],
  );
  t.match(module.logText(), /^half a line before the power cut\n\S+ O whole\n$/);
});

t.test('an over-long line is cut with a mark, an unfinished one is kept', async (t) => {
  const module = run(t, shell('head -c 20000 /dev/zero | tr "\\0" x; echo; printf "no newline"'));
  await module.ended;
  const lines = module.logText().split('\n').slice(0, -1);
  t.equal(lines.length, 4);
  t.ok(lines[0]?.endsWith('x [weir: line continues]'));
  t.ok(lines[1]?.endsWith('x [weir: line continues]'));
  t.ok(lines[2]?.endsWith('x'));
  t.equal(lines.slice(0, 3).join('').split('x').length - 1, 20_000);
  t.match(lines[3], / O no newline$/);
});

t.test('a log that cannot be written never stops the module; what was lost is counted', async (t) => {
  const dir = directory(t);
  const module = run(t, shell('i=0; while [ $i -lt 20000 ]; do echo "line number $i"; i=$((i+1)); done; exit 3'), {
    dir,
    options: ['--log', '/dev/full'],
  });
  t.equal((await module.ended).code, 0);
  t.equal(module.exit().code, 3);
  t.ok(module.exit().logDroppedBytes > 300_000, `${module.exit().logDroppedBytes} bytes`);
});

t.test('the number of lost bytes is written when the log works again', async (t) => {
  const dir = directory(t);
  const log = join(dir, 'logs', 'module.log');
  const script = 'echo lost; touch wrote; while [ ! -e go ]; do sleep 0.01; done; echo kept';
  const module = run(t, shell(script), { dir, options: ['--log', log, '--cwd', dir] });
  const control = await client(t, module);
  await control.line();
  await until('the line is written', () => existsSync(join(dir, 'wrote')));
  // The shim reads the pipes before it answers: after the answer the line is lost.
  control.say('PING');
  t.equal(await control.line(), 'PONG');
  mkdirSync(join(dir, 'logs'));
  writeFileSync(join(dir, 'go'), '');
  await module.ended;
  t.match(readFileSync(log, 'utf8'), /^\S+ S 32 bytes of output dropped: No such file or directory\n\S+ O kept\n$/);
  t.equal(module.exit().logDroppedBytes, 32);
});

t.test('a log file deleted by hand is begun anew', async (t) => {
  const dir = directory(t);
  const module = run(t, shell('echo first; while [ ! -e go ]; do sleep 0.01; done; echo second'), {
    dir,
    options: ['--cwd', dir],
  });
  await until('first line', () => existsSync(module.log) && module.logText().includes('first'));
  rmSync(module.log);
  writeFileSync(join(dir, 'go'), '');
  await module.ended;
  t.match(module.logText(), /^\S+ O second\n$/);
});

t.test('TERM lets a module end in its own way', async (t) => {
  const module = run(t, shell('trap "echo bye; exit 5" TERM; echo ready; while :; do sleep 0.05; done'));
  const control = await client(t, module);
  t.same(JSON.parse((await control.line()) ?? ''), module.state());
  await until('the trap', () => existsSync(module.log) && module.logText().includes('ready'));
  control.say('TERM');
  const exit = JSON.parse((await control.line()) ?? '') as Exit;
  t.equal(exit.code, 5);
  t.equal(await control.line(), undefined, 'then the stream ends');
  await module.ended;
  t.same(module.exit(), exit, 'the record says the same');
  t.match(module.logText(), / O bye\n/);
});

t.test('TERM becomes KILL after the grace', async (t) => {
  const module = run(t, shell('trap "" TERM; echo ready; while :; do sleep 0.05; done'), {
    options: ['--grace-ms', '60000'],
  });
  const control = await client(t, module);
  await control.line();
  await until('the trap', () => existsSync(module.log) && module.logText().includes('ready'));
  control.say('GRACE 100');
  const before = performance.now();
  control.say('TERM');
  const exit = JSON.parse((await control.line()) ?? '') as Exit;
  t.match(exit, { signal: 9, reason: 'signal', message: /after the grace/ });
  t.ok(performance.now() - before >= 99);
  await module.ended;
});

t.test('SIGTERM to the shim is TERM for the module, SIGHUP is nothing', async (t) => {
  const module = run(t, shell('trap "exit 4" TERM; echo ready; while :; do sleep 0.05; done'));
  await until('the trap', () => existsSync(module.log) && module.logText().includes('ready'));
  module.process.kill('SIGHUP');
  const control = await client(t, module);
  await control.line();
  control.say('PING');
  t.equal(await control.line(), 'PONG');
  module.process.kill('SIGTERM');
  t.equal((await module.ended).code, 0);
  t.equal(module.exit().code, 4);
});

t.test('a stopped module is ended by TERM too', async (t) => {
  const module = run(t, shell('kill -STOP $$'));
  const control = await client(t, module);
  await control.line();
  await until('stopped', () => /^State:\s+T/m.test(readFileSync(`/proc/${module.state().pid}/status`, 'utf8')));
  control.say('TERM');
  t.match(JSON.parse((await control.line()) ?? ''), { signal: 15 });
  await module.ended;
});

t.test('a second shim in the same directory is refused and changes nothing', async (t) => {
  const first = run(t, shell('while :; do sleep 0.05; done'));
  const control = await client(t, first);
  await control.line();
  const state = first.state();
  const second = run(t, shell('echo never'), { dir: first.dir });
  t.same(await second.ended, { code: 73, stderr: `weir-shim: another shim runs in ${first.dir}\n` });
  t.same(first.state(), state);
  control.say('PING');
  t.equal(await control.line(), 'PONG');
  control.say('KILL');
  t.match(JSON.parse((await control.line()) ?? ''), { signal: 9 });
  await first.ended;
});

t.test('when the shim is killed, the module dies and the stream ends without an exit line', async (t) => {
  const module = run(t, shell('trap "" TERM; while :; do sleep 0.05; done'));
  const control = await client(t, module);
  await control.line();
  const { pid, shimPid } = module.state();
  t.equal(shimPid, module.process.pid);
  module.process.kill('SIGKILL');
  t.equal(await control.line(), undefined);
  await until('the module is gone', () => !isAlive(pid));
  t.notOk(existsSync(join(module.dir, 'exit.json')));
  const again = run(t, shell('exit 6'), { dir: module.dir });
  t.equal((await again.ended).code, 0, 'the lock and the stale socket do not hinder a new start');
  t.equal(again.exit().code, 6);
});

t.test('clients come and go; each is greeted, bad ones are cut off', async (t) => {
  const module = run(t, shell('while :; do sleep 0.05; done'));
  const first = await client(t, module);
  t.same(JSON.parse((await first.line()) ?? ''), module.state());
  first.socket.destroy();
  const second = await client(t, module);
  t.same(JSON.parse((await second.line()) ?? ''), module.state());
  for (const nonsense of ['HELLO', 'GRACE x', 'x'.repeat(100)]) {
    const bad = await client(t, module);
    await bad.line();
    bad.say(nonsense);
    t.equal(await bad.line(), undefined, nonsense.slice(0, 10));
  }
  second.socket.write('PI');
  second.socket.write('NG\nPING\n');
  t.equal(await second.line(), 'PONG');
  t.equal(await second.line(), 'PONG');
  const crowd = [];
  for (let at = 0; at < 7; at++) crowd.push(await client(t, module));
  for (const one of crowd) t.ok(await one.line());
  const ninth = await client(t, module);
  t.equal(await ninth.line(), undefined, 'a ninth client is turned away');
  second.say('KILL');
  for (const one of [second, ...crowd]) t.match(JSON.parse((await one.line()) ?? ''), { signal: 9 });
  await module.ended;
});

t.test('descendants end with the module, also those that left its group', async (t) => {
  const dir = directory(t);
  const script =
    'sh -c "echo \\$\\$ > a; exec sleep 1000" & setsid sh -c "echo \\$\\$ > b; sleep 1000 & exec sleep 1000" & while [ ! -s a ] || [ ! -s b ]; do sleep 0.01; done; exit 9';
  const module = run(t, shell(script), { dir, options: ['--cwd', dir] });
  t.equal((await module.ended).code, 0);
  t.equal(module.exit().code, 9);
  for (const name of ['a', 'b']) {
    const pid = Number(readFileSync(join(dir, name), 'utf8'));
    await until(`${name} is gone`, () => !isAlive(pid));
  }
  const sessionB = readFileSync(join(dir, 'b'), 'utf8').trim();
  await until(
    'grandchildren of another session are gone, too',
    () => spawnSync('pgrep', ['-s', sessionB]).status === 1,
  );
});

t.test(
  'a module that the kernel took for want of memory says so',
  { skip: isRoot && existsSync('/dev/kmsg') ? false : 'needs the kernel log' },
  async (t) => {
    const module = run(t, shell('while :; do sleep 0.05; done'));
    const control = await client(t, module);
    await control.line();
    const { pid } = module.state();
    appendFileSync('/dev/kmsg', `<4>Out of memory: Killed process ${pid} (sh) total-vm:1kB\n`);
    process.kill(pid, 'SIGKILL');
    t.match(JSON.parse((await control.line()) ?? ''), { signal: 9, oomKilled: true });
    await module.ended;
  },
);

t.test('a directory with a path longer than a socket address is fine', async (t) => {
  const dir = join(directory(t), 'd'.repeat(120));
  mkdirSync(dir);
  const module = run(t, shell('exit 2'), { dir });
  t.equal((await module.ended).code, 0);
  t.equal(module.exit().code, 2);
});

t.test('wrong usage ends with 64 and names the argument', async (t) => {
  const good = ['--dir', '/tmp', '--log', '/tmp/x', '--log-bytes', '16384', '--log-files', '1'];
  const rows: readonly (readonly [readonly string[], RegExp])[] = [
    [[], /-- and the module's command/],
    [['--dir'], /a value is needed after --dir/],
    [[...good, '--'], /-- and the module's command/],
    [[...good, '--', 'sh'], /an absolute path is needed after --/],
    [[...good.slice(2), '--', '/bin/true'], /--dir is needed/],
    [['--dir', '/tmp', '--', '/bin/true'], /--log is needed/],
    [[...good, '--log', 'relative', '--', '/bin/true'], /an absolute path is needed after --log/],
    [[...good, '--log-bytes', '100', '--', '/bin/true'], /at least 16384 is needed after --log-bytes/],
    [[...good, '--log-files', '0', '--', '/bin/true'], /at least 1 is needed after --log-files/],
    [[...good, '--log-files', '100', '--', '/bin/true'], /whole number .* after --log-files/],
    [[...good, '--uid', '1', '--', '/bin/true'], /--uid and --gid are needed together/],
    [[...good, '--uid', '-1', '--gid', '1', '--', '/bin/true'], /whole number .* after --uid/],
    [[...good, '--uid', '4294967295', '--gid', '1', '--', '/bin/true'], /whole number .* after --uid/],
    [[...good, '--group', '1', '--', '/bin/true'], /--group needs --uid and --gid/],
    [[...good, '--rlimit', 'nofile', '--', '/bin/true'], /--rlimit needs name=soft/],
    [[...good, '--rlimit', 'nofiles=1', '--', '/bin/true'], /--rlimit does not know/],
    [[...good, '--rlimit', 'nofile=2:1', '--', '/bin/true'], /soft is above hard/],
    [[...good, '--keep-fd', '77', '--', '/bin/true'], /--keep-fd is not open/],
    [[...good, '--frobnicate', '1', '--', '/bin/true'], /unknown option --frobnicate/],
  ];
  for (const [args, message] of rows) {
    const result = spawnSync(shim, args);
    t.equal(result.status, 64, args.join(' '));
    t.match(result.stderr.toString(), message);
  }
});

t.test('a directory that is not there ends with 71', async (t) => {
  const result = spawnSync(shim, [
    '--dir',
    '/does/not/exist',
    '--log',
    '/tmp/x',
    '--log-bytes',
    '16384',
    '--log-files',
    '1',
    '--',
    '/bin/true',
  ]);
  t.equal(result.status, 71);
  t.match(result.stderr.toString(), /cannot enter \/does\/not\/exist: No such file/);
});
