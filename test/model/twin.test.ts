// The merge rules of twins, as a table and by seeded round trips.

import t from 'tap';
import type { JsonObject, JsonValue } from '../../src/model/json.ts';
import { composePatches, diffPatch, jsonEqual, mergePatch, unitePatches } from '../../src/model/twin.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

const rows: readonly [string, JsonObject, JsonObject, JsonObject][] = [
  ['a new member is added', { a: 1 }, { b: 2 }, { a: 1, b: 2 }],
  ['null deletes', { a: 1, b: 2 }, { a: null }, { b: 2 }],
  ['objects merge', { a: { x: 1, y: 2 } }, { a: { y: null, z: 3 } }, { a: { x: 1, z: 3 } }],
  ['an array is replaced whole', { a: [1, 2] }, { a: [3] }, { a: [3] }],
  ['an object replaces a value', { a: 1 }, { a: { b: null, c: 1 } }, { a: { c: 1 } }],
];

for (const [name, target, patch, expected] of rows) {
  t.test(`mergePatch: ${name}`, (t) => {
    t.same(mergePatch(target, patch), expected);
    t.end();
  });
}

function randomObject(
  entropy: ReturnType<typeof seededEntropy>,
  options: { readonly depth: number; readonly nulls: boolean },
): JsonObject {
  const result: Record<string, JsonValue> = {};
  for (const key of ['a', 'b', 'c', 'd']) {
    const draw = entropy.fraction();
    if (draw < 0.3) continue;
    if (draw < 0.45 && options.nulls) result[key] = null;
    else if (draw < 0.7 && options.depth > 0)
      result[key] = randomObject(entropy, { ...options, depth: options.depth - 1 });
    else result[key] = Math.floor(entropy.fraction() * 3);
  }
  return result;
}

t.test('diffPatch turns any object into any other through mergePatch, for 500 seeded pairs', (t) => {
  const entropy = seededEntropy(7);
  for (let round = 0; round < 500; round += 1) {
    const before = randomObject(entropy, { depth: 3, nulls: false });
    const after = randomObject(entropy, { depth: 3, nulls: false });
    if (!jsonEqual(mergePatch(before, diffPatch(before, after)), after))
      t.fail(JSON.stringify({ round, before, after }));
  }
  t.pass('all pairs');
  t.end();
});

t.test(
  'composePatches does what both patches do one after the other, or says that no patch can, for 2000 seeded triples',
  (t) => {
    const entropy = seededEntropy(11);
    let composable = 0;
    for (let round = 0; round < 2000; round += 1) {
      const base = randomObject(entropy, { depth: 2, nulls: false });
      const first = randomObject(entropy, { depth: 1, nulls: true });
      const second = randomObject(entropy, { depth: 1, nulls: true });
      const composed = composePatches(first, second);
      if (composed === undefined) continue;
      composable += 1;
      const stepwise = mergePatch(mergePatch(base, first), second);
      if (!jsonEqual(stepwise, mergePatch(base, composed)))
        t.fail(JSON.stringify({ round, base, first, second, stepwise, composed }));
    }
    t.ok(composable > 200, `${composable} of 2000 were one patch`);
    t.equal(composePatches({ a: null }, { a: { b: 1 } }), undefined);
    t.end();
  },
);

t.test('keys that every object inherits are keys like any other', (t) => {
  const before = JSON.parse('{"constructor":{"a":1},"toString":1,"__proto__":{"x":1}}') as JsonObject;
  t.same(Object.keys(mergePatch({}, before)), ['constructor', 'toString', '__proto__']);
  t.same(diffPatch(before, {}), JSON.parse('{"constructor":null,"toString":null,"__proto__":null}'));
  t.same(Object.keys(mergePatch(before, diffPatch(before, {}))), []);
  t.same(mergePatch({}, { constructor: { b: null, c: 1 } } as unknown as JsonObject), { constructor: { c: 1 } });
  t.notOk(jsonEqual({ valueOf: 1 } as unknown as JsonObject, { x: 1 }));
  t.equal(({} as { readonly x?: number }).x, undefined, 'nothing leaked into other objects');
  t.end();
});

t.test('unitePatches leads from either object to the third, for 2000 seeded triples', (t) => {
  const entropy = seededEntropy(13);
  for (let round = 0; round < 2000; round += 1) {
    const [one, two, goal] = [0, 1, 2].map(() => randomObject(entropy, { depth: 2, nulls: false })) as [
      JsonObject,
      JsonObject,
      JsonObject,
    ];
    const united = unitePatches(diffPatch(one, goal), diffPatch(two, goal));
    for (const from of [one, two]) {
      if (!jsonEqual(mergePatch(from, united), goal)) t.fail(JSON.stringify({ round, one, two, goal, united }));
    }
  }
  t.pass('all triples');
  t.end();
});
