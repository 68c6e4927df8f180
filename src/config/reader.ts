// Takes values out of a parsed TOML table one key at a time, and collects what is wrong with them.
//
// Owns the rule that every problem is found in one pass: a bad value is noted and its fallback used, so that the
// reading goes on. What is allowed comes from the description in schema.ts, so message and documentation say
// the same. Values appear in messages, except those of secrets.

import { strict as assert } from 'node:assert';
import type { TomlTableWithoutBigInt, TomlValueWithoutBigInt } from 'smol-toml';
import { nearestName } from '../model/nearest.ts';
import type { ConfigNote } from './errors.ts';
import type { Position } from './key-positions.ts';
import { parseListenUrl } from './listen-url.ts';
import { azureOnlyKeys, type SettingDescription, settings, type TcpAddress } from './schema.ts';
import { formatBytes, formatDurationMs, parseBytes, parseDurationMs } from './units.ts';

export interface TomlSource {
  readonly path: string;
  readonly table: TomlTableWithoutBigInt;
  readonly positions: ReadonlyMap<string, Position>;
}

export type SecretReference =
  | { readonly kind: 'value'; readonly text: string }
  | { readonly kind: 'file'; readonly path: string };

const shownValueMax = 40;

/** The keys of one kind of file. */
export interface Vocabulary {
  readonly settings: readonly SettingDescription[];
  /** First parts of keys that belong to somebody else and are tolerated. */
  readonly foreignKeys: readonly string[];
  /** Where a person reads about them. */
  readonly page: string;
}

const gatewayVocabulary: Vocabulary = { settings, foreignKeys: azureOnlyKeys, page: 'docs/configuration.md' };

/** Keys whose value is a table that a setting reads as a whole. */
const secretKeys: readonly string[] = [
  'provisioning.connection_string',
  'provisioning.authentication.device_id_pk',
  'upstream.mqtt.password',
  'bridges.<name>.password',
];

export class SettingsReader {
  readonly problems: ConfigNote[] = [];
  readonly warnings: ConfigNote[] = [];
  readonly #source: TomlSource;
  readonly #vocabulary: Vocabulary;
  readonly #tableNames: readonly string[];

  constructor(source: TomlSource, vocabulary: Vocabulary = gatewayVocabulary) {
    this.#source = source;
    this.#vocabulary = vocabulary;
    this.#tableNames = [...new Set(vocabulary.settings.flatMap(({ key }) => enclosingTables(key)))];
  }

  /** The raw value under a dotted key; undefined when any part is absent. */
  value(key: string): TomlValueWithoutBigInt | undefined {
    let value: TomlValueWithoutBigInt | undefined = this.#source.table;
    for (const part of key.split('.')) {
      if (!isTable(value)) return undefined;
      value = Object.hasOwn(value, part) ? value[part] : undefined;
    }
    return value;
  }

  has(key: string): boolean {
    return this.value(key) !== undefined;
  }

  /** The same problem of the same key is noted once, however often the key is read. */
  problem(key: string, message: string, mend = `Allowed: ${this.#allowedFor(key)}.`): void {
    if (this.problems.some((known) => known.key === key && known.message === message)) return;
    this.problems.push({ where: this.where(key), key, message, mend });
  }

  warning(key: string, message: string, mend: string): void {
    this.warnings.push({ where: this.where(key), key, message, mend });
  }

  /** `path:line:column` of the key or of the nearest table around it that exists. */
  where(key: string): string {
    for (let name = key; name !== ''; name = name.slice(0, Math.max(0, name.lastIndexOf('.')))) {
      const position = this.#source.positions.get(name);
      if (position !== undefined) return `${this.#source.path}:${position.line}:${position.column}`;
    }
    return this.#source.path;
  }

  text(key: string, isAllowed: (text: string) => boolean = (text) => text !== ''): string | undefined {
    const value = this.value(key);
    if (value === undefined) return undefined;
    if (typeof value === 'string' && isAllowed(value)) return value;
    this.problem(key, typeof value === 'string' ? `${show(value)} is not allowed.` : `${show(value)} is not a text.`);
    return undefined;
  }

