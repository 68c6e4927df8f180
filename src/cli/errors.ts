// What the command line itself refuses. Errors of the product pass through with their own code.
//
// UsageError means wrong usage: exit code 2. Everything else that fails: exit code 1.

import { WeirError } from '../model/errors.ts';

/** CLI_USAGE: the command line cannot be understood. */
export class UsageError extends WeirError {
  constructor(message: string) {
    super({ code: 'CLI_USAGE', message });
  }
}

export type CliErrorCode =
  | 'CLI_FILE_EXISTS'
  | 'CLI_CANNOT_WRITE'
  | 'CLI_CANNOT_READ'
  | 'CLI_BAD_MANIFEST'
  | 'CLI_ALREADY_RUNNING'
  | 'CLI_NO_SPACE'
  | 'CLI_NO_QUEUE_FILES';

/** CLI_FILE_EXISTS (would overwrite), CLI_CANNOT_WRITE, CLI_CANNOT_READ (a file the user named), CLI_BAD_MANIFEST (it is no JSON object), CLI_ALREADY_RUNNING, and of queue files CLI_NO_SPACE, CLI_NO_QUEUE_FILES. */
export class CliError extends WeirError {
  constructor(code: CliErrorCode, message: string, cause?: unknown) {
    super({ code, message, ...(cause === undefined ? {} : { cause }) });
  }
}
