// Why a commit or a read of the outbox did not happen.
//
// Carries the kind, because each has another consequence: `full` waits for space, `readonly` for the person who
// remounts the card, `io` for a disk that answers again. After any of them nothing of the commit is there, and
// nothing that was there before is gone. The engine turns it into a StoreError.

import { errorCode, errorMessage } from '../../model/errors.ts';

export type OutboxFaultKind = 'full' | 'io' | 'readonly';

export class OutboxFault extends Error {
  readonly kind: OutboxFaultKind;
  /** The errno name behind it. */
  readonly code: string;

  constructor(kind: OutboxFaultKind, detail: { readonly code: string; readonly message: string; cause?: unknown }) {
    super(detail.message, { cause: detail.cause });
    this.name = 'OutboxFault';
    this.kind = kind;
    this.code = detail.code;
  }
}

const fullCodes = ['ENOSPC', 'EDQUOT', 'EFBIG'];
const readonlyCodes = ['EROFS', 'EACCES', 'EPERM'];

/** The fault behind an error of the file system; rethrows what is none, because that is a bug. */
export function faultFrom(error: unknown, doing: string): OutboxFault {
  if (error instanceof OutboxFault) return error;
  const code = errorCode(error);
  if (!/^E[A-Z0-9]+$/.test(code)) throw error;
  const kind = fullCodes.includes(code) ? 'full' : readonlyCodes.includes(code) ? 'readonly' : 'io';
  return new OutboxFault(kind, { code, message: `${doing}: ${errorMessage(error)}`, cause: error });
}
