// A lane: one order of messages inside a queue.
//
// A queue is what leads to one endpoint. Within it messages of one priority keep their order; between
// priorities the lower number goes first. `live` separates fresh messages that pass a long backlog from the
// backlog itself, because the two must not share one order. Offsets count per lane: 1, 2, 3 …, never reused as
// long as the outbox keeps its epoch.
//
// Priorities are Azure's: 0 (first) to 9, and routes without one come after all others (Azure writes that as
// 2000000000; here it is 10, which is one byte on disk and in maps).

export interface Lane {
  readonly queue: string;
  /** 0 (first) … 9, or priorityUnset. */
  readonly priority: number;
  /** Fresh messages that pass a long backlog. */
  readonly live: boolean;
}

/** The priority of a route that names none: after all that do. */
export const priorityUnset = 10;

/** A text that no other lane has, for maps. Shape: `<priority>[l] <queue>`. */
export function laneKey({ queue, priority, live }: Lane): string {
  return live ? `${priority}l ${queue}` : `${priority} ${queue}`;
}

/** The lane a key was made from. Undefined when it is no such key. */
export function laneOfKey(key: string): Lane | undefined {
  const space = key.indexOf(' ');
  const head = keyHeadPattern.exec(key.slice(0, Math.max(space, 0)));
  const priority = Number(head?.[1]);
  if (head === null || priority > priorityUnset) return undefined;
  return { queue: key.slice(space + 1), priority, live: head[2] === 'l' };
}

const keyHeadPattern = /^(\d{1,2})(l?)$/;
