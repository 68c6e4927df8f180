// The errors of the native parts: addons, the shim and the texts that travel inside the executable.
//
// PLATFORM_ASSET_MISSING   the executable (or the development tree) does not hold the part
// PLATFORM_ASSET_DAMAGED   its bytes are not those that were built in
// PLATFORM_EXTRACT_FAILED  no private directory could take the part
// PLATFORM_PROBE_FAILED    the shim could not try out what this kernel can do
//
// All mean a broken installation; none is worth a retry without somebody mending it.

import { WeirError } from '../model/errors.ts';

export type NativeErrorCode =
  | 'PLATFORM_ASSET_MISSING'
  | 'PLATFORM_ASSET_DAMAGED'
  | 'PLATFORM_EXTRACT_FAILED'
  | 'PLATFORM_PROBE_FAILED';

export class NativeError extends WeirError {
  constructor(code: NativeErrorCode, message: string, cause?: unknown) {
    super({ code, message, retryable: false, cause });
  }
}
