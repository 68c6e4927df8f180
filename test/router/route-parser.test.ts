import t from 'tap';
import { tryRoutes } from '../../src/router/index.ts';
import { parseRoute } from '../../src/router/route-parser.ts';
import { Draw, drawMessage } from './condition/drawn.ts';

const valid: readonly [text: string, sourcePrefix: string, sink: string][] = [
  ['FROM /messages/* INTO $upstream', '/messages/', '$upstream'],
  ['FROM /* INTO $upstream', '/', '$upstream'],
  ['FROM / INTO $upstream', '/', '$upstream'],
  ['from /messages into $UpStream', '/messages/', '$upstream'],
  ['SELECT * FROM /messages/* INTO $upstream', '/messages/', '$upstream'],
  ['  select\n*\tFrom /messages/ InTo $upstream  ', '/messages/', '$upstream'],
  ['FROM /messages/modules/Sensor/outputs/* INTO $upstream', '/messages/modules/sensor/outputs/', '$upstream'],
  [
    'FROM /messages/modules/a/outputs/b INTO BrokeredEndpoint("/modules/C/inputs/d")',
    '/messages/modules/a/outputs/b/',
    'C/inputs/d',
  ],
  ["FROM /messages/* INTO brokeredendpoint('/modules/C/inputs/d')", '/messages/', 'C/inputs/d'],
  ['FROM /messages/* INTO BrokeredEndpoint ( "modules/C/inputs/d/" )', '/messages/', 'C/inputs/d'],
  ['FROM /messages/* INTO BrokeredEndpoint("/modules/C/inputs/\\u0064")', '/messages/', 'C/inputs/d'],
  ['FROM / messages / modules INTO $upstream', '/messages/modules/', '$upstream'],
  ['FROM /messages/modules/into/outputs/where INTO $upstream', '/messages/modules/into/outputs/where/', '$upstream'],
  ['FROM /messages/modules/$edgeAgent/* INTO $upstream', '/messages/modules/$edgeagent/', '$upstream'],
  ['FROM /*/messages/* INTO $upstream', '/*/messages/', '$upstream'],
  ['FROM /twinChangeNotifications INTO $upstream', '/twinchangenotifications/', '$upstream'],
  ["FROM /messages/* WHERE type = 'into' INTO $upstream", '/messages/', '$upstream'],
  ["  select * from /messages/* where (a = 'x' or\nb = 'y') into $upstream ", '/messages/', '$upstream'],
  [
    "FROM /messages/* WHERE a = 'b' /* INTO nothing */ INTO BrokeredEndpoint('/modules/c/inputs/d')",
    '/messages/',
    'c/inputs/d',
  ],
  ['/* all */ FROM /messages /* telemetry */ INTO $upstream /* that is all */', '/messages/', '$upstream'],
];

