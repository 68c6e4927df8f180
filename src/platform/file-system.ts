// How much room the file system has, asked synchronously: for the store thread, which must know before it writes.
//
// A figure is a promise of nothing: others write as well. It is what a reserve is kept by, not what a write may
// count on.

import { statfsSync } from 'node:fs';

export interface FileSystemSpace {
  /** What an ordinary process may still use. */
  readonly freeBytes: number;
  readonly totalBytes: number;
}

export interface FileSystem {
  /** Of the file system that `directory` is on; undefined when it does not tell, or there is no such directory. */
  space(directory: string): FileSystemSpace | undefined;
}

export function systemFileSystem(): FileSystem {
  return {
    space(directory) {
      try {
        const { bavail, blocks, bsize } = statfsSync(directory);
        return { freeBytes: bavail * bsize, totalBytes: blocks * bsize };
      } catch {
        return undefined;
      }
    },
  };
}
