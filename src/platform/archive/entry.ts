// One entry of an archive as its readers give it, and what they say of an archive that cannot be read.

import { WeirError } from '../../model/errors.ts';

export type EntryType = 'file' | 'directory' | 'symbolic link' | 'hard link' | 'other';

export interface ArchiveEntry {
  /** As it is in the archive: absolute or with `..`, perhaps. */
  readonly path: string;
  readonly type: EntryType;
  /** Permission bits with set-user-id, set-group-id and sticky. */
  readonly mode: number;
  /** Of the content; 0 for what is no file. */
  readonly bytes: number;
  /** Of links. */
  readonly linkTarget: string;
  /** Exactly `bytes` bytes, or reading fails; to be read before the next entry. */
  readonly content: AsyncIterable<Buffer>;
}

export class ArchiveDamagedError extends WeirError {
  constructor(problem: string, cause?: unknown) {
    super({ code: 'PLATFORM_ARCHIVE_DAMAGED', message: problem, cause });
  }
}