const invalid: readonly [text: string, column: number, message: RegExp][] = [
  ['', 1, /begins with FROM.*the route ends/],
  ['INTO $upstream', 1, /begins with FROM.*`INTO`/],
  ['SELECT x FROM /messages INTO $upstream', 8, /SELECT \*.*`x`/],
  ['FROM messages INTO $upstream', 6, /A source is a path.*`messages`/],
  ['FROM /messages//modules INTO $upstream', 16, /name or \* belongs/],
  ['FROM /messages/*', 17, /INTO and a destination are missing.*the route ends/],
  ['FROM /messages/* TO $upstream', 18, /INTO and a destination.*`TO`/],
  ['FROM /messages/* INTO', 22, /A destination is missing/],
  ['FROM /messages/* INTO $downstream', 23, /no destination `\$downstream`/],
  ['FROM /messages/* INTO Endpoint("/modules/C/inputs/d")', 23, /no destination `Endpoint`/],
  ['FROM /messages/* INTO BrokeredEndpoint', 39, /address in parentheses/],
  ['FROM /messages/* INTO BrokeredEndpoint(/modules/C/inputs/d)', 40, /belongs in quotes/],
  ['FROM /messages/* INTO BrokeredEndpoint("/modules/C/inputs/d\')', 40, /not closed: add "/],
  ['FROM /messages/* INTO BrokeredEndpoint("/modules/C/input/d")', 40, /not the address of a module's input/],
  ['FROM /messages/* INTO BrokeredEndpoint("/modules/C/inputs/")', 40, /not the address/],
  ['FROM /messages/* INTO BrokeredEndpoint("/modules/C D/inputs/e")', 40, /not the address/],
  ['FROM /messages/* INTO BrokeredEndpoint("/modules\\x")', 49, /may follow a backslash/],
  ['FROM /messages/* INTO BrokeredEndpoint("/modules/C/inputs/d"', 61, /parenthesis \) is missing/],
  ['FROM /messages/* INTO $upstream;', 32, /complete before this.*`;`/],
  ['FROM /messages/* INTO $upstream, $upstream', 32, /complete before this/],
  ['FROM /messages/* WHERE temperature > 20 INTO $upstream', 36, /text and a number.*write as_number\(temperature\)/],
  ["FROM /messages/* where x = '\\q INTO", 29, /may follow a backslash/],
  ['FROM /messages/* WHERE temp == 100 INTO $upstream', 30, /One = compares.*`=`/],
  ['FROM /messages/* WHERE INTO $upstream', 24, /condition is missing.*`INTO`/],
  ['FROM /messages/* WHERE', 23, /INTO and a destination are missing/],
  ['FROM /messages/* WHERE true', 28, /INTO and a destination are missing.*the route ends/],
  ["FROM /messages/* WHERE type = 'a' && true INTO $upstream", 35, /An operator or INTO.*`&&`.*Write AND/],
  ['FROM /messages/* WHERE len(x) > 3 INTO $upstream', 24, /no function `len`: write length\(\)/],
  ['FROM /messages/* WHERE (true INTO $upstream', 29, /opened at character 24 is not closed/],
  ['FROM /messages/* WHERE true) INTO $upstream', 28, /closes nothing/],
  ['FROM /messages/* WHERE x = "a INTO $upstream', 28, /not closed: add "/],
  ['FROM /messages/* WHERE x = @ INTO $upstream', 28, /`@` means nothing/],
  ['FROM /messages/* WHERE true INTO', 33, /A destination is missing/],
  ['FORM /messages/* INTO $upstream', 1, /begins with FROM/],
  ['SELECT FROM /messages/* INTO $upstream', 8, /SELECT \*/],
  ['FROM INTO $upstream', 6, /A source is a path/],
  ['FROM /messages/* INTO "/modules/a/inputs/b"', 23, /A destination is missing/],
  ['FROM /messages/* INTO /modules/a/inputs/b', 23, /A destination is missing/],
  ['FROM /messages/* INTO upstream', 23, /no destination `upstream`/],
  ['FROM /messages/* INTO BrokeredEndpoint(""/modules/C/inputs/d"")', 40, /not the address/],
];

t.test('routes that are taken', async (t) => {
  for (const [text, sourcePrefix, sink] of valid) {
    t.match(parseRoute(text), { ok: true, route: { sourcePrefix, sink } }, JSON.stringify(text));
  }
});

t.test('routes that are refused name the first wrong character and the mend', async (t) => {
  for (const [text, column, message] of invalid) {
    t.match(parseRoute(text), { ok: false, column, message }, JSON.stringify(text));
  }
});

t.test('refusals have codes', async (t) => {
  t.match(parseRoute('FROM /a WHERE x = 3 INTO $upstream'), { code: 'ROUTER_ROUTE_TYPE' });
  t.match(parseRoute('FROM /a WHERE nope() INTO $upstream'), { code: 'ROUTER_ROUTE_TYPE' });
  t.match(parseRoute('FROM /a INTO $nowhere'), { code: 'ROUTER_ROUTE_ENDPOINT_UNKNOWN' });
  t.match(parseRoute('FROM a'), { code: 'ROUTER_ROUTE_SYNTAX' });
  t.match(parseRoute(`FROM /${'a'.repeat(5000)} INTO $upstream`), { code: 'ROUTER_ROUTE_TOO_LARGE', column: 4097 });
});

t.test('hostile routes are refused by their size, quickly', async (t) => {
  const started = process.hrtime.bigint();
  const deep = `${'('.repeat(1500)}true${')'.repeat(1500)}`;
  t.match(parseRoute(`FROM /a WHERE ${deep} INTO $upstream`), {
    code: 'ROUTER_ROUTE_TOO_LARGE',
    message: /64 levels deep/,
  });
  t.match(parseRoute(`FROM /a WHERE ${'NOT '.repeat(900)}true INTO $upstream`), { code: 'ROUTER_ROUTE_TOO_LARGE' });
  t.match(parseRoute(`FROM /a WHERE ${'- '.repeat(900)}1 = 1 INTO $upstream`), { code: 'ROUTER_ROUTE_TOO_LARGE' });
  t.match(parseRoute(`FROM /a WHERE ${'abs('.repeat(900)} INTO $upstream`), { code: 'ROUTER_ROUTE_TOO_LARGE' });
  const wide = Array.from({ length: 700 }, () => 'a').join(' || ');
  t.match(parseRoute(`FROM /a WHERE ${wide} = 'x' INTO $upstream`), {
    code: 'ROUTER_ROUTE_TOO_LARGE',
    message: /more than 256 parts/,
  });
  t.match(parseRoute(`FROM /a WHERE x = '${'y'.repeat(1_000_000)}' INTO $upstream`), {
    code: 'ROUTER_ROUTE_TOO_LARGE',
  });
  t.ok(parseRoute(`FROM /a WHERE 1${'0'.repeat(4000)} > 0 INTO $upstream`).ok, 'a number of 4000 digits is infinite');
  t.ok(parseRoute(`FROM /a WHERE ${'('.repeat(63)}true${')'.repeat(63)} INTO $upstream`).ok);
  for (const sign of ['(', ')', "'", '"', '/*', '*/', '$', '{', '-', '\\', 'e', '?', '<', ',']) {
    t.doesNotThrow(() => parseRoute(`FROM /a WHERE ${sign.repeat(2000)} INTO $upstream`), sign);
    t.doesNotThrow(() => parseRoute(`FROM ${sign.repeat(4000)}`));
  }
  t.ok(Number(process.hrtime.bigint() - started) < 2e9, 'all of that within two seconds');
});

const words =
  `FROM WHERE INTO SELECT AND OR NOT $upstream BrokeredEndpoint( ) ( { } , ; / * % + - || ?? = != <> < <= > >= @
  /messages/* "/modules/a/inputs/b" 'text' "open 'open \\ 1 -2 .5 1e9 e5 0xFF true null undefined name $messageId {$messageId}
  $body.t $body.list[0] $body. $body[ as_number( length( concat( substring( is_null( nope( /* */ \u0000 é 😀`.split(
    /\s+/,
  );

t.test('any soup of words is refused at a character of it, or is a route that can be asked', async (t) => {
  let routes = 0;
  for (let seed = 1; seed <= 6000; seed++) {
    const draw = new Draw(seed);
    const soup = Array.from({ length: 1 + draw.below(12) }, () => draw.of(words)).join(draw.of([' ', ' ', '']));
    const text = draw.below(3) === 0 ? soup : `FROM /messages/* WHERE ${soup} INTO $upstream`;
    const parsed = parseRoute(text);
    const column = parsed.ok ? 1 : parsed.column;
    if (column < 1 || column > text.length + 1) t.fail(`SEED=${seed}: character ${column} of ${JSON.stringify(text)}`);
    if (!parsed.ok) continue;
    routes += 1;
    const drawn = drawMessage(draw);
    const message = { ...drawn, sender: { deviceId: 'd' }, body: Buffer.from(drawn.body), enqueuedMs: 0 };
    const [trial] = tryRoutes([{ name: 'r', text }], message);
    if (trial === undefined || trial.matches !== (trial.reasons[0]?.startsWith('source matches') ?? false))
      t.fail(`SEED=${seed}: ${JSON.stringify({ text, trial })}`);
  }
  t.ok(routes > 150, `${routes} of them were routes`);
});
