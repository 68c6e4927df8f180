import t from 'tap';
import { formatBytes, formatDurationMs, parseBytes, parseDurationMs } from '../../src/config/units.ts';

const durations: readonly (readonly [string, number | undefined])[] = [
  ['200ms', 200],
  ['10s', 10_000],
  ['1.5s', 1_500],
  ['5m', 300_000],
  ['2h', 7_200_000],
  ['7d', 604_800_000],
  ['0ms', 0],
  [' 3 s ', 3_000],
  ['10', undefined],
  ['10 sec', undefined],
  ['-1s', undefined],
  ['s', undefined],
  ['', undefined],
  ['1e3s', undefined],
  ['0.0001ms', undefined],
  ['10constructor', undefined],
];

const sizes: readonly (readonly [string, number | undefined])[] = [
  ['1B', 1],
  ['64MiB', 67_108_864],
  ['64MB', 64_000_000],
  ['0.5KiB', 512],
  ['1TiB', 1_099_511_627_776],
  ['64mib', undefined],
  ['64', undefined],
  ['99999999TiB', undefined],
];

for (const [text, expected] of durations) {
  t.equal(parseDurationMs(text), expected, `duration ${JSON.stringify(text)} reads as ${expected}`);
}
for (const [text, expected] of sizes) {
  t.equal(parseBytes(text), expected, `size ${JSON.stringify(text)} reads as ${expected}`);
}

t.test('formatting gives a text that reads as the same number', async (t) => {
  for (const ms of [0, 1, 999, 1_000, 90_000, 3_600_000, 86_400_000, 86_400_001]) {
    t.equal(parseDurationMs(formatDurationMs(ms)), ms);
  }
  for (const bytes of [0, 1, 1_000, 1_024, 1_048_576, 1_048_577, 1_073_741_824]) {
    t.equal(parseBytes(formatBytes(bytes)), bytes);
  }
  t.equal(formatDurationMs(7_200_000), '2h');
  t.equal(formatBytes(536_870_912), '512MiB');
});
