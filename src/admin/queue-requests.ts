// The requests of the admin socket that concern queues. A queue stands in the path as one segment: `%24upstream`.
//
//   GET    /queues/{queue}/messages?priority=N&count=N&from=first|last    a look: messages as JSON
//   DELETE /queues/{queue}/messages?priority=N&before=MS                  purges; per lane how many
//   POST   /queues/{queue}/files      {"have": […], "done": […]}           the next queue file, or 204
//   POST   /receipts                  {"receipts": [{"name", "text"}]}     what became of each
//
// Owns reading the requests with distrust; what they mean is the device's.

import { queuePeekMessagesMax, queueReceiptsMax } from '../limits.ts';
import { isJsonObject, type JsonObject, type JsonValue, parseJson } from '../model/json.ts';
import { priorityUnset } from '../model/lane.ts';
import type { HttpRequest, HttpResponse } from '../platform/http.ts';
import { AdminError } from './errors.ts';
import type { AdminQueues, ExportRequest, ReceiptText } from './ports.ts';
import { json, wholeNumber } from './request-parts.ts';

const statusNothing = 204;
const peekMessagesUsual = 10;

interface QueueRequest {
  readonly method: string;
  readonly answer: () => Promise<HttpResponse>;
}

/** Undefined when the path is not of these. */
export function queueRequest(queues: AdminQueues, request: HttpRequest): QueueRequest | undefined {
  const [first, queue, what, ...rest] = request.segments;
  if (first === 'receipts' && queue === undefined) return { method: 'POST', answer: () => receipts(queues, request) };
  if (first !== 'queues' || queue === undefined || rest.length > 0) return undefined;
  if (what === 'files') return { method: 'POST', answer: () => nextFile(queues, queue, request) };
  if (what !== 'messages') return undefined;
  if (request.method === 'DELETE') return { method: 'DELETE', answer: () => purge(queues, queue, request) };
  return { method: 'GET', answer: () => peek(queues, queue, request) };
}

async function peek(queues: AdminQueues, queue: string, { query }: HttpRequest): Promise<HttpResponse> {
  const from = query.get('from') ?? 'first';
  if (from !== 'first' && from !== 'last') throw badRequest(`from=${from} is neither first nor last`);
  const count = wholeNumber(query, 'count', queuePeekMessagesMax) ?? peekMessagesUsual;
  return json(await queues.peek({ queue, priority: priorityOf(query), count, from }));
}

async function purge(queues: AdminQueues, queue: string, { query }: HttpRequest): Promise<HttpResponse> {
  const beforeMs = wholeNumber(query, 'before', Number.MAX_SAFE_INTEGER);
  return json(await queues.purge({ queue, priority: priorityOf(query), beforeMs }));
}

async function nextFile(queues: AdminQueues, queue: string, { body }: HttpRequest): Promise<HttpResponse> {
  const request = readObject(body);
  const file = await queues.exportNext({ queue, have: readParts(request['have']), done: readTexts(request['done']) });
  return file === undefined ? { status: statusNothing } : json(file);
}

async function receipts(queues: AdminQueues, { body }: HttpRequest): Promise<HttpResponse> {
  const list = readObject(body)['receipts'];
  const isList = Array.isArray(list) && list.length <= queueReceiptsMax && list.every(isReceipt);
  if (!isList) throw badRequest(`receipts must be a list of at most ${queueReceiptsMax}, each with name and text`);
  return json(await queues.takeReceipts(list as unknown as readonly ReceiptText[]));
}

function priorityOf(query: URLSearchParams): number | undefined {
  return wholeNumber(query, 'priority', priorityUnset);
}

function readObject(body: string): JsonObject {
  const parsed = parseJson(body);
  if (parsed.ok && isJsonObject(parsed.value)) return parsed.value;
  throw badRequest(`the body is not a JSON object${parsed.ok ? '' : ` (${parsed.reason})`}`);
}

function readParts(value: JsonValue | undefined): ExportRequest['have'] {
  const isPart = (part: JsonValue): boolean =>
    isJsonObject(part) &&
    typeof part['stream'] === 'string' &&
    typeof part['after'] === 'number' &&
    typeof part['last'] === 'number';
  if (Array.isArray(value) && value.every(isPart)) return value as unknown as ExportRequest['have'];
  throw badRequest('have must be a list of parts, each with stream, after and last');
}

function readTexts(value: JsonValue | undefined): readonly string[] {
  if (Array.isArray(value) && value.every((text) => typeof text === 'string')) return value as readonly string[];
  throw badRequest('done must be a list of streams');
}

function isReceipt(value: JsonValue): boolean {
  return isJsonObject(value) && typeof value['name'] === 'string' && typeof value['text'] === 'string';
}

function badRequest(reason: string): AdminError {
  return new AdminError('ADMIN_BAD_REQUEST', `The request cannot be understood: ${reason}.`);
}
