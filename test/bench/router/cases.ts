// What the router's bench measures: conditions by kind, sets of routes by size, and hops end to end.

import type { Message } from '../../../src/model/message.ts';

/** As the simulated sensor sends it: 150 bytes of JSON and four properties. */
export const reading: Message = {
  sender: { deviceId: 'gw', moduleId: 'load0' },
  output: 'readings',
  system: { messageId: '4711', contentType: 'application/json', contentEncoding: 'utf-8' },
  properties: { sequenceNumber: '17', batchId: 'b1f9', temperature: '21.4', kind: 'alarm' },
  body: Buffer.from(
    JSON.stringify({
      machine: { temperature: 21.4, pressure: 1.2 },
      ambient: { temperature: 20.9, humidity: 25 },
      timeCreated: '2026-11-21T09:12:44.123Z',
    }),
  ),
  enqueuedMs: Date.UTC(2026, 10, 21),
};

/** Kinds of conditions. All but the last hold for the reading. */
export const conditions: readonly (readonly [kind: string, condition: string | undefined])[] = [
  ['no condition', undefined],
  ['property = text', "kind = 'alarm'"],
  ['property as number', 'as_number(temperature) > 20'],
  ['system property', "$messageId = '4711'"],
  ['three parts', "kind = 'alarm' AND as_number(temperature) > 20 AND NOT is_defined($connectionToken)"],
  ['text functions', "concat(kind, '-', batchId) = 'alarm-b1f9' AND starts_with(batchId, 'b')"],
  ['arithmetic', 'as_number(temperature) * 1.8 + 32 >= 70'],
  ['body value', '$body.machine.temperature > 20'],
  [
    'five body values',
    '$body.machine.temperature + $body.machine.pressure + $body.ambient.temperature > 20 AND $body.ambient.humidity = 25 AND $body.none = null',
  ],
  ['body behind a property', "kind = 'news' AND $body.machine.temperature > 20"],
];

const input = (at: number): string => `BrokeredEndpoint("/modules/m${at}/inputs/in")`;

/** Sets of routes of a size, each with one route that takes the reading upstream. */
export const routeSets: readonly (readonly [name: string, routes: (size: number) => readonly string[]])[] = [
  [
    'a module each',
    (size) =>
      withUpstream(
        size,
        (at) => `FROM /messages/modules/m${at}/* WHERE as_number(temperature) > ${at} INTO ${input(at)}`,
      ),
  ],
  [
    'a value each, one source',
    (size) => withUpstream(size, (at) => `FROM /messages/* WHERE kind = 'k${at}' INTO ${input(at)}`),
  ],
  [
    'a value each and a number',
    (size) =>
      withUpstream(
        size,
        (at) => `FROM /messages/* WHERE as_number(temperature) > ${at} AND kind = 'k${at}' INTO ${input(at)}`,
      ),
  ],
  [
    'a bound each, one source',
    (size) =>
      withUpstream(size, (at) => `FROM /messages/* WHERE as_number(temperature) > ${100 + at} INTO ${input(at)}`),
  ],
  [
    'a bound each, in the body',
    (size) =>
      withUpstream(size, (at) => `FROM /messages/* WHERE $body.machine.temperature > ${100 + at} INTO ${input(at)}`),
  ],
];

function withUpstream(size: number, route: (at: number) => string): readonly string[] {
  const others = Array.from({ length: size - 1 }, (_, at) => route(at));
  return [...others, "FROM /messages/modules/load0/* WHERE kind = 'alarm' INTO $upstream"];
}
