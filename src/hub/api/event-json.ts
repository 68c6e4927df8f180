// One event as a line of JSON, for readers of the log.
//
//   {"offset":12,"deviceId":"gw-7","moduleId":"modbus","output":"out","enqueuedTime":"2026-05-01T08:00:00.000Z",
//    "properties":{…},"systemProperties":{…},"body":{…}}
//
// A body declared as JSON stands as JSON under `body`, digit by digit as the sender wrote it (a number beyond 2^53
// survives); any other body, and one that is not the JSON it claims to be, is base64 under `bodyBase64`.
// moduleId and output are left out when there are none.

import { parseJson } from '../../model/json.ts';
import type { LoggedEvent } from '../event-log.ts';

/** Without the line feed. */
export function eventLine(event: LoggedEvent): string {
  const head = JSON.stringify({
    offset: event.offset,
    deviceId: event.sender.deviceId,
    moduleId: event.sender.moduleId,
    output: event.output,
    enqueuedTime: new Date(event.enqueuedMs).toISOString(),
    properties: event.properties,
    systemProperties: event.system,
  });
  const json = isJsonType(event.system['contentType']) ? verbatimJson(event.body) : undefined;
  const body = json === undefined ? `"bodyBase64":"${event.body.toString('base64')}"` : `"body":${json}`;
  return `${head.slice(0, -1)},${body}}`;
}

function isJsonType(contentType: string | undefined): boolean {
  return contentType !== undefined && /^application\/([\w.-]+\+)?json\s*(;|$)/i.test(contentType.trim());
}

// Raw line breaks in valid JSON stand between tokens only, so replacing them changes no value.
function verbatimJson(body: Buffer): string | undefined {
  const text = body.toString('utf8');
  return parseJson(text).ok && !text.includes('\uFFFD') ? text.replace(/[\r\n]+/g, ' ').trim() : undefined;
}
