import t, { type Test } from 'tap';
import { simulatedTemperatureSensor } from '../../../src/modules/simulated-temperature-sensor/index.ts';
import { defaultParameters, Machine } from '../../../src/modules/simulated-temperature-sensor/machine.ts';
import { parseTimeSpan, readStart } from '../../../src/modules/simulated-temperature-sensor/settings.ts';
import { TestContext } from '../../support/module-context.ts';
import { SimClock } from '../../support/sim-clock.ts';
import { seededEntropy } from '../../support/sim-entropy.ts';

const second = 1000;

async function setUp(t: Test, environment: Record<string, string> = {}, desired = {}) {
  const clock = new SimClock();
  const context = new TestContext(clock, desired, environment);
  const sensor = await simulatedTemperatureSensor.start(context);
  t.teardown(() => sensor.close());
  return { clock, context, sensor };
}

t.test('the machine heats by half a degree a step on average, then stays around its maximum', async (t) => {
  const machine = new Machine(defaultParameters, seededEntropy(1));
  const readings = Array.from({ length: 2000 }, () => machine.step());
  const [first] = readings;
  t.ok(first!.machine.temperature >= 20.75 && first!.machine.temperature <= 22.25);
  t.ok(readings.findIndex(({ machine }) => machine.temperature > 99) > 100);
  t.ok(readings.slice(500).every(({ machine }) => machine.temperature > 99));
  const steps = readings
    .slice(1)
    .map(({ machine }, index) => machine.temperature - readings[index]!.machine.temperature);
  const isHot = (index: number): boolean => readings[index]!.machine.temperature > 100;
  t.ok(steps.every((step, index) => (isHot(index) ? Math.abs(step) <= 0.5 : step >= -0.25 && step <= 1.25)));
  t.ok(readings.every(({ ambient }) => [24, 25, 26].includes(ambient.humidity)));
  t.ok(readings.every(({ ambient }) => Math.abs(ambient.temperature - 21) <= 0.5));
  for (const { machine } of readings) {
    if (Math.abs(machine.pressure - (1 + ((machine.temperature - 21) * 9) / 79)) > 1e-9)
      throw new Error('pressure follows temperature');
  }
  machine.reset();
  t.ok(machine.step().machine.temperature < 23);
});

t.test("messages have the original's shape, output and pace", async (t) => {
  const { clock, context } = await setUp(t, { MessageDelay: '00:00:02' });
  await clock.advance(0);
  t.equal(context.sent.length, 1);
  const [message] = context.sent;
  t.match(message, {
    output: 'temperatureOutput',
    contentType: 'application/json',
    contentEncoding: 'utf-8',
    json: {
      machine: { temperature: Number, pressure: Number },
      ambient: { temperature: Number, humidity: Number },
      timeCreated: '2026-01-01T00:00:00.000Z',
    },
  });
  await clock.advance(1999);
  t.equal(context.sent.length, 1);
  await clock.advance(1);
  t.equal(context.sent.length, 2);
  t.equal(context.isReady, true);
});

t.test('it ends after MessageCount messages and stays', async (t) => {
  const { clock, context } = await setUp(t, { MessageCount: '3' });
  await clock.advance(60 * second);
  t.equal(context.sent.length, 3);
});

t.test('a negative MessageCount never ends', async (t) => {
  const { clock, context } = await setUp(t, { MessageCount: '-1', MessageDelay: '00:00:01' });
  await clock.advance(700 * second);
  t.ok(context.sent.length > 690);
});

t.test('desired properties switch sending and its pace, and are reported', async (t) => {
  const { clock, context } = await setUp(t, {}, { SendInterval: 10 });
  t.match(context.reported, { SendData: true, SendInterval: 10, configStatus: { code: 200 } });
  await clock.advance(0);
  context.setDesired({ SendInterval: 1, SendData: false });
  t.match(context.reported, { SendData: false, SendInterval: 1 });
  await clock.advance(60 * second);
  t.equal(context.sent.length, 1);
  context.setDesired({ SendInterval: 1, SendData: true });
  await clock.advance(10 * second);
  t.ok(context.sent.length >= 10);
});

t.test('a wrong desired section changes nothing and is reported', async (t) => {
  const { context } = await setUp(t);
  context.setDesired({ SendInterval: 0, SendData: 'yes' });
  t.match(context.reported, {
    SendData: true,
    SendInterval: 5,
    configStatus: { code: 400, errors: [{ path: '/SendData' }, { path: '/SendInterval' }] },
  });
});

t.test('the machine is reset by a method and by control messages', async (t) => {
  const { clock, context } = await setUp(t, { MessageCount: '-1', MessageDelay: '00:00:01' });
  const temperature = (): number => (context.sent.at(-1)!.json['machine'] as { temperature: number }).temperature;
  const resets: readonly (() => Promise<unknown>)[] = [
    () => context.method('reset', null),
    () => context.input('control', { command: 'reset' }),
    () => context.input('control', [{ command: 'noOperation' }, { command: 'Reset' }]),
    () => context.input('control', { command: 0 }),
  ];
  for (const reset of resets) {
    await clock.advance(60 * second);
    t.ok(temperature() > 30);
    await reset();
    await clock.advance(second);
    t.ok(temperature() < 24);
  }
  await clock.advance(60 * second);
  await context.input('control', { command: 'noOperation' });
  await context.input('control', 'nonsense');
  await clock.advance(second);
  t.ok(temperature() > 30);
});

t.test('TimeSpan texts are read as .NET reads them', async (t) => {
  const rows = [
    ['00:00:05', 5000],
    ['00:00:00.25', 250],
    ['01:02', 3_720_000],
    ['1.00:00:01', 86_401_000],
    ['2', 172_800_000],
    ['5s', undefined],
    ['00:60:00', undefined],
    ['', undefined],
  ] as const;
  for (const [text, expected] of rows) t.equal(parseTimeSpan(text), expected, text);
});

t.test('a wrong environment variable is named and its default used', async (t) => {
  const { messageCount, delayMs, problems } = readStart({ MessageCount: 'many', MessageDelay: 'soon' });
  t.same([messageCount, delayMs], [500, 5000]);
  t.same(
    problems.map(({ path }) => path),
    ['MessageCount', 'MessageDelay'],
  );
});
