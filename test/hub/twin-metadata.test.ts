import t from 'tap';
import { metadataJson, stamped } from '../../src/hub/twin-metadata.ts';
import type { JsonObject } from '../../src/model/json.ts';
import { mergePatch } from '../../src/model/twin.ts';

const time = (ms: number) => new Date(ms).toISOString();

t.test('a change stamps what its patch names and every object above it, and nothing else', async (t) => {
  let properties: JsonObject = {};
  let tree: JsonObject = {};
  const change = (patch: JsonObject, stamp: { ms: number; version: number }): void => {
    properties = mergePatch(properties, patch);
    tree = stamped(tree, patch, { properties, stamp });
  };
  change({ a: { b: 1, c: [1] }, old: 1 }, { ms: 1000, version: 2 });
  change({ a: { b: 2 }, old: null, constructor: { d: 1 } } as unknown as JsonObject, { ms: 2000, version: 3 });
  const late = { $lastUpdated: time(2000), $lastUpdatedVersion: 3 };
  const early = { $lastUpdated: time(1000), $lastUpdatedVersion: 2 };
  t.same(metadataJson(properties, tree, { sinceMs: 0, withVersion: true }), {
    ...late,
    a: { ...late, b: late, c: early },
    constructor: { ...late, d: late },
  });
  change({ a: 5 }, { ms: 3000, version: 4 });
  t.same(metadataJson({ a: properties['a'] ?? null }, tree, { sinceMs: 0, withVersion: false }), {
    $lastUpdated: time(3000),
    a: { $lastUpdated: time(3000) },
  });
});

t.test('what was set before stamps were kept has the time of its section', async (t) => {
  t.same(metadataJson({ a: { b: 1 } }, {}, { sinceMs: 5000, withVersion: true }), {
    $lastUpdated: time(5000),
    a: { $lastUpdated: time(5000), b: { $lastUpdated: time(5000) } },
  });
});
