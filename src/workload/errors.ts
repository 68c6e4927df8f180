// Why a workload request is refused. `fields.status` is the HTTP status; the body is {"message": …}.

import { WeirError } from '../model/errors.ts';

export class WorkloadError extends WeirError {}

const badRequest = 400;
const forbidden = 403;
const notFound = 404;
const tooMany = 429;

export function badRequestError(reason: string): WorkloadError {
  return new WorkloadError({
    code: 'WORKLOAD_REQUEST_INVALID',
    message: `Bad request: ${reason}.`,
    fields: { status: badRequest },
  });
}

export function forbiddenError(asked: string, owner: string): WorkloadError {
  return new WorkloadError({
    code: 'WORKLOAD_FORBIDDEN',
    message: `Unauthorized: this socket belongs to module '${owner}', the request is about '${asked}'.`,
    fields: { status: forbidden },
  });
}

export function unknownRouteError(method: string, path: string): WorkloadError {
  return new WorkloadError({
    code: 'WORKLOAD_ROUTE_UNKNOWN',
    message: `There is no ${method} ${path} in the workload API.`,
    fields: { status: notFound },
  });
}

export function busyError(countMax: number): WorkloadError {
  return new WorkloadError({
    code: 'WORKLOAD_BUSY',
    message: `${countMax} requests of this module are under way already: wait for their answers.`,
    retryable: true,
    fields: { status: tooMany },
  });
}

export function pathTooLongError(path: string, bytesMax: number): WorkloadError {
  return new WorkloadError({
    code: 'WORKLOAD_PATH_TOO_LONG',
    message: `The socket path ${path} has over ${bytesMax} bytes, more than the kernel takes: choose a shorter run directory or module name.`,
    fields: { path },
  });
}
