// Tokens of a condition into its tree. Pure.
//
// By precedence climbing. Depth and number of nodes are bounded (limits.ts), so that no route can exhaust the stack
// of what walks the tree afterwards.
//
// Whatever is wrong, the answer names the first character that does not fit and what would.

import { routeConditionDepthMax, routeConditionNodesMax } from '../../limits.ts';
import { RouteSyntaxError } from '../route-lexer.ts';
import type { BinaryOperator, ConditionNode } from './syntax.ts';
import { conditionTokens, type Token, textOf } from './token.ts';

export class ConditionTooLarge extends RouteSyntaxError {}

const levels: ReadonlyMap<string, number> = new Map([
  ['??', 1],
  ['or', 2],
  ['and', 3],
  ['=', 4],
  ['!=', 4],
  ['<>', 4],
  ['<', 5],
  ['<=', 5],
  ['>', 5],
  ['>=', 5],
  ['+', 6],
  ['-', 6],
  ['||', 6],
  ['*', 7],
  ['/', 7],
  ['%', 7],
]);
const levelLowest = 1;

/** Parses from `start` up to the INTO behind it, or to the end; `end` is where that begins. Throws RouteSyntaxError. */
export function parseCondition(text: string, start: number): { readonly node: ConditionNode; readonly end: number } {
  const parser = new ConditionParser(text, conditionTokens(text, start));
  return parser.condition(start);
}

class ConditionParser {
  readonly #text: string;
  readonly #tokens: readonly Token[];
  #next = 0;
  #depth = 0;
  #nodes = 0;

  constructor(text: string, tokens: readonly Token[]) {
    this.#text = text;
    this.#tokens = tokens;
  }

  condition(start: number): { readonly node: ConditionNode; readonly end: number } {
    // A condition of blanks is undefined, as in IoT Edge: it never holds.
    const node: ConditionNode = this.#isAtEnd
      ? { kind: 'literal', value: undefined, start, end: start }
      : this.#binary(levelLowest);
    if (!this.#isAtEnd && this.#token.kind !== 'into') this.#refuseAfter();
    return { node, end: this.#token.start };
  }

  get #token(): Token {
    return this.#tokens[this.#next] as Token;
  }

  get #isAtEnd(): boolean {
    return this.#token.kind === 'end';
  }

