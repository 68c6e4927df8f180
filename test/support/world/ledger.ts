// The proof: what the hub's log must hold, given what was acknowledged.

import { existsSync, readFileSync } from 'node:fs';
import type { HubEvent } from './world.ts';

export interface LedgerVerdict {
  /** Messages of the log that were looked at. */
  readonly messages: number;
  readonly lives: number;
  readonly acknowledged: number;
  /** Acknowledged messages that the hub does not have (yet). */
  readonly missing: number;
  /** Repetitions, holes, wrong order: sentences; empty when all is well. */
  readonly faults: readonly string[];
}

const faultsMax = 20;

/** What was acknowledged so far: one `life number` a line. */
export function readLedger(file: string): readonly string[] {
  if (!existsSync(file)) return [];
  const text = readFileSync(file, 'utf8');
  return text
    .slice(0, text.lastIndexOf('\n') + 1)
    .split('\n')
    .filter((line) => line !== '');
}

/**
 * For each life of each module (batchId): sequence numbers at the hub are 1, 2, 3 … in the order of the log, none
 * twice, none missing in between. And every line of `acknowledged` is there.
 */
export function judge(events: readonly HubEvent[], acknowledged: readonly string[]): LedgerVerdict {
  const faults: string[] = [];
  const last = new Map<string, number>();
  const bodies = new Set<string>();
  for (const event of events) {
    const { batchId, sequenceNumber } = event.properties;
    const who = `${event.moduleId ?? '?'}/${batchId ?? '?'}`;
    const before = last.get(who) ?? 0;
    const sequence = Number(sequenceNumber);
    if (sequence !== before + 1) faults.push(`${who}: ${sequence} follows ${before} at offset ${event.offset}`);
    last.set(who, sequence);
    const body = event.body as { readonly life?: string; readonly number?: number } | null;
    if (body?.life !== undefined) bodies.add(`${body.life} ${body.number}`);
  }
  const missing = acknowledged.filter((line) => !bodies.has(line));
  return {
    messages: events.length,
    lives: last.size,
    acknowledged: acknowledged.length,
    missing: missing.length,
    faults: faults.slice(0, faultsMax),
  };
}
