// The types of a condition: what does not fit is refused before any message comes. Pure.
//
// As in IoT Edge: properties are text, and nothing is converted by itself. Arithmetic and mathematical functions take
// numbers, || and text functions take text, comparisons and ?? take two of one type; AND, OR and NOT take true, false
// and null. A body value stands for any of them, its type shows with the message. Two leniences: AND and OR take a
// body value on their right, too, and `undefined` on either side of null. Refused as there, because nothing could come
// of it: % and unary minus of a body value, a body value AND null.

import { RouteSyntaxError } from '../route-lexer.ts';
import { type BodyPath, parseBodyPath } from './body-path.ts';
import { conditionFunctions, functionMeant, type Signature } from './functions.ts';
import { numberOfText } from './number-text.ts';
import type { Reference } from './reference.ts';
import type { BinaryOperator, ConditionNode } from './syntax.ts';
import type { ValueType } from './value.ts';

interface Checked {
  readonly node: ConditionNode;
  readonly type: ValueType;
}

export type CheckedNode =
  | (Checked & { readonly kind: 'constant' })
  | (Checked & { readonly kind: 'reference'; readonly reference: Reference })
  /** twin_change_includes(). */
  | (Checked & { readonly kind: 'includes'; readonly path: BodyPath })
  | (Checked & { readonly kind: 'call'; readonly signature: Signature; readonly operands: readonly CheckedNode[] })
  | (Checked & { readonly kind: 'negate' | 'not'; readonly operand: CheckedNode })
  | (Checked & {
      readonly kind: 'binary';
      readonly operator: BinaryOperator;
      readonly left: CheckedNode;
      readonly right: CheckedNode;
    });

export class ConditionTypeError extends RouteSyntaxError {}

/** What the types of a condition depend on beside its text. */
export interface CheckContext {
  /** The text that the nodes have their places in. */
  readonly text: string;
  /** True when the route takes twin changes and nothing else. */
  readonly isTwinChange: boolean;
}

const typeNames: Readonly<Record<ValueType, string>> = {
  number: 'a number',
  text: 'text',
  bool: 'true or false',
  null: 'null',
  undefined: 'undefined',
  body: 'a body value',
};
const bodyStart = '$body.';
const twinChangeIncludes = 'twin_change_includes';

/** Throws ConditionTypeError at the first part that does not fit. */
export function checkCondition(node: ConditionNode, context: CheckContext): CheckedNode {
  switch (node.kind) {
    case 'literal':
      return { kind: 'constant', node, type: literalType(node.value) };
    case 'property':
      return { kind: 'reference', node, type: 'text', reference: { kind: 'property', name: node.name } };
    case 'system':
      return checkSystem(node);
    case 'call':
      return checkCall(node, context);
    case 'negate':
    case 'not':
      return checkPrefix(node, checkCondition(node.operand, context), context);
    case 'binary': {
      const left = checkCondition(node.left, context);
      const right = checkCondition(node.right, context);
      const type = binaryType(node, { left, right }, context);
      return { kind: 'binary', node, type, operator: node.operator, left, right };
    }
  }
}

function literalType(value: number | string | boolean | null | undefined): ValueType {
  if (value === null) return 'null';
  if (typeof value === 'string') return 'text';
  return typeof value === 'boolean' ? 'bool' : typeof value === 'number' ? 'number' : 'undefined';
}

function checkSystem(node: ConditionNode & { readonly kind: 'system' }): CheckedNode {
  const isPlain = !node.isBraced;
  const name = node.name.slice(1);
  if (node.name.toLowerCase().startsWith(bodyStart)) {
    const path = parseBodyPath(node.name.slice(bodyStart.length));
    if (path === undefined)
      throw new ConditionTypeError(
        `\`${node.name}\` is no body path: write $body.name, $body.name.inner or $body.list[0].name.`,
        node.start,
      );
    // Names with brackets are none of properties.
    const reference: Reference = { kind: 'body', name: node.name, path, isPlain: isPlain && !/[[\]]/.test(node.name) };
    return { kind: 'reference', node, type: 'body', reference };
  }
  if (/[[\]]/.test(name)) return { kind: 'constant', node, type: 'undefined' };
  return { kind: 'reference', node, type: 'text', reference: { kind: 'system', name, isPlain } };
}

function checkCall(node: ConditionNode & { readonly kind: 'call' }, context: CheckContext): CheckedNode {
  const name = node.name.toLowerCase();
  if (name === twinChangeIncludes) return checkIncludes(node, context);
  const signatures = conditionFunctions.get(name);
  if (signatures === undefined) {
    const meant = functionMeant(node.name);
    const known = [...conditionFunctions.keys()].join(', ');
    throw new ConditionTypeError(
      `There is no function \`${node.name}\`: ${meant === undefined ? `the functions are ${known}` : `write ${meant}()`}.`,
      node.start,
    );
  }
  const operands = node.operands.map((operand) => checkCondition(operand, context));
  const signature = signatures.find((candidate) => fits(candidate, operands));
  if (signature === undefined) throw operandsError(node, { signatures, operands }, context);
  return { kind: 'call', node, type: signature.result, signature, operands };
}

