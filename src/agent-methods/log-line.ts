// One line of a log as Azure's agent sees it: who wrote it where, how urgent it is, when, and what it says. Pure.
//
//   in the file                     2026-11-21T09:12:44.123Z O <4> 2026-11-21 09:12:44.120 +00:00 [WRN] hot
//   as text (whole)                                            <4> 2026-11-21 09:12:44.120 +00:00 [WRN] hot
//   as JSON                         {"iothub":"h","device":"d","id":"m","stream":"stdout","loglevel":4,
//                                    "text":"[WRN] hot","timestamp":"2026-11-21T09:12:44.120Z"}
//
// Level and time are taken from the line when it has them in front, as Azure's agent does (Core/logs/LogMessageParser.cs);
// the level is else 6 (informational), and the time the one at which the line arrived, where Azure has none.
// The runtime's own lines are given the form that edgeAgent and edgeHub write.

import type { JsonObject } from '../model/json.ts';

export interface LogLine {
  readonly stream: 'stdout' | 'stderr';
  /** Syslog severity, 0 (emergency) to 7 (debug). */
  readonly level: number;
  /** Wall time; NaN when nobody knows. */
  readonly atMs: number;
  readonly text: string;
  /** The line as it was written, without its newline. */
  readonly whole: string;
}

export interface LogOrigin {
  readonly iothub: string;
  readonly device: string;
  readonly id: string;
}

const usualLevel = 6;
const warningLevel = 4;
const written = /^(?:<(\d)>)?\s*(?:(\d{4}-\d{2}-\d{2}\s\d{2}:\d{2}:\d{2}.\d{3}\s[+-]\d{2}:\d{2})\s)?\s*(.*)/;
const kept = /^(\S+) ([OES]) (.*)$/s;
const own = /^(\S+) (debug|info|warn|error) +(.*)$/s;

const ownLevels: Readonly<Record<string, readonly [level: number, mark: string]>> = {
  debug: [7, 'DBG'],
  info: [6, 'INF'],
  warn: [4, 'WRN'],
  error: [3, 'ERR'],
};

/** A line as the shim keeps it. */
export function moduleLine(line: string): LogLine {
  const [, stamp, mark, text] = kept.exec(line) ?? [];
  if (stamp === undefined || text === undefined) return parsed(line, { stream: 'stdout', atMs: Number.NaN });
  // A remark of the shim: what it could not keep, or had to cut.
  if (mark === 'S') return { stream: 'stderr', level: warningLevel, atMs: Date.parse(stamp), text, whole: text };
  return parsed(text, { stream: mark === 'E' ? 'stderr' : 'stdout', atMs: Date.parse(stamp) });
}

/** A line of the runtime's own log. */
export function ownLine(line: string): LogLine {
  const [, stamp, word, said] = own.exec(line) ?? [];
  const [level, mark] = ownLevels[word ?? ''] ?? [usualLevel, 'INF'];
  const atMs = Date.parse(stamp ?? '');
  if (said === undefined || Number.isNaN(atMs))
    return { stream: 'stdout', level: usualLevel, atMs: Number.NaN, text: line, whole: line };
  const text = `[${mark}] - ${said}`;
  const at = new Date(atMs).toISOString();
  return {
    stream: 'stdout',
    level,
    atMs,
    text,
    whole: `<${level}> ${at.slice(0, 10)} ${at.slice(11, 23)} +00:00 ${text}`,
  };
}

export function lineAsJson(line: LogLine, { iothub, device, id }: LogOrigin): JsonObject {
  const timestamp = Number.isNaN(line.atMs) ? null : new Date(line.atMs).toISOString();
  return { iothub, device, id, stream: line.stream, loglevel: line.level, text: line.text, timestamp };
}

function parsed(whole: string, from: { readonly stream: LogLine['stream']; readonly atMs: number }): LogLine {
  const [, level, stamp, text] = written.exec(whole) ?? [];
  const saidMs = stamp === undefined ? Number.NaN : Date.parse(stampIso(stamp));
  return {
    stream: from.stream,
    level: level === undefined ? usualLevel : Number(level),
    atMs: Number.isNaN(saidMs) ? from.atMs : saidMs,
    text: text === undefined || text === '' ? whole : text,
    whole,
  };
}

/** `2026-11-21 09:12:44.120 +01:00` → `2026-11-21T09:12:44.120+01:00` */
function stampIso(stamp: string): string {
  return `${stamp.slice(0, 10)}T${stamp.slice(11, 23)}${stamp.slice(24)}`;
}
