// Whom the runner of process modules takes for its own, and what it says to them. Pids that others have now cannot be
// made to order: the table of processes is the test's own, and signals are only written down. Files and sockets are real.

import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { systemClock } from '../../src/platform/clock.ts';
import { systemDisk } from '../../src/platform/disk.ts';
import { systemEntropy } from '../../src/platform/entropy.ts';
import { systemNetwork } from '../../src/platform/net.ts';
import { systemProcesses } from '../../src/platform/process.ts';
import { modulePaths } from '../../src/supervisor/module-paths.ts';
import type { RunningModule } from '../../src/supervisor/ports.ts';
import { ProcessRunner } from '../../src/supervisor/process-runner.ts';
import type { ModuleEnd } from '../../src/supervisor/records.ts';
import { keptLog } from '../support/quiet-log.ts';
import { wholeTree } from '../support/removal.ts';
import { eventually, spec } from '../support/supervised-site.ts';

const bootId = 'this boot';
const shimPid = 5000;
const pid = 5001;
const record = { shimPid, shimStart: 100, pid, pidStart: 101, bootId, startedAtMs: 1, lacking: [] };
const end = {
  pid,
  code: 0,
  signal: null,
  reason: 'exit',
  message: 'exited with code 0',
  startedAtMs: 1,
  endedAtMs: 2,
  uptimeMs: 1,
  oomKilled: false,
  logDroppedBytes: 0,
};

class Machine {
  readonly paths;
  /** Start times by pid, of whoever lives. */
  readonly alive = new Map<number, number>();
  readonly asked: number[] = [];
  readonly killed: number[] = [];
  readonly ends: ModuleEnd[] = [];
  readonly runner: ProcessRunner;
  up: (state: RunningModule) => void = () => undefined;
  spawned: () => void = () => undefined;

  constructor(test: Test) {
    const directory = mkdtempSync(join(tmpdir(), 'weir-runner-'));
    const roots = { runDirectory: join(directory, 'run'), logDirectory: join(directory, 'log') };
    this.paths = modulePaths('m', roots);
    mkdirSync(this.paths.directory, { recursive: true });
    const clock = systemClock();
    const { log } = keptLog(clock);
    const ports = {
      ...roots,
      clock,
      log,
      entropy: systemEntropy(),
      disk: systemDisk(),
      network: systemNetwork(),
      shimPath: '/weir-shim',
      processes: {
        ...systemProcesses(),
        bootId: () => bootId,
        startTicks: async (one: number) => {
          this.asked.push(one);
          return this.alive.get(one);
        },
        signal: (one: number) => {
          this.killed.push(one);
          return this.alive.delete(Math.abs(one));
        },
        spawnDetached: async () => {
          this.alive.set(shimPid, record.shimStart).set(pid, record.pidStart);
          this.spawned();
          return { pid: shimPid };
        },
        run: async () => ({ code: 0, timedOut: false, output: '' }),
      },
    };
    const listener = {
      up: (state: RunningModule) => this.up(state),
      ended: (one: ModuleEnd) => void this.ends.push(one),
      progress: () => undefined,
      health: () => undefined,
    };
    this.runner = new ProcessRunner(ports, { paths: this.paths, listener, log });
    test.teardown(async () => {
      await this.runner.detach();
      rmSync(directory, wholeTree);
    });
  }
}

t.test('a record is only as good as its pid, start time and boot together', async (t) => {
  const rows: readonly {
    readonly what: string;
    readonly boot?: string;
    readonly shim?: number;
    readonly leader?: number;
    readonly hasEnded?: boolean;
    readonly killed: readonly number[];
  }[] = [
    { what: 'both run', shim: 100, leader: 101, killed: [shimPid, -pid] },
    { what: 'the shim is gone', leader: 101, killed: [-pid] },
    { what: 'both are gone: members of the group may be left', killed: [-pid] },
    { what: 'both numbers are others’ now', shim: 900, leader: 901, killed: [] },
    { what: 'the number of the module is another’s now', leader: 901, killed: [] },
    { what: 'the number of the shim is another’s now', shim: 900, leader: 101, killed: [-pid] },
    { what: 'it has ended: its number may be anybody’s', hasEnded: true, killed: [] },
    { what: 'another boot, and the same numbers again', boot: 'earlier', shim: 100, leader: 101, killed: [] },
    { what: 'another boot, and nobody there', boot: 'earlier', killed: [] },
  ];
  for (const { what, boot = bootId, shim, leader, hasEnded = false, killed } of rows) {
    const machine = new Machine(t);
    writeFileSync(machine.paths.state, JSON.stringify({ ...record, bootId: boot }));
    if (hasEnded) writeFileSync(machine.paths.exit, JSON.stringify(end));
    if (shim !== undefined) machine.alive.set(shimPid, shim);
    if (leader !== undefined) machine.alive.set(pid, leader);
    await machine.runner.erase();
    t.same(machine.killed, killed, what);
    t.notOk(existsSync(machine.paths.state), `${what}: the record is gone`);
  }
});

t.test('of an earlier boot nothing is found, whoever has its numbers now', async (t) => {
  const machine = new Machine(t);
  writeFileSync(machine.paths.state, JSON.stringify({ ...record, bootId: 'earlier' }));
  machine.alive.set(shimPid, record.shimStart).set(pid, record.pidStart);
  t.same(await machine.runner.find(), { kind: 'nothing' });
  t.same(machine.asked, [], 'nobody looks after them');
  const same = new Machine(t);
  writeFileSync(same.paths.state, JSON.stringify(record));
  t.match(await same.runner.find(), { kind: 'ended', end: { pid, reason: 'lost' } }, 'of this boot it was lost');
});

t.test('only the shim that was started counts as up, and a stop told before that is told again, once', async (t) => {
  const machine = new Machine(t);
  let connections: Socket[] = [];
  let heard = '';
  const server = createServer((socket) => {
    connections.push(socket);
    const greeting = connections.length === 1 ? { ...record, shimPid: 7000, pid: 7001 } : record;
    socket.write(`${JSON.stringify(greeting)}\n`);
    socket.on('error', () => undefined);
    socket.on('data', (chunk) => {
      heard += chunk.toString();
      if (!heard.endsWith('TERM\n')) return;
      machine.alive.clear();
      socket.end(`${JSON.stringify(end)}\n`);
    });
  });
  t.teardown(() => server.close());
  machine.spawned = () => {
    if (!server.listening) server.listen(machine.paths.socket);
  };
  const isUp = (): Promise<RunningModule> =>
    new Promise((resolve) => {
      machine.up = resolve;
    });

  const first = isUp();
  machine.runner.launch(spec());
  machine.runner.terminate(1234);
  t.match(await first, { shimPid, pid });
  await eventually('it ended', () => machine.ends.length === 1);
  t.equal(heard, 'GRACE 1234\nTERM\n', 'the grace first: the kill after it is counted from the stop');

  connections = [];
  heard = '';
  server.close();
  const second = isUp();
  machine.runner.launch(spec());
  await second;
  machine.runner.terminate(5);
  await eventually('it ended again', () => machine.ends.length === 2);
  t.equal(heard, 'GRACE 5\nTERM\n', 'the stop of the life before is over');
  t.same(machine.ends, [end, end]);
  t.same(machine.killed, [], 'nobody who ends by himself is killed');
});
