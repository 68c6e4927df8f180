// The outbox's directory: which file is which segment, which are open, which are spare.
//
// Owns handles and names, no contents. A bounded number of files is open for reading at a time. A released
// segment's file is kept as a spare and written over later: its blocks are allocated, so that a commit into it
// changes no metadata of the file system and costs the one write it is (docs/store.md has the figures).
//
// The smallest spares are a reserve: without room on the disk they take what says that messages have left (log-writer.ts).
//
// Names that are not ours are never touched.

import { Buffer } from 'node:buffer';
import { join } from 'node:path';
import { outboxOpenFilesMax, outboxSparesMax, outboxStepBytes } from '../../limits.ts';
import type { LogFile, LogFiles } from '../../platform/log-files.ts';
import { faultFrom } from './outbox-fault.ts';
import type { Segment } from './segment.ts';
import { fileNameOf, isSpareName, type SegmentName, segmentNameOf } from './segment-format.ts';

export interface OpenedFile {
  readonly file: LogFile;
  readonly path: string;
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

  /**
   * A file for a new segment, its old content still in it: the largest spare one if more than `keep` are there, else a
   * new one. With nothing to keep it is the smallest of at least `bytes`, and never a new one. It keeps the name of a
   * spare until settle(): a segment's name must never stand for what a file held before.
   */
  take({ keep, bytes }: { readonly keep: number; readonly bytes: number }): OpenedFile | undefined {
    const usable = this.#sparesFrom(bytes);
    const spare = keep === 0 ? usable[0] : usable.length > keep ? usable.at(-1) : undefined;
    if (spare === undefined) {
      if (keep === 0) return undefined;
      const path = join(this.directory, `${this.#spareNext++}.spare`);
      return { file: this.files.open('outbox:create', path, 'create'), path, fileBytes: 0 };
    }
    const path = join(this.directory, spare);
    const fileBytes = this.#spares.get(spare) as number;
    this.#spares.delete(spare);
    return { file: this.files.open('outbox:open', path, 'write'), path, fileBytes };
  }

  hasSpare(bytes: number): boolean {
    return this.#sparesFrom(bytes).length > 0;
  }

  /** Gives a file its segment's name, durably. What is in it is on storage. */
  settle({ path }: OpenedFile, name: SegmentName): void {
    this.files.rename('outbox:name', path, this.pathOf(name));
    this.syncDirectory();
  }

  /**
   * Sees to it that there are `count` spare files of at least `bytes`, and not of a whole segment, whose blocks are
   * allocated. Never throws: a full disk has none.
   */
  reserve(count: number, bytes: number): void {
    let there = 0;
    for (const held of this.#spares.values()) if (held >= bytes && held <= Math.max(bytes, outboxStepBytes)) there++;
    for (; there < count && this.#spares.size < outboxSparesMax; there++) {
      const spare = `${this.#spareNext++}.spare`;
      if (!this.#makeSpare(join(this.directory, spare), bytes)) return;
      this.#spares.set(spare, bytes);
    }
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

  /** Removes spares but the smallest `keep` of at least `bytes`; never throws. */
  dropSpares({ keep, bytes }: { readonly keep: number; readonly bytes: number }): void {
    const kept = this.#sparesFrom(bytes).slice(0, keep);
    for (const name of [...this.#spares.keys()]) {
      if (kept.includes(name)) continue;
      this.#spares.delete(name);
      this.removeQuietly(join(this.directory, name));
    }
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

  /** Smallest first. */
  #sparesFrom(bytes: number): readonly string[] {
    const usable = [...this.#spares].filter(([, held]) => held >= bytes);
    return usable.sort(([, a], [, b]) => a - b).map(([name]) => name);
  }

  #makeSpare(path: string, bytes: number): boolean {
    let file: LogFile | undefined;
    try {
      file = this.files.open('outbox:spare', path, 'create');
      const written = this.files.write('outbox:spare', file, { buffers: [Buffer.alloc(bytes)], position: 0 });
      if (written === bytes) {
        this.files.syncData('outbox:spare', file);
        this.closeQuietly(file);
        return true;
      }
    } catch (error) {
      faultFrom(error, 'No spare file can be made');
    }
    if (file !== undefined) this.closeQuietly(file);
    this.removeQuietly(path);
    return false;
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
