// `weir deploy` against a daemon that answers from a table; time is the test's.

import { join } from 'node:path';
import t, { type Test } from 'tap';
import { runCli } from '../../src/cli/index.ts';
import { type RecordedContext, recordedContext, Sequence } from '../support/cli-context.ts';
import { SimClock } from '../support/sim-clock.ts';

const where = ['--run-dir', '/r', '--data-dir', '/d'];
const plan = [
  { module: 'old', action: 'remove', why: 'it is no longer deployed' },
  { module: 'modbus', action: 'restart', why: 'its settings changed' },
  { module: 'filter', action: 'keep', why: 'nothing changed' },
];
const good = { ok: true, problems: [], plan };
const bad = {
  ok: false,
  plan: [],
  problems: [
    { path: 'modulesContent.$edgeAgent', message: 'modules is missing: write an object' },
    { path: '', message: 'the other thing' },
  ],
};
const ok = { version: 0, code: 200, description: '' };

function progress(phase: string, more: object = {}): object {
  return { phase, detail: '', sinceMs: 0, modules: [], status: ok, ...more };
}

interface World {
  readonly path: string;
  readonly clock: SimClock;
  readonly context: RecordedContext;
}

function world(
  t: Test,
  answers: Readonly<Record<string, unknown>>,
  options: { readonly typed?: readonly string[]; readonly isTerminal?: boolean; readonly text?: string } = {},
): World {
  const directory = t.testdir({ 'm.json': options.text ?? '{"modulesContent":{}}' });
  const clock = new SimClock();
  return { path: join(directory, 'm.json'), clock, context: recordedContext({ answers, clock, ...options }) };
}

/** Time passes only once the daemon was asked: until then it is this process that is slow. */
async function finished({ context, clock }: World, ...args: readonly string[]): Promise<number> {
  let code: number | undefined;
  const running = runCli(['deploy', ...args, ...where], context).then((ended) => {
    code = ended;
  });
  while (code === undefined) {
    await new Promise((resolve) => setImmediate(resolve));
    if (context.calls.some(({ path }) => path === '/deployment')) await clock.advance(250);
  }
  await running;
  return code;
}

t.test('a manifest in force is told with its plan and its way', async (t) => {
  const made = world(t, {
    'POST /deployment?dry-run=true': good,
    'POST /deployment': good,
    'GET /deployment': new Sequence(
      progress('preparing', { detail: 'fetching', modules: [{ name: 'modbus', text: 'pulling image: 10 %' }] }),
      progress('preparing', { detail: 'fetching', modules: [{ name: 'modbus', text: 'pulling image: 20 %' }] }),
      progress('verifying'),
      progress('settled'),
    ),
  });
  t.equal(await finished(made, made.path), 0);
  t.equal(
    made.context.out(),
    `MODULE  WHAT     WHY
old     remove   it is no longer deployed
modbus  restart  its settings changed
filter  keep     nothing changed
2 of 3 modules change.
preparing: fetching
  modbus: pulling image: 10 %
verifying
The deployment is in force.
`,
  );
  t.equal(made.context.calls[0]?.body, '{"modulesContent":{}}', 'as it is in the file');
});

t.test('a dry run changes nothing and asks nothing', async (t) => {
  const { path, context } = world(t, { 'POST /deployment?dry-run=true': good }, { isTerminal: true });
  t.equal(await runCli(['deploy', path, '--dry-run', ...where], context), 0);
  t.match(context.out(), /2 of 3 modules change/);
  t.same(
    context.calls.map(({ path }) => path),
    ['/deployment?dry-run=true'],
  );
  const json = world(t, { 'POST /deployment?dry-run=true': good });
  t.equal(await runCli(['deploy', json.path, '--dry-run', '--json', ...where], json.context), 0);
  t.same(JSON.parse(json.context.out()), { ...good, wrongRoutes: [], dryRun: true });
});

t.test('a wrong route is told before anything is done, and stops nothing', async (t) => {
  const routes = { up: 'FROM /messages/* INTO $upstream', hot: 'FROM /messages/* WHERE t > 20 INTO $upstream' };
  const text = JSON.stringify({
    modulesContent: { $edgeHub: { 'properties.desired': { schemaVersion: '1.1', routes } } },
  });
  const answers = {
    'POST /deployment?dry-run=true': good,
    'POST /deployment': good,
    'GET /deployment': progress('settled'),
  };
  const made = world(t, answers, { text });
  t.equal(await finished(made, made.path), 0);
  t.match(made.context.out(), /^not in force: Route hot, character 26: .*as_number\(t\)\.\nMODULE/);
  for (const args of [[], ['--dry-run']]) {
    const json = world(t, answers, { text });
    t.equal(await finished(json, json.path, '--json', ...args), 0);
    t.match(JSON.parse(json.context.out()), { ok: true, wrongRoutes: [/^Route hot, character 26/] });
  }
  const refused = world(t, { 'POST /deployment?dry-run=true': bad }, { text });
  t.equal(await runCli(['deploy', refused.path, '--json', ...where], refused.context), 1);
  t.match(JSON.parse(refused.context.out()), { ok: false, wrongRoutes: [/^Route hot/], dryRun: false });
});

