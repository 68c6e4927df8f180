// The deployment of the demo: Azure's JSON envelope, the modbus module with both slaves, Azure's simulated sensor.
//
// The register addresses are those of test/support/plant/registers.ts. The counter `reads` is the plant's own: it
// says how often it was read, so every published sample carries a number that weir cannot have made up.

import type { JsonObject } from '../../src/model/json.ts';

export const modbusModule = 'modbus';
export const sensorModule = 'sensor';
export const tcpDevice = 'pump-1';
export const rtuDevice = 'mixer-1';
export const counterTag = 'reads';

/** Units for the table, by tag. */
export const units: Readonly<Record<string, string>> = {
  speed: 'rpm',
  temperature: '°C',
  pressure: 'bar',
  ambient: '°C',
};

const tcpEveryMs = 100;
const rtuEveryMs = 250;
/** Far above what loopback needs, so that a busy machine does not look like a lost answer. */
const timeoutMs = 5000;

const tags: JsonObject = {
  speed: { at: 'input:4', type: 'f32', unit: 'rpm' },
  temperature: { at: 'input:6', type: 'i16', scale: 0.1, unit: '°C' },
  overheated: { at: 'discrete:0' },
  [counterTag]: { at: 'input:0', type: 'u32' },
};

export function demoManifest({ tcpPort, serialPort }: { tcpPort: number; serialPort: string }): JsonObject {
  return {
    modulesContent: {
      $edgeAgent: {
        'properties.desired': {
          schemaVersion: '1.1',
          runtime: { type: 'docker', settings: { minDockerVersion: 'v1.25' } },
          systemModules: {
            edgeAgent: system('agent'),
            edgeHub: { ...system('hub'), status: 'running', restartPolicy: 'always' },
          },
          modules: {
            [modbusModule]: {
              version: '1.0',
              type: 'process',
              status: 'running',
              restartPolicy: 'always',
              settings: { executable: 'weir:modbus' },
              // The plant's serial line is a link in the demo's directory, which a /tmp of its own would hide.
              isolation: { privateTmp: false },
            },
            [sensorModule]: {
              version: '1.0',
              type: 'docker',
              status: 'running',
              restartPolicy: 'always',
              settings: {
                image: 'mcr.microsoft.com/azureiotedge-simulated-temperature-sensor:1.5',
                createOptions: '{}',
              },
              env: { MessageCount: { value: '-1' } },
            },
          },
        },
      },
      $edgeHub: {
        'properties.desired': {
          schemaVersion: '1.1',
          routes: { everything: 'FROM /messages/* INTO $upstream' },
          storeAndForwardConfiguration: { timeToLiveSecs: 7200 },
        },
      },
      [modbusModule]: {
        'properties.desired': {
          buses: {
            plc: { type: 'tcp', host: '127.0.0.1', port: tcpPort, timeoutMs },
            cabinet: { type: 'rtu', port: serialPort, baud: 19200, parity: 'even', timeoutMs },
          },
          devices: {
            [tcpDevice]: { bus: 'plc', unit: 1, groups: { all: { everyMs: tcpEveryMs } }, tags },
            [rtuDevice]: { bus: 'cabinet', unit: 1, groups: { all: { everyMs: rtuEveryMs } }, tags },
          },
        },
      },
      [sensorModule]: { 'properties.desired': { SendData: true, SendInterval: 0.5 } },
    },
  };
}

function system(name: string): JsonObject {
  return {
    type: 'docker',
    settings: { image: `mcr.microsoft.com/azureiotedge-${name}:1.5`, createOptions: '{}' },
  };
}
