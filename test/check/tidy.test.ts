// The style checker on small planted trees: each rule is broken once, and told with the file and the line.

import t from 'tap';
import { verdictsOf } from '../support/checker.ts';

const header = '// What it owns.\n';
const errorsTable = '| code | when | mend |\n|---|---|---|\n| BROKER_FULL | it is full | wait |\n';

const kept: Record<string, string> = {
  'errors.ts': `${header}export const code = 'BROKER_FULL';\n`,
};

function tree(broker: Record<string, string>) {
  return { src: { broker: { ...kept, ...broker } }, docs: { 'ERRORS.md': errorsTable } };
}

function longFunction(lines: number): string {
  return `${header}export function long(): void {\n${'  void 0;\n'.repeat(lines - 2)}}\n`;
}

const rows: readonly { readonly name: string; readonly file: string; readonly text: string; readonly told: RegExp }[] =
  [
    {
      name: 'a file without a header',
      file: 'a.ts',
      text: 'export const a = 1;\n',
      told: /a\.ts:1: the file has no header/,
    },
    { name: 'a grab-bag', file: 'utils.ts', text: header, told: /utils\.ts:1: 'utils' is a grab-bag/ },
    {
      name: 'a name that is not kebab-case',
      file: 'topicTree.ts',
      text: header,
      told: /'topicTree' is not kebab-case/,
    },
    { name: 'an empty word in a file name', file: 'session-manager.ts', text: header, told: /ends in an empty word/ },
    {
      name: 'an empty word in a class name',
      file: 'a.ts',
      text: `${header}export class SessionManager {}\n`,
      told: /a\.ts:2: SessionManager ends in an empty word/,
    },
    {
      name: 'an interface that starts with I',
      file: 'a.ts',
      text: `${header}export interface ISession {}\n`,
      told: /a\.ts:2: ISession starts with I/,
    },
    {
      name: 'the wall clock',
      file: 'a.ts',
      text: `${header}export const now = () => Date.now();\n`,
      told: /a\.ts:2: Date\.now touches the machine/,
    },
    {
      name: 'the wall clock by another door',
      file: 'a.ts',
      text: `${header}export const now = () => new Date();\n`,
      told: /new Date\(\) touches the machine/,
    },
    {
      name: 'a timer',
      file: 'a.ts',
      text: `${header}export const wait = (f: () => void) => setTimeout(f, 1);\n`,
      told: /setTimeout touches the machine/,
    },
    {
      name: 'randomness',
      file: 'a.ts',
      text: `${header}export const roll = () => Math.random();\n`,
      told: /Math\.random touches the machine/,
    },
    {
      name: 'the file system',
      file: 'a.ts',
      text: `${header}import { readFileSync } from 'node:fs';\nexport const read = readFileSync;\n`,
      told: /a\.ts:2: node:fs touches the machine/,
    },
    {
      name: 'an error without a code',
      file: 'a.ts',
      text: `${header}export function fail(): never {\n  throw new Error('no');\n}\n`,
      told: /a\.ts:3: new Error\( has no code/,
    },
    {
      name: 'a mark of unfinished work',
      file: 'a.ts',
      text: `${header}// ${'TO'}DO: the rest\nexport const a = 1;\n`,
      told: new RegExp(`a\\.ts:2: ${'TO'}DO marks unfinished work`),
    },
    {
      name: 'state at the top of a module',
      file: 'a.ts',
      text: `${header}export let count = 0;\n`,
      told: /a\.ts:2: state at the top/,
    },
    { name: 'work at import', file: 'a.ts', text: `${header}console.log('hello');\n`, told: /a\.ts:2: work at import/ },
    { name: 'a long file', file: 'a.ts', text: `${header}${'export {};\n'.repeat(500)}`, told: /a\.ts:500: 501 lines/ },
    {
      name: 'a long function',
      file: 'a.ts',
      text: longFunction(71),
      told: /a\.ts:2: long has 71 lines, the limit is 70/,
    },
    {
      name: 'a fourth parameter',
      file: 'a.ts',
      text: `${header}export const f = (a: 1, b: 2, c: 3, d: 4) => [a, b, c, d];\n`,
      told: /a\.ts:2: f has 4 parameters/,
    },
    {
      name: 'a door that hides what it offers',
      file: 'index.ts',
      text: `${header}export * from './errors.ts';\n`,
      told: /index\.ts:2: export \* hides/,
    },
    {
      name: 'an error code that no document names',
      file: 'a.ts',
      text: `${header}export const code = 'BROKER_LOST';\n`,
      told: /a\.ts:2: BROKER_LOST is not in docs\/ERRORS\.md/,
    },
  ];

const constants = `${header}${Array.from({ length: 600 }, (_, at) => `export const n${at} = ${at};\n`).join('')}`;
const trees = {
  kept: tree({ 'session.ts': longFunction(70) }),
  constants: tree({ 'limits.ts': constants }),
  computing: tree({ 'limits.ts': `${constants}export const next = (n: number) => n + 1;\n` }),
  undocumented: { ...tree({}), docs: { 'ERRORS.md': `${errorsTable}| BROKER_GONE | never | none |\n` } },
  platform: {
    src: { broker: kept, platform: { 'clock.ts': `${header}export const now = () => Date.now();\n` } },
    docs: { 'ERRORS.md': errorsTable },
  },
  ...Object.fromEntries(rows.map((row, at) => [`row-${at}`, tree({ [row.file]: row.text })])),
};
const verdicts = await verdictsOf('tidy', t.testdir(trees), Object.keys(trees));

t.test('tidy says nothing about a tree that keeps the rules', async (t) => {
  t.same(verdicts.get('kept'), { code: 0, lines: ['tidy: nothing to mend'] });
});

t.test('a table of constants may be longer than a file of code', async (t) => {
  t.match(verdicts.get('constants'), { code: 0 });
  t.match(verdicts.get('computing'), { code: 1, lines: [/limits\.ts:500: 602 lines/] });
});

for (const [at, row] of rows.entries())
  t.test(`tidy refuses ${row.name}`, async (t) => {
    const verdict = verdicts.get(`row-${at}`);
    t.equal(verdict?.code, 1);
    t.match(verdict?.lines[0], row.told);
    t.equal(verdict?.lines.length, 2, 'one violation and the sum');
  });

t.test('tidy refuses a documented error code that nobody gives', async (t) => {
  const verdict = verdicts.get('undocumented');
  t.equal(verdict?.code, 1);
  t.match(verdict?.lines[0], /docs\/ERRORS\.md:4: BROKER_GONE is given nowhere/);
});

t.test('tidy lets platform touch the machine', async (t) => {
  t.equal(verdicts.get('platform')?.code, 0);
});
