// The product's own pace of everything here that waits.

import type { ContainerTimes } from './ports.ts';

export const defaultTimes: ContainerTimes = {
  answerMsMax: 30_000,
  awayMsMin: 250,
  awayMsMax: 15_000,
  pullRetryMsMin: 5_000,
  pullRetryMsMax: 300_000,
  pullFirstMsMax: 90_000,
  // Unpacking a large layer onto a slow card says nothing for minutes.
  pullSilentMsMax: 600_000,
  killAgainMs: 10_000,
  logDrainMsMax: 5_000,
  logSilentMsMin: 2_000,
  logSilentMsMax: 60_000,
  healthMsMin: 1_000,
  eraseMsMax: 20_000,
};
