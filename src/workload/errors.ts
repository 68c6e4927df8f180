// Why a request on a module's socket is refused. `fields.status` is the HTTP status; the body is {"message": …}.

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

export function strangerError(who: string, owner: string | undefined): WorkloadError {
  const whose = owner === undefined ? 'is for operators of this gateway' : `belongs to module '${owner}'`;
  return new WorkloadError({
    code: 'WORKLOAD_CALLER_FORBIDDEN',
    message: `Unauthorized: this socket ${whose}, and the caller is ${who}.`,
    fields: { status: forbidden },
  });
}

export function unknownRouteError(method: string, path: string, api: 'workload' | 'management'): WorkloadError {
  return new WorkloadError({
    code: 'WORKLOAD_ROUTE_UNKNOWN',
    message: `There is no ${method} ${path} in the ${api} API.`,
    fields: { status: notFound },
  });
}

export function busyError(countMax: number): WorkloadError {
  return new WorkloadError({
    code: 'WORKLOAD_BUSY',
    message: `${countMax} requests on this socket are under way already: wait for their answers.`,
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

export function moduleUnknownError(name: string): WorkloadError {
  return new WorkloadError({
    code: 'WORKLOAD_MODULE_UNKNOWN',
    message: `Module not found: '${name}' is not deployed on this gateway.`,
    fields: { status: notFound },
  });
}

export function deployedOnlyError(what: string, mend: string): WorkloadError {
  return new WorkloadError({
    code: 'WORKLOAD_DEPLOYMENT_DECIDES',
    message: `Unauthorized: ${what} is the business of this gateway's own agent, which keeps the modules as deployed. ${mend}`,
    fields: { status: forbidden },
  });
}
