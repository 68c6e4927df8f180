import t from 'tap';
import type { JsonObject } from '../../../src/model/json.ts';
import { isAzureSchema, parseAzureAddress, parseAzureSchema } from '../../../src/modules/modbus/azure-schema.ts';

/** The sample of that module's README. */
const sample: JsonObject = {
  PublishInterval: '2000',
  Version: '2',
  SlaveConfigs: {
    Slave01: {
      SlaveConnection: '192.168.0.1',
      HwId: 'PowerMeter-0a:01:01:01:01:01',
      RetryCount: '10',
      RetryInterval: '50',
      Operations: {
        Op01: {
          PollingInterval: '1000',
          UnitId: '1',
          StartAddress: '400001',
          Count: '2',
          DisplayName: 'Voltage',
          CorrelationId: 'MessageType1',
        },
        Op02: { PollingInterval: '1000', UnitId: '3', StartAddress: '10002', Count: '2', DisplayName: 'Current' },
      },
    },
    Slave02: {
      SlaveConnection: 'ttyS0',
      HwId: 'PowerMeter-0a:01:01:01:01:02',
      BaudRate: '9600',
      DataBits: '8',
      StopBits: '1',
      Parity: 'ODD',
      FlowControl: 'NONE',
      Operations: { Op01: { PollingInterval: 2000, UnitId: 1, StartAddress: '40003', Count: 1, DisplayName: 'Power' } },
    },
  },
};

t.test("the sample of Azure's module is understood", async (t) => {
  t.equal(isAzureSchema(sample), true);
  t.equal(isAzureSchema({ buses: {} }), false);
  const parsed = parseAzureSchema(sample);
  if (!parsed.ok) throw new Error(JSON.stringify(parsed.problems));
  t.equal(parsed.publishMs, 2000);
  t.match(parsed.settings.buses, [
    { name: '192.168.0.1:502', wire: { type: 'tcp', host: '192.168.0.1', port: 502 }, timeoutMs: 500 },
    {
      name: '/dev/ttyS0',
      wire: { type: 'rtu', port: '/dev/ttyS0', baud: 9600, parity: 'odd', dataBits: 8, stopBits: 1 },
    },
  ]);
  t.match(
    parsed.settings.devices.map(({ name, unit, bus }) => [name, unit, bus]),
    [
      ['Slave01-1', 1, '192.168.0.1:502'],
      ['Slave01-3', 3, '192.168.0.1:502'],
      ['Slave02', 1, '/dev/ttyS0'],
    ],
  );
  const [voltage, current] = parsed.settings.devices.flatMap(({ groups }) => groups);
  t.match(voltage, {
    everyMs: 1000,
    tags: [
      { name: '400001', at: { table: 'holding', offset: 0 } },
      { name: '400002', at: { offset: 1 } },
    ],
  });
  t.match(
    current?.tags.map(({ name, type, at }) => [name, type, at.table]),
    [
      ['10002', 'bool', 'discrete'],
      ['10003', 'bool', 'discrete'],
    ],
  );
  t.same(parsed.operations.get(current!), {
    hwId: 'PowerMeter-0a:01:01:01:01:01',
    displayName: 'Current',
    correlationId: 'DefaultCorrelationId',
  });
});

t.test('addresses are read as the table says', async (t) => {
  const rows = [
    ['40001', { table: 'holding', offset: 0, digits: 4 }],
    ['465536', { table: 'holding', offset: 65_535, digits: 5 }],
    ['00017', { table: 'coil', offset: 16, digits: 4 }],
    ['10001', { table: 'discrete', offset: 0, digits: 4 }],
    ['30100', { table: 'input', offset: 99, digits: 4 }],
    ['40000', undefined],
    ['465537', undefined],
    ['20001', undefined],
    ['4001', undefined],
    ['4000001', undefined],
    ['holding', undefined],
  ] as const;
  for (const [text, expected] of rows) t.same(parseAzureAddress(text), expected, text);
});

t.test('mistakes are named with their paths', async (t) => {
  const parsed = parseAzureSchema({
    PublishInterval: 'often',
    SlaveConfigs: {
      S: {
        SlaveConnection: 'COM1',
        Parity: 'MARK',
        Operations: { O: { UnitId: '300', StartAddress: '50001', Count: '0', IsSimpleValue: false } },
      },
    },
  });
  if (parsed.ok) throw new Error('accepted');
  t.same(parsed.problems.map(({ path }) => path).sort(), [
    '/PublishInterval',
    '/SlaveConfigs/S/HwId',
    '/SlaveConfigs/S/Operations/O/Count',
    '/SlaveConfigs/S/Operations/O/IsSimpleValue',
    '/SlaveConfigs/S/Operations/O/StartAddress',
    '/SlaveConfigs/S/Operations/O/UnitId',
    '/SlaveConfigs/S/SlaveConnection',
  ]);
});
