// Why a condition does not hold for a message, in words that name the part and what it looked at. Pure.
//
// Of AND the parts that are not true, of OR all of them; of any other part itself, and the values it refers to.

import type { CheckedNode } from './checker.ts';
import { compileNode, SharedValues } from './compiler.ts';
import type { Condition } from './condition.ts';
import { MessageView, type ViewedMessage } from './message-view.ts';
import { noText, nothing, type Value, verdict } from './value.ts';

export interface Explanation {
  readonly verdict: boolean | undefined;
  /** One sentence each; empty when it holds. */
  readonly reasons: readonly string[];
}

interface Asking {
  readonly text: string;
  readonly view: MessageView;
}

/** `deviceId`: of the gateway. */
export function explainCondition(
  { text, root }: Condition,
  message: ViewedMessage,
  { deviceId }: { readonly deviceId?: string | undefined },
): Explanation {
  const view = new MessageView(deviceId);
  view.look(message);
  const asking = { text, view };
  const answer = verdict(valueNow(root, asking), root.type);
  return { verdict: answer, reasons: answer === true ? [] : [...new Set(reasonsOf(root, asking))] };
}

function valueNow(node: CheckedNode, { view }: Asking): Value {
  const shared = new SharedValues();
  const evaluate = compileNode(node, shared);
  view.reserve(shared.size);
  return evaluate(view);
}

function reasonsOf(node: CheckedNode, asking: Asking): readonly string[] {
  const value = verdict(valueNow(node, asking), node.type);
  if (node.kind === 'binary' && (node.operator === 'and' || node.operator === 'or')) {
    const parts = [node.left, node.right].filter((part) => verdict(valueNow(part, asking), part.type) !== true);
    if (parts.length > 0) return parts.flatMap((part) => reasonsOf(part, asking));
  }
  const written = asking.text.slice(node.node.start, node.node.end).replace(/\s+/g, ' ');
  const looked = [...new Set(referencesOf(node).map((reference) => lookedAt(reference, asking)))];
  const answer = value === undefined ? 'undefined' : String(value);
  if (looked.length === 0) return [`\`${written}\` is ${answer}`];
  return [`\`${written}\` is ${answer}: ${looked.join(', ')}`];
}

type ReferenceNode = CheckedNode & { readonly kind: 'reference' | 'includes' };

function referencesOf(node: CheckedNode): readonly ReferenceNode[] {
  switch (node.kind) {
    case 'constant':
      return [];
    case 'reference':
    case 'includes':
      return [node];
    case 'call':
      return node.operands.flatMap(referencesOf);
    case 'negate':
    case 'not':
      return referencesOf(node.operand);
    case 'binary':
      return [...referencesOf(node.left), ...referencesOf(node.right)];
  }
}

function lookedAt(node: ReferenceNode, asking: Asking): string {
  const name = asking.text.slice(node.node.start, node.node.end);
  const isBody = node.kind === 'includes' || node.reference.kind === 'body';
  const value = node.kind === 'includes' ? undefined : valueNow(node, asking);
  if (value === undefined && isBody) {
    const body = asking.view.body();
    if (!body.ok) return `the body is not looked into, because ${body.reason}`;
    if (node.kind === 'includes') return 'nothing lies at this path';
    return `${name} is an object, a list or a date`;
  }
  if (value === undefined) return `the message has no ${name}`;
  if (value === nothing) return `nothing lies at ${name} in the body, which counts as null`;
  return `${name} is ${shown(value)}`;
}

const shownCharactersMax = 80;

function shown(value: Value): string {
  if (value === noText) return 'there without a value';
  if (typeof value !== 'string') return String(value);
  return value.length > shownCharactersMax ? `'${value.slice(0, shownCharactersMax)}…'` : `'${value}'`;
}
