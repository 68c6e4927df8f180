// The direct methods of `$edgeAgent` with their real parts, against a gateway of three modules made of texts.

import { gunzipSync } from 'node:zlib';
import t from 'tap';
import { AgentMethods, type MethodAnswer } from '../../src/agent-methods/index.ts';
import type { LogQuestion, Upload } from '../../src/agent-methods/ports.ts';
import { agentLogAnswerBytesMax, agentTasksKeptMax, agentTasksRunningMax } from '../../src/limits.ts';
import { WeirError } from '../../src/model/errors.ts';
import type { JsonValue } from '../../src/model/json.ts';
import { compilePattern } from '../../src/platform/pattern.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock } from '../support/sim-clock.ts';
import { seededEntropy } from '../support/sim-entropy.ts';

const nowMs = Date.UTC(2026, 10, 21, 12);

const texts: Readonly<Record<string, string>> = {
  modbus: [
    '2026-11-21T10:00:00.000Z O started',
    '2026-11-21T11:30:00.000Z O <4> 2026-11-21 12:29:59.500 +01:00 [WRN] line is slow',
    '2026-11-21T11:40:00.000Z E <3>pump failed',
    '2026-11-21T11:50:00.000Z S 3 bytes dropped',
    '2026-11-21T11:55:00.000Z O <4> again slow',
    '',
  ].join('\n'),
  filter: '2026-11-21T11:59:00.000Z O nothing\n',
  silent: '',
};

interface Gateway {
  readonly methods: AgentMethods;
  readonly restarted: string[];
  readonly uploads: { readonly url: string; readonly headers: Upload['headers']; readonly body: Buffer }[];
  readonly clock: SimClock;
  readonly logged: readonly string[];
  /** What the storage answers from now on; undefined: nobody answers. */
  answer: { readonly status: number; readonly text: string } | undefined;
  /** Uploads wait until it is called. */
  hold(): () => void;
}

const goneText = '2026-11-21T11:59:00.000Z E the cause\n';

interface GatewayOptions {
  readonly texts?: typeof texts;
  readonly stopped?: readonly string[];
  /** A module that a rollback has removed left its log. */
  readonly withGone?: boolean;
}

function gateway(options: GatewayOptions = {}): Gateway {
  const clock = new SimClock(nowMs);
  const { log, lines } = keptLog(clock);
  const known = options.texts ?? texts;
  let held: Promise<void> = Promise.resolve();
  const world: Gateway = {
    restarted: [],
    uploads: [],
    clock,
    logged: lines,
    answer: { status: 201, text: '' },
    hold() {
      let release: () => void = () => undefined;
      held = new Promise((resolve) => {
        release = resolve;
      });
      return release;
    },
    methods: new AgentMethods(
      {
        modules: {
          list: () =>
            Object.keys(known).map((name) => ({
              name,
              wanted: options.stopped?.includes(name) === true ? 'stopped' : 'running',
            })),
          restart: async (name) => void world.restarted.push(name),
        },
        logs: {
          ofModule: (question) => windowOf({ ...known, gone: goneText }[question.name] ?? '', question),
          names: async () => [...Object.keys(known), ...(options.withGone === true ? ['gone'] : [])],
          own: () => [
            '2026-11-21T11:00:00.000Z info  broker: client connected client=plc-1',
            '2026-11-21T11:58:00.000Z warn  upstream: the hub is away',
          ],
        },
        support: { documents: async () => ({ 'status.json': { version: '1' } }) },
        web: {
          put: async ({ url, headers, body, signal }) => {
            const aborted = new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
            if (!signal.aborted) await Promise.race([held, aborted]);
            if (signal.aborted) throw new WeirError({ code: 'PLATFORM_WEB_FAILED', message: 'aborted' });
            if (world.answer === undefined)
              throw new WeirError({ code: 'PLATFORM_WEB_FAILED', message: 'No answer from https://store.' });
            world.uploads.push({ url, headers, body: Buffer.from(body) });
            return world.answer;
          },
        },
        patterns: { compile: (source, how) => compilePattern(source, { ...how, msMax: 100 }) },
        clock,
        entropy: seededEntropy(1),
        log,
      },
      { deviceId: 'gw1', hubHostname: 'hub.example', parentHostname: 'parent.local' },
    ),
  };
  return world;
}

