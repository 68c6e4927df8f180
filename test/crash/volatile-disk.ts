// A disk that forgets: plays a recording and draws what may be found on it if the power goes now.
//
// Each file has what is on the medium and the changes since its last fsync; each directory likewise its entries. Two
// readings of what happens to the changes:
//
//   strict   what POSIX promises, and no more: of the changes any part may have arrived, in sectors of 512 bytes, with
//            zeros or old rubbish where a file grew and its data did not come; an entry is durable when its directory
//            was synced, whatever happened to the file.
//   ext4     data=ordered: names and sizes are journalled in order, so a beginning of them is there, with all they
//            need; syncing a file or directory that takes part in them takes all of them along. Sectors written in
//            place are there or not, each for itself.
//
// An fsync that failed has thrown away what it did not write: Linux marks the pages clean, a later fsync does not
// write them again.

import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Entry } from './recording.ts';

export type Reading = 'strict' | 'ext4';
export type Draw = () => number;

/** Path below the root → content; directories have none and end in a slash. */
export type Image = ReadonlyMap<string, Buffer>;

const sectorBytes = 512;

type Change =
  | { readonly kind: 'write'; readonly offset: number; readonly data: Buffer }
  | { readonly kind: 'size'; readonly size: number };

/** Bytes that change and grow. */
class Content {
  #bytes: Buffer;
  size: number;

  constructor(bytes: Buffer) {
    this.#bytes = Buffer.from(bytes);
    this.size = bytes.length;
  }

  apply(change: Change): void {
    if (change.kind === 'size') this.#resize(change.size);
    else {
      this.#resize(Math.max(this.size, change.offset + change.data.length));
      change.data.copy(this.#bytes, change.offset);
    }
  }

  get bytes(): Buffer {
    return this.#bytes.subarray(0, this.size);
  }

  #resize(size: number): void {
    if (size > this.#bytes.length) {
      const larger = Buffer.alloc(size * 2);
      this.#bytes.copy(larger, 0, 0, this.size);
      this.#bytes = larger;
    }
    if (size < this.size) this.#bytes.fill(0, size, this.size);
    this.size = size;
  }
}

class FileNode {
  /** On the medium. */
  content = new Content(Buffer.alloc(0));
  pending: Change[] = [];

  get isGrown(): boolean {
    return this.pending.some(
      (change) => change.kind === 'size' || change.offset + change.data.length > this.content.size,
    );
  }

  settle(): void {
    for (const change of this.pending) this.content.apply(change);
    this.pending = [];
  }
}

class DirectoryNode {
  readonly entries = new Map<string, Node>();
}

type Node = FileNode | DirectoryNode;

/** One change of names. */
interface NameChange {
  readonly remove?: { readonly directory: DirectoryNode; readonly name: string };
  readonly add?: { readonly directory: DirectoryNode; readonly name: string; readonly node: Node };
}

type Names = Map<DirectoryNode, Map<string, Node>>;

export class VolatileDisk {
  readonly #root = new DirectoryNode();
  /** Directories as they are on the medium. */
  readonly #names: Names = new Map([[this.#root, new Map()]]);
  #changes: NameChange[] = [];
  readonly #open = new Map<number, { readonly node: Node; readonly synchronous: boolean }>();
  readonly #reading: Reading;
  readonly #draw: Draw;

  constructor(image: Image, reading: Reading, draw: Draw) {
    this.#reading = reading;
    this.#draw = draw;
    for (const [path, content] of image) {
      const isDirectory = path.endsWith('/');
      const { directory, name } = this.#place(isDirectory ? path.slice(0, -1) : path);
      const node = isDirectory ? new DirectoryNode() : new FileNode();
      if (node instanceof FileNode) node.content = new Content(content);
      directory.entries.set(name, node);
    }
    this.#settleNames(this.#root);
  }

  /** Another process: it has none of the old one's descriptors. */
  restart(): void {
    this.#open.clear();
  }

