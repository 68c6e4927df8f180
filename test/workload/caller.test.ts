// Who calls: judged from what the kernel tells, for every kind of process that may turn up.

import t from 'tap';
import type { ProcessLineage, ProcessTable } from '../../src/platform/process-lineage.ts';
import { belongsTo, judgeOther, type KnownModule } from '../../src/workload/caller.ts';
import { CallerCheck } from '../../src/workload/index.ts';
import { SimClock } from '../support/sim-clock.ts';

const weir = 100;
const cgroups = { '': '/system.slice/weir.service', memory: '/' };
const one: ProcessLineage = { pid: 1, startTicks: 1, ancestors: [], cgroups: { '': '/' }, isNested: false };

/** A machine: weir (100) started the shim 200 of pump (201); podman runs valve (301) under conmon (300). */
function machine(): Map<number, ProcessLineage> {
  const list: readonly ProcessLineage[] = [
    one,
    { pid: weir, startTicks: 10, ancestors: [1], cgroups, isNested: false },
    { pid: 200, startTicks: 20, ancestors: [weir, 1], cgroups, isNested: false },
    { pid: 201, startTicks: 21, ancestors: [200, weir, 1], cgroups, isNested: false },
    { pid: 202, startTicks: 22, ancestors: [201, 200, weir, 1], cgroups, isNested: false },
    // Its parent ended; the shim adopted it.
    { pid: 203, startTicks: 23, ancestors: [200, weir, 1], cgroups, isNested: false },
    { pid: 300, startTicks: 30, ancestors: [1], cgroups: { '': '/machine/conmon', memory: '/m' }, isNested: false },
    {
      pid: 301,
      startTicks: 31,
      ancestors: [300, 1],
      cgroups: { '': '/machine/libpod-a', memory: '/m' },
      isNested: true,
    },
    { pid: 302, startTicks: 32, ancestors: [301, 300, 1], cgroups: { '': '/machine/libpod-a' }, isNested: true },
    // podman exec: another parent, the same group, or one below it.
    { pid: 303, startTicks: 33, ancestors: [1], cgroups: { '': '/machine/libpod-a/exec' }, isNested: true },
    { pid: 304, startTicks: 34, ancestors: [1], cgroups: { '': '/machine/libpod-ab', memory: '/m' }, isNested: true },
    { pid: 400, startTicks: 40, ancestors: [1], cgroups: { '': '/user.slice' }, isNested: false },
    { pid: 500, startTicks: 50, ancestors: [weir, 1], cgroups, isNested: false },
  ];
  return new Map(list.map((process) => [process.pid, process]));
}

const modules: readonly KnownModule[] = [
  { name: 'pump', kind: 'process', pid: 201 },
  { name: 'valve', kind: 'container', pid: 301 },
  { name: 'gone', kind: 'process', pid: 999 },
  { name: 'waits', kind: 'process', pid: null },
];

function check(processes = machine(), known: readonly KnownModule[] = modules) {
  const clock = new SimClock();
  const table: ProcessTable = { pid: weir, uid: 0, lineage: async (pid) => processes.get(pid) };
  return { clock, processes, callers: new CallerCheck({ processes: table, clock, modules: () => known }) };
}

const peer = (pid: number, uid = 0, startTicks = machine().get(pid)?.startTicks) => ({
  pid,
  uid,
  gid: uid,
  startTicks,
});

t.test('a module may use its own socket, with whatever it started', async (t) => {
  const { callers } = check();
  for (const pid of [201, 202, 203])
    t.same(await callers.mayUse('pump', peer(pid)), { ok: true, sure: true }, `${pid}`);
  for (const pid of [301, 302, 303])
    t.same(await callers.mayUse('valve', peer(pid)), { ok: true, sure: true }, `${pid}`);
});

