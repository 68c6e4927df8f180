// The outbox's directory: which file is which segment, which are open, which are spare.
//
// Owns handles and names, no contents. A bounded number of files is open for reading at a time. A released
// segment's file is kept as a spare and written over later: its blocks are allocated, so that a commit into it
// changes no metadata of the file system and costs the one write it is (docs/store.md has the figures).
//
// Names that are not ours are never touched.

import { join } from 'node:path';
import { outboxOpenFilesMax, outboxSparesMax } from '../../limits.ts';
import type { LogFile, LogFiles } from '../../platform/log-files.ts';
import type { Segment } from './segment.ts';
import { fileNameOf, isSpareName, type SegmentName, segmentNameOf } from './segment-format.ts';

export interface OpenedFile {
  readonly file: LogFile;
  readonly fileBytes: number;
}

export class SegmentFiles {
  readonly files: LogFiles;
  readonly directory: string;
  readonly #open = new Map<Segment, LogFile>();
  /** Spare files by name, with their lengths. */
  readonly #spares = new Map<string, number>();
  #spareNext = 1;

  constructor(files: LogFiles, directory: string) {
    this.files = files;
    this.directory = directory;
  }

  get spareBytes(): number {
    let sum = 0;
    for (const bytes of this.#spares.values()) sum += bytes;
    return sum;
  }

  /** Segments there are, in order; remembers the spares. */
  list(): readonly SegmentName[] {
    this.#spares.clear();
    const found: SegmentName[] = [];
    for (const name of this.files.list('outbox:list', this.directory)) {
      const segment = segmentNameOf(name);
      if (segment !== undefined) found.push(segment);
      else if (isSpareName(name)) this.#rememberSpare(name);
    }
    return found.sort((a, b) => a.first - b.first || a.generation - b.generation);
  }

  pathOf(name: SegmentName): string {
    return join(this.directory, fileNameOf(name));
  }

  sizeOf(segment: Segment): number {
    return this.files.size('outbox:size', this.#readable(segment));
  }

  /** Fills `into` from `position` on; answers the bytes read, fewer at the file's end. */
  read(segment: Segment, into: Uint8Array, position: number): number {
    return this.files.read('outbox:read', this.#readable(segment), { into, position });
  }

  /** A file for a new segment under its final name: a spare one, or one that is created. Its old content is still in it. */
  take(name: SegmentName): OpenedFile {
    const path = this.pathOf(name);
    for (const [spare, fileBytes] of this.#spares) {
      this.files.rename('outbox:reuse', join(this.directory, spare), path);
      this.#spares.delete(spare);
      return { file: this.files.open('outbox:open', path, 'write'), fileBytes };
    }
    return { file: this.files.open('outbox:create', path, 'create'), fileBytes: 0 };
  }

  /** The segment's file has served. Never throws: what stays behind is found at the next start. */
  release(segment: Segment, keepBytes: number): void {
    this.forget(segment);
    segment.present = false;
    const path = this.pathOf(segment.header);
    try {
      if (this.#spares.size < outboxSparesMax && segment.fileBytes > 0 && segment.fileBytes <= keepBytes) {
        const spare = `${this.#spareNext++}.spare`;
        this.files.rename('outbox:release', path, join(this.directory, spare));
        this.#spares.set(spare, segment.fileBytes);
      } else this.files.remove('outbox:release', path);
    } catch {
      return;
    }
  }

  /** Removes spares; never throws. Answers whether there were any. */
  dropSpares(): boolean {
    const names = [...this.#spares.keys()];
    this.#spares.clear();
    for (const name of names) this.removeQuietly(join(this.directory, name));
    return names.length > 0;
  }

  removeQuietly(path: string): void {
    try {
      this.files.remove('outbox:remove', path);
    } catch {
      return;
    }
  }

  syncDirectory(): void {
    this.files.syncDirectory('outbox:directory', this.directory);
  }

  /** Closes the segment's handle for reading. */
  forget(segment: Segment): void {
    const file = this.#open.get(segment);
    if (file === undefined) return;
    this.#open.delete(segment);
    this.closeQuietly(file);
  }

  closeAll(): void {
    for (const file of this.#open.values()) this.closeQuietly(file);
    this.#open.clear();
  }

  closeQuietly(file: LogFile): void {
    try {
      this.files.close('outbox:close', file);
    } catch {
      return;
    }
  }

  #readable(segment: Segment): LogFile {
    const known = this.#open.get(segment);
    if (known !== undefined) {
      this.#open.delete(segment);
      this.#open.set(segment, known);
      return known;
    }
    const file = this.files.open('outbox:open', this.pathOf(segment.header), 'read');
    this.#open.set(segment, file);
    for (const oldest of this.#open.keys()) {
      if (this.#open.size <= outboxOpenFilesMax) break;
      this.forget(oldest);
    }
    return file;
  }

  #rememberSpare(name: string): void {
    this.#spareNext = Math.max(this.#spareNext, Number.parseInt(name, 10) + 1);
    try {
      const file = this.files.open('outbox:spare', join(this.directory, name), 'read');
      try {
        this.#spares.set(name, this.files.size('outbox:spare', file));
      } finally {
        this.closeQuietly(file);
      }
    } catch {
      return;
    }
  }
}
