// The door of the outbox: the segment log in which messages wait for their destination.
//
// Everything is synchronous and runs on the store thread. The engine is its only user.

export { Outbox, type OutboxPorts } from './outbox.ts';
export { OutboxFault } from './outbox-fault.ts';
export {
  type AppendSpec,
  appendOutcome,
  type LaneDrop,
  type LaneDropReason,
  type LaneFacts,
  type LaneReadSpec,
  type LaneRows,
  type LaneTarget,
  type OutboxOpened,
  type OutboxOptions,
  type OutboxSeed,
} from './shapes.ts';