  choice<Name extends string>(key: string, allowed: readonly Name[]): Name | undefined {
    const value = this.value(key);
    if (value === undefined) return undefined;
    const found = allowed.find((name) => name === value);
    if (found === undefined) this.problem(key, `${show(value)} is not allowed.`);
    return found;
  }

  flag(key: string): boolean | undefined {
    const value = this.value(key);
    if (value === undefined || typeof value === 'boolean') return value;
    this.problem(key, `${show(value)} is neither true nor false.`);
    return undefined;
  }

  /** A list of texts; one text alone is a list, too. */
  texts(key: string): readonly string[] | undefined {
    const value = this.value(key);
    if (value === undefined) return undefined;
    const list = Array.isArray(value) ? value : [value];
    const texts = list.filter((item): item is string => typeof item === 'string' && item !== '');
    if (texts.length === list.length) return texts;
    this.problem(key, `${show(value)} is not a list of texts.`);
    return undefined;
  }

  integer(key: string, bounds: { readonly min: number; readonly max: number; readonly fallback: number }): number {
    const value = this.value(key);
    if (value === undefined) return bounds.fallback;
    if (typeof value === 'number' && Number.isInteger(value) && value >= bounds.min && value <= bounds.max)
      return value;
    this.problem(
      key,
      typeof value === 'number' ? `${value} is not within the allowed range.` : `${show(value)} is not a whole number.`,
    );
    return bounds.fallback;
  }

