// How the service API says no: Azure's error body, with weir's own code and the full list of problems beside it.
//
//   {"Message":"ErrorCode:DeviceNotFound;There is no device x. …","ExceptionMessage":"Tracking ID:…",
//    "code":"HUB_DEVICE_NOT_FOUND","problems":[{"path":"$.…","message":"…"}]}

import { errorMessage, WeirError } from '../../model/errors.ts';
import type { HttpResponse } from '../../platform/http.ts';
import { serviceErrorBody } from '../../protocol/iothub/service-error.ts';
import { HubError } from '../errors.ts';

export interface ErrorContext {
  readonly trackingId: string;
  readonly nowMs: number;
}

export function errorResponse(error: unknown, { trackingId, nowMs }: ErrorContext): HttpResponse {
  const hubError = error instanceof HubError ? error : internal(error);
  const { azureCode, code, message, problems, status } = hubError;
  const more = problems.length === 0 ? {} : { problems };
  return {
    status,
    headers: { 'iothub-errorcode': azureCode },
    body: serviceErrorBody({ azureCode, code, message, trackingId, nowMs, more }),
  };
}

/** True for errors the caller did not cause: they belong into the hub's log. */
export function isInternal(error: unknown): boolean {
  return !(error instanceof HubError);
}

export function requestUnknown(method: string, path: string): HubError {
  return new HubError({
    code: 'HUB_REQUEST_UNKNOWN',
    message: `The hub does not know ${method} ${path}. docs/hub.md lists the requests.`,
    status: 404,
    azureCode: 'InvalidOperation',
  });
}

export function bodyInvalid(reason: string): HubError {
  return new HubError({
    code: 'HUB_BODY_INVALID',
    message: `The request body is not the JSON expected: ${reason}.`,
    status: 400,
    azureCode: 'IotHubFormatError',
  });
}

function internal(error: unknown): HubError {
  const code = error instanceof WeirError ? error.code : 'HUB_INTERNAL';
  return new HubError({
    code,
    message: `The hub could not answer: ${errorMessage(error)}. Its log has the details.`,
    status: 500,
    azureCode: 'ServerError',
    cause: error,
  });
}
