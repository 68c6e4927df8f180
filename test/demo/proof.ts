// The proof of the demo: what the hub's log holds, judged by two numberings that do not know of each other.
//
//   batchId + sequenceNumber   given by the module to every message: 1, 2, 3 … in each life of the module
//   the counter tag            given by the plant to every read: 1, 2, 3 … on each slave
//
// The first shows that nothing was lost, repeated or reordered between module and hub; the second that the module
// itself left nothing out. Pure.

import { isJsonObject, type JsonValue } from '../../src/model/json.ts';
import type { HubEvent } from '../support/world/world.ts';
import { counterTag, modbusModule } from './manifest.ts';

export interface Numbering {
  readonly name: string;
  /** Numbers found in the log. */
  readonly count: number;
  readonly last: number;
  /** Numbers from 1 to the last (or to what is expected) that are not there. */
  readonly missing: number;
  readonly repeated: number;
  /** Numbers that stand behind a higher one, or are none. */
  readonly reordered: number;
}

export interface Proof {
  readonly messages: number;
  readonly streams: readonly Numbering[];
  readonly counters: readonly Numbering[];
  /** Field reads that failed: they are in the log too, as samples of bad quality. */
  readonly badSamples: number;
  /** Samples measured while the link was cut, and of these while there was no gateway process. */
  readonly whileOffline: number;
  readonly whileDead: number;
  readonly isGood: boolean;
}

/** From and to, milliseconds since 1970. */
export type Span = readonly [number, number];

export interface Expected {
  /** By device: how many reads its slave had answered at a moment before the log was read. */
  readonly answered: Readonly<Record<string, number>>;
  readonly outage: { readonly offline: Span; readonly dead: Span };
}

export function prove(events: readonly HubEvent[], { answered, outage }: Expected): Proof {
  const streams = new Map<string, number[]>();
  const counters = new Map<string, number[]>(Object.keys(answered).map((device) => [device, []]));
  let badSamples = 0;
  let whileOffline = 0;
  let whileDead = 0;
  for (const event of events) {
    const { batchId, sequenceNumber } = event.properties;
    numbersOf(streams, `${event.moduleId ?? event.deviceId}/${batchId ?? '?'}`).push(Number(sequenceNumber));
    const body = event.body as JsonValue;
    if (event.moduleId !== modbusModule || !isJsonObject(body)) continue;
    const { device, ts, values } = body;
    const sample = isJsonObject(values) ? values[counterTag] : undefined;
    if (!isJsonObject(sample)) continue;
    if (sample['q'] === 'good') numbersOf(counters, String(device)).push(Number(sample['v']));
    else badSamples += 1;
    const sampledMs = Date.parse(String(ts));
    if (isWithin(sampledMs, outage.offline)) whileOffline += 1;
    if (isWithin(sampledMs, outage.dead)) whileDead += 1;
  }
  const judgedStreams = [...streams].map(([name, numbers]) => judge(name, numbers, 0));
  const judgedCounters = [...counters].map(([name, numbers]) => judge(name, numbers, answered[name] ?? 0));
  const all = [...judgedStreams, ...judgedCounters];
  return {
    messages: events.length,
    streams: judgedStreams,
    counters: judgedCounters,
    badSamples,
    whileOffline,
    whileDead,
    isGood:
      judgedStreams.length > 0 &&
      all.every(({ count, missing, repeated, reordered }) => count > 0 && missing + repeated + reordered === 0),
  };
}

function numbersOf(map: Map<string, number[]>, name: string): number[] {
  const numbers = map.get(name) ?? [];
  map.set(name, numbers);
  return numbers;
}

function judge(name: string, numbers: readonly number[], expected: number): Numbering {
  const seen = new Set<number>();
  let last = 0;
  let repeated = 0;
  let reordered = 0;
  for (const number of numbers) {
    if (seen.has(number)) repeated += 1;
    else if (!(Number.isInteger(number) && number >= 1) || number < last) reordered += 1;
    else last = number;
    seen.add(number);
  }
  const due = Math.max(last, expected);
  let missing = 0;
  for (let number = 1; number <= due; number += 1) if (!seen.has(number)) missing += 1;
  return { name, count: numbers.length, last, missing, repeated, reordered };
}

function isWithin(ms: number, [from, to]: Span): boolean {
  return ms >= from && ms <= to;
}
