// The lanes as people and dashboards see them.
//
// For how long the oldest message of a lane has waited is looked up: one frame head, where the lane's last reads have
// left a place. What the disk does not give is not known. Nothing decides by it.

import type { FrameSource } from './frame-source.ts';
import type { LaneState } from './lane-state.ts';
import type { LogState } from './log-state.ts';
import { faultFrom } from './outbox-fault.ts';
import type { LaneFacts } from './shapes.ts';

interface Log {
  readonly state: LogState;
  readonly source: FrameSource;
}

export function laneFacts(log: Log): readonly LaneFacts[] {
  return [...log.state.lanes.all].map((lane) => ({
    ...lane.lane,
    stream: lane.stream,
    messages: lane.messages,
    bytes: lane.bytes,
    oldestMs: oldestMs(log, lane),
    dropped: Object.fromEntries(Object.entries(lane.dropped).filter(([, messages]) => messages > 0)),
  }));
}

/** Wall time of the commit of the oldest message that waits. */
function oldestMs({ state, source }: Log, lane: LaneState): number | undefined {
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
