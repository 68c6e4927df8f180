// The import checker on small planted trees: each wrong import is told with its file, its line and the mend.

import t from 'tap';
import { verdictsOf } from '../support/checker.ts';

const table = `
| folder | may import values | may import types | npm | node: |
|---|---|---|---|---|
| limits.ts | | | | assert |
| model | limits.ts | | | assert |
| platform | model | | serialport | any |
| broker | model, limits.ts | platform | | buffer, assert |
| router | model | platform | | |
| device.ts | model, platform, broker, router | | | path |
`;

/** A tree that keeps every rule; each test plants one violation in it. */
function tree(planted: Record<string, string>) {
  const files: Record<string, string> = {
    'limits.ts': 'export const limit = 1;',
    'device.ts': "import { Broker } from './broker/index.ts';\nexport const broker = Broker;",
    'model/message.ts': "import { limit } from '../limits.ts';\nexport const max = limit;",
    'platform/clock.ts':
      "import { hrtime } from 'node:process';\nexport interface Clock {}\nexport const clock = hrtime;",
    'broker/index.ts': "export { Broker } from './broker.ts';",
    'broker/broker.ts':
      "import type { Clock } from '../platform/clock.ts';\nimport { max } from '../model/message.ts';\nexport class Broker {}\nexport const a: Clock = max;",
    'router/index.ts': 'export const route = 1;',
    ...planted,
  };
  const src: Record<string, Record<string, string> | string> = {};
  for (const [path, text] of Object.entries(files)) {
    const [folder, file] = path.split('/') as [string, string | undefined];
    if (file === undefined) src[folder] = text;
    else {
      const inside = src[folder];
      src[folder] = { ...(typeof inside === 'object' ? inside : {}), [file]: text };
    }
  }
  return { 'ARCHITECTURE.md': table, src };
}

const rows: readonly { readonly name: string; readonly planted: Record<string, string>; readonly told: RegExp }[] = [
  {
    name: 'a sibling folder',
    planted: { 'broker/session.ts': "\nimport { route } from '../router/index.ts';\nexport const x = route;" },
    told: /^src\/broker\/session\.ts:2: broker may not import router; .*ports\.ts/,
  },
  {
    name: 'a value of a folder that is open for types only',
    planted: { 'broker/session.ts': "import { clock } from '../platform/clock.ts';\nexport const x = clock;" },
    told: /^src\/broker\/session\.ts:1: broker may import only types of platform; write `import type`/,
  },
  {
    name: 'a type import written with an inline type, which still loads the module',
    planted: {
      'broker/session.ts': "import { type Clock } from '../platform/clock.ts';\nexport const x = {} as Clock;",
    },
    told: /session\.ts:1: broker may import only types of platform/,
  },
  {
    name: 'the inside of a folder',
    planted: { 'device.ts': "import { Broker } from './broker/broker.ts';\nexport const broker = Broker;" },
    told: /^src\/device\.ts:1: broker\/broker\.ts is inside broker; import src\/broker\/index\.ts/,
  },
  {
    name: 'its own door',
    planted: { 'broker/session.ts': "import { Broker } from './index.ts';\nexport const x = Broker;" },
    told: /^src\/broker\/session\.ts:1: broker enters itself by its own door/,
  },
  {
    name: 'a package of another folder',
    planted: { 'broker/session.ts': "import { SerialPort } from 'serialport';\nexport const x = SerialPort;" },
    told: /broker may not import the npm package serialport/,
  },
  {
    name: 'a Node module that is not in its row',
    planted: { 'broker/session.ts': "import { readFileSync } from 'node:fs';\nexport const x = readFileSync;" },
    told: /broker may not import node:fs/,
  },
  {
    name: 'a Node module without its prefix',
    planted: { 'broker/session.ts': "import assert from 'assert';\nexport const x = assert;" },
    told: /'assert' is imported without node:/,
  },
  {
    name: 'a dynamic import',
    planted: { 'broker/session.ts': "export const x = () => import('../router/index.ts');" },
    told: /session\.ts:1: broker may not import router/,
  },
  {
    name: 'a re-export',
    planted: { 'router/index.ts': "export { Broker } from '../broker/index.ts';" },
    told: /^src\/router\/index\.ts:1: router may not import broker/,
  },
  {
    name: 'a file that does not exist',
    planted: { 'broker/session.ts': "import { y } from './gone.ts';\nexport const x = y;" },
    told: /there is no src\/broker\/gone\.ts/,
  },
  {
    name: 'a folder without a row',
    planted: { 'extra/thing.ts': 'export const x = 1;' },
    told: /^src\/extra\/thing\.ts:1: extra has no row/,
  },
  {
    name: 'values in a circle',
    planted: {
      'broker/a.ts': "import { b } from './b.ts';\nexport const a = () => b;",
      'broker/b.ts': "import { a } from './a.ts';\nexport const b = () => a;",
    },
    told: /values go in a circle: src\/broker\/a\.ts -> src\/broker\/b\.ts -> src\/broker\/a\.ts/,
  },
];

const circleOfTypes = {
  'broker/a.ts': "import type { B } from './b.ts';\nexport interface A { b: B }",
  'broker/b.ts': "import type { A } from './a.ts';\nexport interface B { a: A }",
};
const trees = {
  kept: tree({}),
  types: tree(circleOfTypes),
  untold: { ...tree({}), 'ARCHITECTURE.md': '# nothing here' },
  ...Object.fromEntries(rows.map((row, at) => [`row-${at}`, tree(row.planted)])),
};
const verdicts = await verdictsOf('imports', t.testdir(trees), Object.keys(trees));

t.test('imports says nothing about a tree that keeps the rules', async (t) => {
  t.same(verdicts.get('kept'), { code: 0, lines: ['imports: nothing to mend'] });
});

t.test('imports allows a circle of types', async (t) => {
  t.equal(verdicts.get('types')?.code, 0);
});

for (const [at, row] of rows.entries())
  t.test(`imports refuses ${row.name}`, async (t) => {
    const verdict = verdicts.get(`row-${at}`);
    t.equal(verdict?.code, 1);
    t.match(verdict?.lines[0], row.told);
    t.equal(verdict?.lines.length, 2, 'one violation and the sum');
  });

t.test('imports refuses to judge without the table', async (t) => {
  t.equal(verdicts.get('untold')?.code, 1);
  t.match(verdicts.get('untold')?.lines[0], /the import table is missing/);
});
