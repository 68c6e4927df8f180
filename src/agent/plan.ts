// What is to be done next: pure decisions over what is remembered, what is asked for and what is seen.
//
//                 target is ready                       all were ready and stable
//   good ────────────────────────► trial (verifying) ──────────────────────────────► good
//     ▲                              │    ▲ a newer target takes its place
//     │                              │ one was not
//     └────── restore ── reverting ◄─┘                 nothing to go back to: the trial goes on, and the report says so
//
// Each step is idempotent and is remembered before it has an effect, so whoever is killed anywhere decides the same
// again from the record. What is fetched beforehand is not in the record: it lies side by side and disturbs nobody.

import { jsonEqual } from '../model/twin.ts';
import type { LaunchOrder } from './launch-order.ts';
import { type RolloutRecord, type Source, sameSource } from './rollout-record.ts';

export type Step =
  /** Nothing to do until something changes. */
  | { readonly kind: 'rest' }
  /** Give the hands what is in force. */
  | { readonly kind: 'apply'; readonly source: Source }
  /** Remember the target as the one on trial. */
  | { readonly kind: 'try'; readonly source: Source }
  /** Remember the trial as the good one. */
  | { readonly kind: 'commit'; readonly source: Source }
  /** Remember that the trial is over, and why. */
  | { readonly kind: 'revert'; readonly trial: Source }
  /** Give the hands the good one again, then remember what was refused. */
  | { readonly kind: 'restore'; readonly source: Source; readonly trial: Source };

export interface Situation {
  readonly record: RolloutRecord;
  /** What is asked for and can be read; undefined: nothing new. */
  readonly target: Source | undefined;
  /** Everything the target needs is on the device, or there is nothing that waiting would protect. */
  readonly isPrepared: boolean;
  /** What the hands were given last in this life. */
  readonly applied: Source | undefined;
  readonly verdict: 'wait' | 'good' | 'bad';
  /** The good one has modules: there is something to go back to. */
  readonly isReturnable: boolean;
}

export function nextStep({ record, target, isPrepared, applied, verdict, isReturnable }: Situation): Step {
  const { good, trial } = record;
  if (trial?.phase === 'reverting' && good !== undefined) return { kind: 'restore', source: good, trial: trial.source };
  const inForce = trial?.source ?? good;
  if (target !== undefined && isPrepared && isWanted(target, record)) return { kind: 'try', source: target };
  if (inForce === undefined) return { kind: 'rest' };
  if (applied !== inForce) return { kind: 'apply', source: inForce };
  if (trial === undefined || verdict === 'wait') return { kind: 'rest' };
  if (verdict === 'good') return { kind: 'commit', source: trial.source };
  return isReturnable ? { kind: 'revert', trial: trial.source } : { kind: 'rest' };
}

/** Not in force and not found bad before. */
export function isWanted(target: Source, { good, trial, refused }: RolloutRecord): boolean {
  return !sameSource(target, trial?.source ?? good) && !sameSource(target, refused?.source);
}

export interface PlannedChange {
  readonly module: string;
  readonly action: 'start' | 'stop' | 'restart' | 'remove' | 'create' | 'keep';
  /** For people. */
  readonly why: string;
}

/** What becomes of each module on the way from one set of orders to another. */
export function plannedChanges(
  before: readonly LaunchOrder[],
  after: readonly LaunchOrder[],
): readonly PlannedChange[] {
  const earlier = new Map(before.map((order) => [order.name, order]));
  const later = new Set(after.map((order) => order.name));
  const removed = before
    .filter((order) => !later.has(order.name))
    .map((order): PlannedChange => ({ module: order.name, action: 'remove', why: 'it is no longer deployed' }));
  return [...removed, ...after.map((order) => changeOf(earlier.get(order.name), order))];
}

/** True when some module has to prove itself again. */
export function needsProof(changes: readonly PlannedChange[]): boolean {
  return changes.some(({ action }) => action === 'create' || action === 'start' || action === 'restart');
}

function changeOf(before: LaunchOrder | undefined, after: LaunchOrder): PlannedChange {
  const module = after.name;
  if (before === undefined)
    return {
      module,
      action: 'create',
      why: after.wanted === 'running' ? 'it is new' : 'it is new, and stopped as asked',
    };
  if (before.wanted !== after.wanted)
    return after.wanted === 'running'
      ? { module, action: 'start', why: 'it was stopped' }
      : { module, action: 'stop', why: 'it is to be stopped' };
  if (before.generation === after.generation) return { module, action: 'keep', why: 'nothing changed' };
  if (after.wanted === 'stopped')
    return { module, action: 'keep', why: `${difference(before, after)}; it stays stopped` };
  return { module, action: 'restart', why: difference(before, after) };
}

function difference(before: LaunchOrder, after: LaunchOrder): string {
  const names: string[] = [];
  const compare = (name: string, was: unknown, is: unknown): void => {
    if (!jsonEqual(asJson(was), asJson(is))) names.push(name);
  };
  compare('its image', before.container?.image, after.container?.image);
  compare('its createOptions', before.container?.createOptions, after.container?.createOptions);
  compare('its program', before.command, after.command);
  compare('its directory', before.cwd, after.cwd);
  compare('its resources', before.resources, after.resources);
  compare('its isolation', before.isolation, after.isolation);
  compare('its health check', before.health, after.health);
  const variables = [...new Set([...Object.keys(before.env), ...Object.keys(after.env)])].filter(
    (name) => before.env[name] !== after.env[name],
  );
  if (variables.length > 0) names.push(`variable ${variables.sort().join(', ')}`);
  return names.length === 0 ? 'its version changed' : `${names.join(' and ')} changed`;
}

function asJson(value: unknown): ReturnType<typeof JSON.parse> {
  return value === undefined ? null : JSON.parse(JSON.stringify(value));
}