t.test('a process of another module is refused, whoever it runs as', async (t) => {
  const { callers } = check();
  for (const [pid, name] of [
    [201, 'pump'],
    [203, 'pump'],
    [301, 'valve'],
    [303, 'valve'],
  ] as const) {
    const refused = { ok: false, who: `a process (pid ${pid}) of the module '${name}'` };
    for (const uid of [0, 1000])
      t.same(await callers.mayUse(name === 'pump' ? 'valve' : 'pump', peer(pid, uid)), refused, `${pid} as ${uid}`);
    t.same(await callers.isOperator(peer(pid)), refused, 'nor is it an operator');
  }
});

t.test('operators may; strangers and the dead may not', async (t) => {
  const { callers } = check();
  t.same(await callers.mayUse('pump', peer(400)), { ok: true, sure: true }, 'root');
  t.same(await callers.mayUse('pump', peer(weir)), { ok: true, sure: true }, 'weir itself');
  t.match(await callers.mayUse('pump', peer(400, 1000)), { ok: false, who: /no module \(pid 400, uid 1000\)/ });
  t.same(await callers.isOperator(peer(400, 1000)), { ok: true, sure: true }, 'the mode of that socket decides');
  t.match(await callers.mayUse('pump', peer(4711, 0, 5)), { ok: false, who: /has ended meanwhile/ });
  t.match(await callers.mayUse('pump', peer(201, 0, 7)), { ok: false, who: /has ended/ }, 'the pid is another one now');
  t.match(await callers.mayUse('pump', { pid: 201, uid: 0, gid: 0 }), { ok: false }, 'it was gone at once');
  t.same(await callers.mayUse('pump', peer(0, 0, undefined)), { ok: true, sure: false }, 'the kernel does not show it');
});

t.test('a module that is just starting is waited for, and what never becomes one is refused', async (t) => {
  const known: KnownModule[] = [];
  const { callers, clock } = check(machine(), known);
  const starting = callers.mayUse('late', peer(500));
  await clock.advance(200);
  known.push({ name: 'late', kind: 'process', pid: 500 });
  await clock.advance(200);
  t.same(await starting, { ok: true, sure: true });
  known.length = 0;
  const never = callers.mayUse('late', peer(500));
  await clock.advance(20_000);
  t.match(await never, { ok: false, who: /no module that is known \(pid 500/ });
  const unseen = callers.mayUse('valve', peer(301));
  known.push({ name: 'valve', kind: 'container', pid: null });
  await clock.advance(20_000);
  t.same(await unseen, { ok: true, sure: false }, 'an engine that tells no pid');
});

t.test('a group that a container shares with others says nothing', async (t) => {
  const processes = machine();
  const self = processes.get(weir) ?? one;
  const at = (group: string, parent: string) => {
    const main = { pid: 301, startTicks: 31, ancestors: [300, 1], cgroups: { '': group }, isNested: true };
    const other = { pid: 305, startTicks: 35, ancestors: [1], cgroups: { '': group }, isNested: true };
    return belongsTo(other, { name: 'v', kind: 'container', main, parentCgroups: { '': parent } }, self);
  };
  t.equal(at('/machine/a', '/machine/b'), true);
  t.equal(at('/machine/a', '/machine/a'), false, "its monitor's");
  t.equal(at('/system.slice/weir.service', '/x'), false, 'ours');
  t.equal(at('/', '/x'), false, "everybody's");
});

t.test('a parent that is no shim is no family', async (t) => {
  const processes = machine();
  const self = processes.get(weir) ?? one;
  const orphan = { pid: 600, startTicks: 60, ancestors: [1], cgroups: {}, isNested: false };
  const other = { pid: 601, startTicks: 61, ancestors: [1], cgroups: {}, isNested: false };
  const module = { name: 'm', kind: 'process', main: orphan, parentCgroups: {} } as const;
  t.equal(belongsTo(other, module, self), false);
  t.equal(judgeOther(peer(601, 0, 61), other, { lineage: self, uid: 0 }).kind, 'operator');
});
