// Conditions and messages drawn from a seed: well typed, of every function and operator.

import type { NaiveMessage, Tagged, Tree } from './naive.ts';

export class Draw {
  #state: number;

  constructor(seed: number) {
    this.#state = seed;
  }

  /** From 0 to below `below`. */
  below(below: number): number {
    // The generator mulberry32.
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return Math.floor((((t ^ (t >>> 14)) >>> 0) / 4294967296) * below);
  }

  of<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)] as T;
  }
}

type Kind = 'number' | 'text' | 'bool' | 'body';

const numbers = ['0', '1', '-1', '2', '20', '0.5', '-3.25', '1e3', '0x1F', '10e1000'];
const texts = ['', 'a', 'b', 'value1', '20', '-3.5', 'Value', 'ue1'];
const names = ['key1', 'KEY2', 'temperature', 'none', 'empty'];
const systems = ['messageId', 'none', 'own'];
const paths: readonly (readonly (string | number)[])[] = [
  ['t'],
  ['text'],
  ['flag'],
  ['gone'],
  ['list', 1],
  ['list', 9],
  ['inner', 'deep', 't'],
  ['inner'],
  ['missing', 'x'],
  ['own'],
];

export function drawMessage(draw: Draw): NaiveMessage {
  const properties: Record<string, string> = {};
  for (const name of ['Key1', 'key2', 'temperature', 'empty', '$own', '$body.own']) {
    if (draw.below(3) > 0) properties[name] = draw.of(texts);
  }
  const body = {
    t: draw.of([0, 20, -3.25, 21.5, '20', true, null]),
    text: draw.of(['', 'a', 'value1']),
    flag: draw.below(2) === 0,
    gone: null,
    list: [1, draw.of([2, 'b', null])],
    inner: { deep: { t: draw.below(5) } },
    own: draw.below(3),
  };
  const text = draw.below(12) === 0 ? '{"t":' : JSON.stringify(body);
  const system: Record<string, string> = { messageId: draw.of(texts), own: draw.of(texts) };
  if (draw.below(10) > 0) system['contentType'] = 'application/json';
  if (draw.below(10) > 0) system['contentEncoding'] = 'utf-8';
  return { properties, system, body: text };
}

/** A condition of at most so many levels. */
export function drawCondition(draw: Draw, depth: number): Tree {
  return drawTree(draw, draw.below(8) === 0 ? 'body' : 'bool', depth);
}

function drawTree(draw: Draw, kind: Kind, depth: number): Tree {
  const sub = (other: Kind): Tree => drawTree(draw, other, depth - 1);
  if (depth <= 0) return drawLeaf(draw, kind);
  switch (kind) {
    case 'number':
      return drawNumber(draw, sub);
    case 'text':
      return drawText(draw, sub);
    case 'body':
      return drawBody(draw, sub);
    case 'bool':
      return drawBool(draw, sub);
  }
}

function drawLeaf(draw: Draw, kind: Kind): Tree {
  if (kind === 'number') {
    const text = draw.of(numbers);
    return { kind: 'value', text, value: { type: 'number', value: Number(text) } };
  }
  if (kind === 'bool') {
    const text = draw.of(['true', 'false', 'undefined']);
    const value: Tagged = text === 'undefined' ? { type: 'undefined' } : { type: 'bool', value: text === 'true' };
    // A bare `undefined` is no operand of NOT and of comparisons: made one that is.
    const bare: Tree = { kind: 'value', text, value };
    return text === 'undefined' ? infix({ operator: 'and', left: bare, right: trueLeaf }) : bare;
  }
  if (kind === 'body') return { kind: 'body', path: draw.of(paths), isBraced: draw.below(2) === 0 };
  switch (draw.below(4)) {
    case 0:
      return { kind: 'property', name: draw.of(names) };
    case 1:
      return { kind: 'system', name: draw.of(systems), isBraced: draw.below(2) === 0 };
    default: {
      const value = draw.of(texts);
      const quote = draw.of(["'", '"']);
      return { kind: 'value', text: `${quote}${value}${quote}`, value: { type: 'text', value } };
    }
  }
}

const trueLeaf: Tree = { kind: 'value', text: 'true', value: { type: 'bool', value: true } };

