// When each group of a bus is due: a queue of deadlines.
//
// Pure: time is an argument. A job's deadlines lie on a fixed grid from its first one, so a late poll does not
// shift the following ones. Periods that passed while the bus was busy are skipped and counted, never made up
// for: a bus that is too slow yields fewer samples, not an ever older queue.

import { strict as assert } from 'node:assert';

interface Entry<Job> {
  readonly job: Job;
  readonly periodMs: number;
  dueMs: number;
}

export class Schedule<Job> {
  readonly #entries: Entry<Job>[] = [];
  #skipped = 0;

  /** Periods that passed without a poll since the beginning. */
  get skipped(): number {
    return this.#skipped;
  }

  add(job: Job, { periodMs, firstMs }: { readonly periodMs: number; readonly firstMs: number }): void {
    assert(periodMs > 0, 'a period is longer than nothing');
    this.#entries.push({ job, periodMs, dueMs: firstMs });
  }

  /** The job that has been due for longest, or undefined when none is due. It is due again one period later. */
  take(nowMs: number): Job | undefined {
    const entry = this.#earliest();
    if (entry === undefined || entry.dueMs > nowMs) return undefined;
    const missed = Math.floor((nowMs - entry.dueMs) / entry.periodMs);
    this.#skipped += missed;
    entry.dueMs += (missed + 1) * entry.periodMs;
    return entry.job;
  }

  /** Milliseconds until take() has something; undefined when there is no job at all. */
  waitMs(nowMs: number): number | undefined {
    const entry = this.#earliest();
    return entry === undefined ? undefined : Math.max(0, entry.dueMs - nowMs);
  }

  /** Puts a job's next deadline at `dueMs`; its grid starts anew there. */
  postpone(job: Job, dueMs: number): void {
    for (const entry of this.#entries) if (entry.job === job) entry.dueMs = dueMs;
  }

  #earliest(): Entry<Job> | undefined {
    let earliest: Entry<Job> | undefined;
    for (const entry of this.#entries) if (earliest === undefined || entry.dueMs < earliest.dueMs) earliest = entry;
    return earliest;
  }
}
