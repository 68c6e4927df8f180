// What can be wrong with the files that say who may what, each with its line and its mend.
//
// A file with mistakes is refused as a whole: half a set of rules would be a hole or a lock-out. No message holds a
// password or a hash.

import { problemsMax } from '../limits.ts';
import { WeirError } from '../model/errors.ts';
import type { Problem } from '../model/problem.ts';

/** One mistake in a file. */
export interface FileProblem {
  /** From 1. */
  readonly line: number;
  readonly message: string;
  readonly mend: string;
}

export type AccessErrorCode =
  | 'ACCESS_FILE_UNREADABLE'
  | 'ACCESS_PASSWORD_FILE_INVALID'
  | 'ACCESS_ACL_FILE_INVALID'
  | 'ACCESS_POLICY_FILE_INVALID'
  | 'ACCESS_USER_INVALID'
  | 'ACCESS_USER_UNKNOWN';

/**
 * ACCESS_FILE_UNREADABLE (missing, permission, size), ACCESS_PASSWORD_FILE_INVALID and ACCESS_ACL_FILE_INVALID (one
 * line of the message for each mistake), ACCESS_POLICY_FILE_INVALID (likewise, with JSON paths), ACCESS_USER_INVALID (no possible user name or password),
 * ACCESS_USER_UNKNOWN (not in the file).
 */
export class AccessError extends WeirError {
  readonly problems: readonly FileProblem[];

  constructor(
    code: AccessErrorCode,
    message: string,
    { problems = [], cause }: { readonly problems?: readonly FileProblem[]; readonly cause?: unknown } = {},
  ) {
    super({ code, message, ...(cause === undefined ? {} : { cause }) });
    this.problems = problems;
  }
}

/** `path:line: what is wrong. What to do.`, a line for each; beyond problemsMax they are counted. */
export function fileInvalid(code: AccessErrorCode, path: string, problems: readonly FileProblem[]): AccessError {
  const lines = problems
    .slice(0, problemsMax)
    .map(({ line, message, mend }) => `${path}:${line}: ${message} ${mend}`.trimEnd());
  if (problems.length > problemsMax) lines.push(`… and ${problems.length - problemsMax} more.`);
  return new AccessError(code, lines.join('\n'), { problems });
}

/** `path: $.where: what is wrong`, a line for each mistake in a policy. */
export function policyFileInvalid(path: string, problems: readonly Problem[]): AccessError {
  const lines = problems.slice(0, problemsMax).map(({ path: at, message }) => `${path}: ${at}: ${message}`);
  return new AccessError('ACCESS_POLICY_FILE_INVALID', lines.join('\n'));
}
