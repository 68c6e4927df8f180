// The store thread's composition root: SQLite, files and randomness plugged into the store's synchronous half.
//
// Bundled on its own and started as a worker thread by device.ts. It is the only thread of the gateway that
// touches SQLite and the outbox, so that an fsync on a slow SD card never stalls the broker.

import { systemClock } from './platform/clock.ts';
import { systemEntropy } from './platform/entropy.ts';
import { systemFileSystem } from './platform/file-system.ts';
import { systemLogFiles } from './platform/log-files.ts';
import { releaseMemory } from './platform/memory.ts';
import { systemSqlite } from './platform/sqlite.ts';
import { insideThread } from './platform/thread.ts';
import { serveStore } from './store/index.ts';

serveStore(insideThread().pipe, {
  sqlite: systemSqlite(),
  files: systemLogFiles(),
  fileSystem: systemFileSystem(),
  entropy: systemEntropy(),
});
releaseMemory({ clock: systemClock(), of: 'thread' });
