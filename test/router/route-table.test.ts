import t, { type Test } from 'tap';
import { priorityUnset } from '../../src/model/lane.ts';
import { type Message, messageSource } from '../../src/model/message.ts';
import { evaluateCondition } from '../../src/router/condition/condition.ts';
import type { StoreTarget } from '../../src/router/ports.ts';
import { normaliseSource, sourceMatches } from '../../src/router/route-match.ts';
import { type RouteSpec, readRoutes } from '../../src/router/route-set.ts';
import { RouteTable } from '../../src/router/route-table.ts';
import { Draw, drawCondition, drawMessage } from './condition/drawn.ts';
import { written } from './condition/naive.ts';

const defaults = { timeToLiveSecs: 0 };

function tableOf(t: Test, specs: readonly RouteSpec[]): RouteTable {
  const { routes, problems } = readRoutes(specs, defaults);
  t.same(problems, []);
  return new RouteTable(routes);
}

function message(over: Partial<Message> = {}): Message {
  return {
    sender: { deviceId: 'gw', moduleId: 'm' },
    output: 'out',
    system: { contentType: 'application/json', contentEncoding: 'utf-8' },
    properties: {},
    body: Buffer.from('{"t":21}'),
    enqueuedMs: 0,
    ...over,
  };
}

const into = (input: string): string => `INTO BrokeredEndpoint("/modules/x/inputs/${input}")`;
const queues = (targets: readonly StoreTarget[]): readonly string[] => targets.map(({ queue }) => queue);

t.test('a route with a condition takes the messages for which it holds', async (t) => {
  const table = tableOf(t, [
    { name: 'hot', text: `FROM /messages/* WHERE $body.t > 20 ${into('hot')}` },
    { name: 'cold', text: `FROM /messages/* WHERE $body.t < 5 ${into('cold')}` },
    { name: 'never', text: `FROM /messages/* WHERE missing = 'x' ${into('never')}` },
    { name: 'all', text: 'FROM /messages/* INTO $upstream' },
  ]);
  t.same(queues(table.targetsOf(message())), ['x/inputs/hot', '$upstream']);
  t.same(queues(table.targetsOf(message({ body: Buffer.from('{"t":1}') }))), ['x/inputs/cold', '$upstream']);
  t.same(queues(table.targetsOf(message({ body: Buffer.from('no JSON') }))), ['$upstream']);
  t.same(table.sinks(), ['x/inputs/hot', 'x/inputs/cold', 'x/inputs/never', '$upstream']);
});

t.test(
  'of several routes to one endpoint those whose condition holds compete, the smallest priority number wins',
  async (t) => {
    const table = tableOf(t, [
      { name: 'rest', text: 'FROM /messages/* INTO $upstream', timeToLiveSecs: 1 },
      { name: 'warm', text: 'FROM /messages/* WHERE $body.t > 20 INTO $upstream', priority: 5, timeToLiveSecs: 2 },
      { name: 'alarm', text: "FROM /messages/* WHERE alarm = 'high' INTO $upstream", priority: 0, timeToLiveSecs: 3 },
    ]);
    const target = (priority: number, seconds: number) => [
      { queue: '$upstream', priority, live: false, timeToLiveMs: seconds * 1000 },
    ];
    t.same(table.targetsOf(message({ properties: { alarm: 'high' } })), target(0, 3));
    t.same(table.targetsOf(message()), target(5, 2));
    t.same(table.targetsOf(message({ body: Buffer.from('{"t":1}') })), target(priorityUnset, 1));
  },
);

t.test('a twin change and what the gateway tells of devices have sources of their own', async (t) => {
  const table = tableOf(t, [
    {
      name: 'twin',
      text: `FROM /twinChangeNotifications WHERE twin_change_includes(properties.reported.t) ${into('twin')}`,
    },
    { name: 'life', text: `FROM /deviceLifecycle/* ${into('life')}` },
    { name: 'connection', text: `FROM /deviceConnectionState ${into('connection')}` },
    { name: 'telemetry', text: `FROM /messages/* ${into('telemetry')}` },
  ]);
  const change = message({ kind: 'twinChange', body: Buffer.from('{"properties":{"reported":{"t":1}}}') });
  t.same(queues(table.targetsOf(change)), ['x/inputs/twin']);
  t.same(queues(table.targetsOf({ ...change, body: Buffer.from('{"properties":{}}') })), []);
  t.same(queues(table.targetsOf(message({ kind: 'deviceLifecycle' }))), ['x/inputs/life']);
  t.same(queues(table.targetsOf(message({ kind: 'deviceConnectionState' }))), ['x/inputs/connection']);
  t.same(queues(table.targetsOf(message({ kind: 'telemetry' }))), ['x/inputs/telemetry']);
});