function fits({ operands: wanted, repeats, takesBody }: Signature, operands: readonly CheckedNode[]): boolean {
  if (repeats === true ? operands.length < wanted.length : operands.length !== wanted.length) return false;
  return operands.every(({ type }, at) => {
    const expected = wanted[Math.min(at, wanted.length - 1)];
    return expected === 'any' || expected === type || (takesBody && type === 'body');
  });
}

function operandsError(
  node: ConditionNode & { readonly kind: 'call' },
  { signatures, operands }: { readonly signatures: readonly Signature[]; readonly operands: readonly CheckedNode[] },
  context: CheckContext,
): ConditionTypeError {
  const name = node.name.toLowerCase();
  const forms = [...new Set(signatures.map((signature) => form(name, signature)))].join(' or ');
  const sameNumber = signatures.find(({ operands: wanted, repeats }) =>
    repeats === true ? operands.length >= wanted.length : wanted.length === operands.length,
  );
  const given = operands.length === 0 ? 'nothing' : operands.map(({ type }) => typeNames[type]).join(', ');
  const wrongAt = sameNumber?.operands.findIndex((expected, at) => {
    const type = operands[at]?.type;
    return expected !== 'any' && expected !== type && !(sameNumber.takesBody && type === 'body');
  });
  const wrong = wrongAt === undefined || wrongAt < 0 ? undefined : operands[wrongAt];
  const expected = wrongAt === undefined ? undefined : sameNumber?.operands[wrongAt];
  const mend =
    wrong === undefined || expected === 'any' || expected === undefined ? '' : mendFor(wrong, expected, context);
  return new ConditionTypeError(`${name}() takes ${forms}, not ${given}.${mend}`, (wrong ?? { node }).node.start);
}

function form(name: string, { operands, repeats }: Signature): string {
  const words = operands.map((type) => (type === 'any' ? 'anything' : typeNames[type].replace(/^a /, '')));
  return `${name}(${words.join(', ')}${repeats === true ? ', …' : ''})`;
}

function checkIncludes(node: ConditionNode & { readonly kind: 'call' }, { isTwinChange }: CheckContext): CheckedNode {
  if (!isTwinChange)
    throw new ConditionTypeError(
      `${twinChangeIncludes}() needs a route FROM /twinChangeNotifications: other messages change no twin.`,
      node.start,
    );
  const [operand] = node.operands;
  const path = operand?.kind === 'property' && node.operands.length === 1 ? parseBodyPath(operand.name) : undefined;
  if (path === undefined)
    throw new ConditionTypeError(
      `${twinChangeIncludes}() takes one path without quotes: ${twinChangeIncludes}(properties.reported.temperature).`,
      (operand ?? node).start,
    );
  return { kind: 'includes', node, type: 'bool', path };
}

function checkPrefix(
  node: ConditionNode & { readonly kind: 'negate' | 'not' },
  operand: CheckedNode,
  context: CheckContext,
): CheckedNode {
  const { type } = operand;
  if (node.kind === 'not') {
    if (type === 'bool' || type === 'null' || type === 'body') {
      return { kind: 'not', node, type: 'bool', operand };
    }
    throw new ConditionTypeError(
      `NOT takes true or false, not ${typeNames[type]}.${mendFor(operand, 'bool', context)}`,
      operand.node.start,
    );
  }
  if (type === 'number') return { kind: 'negate', node, type, operand };
  const mend = type === 'body' ? ` Write 0 - ${shown(operand, context)}.` : mendFor(operand, 'number', context);
  throw new ConditionTypeError(`- takes a number, not ${typeNames[type]}.${mend}`, operand.node.start);
}

interface Operands {
  readonly left: CheckedNode;
  readonly right: CheckedNode;
}

function binaryType(
  node: ConditionNode & { readonly kind: 'binary' },
  operands: Operands,
  context: CheckContext,
): ValueType {
  switch (node.operator) {
    case '+':
    case '-':
    case '*':
    case '/':
    case '%':
      return arithmeticType(node, operands, context);
    case '||':
      demand(node, { ...operands, wanted: 'text' }, context);
      return 'text';
    case 'and':
    case 'or':
      return logicalType(node, operands, context);
    case '??':
      sameTypes(node, operands, context);
      return isBody(operands) ? 'body' : operands.left.type;
    default:
      sameTypes(node, operands, context);
      return 'bool';
  }
}

function isBody({ left, right }: Operands): boolean {
  return left.type === 'body' || right.type === 'body';
}

