// One object of a manifest, read member by member: each reading answers a value, or notes what is wrong and goes on.
//
// Every fault ends up in one list with its JSON path and the mend, so a manifest is mended in one go. Words compare
// without case and members nobody knows pass, as Azure's agent does it; blocks of weir's own are closed with only(),
// because a misspelled limit must not be no limit.

import { parseBytes, parseDurationMs } from '../config/index.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../model/json.ts';
import { nearestName } from '../model/nearest.ts';
import type { Problem } from '../model/problem.ts';

interface Range {
  readonly min: number;
  readonly max: number;
}

export class FieldReader {
  readonly object: JsonObject;
  readonly path: string;
  readonly #problems: Problem[];

  constructor(object: JsonObject, path: string, problems: Problem[]) {
    this.object = object;
    this.path = path;
    this.#problems = problems;
  }

  /** Notes a fault of a member, or with '' of the object itself. */
  complain(name: string, message: string): undefined {
    const path = name === '' ? this.path : this.path === '' ? name : `${this.path}.${name}`;
    this.#problems.push({ path, message });
  }

  has(name: string): boolean {
    return this.#member(name) !== undefined;
  }

  text(name: string, expected = 'a text is expected'): string | undefined {
    const value = this.#member(name);
    if (value === undefined) return undefined;
    return typeof value === 'string' ? value.trim() : this.complain(name, expected);
  }

  /** The first choice is what the absent member means. */
  choice<Choice extends string>(name: string, choices: readonly Choice[], fallback: Choice): Choice {
    const value = this.#member(name);
    if (value === undefined) return fallback;
    const found = choices.find(
      (choice) => typeof value === 'string' && choice.toLowerCase() === value.trim().toLowerCase(),
    );
    return found ?? this.complain(name, `write one of ${choices.join(', ')}`) ?? fallback;
  }

  flag(name: string, fallback: boolean): boolean {
    const value = this.#member(name);
    if (value === undefined || typeof value === 'boolean') return value ?? fallback;
    return this.complain(name, 'write true or false') ?? fallback;
  }

  integer(name: string, { min, max }: Range): number | undefined {
    const value = this.#member(name);
    if (value === undefined) return undefined;
    if (typeof value === 'number' && Number.isInteger(value) && value >= min && value <= max) return value;
    return this.complain(name, `a whole number from ${min} to ${max} is expected`);
  }

  number(name: string, { min, max }: Range): number | undefined {
    const value = this.#member(name);
    if (value === undefined) return undefined;
    if (typeof value === 'number' && value >= min && value <= max) return value;
    return this.complain(name, `a number from ${min} to ${max} is expected`);
  }

  /** A number of bytes, or a text with its unit. */
  bytes(name: string, { min, max }: Range): number | undefined {
    return this.#quantity(name, { min, max }, { parse: parseBytes, example: '"64MB"', unit: 'bytes' });
  }

  /** A text with its unit. Milliseconds. */
  durationMs(name: string, { min, max }: Range): number | undefined {
    return this.#quantity(name, { min, max }, { parse: parseDurationMs, example: '"10s"', unit: 'milliseconds' });
  }

  texts(name: string, allowed: (text: string) => boolean = () => true, expected = 'texts'): readonly string[] {
    const value = this.#member(name);
    if (value === undefined) return [];
    const isList = Array.isArray(value);
    if (isList && value.every((item): item is string => typeof item === 'string' && allowed(item))) return value;
    return this.complain(name, `a list of ${expected} is expected`) ?? [];
  }

  /** A reader of the member; undefined when it is absent or no object, which is noted. */
  inside(name: string): FieldReader | undefined {
    const value = this.#member(name);
    if (value === undefined) return undefined;
    if (!isJsonObject(value)) return this.complain(name, 'an object is expected');
    return new FieldReader(value, this.path === '' ? name : `${this.path}.${name}`, this.#problems);
  }

  /** Notes members that are none of these. */
  only(names: readonly string[]): void {
    for (const name of Object.keys(this.object)) {
      if (names.includes(name)) continue;
      const nearest = nearestName(name, names);
      this.complain(
        name,
        nearest === undefined
          ? `there is no such member here; known are ${names.join(', ')}`
          : `did you mean ${nearest}?`,
      );
    }
  }

  #member(name: string): JsonValue | undefined {
    return Object.hasOwn(this.object, name) ? (this.object[name] ?? undefined) : undefined;
  }

  #quantity(
    name: string,
    { min, max }: Range,
    {
      parse,
      example,
      unit,
    }: { readonly parse: (text: string) => number | undefined; readonly example: string; readonly unit: string },
  ): number | undefined {
    const value = this.#member(name);
    if (value === undefined) return undefined;
    const quantity = typeof value === 'string' ? parse(value) : value;
    if (typeof quantity === 'number' && Number.isInteger(quantity) && quantity >= min && quantity <= max)
      return quantity;
    return this.complain(name, `write a number and its unit, such as ${example}; ${min} to ${max} ${unit} are allowed`);
  }
}
