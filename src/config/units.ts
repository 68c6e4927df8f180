// Durations and sizes as people write them: `200ms`, `10s`, `5m`, `2h`, `7d`; `512KiB`, `64MiB`, `1GB`.
//
// A bare number is refused: nobody remembers which unit a key had. KiB, MiB, GiB, TiB are powers of 1024; kB,
// MB, GB, TB powers of 1000. Fractions are allowed as long as the result is whole (`1.5s`, `0.5MiB`).
// Formatting picks the largest unit that divides the value, so that format → parse gives the same number.

const unitsMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

const unitsBytes = {
  B: 1,
  kB: 1_000,
  KiB: 1_024,
  MB: 1_000_000,
  MiB: 1_048_576,
  GB: 1_000_000_000,
  GiB: 1_073_741_824,
  TB: 1_000_000_000_000,
  TiB: 1_099_511_627_776,
} as const;

const shownBytes = ['TiB', 'GiB', 'MiB', 'KiB'] as const;
const shownMs = ['d', 'h', 'm', 's'] as const;

/** Milliseconds, or undefined when the text is not a number and a unit. */
export function parseDurationMs(text: string): number | undefined {
  return parseQuantity(text, unitsMs);
}

/** Bytes, or undefined when the text is not a number and a unit. */
export function parseBytes(text: string): number | undefined {
  return parseQuantity(text, unitsBytes);
}

export function formatDurationMs(ms: number): string {
  const unit = shownMs.find((candidate) => ms > 0 && ms % unitsMs[candidate] === 0);
  return unit === undefined ? `${ms}ms` : `${ms / unitsMs[unit]}${unit}`;
}

export function formatBytes(bytes: number): string {
  const unit = shownBytes.find((candidate) => bytes > 0 && bytes % unitsBytes[candidate] === 0);
  return unit === undefined ? `${bytes}B` : `${bytes / unitsBytes[unit]}${unit}`;
}

function parseQuantity(text: string, units: Readonly<Record<string, number>>): number | undefined {
  const match = /^(\d+(?:\.\d+)?)\s?([A-Za-z]+)$/.exec(text.trim());
  if (match === null) return undefined;
  const factor = Object.hasOwn(units, match[2] ?? '') ? units[match[2] ?? ''] : undefined;
  if (factor === undefined) return undefined;
  const value = Number(match[1]) * factor;
  return Number.isSafeInteger(value) ? value : undefined;
}
