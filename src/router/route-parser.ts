// One route's text into what it means. Pure.
//
//   route := [SELECT *] FROM path [WHERE condition] INTO sink        keywords in any case
//   path  := '/' | ('/' item)+ ['/']                                 item: an identifier or *
//   sink  := $upstream | BrokeredEndpoint("/modules/<module>/inputs/<input>")
//
// Takes everything that IoT Edge takes (blanks and comments around every sign, either kind of quotes, names in
// any case) and is lenient where that was not: a path may end in `/`, an item may be called like a keyword, and
// `$` may begin an item. The condition has a grammar of its own (condition/).
//
// Whatever is wrong, the answer names the first character that does not fit and what would.

import { routeTextCharactersMax } from '../limits.ts';
import { isValidId } from '../model/address.ts';
import { eventSources } from '../model/message.ts';
import { ConditionTypeError } from './condition/checker.ts';
import { type Condition, readCondition } from './condition/condition.ts';
import { ConditionTooLarge } from './condition/parser.ts';
import type { RouteProblemCode } from './errors.ts';
import { RouteLexer, RouteSyntaxError } from './route-lexer.ts';
import { normaliseSource } from './route-match.ts';

export interface ParsedRoute {
  /** As normaliseSource() answers it. */
  readonly sourcePrefix: string;
  /** Undefined: every message of the source. */
  readonly condition: Condition | undefined;
  /** Name of the queue: `$upstream`, or `<module>/inputs/<input>`. */
  readonly sink: string;
}

export type ParsedOrProblem =
  | { readonly ok: true; readonly route: ParsedRoute }
  | { readonly ok: false; readonly code: RouteProblemCode; readonly message: string; readonly column: number };

export const upstreamQueue = '$upstream';

const sinkForms = '$upstream or BrokeredEndpoint("/modules/<module>/inputs/<input>")';
const keywordsAfterPath = new Set(['WHERE', 'INTO']);

class Refusal extends RouteSyntaxError {
  readonly code: RouteProblemCode;

  constructor(code: RouteProblemCode, message: string, position: number) {
    super(message, position);
    this.code = code;
  }
}

export function parseRoute(text: string): ParsedOrProblem {
  if (text.length > routeTextCharactersMax) {
    const message = `The route has ${text.length} characters; at most ${routeTextCharactersMax} are taken.`;
    return { ok: false, code: 'ROUTER_ROUTE_TOO_LARGE', message, column: routeTextCharactersMax + 1 };
  }
  try {
    return { ok: true, route: parse(new RouteLexer(text)) };
  } catch (error) {
    if (!(error instanceof RouteSyntaxError)) throw error;
    return { ok: false, code: codeOf(error), message: error.message, column: error.position + 1 };
  }
}

function codeOf(error: RouteSyntaxError): RouteProblemCode {
  if (error instanceof Refusal) return error.code;
  if (error instanceof ConditionTypeError) return 'ROUTER_ROUTE_TYPE';
  return error instanceof ConditionTooLarge ? 'ROUTER_ROUTE_TOO_LARGE' : 'ROUTER_ROUTE_SYNTAX';
}

function parse(lexer: RouteLexer): ParsedRoute {
  lexer.skipBlanks();
  if (takeKeyword(lexer, 'SELECT')) {
    lexer.skipBlanks();
    if (lexer.peekWord() !== '*')
      fail(lexer, 'Only `SELECT *` is possible: write `SELECT * FROM …`, or leave SELECT out.');
    lexer.word();
    lexer.skipBlanks();
  }
  if (!takeKeyword(lexer, 'FROM')) fail(lexer, 'A route begins with FROM: write `FROM /messages/* INTO $upstream`.');
  lexer.skipBlanks();
  const sourcePrefix = normaliseSource(parsePath(lexer));
  lexer.skipBlanks();
  const condition = takeKeyword(lexer, 'WHERE') ? parseCondition(lexer, sourcePrefix) : undefined;
  if (!takeKeyword(lexer, 'INTO')) fail(lexer, `INTO and a destination are missing: write \`INTO ${sinkForms}\`.`);
  lexer.skipBlanks();
  const sink = parseSink(lexer);
  lexer.skipBlanks();
  if (!lexer.atEnd) fail(lexer, 'The route is complete before this: remove what follows the destination.');
  return { sourcePrefix, condition, sink };
}

