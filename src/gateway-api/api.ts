// Direct methods from module to module, and from module to leaf device, over HTTPS: ModuleClient.invokeMethod().
//
//   POST /twins/{device}[/modules/{module}]/methods[?api-version=…]
//     authorization: SharedAccessSignature …            the calling module's token, as for MQTT
//     x-ms-edge-moduleid: {device}/{module}             who calls
//     {"methodName", "payload", "responseTimeoutInSeconds", "connectTimeoutInSeconds"}
//   200 {"status", "payload"}        the callee's answer, whatever its status
//   400 · 401 · 403 · 404 · 413 · 502 · 504             Azure's error body (protocol/iothub/service-error.ts)
//
// Only modules of this device may call; whom they may call is whoever is connected here. It all happens on this
// machine, so it works as well while the hub is away.
//
// Who is refused learns no more than that; the log has the reason.

import { type Identity, identityKey, parseIdentityKey } from '../model/address.ts';
import { errorCode, errorMessage, WeirError } from '../model/errors.ts';
import type { Clock } from '../platform/clock.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { HttpRequest, HttpResponse } from '../platform/http.ts';
import type { Log } from '../platform/log.ts';
import type { Metrics } from '../platform/metrics.ts';
import { parseMethodRequest } from '../protocol/iothub/method-request.ts';
import { methodFailureOf, serviceErrorBody } from '../protocol/iothub/service-error.ts';
import { GatewayApiError, requestUnknown, unauthorised } from './errors.ts';
import type { Invoke, TokenCheck } from './ports.ts';

export interface GatewayApiPorts {
  readonly checkToken: TokenCheck;
  readonly invoke: Invoke;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly log: Log;
  readonly metrics: Metrics;
}

const callerHeader = 'x-ms-edge-moduleid';
const serverError = 500;

export class GatewayApi {
  readonly #ports: GatewayApiPorts;
  readonly #deviceId: string;

  constructor(ports: GatewayApiPorts, options: { readonly deviceId: string }) {
    this.#ports = ports;
    this.#deviceId = options.deviceId;
  }

  /** Answers one request; every failure becomes an answer. */
  async handle(request: HttpRequest): Promise<HttpResponse> {
    const { metrics } = this.#ports;
    try {
      const answer = await this.#invoke(request);
      metrics.counter('weir_gateway_api_calls', { outcome: 'answered' }).add();
      return { status: 200, headers: jsonHeaders(answer), body: answer };
    } catch (error) {
      metrics.counter('weir_gateway_api_calls', { outcome: errorCode(error) }).add();
      return this.#failure(request, error);
    }
  }

  async #invoke(request: HttpRequest): Promise<string> {
    const callee = calleeOf(request);
    if (callee === undefined) throw requestUnknown(request.method, request.segments.join('/'));
    await this.#admit(request);
    const parsed = parseMethodRequest(request.body);
    if (!parsed.ok) {
      throw new GatewayApiError({
        code: parsed.tooLarge ? 'IOTHUB_TOO_LARGE' : 'IOTHUB_METHOD_INVALID',
        message: `The method cannot be called: ${parsed.reason}.`,
      });
    }
    const { status, payload } = await this.#ports.invoke(callee, parsed.request);
    return JSON.stringify({ status, payload });
  }

  /** Throws GATEWAY_API_UNAUTHORISED. */
  async #admit({ headers }: HttpRequest): Promise<void> {
    const written = headers[callerHeader];
    const caller = written === undefined ? undefined : parseIdentityKey(decoded(written));
    const token = headers['authorization'];
    if (caller === undefined) throw unauthorised(`header ${callerHeader} is not {device}/{module}`);
    if (caller.deviceId !== this.#deviceId || caller.moduleId === undefined)
      throw unauthorised(`'${identityKey(caller)}' is no module of this device`);
    if (token === undefined) throw unauthorised(`'${identityKey(caller)}' sent no token`);
    const problem = await this.#ports.checkToken(caller, token);
    if (problem !== undefined) throw unauthorised(`'${identityKey(caller)}': ${problem}`);
  }

  #failure(request: HttpRequest, error: unknown): HttpResponse {
    const { log, clock, entropy } = this.#ports;
    const code = error instanceof WeirError ? error.code : 'GATEWAY_API_INTERNAL';
    const { status, azureCode } = methodFailureOf(code) ?? knownFailure(error) ?? internal;
    const trackingId = entropy.uuid();
    const level = status >= serverError && azureCode === internal.azureCode ? 'error' : 'info';
    log[level]('a call was refused or failed', {
      path: request.segments.join('/'),
      caller: request.headers[callerHeader],
      trackingId,
      code,
      reason: error instanceof GatewayApiError ? error.forTheLog : errorMessage(error),
    });
    const message = error instanceof WeirError ? errorMessage(error) : 'The call failed inside the gateway.';
    const body = serviceErrorBody({ azureCode, code, message, trackingId, nowMs: clock.wallMs() });
    return { status, headers: { ...jsonHeaders(body), 'iothub-errorcode': azureCode }, body };
  }
}

interface Failure {
  readonly status: number;
  readonly azureCode: string;
}

const internal: Failure = { status: serverError, azureCode: 'ServerError' };

function knownFailure(error: unknown): Failure | undefined {
  return error instanceof GatewayApiError ? error.failure : undefined;
}

function jsonHeaders(body: string): Readonly<Record<string, string>> {
  return { 'content-type': 'application/json; charset=utf-8', 'content-length': String(Buffer.byteLength(body)) };
}

/** Undefined when the request is none for a method. */
function calleeOf({ method, segments }: HttpRequest): Identity | undefined {
  const [root, deviceId, third, moduleId, fifth, ...rest] = segments;
  if (method !== 'POST' || root !== 'twins' || deviceId === undefined || rest.length > 0) return undefined;
  if (third === 'methods' && moduleId === undefined) return { deviceId };
  return third === 'modules' && moduleId !== undefined && fifth === 'methods' ? { deviceId, moduleId } : undefined;
}

/** Microsoft's Node client writes ids as they are, others encode them. */
function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
