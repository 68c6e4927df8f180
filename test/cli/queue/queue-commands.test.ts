// The queue's commands over real sockets, a gateway's queue at one end and a hub at the other.

import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { type AdminDevice, AdminServer } from '../../../src/admin/index.ts';
import { runCli } from '../../../src/cli/index.ts';
import { HubApi } from '../../../src/hub/index.ts';
import { queueReceiptBytesMax } from '../../../src/limits.ts';
import { systemDisk } from '../../../src/platform/disk.ts';
import { systemHttp } from '../../../src/platform/http.ts';
import { createMetrics } from '../../../src/platform/metrics.ts';
import { type CarriedWorld, carriedWorld, hubQueue } from '../../support/carried-world.ts';
import { recordedContext } from '../../support/cli-context.ts';
import { queueFile } from '../../support/queue-file.ts';
import { seededEntropy } from '../../support/sim-entropy.ts';

interface Told {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

interface Stage extends CarriedWorld {
  readonly stick: string;
  readonly weir: (line: string, options?: Options) => Promise<Told>;
}

interface Options {
  readonly typed?: readonly string[];
  readonly freeBytes?: number;
  readonly isTerminal?: boolean;
}

function bytesIn(directory: string): number {
  return readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
}

async function stage(t: Test): Promise<Stage> {
  const world = carriedWorld();
  // A socket's path is at most 107 bytes: tap's own directories are longer.
  const directory = mkdtempSync(join(tmpdir(), 'weir-queue-'));
  const stick = join(directory, 'stick');
  mkdirSync(stick);
  const http = systemHttp();
  const { hub, queues } = world;
  const device = { queues } as unknown as AdminDevice;
  const admin = new AdminServer(
    { http, log: hub.log, metrics: createMetrics(), device },
    { socketPath: join(directory, 'admin.sock') },
  );
  const api = new HubApi(
    { ...hub, http, entropy: seededEntropy(2), presence: { isConnected: () => false }, facts: () => ({}) },
    { socketPath: join(directory, 'hub.sock') },
  );
  await admin.start();
  await api.start();
  t.teardown(async () => {
    await admin.close();
    await api.close();
    await world.close();
    rmSync(directory, { recursive: true });
  });
  const weir = async (line: string, options: Options = {}): Promise<Told> => {
    const disk = systemDisk();
    const { freeBytes } = options;
    const context = {
      ...recordedContext({ nowMs: Date.UTC(2026, 0, 2), ...options }),
      http,
      disk:
        freeBytes === undefined
          ? disk
          : { ...disk, freeBytes: async (_operation: string, path: string) => freeBytes - bytesIn(path) },
    };
    const where = ['--run-dir', directory, '--data-dir', directory];
    const code = await runCli([...line.split(' '), ...where], context);
    return { code, out: context.out(), err: context.err() };
  };
  return { ...world, stick, weir };
}

t.test('a queue goes by stick: export, import at the hub, receipts back', async (t) => {
  const { stick, weir, fill, store, hub } = await stage(t);
  await fill(1, 20);
  await fill(21, 25, { priority: 1 });
  const out = await weir(`queue export ${stick}`);
  t.match(out, { code: 0, out: /^2 files, 25 messages, .* written to .*\nAt the hub: weir hub import/ });
  t.same(readdirSync(stick), ['gateway-epoch-1.1-000000000000.weirq', 'gateway-epoch-1.2-000000000000.weirq']);
  t.match(
    await weir(`queue export ${stick}`),
    { code: 0, out: /^Nothing waits that is not in/ },
    'nothing is made twice',
  );
  t.match(await weir(`hub import ${stick}`), { code: 0, out: /2 of 2 files taken, 25 new messages/ });
  t.equal(readdirSync(stick).filter((name) => name.endsWith('.weirq.receipt')).length, 2);
  t.match(await weir(`hub import ${stick}`), { code: 0, out: /20 were there already.*2 of 2 files taken, 0 new/s });
  t.equal(hub.eventLog.facts().events, 25);
  t.equal(store.waiting(hubQueue), 25);
  t.match(await weir(`queue import ${stick}`), { code: 0, out: /^2 receipts free 25 messages/ });
  t.equal(store.waiting(hubQueue), 0);
  const again = await weir(`queue import ${stick} --json`);
  t.match(JSON.parse(again.out), [{ outcome: 'gone' }, { outcome: 'gone' }]);
});

t.test('a torn file is made again, and a bad one does not stop the others', async (t) => {
  const { stick, weir, fill, hub } = await stage(t);
  await fill(1, 20);
  await fill(21, 25, { priority: 1 });
  await weir(`queue export ${stick}`);
  const torn = join(stick, 'gateway-epoch-1.1-000000000000.weirq');
  truncateSync(torn, 100);
  writeFileSync(join(stick, 'aaa.weirq'), 'holiday pictures');
  writeFileSync(join(stick, 'big.weirq'), Buffer.alloc(4_000_000));
  writeFileSync(join(stick, 'stranger.weirq'), queueFile(Buffer.alloc(32).toString('base64'), []));
  const told = await weir(`hub import ${stick}`);
  t.equal(told.code, 1);
  for (const words of [
    /aaa\.weirq .*HUB_IMPORT_FOREIGN/,
    /big\.weirq .*CLI_CANNOT_READ/,
    /1\.1-0+\.weirq .*HUB_IMPORT_TORN/,
    /1\.2-0+\.weirq +5 messages of gateway/,
    /stranger\.weirq .*HUB_IMPORT_/,
    /1 of 5 files taken, 5 new messages/,
  ])
    t.match(told.out, words);
  t.match(await weir(`queue export ${stick} --json`), { code: 0, out: /"messages": 20/ });
  const json = JSON.parse((await weir(`hub import ${stick} --json`)).out) as readonly { readonly ok: boolean }[];
  t.equal(json.filter(({ ok }) => ok).length, 2);
  t.equal(hub.eventLog.facts().events, 25);
});

t.test('what cannot be read on a stick stops nothing of the rest', async (t) => {
  const { stick, weir, fill, store } = await stage(t);
  await fill(1, 20);
  mkdirSync(join(stick, 'a.weirq'));
  t.match(await weir(`queue export ${stick}`), { code: 0, out: /^1 file, 20 messages/ });
  t.match(await weir(`hub import ${stick}`), { code: 1, out: /1 of 2 files taken, 20 new messages/ });
  mkdirSync(join(stick, 'a.weirq.receipt'));
  writeFileSync(join(stick, 'b.weirq.receipt'), ' '.repeat(queueReceiptBytesMax + 1));
  const taken = await weir(`queue import ${stick}`);
  t.match(taken, { code: 1, out: /^1 receipt frees 20 messages/ });
  t.match(taken.out, /a\.weirq\.receipt cannot be read.*\[CLI_CANNOT_READ\]/);
  t.match(taken.out, /b\.weirq\.receipt is larger.*\[CLI_CANNOT_READ\]/);
  t.equal(store.waiting(hubQueue), 0);
});

t.test('a stick that is too small is told before, or takes what fits', async (t) => {
  const { stick, weir, fill } = await stage(t);
  await fill(1, 30, { over: { body: Buffer.alloc(200_000) } });
  const small = { freeBytes: 4_000_000 };
  const told = await weir(`queue export ${stick}`, small);
  t.match(told, { code: 1, err: /has no room .* are needed, 3\.8 MiB are free.*CLI_NO_SPACE/ });
  t.same(readdirSync(stick), []);
  const partly = await weir(`queue export ${stick} --what-fits`, { freeBytes: 3_300_000 });
  t.match(partly, { code: 0, out: /The stick is full/ });
  t.ok(readdirSync(stick).length > 0);
  t.match(await weir(`queue export ${stick}`), { code: 0, out: /files,/ }, 'and the rest later');
});

t.test('a directory that is none, or holds nothing, is told', async (t) => {
  const { stick, weir, fill } = await stage(t);
  await fill(1, 1);
  t.match(await weir(`queue export ${stick}/nowhere`), {
    code: 1,
    err: /Is the stick mounted there\?.*CLI_CANNOT_READ/,
  });
  t.match(await weir(`hub import ${stick}`), { code: 1, err: /no queue files .*CLI_NO_QUEUE_FILES/ });
  t.match(await weir(`queue import ${stick}`), { code: 1, err: /no receipts .*CLI_NO_QUEUE_FILES/ });
  t.match(await weir(`queue export ${stick} --queue filter/inputs/in`), { code: 1, err: /QUEUES_NOT_FOR_HUB/ });
});

t.test('forged receipts are told and free nothing', async (t) => {
  const { stick, weir, fill, store } = await stage(t);
  await fill(1, 9);
  await weir(`queue export ${stick}`);
  await weir(`hub import ${stick}`);
  const path = join(stick, 'gateway-epoch-1.1-000000000000.weirq.receipt');
  const text = readFileSync(path, 'utf8');
  writeFileSync(path, text.replace('"last":9', '"last":8'));
  t.match(await weir(`queue import ${stick}`), { code: 1, out: /QUEUES_RECEIPT_FORGED/ });
  t.equal(store.waiting(hubQueue), 9);
});

t.test('a look shows sender, time, properties and body, as text, JSON or hexadecimal', async (t) => {
  const { weir, fill } = await stage(t);
  await fill(1, 2, { priority: 3 });
  await fill(3, 3, { over: { body: Buffer.from([0, 1, 0xff, ...Buffer.alloc(60)]), properties: { a: '\u001b[31m' } } });
  const told = await weir(`queue peek ${hubQueue}`);
  t.equal(told.code, 0);
  t.match(
    told.out,
    /^#1 {2}gateway\/modbus readings {2}2026-01-01T00:00:00\.001Z {2}priority 3 {2}14 bytes\n {4}\$messageId=m-1 .*sequenceNumber=1\n {4}\{"sequence":1\}\n#2 /,
  );
  t.match(told.out, /no priority {2}63 bytes\n.*a=\?\[31m\n +0001ff0{58}…\n$/s, 'nothing that a terminal would obey');
  const json = JSON.parse((await weir(`queue peek ${hubQueue} --json --from last --count 2`)).out) as object;
  t.match(json, [
    { offset: 2, priority: 3, body: { sequence: 2 } },
    { offset: 1, priority: null, bodyBase64: /^AAH\// },
  ]);
  t.match(await weir(`queue peek ${hubQueue} --priority 7`), { code: 0, out: 'Nothing waits there.\n' });
  t.match(await weir(`queue peek ${hubQueue} --priority unset`), { out: /^#1 .*no priority/ });
  t.match(await weir(`queue peek ${hubQueue} --priority 12`), { code: 2, err: /0 to 9, or unset/ });
  t.match(await weir(`queue peek ${hubQueue} --count 0`), { code: 2 });
  t.match(await weir('queue peek nowhere'), { code: 1, err: /QUEUES_UNKNOWN_QUEUE/ });
});

t.test('a purge asks at a terminal, and wants --yes elsewhere', async (t) => {
  const { weir, fill, store } = await stage(t);
  await fill(1, 20, { over: { enqueuedMs: Date.UTC(2026, 0, 1) } });
  await fill(21, 22, { over: { enqueuedMs: Date.UTC(2026, 0, 1, 23) } });
  await fill(23, 23, { priority: 1 });
  t.match(await weir(`queue purge ${hubQueue}`), { code: 2, err: /--yes/ });
  const asked = { isTerminal: true, typed: ['no'] };
  t.match(await weir(`queue purge ${hubQueue}`, asked), { code: 1, out: 'Nothing was deleted.\n', err: /Type yes/ });
  t.equal(store.waiting(hubQueue), 23);
  const older = await weir(`queue purge ${hubQueue} --priority unset --older-than 12h --yes`);
  t.match(older, { code: 0, out: '20 messages (no priority) of $upstream are deleted.\n' });
  t.match(await weir(`queue purge ${hubQueue} --older-than soon`), { code: 2, err: /--older-than "soon"/ });
  const all = await weir(`queue purge ${hubQueue}`, { isTerminal: true, typed: ['yes'] });
  t.match(all, { code: 0, out: /1 messages \(priority 1\).*\n2 messages \(no priority\)/ });
  t.match(await weir(`queue purge ${hubQueue} --yes`), { code: 0, out: 'Nothing to delete.\n' });
});

t.test('without the gateway each says so', async (t) => {
  const context = recordedContext();
  for (const line of ['peek q', 'purge q --yes', `export ${t.testdir()}`]) {
    const here = { ...context, exit: { code: 0 } };
    t.equal(await runCli(['queue', ...line.split(' '), '--run-dir', '/r', '--data-dir', '/d'], here), 1, line);
  }
  t.match(context.err(), /weir is not running on \/r.*ADMIN_NOT_RUNNING/);
});
