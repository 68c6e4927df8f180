// How long the device will last at the present pace, and by how much commits are to wait longer for it. Pure.
//
//   registers   remaining share / share used per time, once the life register rose twice while weir looked: between
//               two rises exactly a tenth was used for each step, and only then is the pace more than a guess
//   endurance   remaining share × configured endurance / bytes a day to the device, when the register is absent or
//               has not risen often enough; without a register the share used is what weir has seen written
//   unknown     neither
//
// A register says "between 10 and 20 % used"; the larger one counts.

import { flashCommitDelayMsMax } from '../limits.ts';
import { lifeStepMax } from './kernel-text.ts';
import type { Rise } from './wear-ledger.ts';

export interface LifeEvidence {
  readonly lifeStep: number | undefined;
  readonly rises: readonly Rise[];
  readonly watchedMs: number;
  /** Bytes that the device takes in its life; undefined: nobody said. */
  readonly enduranceBytes: number | undefined;
  readonly bytesPerDay: number | undefined;
  /** Written to the device as far as weir has seen it. */
  readonly bytesSeen: number;
}

export interface LifeProjection {
  /** Of operation, from now on. */
  readonly years: number;
  readonly basis: 'registers' | 'endurance';
}

const yearMs = 31_557_600_000;
const yearDays = 365.25;
const stepsOfLife = 10;
/** A life that is long enough again by so much ends the sparing: it would set in again at once otherwise. */
const releaseFactor = 1.25;

export function projectLife(evidence: LifeEvidence): LifeProjection | undefined {
  const { lifeStep, enduranceBytes, bytesPerDay, bytesSeen } = evidence;
  const remaining = lifeStep === undefined ? undefined : Math.max(0, 1 - lifeStep / stepsOfLife);
  if (lifeStep === lifeStepMax) return { years: 0, basis: 'registers' };
  const sharePerMs = usedPerMs(evidence);
  if (remaining !== undefined && sharePerMs !== undefined)
    return { years: remaining / sharePerMs / yearMs, basis: 'registers' };
  if (enduranceBytes === undefined || bytesPerDay === undefined || bytesPerDay <= 0) return undefined;
  const bytesLeft = Math.max(0, enduranceBytes * (remaining ?? 1) - (remaining === undefined ? bytesSeen : 0));
  return { years: bytesLeft / bytesPerDay / yearDays, basis: 'endurance' };
}

function usedPerMs({ rises, watchedMs }: LifeEvidence): number | undefined {
  const [first, last] = [rises[0], rises.at(-1)];
  if (first === undefined || last === undefined || last.watchedMs <= first.watchedMs) return undefined;
  const used = (last.step - first.step) / stepsOfLife;
  const between = used / (last.watchedMs - first.watchedMs);
  // A next rise that is overdue says that it has become slower.
  return Math.min(between, (used + 1 / stepsOfLife) / (watchedMs - first.watchedMs));
}

export interface Sparing {
  readonly years: number | undefined;
  /** Wanted; 0: never mind. */
  readonly yearsMin: number;
  /** As configured. */
  readonly delayMs: number;
  /** Commits wait longer already. */
  readonly isOn: boolean;
}

/** The longest wait for company, longer in the proportion in which the life is too short; undefined: as configured. */
export function sparingDelayMs({ years, yearsMin, delayMs, isOn }: Sparing): number | undefined {
  if (years === undefined || yearsMin === 0) return undefined;
  if (years >= yearsMin * (isOn ? releaseFactor : 1)) return undefined;
  const longer = years <= 0 ? flashCommitDelayMsMax : Math.max(1, yearsMin / years) * delayMs;
  const sparing = Math.round(Math.min(flashCommitDelayMsMax, longer));
  return delayMs > 0 && sparing >= delayMs ? sparing : undefined;
}
