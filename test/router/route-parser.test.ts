import t from 'tap';
import { parseRoute } from '../../src/router/route-parser.ts';

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
  ['FROM /messages/* WHERE temperature > 20 INTO $upstream', 18, /does not evaluate a WHERE clause/],
  ["FROM /messages/* where x = '\\q INTO", 18, /does not evaluate a WHERE clause/],
];

t.test('routes that are taken', async (t) => {
  for (const [text, sourcePrefix, sink] of valid) {
    t.same(parseRoute(text), { ok: true, route: { sourcePrefix, condition: undefined, sink } }, JSON.stringify(text));
  }
});

t.test('routes that are refused name the first wrong character and the mend', async (t) => {
  for (const [text, column, message] of invalid) {
    t.match(parseRoute(text), { ok: false, column, message }, JSON.stringify(text));
  }
});

t.test('refusals have codes', async (t) => {
  t.match(parseRoute('FROM /a WHERE x INTO $upstream'), { code: 'ROUTER_ROUTE_CONDITION_UNSUPPORTED' });
  t.match(parseRoute('FROM /a INTO $nowhere'), { code: 'ROUTER_ROUTE_ENDPOINT_UNKNOWN' });
  t.match(parseRoute('FROM a'), { code: 'ROUTER_ROUTE_SYNTAX' });
  t.match(parseRoute(`FROM /${'a'.repeat(5000)} INTO $upstream`), { code: 'ROUTER_ROUTE_SYNTAX', column: 4097 });
});
