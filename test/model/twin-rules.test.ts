import t from 'tap';
import type { JsonObject } from '../../src/model/json.ts';
import {
  cutTwinText,
  memberPath,
  twinBytes,
  twinProblems,
  twinSizeProblem,
  withoutCarrier,
} from '../../src/model/twin-rules.ts';

function nested(levels: number): JsonObject {
  let value: JsonObject = { leaf: 1 };
  for (let level = 1; level < levels; level += 1) value = { inner: value };
  return { top: value };
}

const refused: readonly (readonly [string, JsonObject, string])[] = [
  ['a dot in a key', { 'a.b': 1 }, '$["a.b"]'],
  ['a dollar in a key', { a$: 1 }, '$.a$'],
  ['a blank in a key', { 'a b': 1 }, '$["a b"]'],
  ['a control character in a key', { 'a\u0007': 1 }, '$["a\\u0007"]'],
  ['an empty key', { '': 1 }, '$[""]'],
  ['a reserved key', JSON.parse('{"__proto__":{"x":1}}') as JsonObject, '$.__proto__'],
  ['a long key', { ['k'.repeat(1025)]: 1 }, `$.${'k'.repeat(1025)}`],
  ['a long text', { a: { b: 'x'.repeat(4097) } }, '$.a.b'],
  ['a whole number of 2^52', { a: 2 ** 52 }, '$.a'],
  ['a whole number below -2^52', { a: -(2 ** 52) - 1 }, '$.a'],
  ['an eleventh level', nested(11), `$.top${'.inner'.repeat(10)}`],
  ['a fault inside an array', { list: [1, { 'x y': 1 }] }, '$.list[1]["x y"]'],
];

for (const [what, section, path] of refused) {
  t.test(`${what} is refused with its path`, async (t) => {
    t.same(
      twinProblems(section, '$').map((problem) => problem.path),
      [path],
    );
  });
}

t.test('what IoT Hub allows passes', async (t) => {
  const section = {
    text: 'x'.repeat(4096),
    ['k'.repeat(1024)]: true,
    least: -(2 ** 52),
    most: 2 ** 52 - 1,
    fraction: 1.5e300 / 7e299,
    deleted: null,
    list: [1, 'a', { deep: [] }],
    ...nested(10),
  };
  t.same(twinProblems(section, '$'), []);
});

t.test('all faults are reported, up to a limit', async (t) => {
  t.equal(twinProblems({ 'a.': 1, 'b.': { 'c ': 1 } }, '$').length, 3);
  const many = Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`k ${index}`, 1]));
  t.equal(twinProblems(many, '$').length, 100);
});

t.test('size counts keys and values as IoT Hub does', async (t) => {
  t.equal(
    twinBytes({ ab: 'cde', n: 1, t: true, z: null, l: ['x', 2], $metadata: { a: 'b' } }),
    2 + 3 + 1 + 8 + 1 + 4 + 1 + 1 + 1 + 8,
  );
  t.equal(twinBytes({ ü: '€' }), 2 + 3);
});

t.test('what the carrier adds is taken off again', async (t) => {
  t.same(withoutCarrier({ a: 1, $version: 3, $metadata: {} }), { a: 1 });
});

t.test('a path quotes what is no plain word', async (t) => {
  t.equal(memberPath(memberPath('$', '$edgeHub'), 'properties.desired'), '$.$edgeHub["properties.desired"]');
});

t.test(
  'numbers beyond all numbers, and null in an array, are refused; null inside an object of an array is a value',
  async (t) => {
    const section = JSON.parse('{"far":1e999,"list":[1,null,[null]],"rows":[{"detail":null}]}') as JsonObject;
    t.same(
      twinProblems(section, '$').map((problem) => problem.path),
      ['$.far', '$.list[1]', '$.list[2][0]'],
    );
  },
);

t.test('a section has a bound by count and one as text, each told apart', async (t) => {
  t.equal(twinSizeProblem({ a: 'x'.repeat(99) }, '$', 100), undefined);
  t.match(twinSizeProblem({ a: 'x'.repeat(100) }, '$', 100), { path: '$', message: /101 bytes, at most 100/ });
  const escapes = Object.fromEntries(Array.from({ length: 8 }, (_, index) => [`k${index}`, '\u0001'.repeat(2048)]));
  t.match(twinSizeProblem(escapes, '$', 32_768), { message: /98369 bytes as JSON, at most 98304/ });
});

t.test('a long text is cut at a character so that a twin can hold it', async (t) => {
  t.equal(cutTwinText('short'), 'short');
  const cut = cutTwinText('ü'.repeat(4000));
  t.same(twinProblems({ cut }, '$'), []);
  t.match(cut, /^ü{2046}…$/);
});
