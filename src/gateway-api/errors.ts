// Why the gateway's HTTP interface refuses a request.

import { WeirError, type WeirErrorDetail } from '../model/errors.ts';

export class GatewayApiError extends WeirError {
  /** HTTP status and Azure's name; absent for codes of the device protocol, which have their own. */
  readonly failure: { readonly status: number; readonly azureCode: string } | undefined;
  /** More than the caller is told. */
  readonly forTheLog: string;

  constructor(
    detail: WeirErrorDetail & {
      readonly failure?: { readonly status: number; readonly azureCode: string };
      readonly forTheLog?: string;
    },
  ) {
    super(detail);
    this.failure = detail.failure;
    this.forTheLog = detail.forTheLog ?? detail.message;
  }
}

export function requestUnknown(method: string, path: string): GatewayApiError {
  return new GatewayApiError({
    code: 'GATEWAY_API_REQUEST_UNKNOWN',
    message: `The gateway does not know ${method} /${path}. It answers POST /twins/{device}[/modules/{module}]/methods, and MQTT over WebSocket.`,
    failure: { status: 404, azureCode: 'InvalidOperation' },
  });
}

export function unauthorised(reason: string): GatewayApiError {
  return new GatewayApiError({
    code: 'GATEWAY_API_UNAUTHORISED',
    message: 'Only modules of this device may call methods here, each with its own token.',
    failure: { status: 401, azureCode: 'IotHubUnauthorizedAccess' },
    forTheLog: reason,
  });
}
