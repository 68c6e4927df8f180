// Archives as a stream of entries: tar, tar compressed with gzip, and zip.
//
// Owns the reading. What may be unpacked, and where to, is decided by who reads (artifacts/entry-rules.ts): names come
// out as they are in the archive, `..` and all. Nothing is held but the entry that is being read; what extends a tar
// header is bounded by `headerBytesMax`, and zip's own fields hold 64 KiB at most.
//
// Content that is not read is passed over.

import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { errorCode, errorMessage, WeirError } from '../../model/errors.ts';
import { ArchiveDamagedError, type ArchiveEntry } from './entry.ts';
import { tarEntries } from './tar-entries.ts';
import { zipEntries } from './zip-entries.ts';

export type { ArchiveEntry, EntryType } from './entry.ts';

export type ArchiveKind = 'tar' | 'tar.gz' | 'zip';

export interface ArchiveReading {
  readonly kind: ArchiveKind;
  readonly headerBytesMax: number;
  readonly signal: AbortSignal;
}

export interface Archives {
  /** Throws PLATFORM_ARCHIVE_DAMAGED, or the file system's own error, while it is read. */
  entries(file: string, reading: ArchiveReading): AsyncIterable<ArchiveEntry>;
}

export function systemArchives(): Archives {
  return {
    entries: (file, reading) =>
      reading.kind === 'zip' ? told(zipEntries(file, reading.signal), reading.signal) : openTar(file, reading),
  };
}

async function* openTar(file: string, { kind, headerBytesMax, signal }: ArchiveReading): AsyncGenerator<ArchiveEntry> {
  const stored = createReadStream(file, { signal });
  // The callback is there because a pipeline without one would throw on its own what the reader gets anyway.
  const stream = kind === 'tar.gz' ? pipeline(stored, createGunzip(), () => undefined) : stored;
  try {
    yield* told(tarEntries(stream, headerBytesMax), signal);
  } finally {
    stored.destroy();
  }
}

/** The same entries; what fails, in them or in their contents, fails as damage where it is that. */
async function* told(entries: AsyncIterable<ArchiveEntry>, signal: AbortSignal): AsyncGenerator<ArchiveEntry> {
  for await (const entry of guarded(entries, signal)) yield { ...entry, content: guarded(entry.content, signal) };
}

async function* guarded<T>(items: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  try {
    yield* items;
  } catch (error) {
    throw asDamage(error, signal);
  }
}

/** What zlib and yauzl say about bytes; the system's own errors and ours stay what they are. */
function asDamage(error: unknown, signal: AbortSignal): unknown {
  const code = errorCode(error);
  const isSystem = /^E[A-Z0-9]+$/.test(code);
  if (error instanceof WeirError || signal.aborted || isSystem) return error;
  return new ArchiveDamagedError(errorMessage(error), error);
}
