// Reading a JSON section member by member: every mistake is kept with its path and what would be right.
//
// Nothing throws and nothing stops at the first mistake: the person at the far end sees all of them at once. A
// wrong or missing member yields its default, so that reading can go on; whoever finds problems in the end throws
// the result away. Members that nobody asked for are mistakes too, with the nearest known name: a misspelt key
// that is silently ignored costs a site visit.

import { isJsonObject, type JsonObject, type JsonValue } from '../../model/json.ts';
import type { ConfigProblem } from '../contract.ts';

export class SectionReader {
  readonly path: string;
  readonly #section: JsonObject;
  readonly #problems: ConfigProblem[];
  readonly #known = new Set<string>();

  constructor(section: JsonObject, path = '', problems: ConfigProblem[] = []) {
    this.#section = section;
    this.path = path;
    this.#problems = problems;
  }

  get problems(): readonly ConfigProblem[] {
    return this.#problems;
  }

  problem(name: string, message: string): void {
    this.#problems.push({ path: `${this.path}/${name}`, message });
  }

  has(name: string): boolean {
    this.#known.add(name);
    return this.#section[name] !== undefined;
  }

  /** The object `name`; an empty one when it is absent. */
  section(name: string): SectionReader {
    const value = this.#take(name);
    if (value !== undefined && !isJsonObject(value)) this.problem(name, `is ${shown(value)}; give an object`);
    return new SectionReader(isJsonObject(value) ? value : {}, `${this.path}/${name}`, this.#problems);
  }

  /** Every member of this section as a section of its own. */
  entries(): readonly (readonly [string, SectionReader])[] {
    return Object.keys(this.#section).map((name) => [name, this.section(name)] as const);
  }

  text(name: string, fallback?: string): string {
    const value = this.#take(name);
    if (typeof value === 'string' && value !== '') return value;
    if (value !== undefined || fallback === undefined) this.#wrong(name, value, 'a text');
    return fallback ?? '';
  }

  oneOf<Choice extends string | number>(name: string, choices: readonly Choice[], fallback?: Choice): Choice {
    const value = this.#take(name);
    const found = choices.find((choice) => choice === value);
    if (found !== undefined) return found;
    const first = choices[0] as Choice;
    if (value !== undefined || fallback === undefined) this.#wrong(name, value, `one of ${choices.join(', ')}`);
    return fallback ?? first;
  }

  boolean(name: string, fallback: boolean): boolean {
    const value = this.#take(name);
    if (typeof value === 'boolean') return value;
    if (value !== undefined) this.#wrong(name, value, 'true or false');
    return fallback;
  }

  integer(name: string, range: { readonly min: number; readonly max: number; readonly fallback?: number }): number {
    const value = this.#take(name);
    if (typeof value === 'number' && Number.isInteger(value) && value >= range.min && value <= range.max) return value;
    if (value !== undefined || range.fallback === undefined) {
      this.#wrong(name, value, `a whole number from ${range.min} to ${range.max}`);
    }
    return range.fallback ?? range.min;
  }

  number(name: string, fallback: number): number {
    return this.optionalNumber(name) ?? fallback;
  }

  optionalNumber(name: string): number | undefined {
    const value = this.#take(name);
    if (typeof value === 'number' && Number.isFinite(value)) return value;
    if (value !== undefined) this.#wrong(name, value, 'a number');
    return undefined;
  }

  /** The member as it is, for what no other method fits. */
  value(name: string): JsonValue | undefined {
    return this.#take(name);
  }

  /** To be called last: members nobody asked for are mistakes. */
  end(): void {
    for (const name of Object.keys(this.#section)) {
      if (this.#known.has(name)) continue;
      const near = nearest(name, [...this.#known]);
      this.problem(name, `is not known here${near === undefined ? '' : `; did you mean '${near}'?`}`);
    }
  }

  #take(name: string): JsonValue | undefined {
    this.#known.add(name);
    return this.#section[name];
  }

  #wrong(name: string, value: JsonValue | undefined, allowed: string): void {
    this.problem(name, value === undefined ? `is missing; give ${allowed}` : `is ${shown(value)}; give ${allowed}`);
  }
}

const shownCharactersMax = 40;

function shown(value: JsonValue): string {
  const text = JSON.stringify(value);
  return text.length <= shownCharactersMax ? text : `${text.slice(0, shownCharactersMax)}…`;
}

/** The name at most two edits away, if there is one. */
function nearest(name: string, known: readonly string[]): string | undefined {
  const ranked = known.map((candidate) => ({ candidate, distance: editDistance(name, candidate) }));
  ranked.sort((a, b) => a.distance - b.distance);
  const [best] = ranked;
  return best !== undefined && best.distance <= 2 ? best.candidate : undefined;
}

function editDistance(a: string, b: string): number {
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const swap = (previous[column - 1] ?? 0) + (a[row - 1]?.toLowerCase() === b[column - 1]?.toLowerCase() ? 0 : 1);
      current.push(Math.min(swap, (previous[column] ?? 0) + 1, (current[column - 1] ?? 0) + 1));
    }
    previous = current;
  }
  return previous[b.length] ?? 0;
}
