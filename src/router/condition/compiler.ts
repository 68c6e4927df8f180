// A checked condition into closures. Pure.
//
// Each part becomes a function of the message view, chosen once by its types; at run time nothing is decided that
// was known before. Parts without a reference are worked out here. Values that a set of conditions shares, such as
// as_number(temperature), get a slot each, so that a thousand conditions work them out once for a message.
//
// AND and OR do not evaluate their right side when the left one decides; no part has an effect, so nobody can tell.

import { routeSharedValuesMax } from '../../limits.ts';
import type { BodyPath } from './body-path.ts';
import type { CheckedNode } from './checker.ts';
import { concat } from './functions.ts';
import { MessageView } from './message-view.ts';
import { type Reference, systemPropertyOf } from './reference.ts';
import type { ArithmeticOperator, EqualityOperator, OrderOperator } from './syntax.ts';
import { isDefined, isNumber, noText, orderOf, type Value } from './value.ts';

export type Evaluate = (view: MessageView) => Value;

/** The slots of one set of conditions. */
export class SharedValues {
  readonly #slots = new Map<string, number>();

  get size(): number {
    return this.#slots.size;
  }

  /** The slot of what this text stands for; undefined when there are no more. */
  slotOf(text: string): number | undefined {
    const known = this.#slots.get(text);
    if (known !== undefined) return known;
    if (this.#slots.size >= routeSharedValuesMax) return undefined;
    this.#slots.set(text, this.#slots.size);
    return this.#slots.size - 1;
  }
}

export function compileNode(node: CheckedNode, shared: SharedValues): Evaluate {
  const constant = constantOf(node);
  if (constant !== undefined) return constant;
  switch (node.kind) {
    case 'constant':
      return constantly(node.node.kind === 'literal' ? node.node.value : undefined);
    case 'reference':
      return inSlot(node, compileReference(node.reference), shared);
    case 'includes':
      return compileIncludes(node.path);
    case 'call':
      return inSlot(node, compileCall(node, shared), shared);
    case 'negate': {
      const operand = compileNode(node.operand, shared);
      return (view) => -(operand(view) as number);
    }
    case 'not':
      return compileNot(node, shared);
    case 'binary':
      return compileBinary(node, shared);
  }
}

/**
 * Whether the condition is true, without telling false from undefined: of AND and OR, whose right side may have to
 * parse the body, less is evaluated.
 */
export function compileHolds(node: CheckedNode, shared: SharedValues): (view: MessageView) => boolean {
  if (node.kind === 'binary' && node.type !== 'null' && (node.operator === 'and' || node.operator === 'or')) {
    const left = compileHolds(node.left, shared);
    const right = compileHolds(node.right, shared);
    if (node.operator === 'and') return (view) => left(view) && right(view);
    if (node.left.type !== 'body' && node.right.type !== 'body') return (view) => left(view) || right(view);
  }
  const evaluate = compileNode(node, shared);
  return (view) => evaluate(view) === true;
}

/** True when the value is the same for every message. */
/** A gateway's notice holds the reported patch alone, IoT Hub's the patch in its place in the twin: the path of either will do. */
function compileIncludes(path: BodyPath): Evaluate {
  const [first, second, ...inPatch] = path;
  if (first !== 'properties' || second !== 'reported' || inPatch.length === 0) return (view) => view.bodyHas(path);
  return (view) => view.bodyHas(path) || view.bodyHas(inPatch);
}

export function isConstant(node: CheckedNode): boolean {
  switch (node.kind) {
    case 'constant':
      return true;
    case 'reference':
    case 'includes':
      return false;
    case 'call':
      return node.operands.every(isConstant);
    case 'negate':
    case 'not':
      return isConstant(node.operand);
    case 'binary':
      return isConstant(node.left) && isConstant(node.right);
  }
}

function constantly(value: Value): Evaluate {
  return () => value;
}

/** The value of a compound part without references. */
function constantOf(node: CheckedNode): Evaluate | undefined {
  if (node.kind === 'constant' || !isConstant(node)) return undefined;
  return constantly(compileCompound(node, new SharedValues())(new MessageView()));
}

function compileCompound(node: CheckedNode, shared: SharedValues): Evaluate {
  if (node.kind === 'call') return compileCall(node, shared);
  if (node.kind === 'not') return compileNot(node, shared);
  if (node.kind === 'binary') return compileBinary(node, shared);
  if (node.kind !== 'negate') return compileNode(node, shared);
  const operand = compileNode(node.operand, shared);
  return (view) => -(operand(view) as number);
}

function inSlot(node: CheckedNode, evaluate: Evaluate, shared: SharedValues): Evaluate {
  const slot = shared.slotOf(canonicalText(node));
  return slot === undefined ? evaluate : (view) => view.remembered(slot, evaluate);
}

/** The same for parts that always have the same value. */
export function canonicalText(node: CheckedNode): string {
  switch (node.kind) {
    case 'constant':
      return node.node.kind === 'literal' ? literalText(node.node.value) : 'undefined';
    case 'reference':
      return referenceText(node.reference);
    case 'includes':
      return `includes(${JSON.stringify(node.path)})`;
    case 'call': {
      const name = node.node.kind === 'call' ? node.node.name.toLowerCase() : '';
      return `${name}(${node.operands.map(canonicalText).join(',')})`;
    }
    case 'negate':
    case 'not':
      return `${node.kind}(${canonicalText(node.operand)})`;
    case 'binary':
      return `(${canonicalText(node.left)} ${node.operator} ${canonicalText(node.right)})`;
  }
}

function literalText(value: Value): string {
  return typeof value === 'string' ? JSON.stringify(value) : String(value);
}

function referenceText(reference: Reference): string {
  if (reference.kind === 'property') return `p${JSON.stringify(reference.name.toLowerCase())}`;
  // The names in a path have a case that matters; the property of that name has none.
  const name = reference.kind === 'body' ? reference.name : reference.name.toLowerCase();
  return `${reference.kind}${reference.isPlain ? '$' : ''}${JSON.stringify(name)}`;
}

function compileReference(reference: Reference): Evaluate {
  if (reference.kind === 'property') {
    const { name } = reference;
    return (view) => view.property(name);
  }
  const last = reference.kind === 'body' ? bodyReference(reference.path) : systemReference(reference.name);
  if (!reference.isPlain) return last;
  const name = reference.kind === 'body' ? reference.name : `$${reference.name}`;
  const fallback = last;
  return (view) => {
    const own = view.dollarProperty(name);
    return own === undefined ? fallback(view) : own;
  };
}

function bodyReference(path: (Reference & { readonly kind: 'body' })['path']): Evaluate {
  return (view) => view.bodyValue(path);
}

function systemReference(name: string): Evaluate {
  const property = systemPropertyOf(name);
  if ('fact' in property) return (view) => view.fact(property.fact);
  const { key } = property;
  return (view) => view.system(key);
}

function compileCall(node: CheckedNode & { readonly kind: 'call' }, shared: SharedValues): Evaluate {
  const operands = node.operands.map((operand) => compileNode(operand, shared));
  const { run, runAll } = node.signature;
  const [a, b, c] = operands;
  if (runAll !== undefined) return (view) => runAll(operands.map((operand) => operand(view)));
  if (a === undefined) return () => run(undefined, undefined, undefined);
  if (b === undefined) return (view) => run(a(view), undefined, undefined);
  if (c === undefined) return (view) => run(a(view), b(view), undefined);
  return (view) => run(a(view), b(view), c(view));
}

function compileNot(
  { operand: node }: CheckedNode & { readonly kind: 'not' | 'negate' },
  shared: SharedValues,
): Evaluate {
  const operand = compileNode(node, shared);
  if (node.type === 'null') return constantly(true);
  return (view) => {
    const value = operand(view);
    return typeof value === 'boolean' ? !value : undefined;
  };
}

type Binary = CheckedNode & { readonly kind: 'binary' };

function compileBinary(node: Binary, shared: SharedValues): Evaluate {
  const { operator } = node;
  const left = compileNode(node.left, shared);
  const right = compileNode(node.right, shared);
  switch (operator) {
    case '+':
    case '-':
    case '*':
    case '/':
    case '%':
      return compileArithmetic(operator, { left, right, isBody: node.type === 'body' });
    case '||':
      return inSlot(node, compileConcat(left, right), shared);
    case 'and':
    case 'or':
      return compileLogical(node, { left, right });
    case '??':
      return (view) => {
        const value = left(view);
        return isDefined(value) ? value : right(view);
      };
    default:
      return compileComparison(operator, { node, left, right });
  }
}

interface Sides {
  readonly left: Evaluate;
  readonly right: Evaluate;
}

function compileArithmetic(
  operator: ArithmeticOperator,
  { left, right, isBody }: Sides & { readonly isBody: boolean },
): Evaluate {
  const numbers = arithmetic[operator];
  if (!isBody) return (view) => numbers(left(view) as number, right(view) as number);
  return (view) => {
    const a = left(view);
    const b = right(view);
    if (!isNumber(a) || !isNumber(b)) return undefined;
    const result = numbers(a, b);
    return isNumber(result) ? result : undefined;
  };
}

const arithmetic: Readonly<Record<ArithmeticOperator, (a: number, b: number) => number>> = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => a / b,
  '%': (a, b) => a % b,
};

