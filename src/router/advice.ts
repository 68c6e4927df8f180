// What is allowed in a route, and hardly ever what somebody meant. Pure.
//
// Nothing here changes what a route does: IoT Edge takes all of it, and so does weir. `weir route check` tells it.

import { eventSources } from '../model/message.ts';
import type { CheckedNode } from './condition/checker.ts';
import { isConstant } from './condition/compiler.ts';
import { explainCondition } from './condition/explain.ts';
import type { ParsedRoute } from './route-parser.ts';

export interface Advice {
  readonly message: string;
  /** 1-based character of the route's text. */
  readonly column: number;
}

/** `text` is what the route was parsed from. */
export function adviceFor(text: string, route: ParsedRoute): readonly Advice[] {
  const { condition } = route;
  const found = sourceAdvice(text, route.sourcePrefix);
  if (condition === undefined) return found;
  const parts: Advice[] = [];
  collect(condition.root, { text: condition.text, parts });
  return [...found, ...verdictAdvice(condition.text, condition.root), ...parts];
}

const modulePattern = /^\/messages\/modules\/(?:[^/]+\/(?:outputs\/(?:[^/]+\/)?)?)?$/;

/** Sources that no message has. */
function sourceAdvice(text: string, prefix: string): readonly Advice[] {
  const events = Object.values(eventSources).map((source) => source.toLowerCase());
  const isStarred = prefix.includes('*');
  if (!isStarred && (['/', '/messages/'].includes(prefix) || modulePattern.test(prefix) || events.includes(prefix)))
    return [];
  const column = text.search(/\//) + 1;
  if (isStarred)
    return [{ message: 'A * in the middle of a source stands for itself: this route takes no message.', column }];
  const sources = ['/*', '/messages/*', '/messages/modules/<module>/outputs/<output>', ...Object.values(eventSources)];
  return [{ message: `No message has this source. There are ${sources.join(', ')}.`, column }];
}

function verdictAdvice(text: string, root: CheckedNode): readonly Advice[] {
  const column = root.node.start + 1;
  if (isConstant(root)) {
    const message = { sender: { deviceId: '' }, properties: {}, system: {}, body: new Uint8Array(), enqueuedMs: 0 };
    const { verdict } = explainCondition({ text, root }, message, {});
    if (verdict === true) return [];
    return [{ message: 'This condition never holds, whatever the message.', column }];
  }
  if (root.type === 'bool' || root.type === 'body') return [];
  const written = text.slice(root.node.start, root.node.end);
  const what = root.type === 'text' ? 'Text' : root.type === 'number' ? 'A number' : 'What is always null';
  const mend = root.type === 'text' ? ` write ${written} = 'true'.` : ' compare it with something.';
  return [{ message: `${what} is never true, so this route takes no message:${mend}`, column }];
}

interface Collecting {
  readonly text: string;
  readonly parts: Advice[];
}

function collect(node: CheckedNode, collecting: Collecting): void {
  const advice = partAdvice(node, collecting.text);
  if (advice !== undefined) collecting.parts.push({ message: advice, column: node.node.start + 1 });
  switch (node.kind) {
    case 'call':
      for (const operand of node.operands) collect(operand, collecting);
      return;
    case 'negate':
    case 'not':
      collect(node.operand, collecting);
      return;
    case 'binary':
      collect(node.left, collecting);
      collect(node.right, collecting);
      return;
    default:
  }
}

function partAdvice(node: CheckedNode, text: string): string | undefined {
  const written = text.slice(node.node.start, node.node.end);
  if (node.kind === 'reference' && node.reference.kind === 'property') return nameAdvice(written);
  if (node.kind === 'constant' && node.type === 'undefined' && written !== 'undefined')
    return `\`${written}\` is read as a number that is none: it is always undefined.`;
  if (node.kind === 'call' && node.node.kind === 'call' && node.node.name.toLowerCase() === 'is_null')
    return node.operands[0]?.type === 'body'
      ? 'is_null() of a body value is true for everything that is there, as in IoT Edge: write = null.'
      : undefined;
  if (node.kind !== 'binary') return undefined;
  return orderAdvice(node, text);
}

function nameAdvice(name: string): string | undefined {
  if (/^(?:true|false|null|undefined)$/i.test(name))
    return `\`${name}\` is the name of a property: write ${name.toLowerCase()} in lower case for the literal.`;
  if (/^['"]|[+*%|!&]|^-|\d-\d/.test(name))
    return `\`${name}\` is the name of one property: operators stand between blanks, as in a + b.`;
  return undefined;
}

/** Body values of different types have an order, too: text and null are greater than every number. */
function orderAdvice(node: CheckedNode & { readonly kind: 'binary' }, text: string): string | undefined {
  const { operator, left, right } = node;
  const body = operator.startsWith('>') ? left : operator.startsWith('<') ? right : undefined;
  const other = body === left ? right : left;
  if (body?.type !== 'body' || body.kind !== 'reference' || other.type !== 'number') return undefined;
  const written = text.slice(body.node.start, body.node.end);
  if (text.replace(/\s/g, '').toLowerCase().includes(`is_number(${written.toLowerCase()})`)) return undefined;
  return `This holds for text and null, too, and where nothing lies at ${written}, as in IoT Edge: add is_number(${written}) AND.`;
}
