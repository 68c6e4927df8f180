// The store thread's composition root: SQLite and randomness plugged into the store's synchronous half.
//
// Bundled on its own and started as a worker thread by device.ts. It is the only thread of the gateway that
// touches SQLite, so that an fsync on a slow SD card never stalls the broker.

import { systemClock } from './platform/clock.ts';
import { systemEntropy } from './platform/entropy.ts';
import { releaseMemory } from './platform/memory.ts';
import { systemSqlite } from './platform/sqlite.ts';
import { insideThread } from './platform/thread.ts';
import { serveStore } from './store/index.ts';

serveStore(insideThread().pipe, { sqlite: systemSqlite(), entropy: systemEntropy() });
releaseMemory({ clock: systemClock(), of: 'thread' });
