// A command line without a terminal: what it wrote, and a daemon that answers from a table.

import type { CliContext } from '../../src/cli/context.ts';
import { WeirError } from '../../src/model/errors.ts';
import { systemDisk } from '../../src/platform/disk.ts';
import type { Http, HttpCall } from '../../src/platform/http.ts';
import { systemProcesses } from '../../src/platform/process.ts';
import { SimClock } from './sim-clock.ts';

export interface RecordedContext extends CliContext {
  readonly out: () => string;
  readonly err: () => string;
  readonly calls: readonly HttpCall[];
  /** SIGTERM arrives. */
  stop(): void;
  /** SIGHUP arrives. */
  reload(): void;
}

/** `answers`: `GET /status` → value; without them nobody listens. */
export function recordedContext(
  options: {
    readonly answers?: Readonly<Record<string, unknown>>;
    readonly columns?: number;
    readonly rows?: number;
    readonly nowMs?: number;
    readonly clock?: SimClock;
    /** Lines that a person types. */
    readonly typed?: readonly string[];
    readonly isTerminal?: boolean;
  } = {},
): RecordedContext {
  let out = '';
  let err = '';
  const calls: HttpCall[] = [];
  const listeners: (() => void)[] = [];
  const reloads: (() => void)[] = [];
  const typed = [...(options.typed ?? [])];
  return {
    terminal: {
      write: (text) => {
        out += text;
        return Promise.resolve();
      },
      writeError: (text) => {
        err += text;
      },
      columns: options.columns ?? 80,
      rows: options.rows ?? 24,
      isTerminal: options.isTerminal ?? false,
      hasColour: false,
    },
    clock: options.clock ?? new SimClock(options.nowMs),
    disk: systemDisk(),
    http: tableHttp(options.answers, calls),
    processes: { ...systemProcesses(), executable: '/usr/bin/weir' },
    env: {},
    keyboard: {
      isTerminal: options.isTerminal ?? false,
      readSecret: async () => typed.shift(),
      readLine: async () => typed.shift(),
    },
    onStop: (listener) => void listeners.push(listener),
    onReload: (listener) => void reloads.push(listener),
    exit: { code: 0 },
    out: () => out,
    err: () => err,
    calls,
    stop: () => {
      for (const listener of listeners) listener();
    },
    reload: () => {
      for (const listener of reloads) listener();
    },
  };
}

/** Answers that change from call to call. */
export class Sequence {
  readonly #values: unknown[];

  constructor(...values: readonly unknown[]) {
    this.#values = [...values];
  }

  next(): unknown {
    return this.#values.length > 1 ? this.#values.shift() : this.#values[0];
  }
}

const pieceCharacters = 5;

function tableHttp(answers: Readonly<Record<string, unknown>> | undefined, calls: HttpCall[]): Http {
  const answer = (call: HttpCall): { readonly status: number; readonly body: string } => {
    calls.push(call);
    if (answers === undefined) {
      const fields = { errno: 'ENOENT' };
      throw new WeirError({ code: 'PLATFORM_HTTP_FAILED', message: `No answer on ${call.socketPath}.`, fields });
    }
    const known = answers[`${call.method} ${call.path}`];
    // One after the other, the last one for ever.
    const value = known instanceof Sequence ? known.next() : known;
    if (value === undefined) return { status: 404, body: '{"code":"ADMIN_NOT_FOUND","message":"not here"}' };
    return { status: 200, body: typeof value === 'string' ? value : JSON.stringify(value) };
  };
  return {
    serve: () => Promise.reject(new Error('no test serves through this')),
    call: async (call) => answer(call),
    stream: async (call) => {
      const { status, body } = answer(call);
      return {
        status,
        // As a socket does: in pieces that know nothing of lines.
        body: (async function* () {
          for (let at = 0; at < body.length; at += pieceCharacters) yield body.slice(at, at + pieceCharacters);
        })(),
      };
    },
  };
}
