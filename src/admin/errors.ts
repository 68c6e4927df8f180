// What the admin socket refuses, and what its client meets. On the wire: `{"code": "…", "message": "…"}`.
//
// `fields.status` is the HTTP status. Errors of other folders pass through the server with their own code, so a
// client matches on the code of the cause.

import { WeirError } from '../model/errors.ts';

export type AdminErrorCode =
  | 'ADMIN_BAD_REQUEST'
  | 'ADMIN_NOT_FOUND'
  | 'ADMIN_NO_SUCH_MODULE'
  | 'ADMIN_NOT_RUNNING'
  | 'ADMIN_FORBIDDEN'
  | 'ADMIN_BAD_ANSWER';

const statuses: Readonly<Record<AdminErrorCode, number>> = {
  ADMIN_BAD_REQUEST: 400,
  ADMIN_NOT_FOUND: 404,
  ADMIN_NO_SUCH_MODULE: 404,
  ADMIN_NOT_RUNNING: 503,
  ADMIN_FORBIDDEN: 403,
  ADMIN_BAD_ANSWER: 502,
};

export class AdminError extends WeirError {
  constructor(code: AdminErrorCode, message: string, cause?: unknown) {
    super({
      code,
      message,
      retryable: code === 'ADMIN_NOT_RUNNING',
      fields: { status: statuses[code] },
      ...(cause === undefined ? {} : { cause }),
    });
  }
}

/** An error that the daemon answered with: its own code and words. */
export class AnsweredError extends WeirError {
  constructor(answer: { readonly status: number; readonly code: string; readonly message: string }) {
    super({ code: answer.code, message: answer.message, fields: { status: answer.status } });
  }
}
