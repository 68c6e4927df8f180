// Values of conditions, and the static types that the checker gives to every part of one.
//
//   type       at run time                             undefined is
//   number     number                                  NaN
//   text       string, or noText (a property without)  undefined
//   bool       boolean                                 undefined
//   null       null
//   undefined  undefined                               undefined
//   body       number, string, boolean, null, nothing  undefined
//
// `body` is what a path into the body yields: its type shows with each message. A path that leads nowhere yields
// `nothing`, which is null in every respect but is_null(), as in IoT Edge.

export type ValueType = 'number' | 'text' | 'bool' | 'null' | 'undefined' | 'body';

/** A property that is there without a value. */
export const noText: unique symbol = Symbol('no text');
/** What is at a path that leads nowhere. */
export const nothing: unique symbol = Symbol('nothing');

export type Value = number | string | boolean | null | undefined | typeof noText | typeof nothing;

/** True for a number that is defined. */
export function isNumber(value: Value): value is number {
  // biome-ignore lint/suspicious/noSelfCompare: the fastest test for NaN.
  return typeof value === 'number' && value === value;
}

export function isDefined(value: Value): boolean {
  // biome-ignore lint/suspicious/noSelfCompare: the fastest test for NaN.
  return value !== undefined && value === value;
}

const ranks = { boolean: 1, number: 2, string: 3 } as const;
const rankNull = 4;

/** The order of two defined body values: by type first, as in IoT Edge, then by value. Negative, 0 or positive. */
export function orderOf(left: Value, right: Value): number {
  const leftRank = rankOf(left);
  const rightRank = rankOf(right);
  if (leftRank !== rightRank) return leftRank - rightRank;
  if (leftRank === rankNull || left === right) return 0;
  return (left as number) < (right as number) ? -1 : 1;
}

function rankOf(value: Value): number {
  const type = typeof value;
  return type === 'boolean' || type === 'number' || type === 'string' ? ranks[type] : rankNull;
}

/** What a condition of that type says in the end: only true takes the message. */
export function verdict(value: Value, type: ValueType): boolean | undefined {
  if (type === 'bool' || type === 'body') return typeof value === 'boolean' ? value : undefined;
  return type === 'null' ? false : undefined;
}
