// The functions of conditions: which operands they take, and what they answer. Pure.
//
// The first signature that fits decides, as in IoT Edge. A signature that takes body values takes one in the place
// of any operand. What a function cannot answer is undefined: NaN for numbers, undefined for the rest.
//
// twin_change_includes() is not here: its operand is a path, which the checker reads.

import { routeTextResultCharactersMax } from '../../limits.ts';
import { numberOfText } from './number-text.ts';
import { isDefined, isNumber, noText, nothing, type Value, type ValueType } from './value.ts';

export interface Signature {
  readonly operands: readonly (ValueType | 'any')[];
  /** The last operand may come again, any number of times. */
  readonly repeats?: boolean;
  readonly takesBody: boolean;
  readonly result: ValueType;
  readonly run: (a: Value, b: Value, c: Value) => Value;
  /** In place of run, where operands repeat. */
  readonly runAll?: (values: readonly Value[]) => Value;
}

function math(run: (x: number) => number): readonly Signature[] {
  return [
    {
      operands: ['number'],
      takesBody: true,
      result: 'number',
      run: (x) => (isNumber(x) ? run(x) : Number.NaN),
    },
  ];
}

function onText(result: ValueType, run: (text: string) => Value): readonly Signature[] {
  return [
    {
      operands: ['text'],
      takesBody: true,
      result,
      run: (text) => (typeof text === 'string' ? run(text) : undefinedOf(result)),
    },
  ];
}

function onTexts(result: ValueType, run: (text: string, part: string) => Value): readonly Signature[] {
  return [
    {
      operands: ['text', 'text'],
      takesBody: true,
      result,
      run: (text, part) =>
        typeof text === 'string' && typeof part === 'string' ? run(text, part) : undefinedOf(result),
    },
  ];
}

function undefinedOf(type: ValueType): Value {
  return type === 'number' ? Number.NaN : undefined;
}

function predicate(operands: readonly (ValueType | 'any')[], run: (x: Value) => Value, takesBody = false): Signature {
  return { operands, takesBody, result: 'bool', run };
}

/** By name in lower case. */
export const conditionFunctions: ReadonlyMap<string, readonly Signature[]> = new Map([
  ['abs', math(Math.abs)],
  ['exp', math(Math.exp)],
  ['square', math((x) => x * x)],
  ['ceiling', math(Math.ceil)],
  ['floor', math(Math.floor)],
  ['sign', math(Math.sign)],
  ['sqrt', math(Math.sqrt)],
  ['power', [{ operands: ['number', 'number'], takesBody: true, result: 'number', run: power }]],
  [
    'as_number',
    [
      { operands: ['text'], takesBody: true, result: 'number', run: asNumber },
      { operands: ['number'], takesBody: false, result: 'number', run: (x) => x },
    ],
  ],
  [
    'is_bool',
    [predicate(['bool'], (x) => (isDefined(x) ? typeof x === 'boolean' : undefined), true), predicate(['any'], never)],
  ],
  ['is_defined', [predicate(['any'], isDefined)]],
  [
    'is_null',
    [
      predicate(['text'], (x) => x === noText),
      // Any value that is there, as in IoT Edge: the other way round than the name says.
      predicate(['body'], (x) => (isDefined(x) ? x !== nothing : undefined)),
      predicate(['null'], () => true),
      predicate(['any'], never),
    ],
  ],
  ['is_number', [predicate(['number'], (x) => Number.isFinite(x), true), predicate(['any'], never)]],
  ['is_string', [predicate(['text'], (x) => typeof x === 'string', true), predicate(['any'], never)]],
  [
    'concat',
    [
      {
        operands: ['text', 'text'],
        repeats: true,
        takesBody: true,
        result: 'text',
        run: (a, b) => concat([a, b]),
        runAll: concat,
      },
    ],
  ],
  ['length', onText('number', (text) => text.length)],
  ['lower', onText('text', (text) => text.toLowerCase())],
  ['upper', onText('text', (text) => text.toUpperCase())],
  [
    'substring',
    [
      { operands: ['text', 'number'], takesBody: true, result: 'text', run: substringFrom },
      { operands: ['text', 'number', 'number'], takesBody: true, result: 'text', run: substringOf },
    ],
  ],
  ['index_of', onTexts('number', (text, part) => text.indexOf(part))],
  ['starts_with', onTexts('bool', (text, part) => text.startsWith(part))],
  ['ends_with', onTexts('bool', (text, part) => text.endsWith(part))],
  ['contains', onTexts('bool', (text, part) => text.includes(part))],
]);

function never(): boolean {
  return false;
}

/** JavaScript has NaN where .NET has 1: bases 1 and -1 with an infinite exponent. */
function power(x: Value, y: Value): Value {
  if (!isNumber(x) || !isNumber(y)) return Number.NaN;
  return Math.abs(x) === 1 && !Number.isFinite(y) ? 1 : x ** y;
}

function asNumber(value: Value): Value {
  if (typeof value === 'number') return value;
  return typeof value === 'string' ? (numberOfText(value) ?? Number.NaN) : Number.NaN;
}

/** A property without a value adds nothing; what is no text makes all of it undefined. */
export function concat(values: readonly Value[]): Value {
  let text = '';
  for (const value of values) {
    if (value === noText) continue;
    if (typeof value !== 'string') return undefined;
    text += value;
    if (text.length > routeTextResultCharactersMax) return undefined;
  }
  return text;
}

function substringFrom(text: Value, start: Value): Value {
  if (typeof text !== 'string' || !isNumber(start) || start < 0 || start > text.length) return undefined;
  return text.slice(Math.trunc(start));
}

function substringOf(text: Value, start: Value, length: Value): Value {
  if (typeof text !== 'string' || !isNumber(start) || !isNumber(length)) return undefined;
  if (start < 0 || start >= text.length || length < 0 || length > text.length - start) return undefined;
  return text.slice(Math.trunc(start), Math.trunc(start) + Math.trunc(length));
}

const spokenOtherwise: ReadonlyMap<string, string> = new Map([
  ['len', 'length'],
  ['ceil', 'ceiling'],
  ['round', 'floor'],
  ['pow', 'power'],
  ['substr', 'substring'],
  ['indexof', 'index_of'],
  ['tolower', 'lower'],
  ['toupper', 'upper'],
  ['tonumber', 'as_number'],
  ['isarray', 'is_defined'],
  ['isobject', 'is_defined'],
  ['isprimitive', 'is_defined'],
]);

/** The function that somebody meant by an unknown name. */
export function functionMeant(name: string): string | undefined {
  const bare = name.toLowerCase().replaceAll('_', '');
  for (const known of conditionFunctions.keys()) if (known.replaceAll('_', '') === bare) return known;
  return spokenOtherwise.get(bare);
}
