// What a service manager hears: real datagrams, and what is said when nobody listens.

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { systemInit } from '../../src/platform/init-system.ts';
import { nativeAddon } from '../../src/platform/native.ts';
import { DatagramReceiver } from '../support/datagram-receiver.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock } from '../support/sim-clock.ts';

const pid = process.pid;

for (const name of [join(mkdtempSync(join(tmpdir(), 'weir-n-')), 'n.sock'), `@weir-notify-test-${pid}`]) {
  t.test(
    `datagrams reach ${name.startsWith('@') ? 'an abstract socket' : 'a socket in the file system'}`,
    async (t) => {
      const receiver = new DatagramReceiver(name);
      t.teardown(async () => {
        await receiver.close();
        if (!name.startsWith('@')) rmSync(join(name, '..'), { recursive: true, force: true });
      });
      await receiver.start();
      const { log, lines } = keptLog(new SimClock());
      const manager = systemInit({ env: { NOTIFY_SOCKET: name, WATCHDOG_USEC: '90000000' }, pid, log });
      t.equal(manager?.watchdogMs, 90_000);
      manager?.ready('serving;\n all   well');
      manager?.reloading(1234.5);
      manager?.status('x'.repeat(1000));
      manager?.alive();
      manager?.stopping();
      await receiver.next('STOPPING=1');
      t.same(receiver.received(), [
        { pid, text: 'READY=1\nSTATUS=serving; all well' },
        { pid, text: 'RELOADING=1\nMONOTONIC_USEC=1234500' },
        { pid, text: `STATUS=${'x'.repeat(240)}` },
        { pid, text: 'WATCHDOG=1' },
        { pid, text: 'STOPPING=1\nSTATUS=ending; modules go on' },
      ]);
      t.same(lines, []);
    },
  );
}

t.test('a manager that went away is told of once and does no harm', async (t) => {
  const { log, lines } = keptLog(new SimClock());
  const manager = systemInit({ env: { NOTIFY_SOCKET: '/nowhere/at/all' }, pid, log });
  for (let time = 0; time < 3; time += 1) manager?.alive();
  t.equal(lines.length, 1);
  t.match(lines[0], /cannot be told.*No such file/);
});

t.test('the environment says whether there is a manager and a watchdog', async (t) => {
  const { log } = keptLog(new SimClock());
  const of = (env: Record<string, string>) => systemInit({ env, pid, log, send: () => undefined });
  t.equal(of({}), undefined);
  t.equal(of({ NOTIFY_SOCKET: '' }), undefined);
  t.equal(of({ NOTIFY_SOCKET: 'vsock:1' }), undefined, 'a virtual machine wants to be told, and we cannot');
  t.equal(of({ NOTIFY_SOCKET: '/n' })?.watchdogMs, undefined);
  const usec = { NOTIFY_SOCKET: '/n', WATCHDOG_USEC: '3000000' };
  t.equal(of(usec)?.watchdogMs, 3000);
  t.equal(of({ ...usec, WATCHDOG_PID: String(pid) })?.watchdogMs, 3000);
  t.equal(of({ ...usec, WATCHDOG_PID: '1' })?.watchdogMs, undefined, 'it waits for somebody else');
  for (const rubbish of ['', '0', '-1', 'soon'])
    t.equal(of({ ...usec, WATCHDOG_USEC: rubbish })?.watchdogMs, undefined, rubbish);
});

t.test('notifySend refuses what is no path or text', async (t) => {
  const { notifySend } = nativeAddon('host') as { notifySend(...args: readonly unknown[]): void };
  for (const args of [
    [],
    ['/n'],
    ['', 'x'],
    [1, 'x'],
    ['/n', 2],
    [`/${'n'.repeat(107)}`, 'x'],
    ['/n', 'x'.repeat(4097)],
  ])
    t.throws(() => notifySend(...args), { code: 'PLATFORM_NOTIFY_ARGUMENT' }, JSON.stringify(args).slice(0, 40));
  t.throws(() => notifySend('/nowhere/at/all', 'x'), { code: 'PLATFORM_NOTIFY_FAILED', errno: 2 });
});
