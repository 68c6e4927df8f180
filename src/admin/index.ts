// The door of admin/: the socket operators use, its client, and the reader of module logs.

export { AdminClient } from './client.ts';
export { AdminError } from './errors.ts';
export { ModuleLog } from './module-log.ts';
export { ModuleTraffic } from './module-traffic.ts';
export { neverStarted } from './never-started.ts';
export { OwnLog } from './own-log.ts';
export type { AdminDevice, LogRequest, ModuleReport, StatusReport, UsageReport } from './ports.ts';
export { AdminServer } from './server.ts';