t.test('a body is read once for all routes, and not at all when no condition asks for it', async (t) => {
  let reads = 0;
  const counted = (system: Message['system']): Message => ({
    ...message({ system }),
    get body() {
      reads += 1;
      return Buffer.from('{"t":21,"u":3}');
    },
  });
  const json = { contentType: 'application/json', contentEncoding: 'utf-8' };
  const bodies = Array.from({ length: 20 }, (_, at) => ({
    name: `r${at}`,
    text: `FROM /messages/* WHERE $body.t > ${at} AND $body.u = 3 ${into(`i${at}`)}`,
  }));
  t.equal(tableOf(t, bodies).targetsOf(counted(json)).length, 20);
  t.equal(reads, 1);
  tableOf(t, [{ name: 'p', text: "FROM /messages/* WHERE a = 'b' OR $messageId = 'c' INTO $upstream" }]).targetsOf(
    counted(json),
  );
  t.equal(reads, 1, 'no $body, no reading');
  tableOf(t, [{ name: 'p', text: "FROM /messages/* WHERE a = 'b' AND $body.t = 1 INTO $upstream" }]).targetsOf(
    counted(json),
  );
  t.equal(reads, 1, 'decided before');
});

t.test('what is remembered of one message does not reach the next', async (t) => {
  const table = tableOf(t, [
    { name: 'a', text: `FROM /messages/* WHERE as_number(x) > 20 ${into('a')}` },
    { name: 'b', text: `FROM /messages/* WHERE as_number(x) > 30 OR as_number(X) < 0 ${into('b')}` },
  ]);
  const given = (x: string | undefined) =>
    queues(table.targetsOf(message({ properties: x === undefined ? {} : { x } })));
  t.same(given('25'), ['x/inputs/a']);
  t.same(given(undefined), []);
  t.same(given('35'), ['x/inputs/a', 'x/inputs/b']);
  t.same(given('-1'), ['x/inputs/b']);
});

t.test('conditions that need a value of one property are found by it', async (t) => {
  const table = tableOf(
    t,
    Array.from({ length: 40 }, (_, at) => ({
      name: `r${at}`,
      text: `FROM /messages/* WHERE as_number(x) > 3 AND (kind = 'k${at}' OR 'every' = KIND) ${into(`i${at}`)}`,
    })),
  );
  const given = (kind: string, x: string) => queues(table.targetsOf(message({ properties: { kind, x } })));
  t.same(given('k7', '4'), ['x/inputs/i7']);
  t.same(given('k7', '2'), []);
  t.same(given('none', '4'), []);
  t.equal(given('every', '4').length, 40);
});

t.test('bounds of one number are found by it, on either side and whatever the body holds', async (t) => {
  const routes = (condition: (at: number) => string): readonly RouteSpec[] =>
    Array.from({ length: 40 }, (_, at) => ({
      name: `r${at}`,
      text: `FROM /messages/* WHERE ${condition(at)} ${into(`i${at}`)}`,
    }));
  const above = tableOf(
    t,
    routes((at) => `$body.t > ${at} AND is_defined($messageId) = false`),
  );
  const least = tableOf(
    t,
    routes((at) => `${at} <= as_number(x)`),
  );
  const below = tableOf(
    t,
    routes((at) => `as_number(x) < ${at - 20}`),
  );
  const most = tableOf(
    t,
    routes((at) => `${at} >= $body.t`),
  );
  const count = (table: RouteTable, over: Partial<Message>) => table.targetsOf(message(over)).length;
  const body = (value: unknown) => ({ body: Buffer.from(JSON.stringify({ t: value })) });
  t.equal(count(above, body(21)), 21);
  t.equal(count(above, body(-1)), 0);
  t.equal(count(above, body('text')), 40, 'text is greater than every number');
  t.equal(count(above, { body: Buffer.from('{}') }), 40, 'so is null');
  t.equal(count(above, body(true)), 0);
  t.equal(count(above, body({})), 0);
  t.equal(count(most, body(true)), 40, 'true is smaller than every number');
  t.equal(count(most, body(10)), 30);
  t.equal(count(least, { properties: { x: '21' } }), 22);
  t.equal(count(below, { properties: { x: '-5' } }), 24);
  t.equal(count(below, { properties: { x: 'none' } }), 0);
  t.equal(count(least, {}), 0);
});

