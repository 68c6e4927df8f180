import t from 'tap';
import type { JsonObject, JsonValue } from '../../../src/model/json.ts';
import { parseRegisterMap } from '../../../src/modules/modbus/register-map.ts';

const good = {
  buses: {
    plc: { type: 'tcp', host: '10.0.0.7' },
    line: { type: 'rtu', port: '/dev/ttyS1', baud: 9600 },
  },
  devices: {
    'pump-1': {
      bus: 'line',
      unit: 7,
      order: 'CDAB',
      report: { deadband: 0.5, maxSilenceMs: 60_000 },
      groups: { fast: { everyMs: 500 }, slow: { everyMs: 60_000 } },
      tags: {
        speed: { at: 'input:4', type: 'f32', group: 'fast', unit: 'rpm' },
        alarm: { at: 'holding:12.7', group: 'fast', report: { onChange: true, deadband: 0 } },
        setpoint: { at: 'holding:100', type: 'i16', scale: 0.1, group: 'slow', access: 'rw', min: -20, max: 90 },
      },
    },
  },
} as const satisfies JsonObject;

/** A deep copy of `good` with one member replaced; undefined removes it. */
function changed(path: string, value: JsonValue | undefined): JsonObject {
  const copy = JSON.parse(JSON.stringify(good)) as Record<string, JsonValue>;
  const names = path.split('/').slice(1);
  const last = names.pop()!;
  let at = copy as Record<string, unknown>;
  for (const name of names) at = at[name] as Record<string, unknown>;
  if (value === undefined) delete at[last];
  else at[last] = value;
  return copy;
}

t.test('a good section becomes settings with all defaults filled in', async (t) => {
  const parsed = parseRegisterMap(good);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  const [plc, line] = parsed.settings.buses;
  t.match(plc, {
    name: 'plc',
    wire: { type: 'tcp', host: '10.0.0.7', port: 502 },
    timeoutMs: 1000,
    retries: 1,
    turnaroundMs: 0,
  });
  t.match(line, {
    wire: { type: 'rtu', baud: 9600, parity: 'even', dataBits: 8, stopBits: 1 },
    timeoutMs: 500,
    turnaroundMs: 20,
  });
  t.ok(
    line?.wire.type === 'rtu' && Math.abs(line.wire.silenceMs - 4.01) < 0.01,
    't3.5 of 11-bit characters at 9600 baud',
  );
  const [pump] = parsed.settings.devices;
  t.match(pump, { name: 'pump-1', unit: 7, down: { after: 3, probeMs: [5000, 300_000] } });
  t.match(pump?.groups, [
    {
      name: 'fast',
      everyMs: 500,
      tags: [
        { name: 'speed', type: 'f32', order: 'CDAB', report: { onChange: true, deadband: 0.5 } },
        { name: 'alarm', type: 'bool', at: { bit: 7 } },
      ],
    },
    { name: 'slow', everyMs: 60_000, tags: [{ name: 'setpoint', isWritable: true, min: -20, max: 90 }] },
  ]);
  t.equal(pump?.groups[0]?.tags[1]?.report.maxSilenceMs, 60_000, 'a tag inherits what it does not say');
});

t.test('an empty section is no mistake: nothing is to be done', async (t) => {
  t.same(parseRegisterMap({}), { ok: true, settings: { buses: [], devices: [] } });
});

t.test('each mistake is named with its path and its mend', async (t) => {
  const rows: readonly (readonly [string, JsonValue | undefined, string, RegExp])[] = [
    ['/buses/plc/type', 'udp', '/buses/plc/type', /one of rtu, tcp/],
    ['/buses/plc/host', undefined, '/buses/plc/host', /is missing/],
    ['/buses/plc/port', 0, '/buses/plc/port', /from 1 to 65535/],
    ['/buses/line/baud', '9600', '/buses/line/baud', /whole number/],
    ['/buses/line/partiy', 'odd', '/buses/line/partiy', /did you mean 'parity'/],
    ['/buses/line/silenceMs', -1, '/buses/line/silenceMs', /"auto"/],
    ['/bus', {}, '/bus', /not known here/],
    ['/devices/pump-1/bus', 'lyne', '/devices/pump-1/bus', /none of the buses: plc, line/],
    ['/devices/pump-1/unit', 248, '/devices/pump-1/unit', /from 0 to 247/],
    ['/devices/pump-1/unit', 0, '/devices/pump-1/unit', /broadcast/],
    ['/devices/pump-1/groups/fast/everyMs', 1, '/devices/pump-1/groups/fast/everyMs', /from 10/],
    ['/devices/pump-1/tags/speed/at', 'holding40', '/devices/pump-1/tags/speed/at', /holding:12\.7/],
    ['/devices/pump-1/tags/speed/at', 'input:65535', '/devices/pump-1/tags/speed/at', /ends after/],
    ['/devices/pump-1/tags/speed/at', 'coil:3', '/devices/pump-1/tags/speed/type', /one bit/],
    ['/devices/pump-1/tags/speed/at', 'holding:3.16', '/devices/pump-1/tags/speed/at', /bits 0 to 15/],
    ['/devices/pump-1/tags/speed/type', 'float', '/devices/pump-1/tags/speed/type', /f32/],
    ['/devices/pump-1/tags/speed/type', 'bool', '/devices/pump-1/tags/speed/at', /name the bit/],
    ['/devices/pump-1/tags/speed/type', 'string', '/devices/pump-1/tags/speed/at', /holding:20\+8/],
    ['/devices/pump-1/tags/speed/group', 'quick', '/devices/pump-1/tags/speed/group', /fast, slow/],
    ['/devices/pump-1/tags/speed/group', undefined, '/devices/pump-1/tags/speed/group', /is missing/],
    ['/devices/pump-1/tags/speed/scale', 0, '/devices/pump-1/tags/speed/scale', /same/],
    ['/devices/pump-1/tags/speed/access', 'rw', '/devices/pump-1/tags/speed/access', /cannot be written/],
    ['/devices/pump-1/tags/alarm/scale', 2, '/devices/pump-1/tags/alarm/scale', /do not apply/],
    ['/devices/pump-1/tags', {}, '/devices/pump-1/tags', /at least one/],
    ['/devices/pump-1/down', { probeMs: [10] }, '/devices/pump-1/down/probeMs', /first and the longest/],
    ['/devices/pump-1/read', { registersMax: 1 }, '/devices/pump-1/tags/speed/at', /takes 2 registers/],
    ['/devices', [], '/devices', /give an object/],
  ];
  for (const [path, value, at, message] of rows) {
    const parsed = parseRegisterMap(changed(path, value));
    if (parsed.ok) {
      t.fail(`${path} = ${JSON.stringify(value)} was accepted`);
      continue;
    }
    const found = parsed.problems.find((problem) => problem.path === at);
    t.match(found?.message ?? JSON.stringify(parsed.problems), message, `${path} = ${JSON.stringify(value)}`);
  }
});

t.test('all mistakes are reported at once', async (t) => {
  const parsed = parseRegisterMap({ buses: { a: { type: 'x' } }, devices: { d: { bus: 'b' } } });
  t.equal(parsed.ok, false);
  if (!parsed.ok) t.ok(parsed.problems.length >= 5, JSON.stringify(parsed.problems));
});
