// The words of a condition: one token at a time, exactly as IoT Edge cuts them.
//
// The longest match wins, then the order below. What surprises about it, and must stay as it is, because routes in
// the field depend on it: an identifier is every run of characters out of none of ( ) < > @ , ; : \ " / [ ] ? = { }
// and blanks. So `a+b` is one name, `a!='x'` is the name `a!` compared with `=`, `-x` is a name and `-1` a number.
// Operators stand between blanks. `true false null undefined` are lower-case, the other words come in any case.
//
//   'a' "a"        text; \\ \' \" and \uXXXX inside          $name   a system property; [ and ] may be in it
//   12 -3 .5 1e9   numbers; e5 is one too (a bad one)        0xFF    a number
//   /* … */        a comment; where nothing closes it, `/` divides

import { RouteSyntaxError } from '../route-lexer.ts';

export type TokenKind =
  | 'end'
  | 'into'
  | 'keyword'
  | 'and'
  | 'or'
  | 'not'
  | 'literal'
  | 'number'
  | 'hexadecimal'
  | 'text'
  | 'name'
  | 'system'
  | 'bracketed'
  | 'symbol'
  | 'unknown';

export interface Token {
  readonly kind: TokenKind;
  /** As written. */
  readonly text: string;
  /** 0-based, in the whole route. */
  readonly start: number;
  readonly end: number;
}

const blankPattern = /[ \t\r\n]+/y;
const commentPattern = /\/\*[\s\S]*?\*\//y;
const escaped = /\\(?:["'\\]|u[0-9a-fA-F]{4})/.source;
const stringPattern = new RegExp(`"(?:${escaped}|[^"\\\\])*"|'(?:${escaped}|[^'\\\\])*'`, 'y');
const openStringPattern = new RegExp(`"(?:${escaped}|[^"\\\\])*|'(?:${escaped}|[^'\\\\])*`, 'y');
const symbolPattern = /!=|<>|<=|>=|\|\||\?\?|[<>=/(){},+\-*%]/y;
const integerPattern = /-?[0-9]+/y;
const hexPattern = /0[Xx][0-9a-fA-F]+/y;
const realPatterns = [/-?[0-9]*\.[0-9]+(?:[eE][+-]?[0-9]+)?/y, /-?[0-9]*[eE][+-]?[0-9]+/y];
const systemPattern = /\$[^()<>@,;:\\"/?={} \t\n\r]+/y;
const namePattern = /[^()<>@,;:\\"/[\]?={} \t\n\r]+/y;
const bracketedPattern = /[^()<>@,;:\\"/?={} \t\n\r]+/y;

/** In the order in which equal lengths are decided. */
const patterns: readonly (readonly [kind: TokenKind, pattern: RegExp])[] = [
  ['text', stringPattern],
  ['unknown', openStringPattern],
  ['number', integerPattern],
  ['hexadecimal', hexPattern],
  ['number', realPatterns[0] as RegExp],
  ['number', realPatterns[1] as RegExp],
  ['symbol', symbolPattern],
  ['system', systemPattern],
  ['name', namePattern],
  ['bracketed', bracketedPattern],
];

const words: ReadonlyMap<string, TokenKind> = new Map([
  ['into', 'into'],
  ['select', 'keyword'],
  ['from', 'keyword'],
  ['where', 'keyword'],
  ['and', 'and'],
  ['or', 'or'],
  ['not', 'not'],
]);
const literals = new Set(['true', 'false', 'null', 'undefined']);

/** All tokens from `start` up to and with the INTO that ends the condition, or the end of the text. */
export function conditionTokens(text: string, start: number): readonly Token[] {
  const tokens: Token[] = [];
  for (let at = skip(text, start); ; ) {
    const token = tokenAt(text, at);
    tokens.push(token);
    if (token.kind === 'end' || token.kind === 'into') return tokens;
    at = skip(text, token.end);
  }
}

/** The text that a token of kind `text` means. */
export function textOf(token: Token): string {
  return token.text
    .slice(1, -1)
    .replace(/\\[uU]([0-9A-Fa-f]{4})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, hexRadix)))
    .replace(/\\(["'\\])/g, '$1');
}

const hexRadix = 16;

function skip(text: string, start: number): number {
  let at = start;
  for (;;) {
    const end = at + Math.max(lengthAt(blankPattern, text, at), lengthAt(commentPattern, text, at));
    if (end === at) return at;
    at = end;
  }
}

function tokenAt(text: string, start: number): Token {
  if (start >= text.length) return { kind: 'end', text: '', start, end: start };
  let kind: TokenKind = 'unknown';
  let length = 0;
  for (const [candidate, pattern] of patterns) {
    const matched = lengthAt(pattern, text, start);
    if (matched <= length) continue;
    kind = candidate;
    length = matched;
  }
  if (kind === 'unknown') refuse(text, start, length);
  const word = text.slice(start, start + length);
  if (kind === 'name') kind = words.get(word.toLowerCase()) ?? (literals.has(word) ? 'literal' : kind);
  return { kind, text: word, start, end: start + length };
}

function refuse(text: string, start: number, length: number): never {
  const character = text[start] as string;
  if (length > 0 && text[start + length] === '\\')
    throw new RouteSyntaxError('Only \\\\, \\\', \\" and \\uXXXX may follow a backslash here.', start + length);
  if (length > 0) throw new RouteSyntaxError(`This string is not closed: add ${character} at its end.`, start);
  throw new RouteSyntaxError(`\`${character}\` means nothing in a condition: remove it.`, start);
}

function lengthAt(pattern: RegExp, text: string, at: number): number {
  pattern.lastIndex = at;
  return pattern.exec(text)?.[0].length ?? 0;
}
