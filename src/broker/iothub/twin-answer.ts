// The bodies of twin answers, as Microsoft's clients expect them. Pure.
//
//   GET 200    {"desired":{…,"$version":3},"reported":{…,"$version":7}}     no `properties`, no tags
//   PATCH 204  empty; the new version is in the topic
//   error      {"errorCode":400000,"message":"…","timestampUtc":"…"}       the clients ignore the status and look here
//
// The body is JSON or empty, never plain text: Microsoft's Node client parses it without a net.

import { twinPatchJsonBytesMax } from '../../limits.ts';
import { errorMessage, WeirError } from '../../model/errors.ts';
import { isJsonObject, type JsonObject, parseJson } from '../../model/json.ts';
import type { Twin, TwinSection } from '../../model/twin.ts';
import { badPatchError, tooLargeError } from './errors.ts';

export interface TwinAnswer {
  readonly status: number;
  readonly version: number | undefined;
  readonly body: string;
}

const statusOk = 200;
const statusNoContent = 204;
const statusInternal = 500;
const statusUnavailable = 503;
/** IoT Hub's error codes are the status and three digits of detail. */
const errorCodePerStatus = 1000;

export function twinAnswer(twin: Twin): TwinAnswer {
  const body = JSON.stringify({ desired: withVersion(twin.desired), reported: withVersion(twin.reported) });
  return { status: statusOk, version: undefined, body };
}

export function patchAnswer(version: number): TwinAnswer {
  return { status: statusNoContent, version, body: '' };
}

/** Any failure as an answer. What is not a WeirError is a fault of ours and tells the client nothing. */
export function errorAnswer(error: unknown, nowMs: number): TwinAnswer {
  const status = statusOf(error);
  const message = error instanceof WeirError ? errorMessage(error) : 'Internal error.';
  const body = { errorCode: status * errorCodePerStatus, message, timestampUtc: new Date(nowMs).toISOString() };
  return { status, version: undefined, body: JSON.stringify(body) };
}

/** Throws IOTHUB_TOO_LARGE, IOTHUB_PATCH_INVALID. */
export function readPatch(payload: Buffer): JsonObject {
  if (payload.length > twinPatchJsonBytesMax) throw tooLargeError('The patch', payload.length, twinPatchJsonBytesMax);
  const parsed = parseJson(payload.toString('utf8'));
  if (!parsed.ok) throw badPatchError(parsed.reason);
  if (!isJsonObject(parsed.value)) throw badPatchError('it is another JSON value');
  return parsed.value;
}

export function desiredBody(patch: JsonObject, version: number): string {
  return JSON.stringify({ ...patch, $version: version });
}

function withVersion({ properties, version }: TwinSection): JsonObject {
  return { ...properties, $version: version };
}

function statusOf(error: unknown): number {
  if (!(error instanceof WeirError)) return statusInternal;
  const status = error.fields['status'];
  if (typeof status === 'number') return status;
  return error.retryable ? statusUnavailable : statusInternal;
}
