// Conditions a second time: drawn as trees, written as text, and worked out the slow way.
//
// Written from the rules of azure-iot-edge.md §2.6, without a look at what src/ does: every value carries its type, a
// tree is walked anew for each message, nothing is chosen beforehand. What both agree on is not an accident of one.

export type Tagged =
  | { readonly type: 'number'; readonly value: number }
  | { readonly type: 'text'; readonly value: string }
  | { readonly type: 'bool'; readonly value: boolean }
  | { readonly type: 'null'; readonly isMissing?: boolean }
  | { readonly type: 'undefined' };

export type Tree =
  | { readonly kind: 'value'; readonly text: string; readonly value: Tagged }
  | { readonly kind: 'property'; readonly name: string }
  | { readonly kind: 'system'; readonly name: string; readonly isBraced: boolean }
  | { readonly kind: 'body'; readonly path: readonly (string | number)[]; readonly isBraced: boolean }
  | { readonly kind: 'call'; readonly name: string; readonly operands: readonly Tree[] }
  | { readonly kind: 'prefix'; readonly operator: '-' | 'not'; readonly operand: Tree }
  | {
      readonly kind: 'infix';
      readonly operator: string;
      readonly left: Tree;
      readonly right: Tree;
      readonly isBody: boolean;
    };

export interface NaiveMessage {
  readonly properties: Readonly<Record<string, string>>;
  readonly system: Readonly<Record<string, string>>;
  readonly body: string;
}

const undefinedValue: Tagged = { type: 'undefined' };
const tightness: Readonly<Record<string, number>> = {
  '??': 0,
  or: 1,
  and: 2,
  '=': 3,
  '!=': 3,
  '<>': 3,
  '<': 4,
  '<=': 4,
  '>': 4,
  '>=': 4,
  '+': 5,
  '-': 5,
  '||': 5,
  '*': 6,
  '/': 6,
  '%': 6,
};
const prefixTightness = 7;

/** The text of a tree, with parentheses only where the precedence needs them. */
export function written(tree: Tree, around = -1): string {
  switch (tree.kind) {
    case 'value':
      return tree.text;
    case 'property':
      return tree.name;
    case 'system':
      return tree.isBraced ? `{$${tree.name}}` : `$${tree.name}`;
    case 'body': {
      const path = tree.path.map((step) => (typeof step === 'number' ? `[${step}]` : `.${step}`)).join('');
      return tree.isBraced ? `{ $body${path} }` : `$body${path}`;
    }
    case 'call':
      return `${tree.name}(${tree.operands.map((operand) => written(operand)).join(', ')})`;
    case 'prefix': {
      const text = `${tree.operator} ${written(tree.operand, prefixTightness)}`;
      return around > prefixTightness ? `(${text})` : text;
    }
    case 'infix': {
      const own = tightness[tree.operator] as number;
      const text = `${written(tree.left, own)} ${tree.operator} ${written(tree.right, own + 1)}`;
      return own < around ? `(${text})` : text;
    }
  }
}

export function workedOut(tree: Tree, message: NaiveMessage): Tagged {
  switch (tree.kind) {
    case 'value':
      return tree.value;
    case 'property':
      return lookedUp(message.properties, tree.name);
    case 'system': {
      const own = tree.isBraced ? undefinedValue : lookedUp(message.properties, `$${tree.name}`);
      return own.type === 'undefined' ? lookedUp(message.system, tree.name) : own;
    }
    case 'body': {
      const own = tree.isBraced ? undefinedValue : lookedUp(message.properties, written(tree));
      return own.type === 'undefined' ? fromBody(tree.path, message) : own;
    }
    case 'call':
      return called(
        tree.name.toLowerCase(),
        tree.operands.map((operand) => workedOut(operand, message)),
      );
    case 'prefix':
      return prefixed(tree.operator, workedOut(tree.operand, message));
    case 'infix': {
      const left = workedOut(tree.left, message);
      const right = workedOut(tree.right, message);
      if (tree.operator === '??') return left.type === 'undefined' ? right : left;
      if (tree.operator === 'and' || tree.operator === 'or') return joined(tree, left, right);
      if ((tightness[tree.operator] as number) >= (tightness['+'] as number))
        return combined(tree.operator, left, right);
      return compared(tree, left, right);
    }
  }
}

/** What the condition says in the end. */
export function decided(value: Tagged): boolean | undefined {
  return value.type === 'bool' ? value.value : undefined;
}

function number(value: number): Tagged {
  return Number.isNaN(value) ? undefinedValue : { type: 'number', value };
}

function bool(value: boolean): Tagged {
  return { type: 'bool', value };
}

function text(value: string): Tagged {
  return { type: 'text', value };
}

function lookedUp(bag: Readonly<Record<string, string>>, name: string): Tagged {
  for (const [key, value] of Object.entries(bag)) if (key.toUpperCase() === name.toUpperCase()) return text(value);
  return undefinedValue;
}

function fromBody(path: readonly (string | number)[], message: NaiveMessage): Tagged {
  const kind = lookedUp(message.system, 'contentType');
  const encoding = lookedUp(message.system, 'contentEncoding');
  if (kind.type !== 'text' || kind.value !== 'application/json') return undefinedValue;
  if (encoding.type !== 'text' || encoding.value !== 'utf-8') return undefinedValue;
  let at: unknown;
  try {
    at = JSON.parse(message.body);
  } catch {
    return undefinedValue;
  }
  for (const step of path) {
    const holder = at as Record<string | number, unknown> | null;
    const fits = typeof holder === 'object' && holder !== null && Array.isArray(holder) === (typeof step === 'number');
    if (!fits || !Object.keys(holder).includes(String(step))) return { type: 'null', isMissing: true };
    at = holder[step];
  }
  if (at === null) return { type: 'null' };
  if (typeof at === 'number') return number(at);
  if (typeof at === 'string') return text(at);
  return typeof at === 'boolean' ? bool(at) : undefinedValue;
}

