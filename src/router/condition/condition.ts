// A condition of a route: parsed, checked, and ready to be asked about messages.
//
//   text ─ token.ts ► tokens ─ parser.ts ► tree ─ checker.ts ► typed tree ─ compiler.ts ► closure(message view)
//
// Three answers: true takes the message; false and undefined do not. A route tells only true from the others; why one
// did not hold is told by explain.ts.

import { type CheckedNode, checkCondition } from './checker.ts';
import { compileHolds, compileNode, SharedValues } from './compiler.ts';
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

/** Whether a condition takes a message, in a set that shares values. */
export function compileCondition({ root }: Condition, shared: SharedValues): (view: MessageView) => boolean {
  return compileHolds(root, shared);
}

/** Asks one condition about one message. Throws RouteSyntaxError. */
export function evaluateCondition(
  text: string,
  message: ViewedMessage,
  options: { readonly isTwinChange?: boolean } = {},
): boolean | undefined {
  const { condition } = readCondition(text, { start: 0, isTwinChange: options.isTwinChange ?? false });
  const shared = new SharedValues();
  const evaluate = compileNode(condition.root, shared);
  const view = new MessageView();
  view.reserve(shared.size);
  view.look(message);
  return verdict(evaluate(view), condition.root.type);
}
