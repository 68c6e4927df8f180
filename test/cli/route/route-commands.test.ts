import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { runCli } from '../../../src/cli/index.ts';
import { recordedContext } from '../../support/cli-context.ts';

async function weir(...argv: string[]): Promise<{ readonly code: number; readonly out: string; readonly err: string }> {
  const context = recordedContext();
  const code = await runCli(['route', ...argv], context);
  return { code, out: context.out(), err: context.err() };
}

function manifest(t: Test, hub: unknown): string {
  const path = join(t.testdir(), 'deployment.json');
  writeFileSync(path, JSON.stringify({ modulesContent: { $edgeHub: hub } }));
  return path;
}

const good = "FROM /messages/* WHERE kind = 'alarm' INTO $upstream";
const bad = 'FROM /messages/* WHERE temperature > 20 INTO $upstream';

t.test('check points at the character and says the mend', async (t) => {
  const told = await weir('check', bad);
  t.equal(told.code, 1);
  t.match(told.out, `  ${bad}\n  ${' '.repeat(35)}^\n  character 36: `);
  t.match(told.out, /write as_number\(temperature\)\. \[ROUTER_ROUTE_TYPE\]/);
  const fine = await weir('check', good);
  t.same(fine, { code: 0, out: 'good  route → $upstream\n', err: '' });
});

t.test('check shows the part of a long route where the fault is', async (t) => {
  const told = await weir('check', `FROM /messages/* WHERE ${"a = 'b' OR\n".repeat(30)} c = 3 INTO $upstream`);
  const lines = told.out.split('\n');
  t.equal(lines[1]?.[(lines[2] ?? '').indexOf('^')], '=');
  t.ok((lines[1]?.length ?? 0) < 120);
});

t.test('check gives advice about what is allowed and hardly meant', async (t) => {
  const advice = async (condition: string, source = '/messages/*') => {
    const told = await weir('check', '--json', `FROM ${source} WHERE ${condition} INTO $upstream`);
    t.equal(told.code, 0, condition);
    const { routes } = JSON.parse(told.out) as { routes: { advice: { message: string; column: number }[] }[] };
    return routes[0]?.advice.map(({ message, column }) => `${column} ${message}`).join('\n');
  };
  t.match(await advice('alarm'), /^24 Text is never true.*write alarm = 'true'/);
  t.match(await advice('length(a)'), /^24 A number is never true/);
  t.match(await advice('3 > 4'), /^24 .*never holds/);
  t.match(await advice("a = 'b'", '/messages/events/*'), /^6 No message has this source/);
  t.match(await advice("a = 'b'", '/*/messages/*'), /^6 A \* in the middle/);
  t.match(await advice("TRUE = 'x'"), /^24 `TRUE` is the name of a property: write true/);
  t.match(await advice("3+4 = 'x'"), /^24 `3\+4` is the name of one property/);
  t.match(await advice('is_defined(e5)'), /`e5` is read as a number/);
  t.match(await advice('is_null($body.a)'), /write = null/);
  t.match(await advice('$body.a > 3'), /add is_number\(\$body\.a\) AND/);
  t.match(await advice('3 <= $body.a'), /add is_number/);
  for (const plain of ["my-name = 'x'", 'is_number($body.a) AND $body.a > 3', '$body.a < 3', 'is_null(a)', 'true']) {
    t.equal(await advice(plain), '', plain);
  }
  for (const source of [
    '/',
    '/messages',
    '/messages/modules/*',
    '/messages/modules/m/outputs/o',
    '/deviceLifecycle/*',
  ]) {
    t.equal(await advice('true', source), '', source);
  }
});

t.test('check judges the routes of a manifest, layered members, too', async (t) => {
  const path = manifest(t, {
    'properties.desired': {
      schemaVersion: '1.1',
      routes: { good, bad: { route: bad, priority: 3 }, far: { route: good, priority: 12 } },
    },
    'properties.desired.routes.layered': good,
  });
  const told = await weir('check', '--manifest', path);
  t.equal(told.code, 1);
  t.match(told.out, /good {2}good → \$upstream/);
  t.match(told.out, /bad {3}bad\n/);
  t.match(told.out, /good {2}layered/);
  t.match(told.out, /bad {3}routes\.far\.priority/);
  const json = JSON.parse((await weir('check', '--manifest', path, '--json')).out);
  t.match(json, { ok: false, routes: [{ name: 'good', ok: true }, { name: 'bad', problem: { column: 36 } }, {}] });
  t.match(await weir('check', '--manifest', manifest(t, { 'properties.desired': { schemaVersion: '7' } })), {
    code: 1,
    out: /schemaVersion: "7" is not supported/,
  });
});

