// The modbus module as a process would run it, on the real broker with the real IoT Hub front, reading the plant.

import { createHmac } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Broker, IotHubFront } from '../../src/broker/index.ts';
import { verifyToken } from '../../src/identity/index.ts';
import { httpBodyBytesMax } from '../../src/limits.ts';
import { parseIdentityKey } from '../../src/model/address.ts';
import type { JsonObject } from '../../src/model/json.ts';
import { mergePatch } from '../../src/model/twin.ts';
import { runModule } from '../../src/modules/index.ts';
import { systemClock } from '../../src/platform/clock.ts';
import { systemEntropy } from '../../src/platform/entropy.ts';
import { systemHttp } from '../../src/platform/http.ts';
import { createMetrics } from '../../src/platform/metrics.ts';
import { systemNetwork } from '../../src/platform/net.ts';
import { systemSerial } from '../../src/platform/serial.ts';
import { FakeDeviceBackend } from '../support/fake-device-backend.ts';
import { startPlant } from '../support/plant/index.ts';
import { keptLog } from '../support/quiet-log.ts';

const clock = systemClock();
const key = Buffer.from('the key of this module');
const module = { deviceId: 'gw', moduleId: 'modbus' };

async function startBroker(directory: string, backend: FakeDeviceBackend) {
  const { log } = keptLog(clock);
  const metrics = createMetrics();
  const front = new IotHubFront({ backend, clock, log, metrics });
  const broker = new Broker({
    network: systemNetwork(),
    clock,
    log,
    metrics,
    service: front,
    authenticator: {
      authenticate: async ({ clientId, password }) => {
        const identity = parseIdentityKey(clientId) ?? module;
        const verdict = verifyToken(Buffer.from(password ?? []).toString(), {
          keys: [key],
          hostnames: ['hub.example'],
          identity,
          nowMs: clock.wallMs(),
        });
        if (!verdict.ok) return { admitted: false, reason: 'bad-credentials', detail: verdict.detail };
        return { admitted: true, principal: { name: clientId, identity }, expiresAtMs: verdict.expiresAtMs };
      },
    },
    authoriser: { mayPublish: () => false, maySubscribe: () => false },
  });
  await broker.start();
  await broker.listen('unix', { kind: 'unix', path: join(directory, 'mqtt.sock'), mode: 0o600 });
  return { broker, front };
}

async function until<Found>(look: () => Found | undefined | false): Promise<Found> {
  for (;;) {
    const found = look();
    if (found !== undefined && found !== false) return found;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

t.test('samples reach the broker complete and in order through its restart; twin and methods work', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'weir-mod-'));
  const plant = await startPlant({ clock, tcpPort: 0 });
  const backend = new FakeDeviceBackend();
  const desired: JsonObject = {
    buses: { plc: { type: 'tcp', host: '127.0.0.1', port: plant.tcp.port } },
    devices: {
      'pump-1': {
        bus: 'plc',
        unit: 1,
        groups: { fast: { everyMs: 10 } },
        tags: { reads: { at: 'input:0', type: 'u32' }, setpoint: { at: 'holding:0', type: 'f32', access: 'rw' } },
      },
    },
  };
  backend.twins.set('gw/modbus', {
    desired: { properties: desired, version: 1 },
    reported: { properties: {}, version: 1 },
  });
  const http = systemHttp();
  const workload = await http.serve({
    endpoint: { kind: 'unix', path: join(directory, 'workload.sock'), mode: 0o600 },
    bodyBytesMax: httpBodyBytesMax,
    handler: async ({ body }) => {
      const { data } = JSON.parse(body) as { readonly data: string };
      return {
        status: 200,
        body: JSON.stringify({
          digest: createHmac('sha256', key).update(Buffer.from(data, 'base64')).digest('base64'),
        }),
      };
    },
  });
  let gateway = await startBroker(directory, backend);
  const terminate: { now: () => void } = { now: () => undefined };
  const { log } = keptLog(clock);
  const exit = runModule(
    'modbus',
    {
      network: systemNetwork(),
      http,
      clock,
      entropy: systemEntropy(),
      log,
      serial: systemSerial(),
      onTerminate: (listener) => {
        terminate.now = listener;
      },
    },
    {
      IOTEDGE_WORKLOADURI: `unix://${join(directory, 'workload.sock')}`,
      IOTEDGE_DEVICEID: module.deviceId,
      IOTEDGE_MODULEID: module.moduleId,
      IOTEDGE_IOTHUBHOSTNAME: 'hub.example',
      IOTEDGE_AUTHSCHEME: 'sasToken',
      IOTEDGE_MODULEGENERATIONID: '1',
      WEIR_MQTT_URI: `unix://${join(directory, 'mqtt.sock')}`,
    },
  );
  const reported = (): JsonObject => backend.twins.get('gw/modbus')?.reported.properties ?? {};

  await until(() => backend.messages.length >= 10);
  await until(() => (reported()['configStatus'] as JsonObject | undefined)?.['code'] === 200);
  await until(() => gateway.front.isListening(module));
  t.match(
    await gateway.front.invokeMethod(module, {
      name: 'write',
      payload: { device: 'pump-1', tag: 'setpoint', value: 44 },
      timeoutMs: 5000,
    }),
    {
      status: 200,
      payload: { verified: true },
    },
  );

  // The broker dies with messages under way whose acknowledgement it never sends.
  const held: (() => void)[] = [];
  backend.commit = () => new Promise((_, reject) => void held.push(() => reject(new Error('the power went'))));
  await until(() => held.length >= 5 && plant.tcp.slave.requests >= 40);
  const closed = gateway.broker.close();
  for (const lose of held) lose();
  await closed;
  backend.commit = () => Promise.resolve();
  await until(() => plant.tcp.slave.requests >= 60);
  gateway = await startBroker(directory, backend);
  const before = backend.messages.length;
  await until(() => backend.messages.length >= before + 30);

  // A change of the twin, told by a patch.
  const changed = mergePatch(desired, { devices: { 'pump-1': { tags: { setpoint: null } } } });
  backend.twins.set('gw/modbus', {
    desired: { properties: changed, version: 2 },
    reported: { properties: reported(), version: 9 },
  });
  gateway.front.notifyDesired(module, { devices: { 'pump-1': { tags: { setpoint: null } } } }, 2);
  await until(() => !backend.messages.at(-1)?.body.toString().includes('setpoint'));

  terminate.now();
  t.equal(await exit, 0);

  const highest = new Map<string, number>();
  const ledger: number[] = [];
  for (const { hop, properties, output } of backend.messages) {
    t.equal(output, 'telemetry');
    if (hop === undefined || hop.sequence <= (highest.get(hop.stream) ?? 0)) continue;
    highest.set(hop.stream, hop.sequence);
    ledger.push(Number(properties['sequenceNumber']));
  }
  t.equal(highest.size, 1, 'one stream for the whole life of the process');
  t.same(
    ledger,
    Array.from({ length: ledger.length }, (_, index) => index + 1),
    'nothing is missing, nothing is out of order',
  );
  t.ok(ledger.length >= 40);

  await gateway.broker.close();
  await workload.close();
  await plant.close();
  rmSync(directory, { recursive: true, force: true });
});
