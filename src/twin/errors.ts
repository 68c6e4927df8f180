// Why a twin change is refused. `fields.status` is the answer on the wire.

import { WeirError } from '../model/errors.ts';
import type { Problem } from '../model/problem.ts';

const badRequest = 400;
const tooLarge = 413;

export function patchInvalidError(problems: readonly Problem[]): WeirError {
  return new WeirError({
    code: 'TWIN_PATCH_INVALID',
    message: `Reported properties refused: ${problems.map(({ path, message }) => `${path}: ${message}`).join(' ')}`,
    fields: { status: badRequest, problems: problems.length },
  });
}

export function sectionTooLargeError(bytes: number, bytesMax: number): WeirError {
  return new WeirError({
    code: 'TWIN_TOO_LARGE',
    message: `The reported properties would have ${bytes} bytes; ${bytesMax} are allowed. Report less, or delete old properties with null.`,
    fields: { status: tooLarge, bytes },
  });
}
