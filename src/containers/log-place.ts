// A place in an engine's log, and how it is found again. Pure.
//
//   engine's log   10:00:07 a │ 10:00:07 b │ 10:00:08 c ║ 10:00:08 d │ …      place: second 8, 1 line, recent … a b c
//                                                       ║
//   asked since 8                            10:00:08 c ║ 10:00:08 d          so many lines are known, c the last of them
//
// Engines find lines by second only. While stamps ascend, the answer begins with the known lines of the place's own
// second. After the machine's clock was set back it begins with what was written before that: then the last known lines
// are looked for, one after the other as they were, and nothing before them is taken twice.
//
// Policy when they are nowhere (the engine threw them away): all that it has is new. A line too often is better than
// one too few.

import { containerLogRecentLines } from '../limits.ts';
import type { LogLine } from './log-frames.ts';

/** Everything up to here is in the file: so many lines of this second, and which lines were the last. */
export interface LogPlace {
  readonly second: number;
  readonly lines: number;
  /** Oldest first; never empty. */
  readonly recent: readonly PlacedLine[];
}

export interface PlacedLine {
  readonly second: number;
  /** What of it is compared: its stream, its length, and how it begins. */
  readonly key: string;
}

const msPerSecond = 1000;
const keyBytes = 48;

/** `text`: bytes, or the same bytes as latin1. */
export function placedLine(second: number, stream: string, text: Buffer | string): PlacedLine {
  const start = typeof text === 'string' ? text.slice(0, keyBytes) : text.toString('latin1', 0, keyBytes);
  return { second, key: `${stream}${text.length} ${start}` };
}

/** The place as lines are added. */
export class LogProgress {
  #recent: PlacedLine[] = [];
  #lines = 0;

  /** Undefined: nothing was added yet. */
  get place(): LogPlace | undefined {
    const last = this.#recent.at(-1);
    return last === undefined ? undefined : { second: last.second, lines: this.#lines, recent: this.#kept() };
  }

  add(line: PlacedLine): void {
    this.#lines = this.#recent.at(-1)?.second === line.second ? this.#lines + 1 : 1;
    this.#recent.push(line);
    if (this.#recent.length >= containerLogRecentLines * 2) this.#recent = this.#kept();
  }

  #kept(): PlacedLine[] {
    return this.#recent.slice(-containerLogRecentLines);
  }
}

/** Of an answer of the engine `since` the place's second: what comes after the place, when the answer begins before it. */
export class AfterPlace {
  readonly #place: LogPlace;
  #known: number;

  constructor(place: LogPlace) {
    this.#place = place;
    this.#known = place.lines;
  }

  /** Undefined: the answer does not begin with the known lines. Nothing was taken of it then. */
  take(lines: readonly LogLine[]): readonly LogLine[] | undefined {
    const fresh: LogLine[] = [];
    for (const line of lines) {
      const second = secondOf(line);
      if (this.#known === 0 || second === undefined) fresh.push(line);
      else if (second >= this.#place.second) {
        this.#known--;
        const isLast = this.#known === 0;
        if (second > this.#place.second || (isLast && !sameLine(line, this.#place.recent.at(-1)))) return undefined;
      }
    }
    return fresh;
  }
}

/** Counts the lines of an answer up to the place. */
export class PlaceSearch {
  readonly #place: LogPlace;
  readonly #sought: readonly PlacedLine[];
  #seen: PlacedLine[] = [];
  #count = 0;

  constructor(place: LogPlace) {
    this.#place = place;
    this.#sought = place.recent.filter(({ second }) => second >= place.second);
  }

  /** How many lines of the answer are known; undefined: the place has not come yet. */
  look(lines: readonly LogLine[]): number | undefined {
    for (const line of lines) {
      const second = secondOf(line);
      if (second === undefined || second < this.#place.second) continue;
      this.#count++;
      this.#seen.push(placedLine(second, line.stream, line.text));
      if (this.#seen.length > this.#sought.length) this.#seen.shift();
      if (this.#isHere()) return this.#count;
    }
    return undefined;
  }

  /** The lines before the answer's first one may be gone. */
  #isHere(): boolean {
    const from = this.#sought.length - this.#seen.length;
    return this.#seen.every(({ second, key }, at) => {
      const sought = this.#sought[from + at];
      return sought?.second === second && sought.key === key;
    });
  }
}

/** What comes after so many lines since the place's second. */
export function skipping(place: LogPlace, count: number): (lines: readonly LogLine[]) => readonly LogLine[] {
  let known = count;
  return (lines) =>
    lines.filter((line) => {
      const second = secondOf(line);
      if (known === 0 || second === undefined) return true;
      if (second >= place.second) known--;
      return false;
    });
}

function secondOf({ stampMs }: LogLine): number | undefined {
  return stampMs === undefined ? undefined : Math.floor(stampMs / msPerSecond);
}

function sameLine(line: LogLine, known: PlacedLine | undefined): boolean {
  return known !== undefined && placedLine(known.second, line.stream, line.text).key === known.key;
}
