// The door of admin/: the socket operators use, its client, and the reader of module logs.

export { AdminClient } from './client.ts';
export { AdminError, AnsweredError } from './errors.ts';
export { ModuleLog } from './module-log.ts';
export { neverStarted } from './never-started.ts';
export type { AdminDevice, FlashReport, LogRequest, ModuleReport, QueueReport, StatusReport } from './ports.ts';
export { AdminServer } from './server.ts';