t.test('all faults are told, one line each, and nothing is changed', async (t) => {
  for (const args of [[], ['--dry-run'], ['--yes']]) {
    const { path, context } = world(t, { 'POST /deployment?dry-run=true': bad });
    t.equal(await runCli(['deploy', path, ...args, ...where], context), 1);
    t.equal(
      context.out(),
      'modulesContent.$edgeAgent: modules is missing: write an object\nmanifest: the other thing\n2 faults; nothing was changed.\n',
    );
    t.equal(context.calls.length, 1);
  }
});

t.test('at a terminal it asks first, elsewhere and with --yes it does not', async (t) => {
  const answers = {
    'POST /deployment?dry-run=true': good,
    'POST /deployment': good,
    'GET /deployment': progress('settled'),
  };
  const no = world(t, answers, { isTerminal: true, typed: ['no'] });
  t.equal(await finished(no, no.path), 1);
  t.match(no.context.out(), /Nothing was changed/);
  t.equal(no.context.calls.length, 1);
  const yes = world(t, answers, { isTerminal: true, typed: ['yes'] });
  t.equal(await finished(yes, yes.path), 0);
  const sure = world(t, answers, { isTerminal: true });
  t.equal(await finished(sure, sure.path, '-y'), 0);
});

t.test('each bad end is told and ends with 1', async (t) => {
  const failed = { version: 0, code: 500, description: 'not applied yet, and tried again: modbus: no such image' };
  const rows: readonly (readonly [unknown, readonly string[], RegExp])[] = [
    [progress('rolled-back', { detail: 'modbus did not get ready' }), [], /^Rolled back: modbus did not get ready$/m],
    [progress('preparing', { status: failed }), [], /^Not in force: not applied yet.* no such image$/m],
    [progress('settled', { status: failed }), [], /^Not in force: .*no such image$/m],
    [progress('verifying'), ['--timeout', '5'], /^Still verifying; the gateway goes on/m],
  ];
  for (const [answer, args, says] of rows) {
    const made = world(t, {
      'POST /deployment?dry-run=true': good,
      'POST /deployment': good,
      'GET /deployment': answer,
    });
    t.equal(await finished(made, made.path, ...args), 1);
    t.match(made.context.out(), says);
  }
});

t.test('a failure that passes is none; one look is not enough', async (t) => {
  const failed = { version: 0, code: 500, description: 'no' };
  const made = world(t, {
    'POST /deployment?dry-run=true': good,
    'POST /deployment': good,
    'GET /deployment': new Sequence(progress('preparing', { status: failed }), progress('settled')),
  });
  t.equal(await finished(made, made.path), 0);
});

t.test('--json is one document, --no-wait does not wait', async (t) => {
  const answers = {
    'POST /deployment?dry-run=true': good,
    'POST /deployment': good,
    'GET /deployment': progress('rolled-back', { detail: 'x' }),
  };
  const json = world(t, answers);
  t.equal(await finished(json, json.path, '--json'), 1);
  t.match(JSON.parse(json.context.out()), {
    ok: false,
    plan,
    outcome: 'Rolled back: x',
    progress: { phase: 'rolled-back' },
  });
  const handed = world(t, answers);
  t.equal(await runCli(['deploy', handed.path, '--no-wait', ...where], handed.context), 0);
  t.match(handed.context.out(), /Handed over/);
});

t.test('the standard input is a file, too', async (t) => {
  const made = world(
    t,
    { 'POST /deployment?dry-run=true': good, 'POST /deployment': good, 'GET /deployment': progress('settled') },
    { typed: ['{', '"modulesContent": {}', '}'] },
  );
  t.equal(await finished(made, '-'), 0);
  t.same(JSON.parse(made.context.calls[0]?.body ?? ''), { modulesContent: {} });
});

t.test('what is no manifest is told with its place', async (t) => {
  const broken = world(t, {}, { text: '{\n  "a": 1,\n  b\n}' });
  t.equal(await runCli(['deploy', broken.path, ...where], broken.context), 1);
  t.match(broken.context.err(), /line 3.*Nothing was changed\. \[CLI_BAD_MANIFEST\]/);
  const list = world(t, {}, { text: '[]' });
  t.equal(await runCli(['deploy', list.path, ...where], list.context), 1);
  t.match(list.context.err(), /no JSON object.*\[CLI_BAD_MANIFEST\]/);
  const none = world(t, {});
  t.equal(await runCli(['deploy', '/nowhere/m.json', ...where], none.context), 1);
  t.match(none.context.err(), /\[CLI_CANNOT_READ\]/);
  t.equal(none.context.calls.length, 0);
});
