// The log: a device the process writes lines to, injected like the clock.
//
// One line an event: `2026-11-21T09:12:44.123Z info  broker: client connected client=plc-1`. Fields are facts,
// never secrets. Volume is the caller's duty: nothing on a per-message path logs above debug.

import type { Clock } from './clock.ts';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';
export type LogFields = Readonly<Record<string, string | number | boolean | null | undefined>>;

export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** Whether lines of `level` are written: asked where the fields alone cost something. */
  writes(level: LogLevel): boolean;
  /** The same log under a longer name: `child('drain')` of `router` writes as `router.drain`. */
  child(name: string): Log;
}

export const logLevels: readonly LogLevel[] = ['debug', 'info', 'warn', 'error'];

export interface LogOptions {
  readonly clock: Clock;
  readonly level: LogLevel;
  readonly write: (line: string) => void;
  readonly name?: string;
}

export function createLog({ clock, level, write, name = 'weir' }: LogOptions): Log {
  const emit = (at: LogLevel, message: string, fields: LogFields | undefined): void => {
    const stamp = new Date(clock.wallMs()).toISOString();
    write(`${stamp} ${at.padEnd(5)} ${name}: ${message}${formatFields(fields)}\n`);
  };
  const threshold = logLevels.indexOf(level);
  const entry = (at: LogLevel): Log['info'] =>
    logLevels.indexOf(at) < threshold ? silent : (message, fields) => emit(at, message, fields);
  return {
    debug: entry('debug'),
    info: entry('info'),
    warn: entry('warn'),
    error: entry('error'),
    writes: (at) => logLevels.indexOf(at) >= threshold,
    child: (inner) => createLog({ clock, level, write, name: name === 'weir' ? inner : `${name}.${inner}` }),
  };
}

/** Lines of one loop turn go out in one write: a storm of clients costs a system call a turn, not one each. */
export interface LineBatch {
  write(line: string): void;
  /** What is collected goes out now: the process is about to end. */
  flush(): void;
}

const batchCharactersMax = 65_536;

/** The latest lines of a log, for whoever asks from afar: the log itself goes to the journal. */
export interface RecentLines {
  write(line: string): void;
  /** Oldest first, without their newlines. */
  lines(): readonly string[];
  /** How many there were since the start. */
  written(): number;
}

/** Remembers so many characters of lines; the oldest go first. */
export function recentLines(charactersMax: number): RecentLines {
  const lines: string[] = [];
  let characters = 0;
  let first = 0;
  let written = 0;
  return {
    write(line) {
      written++;
      const text = line.trimEnd();
      lines.push(text);
      characters += text.length;
      while (characters > charactersMax && first < lines.length - 1) characters -= lines[first++]?.length ?? 0;
      // Moved seldom, so that a line costs the same however many are kept.
      if (first > lines.length / 2) {
        lines.splice(0, first);
        first = 0;
      }
    },
    lines: () => lines.slice(first),
    written: () => written,
  };
}

export function batchLines(clock: Pick<Clock, 'soon'>, write: (lines: string) => void): LineBatch {
  let lines = '';
  const flush = (): void => {
    if (lines === '') return;
    const ready = lines;
    lines = '';
    write(ready);
  };
  return {
    write(line) {
      if (lines === '') clock.soon(flush);
      lines += line;
      if (lines.length > batchCharactersMax) flush();
    },
    flush,
  };
}

function silent(): void {
  // Below the level.
}

function formatFields(fields: LogFields | undefined): string {
  if (fields === undefined) return '';
  let text = '';
  for (const key in fields) {
    const value = fields[key];
    if (value === undefined) continue;
    const shown = typeof value === 'string' && /[\s"=]/.test(value) ? JSON.stringify(value) : String(value);
    text += ` ${key}=${shown}`;
  }
  return text;
}
