// The proof of the demo has to be able to fail.

import t from 'tap';
import type { HubEvent } from '../support/world/world.ts';
import { modbusModule } from './manifest.ts';
import { type Expected, prove } from './proof.ts';

const expected: Expected = { answered: { pump: 4 }, outage: { offline: [2000, 3000], dead: [3000, 3000] } };

/** A log in which message n carries the reading n, but for what `change` does to the list of both. */
function log(numbers: readonly (readonly [sequence: number, reading: number])[]): readonly HubEvent[] {
  return numbers.map(([sequence, reading], offset) => ({
    offset,
    deviceId: 'gw1',
    moduleId: modbusModule,
    output: 'telemetry',
    properties: { batchId: 'b', sequenceNumber: String(sequence) },
    systemProperties: {},
    body: { device: 'pump', ts: new Date(reading * 1000).toISOString(), values: { reads: { v: reading, q: 'good' } } },
  }));
}

t.test('a log with every number once and in order is good', async (t) => {
  const proof = prove(
    log([
      [1, 1],
      [2, 2],
      [3, 3],
      [4, 4],
    ]),
    expected,
  );
  t.equal(proof.isGood, true);
  t.match(proof, { messages: 4, whileOffline: 2, whileDead: 1, badSamples: 0 });
  t.match(proof.streams, [{ count: 4, last: 4, missing: 0, repeated: 0, reordered: 0 }]);
});

const faulty = [
  {
    name: 'a message that is missing',
    numbers: [
      [1, 1],
      [3, 2],
      [4, 3],
      [5, 4],
    ],
    found: { streams: [{ missing: 1 }] },
  },
  {
    name: 'a message that came twice',
    numbers: [
      [1, 1],
      [2, 2],
      [2, 3],
      [3, 4],
    ],
    found: { streams: [{ repeated: 1 }] },
  },
  {
    name: 'two messages that changed places',
    numbers: [
      [1, 1],
      [3, 2],
      [2, 3],
      [4, 4],
    ],
    found: { streams: [{ reordered: 1, missing: 0 }] },
  },
  {
    name: 'a number that is none',
    numbers: [
      [0, 1],
      [1, 2],
      [Number.NaN, 3],
      [2, 4],
    ],
    found: { streams: [{ reordered: 2 }] },
  },
  {
    name: 'a reading that the module left out',
    numbers: [
      [1, 1],
      [2, 2],
      [3, 4],
    ],
    found: { counters: [{ missing: 1 }] },
  },
  {
    name: 'a last reading that never came',
    numbers: [
      [1, 1],
      [2, 2],
      [3, 3],
    ],
    found: { counters: [{ missing: 1 }] },
  },
] as const;

for (const { name, numbers, found } of faulty) {
  t.test(`${name} is found`, async (t) => {
    const proof = prove(log(numbers), expected);
    t.equal(proof.isGood, false);
    t.match(proof, found);
  });
}

t.test('an empty log proves nothing', async (t) => {
  t.equal(prove([], { ...expected, answered: {} }).isGood, false);
  t.equal(prove([], expected).isGood, false);
});
