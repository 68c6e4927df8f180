// What the agent says about the deployment that is asked for: one status for the twin, one view for the operator.
//
// Pure. The status codes are Azure's. 200 is said when the modules of a deployment were handed over; while they have
// not proved themselves yet its description says so. What is only being fetched is not reported: the version before
// it is still the one in force.

import type { Problem } from '../model/problem.ts';
import { deploymentStatus } from './errors.ts';
import type { Rollout } from './ports.ts';
import type { Preparation } from './preparation.ts';
import type { DesiredStatus } from './report.ts';
import { type RolloutRecord, type Source, sameSource } from './rollout-record.ts';
import type { Judgement } from './verification.ts';

export interface HeldBack {
  readonly name: string;
  readonly reason: string;
  /** False: it is only a matter of time. */
  readonly isFault: boolean;
}

export interface Picture {
  readonly record: RolloutRecord;
  /** What is asked for, as far as it can be read. */
  readonly target: Source | undefined;
  /** The same, when it is not in force and not refused. */
  readonly wanted: Source | undefined;
  readonly unreadable: DesiredStatus | undefined;
  /** Why the last pass ended early. */
  readonly failure: string | undefined;
  readonly isApplied: boolean;
  readonly isReturnable: boolean;
  /** What is in force has a signature: nobody looks at it, and that is said. */
  readonly isSigned: boolean;
  readonly judgement: Judgement;
  readonly heldBack: readonly HeldBack[];
  readonly preparation: Pick<Preparation, 'task' | 'state' | 'faults' | 'texts'> | undefined;
}

export function deploymentStatusOf(picture: Picture): DesiredStatus {
  const { record, unreadable, failure, wanted, target, preparation, heldBack } = picture;
  const inForce = record.trial?.source ?? record.good;
  const version = (target ?? inForce)?.version ?? 0;
  const failed = (description: string): DesiredStatus => ({ version, code: deploymentStatus.failed, description });
  if (failure !== undefined) return failed(failure);
  if (unreadable !== undefined) return unreadable;
  if (isRefused(picture) && !isLocalAffair(picture, inForce))
    return failed(`rolled back to the deployment before it: ${record.refused?.reason ?? ''}`);
  if (wanted !== undefined && preparation?.state === 'failed' && sameSource(preparation.task.source, wanted))
    return failed(`not applied yet, and tried again: ${reasons(preparation.faults)}`);
  if (inForce === undefined)
    return { version, code: deploymentStatus.empty, description: 'no deployment has been set for this device yet' };
  const faults = heldBack.filter(({ isFault }) => isFault);
  if (faults.length > 0)
    return failed(
      `not complete, and tried again: ${faults.map(({ name, reason }) => `${name}: ${reason}`).join('; ')}`,
    );
  return inForceStatus(picture, inForce);
}

function inForceStatus(picture: Picture, inForce: Source): DesiredStatus {
  const { record, judgement, isReturnable, isSigned } = picture;
  const { version, origin } = inForce;
  if (record.trial !== undefined && judgement.verdict === 'bad' && !isReturnable) {
    const description = `there is no earlier deployment to go back to, so the modules stay: ${trouble(judgement)}`;
    return { version, code: deploymentStatus.failed, description };
  }
  const notes = [
    ...(origin === 'hub' ? [] : ['a deployment made at the device is in force']),
    ...(record.trial !== undefined && isReturnable ? ['its modules are being verified'] : []),
    ...(isSigned ? ['its signature (integrity) is not verified'] : []),
    ...(isRefused(picture)
      ? [`a later one, made at the device, was rolled back: ${record.refused?.reason ?? ''}`]
      : []),
  ];
  const description = notes.join('; ');
  if (origin === 'hub') return { version, code: deploymentStatus.ok, description };
  // The hub's own version is not what runs: it must not be told that it were.
  const code = version === 0 ? deploymentStatus.ok : deploymentStatus.unknown;
  return { version, code, description };
}

export function rolloutOf(picture: Picture): Omit<Rollout, 'since'> {
  const { record, wanted, preparation, isApplied, judgement, isReturnable, heldBack } = picture;
  const held = heldBack.map(({ name, reason }) => ({ name, text: reason }));
  if (wanted !== undefined) {
    const texts = preparation !== undefined && sameSource(preparation.task.source, wanted) ? preparation.texts() : [];
    const detail =
      preparation?.state === 'failed'
        ? 'It cannot be prepared yet; the one before it stays in force, and it is tried again.'
        : 'What it needs is fetched; the one before it stays in force.';
    return { phase: 'preparing', detail, modules: texts };
  }
  const { trial, refused } = record;
  if (trial !== undefined && (trial.phase === 'reverting' || !isApplied))
    return { phase: 'applying', detail: trial.verdict ?? 'Its modules are being started.', modules: held };
  if (trial !== undefined) {
    const waiting = judgement.checks.filter(({ ok }) => !ok).map(({ module, text }) => ({ name: module, text }));
    const detail =
      judgement.verdict === 'bad' && !isReturnable
        ? 'Its modules did not get ready; there is no earlier deployment to go back to.'
        : waiting.length > 0
          ? 'Its modules are not all ready yet.'
          : 'Its modules are ready; they have to stay so for a while.';
    return { phase: 'verifying', detail, modules: [...held, ...waiting] };
  }
  if (refused !== undefined && isRefused(picture))
    return { phase: 'rolled-back', detail: refused.reason, modules: held };
  return { phase: 'settled', detail: '', modules: held };
}

/** Everything that is in force runs, as far as can be seen now. */
export function isFine({ judgement: { checks }, heldBack }: Picture): boolean {
  return checks.length > 0 && checks.every(({ ok }) => ok) && heldBack.length === 0;
}

function isRefused({ record, target }: Picture): boolean {
  return record.trial === undefined && target !== undefined && sameSource(record.refused?.source, target);
}

/** A deployment made at the device failed, and what it stood over is in force again: no version of the hub's did. */
function isLocalAffair({ record: { refused } }: Picture, inForce: Source | undefined): boolean {
  return refused?.source.origin === 'local' && refused.source.version === inForce?.version;
}

function reasons(faults: ReadonlyMap<string, string>): string {
  return [...faults].map(([name, text]) => `${name}: ${text}`).join('; ');
}

/** What failed, module by module. */
export function trouble({ checks }: Judgement): string {
  return checks
    .filter(({ ok }) => !ok)
    .map(({ module, text }) => `${module}: ${text}`)
    .join('; ');
}

export function describe(problems: readonly Problem[]): string {
  return problems.map(({ path, message }) => (path === '' ? message : `${path}: ${message}`)).join('; ');
}
