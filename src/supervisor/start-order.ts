// In which groups modules start: lower startupOrder first, those of one order together.
//
//   orders 0, 0, 5, none  →  [a b] [c] [d]

import type { LaunchSpec } from './ports.ts';

/** Groups in the order of their start. Within a group the order of the list is kept. */
export function startGroups(specs: readonly LaunchSpec[]): readonly (readonly LaunchSpec[])[] {
  const groups = new Map<number, LaunchSpec[]>();
  for (const spec of specs) {
    const order = spec.startupOrder ?? Number.POSITIVE_INFINITY;
    const group = groups.get(order);
    if (group === undefined) groups.set(order, [spec]);
    else group.push(spec);
  }
  return [...groups].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, group]) => group);
}
