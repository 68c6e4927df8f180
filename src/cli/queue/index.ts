// The verbs of `weir queue` beside `status`: each is a file beside this one.

export { queueExportCommand } from './export.ts';
export { queueImportCommand } from './import.ts';
export { queuePeekCommand } from './peek.ts';
export { queuePurgeCommand } from './purge.ts';
