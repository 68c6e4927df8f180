// How long the oldest message of a lane has waited.
//
// Looks at one frame head at most, where the lane's last reads have left a place; what the disk does not give is not
// known. Asked for by people and dashboards: never by anything that decides.

import type { FrameSource } from './frame-source.ts';
import type { LaneState } from './lane-state.ts';
import type { LogState } from './log-state.ts';
import { faultFrom } from './outbox-fault.ts';

/** Wall time of the commit of the oldest message that waits. */
export function oldestMs(
  { state, source }: { readonly state: LogState; readonly source: FrameSource },
  lane: LaneState,
): number | undefined {
  if (lane.messages === 0) return undefined;
  const part = lane.partFrom(lane.nextAlive(lane.floor + 1));
  if (part === undefined || !part.segment.present) return undefined;
  const place = lane.oldestAt;
  const position = place?.segment === part.segment ? place.position : part.position;
  try {
    const head = source.head(part.segment, position, part.segment.end);
    return head === undefined ? undefined : head.wallMs + state.boots.wallShiftMs(head);
  } catch (error) {
    faultFrom(error, 'The outbox cannot be read');
    return undefined;
  }
}
