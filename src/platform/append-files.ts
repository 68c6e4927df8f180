// Files that only grow: opened, appended to, closed. For logs that this process keeps for others.
//
// Every call names its operation, so that a test can fail exactly that one. Nothing is synced: a log is not worth a
// flash erase a line, and what a power cut takes of it is still with who wrote it.

import { constants } from 'node:fs';
import { open } from 'node:fs/promises';

export interface AppendFile {
  /** When it was opened, plus what was appended since. */
  readonly bytes: number;
  /** False when the file was opened without its last newline: a line torn by a power cut. */
  readonly endsLine: boolean;
  /** All of it, or an error with the errno name in `code`. */
  append(operation: string, data: Uint8Array): Promise<void>;
  truncate(operation: string): Promise<void>;
  close(): Promise<void>;
}

export interface AppendFiles {
  /** Creates the file when it is missing. Follows no symbolic link. */
  open(operation: string, path: string): Promise<AppendFile>;
}

const logFileMode = 0o640;
const newline = 0x0a;

export function systemAppendFiles(): AppendFiles {
  return {
    async open(_operation, path) {
      const { O_RDWR, O_CREAT, O_APPEND, O_NOFOLLOW } = constants;
      const file = await open(path, O_RDWR | O_CREAT | O_APPEND | O_NOFOLLOW, logFileMode);
      let { size } = await file.stat();
      const last = Buffer.alloc(1, newline);
      if (size > 0) await file.read(last, 0, 1, size - 1);
      return {
        get bytes() {
          return size;
        },
        endsLine: last[0] === newline,
        async append(_appending, data) {
          for (let done = 0; done < data.byteLength; ) {
            const { bytesWritten } = await file.write(data, done, data.byteLength - done);
            done += bytesWritten;
            size += bytesWritten;
          }
        },
        async truncate() {
          await file.truncate(0);
          size = 0;
        },
        close: () => file.close(),
      };
    },
  };
}
