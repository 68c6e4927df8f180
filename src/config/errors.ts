// What can be wrong with a configuration, and how it is told.
//
// A ConfigError carries every problem at once, each with its place and its mend, because an operator at a
// cabinet wants to edit the file once. Warnings never stop anything. No message ever holds a secret's text.

import { WeirError } from '../model/errors.ts';

export interface ConfigNote {
  /** `/etc/weir/config.toml:12:3`, or without line and column when the key is absent. */
  readonly where: string;
  /** Dotted key, `store.quota`; empty when the file as a whole is meant. */
  readonly key: string;
  /** What is wrong, in one sentence. */
  readonly message: string;
  /** What is allowed, or what to do. */
  readonly mend: string;
}

export type ConfigErrorCode =
  | 'CONFIG_MISSING'
  | 'CONFIG_UNREADABLE'
  | 'CONFIG_SYNTAX'
  | 'CONFIG_INVALID'
  | 'CONFIG_MOSQUITTO';

/**
 * CONFIG_MISSING (no file), CONFIG_UNREADABLE (permission, size), CONFIG_SYNTAX (not TOML), CONFIG_INVALID
 * (values), CONFIG_MOSQUITTO (a mosquitto.conf). `problems` has at least one entry; the message holds one line for each.
 */
export class ConfigError extends WeirError {
  readonly problems: readonly ConfigNote[];

  constructor(code: ConfigErrorCode, problems: readonly ConfigNote[], cause?: unknown) {
    super({ code, message: problems.map(formatNote).join('\n'), ...(cause === undefined ? {} : { cause }) });
    this.problems = problems;
  }
}

/** `path:line:column: key: what is wrong. What to do.` */
export function formatNote(note: ConfigNote): string {
  return [note.where, note.key, `${note.message} ${note.mend}`].filter((part) => part !== '').join(': ');
}
