// What a module tells of itself, from its datagram to the line on the control socket.

import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import t, { type Test } from 'tap';
import { asModule, type Cell, Cells, moduleUid, until } from '../support/shut-in.ts';

const isRoot = process.getuid?.() === 0;
const needsRoot = { skip: isRoot ? false : 'needs root' };

const notifyOf = (cell: { readonly dir: string }): Record<string, unknown> =>
  JSON.parse(readFileSync(join(cell.dir, 'notify.json'), 'utf8')) as Record<string, unknown>;

/** Runs a script under a shim with a notify socket; `go NAME` in the test lets `wait_for NAME` in the script go on. */
function tell(
  cells: Cells,
  script: string,
  options: readonly string[] = [],
): { cell: Cell; go: (name: string) => void } {
  const gates = cells.directory('gates');
  const helpers = `tell() { "${cells.hostile}" notify "$1" >/dev/null; }; wait_for() { while [ ! -e "${gates}/$1" ]; do sleep 0.01; done; };`;
  const dir = join(cells.root, 'cell-1');
  const cell = cells.start(
    ['/bin/sh', '-c', `${helpers} ${script}`],
    ['--notify', join(dir, 'notify.sock'), ...options],
  );
  return { cell, go: (name) => writeFileSync(join(gates, name), '') };
}

async function lines(t: Test, cell: Cell): Promise<{ next(): Promise<string | undefined> }> {
  await until('the control socket', () => existsSync(join(cell.dir, 'state.json')));
  const socket = createConnection(join(cell.dir, 'ctl.sock'));
  socket.on('error', () => undefined);
  t.teardown(() => socket.destroy());
  const iterator = createInterface({ input: socket })[Symbol.asyncIterator]();
  return {
    async next() {
      const { value, done } = await iterator.next();
      return done === true ? undefined : (value as string);
    },
  };
}

const noticeOf = (line: string | undefined): readonly string[] =>
  (JSON.parse(line ?? '{}') as { notify?: string }).notify?.split('\n') ?? [];

t.test('words of sd_notify are passed on and kept, others are not', async (t) => {
  const cells = new Cells(t);
  const message = 'READY=1\nMAINPID=1\nSTATUS=übertrage "12" \\\\ Geräte\nFDSTORE=1\nX_OWN=1\nERRNO=5\nWATCHDOG=1';
  const { cell, go } = tell(cells, `wait_for a; tell '${message}'; wait_for b`);
  const client = await lines(t, cell);
  t.match(JSON.parse((await client.next()) ?? ''), { pid: Number, lacking: [] });
  go('a');
  t.same(noticeOf(await client.next()), ['READY=1', 'STATUS=übertrage "12" \\\\ Geräte', 'WATCHDOG=1', 'ERRNO=5']);
  const kept = notifyOf(cell);
  t.match(kept, { ready: true, reloading: false, stopping: false, status: 'übertrage "12" \\\\ Geräte' });
  t.type(kept['watchdogMonotonicMs'], 'number');
  go('b');
  t.match(JSON.parse((await client.next()) ?? ''), { code: 0 });
  await cell.ended();
  t.notOk(existsSync(join(cell.dir, 'notify.sock')), 'the socket is gone');
});

t.test('who connects later is told what holds', async (t) => {
  const cells = new Cells(t);
  const { cell, go } = tell(
    cells,
    `tell 'READY=1'; tell 'STATUS=one'; tell 'WATCHDOG=1'; tell 'STATUS=two'; wait_for end`,
  );
  await until('it is kept', () => existsSync(join(cell.dir, 'notify.json')) && notifyOf(cell)['status'] === 'two');
  const client = await lines(t, cell);
  await client.next();
  t.same(noticeOf(await client.next()), ['READY=1', 'STATUS=two'], 'not that it was alive once');
  go('end');
  await cell.ended();
});

