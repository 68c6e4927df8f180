// The part of the service API that reaches for devices: direct methods, cloud-to-device messages, feedback.
//
//   POST   /twins/{d}[/modules/{m}]/methods      {"methodName", "payload", "responseTimeoutInSeconds", "connectTimeoutInSeconds"}
//                                                200 {"status", "payload"}; 404 DeviceNotOnline, 504 GatewayTimeout …
//   POST   /devices/{d}/messages/devicebound     {"body": base64, "properties", "messageId", "correlationId", "userId",
//                                                 "contentType", "contentEncoding", "expiryTimeUtc", "ack"}
//                                                200 {"messageId", "sequenceNumber", "expiryTimeUtc", "waiting"}
//   DELETE /devices/{d}/commands                 200 {"deviceId", "totalMessagesPurged"}
//   GET    /feedback?from=&follow=true           JSON lines, Azure's members and `offset`
//
// Methods, purge and the members of a feedback record are Azure's. Azure sends messages and reads feedback over AMQP
// only, so these two requests are weir's own.

import { hubFollowersMax } from '../../limits.ts';
import type { Identity } from '../../model/address.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../../model/json.ts';
import type { HttpRequest, HttpResponse } from '../../platform/http.ts';
import { parseMethodRequest } from '../../protocol/iothub/method-request.ts';
import type { AckKind, CloudMessageRequest } from '../cloud-queue.ts';
import type { Devicebound } from '../devicebound.ts';
import { HubError, limitReached, messageRefused, methodFailed } from '../errors.ts';
import type { FeedbackRecord } from '../feedback.ts';
import type { MethodCaller } from '../ports.ts';
import type { Registry } from '../registry.ts';
import { Bell } from './bell.ts';
import { bodyInvalid } from './errors.ts';

export interface CallsPorts {
  readonly registry: Pick<Registry, 'get'>;
  readonly devicebound: Devicebound;
  readonly invokeMethod: MethodCaller;
}

const ackKinds: readonly string[] = ['none', 'positive', 'negative', 'full'];
const base64Pattern = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

export class Calls {
  readonly #ports: CallsPorts;
  #followers = 0;

  constructor(ports: CallsPorts) {
    this.#ports = ports;
  }

  /** Undefined when the request is none of these. Throws HubError. */
  answer(request: HttpRequest): Promise<HttpResponse> | HttpResponse | undefined {
    const { method, segments, body } = request;
    const [root, deviceId, third, fourth, fifth, ...rest] = segments;
    if (method === 'GET' && root === 'feedback' && deviceId === undefined) return this.#feedback(request);
    if (deviceId === undefined || third === undefined || rest.length > 0) return undefined;
    if (root === 'twins' && method === 'POST') {
      if (third === 'methods' && fourth === undefined) return this.#invoke({ deviceId }, body);
      if (third === 'modules' && fourth !== undefined && fifth === 'methods')
        return this.#invoke({ deviceId, moduleId: fourth }, body);
    }
    if (root !== 'devices' || fifth !== undefined) return undefined;
    if (method === 'POST' && third === 'messages' && fourth === 'devicebound') return this.#send(deviceId, body);
    if (method === 'DELETE' && third === 'commands' && fourth === undefined) return this.#purge(deviceId);
    return undefined;
  }