t.test('what cannot be read or is used wrongly is told', async (t) => {
  t.match(await weir('check'), { code: 2, err: /Give a route in quotes/ });
  t.match(await weir('check', good, '--manifest', 'x'), { code: 2, err: /not both/ });
  t.match(await weir('check', '--manifest', '/nowhere.json'), { code: 1, err: /cannot be read.*CLI_CANNOT_READ/ });
  const path = join(t.testdir({ 'no.json': '{' }), 'no.json');
  t.match(await weir('check', '--manifest', path), { code: 1, err: /is no JSON/ });
  const empty = join(t.testdir({ 'empty.json': '{}' }), 'empty.json');
  t.match(await weir('check', '--manifest', empty), { code: 1, err: /has no modulesContent/ });
  t.match(await weir('test', good), { code: 2, err: /source/ });
  t.match(await weir('test', good, '--source', '/nonsense'), { code: 2, err: /none that a message has/ });
  t.match(await weir('test', good, '--source', '/messages', '--property', 'x'), { code: 2, err: /name=value/ });
  t.match(await weir('test', good, '--source', '/messages', '--body', 'x', '--body-file', 'y'), { code: 2 });
  t.match(await weir('test', good, '--source', '/messages', '--body-file', '/nowhere'), { code: 1 });
  t.match(await weir(), { code: 2, err: /check or test/ });
});

t.test('test tells which routes take a message, and why the others do not', async (t) => {
  const path = manifest(t, {
    'properties.desired': {
      schemaVersion: '1.1',
      routes: {
        alarms: { route: good, priority: 0 },
        rest: 'FROM /messages/* INTO $upstream',
        hot: 'FROM /messages/* WHERE is_number($body.t) AND $body.t > 20 INTO BrokeredEndpoint("/modules/log/inputs/in")',
        cold: 'FROM /messages/* WHERE $body.missing < 3 OR as_number(none) < 3 INTO BrokeredEndpoint("/modules/log/inputs/in")',
        other: 'FROM /messages/modules/other/* INTO $upstream',
        bad,
      },
    },
  });
  const message = ['--source', '/messages/modules/m/outputs/o', '--property', 'kind=alarm', '--body', '{"t":21}'];
  const { code, out } = await weir('test', '--manifest', path, ...message);
  t.equal(code, 0);
  t.match(out, /^yes {2}alarms → \$upstream {2}source matches and the condition holds$/m);
  t.match(out, /^no {3}rest → \$upstream\n {7}it matches, but the endpoint gets its one copy by route alarms$/m);
  t.match(out, /^yes {2}hot → log\/inputs\/in/m);
  t.match(out, /`\$body\.missing < 3` is false: nothing lies at \$body\.missing in the body, which counts as null$/m);
  t.match(out, /`as_number\(none\) < 3` is undefined: the message has no none$/m);
  t.match(
    out,
    /the message comes from \/messages\/modules\/m\/outputs\/o\/, the route takes \/messages\/modules\/other\/$/m,
  );
  t.match(out, /^no {3}bad\n {7}Route bad, character 36/m);
  t.match(out, /^Assumed: contentType=application\/json, contentEncoding=utf-8/m);
  t.match(out, /^Goes to \$upstream, log\/inputs\/in\.$/m);
  const json = JSON.parse((await weir('test', '--manifest', path, ...message, '--json')).out);
  t.match(json, {
    endpoints: ['$upstream', 'log/inputs/in'],
    routes: [
      { name: 'alarms', matches: true, delivers: true },
      { name: 'rest', matches: true, delivers: false },
    ],
  });
});

t.test('test takes sources, system properties and bodies of every kind', async (t) => {
  const body = join(t.testdir({ body: '{"properties":{"reported":{"t":1}}}' }), 'body');
  const twin = 'FROM /twinChangeNotifications WHERE twin_change_includes(properties.reported.t) INTO $upstream';
  t.match(await weir('test', twin, '--source', '/twinChangeNotifications', '--body-file', body), { out: /^yes/ });
  t.match(await weir('test', twin, '--source', '/twinChangeNotifications/*', '--body', '{}'), {
    out: /nothing lies at this path/,
  });
  const downstream = "FROM /messages WHERE $edgeHubOriginInterface = 'downstream' AND $cid = '7' INTO $upstream";
  t.match(await weir('test', downstream, '--source', '/messages', '--device', 'leaf', '--system', 'correlationId=7'), {
    out: /^yes/,
  });
  const byBody = 'FROM /messages WHERE $body.t = 1 INTO $upstream';
  const untyped = ['--body', '{"t":1}', '--system', 'contentType=text/plain'];
  t.match(await weir('test', byBody, '--source', '/messages', ...untyped), {
    out: /not looked into, because contentType is "text\/plain"/,
  });
  t.match(await weir('test', byBody, '--source', '/messages'), { out: /contentType is missing/ });
  t.match(await weir('test', byBody, '--source', '/messages', '--body', '{"t":{}}'), {
    out: /is an object, a list or a date/,
  });
  t.match(await weir('test', 'FROM /messages WHERE 3 = 4 INTO $upstream', '--source', '/messages'), {
    out: /`3 = 4` is false\nNo route takes this message: it would be dropped/,
  });
});
