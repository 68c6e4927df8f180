import t from 'tap';
import { countText, durationText, sinceMs, sizeText } from '../../src/cli/quantity-text.ts';

const nowMs = Date.UTC(2026, 10, 21, 12);

const durations: readonly (readonly [number, string])[] = [
  [-5, '0s'],
  [0, '0s'],
  [999, '0s'],
  [1_500, '1s'],
  [60_000, '1m'],
  [192_000, '3m 12s'],
  [3_600_000, '1h'],
  [3_605_000, '1h'],
  [3_660_000, '1h 1m'],
  [183_845_000, '2d 3h'],
  [172_860_000, '2d'],
];
for (const [ms, text] of durations) t.equal(durationText(ms), text, `${ms} ms is shown as ${text}`);

const sizes: readonly (readonly [number, string])[] = [
  [0, '0 B'],
  [1_023, '1023 B'],
  [1_024, '1.0 KiB'],
  [12_918_456, '12.3 MiB'],
  [2 ** 41, '2.0 TiB'],
  [2 ** 52, '4096.0 TiB'],
];
t.same(
  [0, 1, 2].map((count) => countText(count, 'new message')),
  ['0 new messages', '1 new message', '2 new messages'],
);

for (const [bytes, text] of sizes) t.equal(sizeText(bytes), text, `${bytes} bytes are shown as ${text}`);

const since: readonly (readonly [string, number])[] = [
  ['10s', nowMs - 10_000],
  ['10m', nowMs - 600_000],
  ['2h', nowMs - 7_200_000],
  ['1 day', nowMs - 86_400_000],
  ['3 days ago', nowMs - 259_200_000],
  ['5 mins', nowMs - 300_000],
  ['1w', nowMs - 604_800_000],
  ['2026-11-21T11:00:00Z', nowMs - 3_600_000],
  ['999999999w', 0],
];
for (const [text, expected] of since) t.equal(sinceMs(text, nowMs), expected, `since ${text}`);

for (const text of ['', '10', '10ms', 'yesterday', '-5m', '2026-99-99', 'constructor', '1 constructor']) {
  t.throws(() => sinceMs(text, nowMs), { code: 'CLI_USAGE' }, `since ${JSON.stringify(text)} is refused`);
}
