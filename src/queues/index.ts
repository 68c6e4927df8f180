// The door of queues/: what operators do to what waits on disk.

export { QueuesError } from './errors.ts';
export type { ExportedFile, ExportRequest } from './export.ts';
export { OperatorQueues, type OperatorQueuesOptions, type OperatorQueuesPorts } from './operator-queues.ts';
export type { PeekedMessage, PeekRequest } from './peek.ts';
export type { PurgeReport, PurgeRequest } from './purge.ts';
export type { ReceiptReport, ReceiptText } from './receipts.ts';