/** What the reader of logs promises, for a text. */
async function* windowOf(text: string, { sinceMs, untilMs, tail }: LogQuestion): AsyncIterable<string> {
  const lines = text.split('\n').filter((line) => {
    const atMs = Date.parse(line.split(' ')[0] ?? '');
    return line !== '' && atMs >= (sinceMs ?? 0) && atMs < (untilMs ?? Number.POSITIVE_INFINITY);
  });
  const kept = tail === undefined ? lines : lines.slice(Math.max(0, lines.length - tail));
  // In pieces of two lines, so that counting goes over their borders.
  for (let at = 0; at < kept.length; at += 2) yield `${kept.slice(at, at + 2).join('\n')}\n`;
}

function ask(world: Gateway, name: string, payload: JsonValue = null): Promise<MethodAnswer> {
  return world.methods.invoke({ name, payload });
}

const v1 = { schemaVersion: '1.0' };

/** The logs of one item, as text by module. */
async function logsOf(world: Gateway, item: JsonValue, rest: Readonly<Record<string, JsonValue>> = {}) {
  const answer = await ask(world, 'GetModuleLogs', { ...v1, items: [item], ...rest });
  if (answer.status !== 200) throw new TypeError(JSON.stringify(answer.payload));
  const list = answer.payload as readonly { readonly id: string; readonly payload: string }[];
  return Object.fromEntries(list.map(({ id, payload }) => [id, payload]));
}

function idOf({ payload }: MethodAnswer): string {
  return (payload as { readonly correlationId: string }).correlationId;
}