  #take(): Token {
    const token = this.#token;
    this.#next += 1;
    return token;
  }

  #isSymbol(text: string): boolean {
    return this.#token.kind === 'symbol' && this.#token.text === text;
  }

  #binary(levelMin: number): ConditionNode {
    let left = this.#prefixed();
    for (;;) {
      const token = this.#token;
      const word = token.kind === 'and' || token.kind === 'or' ? token.kind : token.text;
      const level = token.kind === 'symbol' || word === token.kind ? levels.get(word) : undefined;
      if (level === undefined || level < levelMin) return left;
      this.#take();
      const right = this.#binary(level + 1);
      const operator = (word === '<>' ? '!=' : word) as BinaryOperator;
      const place = { start: left.start, end: right.end };
      left = this.#count({ kind: 'binary', operator, operatorAt: token.start, left, right, ...place });
    }
  }

  #prefixed(): ConditionNode {
    const token = this.#token;
    const kind = token.kind === 'not' ? 'not' : this.#isSymbol('-') ? 'negate' : undefined;
    if (kind === undefined) return this.#primary();
    this.#take();
    return this.#nested(token, () => {
      const operand = this.#prefixed();
      return this.#count({ kind, operand, start: token.start, end: operand.end });
    });
  }

  #primary(): ConditionNode {
    const token = this.#take();
    const { start, end } = token;
    switch (token.kind) {
      case 'text':
        return this.#count({ kind: 'literal', value: textOf(token), start, end });
      case 'number':
        return this.#count({ kind: 'literal', value: numberOf(token.text), start, end });
      case 'hexadecimal':
        return this.#count({ kind: 'literal', value: hexadecimalOf(token.text), start, end });
      case 'literal':
        return this.#count({ kind: 'literal', value: literalOf(token.text), start, end });
      case 'system':
        return this.#count({ kind: 'system', name: token.text, isBraced: false, start, end });
      case 'name':
        return this.#isSymbol('(')
          ? this.#call(token)
          : this.#count({ kind: 'property', name: token.text, start, end });
      default:
        if (token.text === '(') return this.#nested(token, () => this.#parenthesised(token));
        if (token.text === '{') return this.#braced(token);
        return this.#refuse(token);
    }
  }

  #parenthesised(open: Token): ConditionNode {
    const node = this.#binary(levelLowest);
    const close = this.#close(open, `The parenthesis opened at character ${open.start + 1}`);
    return { ...node, start: open.start, end: close.end };
  }

  #braced(open: Token): ConditionNode {
    const { kind, text, start } = this.#token;
    if (kind !== 'system')
      throw new RouteSyntaxError('Braces hold one system property or body path: write {$name}.', start);
    this.#take();
    if (!this.#isSymbol('}')) throw new RouteSyntaxError('The closing brace } is missing here.', this.#token.start);
    const { end } = this.#take();
    return this.#count({ kind: 'system', name: text, isBraced: true, start: open.start, end });
  }

  #call(name: Token): ConditionNode {
    this.#take();
    return this.#nested(name, () => {
      const operands: ConditionNode[] = [];
      while (!this.#isSymbol(')')) {
        if (operands.length > 0) {
          if (!this.#isSymbol(',')) break;
          this.#take();
        }
        operands.push(this.#binary(levelLowest));
      }
      const { end } = this.#close(name, `The parenthesis of ${name.text}(`);
      return this.#count({ kind: 'call', name: name.text, operands, start: name.start, end });
    });
  }

  #close(open: Token, what: string): Token {
    if (this.#isSymbol(')')) return this.#take();
    const { kind, start } = this.#token;
    if (kind === 'end' || kind === 'into')
      throw new RouteSyntaxError(`${what} is not closed: add ) here.`, this.#end(open));
    throw new RouteSyntaxError(
      `${what} is not closed: an operator or ) belongs here.${this.#hint(this.#token)}`,
      start,
    );
  }

  /** Where the last token ended. */
  #end(open: Token): number {
    return this.#tokens[this.#next - 1]?.end ?? open.end;
  }

  #nested(at: Token, parse: () => ConditionNode): ConditionNode {
    this.#depth += 1;
    if (this.#depth > routeConditionDepthMax)
      throw new ConditionTooLarge(
        `The condition is nested more than ${routeConditionDepthMax} levels deep. Split it over several routes.`,
        at.start,
      );
    const node = parse();
    this.#depth -= 1;
    return node;
  }

  #count(node: ConditionNode): ConditionNode {
    this.#nodes += 1;
    if (this.#nodes > routeConditionNodesMax)
      throw new ConditionTooLarge(
        `The condition has more than ${routeConditionNodesMax} parts. Split it over several routes.`,
        node.start,
      );
    return node;
  }

  #refuse(token: Token): never {
    const shown = token.kind === 'end' ? 'the route ends' : `found \`${token.text}\``;
    const mend =
      token.text === ')'
        ? 'This ) closes nothing, or something is missing before it.'
        : token.kind === 'bracketed'
          ? `Only body paths have brackets: write $body.${token.text}.`
          : token.text === '='
            ? 'One = compares: write a = b.'
            : token.kind === 'into'
              ? 'The condition is missing or ends too early.'
              : 'A property, a literal, a function or ( belongs here.';
    throw new RouteSyntaxError(`${mend} Here ${shown}.`, token.start);
  }

  #refuseAfter(): never {
    const token = this.#token;
    if (token.text === ')') throw new RouteSyntaxError('This ) closes nothing: remove it.', token.start);
    throw new RouteSyntaxError(
      `An operator or INTO belongs here, found \`${token.text}\`.${this.#hint(token)}`,
      token.start,
    );
  }

  /** What people usually meant. */
  #hint({ text, start }: Token): string {
    if (/^&&?$/.test(text)) return ' Write AND.';
    if (/^(like|in|is|between)$/i.test(text)) return ' The functions starts_with(), contains(), is_null() … do that.';
    if (/^[+\-*/%|]/.test(text) && text.length > 1 && this.#text[start - 1] !== ' ')
      return ' Operators stand between blanks: a * 3.';
    if (/^[+\-*/%|]/.test(text) && text.length > 1) return ` A blank is missing behind \`${text[0]}\`.`;
    return '';
  }
}

/** Undefined for what looks like a number and is none, as `e5`. */
function numberOf(text: string): number | undefined {
  const value = Number(text);
  return Number.isNaN(value) ? undefined : value;
}

const hexDigitsMax = 16;
const longBits = 64;

/** A signed 64-bit number, as IoT Edge reads it: 0xFFFFFFFFFFFFFFFF is -1. Longer ones are undefined. */
function hexadecimalOf(text: string): number | undefined {
  const digits = text.slice(2).replace(/^0+(?=.)/, '');
  if (digits.length > hexDigitsMax) return undefined;
  return Number(BigInt.asIntN(longBits, BigInt(`0x${digits}`)));
}

function literalOf(text: string): boolean | null | undefined {
  return text === 'true' ? true : text === 'false' ? false : text === 'null' ? null : undefined;
}
