// The values that a condition needs: a condition `alarm = 'high' AND …` never holds unless alarm is 'high'. Pure.
//
// A table of routes asks for the property once and looks only at the conditions that need the value it has; that is
// what makes a thousand such routes as cheap as ten.

import type { CheckedNode } from './checker.ts';
import { canonicalText } from './compiler.ts';

export interface RequiredValue {
  /** The property or body path. */
  readonly reference: CheckedNode;
  /** Equal for the same reference. */
  readonly key: string;
  readonly values: ReadonlySet<string | number | boolean>;
}

/** Undefined when no single value is needed. Where the answer is some, the condition is true for no other value. */
export function requiredValue(node: CheckedNode): RequiredValue | undefined {
  if (node.kind !== 'binary') return undefined;
  if (node.operator === 'and') return requiredValue(node.left) ?? requiredValue(node.right);
  if (node.operator === 'or') {
    const left = requiredValue(node.left);
    const right = left === undefined ? undefined : requiredValue(node.right);
    if (left === undefined || left.key !== right?.key) return undefined;
    return { ...left, values: new Set([...left.values, ...right.values]) };
  }
  if (node.operator !== '=') return undefined;
  return required(node.left, node.right) ?? required(node.right, node.left);
}

function required(reference: CheckedNode, literal: CheckedNode): RequiredValue | undefined {
  if (reference.kind !== 'reference' || literal.node.kind !== 'literal') return undefined;
  const { value } = literal.node;
  if (value === null || value === undefined) return undefined;
  return { reference, key: canonicalText(reference), values: new Set([value]) };
}
