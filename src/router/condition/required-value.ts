// What a condition needs to be true, as far as one value tells: `alarm = 'high' AND …` never holds unless alarm is
// 'high', `as_number(t) > 80 AND …` unless t is above 80. Pure.
//
// A table of routes works such a value out once for a message and looks only at the conditions that it can satisfy;
// that is what makes a thousand routes of one source as cheap as ten.

import type { CheckedNode } from './checker.ts';
import { canonicalText, isConstant } from './compiler.ts';

export interface RequiredValue {
  /** A property or body path. */
  readonly reference: CheckedNode;
  /** Equal for the same reference. */
  readonly key: string;
  readonly values: ReadonlySet<string | number | boolean>;
}

/** A number that a value has to be above of, or below; the bound itself may do or not. */
export interface RequiredBound {
  /** A number or a body value. */
  readonly value: CheckedNode;
  /** Equal for the same value and side. */
  readonly key: string;
  readonly side: 'above' | 'below';
  readonly bound: number;
}

type Comparison = CheckedNode & { readonly kind: 'binary' };

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
  return valueOfSides(node.left, node.right) ?? valueOfSides(node.right, node.left);
}

function valueOfSides(reference: CheckedNode, literal: CheckedNode): RequiredValue | undefined {
  if (reference.kind !== 'reference' || literal.node.kind !== 'literal') return undefined;
  const { value } = literal.node;
  if (value === null || value === undefined) return undefined;
  return { reference, key: canonicalText(reference), values: new Set([value]) };
}

/** Undefined when no bound is needed. Where the answer is some, no number on its other side makes the condition true. */
export function requiredBound(node: CheckedNode): RequiredBound | undefined {
  if (node.kind !== 'binary') return undefined;
  if (node.operator === 'and') return requiredBound(node.left) ?? requiredBound(node.right);
  if (node.operator.startsWith('>')) return boundOfSides(node, 'above') ?? boundOfSides(turned(node), 'below');
  if (node.operator.startsWith('<')) return boundOfSides(node, 'below') ?? boundOfSides(turned(node), 'above');
  return undefined;
}

function turned(node: Comparison): Comparison {
  return { ...node, left: node.right, right: node.left };
}

function boundOfSides({ left, right }: Comparison, side: 'above' | 'below'): RequiredBound | undefined {
  const bound = right.node.kind === 'literal' ? right.node.value : undefined;
  if (typeof bound !== 'number' || isConstant(left)) return undefined;
  if (left.type !== 'number' && left.type !== 'body') return undefined;
  return { value: left, key: `${side} ${canonicalText(left)}`, side, bound };
}
