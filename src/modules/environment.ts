// The environment of a module process: variables → typed values, once, at the start.
//
// The names are those that Azure's agent gives its modules, plus WEIR_MQTT_URI, the local broker's address.
// A missing or wrong variable is a configuration error by name: starting again cannot mend it.

import { isValidId } from '../model/address.ts';
import type { DialEndpoint } from '../platform/net.ts';
import type { ModuleIdentity } from './contract.ts';
import { ModuleConfigurationError } from './errors.ts';

export type Environment = Readonly<Record<string, string | undefined>>;

export interface ModuleEnvironment {
  readonly identity: ModuleIdentity;
  readonly generationId: string;
  readonly hubHostname: string;
  readonly workloadSocket: string;
  readonly workloadApiVersion: string;
  readonly broker: DialEndpoint;
}

const defaultApiVersion = '2022-08-03';
const portMax = 65_535;

/** Throws MODULES_ENVIRONMENT naming the variable. */
export function readEnvironment(env: Environment): ModuleEnvironment {
  const scheme = required(env, 'IOTEDGE_AUTHSCHEME');
  if (scheme.toLowerCase() !== 'sastoken') throw wrong('IOTEDGE_AUTHSCHEME', scheme, "'sasToken'");
  return {
    identity: { deviceId: identifier(env, 'IOTEDGE_DEVICEID'), moduleId: identifier(env, 'IOTEDGE_MODULEID') },
    generationId: required(env, 'IOTEDGE_MODULEGENERATIONID'),
    hubHostname: required(env, 'IOTEDGE_IOTHUBHOSTNAME'),
    workloadSocket: unixPath(env, 'IOTEDGE_WORKLOADURI'),
    workloadApiVersion: env['IOTEDGE_APIVERSION'] ?? defaultApiVersion,
    broker: endpoint(env, 'WEIR_MQTT_URI'),
  };
}

function required(env: Environment, name: string): string {
  const value = env[name];
  if (value !== undefined && value !== '') return value;
  throw new ModuleConfigurationError({
    code: 'MODULES_ENVIRONMENT',
    message: `The environment variable ${name} is missing. Modules are started by 'weir run', which sets it.`,
    fields: { variable: name },
  });
}

function identifier(env: Environment, name: string): string {
  const id = required(env, name);
  if (!isValidId(id)) throw wrong(name, id, 'an id of IoT Hub');
  return id;
}

function unixPath(env: Environment, name: string): string {
  const uri = required(env, name);
  const [, path] = /^unix:\/\/(\/.+)$/.exec(uri) ?? [];
  if (path === undefined) throw wrong(name, uri, "'unix:///path/of/the.sock'");
  return path;
}

function endpoint(env: Environment, name: string): DialEndpoint {
  const uri = required(env, name);
  const [, host, port] = /^tcp:\/\/(.+):(\d{1,5})$/.exec(uri) ?? [];
  if (host === undefined) return { kind: 'unix', path: unixPath(env, name) };
  if (Number(port) < 1 || Number(port) > portMax) throw wrong(name, uri, 'a port from 1 to 65535');
  return { kind: 'tcp', host: host.replace(/^\[|\]$/g, ''), port: Number(port) };
}

function wrong(name: string, value: string, allowed: string): ModuleConfigurationError {
  return new ModuleConfigurationError({
    code: 'MODULES_ENVIRONMENT',
    message: `The environment variable ${name} is '${value}', but has to be ${allowed}.`,
    fields: { variable: name },
  });
}
