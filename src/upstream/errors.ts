// What can go wrong on the link to the hub.

import { WeirError } from '../model/errors.ts';

export function offlineError(what: string): WeirError {
  return new WeirError({
    code: 'UPSTREAM_OFFLINE',
    message: `${what} needs the hub, and the link to it is down. It is tried again by itself.`,
    retryable: true,
  });
}

export function responseTimeoutError(what: string, timeoutMs: number): WeirError {
  return new WeirError({
    code: 'UPSTREAM_RESPONSE_TIMEOUT',
    message: `${what}: the hub did not answer within ${timeoutMs} ms.`,
    retryable: true,
  });
}

export function refusedError(what: string, status: number, detail: string): WeirError {
  return new WeirError({
    code: 'UPSTREAM_REFUSED',
    message: `${what}: the hub answered ${status}: ${detail}`,
    retryable: status === tooManyRequests || status >= serverErrorFirst,
    fields: { status },
  });
}

export function malformedResponseError(what: string, reason: string): WeirError {
  return new WeirError({
    code: 'UPSTREAM_MALFORMED_RESPONSE',
    message: `${what}: the hub's answer cannot be read: ${reason}.`,
    retryable: true,
  });
}

export function noMethodsError(callee: string): WeirError {
  return new WeirError({
    code: 'UPSTREAM_NO_METHODS',
    message: `'${callee}' takes no direct methods on this gateway.`,
    fields: { status: notFound },
  });
}

const notFound = 404;
const tooManyRequests = 429;
const serverErrorFirst = 500;