function infix(
  parts: Omit<Tree & { readonly kind: 'infix' }, 'kind' | 'isBody'> & { readonly isBody?: boolean },
): Tree {
  return { isBody: false, ...parts, kind: 'infix' };
}

function call(draw: Draw, name: string, operands: readonly Tree[]): Tree {
  return { kind: 'call', name: draw.below(4) === 0 ? name.toUpperCase() : name, operands };
}

type Sub = (kind: Kind) => Tree;

function drawNumber(draw: Draw, sub: Sub): Tree {
  const orBody = (kind: Kind): Kind => (draw.below(5) === 0 ? 'body' : kind);
  switch (draw.below(8)) {
    case 0:
      return infix({ operator: draw.of(['+', '-', '*', '/', '%']), left: sub('number'), right: sub('number') });
    case 1:
      return { kind: 'prefix', operator: '-', operand: sub('number') };
    case 2:
      return call(draw, draw.of(['abs', 'ceiling', 'floor', 'sign', 'sqrt', 'square', 'exp']), [sub(orBody('number'))]);
    case 3:
      return call(draw, 'length', [sub(orBody('text'))]);
    case 4:
      return call(draw, 'index_of', [sub(orBody('text')), sub('text')]);
    case 5:
      return call(draw, 'as_number', [sub(draw.of(['text', 'number', 'body']))]);
    case 6:
      return infix({ operator: '??', left: sub('number'), right: sub('number') });
    default:
      return drawLeaf(draw, 'number');
  }
}

function drawText(draw: Draw, sub: Sub): Tree {
  switch (draw.below(7)) {
    case 0:
      return infix({ operator: '||', left: sub('text'), right: sub(draw.of(['text', 'body'])) });
    case 1:
      return call(draw, 'concat', [sub('text'), sub('body'), sub('text')]);
    case 2:
      return call(draw, draw.of(['lower', 'upper']), [sub(draw.of(['text', 'body']))]);
    case 3:
      return call(draw, 'substring', [sub('text'), sub('number')]);
    case 4:
      return call(draw, 'substring', [sub('text'), sub('number'), sub('number')]);
    case 5:
      return infix({ operator: '??', left: sub('text'), right: sub('text') });
    default:
      return drawLeaf(draw, 'text');
  }
}

function drawBody(draw: Draw, sub: Sub): Tree {
  switch (draw.below(4)) {
    case 0:
      return infix({ operator: draw.of(['+', '-', '*', '/']), left: sub('body'), right: sub('number'), isBody: true });
    case 1:
      return infix({ operator: '??', left: sub('body'), right: sub(draw.of(['number', 'text', 'bool', 'body'])) });
    default:
      return drawLeaf(draw, 'body');
  }
}

const comparisons = ['=', '!=', '<>', '<', '<=', '>', '>='];

function drawBool(draw: Draw, sub: Sub): Tree {
  const operator = draw.of(comparisons);
  switch (draw.below(12)) {
    case 0:
      return infix({ operator, left: sub('number'), right: sub('number') });
    case 1:
      return infix({ operator, left: sub('text'), right: sub('text') });
    case 2:
      return infix({ operator, left: sub('bool'), right: sub('bool') });
    case 3:
      return infix({ operator, left: sub('body'), right: sub(draw.of(['number', 'text', 'bool', 'body'])) });
    case 4:
      return infix({ operator, left: sub(draw.of(['number', 'text', 'bool'])), right: sub('body') });
    case 5:
    case 6:
      return infix({ operator: draw.of(['and', 'or']), left: sub('bool'), right: sub('bool') });
    case 7: {
      const [left, right] = draw.of([
        ['body', 'bool'],
        ['bool', 'body'],
        ['body', 'body'],
      ] as const);
      return infix({ operator: draw.of(['and', 'or']), left: sub(left), right: sub(right), isBody: true });
    }
    case 8:
      return { kind: 'prefix', operator: 'not', operand: sub(draw.of(['bool', 'body'])) };
    case 9:
      return call(draw, draw.of(['starts_with', 'ends_with', 'contains']), [
        sub(draw.of(['text', 'body'])),
        sub('text'),
      ]);
    case 10: {
      const name = draw.of(['is_defined', 'is_number', 'is_string']);
      return call(draw, name, [sub(draw.of(['number', 'text', 'bool', 'body']))]);
    }
    default:
      return infix({ operator: '??', left: sub('bool'), right: sub('bool') });
  }
}
