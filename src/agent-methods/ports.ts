// What the direct methods of `$edgeAgent` need from outside, in their own words.

import type { JsonValue } from '../model/json.ts';

export interface MethodCall {
  /** Compared without case, as Azure's agent does. */
  readonly name: string;
  readonly payload: JsonValue;
}

export interface MethodAnswer {
  readonly status: number;
  readonly payload: JsonValue;
}

export interface MethodModules {
  /** The modules of this gateway and whether they are meant to run; the runtime itself is not among them. */
  list(): readonly { readonly name: string; readonly wanted: 'running' | 'stopped' }[];
  /** Stops a module and starts it again. Rejects with a WeirError of its own. */
  restart(name: string): Promise<void>;
}

/** Lines from `sinceMs` on and before `untilMs` (wall times), of those the last `tail`. */
export interface LogWindow {
  readonly sinceMs?: number | undefined;
  readonly untilMs?: number | undefined;
  readonly tail?: number | undefined;
}

export interface LogQuestion extends LogWindow {
  readonly name: string;
  readonly signal: AbortSignal;
}

export interface MethodLogs {
  /**
   * What a module wrote, as the shim keeps it (`2026-11-21T09:12:44.123Z O text`), oldest first, in pieces of whole
   * lines. A module that has not written anything yet has no lines.
   */
  ofModule(question: LogQuestion): AsyncIterable<string>;
  /** Modules that have a log: also those that a rollback has removed. */
  names(): Promise<readonly string[]>;
  /** The latest lines of the runtime's own log: `2026-11-21T09:12:44.123Z info  broker: text`. */
  own(): readonly string[];
}

export interface Upload {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
  readonly signal: AbortSignal;
}

/** The way to a store of files that speaks HTTP. */
export interface MethodWeb {
  /** PUT. Rejects PLATFORM_WEB_FAILED when nobody answers. `text` is the beginning of the answer's body. */
  put(upload: Upload): Promise<{ readonly status: number; readonly text: string }>;
}

/** A regular expression that stops when it takes too long. */
export interface MethodPatterns {
  /** Throws an Error that says what is wrong with the expression. */
  compile(source: string, options: { readonly ignoreCase: boolean }): LinePattern;
}

export interface LinePattern {
  /** Which of the texts match. Throws PLATFORM_PATTERN_TOO_SLOW. */
  matches(texts: readonly string[]): readonly boolean[];
}

export interface SupportFacts {
  /** Documents of a support bundle by file name: status, configuration without secrets, metrics … */
  documents(): Promise<Readonly<Record<string, JsonValue>>>;
}