function compileConcat(left: Evaluate, right: Evaluate): Evaluate {
  return (view) => concat([left(view), right(view)]);
}

function compileLogical(
  { operator, type, left: leftNode, right: rightNode }: Binary,
  { left, right }: Sides,
): Evaluate {
  if (type === 'null') return constantly(null);
  const isBody = leftNode.type === 'body' || rightNode.type === 'body';
  if (leftNode.type === 'null' || rightNode.type === 'null') {
    if (isBody) return constantly(undefined);
    return leftNode.type === 'null' ? right : left;
  }
  if (isBody) return compileBodyLogical(operator === 'and', { left, right });
  const decisive = operator === 'or';
  return (view) => {
    const a = left(view);
    if (a === decisive) return a;
    const b = right(view);
    if (b === decisive) return b;
    return a === undefined || b === undefined ? undefined : !decisive;
  };
}

/** With a body value there is nothing between: both are true or false, or all is undefined. */
function compileBodyLogical(isAnd: boolean, { left, right }: Sides): Evaluate {
  return (view) => {
    const a = left(view);
    if (typeof a !== 'boolean') return undefined;
    const b = right(view);
    if (typeof b !== 'boolean') return undefined;
    return isAnd ? a && b : a || b;
  };
}

type Comparison = OrderOperator | EqualityOperator;

