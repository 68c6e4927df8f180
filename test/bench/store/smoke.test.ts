// The bench's own parts, each for a moment: the store by itself, SQLite alone, the clients against a small broker of
// the test, and the counting of written bytes. What the figures are does not matter here, that they are there does.

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { figure, type Result } from '../figures.ts';
import { bundleChildren, child, type Order } from './child.ts';
import { leaveSession, loadClients, loadTopics, startMosquitto } from './mosquitto.ts';
import { writtenBytes } from './written-bytes.ts';

const directory = mkdtempSync(join(tmpdir(), 'weir-bench-smoke-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));
t.before(() => bundleChildren(directory));
const children = { directory, profiles: undefined };
let places = 0;

function fresh(): string {
  const data = join(directory, `data-${places++}`);
  mkdirSync(data);
  return data;
}

function positive(result: Result, path: string): boolean {
  return (figure(result, path) ?? 0) > 0;
}

t.test('the store takes messages, SQLite alone takes rows', async (t) => {
  const taken = await child(children, 'direct-store', { mode: 'accept', data: fresh(), seconds: 2, warmup: 0.1 });
  t.ok(positive(taken, 'perSecond'));
  t.ok((figure(taken, 'batch') ?? 0) > 1, 'commits are shared');
  const order = { data: fresh(), bytes: 250, batch: 100, seconds: 1, warmup: 0 };
  t.ok(positive(await child(children, 'sqlite-alone', order), 'perSecond'));
});

t.test('what is filled is there after a start, and what is drained is gone', async (t) => {
  const data = fresh();
  const filled = await child(children, 'direct-store', { mode: 'fill', data, count: 3000 });
  t.ok(positive(filled, 'filledMb'));
  t.match(await child(children, 'direct-store', { mode: 'open', data }), { messages: 3000 });
  const drained = await child(children, 'direct-store', {
    mode: 'flash',
    data,
    warmup: 0,
    drain: 'backlog',
    count: 500,
  });
  t.ok((figure(drained, 'messages') ?? 0) >= 3500, 'the whole backlog is drained');
  t.match(await child(children, 'direct-store', { mode: 'open', data }), { messages: 0 });
});

t.test('a rate is kept, and its bytes are counted', async (t) => {
  const order: Order = { mode: 'flash', data: fresh(), rate: 500, seconds: 0.4, warmup: 0.1, drain: 'meanwhile' };
  const result = await child(children, 'direct-store', order);
  t.match(result, { messages: 200, payloadBytes: 50_000 });
});

t.test('written bytes are those of files on a disk', async (t: Test) => {
  const before = writtenBytes(directory);
  if (before.byProcess === undefined) {
    t.comment('the kernel does not count here');
    return;
  }
  writeFileSync(join(directory, 'some'), Buffer.alloc(1_048_576), { flush: true });
  const after = writtenBytes(directory);
  t.ok((after.byProcess ?? 0) - before.byProcess >= 1_048_576);
  if (before.toDevice !== undefined) t.ok((after.toDevice ?? 0) >= before.toDevice);
});

t.test('the clients publish, count and wait for all acknowledgements', async (t) => {
  const broker = await startMosquitto(fresh(), { saving: 'each-second' });
  t.teardown(() => broker.end());
  await leaveSession(broker.port);
  const where = { port: broker.port, clients: loadClients(3) };
  const counted = child(children, 'mqtt-client', {
    mode: 'count',
    port: broker.port,
    clients: [{ clientId: 'reader', topic: loadTopics }],
    count: 600,
    seconds: 20,
  });
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const published = await child(children, 'mqtt-client', { mode: 'publish', ...where, count: 600, warmup: 0 });
  t.ok((figure(published, 'acknowledged') ?? 0) >= 600);
  t.match(published, { unacknowledged: 0 });
  t.match(await counted, { arrived: figure(published, 'acknowledged') === 600 ? 600 : Number });
});