  play(entry: Entry): void {
    switch (entry.call) {
      case 'open':
        this.#openNode(entry);
        return;
      case 'write': {
        const { node, synchronous } = this.#opened(entry.fd);
        if (!(node instanceof FileNode)) throw new TypeError('a write to a directory');
        node.pending.push({ kind: 'write', offset: entry.offset, data: Buffer.from(entry.data) });
        if (synchronous) this.#sync(node);
        return;
      }
      case 'truncate':
        (this.#opened(entry.fd).node as FileNode).pending.push({ kind: 'size', size: entry.size });
        return;
      case 'sync':
        if (entry.failed) this.#failSync(this.#opened(entry.fd).node);
        else this.#sync(this.#opened(entry.fd).node);
        return;
      case 'mkdir':
        this.#add(entry.path, new DirectoryNode());
        return;
      case 'unlink':
      case 'rmdir': {
        const remove = this.#place(entry.path);
        remove.directory.entries.delete(remove.name);
        this.#changes.push({ remove });
        return;
      }
      case 'rename': {
        const remove = this.#place(entry.from);
        const node = remove.directory.entries.get(remove.name);
        if (node === undefined) throw new TypeError(`${entry.from} is renamed and not there`);
        remove.directory.entries.delete(remove.name);
        this.#add(entry.to, node, remove);
        return;
      }
      case 'link': {
        const { directory, name } = this.#place(entry.from);
        this.#add(entry.to, directory.entries.get(name) ?? new FileNode());
        return;
      }
      case 'mark':
        return;
    }
  }

  /** What may be found if the power goes now. */
  cut(): Image {
    const names: Names = new Map([...this.#names].map(([directory, entries]) => [directory, new Map(entries)]));
    // Whether much or little arrived is drawn for all of it, so that the ends of the range are met as well.
    const part = this.#share();
    const kept = Math.floor(this.#draw() * (this.#changes.length + 1));
    for (const [index, change] of this.#changes.entries()) {
      if (this.#reading === 'ext4' ? index < kept : this.#draw() < part) applyNames(names, change);
    }
    const image = new Map<string, Buffer>();
    const walk = (directory: DirectoryNode, prefix: string): void => {
      for (const [name, node] of names.get(directory) ?? []) {
        if (node instanceof FileNode) image.set(prefix + name, this.#contentOf(node).bytes);
        else {
          image.set(`${prefix}${name}/`, Buffer.alloc(0));
          walk(node, `${prefix}${name}/`);
        }
      }
    };
    walk(this.#root, '');
    return image;
  }

  #share(): number {
    const drawn = this.#draw();
    return drawn < 0.2 ? 0 : drawn > 0.8 ? 1 : this.#draw();
  }

  #place(path: string): { readonly directory: DirectoryNode; readonly name: string } {
    const parts = path.split('/');
    const name = parts.pop() ?? '';
    let directory = this.#root;
    for (const part of parts) {
      const next = directory.entries.get(part);
      if (!(next instanceof DirectoryNode)) throw new TypeError(`${path}: ${part} is no directory`);
      directory = next;
    }
    return { directory, name };
  }

  #openNode({ fd, path, flags }: Extract<Entry, { readonly call: 'open' }>): void {
    const { directory, name } = path === '.' ? { directory: this.#root, name: '' } : this.#place(path);
    if (flags.created) this.#add(path, new FileNode());
    const node = path === '.' ? this.#root : directory.entries.get(name);
    if (node === undefined) throw new TypeError(`${path} is opened and not there`);
    if (flags.truncated && node instanceof FileNode && !flags.created) node.pending.push({ kind: 'size', size: 0 });
    this.#open.set(fd, { node, synchronous: flags.synchronous });
  }

  #opened(fd: number): { readonly node: Node; readonly synchronous: boolean } {
    const found = this.#open.get(fd);
    if (found === undefined) throw new TypeError(`descriptor ${fd} is not open`);
    return found;
  }

  #add(path: string, node: Node, remove?: NameChange['remove']): void {
    const { directory, name } = this.#place(path);
    directory.entries.set(name, node);
    const add = { directory, name, node };
    this.#changes.push(remove === undefined ? { add } : { add, remove });
  }

  #sync(node: Node): void {
    if (node instanceof FileNode) {
      const takesPart = node.isGrown || this.#changes.some(({ add }) => add?.node === node);
      node.settle();
      if (this.#reading === 'ext4' && takesPart) this.#commitNames();
    } else if (this.#reading === 'ext4') {
      if (this.#changes.some((change) => concerns(change, node))) this.#commitNames();
    } else {
      const settled = this.#changes.filter((change) => concerns(change, node));
      for (const change of settled) applyNames(this.#names, change);
      // What was created elsewhere and moved here is not created there any more.
      this.#changes = this.#changes.filter(
        (change) =>
          !settled.includes(change) &&
          !settled.some(
            ({ remove }) =>
              remove !== undefined && change.add?.directory === remove.directory && change.add.name === remove.name,
          ),
      );
    }
  }

  #failSync(node: Node): void {
    if (!(node instanceof FileNode)) return;
    node.content = this.#contentOf(node);
    node.pending = [];
  }

  #commitNames(): void {
    for (const change of this.#changes) applyNames(this.#names, change);
    this.#changes = [];
  }

  #settleNames(directory: DirectoryNode): void {
    this.#names.set(directory, new Map(directory.entries));
    for (const node of directory.entries.values()) if (node instanceof DirectoryNode) this.#settleNames(node);
  }

  #contentOf(node: FileNode): Content {
    return this.#reading === 'ext4' ? this.#orderedContent(node) : this.#strictContent(node);
  }

  #strictContent({ content, pending }: FileNode): Content {
    const part = this.#share();
    const rubbish = this.#draw() < 0.3;
    const result = new Content(content.bytes);
    for (const change of pending) {
      if (change.kind === 'size') {
        if (this.#draw() < part) result.apply(change);
        continue;
      }
      // The size of a file may have come without its data.
      const end = change.offset + change.data.length;
      const before = result.size;
      if (end > before && this.#draw() < part) {
        result.apply({ kind: 'size', size: end });
        if (rubbish) for (let at = before; at < end; at++) result.bytes[at] = Math.floor(this.#draw() * 256);
      }
      for (const piece of sectorsOf(change)) if (this.#draw() < part) result.apply(piece);
    }
    return result;
  }

  #orderedContent({ content, pending }: FileNode): Content {
    const part = this.#share();
    const sizes = Math.floor(this.#draw() * (pending.length + 1));
    const result = new Content(content.bytes);
    for (const [index, change] of pending.entries()) {
      if (change.kind === 'size') {
        if (index < sizes) result.apply(change);
        continue;
      }
      let growing = index <= sizes;
      for (const piece of sectorsOf(change)) {
        if (piece.offset + piece.data.length <= result.size) {
          if (this.#draw() < part) result.apply(piece);
          continue;
        }
        // Behind the end data comes before size: a beginning is there, whole.
        growing &&= index < sizes || this.#draw() < 0.8;
        if (growing) result.apply(piece);
      }
    }
    return result;
  }
}

/** Into an empty directory. */
export function writeImage(image: Image, directory: string): void {
  for (const [path, content] of image) {
    if (path.endsWith('/')) mkdirSync(join(directory, path));
    else writeFileSync(join(directory, path), content);
  }
}

function concerns({ add, remove }: NameChange, directory: DirectoryNode): boolean {
  return add?.directory === directory || remove?.directory === directory;
}

function applyNames(names: Names, { add, remove }: NameChange): void {
  const entriesOf = (directory: DirectoryNode): Map<string, Node> => {
    const entries = names.get(directory) ?? new Map<string, Node>();
    names.set(directory, entries);
    return entries;
  };
  if (remove !== undefined) {
    const entries = entriesOf(remove.directory);
    // A name that belongs to another file by now stays.
    if (add === undefined || entries.get(remove.name) === add.node) entries.delete(remove.name);
  }
  if (add !== undefined) entriesOf(add.directory).set(add.name, add.node);
}

function sectorsOf({
  offset,
  data,
}: Extract<Change, { readonly kind: 'write' }>): Extract<Change, { readonly kind: 'write' }>[] {
  const pieces: Extract<Change, { readonly kind: 'write' }>[] = [];
  for (let at = 0; at < data.length; ) {
    const end = Math.min(data.length, at + sectorBytes - ((offset + at) % sectorBytes));
    pieces.push({ kind: 'write', offset: offset + at, data: data.subarray(at, end) });
    at = end;
  }
  return pieces;
}
