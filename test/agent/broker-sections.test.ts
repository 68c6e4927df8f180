// The sections of `mqttBroker`: handed on, reported, and remembered when they were good.

import t from 'tap';
import { BrokerSections } from '../../src/agent/broker-sections.ts';
import type { JsonValue } from '../../src/model/json.ts';
import { keptLog } from '../support/quiet-log.ts';
import { SimClock } from '../support/sim-clock.ts';

function sections(state = new Map<string, string>()) {
  const { log, lines } = keptLog(new SimClock());
  const applied: (readonly [string, JsonValue | undefined])[] = [];
  const hands = ['authorizations', 'bridges'].map((name) => ({
    name,
    apply: (value: JsonValue | undefined, path: string) => {
      if (value === 'bad') return [{ path, message: 'it is bad' }];
      applied.push([name, value]);
      return [];
    },
  }));
  const memory = {
    state: async (key: string) => state.get(key),
    saveState: async (key: string, value: string) => void state.set(key, value),
  };
  return { made: new BrokerSections({ hands, memory, log }), applied, state, lines };
}

t.test('each section is taken by itself: a bad one leaves the other and its own last good', async (t) => {
  const first = sections();
  const { made, applied, state } = first;
  t.strictSame(made.take({ schemaVersion: '1.2', mqttBroker: { authorizations: [1], bridges: [2] } }), []);
  t.strictSame(made.take({ schemaVersion: '1.3', mqttBroker: { authorizations: 'bad', bridges: [3] } }), [
    { path: 'mqttBroker.authorizations', message: 'it is bad' },
  ]);
  t.strictSame(applied, [
    ['authorizations', [1]],
    ['bridges', [2]],
    ['bridges', [3]],
  ]);
  const next = sections(state);
  await next.made.start();
  t.strictSame(next.applied, [
    ['authorizations', [1]],
    ['bridges', [3]],
  ]);
});

t.test('what is not there any more is taken back, and stays so', async (t) => {
  const { made, applied, state } = sections();
  made.take({ schemaVersion: '1.2', mqttBroker: { bridges: [2] } });
  t.strictSame(made.take({ schemaVersion: '1.1' }), []);
  t.strictSame(applied.at(-1), ['bridges', undefined]);
  const next = sections(state);
  await next.made.start();
  t.strictSame(next.applied, []);
});

t.test('an older schema and another shape are no reason to change anything', async (t) => {
  const { made, applied } = sections();
  t.match(made.take({ schemaVersion: '1.1', mqttBroker: {} }), [{ path: 'mqttBroker', message: /1\.2/ }]);
  t.match(made.take({ schemaVersion: '1.2', mqttBroker: [] }), [{ path: 'mqttBroker', message: /object/ }]);
  t.strictSame(applied, []);
});

t.test('what was good once and is so no longer is said', async (t) => {
  const { made, lines } = sections(
    new Map([
      ['agent:last-good-bridges', '"bad"'],
      ['agent:last-good-authorizations', '{'],
    ]),
  );
  await made.start();
  t.match(lines.join('\n'), /mqttBroker\.bridges/);
});
