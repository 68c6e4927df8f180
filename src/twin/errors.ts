// Why a twin change is refused. `fields.status` is the answer on the wire.

import { type Identity, identityKey } from '../model/address.ts';
import { WeirError } from '../model/errors.ts';
import type { Problem } from '../model/problem.ts';

const badRequest = 400;
const notFound = 404;
const tooLarge = 413;
const unavailable = 503;

export function patchInvalidError(problems: readonly Problem[]): WeirError {
  return new WeirError({
    code: 'TWIN_PATCH_INVALID',
    message: `Reported properties refused: ${problems.map(({ path, message }) => `${path}: ${message}`).join(' ')}`,
    fields: { status: badRequest, problems: problems.length },
  });
}

export function sectionTooLargeError({ path, message }: Problem): WeirError {
  return new WeirError({
    code: 'TWIN_TOO_LARGE',
    message: `Reported properties refused: ${path}: ${message} A null deletes.`,
    fields: { status: tooLarge },
  });
}

export function twinGoneError(identity: Identity): WeirError {
  return new WeirError({
    code: 'TWIN_GONE',
    message: `'${identityKey(identity)}' is no longer on this gateway, and its twin is not kept here any more.`,
    fields: { status: notFound, identity: identityKey(identity) },
  });
}

export function tooManyTwinsError(identity: Identity, twinsMax: number): WeirError {
  return new WeirError({
    code: 'TWIN_TOO_MANY',
    message: `There is no room for the twin of '${identityKey(identity)}': ${twinsMax} are kept on this gateway. Put devices behind another one.`,
    fields: { status: unavailable, identity: identityKey(identity) },
  });
}

export function noRoomError(identity: Identity, bytesMax: number): WeirError {
  return new WeirError({
    code: 'TWIN_NO_ROOM',
    message: `The twins of this gateway have ${bytesMax} bytes, and that of '${identityKey(identity)}' cannot grow. Report less, here or elsewhere, or delete with null.`,
    fields: { status: unavailable, identity: identityKey(identity) },
  });
}
