// Deployment manifests in few words: the frame that Azure's tools write, with the modules and routes of a test.

import { realpathSync } from 'node:fs';
import { tmpdir } from 'node:os';
import type { JsonObject } from '../../../src/model/json.ts';

export const everythingUp: JsonObject = { all: 'FROM /messages/* INTO $upstream' };

export interface ManifestParts {
  readonly modules: JsonObject;
  readonly routes?: JsonObject;
  /** Desired properties of modules, by name. */
  readonly twins?: Readonly<Record<string, JsonObject>>;
}

export function manifest({ modules, routes = everythingUp, twins = {} }: ManifestParts): JsonObject {
  return {
    modulesContent: {
      $edgeAgent: {
        'properties.desired': {
          schemaVersion: '1.1',
          runtime: { type: 'docker', settings: { minDockerVersion: 'v1.25' } },
          systemModules: {
            edgeAgent: {
              type: 'docker',
              settings: { image: 'mcr.microsoft.com/azureiotedge-agent:1.5', createOptions: '{}' },
            },
            edgeHub: {
              type: 'docker',
              status: 'running',
              restartPolicy: 'always',
              settings: { image: 'mcr.microsoft.com/azureiotedge-hub:1.5', createOptions: '{}' },
            },
          },
          modules,
        },
      },
      $edgeHub: {
        'properties.desired': {
          schemaVersion: '1.1',
          routes,
          storeAndForwardConfiguration: { timeToLiveSecs: 7200 },
        },
      },
      ...Object.fromEntries(Object.entries(twins).map(([name, desired]) => [name, { 'properties.desired': desired }])),
    },
  };
}

/** A program of this machine as a module. */
export function program(
  executable: string,
  args: readonly string[] = [],
  {
    env = {},
    restartPolicy = 'always',
  }: { readonly env?: Record<string, string>; readonly restartPolicy?: string } = {},
): JsonObject {
  return {
    version: '1',
    type: 'process',
    status: 'running',
    restartPolicy,
    settings: { executable, args: [...args] },
    // Programs of the tests are in this tree and in their directories, which a module that is shut in does not see otherwise;
    // the packages may be elsewhere, behind a link.
    isolation: { privateTmp: false, readable: [process.cwd(), realpathSync('node_modules')], writable: [tmpdir()] },
    env: Object.fromEntries(Object.entries(env).map(([name, value]) => [name, { value }])),
  };
}

/** The simulated temperature sensor, endless, one message each `everyMs` (below a second). */
export function sensor(everyMs: number): JsonObject {
  const delay = `00:00:00.${String(everyMs).padStart(3, '0')}`;
  return program('weir:simulated-temperature-sensor', [], { env: { MessageCount: '-1', MessageDelay: delay } });
}
