// How commands name a priority: 0 to 9 as in routes, `unset` for messages whose route had none.

import { priorityUnset } from '../../model/lane.ts';
import { UsageError } from '../errors.ts';

const priorityMax = 9;

/** Throws UsageError. */
export function readPriority(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (text === 'unset') return priorityUnset;
  if (/^\d$/.test(text)) return Number(text);
  throw new UsageError(`--priority ${text} is not understood. Write 0 to ${priorityMax}, or unset.`);
}

/** `priority 3`, `no priority`; with `live` behind it for fresh messages that pass a backlog. */
export function laneText({ priority, live }: { readonly priority: number; readonly live: boolean }): string {
  return `${priority === priorityUnset ? 'no priority' : `priority ${priority}`}${live ? ', live' : ''}`;
}

/** For --json, as in `weir queue status`: null stands for no priority. */
export function withPriority<Lane extends { readonly priority: number }>(
  lane: Lane,
): Omit<Lane, 'priority'> & { readonly priority: number | null } {
  return { ...lane, priority: lane.priority === priorityUnset ? null : lane.priority };
}