t.test('a thousand routes look at a message no more often than ten', async (t) => {
  const shapes: readonly ((at: number) => string)[] = [
    (at) => `FROM /messages/modules/m${at}/* WHERE x = 'y' ${into(`i${at}`)}`,
    (at) => `FROM /messages/* WHERE kind = 'k${at}' ${into(`i${at}`)}`,
    (at) => `FROM /messages/* WHERE as_number(x) > 3 AND $messageId = 'm${at}' ${into(`i${at}`)}`,
    (at) => `FROM /messages/* WHERE as_number(x) > ${100 + at} ${into(`i${at}`)}`,
    (at) => `FROM /messages/* WHERE $body.t < ${-at} ${into(`i${at}`)}`,
  ];
  for (const shape of shapes) {
    const looks = [10, 1000].map((size) => {
      const table = tableOf(t, [
        ...Array.from({ length: size - 1 }, (_, at) => ({ name: `r${at}`, text: shape(at) })),
        { name: 'up', text: "FROM /messages/modules/m/* WHERE kind = 'alarm' INTO $upstream" },
      ]);
      let count = 0;
      const watched = (values: Record<string, string>) =>
        new Proxy(values, {
          get: (target, name: string) => {
            count += 1;
            return target[name];
          },
        });
      const json = { messageId: '1', contentType: 'application/json', contentEncoding: 'utf-8' };
      const one = message({ properties: watched({ kind: 'alarm', x: '21' }), system: watched(json) });
      t.same(queues(table.targetsOf(one)), ['$upstream']);
      return count;
    });
    t.equal(looks[1], looks[0], shape(0));
    t.ok((looks[0] ?? 0) > 0);
  }
});

t.test('outputs without end, each a source of its own, get what their routes say', async (t) => {
  const table = tableOf(
    t,
    Array.from({ length: 1000 }, (_, at) => ({
      name: `r${at}`,
      text: `FROM /messages/${at % 2 === 0 ? '*' : 'modules/m/outputs/a'} WHERE kind <> 'k${at}' ${into(`i${at}`)}`,
    })),
  );
  const count = (output: string | undefined) => table.targetsOf(message({ output, properties: { kind: 'k0' } })).length;
  t.equal(count('a'), 999);
  for (let at = 0; at < 5000; at++) if (count(`out${at}`) !== 499) t.fail(`output ${at}`);
  t.equal(count(undefined), 499);
});

t.test('drawn sets of routes give each message what asking every route by itself does', async (t) => {
  let given = 0;
  for (let seed = 1; seed <= 400; seed++) {
    const draw = new Draw(seed);
    const specs = drawRoutes(draw);
    const { routes, problems } = readRoutes(specs, defaults);
    t.equal(problems.length, 0, `SEED=${seed}: ${problems[0]?.message}`);
    const table = new RouteTable(routes);
    for (let at = 0; at < 5; at++) {
      const drawn = drawMessage(draw);
      const output = draw.of(['a', 'b', undefined]);
      const one = message({ ...drawn, output, body: Buffer.from(drawn.body) });
      const found = table.targetsOf(one).map(({ queue, priority }) => `${queue} ${priority}`);
      const expected = askAll(specs, one);
      given += expected.length;
      if (found.sort().join() !== expected.sort().join()) t.same(found, expected, `SEED=${seed}`);
    }
  }
  t.ok(given > 2000, `${given} targets were compared`);
});

function drawRoutes(draw: Draw): readonly RouteSpec[] {
  const sources = ['/messages/*', '/messages/modules/m/*', '/messages/modules/m/outputs/a', '/messages/modules/n/*'];
  return Array.from({ length: 2 + draw.below(24) }, (_, at) => {
    const equal = `${draw.of(['key1', '$messageId', '$body.t', '$body.text'])} = ${draw.of(["'a'", "'value1'"])}`;
    const drawn = written(drawCondition(draw, 2));
    const bound = `${draw.of(['as_number(key1)', '$body.t', '$body.inner.deep.t'])} ${draw.of(['<', '<=', '>', '>='])} ${draw.of(['-1', '2', '20'])}`;
    const turned = `${draw.of(['2', '3'])} ${draw.of(['<', '>='])} $body.inner.deep.t AND (${drawn})`;
    const condition = draw.of([undefined, equal, equal, bound, bound, turned, `${equal} AND (${drawn})`, drawn]);
    const sink = draw.of(['INTO $upstream', into('a'), into('b'), into('c')]);
    return {
      name: `r${at}`,
      text: `FROM ${draw.of(sources)} ${condition === undefined ? '' : `WHERE ${condition} `}${sink}`,
      priority: draw.of([undefined, 0, 3, 3, 9]),
    };
  });
}

/** The slow way: every route by itself. */
function askAll(specs: readonly RouteSpec[], one: Message): string[] {
  const best = new Map<string, number>();
  for (const { text, priority = priorityUnset } of specs) {
    const [, source = '', condition, sink = ''] = /^FROM (\S+) (?:WHERE ([\s\S]*) )?INTO (\S+)$/.exec(text) ?? [];
    if (!sourceMatches(normaliseSource(source), messageSource(one))) continue;
    if (condition !== undefined && evaluateCondition(condition, one) !== true) continue;
    best.set(sink, Math.min(priority, best.get(sink) ?? priority));
  }
  return [...best].map(([sink, priority]) => {
    const queue = sink.replace('BrokeredEndpoint("/modules/', '').replace('")', '');
    return `${queue} ${priority}`;
  });
}
