// The device's copy of twins: what it serves, what it owes to the hub, what survives a restart.

import t from 'tap';
import { emptyTwin } from '../../src/model/twin.ts';
import { TwinCache } from '../../src/twin/index.ts';
import { MemoryTwins } from '../support/memory-twins.ts';

const module = { deviceId: 'gw', moduleId: 'pump' };

t.test('reported patches merge, count versions and stay owed until acknowledged', async (t) => {
  const cache = new TwinCache(new MemoryTwins());
  t.equal(await cache.patchReported(module, { a: 1, b: { c: 2 } }), 1);
  t.equal(await cache.patchReported(module, { b: { c: null, d: 3 } }), 2);
  t.same(cache.twin(module).reported, { properties: { a: 1, b: { d: 3 } }, version: 2 });
  const owed = cache.owedReported(module);
  t.same(owed, { a: 1, b: { d: 3 } });
  await cache.patchReported(module, { a: null, e: 1 });
  cache.acknowledgeReported(module, owed ?? {});
  t.same(cache.owedReported(module), { a: null, e: 1 }, 'a report made meanwhile stays owed');
  cache.acknowledgeReported(module, { a: null, e: 1 });
  t.equal(cache.owedReported(module), undefined);
});

t.test('a restart knows the twins', async (t) => {
  const table = new MemoryTwins();
  const before = new TwinCache(table);
  await before.applyDesiredPatch({ identity: module, patch: { speed: 5 }, version: 1 });
  await before.patchReported(module, { speed: 5 });
  const after = new TwinCache(table);
  await after.start();
  t.same(after.twin(module), before.twin(module));
  t.same(after.identities(), [module]);
});

t.test('desired patches apply in order; repetitions are ignored and gaps are told', async (t) => {
  const cache = new TwinCache(new MemoryTwins());
  const news: unknown[] = [];
  cache.onDesired((item) => news.push(item));
  t.equal(await cache.applyDesiredPatch({ identity: module, patch: { a: 1 }, version: 1 }), true);
  t.equal(
    await cache.applyDesiredPatch({ identity: module, patch: { a: 9 }, version: 1 }),
    true,
    'a repetition changes nothing',
  );
  t.equal(
    await cache.applyDesiredPatch({ identity: module, patch: { a: 3 }, version: 3 }),
    false,
    'version 2 is missing',
  );
  t.same(cache.twin(module).desired, { properties: { a: 1 }, version: 1 });
  t.same(news, [{ identity: module, patch: { a: 1 }, version: 1 }]);
});

t.test("on first contact the hub's reported properties are the base of what was reported offline", async (t) => {
  const cache = new TwinCache(new MemoryTwins());
  await cache.patchReported(module, { b: 2 });
  await cache.reconcile(module, {
    desired: { properties: { x: 1 }, version: 4 },
    reported: { properties: { a: 1, b: 1 }, version: 7 },
  });
  t.same(cache.owedReported(module), { b: 2 });
  t.same(cache.twin(module).reported.properties, { a: 1, b: 2 });
  t.same(cache.twin(module).desired, { properties: { x: 1 }, version: 4 });
});

t.test('later on the device is the authority for reported and the hub for desired properties', async (t) => {
  const cache = new TwinCache(new MemoryTwins());
  await cache.reconcile(module, { ...emptyTwin, desired: { properties: { a: 1, gone: true }, version: 9 } });
  await cache.patchReported(module, { level: 3 });
  const news: unknown[] = [];
  cache.onDesired((item) => news.push(item));
  await cache.reconcile(module, {
    desired: { properties: { a: 2 }, version: 2 },
    reported: { properties: { stale: 1 }, version: 3 },
  });
  t.same(cache.owedReported(module), { level: 3, stale: null });
  t.same(news, [{ identity: module, patch: { a: 2, gone: null }, version: 2 }], 'a hub that lost its past is followed');
});

t.test('bad reported patches are refused with a path and leave the twin alone', async (t) => {
  const cache = new TwinCache(new MemoryTwins());
  await t.rejects(cache.patchReported(module, { a: { 'b.c': 1 } }), { code: 'TWIN_PATCH_INVALID' });
  await t.rejects(cache.patchReported(module, { $x: 1 }), { code: 'TWIN_PATCH_INVALID' });
  await t.rejects(
    cache.patchReported(
      module,
      Object.fromEntries(Array.from({ length: 20 }, (_, index) => [`k${index}`, 'x'.repeat(4000)])),
    ),
    { code: 'TWIN_TOO_LARGE' },
  );
  t.same(cache.twin(module), emptyTwin);
});

t.test('a forgotten identity leaves nothing behind', async (t) => {
  const table = new MemoryTwins();
  const cache = new TwinCache(table);
  await cache.patchReported(module, { a: 1 });
  await cache.forget(module);
  t.same(table.records.size, 0);
  t.same(cache.twin(module), emptyTwin);
});
