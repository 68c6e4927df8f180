// The device's copy of twins: what it serves, what it owes to the hub, what survives a restart.

import t from 'tap';
import type { JsonObject } from '../../src/model/json.ts';
import { emptyTwin } from '../../src/model/twin.ts';
import { TwinCache } from '../../src/twin/index.ts';
import { MemoryTwins } from '../support/memory-twins.ts';
import { settle } from '../support/sim-clock.ts';

const module = { deviceId: 'gw', moduleId: 'pump' };

const freshAtHub = { desired: { properties: {}, version: 1 }, reported: { properties: {}, version: 1 } };

t.test('reported patches merge, count versions and stay owed until acknowledged', async (t) => {
  const cache = new TwinCache(new MemoryTwins());
  t.equal(await cache.patchReported(module, { a: 1, b: { c: 2 } }), 1);
  t.equal(await cache.patchReported(module, { b: { c: null, d: 3 } }), 2);
  t.same(cache.twin(module).reported, { properties: { a: 1, b: { d: 3 } }, version: 2 });
  t.equal(cache.owedReported(module), undefined, 'nobody knows what the hub has');
  await cache.reconcile(module, freshAtHub);
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

t.test('a report that changes nothing is neither written nor counted', async (t) => {
  const table = new MemoryTwins();
  const cache = new TwinCache(table);
  t.equal(await cache.patchReported(module, { a: 1 }), 1);
  const record = table.records.get('gw/pump');
  t.equal(await cache.patchReported(module, { a: 1, b: null }), 1);
  t.equal(table.records.get('gw/pump'), record);
});

t.test('what cannot be stored is not acknowledged, and nothing of it stays', async (t) => {
  const table = new MemoryTwins();
  const cache = new TwinCache(table);
  await cache.patchReported(module, { a: 1 });
  table.failing = true;
  const both = [cache.patchReported(module, { a: 2 }), cache.patchReported(module, { b: 1 })];
  t.same(
    (await Promise.allSettled(both)).map(({ status }) => status),
    ['rejected', 'rejected'],
  );
  t.same(cache.twin(module).reported, { properties: { a: 1 }, version: 1 });
  table.failing = false;
  t.equal(await cache.patchReported(module, { c: 1 }), 2);
  t.same(table.records.get('gw/pump')?.twin.reported.properties, { a: 1, c: 1 });
});

t.test(
  'where the owner spoke to the hub by another way, the hub is followed, unless something is owed to it',
  async (t) => {
    const atHub = (properties: JsonObject, version: number) => ({ ...freshAtHub, reported: { properties, version } });
    const cache = new TwinCache(new MemoryTwins());
    await cache.reconcile(module, atHub({ a: 1 }, 4));
    await cache.reconcile(module, atHub({ a: 2, b: 1 }, 6));
    t.same(cache.twin(module).reported, { properties: { a: 2, b: 1 }, version: 6 });
    await cache.reconcile(module, atHub({ a: 1 }, 5));
    t.same(cache.twin(module).reported.properties, { a: 2, b: 1 }, 'an older version is a hub that lost its past');
    t.same(cache.owedReported(module), { a: 2, b: 1 });
    await cache.patchReported(module, { c: 1 });
    await cache.reconcile(module, atHub({ a: 9 }, 9));
    t.same(cache.twin(module).reported.properties, { a: 2, b: 1, c: 1 });
  },
);

t.test('the owner is told what it missed, and only that, also over a restart', async (t) => {
  const table = new MemoryTwins();
  const cache = new TwinCache(table);
  await cache.reconcile(module, { ...freshAtHub, desired: { properties: { a: 1, b: 1 }, version: 1 } });
  t.equal(cache.unseen(module), undefined, 'it never asked, so it will ask');
  cache.show(module);
  t.equal(cache.unseen(module), undefined);
  await cache.applyDesiredPatch({ identity: module, patch: { a: null }, version: 2 });
  await cache.applyDesiredPatch({ identity: module, patch: { c: 3 }, version: 3 });
  t.same(cache.unseen(module), { identity: module, patch: { a: null, c: 3 }, version: 3 });
  const after = new TwinCache(table);
  await after.start();
  t.same(after.unseen(module), { identity: module, patch: { a: null, c: 3 }, version: 3 });
  after.saw(module);
  await settle();
  t.equal(after.unseen(module), undefined);
  const later = new TwinCache(table);
  await later.start();
  t.equal(later.unseen(module), undefined);
});

t.test(
  'after a crash that may have swallowed the note, the owner is told so that it is right in either case',
  async (t) => {
    const table = new MemoryTwins();
    table.records.set('gw/pump', {
      key: 'gw/pump',
      twin: { ...freshAtHub, desired: { properties: { b: { x: 1 } }, version: 2 } },
      seen: [{ properties: { a: 1 }, version: 1 }],
    });
    const cache = new TwinCache(table);
    await cache.start();
    await cache.applyDesiredPatch({ identity: module, patch: { b: null, c: 1 }, version: 3 });
    t.same(cache.unseen(module)?.patch, { a: null, b: null, c: 1 });
  },
);

t.test('twins are bounded in number and bytes; what is there may shrink', async (t) => {
  const cache = new TwinCache(new MemoryTwins(), { twinsMax: 1, jsonBytesMax: 60 });
  await cache.patchReported(module, { text: 'x'.repeat(30) });
  await t.rejects(cache.patchReported({ deviceId: 'other' }, { a: 1 }), { code: 'TWIN_TOO_MANY' });
  t.same(cache.show({ deviceId: 'other' }), emptyTwin, 'an empty twin is served, and not kept');
  await t.rejects(cache.patchReported(module, { more: 'x'.repeat(30) }), { code: 'TWIN_NO_ROOM' });
  await cache.patchReported(module, { text: 'short' });
  await cache.patchReported(module, { more: 'x'.repeat(20) });
  await cache.forget(module);
  t.equal(
    await cache.patchReported({ deviceId: 'other' }, { text: 'x'.repeat(30) }),
    1,
    'its place and bytes are free',
  );
});

t.test('what is under way when an identity leaves neither lives on nor comes back', async (t) => {
  const table = new MemoryTwins();
  const cache = new TwinCache(table);
  const under = [cache.patchReported(module, { a: 1 }), cache.patchReported(module, { a: 2 })];
  await cache.forget(module);
  await Promise.allSettled(under);
  t.equal(table.records.size, 0);
});

t.test('a forgotten identity leaves nothing behind', async (t) => {
  const table = new MemoryTwins();
  const cache = new TwinCache(table);
  await cache.patchReported(module, { a: 1 });
  await cache.forget(module);
  t.same(table.records.size, 0);
  t.same(cache.twin(module), emptyTwin);
});

t.test(
  'a site serves desired properties of its own over one version of the hub, until the hub has another',
  async (t) => {
    const table = new MemoryTwins();
    const cache = new TwinCache(table);
    const news: unknown[] = [];
    cache.onDesired(({ patch, version }) => news.push([patch, version]));
    await cache.applyDesiredPatch({ identity: module, patch: { a: 1, b: 2 }, version: 1 });
    t.equal(cache.hubVersion(module), 1);
    const local = { identity: module, properties: { a: 5 }, overVersion: 1 };
    cache.serveLocal([local]);
    t.same(cache.twin(module).desired, { properties: { a: 5 }, version: 2 });
    t.same(cache.show(module).desired, { properties: { a: 5 }, version: 2 });
    t.equal(cache.hubVersion(module), 1, "the hub's is kept beside");
    cache.serveLocal([local]);
    await cache.patchReported(module, { x: 1 });
    await cache.reconcile(module, {
      desired: { properties: { a: 1, b: 2 }, version: 1 },
      reported: { properties: {}, version: 1 },
    });
    t.same(
      cache.twin(module).desired,
      { properties: { a: 5 }, version: 2 },
      'reading the same at the hub changes nothing',
    );
    await cache.applyDesiredPatch({ identity: module, patch: { c: 3 }, version: 2 });
    t.same(cache.twin(module).desired, { properties: { a: 1, b: 2, c: 3 }, version: 2 });
    t.same(news, [
      [{ a: 1, b: 2 }, 1],
      [{ a: 5, b: null }, 2],
      [{ a: 1, b: 2, c: 3 }, 2],
    ]);
    t.same(table.records.get('gw/pump')?.twin.desired, { properties: { a: 1, b: 2, c: 3 }, version: 2 });
  },
);

t.test("a site without any hub serves its own, and gives the hub's back when it ends", async (t) => {
  const cache = new TwinCache(new MemoryTwins());
  const news: unknown[] = [];
  cache.onDesired(({ patch, version }) => news.push([patch, version]));
  cache.serveLocal([{ identity: module, properties: { a: 1 }, overVersion: 0 }]);
  t.equal(cache.isKnown(module), true);
  t.same(cache.show(module).desired, { properties: { a: 1 }, version: 1 });
  await settle();
  cache.serveLocal([{ identity: module, properties: { a: 2 }, overVersion: 0 }]);
  t.same(cache.unseen(module)?.patch, { a: 2 }, 'its owner, who was away, has missed that');
  cache.serveLocal([]);
  t.same(cache.twin(module), emptyTwin);
  t.same(news, [
    [{ a: 1 }, 1],
    [{ a: 2 }, 1],
    [{ a: null }, 0],
  ]);
});
