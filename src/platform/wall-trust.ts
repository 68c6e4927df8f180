// Whether to believe the machine's wall clock: a pure judgement of what is known, and nothing else.
//
//   wall within reach of what was known      kernel synchronised        believed at once
//                                            set from a battery clock   believed at once
//                                            neither                    believed after settleAloneMs without a step
//   wall out of reach (± years)              kernel synchronised        believed after settleMs without a step
//                                            otherwise                  believed after settleAloneMs without a step
//
// `reach`: not before what certainly has passed (with a small tolerance, because clocks are set back by seconds), and
// not further ahead of it than wallJumpMsMax. A board without a battery wakes in 1970 or where it was switched off,
// and is before it; a flipped bit in a clock chip or a false time server is far ahead of it. Nothing is disbelieved
// for ever: who says the same long enough is right, also when what was known before was wrong.

import { wallBackMsMax, wallJumpMsMax, wallSettleAloneMs, wallSettleMs } from '../limits.ts';

export interface WallEvidence {
  /** What the machine's clock says. */
  readonly wallMs: number;
  /** What must be over by now: the build of this program, the last good time on disk, time counted since. */
  readonly knownMs: number;
  /** `knownMs` comes from a clock that was believed, not only from the build: too far ahead of it is not plausible. */
  readonly isRecent: boolean;
  /** The kernel's own word; undefined when nobody tells. */
  readonly synchronised: boolean | undefined;
  /** The kernel set its clock from one with a battery. */
  readonly battery: boolean;
  /** How long the clock has gone without a step. */
  readonly steadyMs: number;
}

export function believesWall(evidence: WallEvidence): boolean {
  const { wallMs, knownMs, isRecent, synchronised, battery, steadyMs } = evidence;
  const isBefore = wallMs < knownMs - wallBackMsMax;
  const isAhead = isRecent && wallMs > knownMs + wallJumpMsMax;
  if (steadyMs >= wallSettleAloneMs) return true;
  if (isBefore || isAhead) return synchronised === true && steadyMs >= wallSettleMs;
  return synchronised === true || battery;
}
