// What can go wrong with a module's files. Every message names the address, without the secrets that may be in it,
// and the mend.
//
// `retryable` tells the agent whether trying again later can help without a new deployment.

import { errorCode, errorMessage, WeirError } from '../model/errors.ts';

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

/** What the machine said while something of `shown` was written, read or unpacked. */
export function asArtifactError(error: unknown, shown: string): ArtifactError {
  if (error instanceof ArtifactError) return error;
  const more = { fields: { url: shown }, cause: error };
  switch (errorCode(error)) {
    case 'PLATFORM_ARCHIVE_DAMAGED':
      return new ArtifactError(
        'ARTIFACTS_ARCHIVE_DAMAGED',
        `${shown} cannot be unpacked: ${errorMessage(error)}. Pack it again.`,
        more,
      );
    case 'ENOSPC':
    case 'EDQUOT':
      return new ArtifactError(
        'ARTIFACTS_NO_SPACE',
        `No room for ${shown}: the disk is full. Make room, or deploy less.`,
        more,
      );
    default:
      return new ArtifactError(
        'ARTIFACTS_INSTALL_FAILED',
        `${shown} cannot be installed: ${errorMessage(error)}. Look after the disk of the data directory.`,
        more,
      );
  }
}
