// A deployment manifest as Azure's tools write it: the quickstart's, with one more module.

import type { JsonObject } from '../../src/model/json.ts';

export function edgeManifest(): { modulesContent: Record<string, Record<string, JsonObject>> } {
  return {
    modulesContent: {
      $edgeAgent: {
        'properties.desired': {
          schemaVersion: '1.1',
          runtime: {
            type: 'docker',
            settings: {
              minDockerVersion: 'v1.25',
              loggingOptions: '',
              registryCredentials: { own: { address: 'r.example', username: 'u', password: 'p' } },
            },
          },
          systemModules: {
            edgeAgent: {
              type: 'docker',
              settings: { image: 'mcr.microsoft.com/azureiotedge-agent:1.5', createOptions: '{}' },
            },
            edgeHub: {
              type: 'docker',
              status: 'running',
              restartPolicy: 'always',
              settings: {
                image: 'mcr.microsoft.com/azureiotedge-hub:1.5',
                createOptions: '{"HostConfig":{"PortBindings":{"8883/tcp":[{"HostPo',
                createOptions01: 'rt":"8883"}]}}}',
              },
            },
          },
          modules: {
            SimulatedTemperatureSensor: {
              version: '1.0',
              type: 'docker',
              status: 'running',
              restartPolicy: 'Always',
              startupOrder: 2,
              env: { MessageCount: { value: 500 } },
              settings: {
                image: 'mcr.microsoft.com/azureiotedge-simulated-temperature-sensor:1.5',
                createOptions: '{}',
              },
            },
            modbus: { type: 'weir', settings: { module: 'modbus' } },
          },
        },
      },
      $edgeHub: {
        'properties.desired': {
          schemaVersion: '1.1',
          routes: {
            up: 'FROM /messages/modules/SimulatedTemperatureSensor/* INTO $upstream',
            fast: {
              route: 'FROM /messages/modules/modbus/outputs/* INTO $upstream',
              priority: 0,
              timeToLiveSecs: 86400,
            },
          },
          storeAndForwardConfiguration: { timeToLiveSecs: 7200 },
        },
      },
      SimulatedTemperatureSensor: { 'properties.desired': { SendData: true, SendInterval: 5 } },
    },
  };
}
