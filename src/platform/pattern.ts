// Regular expressions from outside, matched against texts from outside: stopped when they take too long.
//
// JavaScript's expressions backtrack: `(a+)+$` against thirty letters takes minutes, and nothing else happens meanwhile.
// V8 looks for an interruption while it backtracks, and a script in a context of its own may be given a time. The
// texts go in and the marks come out as one JSON text each, since nothing of the context may be trusted or kept.

import { createContext, Script } from 'node:vm';
import { errorMessage, WeirError } from '../model/errors.ts';

export interface Pattern {
  /** Which of the texts match somewhere. Throws PLATFORM_PATTERN_TOO_SLOW. */
  matches(texts: readonly string[]): readonly boolean[];
}

/** Throws PLATFORM_PATTERN_INVALID. */
export function compilePattern(
  source: string,
  { ignoreCase, msMax }: { readonly ignoreCase: boolean; readonly msMax: number },
): Pattern {
  const expression = parse(source, ignoreCase);
  const context = createContext(Object.create(null));
  const match = new Script('JSON.stringify(JSON.parse(texts).map((text) => new RegExp(source, flags).test(text)))');
  return {
    matches(texts) {
      Object.assign(context, { texts: JSON.stringify(texts), source: expression.source, flags: expression.flags });
      try {
        return JSON.parse(String(match.runInContext(context, { timeout: msMax }))) as readonly boolean[];
      } catch (cause) {
        throw new WeirError({
          code: 'PLATFORM_PATTERN_TOO_SLOW',
          message: `The regular expression ${source} takes longer than ${msMax} ms for a few lines. Write it without nested repetition.`,
          cause,
        });
      }
    },
  };
}

function parse(source: string, ignoreCase: boolean): RegExp {
  try {
    return new RegExp(source, ignoreCase ? 'i' : '');
  } catch (cause) {
    throw new WeirError({
      code: 'PLATFORM_PATTERN_INVALID',
      message: `The regular expression ${JSON.stringify(source)} cannot be read: ${errorMessage(cause)}`,
      cause,
    });
  }
}