function arithmeticType(
  node: ConditionNode & { readonly kind: 'binary' },
  operands: Operands,
  context: CheckContext,
): ValueType {
  demand(node, { ...operands, wanted: 'number' }, context);
  if (!isBody(operands)) return 'number';
  if (node.operator !== '%') return 'body';
  const body = operands.left.type === 'body' ? operands.left : operands.right;
  throw new ConditionTypeError(
    `% is not made for body values: write as_number(${shown(body, context)}).`,
    body.node.start,
  );
}

/** Both operands of one type, or body values. */
function demand(
  node: ConditionNode & { readonly kind: 'binary' },
  { left, right, wanted }: Operands & { readonly wanted: 'number' | 'text' },
  context: CheckContext,
): void {
  const wrong = [left, right].find(({ type }) => type !== wanted && type !== 'body');
  if (wrong === undefined) return;
  const pair = `${typeNames[left.type]} and ${typeNames[right.type]}`;
  throw new ConditionTypeError(
    `${operatorText(node, context)} takes two operands of type ${wanted}, here are ${pair}.${mendFor(wrong, wanted, context)}`,
    wrong.node.start,
  );
}

function sameTypes(
  node: ConditionNode & { readonly kind: 'binary' },
  { left, right }: Operands,
  context: CheckContext,
): void {
  if (left.type === right.type) return;
  if (left.type === 'body' && right.type !== 'undefined') return;
  if (right.type === 'body' && left.type !== 'undefined') return;
  const pair = `${typeNames[left.type]} and ${typeNames[right.type]}`;
  const [changed, wanted] = left.type === 'text' ? [left, right.type] : [right, left.type];
  const precedence =
    node.operator === '??' && [left, right].some(({ kind }) => kind === 'binary')
      ? ' ?? comes after all other operators: put it in parentheses, (a ?? b) = c.'
      : mendFor(changed, wanted, context);
  throw new ConditionTypeError(
    `${operatorText(node, context)} takes two operands of one type, here are ${pair}.${precedence}`,
    node.operatorAt,
  );
}

function logicalType(
  node: ConditionNode & { readonly kind: 'binary' },
  { left, right }: Operands,
  context: CheckContext,
): ValueType {
  const name = operatorText(node, context);
  // Whatever stands to the right of a body value is accepted, as in IoT Edge; what is not true or false makes it undefined.
  const isWrong = ({ type }: CheckedNode): boolean => type === 'number' || type === 'text';
  const wrong = isWrong(left) ? left : left.type !== 'body' && isWrong(right) ? right : undefined;
  if (wrong !== undefined)
    throw new ConditionTypeError(
      `${name} takes true or false on both sides, here is ${typeNames[wrong.type]}.${mendFor(wrong, 'bool', context)}`,
      wrong.node.start,
    );
  const nulls = [left, right].filter(({ type }) => type === 'null').length;
  if (node.operator === 'or') return nulls === 2 ? 'null' : 'bool';
  if (nulls > 0 && isBody({ left, right }))
    throw new ConditionTypeError(`${name} never holds with null: remove it.`, node.operatorAt);
  return nulls > 0 ? 'null' : 'bool';
}

/** The operator as it is written. */
function operatorText(
  { operatorAt, operator }: ConditionNode & { readonly kind: 'binary' },
  { text }: CheckContext,
): string {
  const written = operator === '!=' ? text.slice(operatorAt, operatorAt + 2) : operator;
  return /^[a-z]/.test(written) ? written.toUpperCase() : `\`${written}\``;
}

function mendFor(wrong: CheckedNode, wanted: ValueType, context: CheckContext): string {
  const text = shown(wrong, context);
  const isProperty = wrong.kind === 'reference' && wrong.type === 'text';
  if (wanted === 'number' && wrong.type === 'text') {
    if (wrong.kind !== 'constant') return ` ${isProperty ? 'A property is text: write' : 'Write'} as_number(${text}).`;
    const value = wrong.node.kind === 'literal' ? wrong.node.value : undefined;
    return typeof value === 'string' && numberOfText(value) !== undefined ? ` Write ${value} without quotes.` : '';
  }
  if (wanted === 'text' && wrong.kind === 'constant' && wrong.type === 'number') return ` Write '${text}'.`;
  if (wanted === 'bool' && isProperty) return ` A property is text: write ${text} = 'true'.`;
  if (wanted === 'null' && wrong.type === 'text') return ` Ask is_null(${text}), or NOT is_defined(${text}).`;
  if (wrong.type === 'null' && wanted === 'text') return ' Ask is_null() or is_defined() instead.';
  return '';
}

const shownCharactersMax = 40;

/** That part of the condition, as it is written. */
function shown({ node }: CheckedNode, { text }: CheckContext): string {
  const written = text.slice(node.start, node.end);
  return written.length <= shownCharactersMax ? written : '…';
}
