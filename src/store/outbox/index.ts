// The door of the outbox: the segment log in which messages wait for their destination.
//
// Everything is synchronous and runs on the store thread; the engine is its only user there. Whoever prepares a commit
// on the main thread takes from here how records lie in a frame.

export { Outbox } from './outbox.ts';
export { OutboxFault } from './outbox-fault.ts';
export { crc, type RecordPlace, recordAlignment, recordsAlignment } from './placed-records.ts';
export type { LaneFacts, LaneTarget, OutboxOpened, OutboxSeed } from './shapes.ts';