  async #invoke(callee: Identity, body: string): Promise<HttpResponse> {
    this.#ports.registry.get(callee);
    const parsed = parseMethodRequest(body);
    if (!parsed.ok) throw callRefused(parsed);
    try {
      return json({ ...(await this.#ports.invokeMethod(callee, parsed.request)) });
    } catch (error) {
      throw methodFailed(error);
    }
  }

  #send(deviceId: string, body: string): HttpResponse {
    const parsed = parseJson(body);
    if (!parsed.ok) throw bodyInvalid(parsed.reason);
    if (!isJsonObject(parsed.value)) throw bodyInvalid('it must be an object');
    const { devicebound } = this.#ports;
    const { messageId, sequence, expiresMs } = devicebound.send(deviceId, readMessage(parsed.value));
    return json({
      messageId,
      sequenceNumber: sequence,
      expiryTimeUtc: new Date(expiresMs).toISOString(),
      waiting: devicebound.waiting(deviceId),
    });
  }

  #purge(deviceId: string): HttpResponse {
    return json({ deviceId, moduleId: null, totalMessagesPurged: this.#ports.devicebound.purge(deviceId) });
  }

  #feedback({ query, signal }: HttpRequest): HttpResponse {
    const { feedback } = this.#ports.devicebound;
    const follow = query.get('follow') === 'true';
    const after = feedback.positionOf(query.get('from') ?? (follow ? 'latest' : 'earliest'));
    if (this.#followers >= hubFollowersMax)
      throw limitReached(
        `${hubFollowersMax} readers follow the feedback already. End one of them.`,
        'ThrottlingException',
      );
    const lines = this.#lines({ after, follow, signal });
    return { status: 200, headers: { 'content-type': 'application/x-ndjson' }, body: lines };
  }

  async *#lines({
    after,
    follow,
    signal,
  }: {
    readonly after: number;
    readonly follow: boolean;
    readonly signal: AbortSignal;
  }): AsyncGenerator<string, void, undefined> {
    const { feedback } = this.#ports.devicebound;
    const bell = new Bell(signal);
    const stop = feedback.onCommitted(() => bell.ring());
    this.#followers += 1;
    try {
      let position = after;
      while (!signal.aborted) {
        bell.reset();
        const records = feedback.read(position);
        position = records.at(-1)?.offset ?? position;
        if (records.length > 0) yield records.map((record) => `${feedbackLine(record)}\n`).join('');
        else if (!follow) return;
        else await bell.rung();
      }
    } finally {
      this.#followers -= 1;
      stop();
      bell.close();
    }
  }
}

function callRefused({ reason, tooLarge }: { readonly reason: string; readonly tooLarge: boolean }): HubError {
  return new HubError({
    code: tooLarge ? 'IOTHUB_TOO_LARGE' : 'IOTHUB_METHOD_INVALID',
    message: `The method cannot be called: ${reason}.`,
    status: tooLarge ? 413 : 400,
    azureCode: tooLarge ? 'MessageTooLarge' : 'ArgumentInvalid',
  });
}

function feedbackLine({ offset, deviceId, generationId, messageId, outcome, atMs }: FeedbackRecord): string {
  return JSON.stringify({
    offset,
    originalMessageId: messageId,
    statusCode: outcome,
    description: outcome,
    deviceId,
    deviceGenerationId: generationId,
    enqueuedTimeUtc: new Date(atMs).toISOString(),
  });
}

/** Throws HUB_MESSAGE_INVALID. */
function readMessage(body: JsonObject): CloudMessageRequest {
  const ack = textOf('ack', body['ack']);
  const expiry = textOf('expiryTimeUtc', body['expiryTimeUtc']);
  const content = textOf('body', body['body']) ?? '';
  if (ack !== undefined && !ackKinds.includes(ack)) throw messageRefused(`ack must be one of ${ackKinds.join(', ')}.`);
  if (expiry !== undefined && Number.isNaN(Date.parse(expiry)))
    throw messageRefused('expiryTimeUtc must be a time such as 2026-05-01T08:00:00Z.', 'InvalidMessageExpiryTime');
  if (!base64Pattern.test(content)) throw messageRefused('body must be base64.');
  return {
    body: Buffer.from(content, 'base64'),
    properties: readProperties(body['properties']),
    messageId: textOf('messageId', body['messageId']),
    correlationId: textOf('correlationId', body['correlationId']),
    userId: textOf('userId', body['userId']),
    contentType: textOf('contentType', body['contentType']),
    contentEncoding: textOf('contentEncoding', body['contentEncoding']),
    expiresMs: expiry === undefined ? undefined : Date.parse(expiry),
    ack: ack as AckKind | undefined,
  };
}

function readProperties(value: JsonValue | undefined): Readonly<Record<string, string>> {
  if (value === undefined || value === null) return {};
  if (!isJsonObject(value)) throw messageRefused('properties must be an object.');
  for (const [name, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw messageRefused(`Property ${name} must be a text.`);
  }
  return value as Readonly<Record<string, string>>;
}

function textOf(name: string, value: JsonValue | undefined): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'string') throw messageRefused(`${name} must be a text.`);
  return value;
}

function json(value: JsonValue | object): HttpResponse {
  return { status: 200, body: JSON.stringify(value) };
}
