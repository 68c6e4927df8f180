// The one base of every operating error in weir.
//
// Owns the shape: a stable code, whether trying again can help, the fields a reader needs, the cause.
// Does not own any concrete error: each folder has its own `errors.ts`, listed in docs/ERRORS.md.
//
// Two kinds only. Operating errors (the world refused, was full, timed out, sent nonsense) are WeirErrors and
// are handled. Bugs are assertions: they end the process, and the supervisor above and the durable store
// below make that safe.

export interface WeirErrorDetail {
  /** FOLDER_REASON, stable for ever: callers, logs and docs match on it. */
  readonly code: string;
  /** What failed, which one, and what to do about it. One sentence or two. */
  readonly message: string;
  /** True when the same call may succeed later without anybody changing anything. */
  readonly retryable?: boolean;
  /** Facts for the log line: names and values, never secrets. */
  readonly fields?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly cause?: unknown;
}

export class WeirError extends Error {
  readonly code: string;
  readonly retryable: boolean;
  readonly fields: Readonly<Record<string, string | number | boolean | undefined>>;

  constructor(detail: WeirErrorDetail) {
    super(detail.message, detail.cause === undefined ? undefined : { cause: detail.cause });
    this.name = new.target.name;
    this.code = detail.code;
    this.retryable = detail.retryable ?? false;
    this.fields = detail.fields ?? {};
  }
}

/** The code of any thrown value: a WeirError's own, a Node system error's errno name, else `UNKNOWN`. */
export function errorCode(thrown: unknown): string {
  if (typeof thrown === 'object' && thrown !== null && 'code' in thrown && typeof thrown.code === 'string')
    return thrown.code;
  return 'UNKNOWN';
}

/** The message of any thrown value, for a log line. */
export function errorMessage(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
