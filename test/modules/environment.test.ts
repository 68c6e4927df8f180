import t from 'tap';
import { readEnvironment } from '../../src/modules/environment.ts';

const good = {
  IOTEDGE_WORKLOADURI: 'unix:///run/weir/modules/m/api/workload.sock',
  IOTEDGE_DEVICEID: 'gw',
  IOTEDGE_MODULEID: 'm',
  IOTEDGE_IOTHUBHOSTNAME: 'hub.example',
  IOTEDGE_AUTHSCHEME: 'sasToken',
  IOTEDGE_MODULEGENERATIONID: '17',
  WEIR_MQTT_URI: 'unix:///run/weir/mqtt.sock',
};

t.test('a good environment becomes typed values', async (t) => {
  t.same(readEnvironment(good), {
    identity: { deviceId: 'gw', moduleId: 'm' },
    generationId: '17',
    hubHostname: 'hub.example',
    workloadSocket: '/run/weir/modules/m/api/workload.sock',
    workloadApiVersion: '2022-08-03',
    broker: { kind: 'unix', path: '/run/weir/mqtt.sock' },
  });
  t.same(readEnvironment({ ...good, WEIR_MQTT_URI: 'tcp://[::1]:1883' }).broker, {
    kind: 'tcp',
    host: '::1',
    port: 1883,
  });
});

t.test('each variable that is missing or wrong is named', async (t) => {
  for (const name of Object.keys(good)) {
    t.throws(() => readEnvironment({ ...good, [name]: undefined }), {
      code: 'MODULES_ENVIRONMENT',
      message: new RegExp(`${name} is missing`),
    });
  }
  for (const [name, value] of [
    ['IOTEDGE_WORKLOADURI', 'http://x'],
    ['IOTEDGE_AUTHSCHEME', 'x509'],
    ['IOTEDGE_DEVICEID', 'a/b'],
    ['WEIR_MQTT_URI', 'tcp://h:0'],
    ['WEIR_MQTT_URI', 'mqtt.sock'],
  ] as const) {
    t.throws(() => readEnvironment({ ...good, [name]: value }), {
      code: 'MODULES_ENVIRONMENT',
      message: new RegExp(`${name} is '`),
    });
  }
});
