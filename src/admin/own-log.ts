// The runtime's own log as a module's: the latest lines from memory, since and until a time, the last ones, followed.
//
// Lines that went out of memory while nobody followed are in the journal. Someone who follows looks four times a second.

import { pause } from '../model/pause.ts';
import type { Clock } from '../platform/clock.ts';
import type { RecentLines } from '../platform/log.ts';
import { stampOf } from './log-window.ts';
import type { LogRequest } from './ports.ts';

const followIntervalMs = 250;

export class OwnLog {
  readonly #recent: RecentLines;
  readonly #clock: Clock;

  constructor(recent: RecentLines, clock: Clock) {
    this.#recent = recent;
    this.#clock = clock;
  }

  /** Pieces of whole lines, oldest first. */
  async *read({ sinceMs, untilMs, tail, follow, signal }: LogRequest): AsyncIterable<string> {
    const since = sinceMs === undefined ? '' : stampOf(sinceMs);
    const until = untilMs === undefined ? undefined : stampOf(untilMs);
    const chosen = (lines: readonly string[]): readonly string[] =>
      lines.filter((line) => line >= since && (until === undefined || line.slice(0, until.length) < until));
    let seen = this.#recent.written();
    const first = chosen(this.#recent.lines());
    const shown = tail === undefined ? first : first.slice(Math.max(0, first.length - tail));
    if (shown.length > 0) yield text(shown);
    while (follow === true && until === undefined && !signal.aborted) {
      await pause(this.#clock, followIntervalMs, signal);
      const fresh = this.#recent.written() - seen;
      if (fresh === 0) continue;
      seen += fresh;
      const lines = this.#recent.lines();
      const news = chosen(lines.slice(Math.max(0, lines.length - fresh)));
      if (news.length > 0) yield text(news);
    }
  }
}

function text(lines: readonly string[]): string {
  return `${lines.join('\n')}\n`;
}
