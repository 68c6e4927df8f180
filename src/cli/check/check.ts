// What a check is: a stable id, a question, and an answer with its cause and its mend.
//
// A check never changes anything, needs neither the daemon nor the network (it answers `skip` then), and is cut
// off after ten seconds. All run at once; the answers come in the order of the list.

import type { StatusReport } from '../../admin/index.ts';
import type { readConfig } from '../../config/index.ts';
import { errorMessage } from '../../model/errors.ts';
import type { Clock } from '../../platform/clock.ts';
import type { Disk } from '../../platform/disk.ts';
import type { KernelFeatures } from '../../platform/kernel-features.ts';
import type { Machine } from '../../platform/machine.ts';
import type { NativeAddonName } from '../../platform/native.ts';

export type CheckResult = 'ok' | 'warn' | 'fail' | 'skip';
export type CheckGroup = 'configuration' | 'machine' | 'isolation' | 'hub' | 'runtime';

export interface Verdict {
  readonly result: CheckResult;
  /** What was found, or why it is wrong. */
  readonly cause: string;
  /** What to do; empty when there is nothing to do. */
  readonly mend: string;
}

export interface CheckAnswer extends Verdict {
  readonly id: string;
  readonly group: CheckGroup;
  readonly title: string;
  readonly ms: number;
}

export interface CheckFacts {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly machine: Machine;
  readonly reading: Awaited<ReturnType<typeof readConfig>>;
  readonly dataDir: string;
  readonly runDir: string;
  /** What the daemon answered, or why it did not. */
  readonly daemon: { readonly status: StatusReport } | { readonly error: unknown };
  /** Wall time at which this executable was built; the clock cannot be before it. */
  readonly builtAtMs: number;
  /** What modules can be shut in with, tried once for all checks that ask. */
  readonly kernel: () => Promise<KernelFeatures>;
  /** The body that a GET over a unix socket answers. Rejects PLATFORM_HTTP_FAILED, also when it takes seconds. */
  readonly askSocket: (socketPath: string, path: string) => Promise<string>;
  readonly native: { load(name: NativeAddonName): void; shimPath(): string };
}

export interface Check {
  readonly id: string;
  readonly group: CheckGroup;
  readonly title: string;
  run(facts: CheckFacts): Promise<Verdict> | Verdict;
}

export const checkTimeoutMs = 10_000;

export function ok(cause: string): Verdict {
  return { result: 'ok', cause, mend: '' };
}

export function warn(cause: string, mend: string): Verdict {
  return { result: 'warn', cause, mend };
}

export function fail(cause: string, mend: string): Verdict {
  return { result: 'fail', cause, mend };
}

export function skip(cause: string): Verdict {
  return { result: 'skip', cause, mend: '' };
}

export function runChecks(checks: readonly Check[], facts: CheckFacts): Promise<readonly CheckAnswer[]> {
  return Promise.all(checks.map((check) => runCheck(check, facts)));
}

async function runCheck(check: Check, facts: CheckFacts): Promise<CheckAnswer> {
  const { id, group, title } = check;
  const startedMs = facts.clock.monotonicMs();
  const verdict = await limited(check, facts);
  return { id, group, title, ...verdict, ms: Math.round(facts.clock.monotonicMs() - startedMs) };
}

async function limited(check: Check, facts: CheckFacts): Promise<Verdict> {
  let cutOff = (): void => undefined;
  const late = new Promise<Verdict>((resolve) => {
    const timer = facts.clock.setTimer(checkTimeoutMs, () =>
      resolve(fail('no answer within 10 s', 'Look for a disk or a network that hangs.')),
    );
    cutOff = () => timer.cancel();
  });
  try {
    return await Promise.race([Promise.resolve().then(() => check.run(facts)), late]);
  } catch (error) {
    return fail(
      `the check itself failed: ${errorMessage(error)}`,
      'Run it again with WEIR_DEBUG=1; report it when it stays.',
    );
  } finally {
    cutOff();
  }
}
