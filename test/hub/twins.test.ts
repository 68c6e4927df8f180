import t from 'tap';
import type { DesiredChange } from '../../src/hub/ports.ts';
import { hubState } from '../support/hub-state.ts';

const gw = { deviceId: 'gw' };

t.test('a new twin is empty, with version 1 on both sides', async (t) => {
  const { registry, twins, database } = hubState(t.testdir());
  registry.createDevice('gw');
  t.same(twins.read(gw).twin, { desired: { properties: {}, version: 1 }, reported: { properties: {}, version: 1 } });
  database.close();
});

t.test('reported patches merge, delete with null, and raise the version by one', async (t) => {
  const { registry, twins, database } = hubState(t.testdir());
  registry.createDevice('gw');
  t.equal(twins.patchReported(gw, { a: 1, b: { c: 2, d: 3 } }), 2);
  t.equal(twins.patchReported(gw, { a: null, b: { c: null }, $version: 99 }), 3);
  t.same(twins.read(gw).twin.reported, { properties: { b: { d: 3 } }, version: 3 });
  t.equal(twins.read(gw).twin.desired.version, 1);
  database.close();
});

t.test('a refused patch changes nothing and names every fault', async (t) => {
  const { registry, twins, database } = hubState(t.testdir());
  registry.createDevice('gw');
  t.throws(() => twins.patchReported(gw, { 'a.b': 1, 'c d': 2 }), {
    code: 'HUB_TWIN_INVALID',
    fields: { status: 400 },
    problems: [{ path: '$.properties.reported["a.b"]' }, { path: '$.properties.reported["c d"]' }],
  });
  t.equal(twins.read(gw).twin.reported.version, 1);
  database.close();
});

t.test('the size limit holds for what the patches add up to', async (t) => {
  const { registry, twins, database } = hubState(t.testdir());
  registry.createDevice('gw');
  const text = 'x'.repeat(4000);
  for (let index = 0; index < 8; index += 1) twins.patchReported(gw, { [`k${index}`]: text });
  t.throws(() => twins.patchReported(gw, { k8: text }), { code: 'HUB_TWIN_TOO_LARGE', fields: { status: 413 } });
  twins.patchReported(gw, { k8: text, k0: null });
  t.equal(twins.read(gw).twin.reported.version, 10);
  database.close();
});

t.test('a desired patch by a service is announced as it was given, tags are not', async (t) => {
  const { registry, twins, database } = hubState(t.testdir());
  registry.createDevice('gw');
  const heard: DesiredChange[] = [];
  twins.onDesired((change) => heard.push(change));
  const after = twins.patch(gw, { desired: { rate: 5, old: null }, tags: { site: 'A' } });
  t.same(heard, [{ identity: gw, patch: { rate: 5, old: null }, version: 2 }]);
  t.same(after.tags, { site: 'A' });
  t.same(after.twin.desired, { properties: { rate: 5 }, version: 2 });
  twins.patch(gw, { tags: { site: null } });
  t.equal(heard.length, 1);
  t.equal(twins.read(gw).twin.desired.version, 2);
  database.close();
});

t.test('a service patch from an outdated version is refused', async (t) => {
  const { registry, twins, database } = hubState(t.testdir());
  registry.createDevice('gw');
  const { version } = twins.read(gw);
  twins.patch(gw, { desired: { a: 1 } }, version);
  t.throws(() => twins.patch(gw, { desired: { a: 2 } }, version), { code: 'HUB_ETAG_MISMATCH' });
  database.close();
});

t.test('replacing desired properties gives the smallest patch, and none when nothing changes', async (t) => {
  const { registry, twins, database } = hubState(t.testdir());
  registry.createDevice('gw');
  t.same(twins.replaceDesired(gw, { a: 1, b: { c: 2, d: null } }), {
    identity: gw,
    patch: { a: 1, b: { c: 2 } },
    version: 2,
  });
  t.same(twins.replaceDesired(gw, { b: { c: 3 } }), { identity: gw, patch: { a: null, b: { c: 3 } }, version: 3 });
  t.equal(twins.replaceDesired(gw, { b: { c: 3 } }), undefined);
  t.equal(twins.read(gw).twin.desired.version, 3);
  database.close();
});

t.test('a twin of nobody is not found', async (t) => {
  const { registry, twins, database } = hubState(t.testdir());
  registry.createDevice('gw');
  t.throws(() => twins.read({ deviceId: 'no' }), { code: 'HUB_DEVICE_NOT_FOUND' });
  t.throws(() => twins.patchReported({ deviceId: 'gw', moduleId: 'no' }, {}), {
    code: 'HUB_MODULE_NOT_FOUND',
    fields: { status: 404 },
  });
  database.close();
});

t.test(
  'a replacement puts whole sections in place and announces the difference; what it does not name stays',
  async (t) => {
    const { registry, twins, database } = hubState(t.testdir());
    registry.createDevice('gw');
    twins.patch(gw, { desired: { a: 1, b: { c: 1 } }, tags: { site: 'A', floor: 2 } });
    const heard: DesiredChange[] = [];
    twins.onDesired((change) => heard.push(change));
    const after = twins.replace(gw, { desired: { b: { d: 1 }, $version: 9, $metadata: {} } });
    t.same(after.twin.desired, { properties: { b: { d: 1 } }, version: 3 });
    t.same(after.tags, { site: 'A', floor: 2 });
    t.same(heard, [{ identity: gw, patch: { a: null, b: { c: null, d: 1 } }, version: 3 }]);
    t.same(twins.replace(gw, { tags: { site: 'B' } }).tags, { site: 'B' });
    t.same(twins.patch(gw, { tags: null, desired: null }).tags, {}, 'a section that is null is emptied');
    t.same(twins.read(gw).twin.desired, { properties: {}, version: 4 });
    t.same(heard.at(-1)?.patch, { b: null });
    const { version } = twins.read(gw);
    t.throws(() => twins.replace(gw, { desired: { x: 1 } }, version - 1), { code: 'HUB_ETAG_MISMATCH' });
    t.equal(twins.patch(gw, {}).version, version, 'a change of nothing is none');
    database.close();
  },
);
