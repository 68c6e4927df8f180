// The body of an error in Azure's HTTP APIs. Pure.
//
//   {"Message":"ErrorCode:DeviceNotOnline;There is no …","ExceptionMessage":"Tracking ID:…-TimeStamp:…","code":"IOTHUB_…"}
//
// Azure's clients cut `Message` at ';' and ':' to find the code, and take what is between the first two ';' for the
// text: so the text holds no ';' and is never empty. `code` is weir's own and stable.

import type { JsonValue } from '../../model/json.ts';

export interface ServiceError {
  /** The error's name in Azure's API: `DeviceNotFound`. */
  readonly azureCode: string;
  /** weir's own code: `HUB_DEVICE_NOT_FOUND`. */
  readonly code: string;
  readonly message: string;
  readonly trackingId: string;
  readonly nowMs: number;
  /** Further members. */
  readonly more?: Readonly<Record<string, JsonValue | readonly object[]>>;
}

const methodFailures: ReadonlyMap<string, { readonly status: number; readonly azureCode: string }> = new Map([
  ['IOTHUB_NOT_LISTENING', { status: 404, azureCode: 'DeviceNotOnline' }],
  ['IOTHUB_CLIENT_GONE', { status: 404, azureCode: 'DeviceConnectionClosedRemotely' }],
  ['IOTHUB_METHOD_TIMEOUT', { status: 504, azureCode: 'GatewayTimeout' }],
  ['IOTHUB_METHOD_INVALID', { status: 400, azureCode: 'ArgumentInvalid' }],
  ['IOTHUB_TOO_LARGE', { status: 413, azureCode: 'MessageTooLarge' }],
  ['IOTHUB_METHOD_ANSWER_INVALID', { status: 502, azureCode: 'BadDeviceResponse' }],
  ['IOTHUB_BUSY', { status: 403, azureCode: 'DeviceMaximumInflightMethodExceeded' }],
]);

/** HTTP status and Azure's name of a call that failed with this code of the device protocol. */
export function methodFailureOf(code: string): { readonly status: number; readonly azureCode: string } | undefined {
  return methodFailures.get(code);
}

export function serviceErrorBody({ azureCode, code, message, trackingId, nowMs, more }: ServiceError): string {
  return JSON.stringify({
    Message: `ErrorCode:${azureCode};${message.replaceAll(';', ',')}`,
    ExceptionMessage: `Tracking ID:${trackingId}-TimeStamp:${new Date(nowMs).toISOString()}`,
    code,
    ...more,
  });
}