async function ended(world: Gateway, started: MethodAnswer): Promise<JsonValue> {
  const correlationId = idOf(started);
  for (let turn = 0; turn < 1000; turn++) {
    const { payload } = await ask(world, 'GetTaskStatus', { ...v1, correlationId });
    if ((payload as { readonly status: string }).status !== 'Running') return payload;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return 'still running';
}

t.test('ping answers, names are compared without case, and what is not known is told with what is', async (t) => {
  const world = gateway();
  t.same(await ask(world, 'ping'), { status: 200, payload: null });
  t.same(await ask(world, 'PING', { any: 'thing' }), { status: 200, payload: null });
  t.same(await ask(world, 'Reboot'), {
    status: 400,
    payload: {
      message:
        "Command 'Reboot' not found. The supported commands are - ping,RestartModule,GetModuleLogs,UploadModuleLogs,UploadSupportBundle,GetTaskStatus",
    },
  });
});

t.test('a payload that cannot be read is refused with what is wrong', async (t) => {
  const world = gateway();
  const upload = { ...v1, items: [{ id: 'all' }] };
  const rows: readonly (readonly [string, JsonValue, number, RegExp])[] = [
    ['RestartModule', null, 400, /^Request payload not found$/],
    ['RestartModule', [1], 400, /no JSON object/],
    [
      'RestartModule',
      { id: 'modbus' },
      400,
      /^Error parsing command payload because of error - schemaVersion is missing/,
    ],
    ['RestartModule', { schemaVersion: 'x', id: 'm' }, 500, /^Invalid logs upload request schema version x$/],
    [
      'RestartModule',
      { schemaVersion: '2.0', id: 'modbus' },
      500,
      /^The logs upload request schema version 2\.0 is not compatible with the expected version 1\.0$/,
    ],
    ['RestartModule', v1, 400, /id is missing/],
    ['GetModuleLogs', v1, 400, /items is missing/],
    ['GetModuleLogs', { ...v1, items: [1] }, 400, /items\[0\] is no object/],
    ['GetModuleLogs', { ...upload, encoding: 'zip' }, 400, /encoding "zip" is none of none, gzip/],
    ['GetModuleLogs', { ...upload, contentType: 4 }, 400, /contentType 4 is none of text, json/],
    ['GetModuleLogs', { ...v1, items: [{ id: '(' }] }, 400, /Error parsing .* "\(" cannot be read/],
    ['GetModuleLogs', { ...v1, items: [{ id: 'm', filter: { regex: '[' } }] }, 400, /"\[" cannot be read/],
    ['GetModuleLogs', { ...v1, items: [{ id: 'm', filter: { tail: -1 } }] }, 400, /filter\.tail is no whole number/],
    ['GetModuleLogs', { ...v1, items: [{ id: 'm', filter: { loglevel: 8 } }] }, 400, /filter\.loglevel .* 0 to 7/],
    ['GetModuleLogs', { ...v1, items: [{ id: 'm', filter: { since: 'soon' } }] }, 400, /since "soon" is neither/],
    ['UploadModuleLogs', upload, 400, /sasUrl is missing/],
    ['UploadModuleLogs', { ...upload, sasUrl: 'ftp://x' }, 400, /no https address/],
    ['UploadSupportBundle', { ...v1, sasUrl: 'https://x/y', edgeRuntimeOnly: 1 }, 400, /edgeRuntimeOnly/],
    ['GetTaskStatus', v1, 400, /correlationId is missing/],
  ];
  for (const [name, payload, status, message] of rows) {
    const answer = await ask(world, name, payload);
    t.equal(answer.status, status, `${name} ${JSON.stringify(payload)}`);
    t.match((answer.payload as { readonly message: string }).message, message);
  }
  t.same(
    (await ask(world, 'RestartModule', { schemaVersion: '1.7', id: 'modbus' })).status,
    200,
    'a minor version passes',
  );
});

t.test('a module is restarted; one that is not there, is stopped, or is weir itself is not', async (t) => {
  const world = gateway({ stopped: ['filter'] });
  t.same(await ask(world, 'RestartModule', { ...v1, id: 'modbus' }), { status: 200, payload: null });
  t.same(world.restarted, ['modbus']);
  t.same(await ask(world, 'restartmodule', { ...v1, id: 'Modbus' }), {
    status: 500,
    payload: { message: 'Module Modbus not found in the current environment' },
  });
  t.same(await ask(world, 'RestartModule', { ...v1, id: 'filter' }), {
    status: 500,
    payload: { message: 'Module filter cannot be restarted since it is not running' },
  });
  t.match(await ask(world, 'RestartModule', { ...v1, id: 'edgeHub' }), {
    status: 500,
    payload: { message: /weir itself/ },
  });
  t.same(world.restarted, ['modbus'], 'nobody else was');
});

t.test(
  'an id is an expression over all modules, each is answered once, with the filter of the first that names it',
  async (t) => {
    const world = gateway();
    const ids = async (items: JsonValue) => {
      const { payload } = await ask(world, 'GetModuleLogs', { ...v1, items });
      return (payload as readonly { readonly id: string }[]).map(({ id }) => id);
    };
    t.same(await ids([{ id: 'all' }]), ['edgeAgent', 'edgeHub', 'modbus', 'filter', 'silent']);
    t.same(await ids([{ id: '^(MOD|fil)' }]), ['modbus', 'filter'], 'without case');
    t.same(await ids({ id: 'filter' }), ['filter'], 'one item needs no list');
    t.same(await ids([{ id: 'nobody' }]), []);
    const { payload } = await ask(world, 'GetModuleLogs', {
      ...v1,
      items: [{ id: 'filter', filter: { tail: 0 } }, { id: 'filter|modbus' }],
    });
    t.match(payload, [
      { id: 'filter', payload: '' },
      { id: 'modbus', payload: /started/ },
    ]);
  },
);

t.test('the log of a module that a rollback has removed is there for whoever asks why', async (t) => {
  const world = gateway({ withGone: true });
  t.same(await logsOf(world, { id: 'gone' }), { gone: 'the cause\n' });
});

t.test('text is what the module wrote, without the stamps of the shim', async (t) => {
  const world = gateway();
  t.same(await logsOf(world, { id: 'modbus' }), {
    modbus:
      'started\n<4> 2026-11-21 12:29:59.500 +01:00 [WRN] line is slow\n<3>pump failed\n3 bytes dropped\n<4> again slow\n',
  });
  t.same(await logsOf(world, { id: 'silent' }), { silent: '' });
  t.same(await logsOf(world, { id: 'edgeHub' }), {
    edgeHub:
      '<6> 2026-11-21 11:00:00.000 +00:00 [INF] - broker: client connected client=plc-1\n<4> 2026-11-21 11:58:00.000 +00:00 [WRN] - upstream: the hub is away\n',
  });
});

t.test('each filter leaves the lines it names', async (t) => {
  const world = gateway();
  const rows: readonly (readonly [Readonly<Record<string, JsonValue>>, RegExp | string])[] = [
    [{ tail: 1 }, '<4> again slow\n'],
    [{ since: '20m' }, '<3>pump failed\n3 bytes dropped\n<4> again slow\n'],
    [{ since: '1d 2h', until: '1 hour 50 minutes' }, 'started\n'],
    [{ since: '2026-11-21T11:55:00Z' }, '<4> again slow\n'],
    [{ since: Date.UTC(2026, 10, 21, 11, 55) / 1000 }, '<4> again slow\n'],
    [{ since: String(Date.UTC(2026, 10, 21, 11, 55) / 1000) }, '<4> again slow\n'],
    [{ since: '1h', tail: 1 }, '<4> again slow\n'],
    [{ loglevel: 3 }, '<3>pump failed\n'],
    [{ loglevel: 4 }, /^<4> .* line is slow\n3 bytes dropped\n<4> again slow\n$/],
    [{ loglevel: 4, tail: 2 }, '3 bytes dropped\n<4> again slow\n'],
    [{ regex: 'slow$' }, /line is slow\n<4> again slow\n$/],
    [{ regex: 'SLOW' }, ''],
    [{ regex: '(?i)SLOW', tail: 1 }, '<4> again slow\n'],
    [{ regex: 'slow', loglevel: 3 }, ''],
    [{ regex: 'slow', until: '20m' }, /^<4> .* line is slow\n$/],
    [{ regex: 'slow', tail: 0 }, ''],
  ];
  for (const [filter, expected] of rows) t.match((await logsOf(world, { id: 'modbus', filter }))['modbus'], expected);
  t.match((await logsOf(world, { id: 'edgeAgent', filter: { since: '10m' } }))['edgeAgent'], /^<4>.*away\n$/);
  t.match((await logsOf(world, { id: 'edgeAgent', filter: { loglevel: 6 } }))['edgeAgent'], /^<6>.*connected.*\n$/);
  t.match((await logsOf(world, { id: 'edgeAgent', filter: { tail: 1 } }))['edgeAgent'], /^<4>/);
});

t.test('json has level, time and text as Azure reads them out of a line', async (t) => {
  const world = gateway();
  const { modbus } = await logsOf(world, { id: 'modbus' }, { contentType: 'JSON' });
  const common = { iothub: 'hub.example', device: 'gw1', id: 'modbus' };
  t.same(JSON.parse(modbus ?? ''), [
    { ...common, stream: 'stdout', loglevel: 6, text: 'started', timestamp: '2026-11-21T10:00:00.000Z' },
    { ...common, stream: 'stdout', loglevel: 4, text: '[WRN] line is slow', timestamp: '2026-11-21T11:29:59.500Z' },
    { ...common, stream: 'stderr', loglevel: 3, text: 'pump failed', timestamp: '2026-11-21T11:40:00.000Z' },
    { ...common, stream: 'stderr', loglevel: 4, text: '3 bytes dropped', timestamp: '2026-11-21T11:50:00.000Z' },
    { ...common, stream: 'stdout', loglevel: 4, text: 'again slow', timestamp: '2026-11-21T11:55:00.000Z' },
  ]);
  t.same(await logsOf(world, { id: 'silent' }, { contentType: 'json' }), { silent: '[]' });
});

t.test('gzip comes as base64', async (t) => {
  const world = gateway();
  const { payload } = await ask(world, 'GetModuleLogs', { ...v1, items: [{ id: 'filter' }], encoding: 'gzip' });
  const [{ id, payloadBytes } = { id: '', payloadBytes: '' }] = payload as readonly {
    readonly id: string;
    readonly payloadBytes: string;
  }[];
  t.equal(id, 'filter');
  t.equal(gunzipSync(Buffer.from(payloadBytes, 'base64')).toString(), 'nothing\n');
});

t.test('more than an answer holds is refused with the mend, alone or together; compressed it fits', async (t) => {
  const line = (length: number): string => `2026-11-21T11:59:00.000Z O ${'x'.repeat(length)}\n`;
  const world = gateway({ texts: { big: line(agentLogAnswerBytesMax), a: line(100_000), b: line(100_000) } });
  for (const id of ['big', '^[ab]$']) {
    t.match(await ask(world, 'GetModuleLogs', { ...v1, items: [{ id }] }), {
      status: 400,
      payload: { message: /too large for a direct method.*'tail'.*gzip.*UploadModuleLogs/ },
    });
    t.equal((await ask(world, 'GetModuleLogs', { ...v1, items: [{ id }], encoding: 'gzip' })).status, 200);
  }
});

t.test('an expression that would never end is stopped', async (t) => {
  const world = gateway({ texts: { m: `2026-11-21T11:59:00.000Z O ${'a'.repeat(60)}!\n` } });
  const answer = await ask(world, 'GetModuleLogs', { ...v1, items: [{ id: 'm', filter: { regex: '^(a+)+$' } }] });
  t.match(answer, { status: 500, payload: { message: /takes longer than 100 ms/ } });
});

t.test('logs go to blobs with the names, types and bytes that Azure gives them', async (t) => {
  const world = gateway();
  const sasUrl = 'https://acct.blob.example/logs?sv=1&sig=s%2Bt';
  const started = await ask(world, 'UploadModuleLogs', { ...v1, sasUrl, items: [{ id: 'modbus|filter' }] });
  t.match(started, { status: 200, payload: { status: 'Running', message: '', correlationId: /^[0-9a-f-]{36}$/ } });
  t.match(await ended(world, started), { status: 'Completed', message: '' });
  t.match(world.uploads, [
    {
      url: 'https://acct.blob.example/logs/hub.example/gw1/modbus-2026-11-21--12-00-00.log?sv=1&sig=s%2Bt',
      headers: { 'x-ms-blob-type': 'BlockBlob', 'x-ms-blob-content-type': 'text/plain', 'content-type': 'text/plain' },
    },
    { url: /\/filter-2026-11-21--12-00-00\.log\?sv=1/ },
  ]);
  t.equal(world.uploads[1]?.body.toString(), 'nothing\n');

  const packed = { ...v1, sasUrl, items: [{ id: 'filter' }], encoding: 'gzip', contentType: 'json' };
  t.match(await ended(world, await ask(world, 'UploadModuleLogs', packed)), { status: 'Completed' });
  t.match(world.uploads[2], {
    url: /\/filter-2026-11-21--12-00-00\.json\.gz\?/,
    headers: { 'x-ms-blob-content-encoding': 'gzip', 'x-ms-blob-content-type': 'application/json' },
  });
  t.match(JSON.parse(gunzipSync(world.uploads[2]?.body ?? '').toString()), [{ id: 'filter', text: 'nothing' }]);

  const parent = { ...packed, sasUrl: 'https://$upstream:443/logs?sig=1' };
  await ended(world, await ask(world, 'UploadModuleLogs', parent));
  t.match(world.uploads[3]?.url, /^https:\/\/parent\.local\/logs\//, 'the parent stands for $upstream');
});

t.test('a large log goes in blocks that are then made one blob', async (t) => {
  const line = `2026-11-21T11:59:00.000Z O ${'y'.repeat(1_000_000)}\n`;
  const world = gateway({ texts: { big: line.repeat(9) } });
  const started = await ask(world, 'UploadModuleLogs', { ...v1, sasUrl: 'https://s/c?sig=1', items: [{ id: 'big' }] });
  t.match(await ended(world, started), { status: 'Completed' });
  const blocks = world.uploads.slice(0, -1);
  const ids = blocks.map(({ url }) => new URL(url).searchParams.get('blockid') ?? '');
  t.equal(blocks.length, 3);
  t.ok(blocks.every(({ url }) => new URL(url).searchParams.get('comp') === 'block'));
  t.equal(Buffer.concat(blocks.map(({ body }) => body)).toString(), `${'y'.repeat(1_000_000)}\n`.repeat(9));
  const list = world.uploads.at(-1);
  t.equal(new URL(list?.url ?? '').searchParams.get('comp'), 'blocklist');
  t.match(list?.headers, { 'x-ms-blob-content-type': 'text/plain' });
  t.equal(
    list?.body.toString(),
    `<?xml version="1.0" encoding="utf-8"?><BlockList>${ids.map((id) => `<Latest>${id}</Latest>`).join('')}</BlockList>`,
  );
});

t.test('a refusal fails the task at once and tells no secret; silence is tried again', async (t) => {
  const world = gateway();
  const request = { ...v1, sasUrl: 'https://store.example/c?sig=SECRET', items: [{ id: 'filter' }] };
  world.answer = { status: 403, text: '<Code>AuthenticationFailed</Code>' };
  const refused = await ended(world, await ask(world, 'UploadModuleLogs', request));
  t.match(refused, {
    status: 'Failed',
    message:
      /^Task upload logs failed because of error hub\.example.* store\.example\/c: status 403, .*AuthenticationFailed.* signature/,
  });
  t.equal(world.uploads.length, 1);

  world.answer = undefined;
  const started = await ask(world, 'UploadModuleLogs', request);
  await world.clock.advance(1_000);
  t.match(await ask(world, 'GetTaskStatus', { ...v1, correlationId: idOf(started) }), {
    payload: { status: 'Running' },
  });
  world.answer = { status: 201, text: '' };
  await world.clock.advance(10_000);
  t.match(await ended(world, started), { status: 'Completed' });
  t.equal(world.uploads.length, 2);

  world.answer = { status: 503, text: '' };
  const failing = await ask(world, 'UploadModuleLogs', request);
  await world.clock.advance(60_000);
  t.match(await ended(world, failing), { status: 'Failed', message: /status 503/ });
  t.equal(world.uploads.length, 5, 'one attempt and two more');
  t.notMatch(world.logged.join('\n'), /SECRET/);
  t.notMatch(JSON.stringify(refused), /SECRET/);
});

t.test('tasks are bounded in number, in time and in memory', async (t) => {
  const world = gateway();
  const request = { ...v1, sasUrl: 'https://s/c?sig=1', items: [{ id: 'filter' }] };
  t.match(await ask(world, 'GetTaskStatus', { ...v1, correlationId: 'never' }), {
    status: 200,
    payload: { status: 'Unknown', message: '', correlationId: 'never' },
  });
  const release = world.hold();
  const running = await Promise.all(
    Array.from({ length: agentTasksRunningMax }, () => ask(world, 'UploadModuleLogs', request)),
  );
  t.match(await ask(world, 'UploadModuleLogs', request), { status: 500, payload: { message: /running already/ } });
  release();
  for (const started of running) t.match(await ended(world, started), { status: 'Completed' });
  const first = running[0];
  if (first === undefined) throw new TypeError('none ran');
  for (let count = 0; count < agentTasksKeptMax; count++)
    await ended(world, await ask(world, 'UploadModuleLogs', request));
  t.match(await ended(world, first), { status: 'Unknown' }, 'the oldest is forgotten');

  world.hold();
  const slow = await ask(world, 'UploadModuleLogs', request);
  await world.clock.advance(600_000);
  t.match(await ended(world, slow), { status: 'Failed', message: /longer than 600000 ms/ });
  const cut = await ask(world, 'UploadModuleLogs', request);
  await world.methods.close();
  t.match(await ended(world, cut), { status: 'Failed' }, 'closing ends what runs');
});
