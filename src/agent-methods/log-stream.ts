// From a module's log to the bytes that are asked for: filtered, as text or JSON, perhaps compressed.
//
//   pieces of whole lines ─► LogLine ─► level, regex ─► tail ─► text | JSON array ─► gzip ─► Buffers
//
// Nothing is held but one piece, however long the log is. "The last N of the matching lines" reads twice: once to
// count, once to skip; lines that come meanwhile do not count. Without level and regex the reader itself knows the end.

import { pipeline, Readable } from 'node:stream';
import { createGzip } from 'node:zlib';
import { type LogLine, type LogOrigin, lineAsJson, moduleLine, ownLine } from './log-line.ts';
import type { LinePattern, LogQuestion, LogWindow, MethodLogs } from './ports.ts';
import type { LogContentType, LogEncoding } from './requests.ts';

export interface LogSelection extends LogWindow {
  readonly level?: number | undefined;
  readonly pattern?: LinePattern | undefined;
}

export interface LogForm {
  readonly contentType: LogContentType;
  readonly encoding: LogEncoding;
}

export interface LogReading {
  readonly logs: MethodLogs;
  readonly origin: LogOrigin;
  /** The runtime's own log instead of a module's. */
  readonly isOwn: boolean;
  readonly selection: LogSelection;
  readonly signal: AbortSignal;
}

/** The chosen lines in the chosen form. */
export function logBytes(reading: LogReading, { contentType, encoding }: LogForm): AsyncIterable<Buffer> {
  const lines = chosenLines(reading);
  const formed = contentType === 'json' ? jsonArray(lines, reading.origin) : plainText(lines);
  return encoding === 'gzip' ? gzipped(formed) : formed;
}

export async function* gzipped(pieces: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  const gzip = createGzip();
  // A failing source ends the iteration with its error, a leaving reader ends the source.
  pipeline(Readable.from(pieces), gzip, () => undefined);
  yield* gzip as AsyncIterable<Buffer>;
}

async function* plainText(batches: AsyncIterable<readonly LogLine[]>): AsyncIterable<Buffer> {
  for await (const lines of batches) yield Buffer.from(lines.map(({ whole }) => `${whole}\n`).join(''));
}

async function* jsonArray(batches: AsyncIterable<readonly LogLine[]>, origin: LogOrigin): AsyncIterable<Buffer> {
  let before = '[';
  for await (const lines of batches) {
    yield Buffer.from(`${before}${lines.map((line) => JSON.stringify(lineAsJson(line, origin))).join(',')}`);
    before = ',';
  }
  yield Buffer.from(before === '[' ? '[]' : ']');
}

/** Never empty batches. */
async function* chosenLines(reading: LogReading): AsyncIterable<readonly LogLine[]> {
  const { level, pattern, tail, ...window } = reading.selection;
  if (level === undefined && pattern === undefined) {
    yield* linesOf(reading, { ...window, tail });
    return;
  }
  let skipped = 0;
  let left = tail ?? Number.POSITIVE_INFINITY;
  if (tail !== undefined) {
    let found = 0;
    for await (const lines of matching(reading, window)) found += lines.length;
    skipped = Math.max(0, found - tail);
  }
  for await (const lines of matching(reading, window)) {
    const kept = lines.slice(skipped).slice(0, left);
    skipped = Math.max(0, skipped - lines.length);
    left -= kept.length;
    if (kept.length > 0) yield kept;
    if (left <= 0) return;
  }
}

async function* matching(reading: LogReading, window: LogWindow): AsyncIterable<readonly LogLine[]> {
  const { level, pattern } = reading.selection;
  for await (const lines of linesOf(reading, window)) {
    const levelled = level === undefined ? lines : lines.filter((line) => line.level === level);
    const marks = pattern?.matches(levelled.map(({ text }) => text));
    const found = marks === undefined ? levelled : levelled.filter((_, at) => marks[at] === true);
    if (found.length > 0) yield found;
  }
}

async function* linesOf(
  { logs, origin, isOwn, signal }: LogReading,
  window: LogWindow,
): AsyncIterable<readonly LogLine[]> {
  if (isOwn) {
    const lines = ownLines(logs, window);
    if (lines.length > 0) yield lines;
    return;
  }
  const question: LogQuestion = { name: origin.id, ...window, signal };
  for await (const piece of logs.ofModule(question)) {
    const lines = piece.split('\n').filter((line) => line !== '');
    if (lines.length > 0) yield lines.map(moduleLine);
  }
}

/** They are in memory: the window is looked at here. */
function ownLines(logs: MethodLogs, { sinceMs, untilMs, tail }: LogWindow): readonly LogLine[] {
  const lines = logs
    .own()
    .map(ownLine)
    .filter(({ atMs }) => !(atMs < (sinceMs ?? 0)) && !(atMs >= (untilMs ?? Number.POSITIVE_INFINITY)));
  return tail === undefined ? lines : lines.slice(Math.max(0, lines.length - tail));
}
