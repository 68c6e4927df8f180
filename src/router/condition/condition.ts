// A condition of a route: parsed, checked, and ready to be asked about messages.
//
//   text ─ token.ts ► tokens ─ parser.ts ► tree ─ checker.ts ► typed tree ─ compiler.ts ► closure(message view)
//
// Three answers: true takes the message; false and undefined do not. Only true and the others are told apart by a
// route; why one did not hold is told by explain.ts.

import { type CheckedNode, checkCondition } from './checker.ts';
import { compileNode, type Evaluate, SharedValues } from './compiler.ts';
import { MessageView, type ViewedMessage } from './message-view.ts';
import { parseCondition } from './parser.ts';
import { verdict } from './value.ts';

export interface Condition {
  /** The text it has its places in: the whole route. */
  readonly text: string;
  readonly root: CheckedNode;
}

/** The condition that begins at `start`, and where it ends. Throws RouteSyntaxError. */
export function readCondition(
  text: string,
  { start, isTwinChange }: { readonly start: number; readonly isTwinChange: boolean },
): { readonly condition: Condition; readonly end: number } {
  const { node, end } = parseCondition(text, start);
  return { condition: { text, root: checkCondition(node, { text, isTwinChange }) }, end };
}

/** The closure of a condition, in a set that shares values. True takes the message. */
export function compileCondition(
  { root }: Condition,
  shared: SharedValues,
): (view: MessageView) => boolean | undefined {
  const evaluate: Evaluate = compileNode(root, shared);
  const { type } = root;
  if (type === 'bool') return evaluate as (view: MessageView) => boolean | undefined;
  return (view) => verdict(evaluate(view), type);
}

/** Asks one condition about one message. Throws RouteSyntaxError. */
export function evaluateCondition(
  text: string,
  message: ViewedMessage,
  options: { readonly isTwinChange?: boolean } = {},
): boolean | undefined {
  const { condition } = readCondition(text, { start: 0, isTwinChange: options.isTwinChange ?? false });
  const shared = new SharedValues();
  const holds = compileCondition(condition, shared);
  const view = new MessageView();
  view.reserve(shared.size);
  view.look(message);
  return holds(view);
}
