// Files of a log that live in memory and lose what a real disk may lose.
//
// Two copies of everything: what programs see, and what is on storage. The second follows the first only by syncs:
//   bytes        by syncData of the file; at a power cut each unsynced 512-byte sector is old or new, by chance,
//                and the length is the old or the new one
//   names        by syncDirectory; at a power cut a prefix of the creations, renames and removals since the last one
//                has happened, which is what a journalling file system does
//   failed sync  any of the dirty sectors may have reached storage; all count as clean from then on
// Beside power cuts: a capacity, errors on demand by operation, a read-only disk, unreadable places, flipped bits.
// Everything random comes from the entropy given.

import { strict as assert } from 'node:assert';
import { Buffer } from 'node:buffer';
import type { LogFile, LogFileMode, LogFiles, SyncLater } from '../../src/platform/log-files.ts';

const sectorBytes = 512;

interface Inode {
  bytes: Buffer;
  length: number;
  stored: Buffer;
  storedLength: number;
  readonly dirty: Set<number>;
  /** Length changed since the last sync. */
  resized: boolean;
  /** Byte places that cannot be read. */
  readonly bad: Set<number>;
}

type NameChange =
  | { readonly kind: 'link'; readonly path: string; readonly inode: Inode }
  | { readonly kind: 'unlink'; readonly path: string };

/** The errno name to throw, or undefined. */
export type SimFaults = (operation: string, call: string) => string | undefined;

export class SimFiles implements LogFiles {
  readonly #fraction: () => number;
  readonly #names = new Map<string, Inode>();
  readonly #storedNames = new Map<string, Inode>();
  readonly #nameChanges: NameChange[][] = [];
  readonly #open = new Map<LogFile, { readonly inode: Inode; readonly writable: boolean }>();
  #next = 3;
  /** Bytes of all files; undefined: no limit. */
  capacityBytes: number | undefined;
  readOnly = false;
  fault: SimFaults | undefined;
  /** Told of each write, as far as there was room. */
  onWrite: ((bytes: Uint8Array, position: number) => void) | undefined;
  /** Syncs that may go on by themselves end when this calls what it is given; undefined: there are none. */
  later: ((end: () => void) => void) | undefined;
  writtenBytes = 0;
  syncs = 0;

  constructor(entropy: { fraction(): number }) {
    this.#fraction = () => entropy.fraction();
  }

