// How a test's directory is removed while something in it may still be dying: what a killed process has just written
// makes a directory that was emptied a moment ago not empty.

import type { RmOptions } from 'node:fs';

export const wholeTree: RmOptions = { recursive: true, force: true, maxRetries: 50, retryDelay: 100 };