function prefixed(operator: '-' | 'not', operand: Tagged): Tagged {
  if (operator === '-') return operand.type === 'number' ? number(-operand.value) : undefinedValue;
  return operand.type === 'bool' ? bool(!operand.value) : undefinedValue;
}

/** The tables of three values; with a body value both sides are true or false, or all is undefined. */
function joined(tree: Tree & { readonly kind: 'infix' }, left: Tagged, right: Tagged): Tagged {
  const sides = [left, right].map((side) => (side.type === 'bool' ? side.value : undefined));
  const decisive = tree.operator === 'or';
  if (tree.isBody && sides.includes(undefined)) return undefinedValue;
  if (sides.includes(decisive)) return bool(decisive);
  return sides.includes(undefined) ? undefinedValue : bool(!decisive);
}

function combined(operator: string, left: Tagged, right: Tagged): Tagged {
  if (operator === '||') return called('concat', [left, right]);
  if (left.type !== 'number' || right.type !== 'number') return undefinedValue;
  const [a, b] = [left.value, right.value];
  if (operator === '+') return number(a + b);
  if (operator === '-') return number(a - b);
  if (operator === '*') return number(a * b);
  return operator === '/' ? number(a / b) : number(a % b);
}

const order = ['bool', 'number', 'text', 'null'];

function compared(tree: Tree & { readonly kind: 'infix' }, left: Tagged, right: Tagged): Tagged {
  if (left.type === 'undefined' || right.type === 'undefined') return undefinedValue;
  let difference = order.indexOf(left.type) - order.indexOf(right.type);
  if (left.type === 'bool' && right.type === 'bool') difference = Number(left.value) - Number(right.value);
  if (left.type === 'number' && right.type === 'number')
    difference = left.value === right.value ? 0 : left.value > right.value ? 1 : -1;
  if (left.type === 'text' && right.type === 'text')
    difference = left.value === right.value ? 0 : [left.value, right.value].sort()[0] === left.value ? -1 : 1;
  switch (tree.operator) {
    case '=':
      return bool(difference === 0);
    case '<':
      return bool(difference < 0);
    case '<=':
      return bool(difference <= 0);
    case '>':
      return bool(difference > 0);
    case '>=':
      return bool(difference >= 0);
    default:
      return bool(difference !== 0);
  }
}

function called(name: string, values: readonly Tagged[]): Tagged {
  const [first = undefinedValue, second = undefinedValue, third = undefinedValue] = values;
  if (name === 'is_defined') return bool(first.type !== 'undefined');
  if (name === 'is_number') return bool(first.type === 'number' && Number.isFinite(first.value));
  if (name === 'is_string') return bool(first.type === 'text');
  if (name === 'as_number') {
    if (first.type === 'number') return first;
    // Drawn texts are plain numbers or no numbers at all.
    return first.type === 'text' && /^-?\d+(\.\d+)?$/.test(first.value) ? number(Number(first.value)) : undefinedValue;
  }
  if (name === 'concat') {
    return values.every((value) => value.type === 'text')
      ? text(values.map((value) => (value as { readonly value: string }).value).join(''))
      : undefinedValue;
  }
  if (['power', 'abs', 'ceiling', 'floor', 'sign', 'sqrt', 'square', 'exp'].includes(name))
    return calculated(name, first, second);
  if (name === 'substring') return cut(first, second, values.length === 3 ? third : undefined);
  return ofText(name, first, second);
}

function calculated(name: string, first: Tagged, second: Tagged): Tagged {
  if (first.type !== 'number') return undefinedValue;
  const x = first.value;
  if (name === 'power') return second.type === 'number' ? number(x ** second.value) : undefinedValue;
  if (name === 'abs') return number(x < 0 ? -x : x);
  if (name === 'ceiling') return number(-Math.floor(-x));
  if (name === 'floor') return number(Math.floor(x));
  if (name === 'sign') return number(x > 0 ? 1 : x < 0 ? -1 : 0);
  if (name === 'sqrt') return number(Math.sqrt(x));
  return name === 'square' ? number(x * x) : number(Math.exp(x));
}

function cut(source: Tagged, start: Tagged, length: Tagged | undefined): Tagged {
  if (source.type !== 'text' || start.type !== 'number') return undefinedValue;
  const all = source.value.length;
  if (length === undefined) {
    return start.value >= 0 && start.value <= all
      ? text(source.value.substring(Math.floor(start.value)))
      : undefinedValue;
  }
  if (length.type !== 'number' || !(start.value >= 0 && start.value < all)) return undefinedValue;
  if (!(length.value >= 0 && length.value <= all - start.value)) return undefinedValue;
  return text(source.value.substr(Math.floor(start.value), Math.floor(length.value)));
}

function ofText(name: string, first: Tagged, second: Tagged): Tagged {
  if (first.type !== 'text') return undefinedValue;
  const source = first.value;
  if (name === 'length') return number(source.length);
  if (name === 'lower') return text(source.toLowerCase());
  if (name === 'upper') return text(source.toUpperCase());
  if (second.type !== 'text') return undefinedValue;
  const at = source.indexOf(second.value);
  if (name === 'index_of') return number(at);
  if (name === 'contains') return bool(at >= 0);
  if (name === 'starts_with') return bool(source.slice(0, second.value.length) === second.value);
  return bool(
    source.slice(source.length - second.value.length) === second.value && source.length >= second.value.length,
  );
}
