// What conditions may refer to in a message: properties of applications and of the system, and values in the body.
//
// System properties have the names that they have inside IoT Edge, in any case (`cid`, `absolute-expiry-time`), and
// also those that IoT Hub's cloud side and this product use (`correlationId`, `absoluteExpiryTime`). Some come from
// the connection instead of the message, so that no sender can pretend them.
//
//   connectionDeviceId, connectionModuleId   who sent it
//   outputName, enqueuedTime                 its output; when it was accepted, ISO 8601
//   edgeHubOriginInterface                   internal: from a module of this gateway; downstream: from elsewhere

import type { BodyPath } from './body-path.ts';

export type Reference =
  | { readonly kind: 'property'; readonly name: string }
  /** `name` without `$`. `isPlain`: an application property called `$name` goes first, as in IoT Edge. */
  | { readonly kind: 'system'; readonly name: string; readonly isPlain: boolean }
  | { readonly kind: 'body'; readonly name: string; readonly path: BodyPath; readonly isPlain: boolean };

/** How a system property is called in model/message.ts, by its name in conditions in lower case. */
const systemNames: ReadonlyMap<string, string> = new Map([
  ['cid', 'correlationId'],
  ['absolute-expiry-time', 'absoluteExpiryTime'],
  ['iothub-interface-id', 'interfaceId'],
  ['dt-subject', 'componentName'],
]);

/** Facts of the connection, by their name in lower case. */
export const connectionFacts = {
  connectiondeviceid: 'deviceId',
  connectionmoduleid: 'moduleId',
  outputname: 'output',
  enqueuedtime: 'enqueued',
  edgehuborigininterface: 'origin',
} as const;

export type ConnectionFact = (typeof connectionFacts)[keyof typeof connectionFacts];

/** What stands for the system property in a message: its key there, or a fact of the connection. */
export function systemPropertyOf(name: string): { readonly fact: ConnectionFact } | { readonly key: string } {
  const lower = name.toLowerCase();
  const fact = (connectionFacts as Readonly<Record<string, ConnectionFact>>)[lower];
  return fact === undefined ? { key: systemNames.get(lower) ?? name } : { fact };
}
