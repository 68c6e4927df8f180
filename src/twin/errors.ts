// Why a twin change is refused. `fields.status` is the answer on the wire.

import { WeirError } from '../model/errors.ts';

const badRequest = 400;
const tooLarge = 413;

export function patchInvalidError(path: string, reason: string): WeirError {
  return new WeirError({ code: 'TWIN_PATCH_INVALID', message: `Reported properties refused at ${path}: ${reason}.`, fields: { status: badRequest, path } });
}

export function sectionTooLargeError(bytes: number, bytesMax: number): WeirError {
  return new WeirError({
    code: 'TWIN_TOO_LARGE',
    message: `The reported properties would have ${bytes} bytes; ${bytesMax} are allowed. Report less, or delete old properties with null.`,
    fields: { status: tooLarge, bytes },
  });
}