  list(operation: string, directory: string): readonly string[] {
    this.#check(operation, 'list');
    const prefix = `${directory}/`;
    return [...this.#names.keys()].filter((path) => path.startsWith(prefix)).map((path) => path.slice(prefix.length));
  }

  makeDirectory(operation: string): void {
    this.#change(operation, 'makeDirectory');
  }

  open(operation: string, path: string, mode: LogFileMode): LogFile {
    if (mode === 'read') this.#check(operation, 'open');
    else this.#change(operation, 'open');
    let inode = this.#names.get(path);
    if (mode === 'create') {
      if (inode === undefined) {
        inode = newInode();
        this.#rename([{ kind: 'link', path, inode }]);
      } else resize(inode, 0);
    }
    if (inode === undefined) throw failure('ENOENT', path);
    const file = this.#next++;
    this.#open.set(file, { inode, writable: mode !== 'read' });
    return file;
  }

  close(_operation: string, file: LogFile): void {
    assert(this.#open.delete(file), 'only open files are closed');
  }

  size(operation: string, file: LogFile): number {
    this.#check(operation, 'size');
    return this.#inode(file).length;
  }

  read(operation: string, file: LogFile, { into, position }: { into: Uint8Array; position: number }): number {
    this.#check(operation, 'read');
    const inode = this.#inode(file);
    const end = Math.min(inode.length, position + into.byteLength);
    for (const place of inode.bad) if (place >= position && place < end) throw failure('EIO', 'a bad place');
    if (end <= position) return 0;
    into.set(inode.bytes.subarray(position, end));
    return end - position;
  }

  write(operation: string, file: LogFile, from: { buffers: readonly Uint8Array[]; position: number }): number {
    this.#change(operation, 'write');
    const inode = this.#inode(file, true);
    let bytes = Buffer.concat(from.buffers);
    const growth = Math.max(0, from.position + bytes.byteLength - inode.length);
    const room = (this.capacityBytes ?? Number.POSITIVE_INFINITY) - this.usedBytes;
    if (growth > room) {
      bytes = bytes.subarray(0, Math.max(0, bytes.byteLength - (growth - Math.max(0, room))));
      if (bytes.byteLength === 0) throw failure('ENOSPC', operation);
    }
    put(inode, bytes, from.position);
    this.onWrite?.(bytes, from.position);
    this.writtenBytes += bytes.byteLength;
    return bytes.byteLength;
  }

  truncate(operation: string, file: LogFile, bytes: number): void {
    this.#change(operation, 'truncate');
    resize(this.#inode(file, true), bytes);
  }

  syncData(operation: string, file: LogFile): void {
    const inode = this.#inode(file);
    try {
      this.#change(operation, 'syncData');
    } catch (error) {
      this.#settleByChance(inode);
      throw error;
    }
    this.syncs++;
    storeSectors(inode, () => true);
    inode.storedLength = inode.length;
  }

  get syncDataLater(): SyncLater | undefined {
    const { later } = this;
    if (later === undefined) return undefined;
    return (operation, file, done) =>
      later(() => {
        try {
          this.syncData(operation, file);
        } catch (error) {
          if (!(error instanceof SimError)) throw error;
          done(error);
          return;
        }
        done(undefined);
      });
  }

  syncDirectory(operation: string): void {
    this.#change(operation, 'syncDirectory');
    for (const step of this.#nameChanges.splice(0)) applyNames(this.#storedNames, step);
  }

  rename(operation: string, from: string, to: string): void {
    this.#change(operation, 'rename');
    const inode = this.#names.get(from);
    if (inode === undefined) throw failure('ENOENT', from);
    this.#rename([
      { kind: 'unlink', path: from },
      { kind: 'link', path: to, inode },
    ]);
  }

  remove(operation: string, path: string): void {
    this.#change(operation, 'remove');
    if (this.#names.has(path)) this.#rename([{ kind: 'unlink', path }]);
  }

  /** What a power cut leaves. All open files are closed. */
  powerCut(): void {
    const happened = Math.floor(this.#fraction() * (this.#nameChanges.length + 1));
    for (const step of this.#nameChanges.slice(0, happened)) applyNames(this.#storedNames, step);
    this.#nameChanges.length = 0;
    for (const inode of new Set([...this.#names.values(), ...this.#storedNames.values()])) {
      if (inode.dirty.size > 0 || inode.resized) this.#settleByChance(inode);
      inode.bytes = Buffer.from(inode.stored);
      inode.length = inode.storedLength;
    }
    this.#names.clear();
    for (const [path, inode] of this.#storedNames) this.#names.set(path, inode);
    this.kill();
  }

  /** What the death of the process leaves: everything written, nothing open. */
  kill(): void {
    this.#open.clear();
  }

  get usedBytes(): number {
    let sum = 0;
    for (const { length } of new Set(this.#names.values())) sum += length;
    return sum;
  }

  get openFiles(): number {
    return this.#open.size;
  }

  /** Turns one bit over, seen and stored. */
  flipBit(path: string, bit: number): void {
    const inode = this.#named(path);
    const at = Math.floor(bit / 8);
    for (const bytes of [inode.bytes, inode.stored])
      if (at < bytes.byteLength) bytes[at] = (bytes[at] as number) ^ (1 << (bit % 8));
  }

  breakPlace(path: string, place: number): void {
    this.#named(path).bad.add(place);
  }

  bytesOf(path: string): Buffer {
    const inode = this.#named(path);
    return inode.bytes.subarray(0, inode.length);
  }

  /** Puts a file there that nobody wrote through these calls, on storage at once. */
  plant(path: string, bytes: Uint8Array): void {
    const inode = newInode();
    put(inode, Buffer.from(bytes), 0);
    inode.stored = Buffer.from(inode.bytes);
    inode.storedLength = inode.length;
    inode.dirty.clear();
    this.#names.set(path, inode);
    this.#storedNames.set(path, inode);
  }

  #named(path: string): Inode {
    const inode = this.#names.get(path);
    assert(inode !== undefined, `there is no ${path}`);
    return inode;
  }

  #rename(step: NameChange[]): void {
    applyNames(this.#names, step);
    this.#nameChanges.push(step);
  }

  #inode(file: LogFile, writing = false): Inode {
    const opened = this.#open.get(file);
    if (opened === undefined || (writing && !opened.writable)) throw failure('EBADF', String(file));
    return opened.inode;
  }

  /** Each dirty sector has reached storage or not. */
  #settleByChance(inode: Inode): void {
    if (inode.resized && this.#fraction() < 0.5) inode.storedLength = inode.length;
    const all = this.#fraction();
    // Mostly a mixture, at times all or nothing.
    storeSectors(inode, () => (all < 0.2 ? true : all < 0.3 ? false : this.#fraction() < 0.5));
  }

  #check(operation: string, call: string): void {
    const code = this.fault?.(operation, call);
    if (code !== undefined) throw failure(code, operation);
  }

  #change(operation: string, call: string): void {
    this.#check(operation, call);
    if (this.readOnly) throw failure('EROFS', operation);
  }
}

function newInode(): Inode {
  return {
    bytes: Buffer.alloc(0),
    length: 0,
    stored: Buffer.alloc(0),
    storedLength: 0,
    dirty: new Set(),
    resized: false,
    bad: new Set(),
  };
}

function put(inode: Inode, bytes: Buffer, position: number): void {
  const end = position + bytes.byteLength;
  if (end > inode.bytes.byteLength) {
    const larger = Buffer.alloc(Math.max(end, inode.bytes.byteLength * 2));
    inode.bytes.copy(larger);
    inode.bytes = larger;
  }
  if (end > inode.length) {
    inode.length = end;
    inode.resized = true;
  }
  bytes.copy(inode.bytes, position);
  for (let sector = Math.floor(position / sectorBytes); sector * sectorBytes < end; sector++) inode.dirty.add(sector);
}

/** Brings dirty sectors to storage; those that do not reach it keep their old content there. All are clean then. */
function storeSectors(inode: Inode, reaches: () => boolean): void {
  if (inode.stored.byteLength < inode.bytes.byteLength) {
    const larger = Buffer.alloc(inode.bytes.byteLength);
    inode.stored.copy(larger);
    inode.stored = larger;
  }
  for (const sector of inode.dirty) {
    const start = sector * sectorBytes;
    if (reaches()) inode.bytes.copy(inode.stored, start, start, Math.min(start + sectorBytes, inode.bytes.byteLength));
  }
  inode.dirty.clear();
  inode.resized = false;
}

function resize(inode: Inode, length: number): void {
  if (length < inode.length) inode.bytes.fill(0, length, inode.length);
  for (let sector = Math.floor(length / sectorBytes); sector * sectorBytes < inode.length; sector++)
    inode.dirty.add(sector);
  inode.length = length;
  inode.resized = true;
}

function applyNames(names: Map<string, Inode>, step: readonly NameChange[]): void {
  for (const change of step) {
    if (change.kind === 'link') names.set(change.path, change.inode);
    else names.delete(change.path);
  }
}

class SimError extends Error {
  readonly code: string;

  constructor(code: string, what: string) {
    super(`${code}: ${what}`);
    this.code = code;
  }
}

function failure(code: string, what: string): SimError {
  return new SimError(code, what);
}
