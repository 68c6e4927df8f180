// When a module that ended is started again: a pure judgement of its policy, its exit code and its recent past.
//
//   exit code 78 (EX_CONFIG)    bad configuration: not again until it changes, whatever the policy
//   exit code 75 (EX_TEMPFAIL)  "restart me": again after the first delay, and it does not count against it
//   exit code 76                "the machine has to be rebooted": nobody here may do that, so it is tried seldom,
//                               as one that is broken; a reboot begins its past anew
//   policy says no              done when it ended well, else given up
//   ran `stableMs` or longer    the past is forgotten
//   otherwise                   firstDelayMs × factor^(n−1), at most delayMsMax, ± jitter
//   `brokenFailures` ends within `brokenWindowMs`
//                               broken: again only each brokenDelayMs, until it ran stable or its
//                               configuration changes. It is never abandoned: a remote site without anybody
//                               to restart it must heal by itself when the cause goes away.
//
// Times are monotonic milliseconds; the caller supplies the random fraction.

import { restartHistoryMax } from '../limits.ts';

export type RestartPolicy = 'never' | 'on-failure' | 'on-unhealthy' | 'always';

export interface Pacing {
  readonly firstDelayMs: number;
  readonly factor: number;
  readonly delayMsMax: number;
  /** 0.2 spreads each delay evenly over 80 % to 120 % of itself. */
  readonly jitterFraction: number;
  readonly stableMs: number;
  readonly brokenFailures: number;
  readonly brokenWindowMs: number;
  readonly brokenDelayMs: number;
  /** Between two looks at the size of a private directory that has a limit. */
  readonly dataLookMs: number;
}

export const defaultPacing: Pacing = {
  firstDelayMs: 1000,
  factor: 2,
  delayMsMax: 300_000,
  jitterFraction: 0.2,
  stableMs: 600_000,
  brokenFailures: 5,
  brokenWindowMs: 600_000,
  brokenDelayMs: 1_800_000,
  dataLookMs: 30_000,
};

export interface RestartHistory {
  /** Ends since the module last ran stable, those asked for not counted. */
  readonly failures: number;
  /** The latest of them, oldest first. */
  readonly recentAtMs: readonly number[];
  readonly broken: boolean;
}

export const freshHistory: RestartHistory = { failures: 0, recentAtMs: [], broken: false };

export type Verdict =
  | { readonly kind: 'wait' | 'slow'; readonly delayMs: number }
  | { readonly kind: 'done' | 'give-up'; readonly delayMs?: undefined };

export interface JudgedEnd {
  readonly policy: RestartPolicy;
  /** Null when a signal ended it, it never started, or it was ended because it was unhealthy. */
  readonly code: number | null;
  readonly uptimeMs: number;
  readonly history: RestartHistory;
  readonly pacing: Pacing;
  readonly nowMs: number;
  /** In [0, 1). */
  readonly fraction: number;
}

const exitRestartMe = 75;
const exitRebootMachine = 76;
const exitBadConfiguration = 78;

export function judgeEnd(end: JudgedEnd): { readonly verdict: Verdict; readonly history: RestartHistory } {
  const { pacing } = end;
  const history = end.uptimeMs >= pacing.stableMs ? freshHistory : end.history;
  if (end.code === exitBadConfiguration) return { verdict: { kind: 'give-up' }, history };
  if (!wantsRestart(end.policy, end.code)) return { verdict: { kind: end.code === 0 ? 'done' : 'give-up' }, history };
  const spread = (delayMs: number): number =>
    Math.round(delayMs * (1 + pacing.jitterFraction * (2 * end.fraction - 1)));
  if (end.code === exitRestartMe) return { verdict: { kind: 'wait', delayMs: spread(pacing.firstDelayMs) }, history };
  if (end.code === exitRebootMachine)
    return { verdict: { kind: 'slow', delayMs: spread(pacing.brokenDelayMs) }, history };

  const failures = history.failures + 1;
  const recentAtMs = [
    ...history.recentAtMs.filter((atMs) => end.nowMs - atMs <= pacing.brokenWindowMs),
    end.nowMs,
  ].slice(-restartHistoryMax);
  const broken = history.broken || recentAtMs.length >= pacing.brokenFailures;
  const delayMs = Math.min(pacing.delayMsMax, pacing.firstDelayMs * pacing.factor ** (failures - 1));
  const verdict: Verdict = broken
    ? { kind: 'slow', delayMs: spread(pacing.brokenDelayMs) }
    : { kind: 'wait', delayMs: spread(delayMs) };
  return { verdict, history: { failures, recentAtMs, broken } };
}

/** Whether a module that runs and is unhealthy is to be ended and started again. By exit codes on-failure and on-unhealthy are one. */
export function restartsUnhealthy(policy: RestartPolicy): boolean {
  return policy === 'always' || policy === 'on-unhealthy';
}

/** What the codes with a meaning of their own say, for people. */
export function meaningOfExit(code: number | null): string | undefined {
  if (code === exitRestartMe) return 'it asks to be started again';
  if (code === exitRebootMachine) return 'it asks for a reboot of the machine';
  return code === exitBadConfiguration ? 'it says that its configuration is wrong' : undefined;
}

function wantsRestart(policy: RestartPolicy, code: number | null): boolean {
  switch (policy) {
    case 'never':
      return false;
    case 'on-failure':
    case 'on-unhealthy':
      return code !== 0;
    case 'always':
      return true;
  }
}
