// Which of many conditions may hold for a message, found by one value instead of asking them all. Pure.
//
//   kind = 'a' … kind = 'z'             by the value: the conditions that need the value that `kind` has
//   as_number(t) > 10 … > 90            by the bound, sorted: those whose bound the number passes
//
// Only a first choice: whoever is found is still asked. Conditions that need neither, and groups too small to be
// worth it, stay with the rest.

import type { CheckedNode } from './condition/checker.ts';
import type { MessageView } from './condition/message-view.ts';
import { type RequiredBound, type RequiredValue, requiredBound, requiredValue } from './condition/required-value.ts';
import { isDefined, type Value } from './condition/value.ts';

/** Calls back for each member of a group that may hold. */
export type Lookup<Member> = (view: MessageView, found: (member: Member) => void) => void;

export interface Indexed<Member> {
  readonly lookups: readonly Lookup<Member>[];
  /** Those that no lookup finds. */
  readonly rest: readonly Member[];
}

interface Group<Member, Need> {
  readonly need: Need;
  readonly members: { readonly member: Member; readonly need: Need }[];
}

type Compile = (node: CheckedNode) => (view: MessageView) => Value;

const groupMin = 4;

/** `conditionOf`: undefined for a member that always holds. */
export function indexCandidates<Member>(
  members: readonly Member[],
  conditionOf: (member: Member) => CheckedNode | undefined,
  compile: Compile,
): Indexed<Member> {
  const values = new Map<string, Group<Member, RequiredValue>>();
  const bounds = new Map<string, Group<Member, RequiredBound>>();
  const rest: Member[] = [];
  for (const member of members) {
    const condition = conditionOf(member);
    const value = condition === undefined ? undefined : requiredValue(condition);
    const bound = condition === undefined || value !== undefined ? undefined : requiredBound(condition);
    if (value !== undefined) join(values, member, value);
    else if (bound !== undefined) join(bounds, member, bound);
    else rest.push(member);
  }
  const worthIt = <Need>(groups: ReadonlyMap<string, Group<Member, Need>>): readonly Group<Member, Need>[] => {
    const large = [...groups.values()].filter((group) => group.members.length >= groupMin);
    const small = [...groups.values()].filter((group) => group.members.length < groupMin);
    for (const group of small) rest.push(...group.members.map(({ member }) => member));
    return large;
  };
  const lookups = [
    ...worthIt(values).map((group) => byValue(group, compile)),
    ...worthIt(bounds).map((group) => byBound(group, compile)),
  ];
  return { lookups, rest };
}

function join<Member, Need extends { readonly key: string }>(
  groups: Map<string, Group<Member, Need>>,
  member: Member,
  need: Need,
): void {
  const group = groups.get(need.key);
  if (group === undefined) groups.set(need.key, { need, members: [{ member, need }] });
  else group.members.push({ member, need });
}

function byValue<Member>({ need, members }: Group<Member, RequiredValue>, compile: Compile): Lookup<Member> {
  const able = new Map<Value, Member[]>();
  for (const { member, need: own } of members) {
    for (const value of own.values) {
      const same = able.get(value);
      if (same === undefined) able.set(value, [member]);
      else same.push(member);
    }
  }
  const ask = compile(need.reference);
  return (view, found) => {
    const those = able.get(ask(view));
    if (those !== undefined) for (const member of those) found(member);
  };
}

function byBound<Member>({ need, members }: Group<Member, RequiredBound>, compile: Compile): Lookup<Member> {
  const sign = need.side === 'above' ? 1 : -1;
  const sorted = members
    .map(({ member, need: own }) => ({ member, bound: own.bound * sign }))
    .sort((a, b) => a.bound - b.bound);
  const ask = compile(need.value);
  return (view, found) => {
    const answer = ask(view);
    if (!isDefined(answer)) return;
    // A body value that is no number has an order to numbers, too: then all are asked.
    const limit = typeof answer === 'number' ? answer * sign : Number.POSITIVE_INFINITY;
    for (const { member, bound } of sorted) {
      if (bound > limit) return;
      found(member);
    }
  };
}
