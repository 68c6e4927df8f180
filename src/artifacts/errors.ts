// What can go wrong with a module's files. Every message names the address, without the secrets that may be in it,
// and the mend.
//
// `retryable` tells the agent whether trying again later can help without a new deployment.

import { WeirError } from '../model/errors.ts';

export type ArtifactErrorCode =
  | 'ARTIFACTS_SOURCE_INVALID'
  | 'ARTIFACTS_UNREACHABLE'
  | 'ARTIFACTS_NOT_SERVED'
  | 'ARTIFACTS_SIZE_WRONG'
  | 'ARTIFACTS_DIGEST_WRONG'
  | 'ARTIFACTS_NO_SPACE'
  | 'ARTIFACTS_ARCHIVE_REFUSED'
  | 'ARTIFACTS_ARCHIVE_TOO_LARGE'
  | 'ARTIFACTS_ARCHIVE_DAMAGED'
  | 'ARTIFACTS_INSTALL_FAILED'
  | 'ARTIFACTS_STOPPED';

const retryableCodes: ReadonlySet<ArtifactErrorCode> = new Set([
  'ARTIFACTS_UNREACHABLE',
  'ARTIFACTS_NO_SPACE',
  'ARTIFACTS_INSTALL_FAILED',
  'ARTIFACTS_STOPPED',
]);

export class ArtifactError extends WeirError {
  constructor(
    code: ArtifactErrorCode,
    message: string,
    more: {
      readonly fields?: Record<string, string | number>;
      readonly cause?: unknown;
      readonly retryable?: boolean;
    } = {},
  ) {
    super({ code, message, retryable: retryableCodes.has(code), ...more });
  }
}
