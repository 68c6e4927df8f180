// What the store refuses, by code. The codes are listed in docs/ERRORS.md.
//
// `retryable` is the promise that matters to callers: after a retryable error nothing was acknowledged, nothing
// was lost, and the same call may succeed later.

import { WeirError, type WeirErrorDetail } from '../model/errors.ts';

export type StoreErrorCode =
  | 'STORE_UNAVAILABLE'
  | 'STORE_DAMAGED'
  | 'STORE_DISK_FULL'
  | 'STORE_LOCKED'
  | 'STORE_SCHEMA_NEWER'
  | 'STORE_STATE_NEWER'
  | 'STORE_BUSY'
  | 'STORE_OUT_OF_TURN'
  | 'STORE_CLOSED'
  | 'STORE_RECORD_TOO_LARGE'
  | 'STORE_RECORD_UNREADABLE'
  | 'STORE_TOO_MANY_QUEUES'
  | 'STORE_TOO_MANY_DOCUMENTS'
  | 'STORE_DOCUMENT_TOO_LARGE';

export class StoreError extends WeirError {
  declare readonly code: StoreErrorCode;

  constructor(detail: WeirErrorDetail & { readonly code: StoreErrorCode }) {
    super(detail);
  }
}

/**
 * The file contradicts itself where SQLite cannot see it: sums that do not fit their rows, an offset given out
 * twice. It carries SQLite's own code for damage, so that there is one place that decides what follows.
 */
export class DamagedFile extends Error {
  readonly code = 'SQLITE_CORRUPT';
}
