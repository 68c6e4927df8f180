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
  const threshold = logLevels.indexOf(level);
  const emit = (at: LogLevel, message: string, fields: LogFields | undefined): void => {
    if (logLevels.indexOf(at) < threshold) return;
    const stamp = new Date(clock.wallMs()).toISOString();
    write(`${stamp} ${at.padEnd(5)} ${name}: ${message}${formatFields(fields)}\n`);
  };
  return {
    debug: (message, fields) => emit('debug', message, fields),
    info: (message, fields) => emit('info', message, fields),
    warn: (message, fields) => emit('warn', message, fields),
    error: (message, fields) => emit('error', message, fields),
    child: (inner) => createLog({ clock, level, write, name: name === 'weir' ? inner : `${name}.${inner}` }),
  };
}

function formatFields(fields: LogFields | undefined): string {
  if (fields === undefined) return '';
  let text = '';
  for (const [key, value] of Object.entries(fields)) {
    if (value === undefined) continue;
    const shown = typeof value === 'string' && /[\s"=]/.test(value) ? JSON.stringify(value) : String(value);
    text += ` ${key}=${shown}`;
  }
  return text;
}