t.test('a reload is not ready, and then is; an end is announced', async (t) => {
  const cells = new Cells(t);
  const { cell, go } = tell(
    cells,
    `tell READY=1; wait_for a; tell RELOADING=1; wait_for b; tell READY=1; wait_for c; tell STOPPING=1; wait_for end`,
  );
  const kept = (): unknown => (existsSync(join(cell.dir, 'notify.json')) ? notifyOf(cell) : undefined);
  const becomes = (state: Record<string, boolean>): Promise<void> =>
    until(JSON.stringify(state), () => {
      const now = kept() as Record<string, unknown> | undefined;
      return now !== undefined && Object.entries(state).every(([name, value]) => now[name] === value);
    });
  await becomes({ ready: true, reloading: false, stopping: false });
  go('a');
  await becomes({ ready: false, reloading: true });
  go('b');
  await becomes({ ready: true, reloading: false });
  go('c');
  await becomes({ stopping: true });
  go('end');
  t.match(await cell.ended(), { code: 0 });
});

t.test('a strange process is not heard, though it may write there', async (t) => {
  const cells = new Cells(t);
  const { cell, go } = tell(cells, `wait_for a; tell 'STATUS=mine'; wait_for end`);
  await cell.running();
  const stranger = cells.start(
    ['/usr/bin/env', `NOTIFY_SOCKET=${join(cell.dir, 'notify.sock')}`, cells.hostile, 'notify', 'READY=1'],
    [],
  );
  await stranger.ended();
  t.same(stranger.said(), ['allowed'], 'its datagram was sent');
  go('a');
  await until('the module itself is heard', () => existsSync(join(cell.dir, 'notify.json')));
  t.match(notifyOf(cell), { ready: false, status: 'mine' });
  go('end');
  await cell.ended();
});

t.test('a module that tells without end costs a client ten lines a second', async (t) => {
  const cells = new Cells(t);
  const { cell } = tell(
    cells,
    `i=0; while [ $i -lt 300 ]; do tell "STATUS=$i
WATCHDOG=1"; i=$((i+1)); done`,
  );
  const client = await lines(t, cell);
  const seen: string[] = [];
  for (let line = await client.next(); line !== undefined; line = await client.next()) seen.push(line);
  const { uptimeMs } = await cell.ended();
  const notices = seen.filter((line) => line.startsWith('{"notify"'));
  t.ok(notices.length >= 1 && notices.length <= uptimeMs / 100 + 2, `${notices.length} lines in ${uptimeMs} ms`);
  t.match(seen.at(-1), /"reason":"exit"/, 'and it still hears of the end');
});

t.test('what is no text, or too long, does no harm', async (t) => {
  const cells = new Cells(t);
  const { cell, go } = tell(
    cells,
    `tell "STATUS=$(printf 'a\\377b\\001c')"; wait_for b; tell "READY=1
STATUS=$(head -c 900 /dev/zero | tr '\\0' x)"; wait_for c; tell "$(head -c 9000 /dev/zero | tr '\\0' y)"; wait_for end`,
  );
  await until('one', () => existsSync(join(cell.dir, 'notify.json')));
  t.equal(notifyOf(cell)['status'], 'a?b\u0001c');
  go('b');
  await until('two', () => notifyOf(cell)['ready'] === true);
  t.equal(notifyOf(cell)['status'], 'x'.repeat(511));
  go('c');
  go('end');
  t.match(await cell.ended(), { code: 0 });
});

t.test('the socket belongs to the module, and is reached from where it is shut in', needsRoot, async (t) => {
  const cells = new Cells(t);
  const options = [...asModule, '--private-tmp', '--read-only-root', '--landlock', '--seccomp', '--egress', 'none'];
  const { cell, go } = tell(cells, `tell READY=1; wait_for end`, [
    '--readable',
    cells.directory('gates'),
    '--readable',
    cells.hostile,
    ...options,
  ]);
  await until('it is heard', () => existsSync(join(cell.dir, 'notify.json')));
  const { uid, mode } = statSync(join(cell.dir, 'notify.sock'));
  t.same([uid, mode & 0o777], [moduleUid, 0o600]);
  t.match(notifyOf(cell), { ready: true });
  go('end');
  t.match(await cell.ended(), { code: 0 });
});