function parsePath(lexer: RouteLexer): string {
  if (!lexer.take('/'))
    fail(lexer, 'A source is a path: write `/messages/*` or `/messages/modules/<module>/outputs/<output>`.');
  let path = '';
  for (;;) {
    path += '/';
    const item = parseItem(lexer);
    if (item === undefined) return path;
    path += item;
    const end = lexer.position;
    lexer.skipBlanks();
    if (!lexer.take('/')) {
      lexer.position = end;
      return path;
    }
  }
}

/** The item behind a slash; undefined when the path ends with that slash. */
function parseItem(lexer: RouteLexer): string | undefined {
  const blanks = lexer.skipBlanks();
  const word = lexer.peekWord();
  // A keyword that touches its slash is a name, one behind a blank is the end of the path.
  if (word !== undefined && blanks && keywordsAfterPath.has(word.toUpperCase())) return undefined;
  if (word === undefined && (lexer.atEnd || blanks)) return undefined;
  if (word === undefined) fail(lexer, 'A name or * belongs behind the slash.');
  return lexer.word();
}

function parseCondition(lexer: RouteLexer, sourcePrefix: string): Condition {
  const isTwinChange = sourcePrefix.startsWith(eventSources.twinChange.toLowerCase());
  const { condition, end } = readCondition(lexer.text, { start: lexer.position, isTwinChange });
  lexer.position = end;
  return condition;
}

function parseSink(lexer: RouteLexer): string {
  const start = lexer.position;
  const word = lexer.word();
  if (word === undefined) fail(lexer, `A destination is missing: write ${sinkForms}.`);
  if (word.toLowerCase() === upstreamQueue) return upstreamQueue;
  if (word.toLowerCase() !== 'brokeredendpoint') {
    throw new Refusal(
      'ROUTER_ROUTE_ENDPOINT_UNKNOWN',
      `There is no destination \`${word}\`: write ${sinkForms}.`,
      start,
    );
  }
  lexer.skipBlanks();
  if (!lexer.take('('))
    fail(lexer, 'BrokeredEndpoint needs its address in parentheses: ("/modules/<module>/inputs/<input>").');
  lexer.skipBlanks();
  const addressAt = lexer.position;
  const address = lexer.string();
  if (address === undefined) fail(lexer, 'The address belongs in quotes: "/modules/<module>/inputs/<input>".');
  const sink = parseAddress(address, addressAt);
  lexer.skipBlanks();
  if (!lexer.take(')')) fail(lexer, 'The closing parenthesis ) is missing here.');
  return sink;
}

function parseAddress(address: string, position: number): string {
  const parts = address.replace(/^\/+|\/+$/g, '').split('/');
  const [modules, module, inputs, input] = parts;
  const named = module !== undefined && isValidId(module) && input !== undefined && input !== '';
  if (parts.length !== 4 || modules !== 'modules' || inputs !== 'inputs' || !named) {
    throw new Refusal(
      'ROUTER_ROUTE_ENDPOINT_UNKNOWN',
      `\`${address}\` is not the address of a module's input: write "/modules/<module>/inputs/<input>".`,
      position,
    );
  }
  return `${module}/inputs/${input}`;
}

function takeKeyword(lexer: RouteLexer, keyword: string): boolean {
  if (lexer.peekWord()?.toUpperCase() !== keyword) return false;
  lexer.word();
  return true;
}

function fail(lexer: RouteLexer, mend: string): never {
  throw new RouteSyntaxError(`${mend} Here ${lexer.shown()}.`, lexer.position);
}
