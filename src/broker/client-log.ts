// Log lines that a client causes, at a pace that no client can drive.
//
//   line ──brokerClientLinesMax in a window──► silence, counted ──window over──► the next line tells the number
//
// A client that comes back every few milliseconds and is refused each time, as on a full disk, would else fill the
// disk that the log lies on. What is left out is counted by the metrics as ever.
//
// Owns the budgets by client id; of too many clients the one that was given its budget first is forgotten.

import { brokerClientLinesMax, brokerClientLogMs, brokerClientsLoggedMax } from '../limits.ts';
import type { Clock } from '../platform/clock.ts';
import type { Log, LogFields, LogLevel } from '../platform/log.ts';

interface Budget {
  sinceMs: number;
  lines: number;
  leftOut: number;
}

export class ClientLog {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #budgets = new Map<string, Budget>();

  constructor(clock: Clock, log: Log) {
    this.#clock = clock;
    this.#log = log;
  }

  write(level: LogLevel, message: string, fields: LogFields & { readonly client: string }): void {
    const budget = this.#budgetOf(fields.client);
    if (budget.lines >= brokerClientLinesMax) {
      budget.leftOut += 1;
      return;
    }
    budget.lines += 1;
    const { leftOut } = budget;
    budget.leftOut = 0;
    this.#log[level](message, leftOut === 0 ? fields : { ...fields, leftOut });
  }

  #budgetOf(client: string): Budget {
    const nowMs = this.#clock.monotonicMs();
    let budget = this.#budgets.get(client);
    if (budget !== undefined && nowMs - budget.sinceMs < brokerClientLogMs) return budget;
    budget = { sinceMs: nowMs, lines: 0, leftOut: budget?.leftOut ?? 0 };
    // To the end: the map is in the order in which budgets were given.
    this.#budgets.delete(client);
    this.#budgets.set(client, budget);
    for (const first of this.#budgets.keys()) {
      if (this.#budgets.size <= brokerClientsLoggedMax) break;
      this.#budgets.delete(first);
    }
    return budget;
  }
}