function compileComparison(operator: Comparison, { node, left, right }: Sides & { readonly node: Binary }): Evaluate {
  const holds = comparisons[operator];
  const types = [node.left.type, node.right.type];
  if (types.includes('body')) return compileBodyComparison(holds, { left, right });
  switch (node.left.type) {
    case 'number':
      return compileNumberComparison(operator, { left, right });
    case 'text':
      return compileTextComparison(operator, { node, left, right });
    case 'bool':
      return (view) => {
        const a = left(view);
        const b = right(view);
        return a === undefined || b === undefined ? undefined : holds(Number(a), Number(b));
      };
    case 'null':
      return constantly(holds(0, 0));
    default:
      return constantly(undefined);
  }
}

const comparisons: Readonly<Record<Comparison, (a: number | string, b: number | string) => boolean>> = {
  '=': (a, b) => a === b,
  '!=': (a, b) => a !== b,
  '<': (a, b) => a < b,
  '<=': (a, b) => a <= b,
  '>': (a, b) => a > b,
  '>=': (a, b) => a >= b,
};

function compileBodyComparison(holds: (a: number, b: number) => boolean, { left, right }: Sides): Evaluate {
  return (view) => {
    const a = left(view);
    const b = right(view);
    if (!isDefined(a) || !isDefined(b) || a === noText || b === noText) return undefined;
    return holds(orderOf(a, b), 0);
  };
}

function compileNumberComparison(operator: Comparison, { left, right }: Sides): Evaluate {
  const holds = comparisons[operator];
  return (view) => {
    const a = left(view);
    const b = right(view);
    return isNumber(a) && isNumber(b) ? holds(a, b) : undefined;
  };
}

function compileTextComparison(
  operator: Comparison,
  { node, left, right }: Sides & { readonly node: Binary },
): Evaluate {
  const literal = node.right.node.kind === 'literal' ? node.right.node.value : undefined;
  if (operator === '=' && literal !== undefined) {
    return (view) => {
      const text = left(view);
      return typeof text === 'string' ? text === literal : undefined;
    };
  }
  const holds = comparisons[operator];
  return (view) => {
    const a = left(view);
    const b = right(view);
    return typeof a === 'string' && typeof b === 'string' ? holds(a, b) : undefined;
  };
}
