// The body of a direct method's call over HTTP, as services and modules send it. Pure.
//
//   {"methodName":"reboot","payload":{…},"responseTimeoutInSeconds":30,"connectTimeoutInSeconds":0}
//
// Only the name is required. The bounds and what holds without a word are IoT Hub's: an answer within 5 to 300
// seconds (30), the callee there within 0 to 300 seconds (0: it must be there already). Microsoft's clients write
// the time-outs as numbers; whole seconds are not demanded.

import { methodNameMax, methodPayloadBytesMax } from '../../limits.ts';
import { isJsonObject, type JsonValue, parseJson } from '../../model/json.ts';

export interface MethodRequest {
  readonly name: string;
  readonly payload: JsonValue;
  readonly timeoutMs: number;
  readonly connectTimeoutMs: number;
}

export type ParsedMethodRequest =
  | { readonly ok: true; readonly request: MethodRequest }
  | { readonly ok: false; readonly reason: string; readonly tooLarge: boolean };

const responseSeconds = { least: 5, most: 300, usual: 30 };
const connectSeconds = { least: 0, most: 300, usual: 0 };
const msPerSecond = 1000;

export function parseMethodRequest(body: string): ParsedMethodRequest {
  const parsed = parseJson(body);
  if (!parsed.ok) return refused(`the body is not JSON: ${parsed.reason}`);
  if (!isJsonObject(parsed.value)) return refused('the body is not a JSON object');
  const { value } = parsed;
  const name = value['methodName'];
  const payload = value['payload'] ?? null;
  const timeoutMs = milliseconds(value['responseTimeoutInSeconds'], responseSeconds);
  const connectTimeoutMs = milliseconds(value['connectTimeoutInSeconds'], connectSeconds);
  if (typeof name !== 'string' || name === '' || name.length > methodNameMax)
    return refused(`methodName must be a text of 1 to ${methodNameMax} characters`);
  if (timeoutMs === undefined) return refused('responseTimeoutInSeconds must be a number from 5 to 300');
  if (connectTimeoutMs === undefined) return refused('connectTimeoutInSeconds must be a number from 0 to 300');
  const bytes = Buffer.byteLength(JSON.stringify(payload));
  if (bytes > methodPayloadBytesMax)
    return { ...refused(`the payload has ${bytes} bytes, ${methodPayloadBytesMax} are allowed`), tooLarge: true };
  return { ok: true, request: { name, payload, timeoutMs, connectTimeoutMs } };
}

function milliseconds(
  value: JsonValue | undefined,
  { least, most, usual }: { readonly least: number; readonly most: number; readonly usual: number },
): number | undefined {
  const seconds = value ?? usual;
  if (typeof seconds !== 'number' || !(seconds >= least && seconds <= most)) return undefined;
  return Math.round(seconds * msPerSecond);
}

function refused(reason: string): { readonly ok: false; readonly reason: string; readonly tooLarge: boolean } {
  return { ok: false, reason, tooLarge: false };
}
