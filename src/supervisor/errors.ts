// What can go wrong when modules are supervised. A module that fails is not an error here: it is a state.

import { WeirError } from '../model/errors.ts';

/** What the admin socket answers: it takes an error's `status` field as the HTTP status. */
const statusNotFound = 404;
const statusConflict = 409;

export function specInvalidError(name: string, reason: string): WeirError {
  return new WeirError({
    code: 'SUPERVISOR_SPEC_INVALID',
    message: `Module ${JSON.stringify(name)} cannot be supervised: ${reason}. Nothing was changed; correct the deployment.`,
    fields: { module: name },
  });
}

export function moduleUnknownError(name: string): WeirError {
  return new WeirError({
    code: 'SUPERVISOR_MODULE_UNKNOWN',
    message: `There is no module ${JSON.stringify(name)} here. See which there are with \`weir list\`.`,
    fields: { module: name, status: statusNotFound },
  });
}

export function moduleNotWantedError(name: string): WeirError {
  return new WeirError({
    code: 'SUPERVISOR_MODULE_NOT_WANTED',
    message: `Module ${JSON.stringify(name)} is to be stopped by its deployment, so it is not restarted. Change its wanted status first.`,
    fields: { module: name, status: statusConflict },
  });
}

export function closedError(): WeirError {
  return new WeirError({ code: 'SUPERVISOR_CLOSED', message: 'The supervisor is closed. Start the runtime again.' });
}