  durationMs(key: string, bounds: { readonly min: number; readonly max: number; readonly fallback: number }): number {
    return this.#quantity(key, {
      ...bounds,
      parse: parseDurationMs,
      format: formatDurationMs,
      noun: 'duration',
    });
  }

  bytes(key: string, bounds: { readonly min: number; readonly max: number; readonly fallback: number }): number {
    return this.#quantity(key, { ...bounds, parse: parseBytes, format: formatBytes, noun: 'size' });
  }

  /** A listener's URL of one scheme: listen-url.ts. */
  address(key: string, scheme: 'tcp' | 'tls' | 'ws' | 'wss'): TcpAddress | undefined {
    const text = this.text(key);
    if (text === undefined) return undefined;
    const url = parseListenUrl(text);
    if (url?.scheme === scheme) return { host: url.host, port: url.port };
    this.problem(key, `${show(text)} is not an address of this kind.`);
    return undefined;
  }

  /** The path in a `file:///…` URI. */
  fileUri(key: string): string | undefined {
    const text = this.text(key);
    if (text === undefined) return undefined;
    const path = pathOfFileUri(text);
    if (path === undefined) this.problem(key, `${show(text)} is not a file URI.`);
    return path;
  }

  /** `{ value = "…" }`, `{ uri = "file:///…" }`, or a plain text. Never shows what it found. */
  secret(key: string): SecretReference | undefined {
    assert(secretKeys.includes(describedKey(key)), 'unknown keys inside a secret are reported here, nowhere else');
    const value = this.value(key);
    if (value === undefined) return undefined;
    if (typeof value === 'string' && value !== '') {
      const path = value.startsWith('file://') ? pathOfFileUri(value) : undefined;
      return path === undefined ? { kind: 'value', text: value } : { kind: 'file', path };
    }
    if (isTable(value) && Object.keys(value).length === 1) {
      const { value: text, uri } = value as { readonly value?: unknown; readonly uri?: unknown };
      if (typeof text === 'string' && text !== '') return { kind: 'value', text };
      const path = typeof uri === 'string' ? pathOfFileUri(uri) : undefined;
      if (path !== undefined) return { kind: 'file', path };
    }
    this.problem(key, 'this is not a secret in a form that can be read (the value is not shown).');
    return undefined;
  }

  /** Notes a problem for every table that was written as a plain value. */
  checkTables(): void {
    for (const name of this.#tableNames) {
      const value = this.value(name);
      if (value !== undefined && !isTable(value))
        this.problem(name, `${show(value)} is not a table.`, `Write its keys below a line [${name}].`);
    }
  }

  /** Notes a warning for every key that means nothing here, with the nearest known one. */
  warnUnknownKeys(): void {
    const { foreignKeys, page } = this.#vocabulary;
    const known = this.#vocabulary.settings.map((setting) => setting.key);
    for (const key of this.#leafKeys(this.#source.table, '')) {
      if (known.includes(describedKey(key)) || this.#tableNames.includes(key)) continue;
      if (foreignKeys.includes(key.split('.')[0] ?? '')) {
        this.warning(
          key,
          'this key is for the Azure IoT Edge runtime and has no effect in weir.',
          'It may be removed.',
        );
        continue;
      }
      const nearest =
        nearestName(key, known) ?? known.find((name) => name.endsWith(`.${key.slice(key.lastIndexOf('.') + 1)}`));
      this.warning(key, 'unknown key, ignored.', nearest === undefined ? `See ${page}.` : `Did you mean ${nearest}?`);
    }
  }

  #leafKeys(table: TomlTableWithoutBigInt, prefix: string): string[] {
    return Object.entries(table).flatMap(([name, value]) => {
      const key = `${prefix}${name}`;
      if (!isTable(value) || secretKeys.includes(describedKey(key)) || this.#vocabulary.foreignKeys.includes(key))
        return [key];
      // A table in the place of a plain value is judged by the one who reads that value.
      return this.#vocabulary.settings.some((setting) => setting.key === describedKey(key))
        ? []
        : this.#leafKeys(value, `${key}.`);
    });
  }

  #allowedFor(key: string): string {
    const setting = this.#vocabulary.settings.find((candidate) => candidate.key === describedKey(key));
    assert(setting !== undefined, `every key that is read is described: ${key}`);
    return setting.allowed;
  }

  #quantity(key: string, kind: QuantityKind): number {
    const value = this.value(key);
    if (value === undefined) return kind.fallback;
    const parsed = typeof value === 'string' ? kind.parse(value) : undefined;
    if (parsed === undefined) {
      this.problem(key, typeof value === 'number' ? `${value} has no unit.` : `${show(value)} is not a ${kind.noun}.`);
      return kind.fallback;
    }
    if (parsed >= kind.min && parsed <= kind.max) return parsed;
    const side = parsed < kind.min ? `less than ${kind.format(kind.min)}` : `more than ${kind.format(kind.max)}`;
    this.problem(key, `${show(value)} is ${side}.`);
    return kind.fallback;
  }
}

/** The key as it is described: tables of one kind have names of their own in between. */
function describedKey(key: string): string {
  return key.replace(/^bridges\.[^.]+\./, 'bridges.<name>.');
}

/** `a.b.c` lies in `a` and `a.b`. */
function enclosingTables(key: string): string[] {
  const parts = key.split('.');
  return parts.slice(0, -1).map((_, index) => parts.slice(0, index + 1).join('.'));
}

interface QuantityKind {
  readonly min: number;
  readonly max: number;
  readonly fallback: number;
  readonly parse: (text: string) => number | undefined;
  readonly format: (value: number) => string;
  readonly noun: string;
}

function show(value: TomlValueWithoutBigInt): string {
  const text = JSON.stringify(value);
  return text.length <= shownValueMax ? text : `${text.slice(0, shownValueMax)}…`;
}

export function isTable(value: TomlValueWithoutBigInt | undefined): value is TomlTableWithoutBigInt {
  return (
    typeof value === 'object' &&
    value !== null &&
    Object.getPrototypeOf(value) !== Date.prototype &&
    !Array.isArray(value) &&
    !(value instanceof Date)
  );
}

function pathOfFileUri(uri: string): string | undefined {
  try {
    const url = new URL(uri);
    if (url.protocol !== 'file:' || url.hostname !== '' || !uri.startsWith('file:///')) return undefined;
    return decodeURIComponent(url.pathname);
  } catch {
    return undefined;
  }
}
