// The payloads of `$edgeAgent`'s direct methods, read with distrust and turned into what they ask for. Pure.
//
//   RestartModule        {"schemaVersion":"1.0","id":"modbus"}
//   GetModuleLogs        {"schemaVersion":"1.0","items":[{"id":"^mod","filter":{"tail":10,"since":"1h","until":…,
//                         "loglevel":3,"regex":"…"}}],"encoding":"none|gzip","contentType":"text|json"}
//   UploadModuleLogs     the same and "sasUrl":"https://account/container?sv=…&sig=…"
//   UploadSupportBundle  {"schemaVersion":"1.0","sasUrl":"…","since":"1d","until":"…","edgeRuntimeOnly":false}
//   GetTaskStatus        {"schemaVersion":"1.0","correlationId":"…"}
//
// Texts of errors are those of Azure's agent (Core/requests/*.cs, Util/SchemaVersionHelper.cs), since clients show them.
// `items` may be one item instead of a list, and enumerations compare without case, as there.

import { agentLogItemsMax, agentLogPatternLengthMax } from '../limits.ts';
import { isJsonObject, type JsonObject, type JsonValue } from '../model/json.ts';
import { AgentMethodError, badRequestError } from './errors.ts';
import type { LogWindow } from './ports.ts';
import { readTime } from './time-text.ts';

export interface LogFilter extends LogWindow {
  /** Syslog severity that a line must have. */
  readonly level?: number | undefined;
  /** What a line's text must match. */
  readonly pattern?: string | undefined;
}

export interface LogItem {
  /** Which modules: a regular expression, or `all`. */
  readonly id: string;
  readonly filter: LogFilter;
}

export type LogEncoding = 'none' | 'gzip';
export type LogContentType = 'text' | 'json';

export interface LogsRequest {
  readonly items: readonly LogItem[];
  readonly encoding: LogEncoding;
  readonly contentType: LogContentType;
}

export interface LogsUploadRequest extends LogsRequest {
  readonly sasUrl: string;
}

export interface BundleRequest {
  readonly sasUrl: string;
  readonly window: LogWindow;
  readonly runtimeOnly: boolean;
}

const logLevelMax = 7;
const tailMax = 2_147_483_647;

export function readRestart(payload: JsonValue): { readonly id: string } {
  const request = readRequest(payload);
  return { id: readText(request, 'id') };
}

export function readLogs(payload: JsonValue, nowMs: number): LogsRequest {
  const request = readRequest(payload);
  const written = request['items'];
  if (written === undefined || written === null) throw unreadable('items is missing');
  const items = Array.isArray(written) ? (written as readonly JsonValue[]) : [written];
  if (items.length > agentLogItemsMax) throw unreadable(`items has more than ${agentLogItemsMax} members`);
  return {
    items: items.map((item, at) => readItem(item, { nowMs, place: `items[${at}]` })),
    encoding: readChoice(request, 'encoding', ['none', 'gzip']),
    contentType: readChoice(request, 'contentType', ['text', 'json']),
  };
}

export function readLogsUpload(payload: JsonValue, nowMs: number): LogsUploadRequest {
  const logs = readLogs(payload, nowMs);
  return { ...logs, sasUrl: readUrl(payload as JsonObject) };
}

export function readBundle(payload: JsonValue, nowMs: number): BundleRequest {
  const request = readRequest(payload);
  const only = request['edgeRuntimeOnly'] ?? false;
  if (typeof only !== 'boolean') throw unreadable('edgeRuntimeOnly is neither true nor false');
  return {
    sasUrl: readUrl(request),
    window: {
      sinceMs: readTime(request['since'], nowMs, 'since'),
      untilMs: readTime(request['until'], nowMs, 'until'),
    },
    runtimeOnly: only,
  };
}

export function readTaskStatus(payload: JsonValue): { readonly correlationId: string } {
  return { correlationId: readText(readRequest(payload), 'correlationId') };
}

/** Throws AGENT_METHODS_BAD_REQUEST, AGENT_METHODS_SCHEMA_VERSION. */
function readRequest(payload: JsonValue): JsonObject {
  if (payload === null) throw badRequestError('Request payload not found');
  if (!isJsonObject(payload)) throw unreadable('the payload is no JSON object');
  const version = payload['schemaVersion'];
  if (typeof version !== 'string' || version.trim() === '') throw unreadable('schemaVersion is missing');
  const match = /^(\d+)\.\d+(\.\d+){0,2}$/.exec(version.trim());
  if (match === null) throw schemaError(`Invalid logs upload request schema version ${version}`);
  if (Number(match[1]) !== 1) {
    throw schemaError(
      `The logs upload request schema version ${version} is not compatible with the expected version 1.0`,
    );
  }
  return payload;
}

function readItem(item: JsonValue, { nowMs, place }: { readonly nowMs: number; readonly place: string }): LogItem {
  if (!isJsonObject(item)) throw unreadable(`${place} is no object`);
  const id = readText(item, 'id');
  if (id.length > agentLogPatternLengthMax)
    throw unreadable(`${place}.id has more than ${agentLogPatternLengthMax} characters`);
  const filter = item['filter'] ?? {};
  if (!isJsonObject(filter)) throw unreadable(`${place}.filter is no object`);
  const pattern = filter['regex'] ?? undefined;
  if (pattern !== undefined && (typeof pattern !== 'string' || pattern.length > agentLogPatternLengthMax))
    throw unreadable(`${place}.filter.regex is no text of up to ${agentLogPatternLengthMax} characters`);
  return {
    id,
    filter: {
      tail: readCount(filter['tail'], { max: tailMax, member: `${place}.filter.tail` }),
      sinceMs: readTime(filter['since'], nowMs, `${place}.filter.since`),
      untilMs: readTime(filter['until'], nowMs, `${place}.filter.until`),
      level: readCount(filter['loglevel'], { max: logLevelMax, member: `${place}.filter.loglevel` }),
      pattern,
    },
  };
}

function readCount(
  value: JsonValue | undefined,
  { max, member }: { readonly max: number; readonly member: string },
): number | undefined {
  if (value === undefined || value === null) return undefined;
  const count = typeof value === 'string' && /^\d{1,10}$/.test(value) ? Number(value) : value;
  if (typeof count === 'number' && Number.isInteger(count) && count >= 0 && count <= max) return count;
  throw unreadable(`${member} is no whole number from 0 to ${max}`);
}

function readChoice<Choice extends string>(
  request: JsonObject,
  member: string,
  choices: readonly [Choice, ...Choice[]],
): Choice {
  const value = request[member] ?? choices[0];
  const found = typeof value === 'string' ? choices.find((choice) => choice === value.toLowerCase()) : undefined;
  if (found === undefined) throw unreadable(`${member} ${JSON.stringify(value)} is none of ${choices.join(', ')}`);
  return found;
}

function readText(request: JsonObject, member: string): string {
  const value = request[member];
  if (typeof value === 'string' && value.trim() !== '') return value;
  throw unreadable(`${member} is missing`);
}

function readUrl(request: JsonObject): string {
  const url = readText(request, 'sasUrl');
  if (/^https?:\/\/[^/]+/i.test(url)) return url;
  throw unreadable('sasUrl is no https address of a container');
}

function unreadable(reason: string): AgentMethodError {
  return badRequestError(`Error parsing command payload because of error - ${reason}`);
}

function schemaError(message: string): AgentMethodError {
  return new AgentMethodError('AGENT_METHODS_SCHEMA_VERSION', message);
}
