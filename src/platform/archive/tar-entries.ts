// The entries of a tar archive as it comes: headers by tar-header.ts, contents as pieces of the stream.

import { ArchiveDamagedError, type ArchiveEntry, type EntryType } from './entry.ts';
import { readPaxRecords } from './pax.ts';
import { readTarHeader, type TarHeader, tarBlockBytes, tarText } from './tar-header.ts';

/** What a header that came before says about the next entry. */
interface Extension {
  readonly path?: string;
  readonly linkTarget?: string;
  readonly bytes?: number;
}

const types: Readonly<Record<string, EntryType>> = {
  '0': 'file',
  '1': 'hard link',
  '2': 'symbolic link',
  '5': 'directory',
};

export async function* tarEntries(stream: AsyncIterable<Buffer>, headerBytesMax: number): AsyncGenerator<ArchiveEntry> {
  const source = new ByteSource(stream);
  let extension: Extension = {};
  for (;;) {
    const block = await source.take(tarBlockBytes);
    const read = readTarHeader(block);
    if (read.kind === 'end') return;
    if (read.kind === 'bad') throw new ArchiveDamagedError(read.problem);
    const { header } = read;
    if ('xgLK'.includes(header.type)) {
      if (header.bytes > headerBytesMax)
        throw new ArchiveDamagedError(`a header has ${header.bytes} bytes; ${headerBytesMax} are allowed`);
      const text = await source.take(header.bytes);
      await source.skip(padding(header.bytes));
      extension = { ...extension, ...readExtension(header.type, text) };
      continue;
    }
    const entry = entryOf(header, extension, source);
    extension = {};
    yield entry;
    await source.skipTo(entry.end);
  }
}

function readExtension(type: string, text: Buffer): Extension {
  if (type === 'g') return {};
  if (type === 'x') {
    const records = readPaxRecords(text);
    if (records === undefined) throw new ArchiveDamagedError('an extended header cannot be read');
    if (records.sparse)
      throw new ArchiveDamagedError('it holds a sparse file, which is not supported: pack it without --sparse');
    const { path, linkPath, bytes } = records;
    return {
      ...(path === undefined ? {} : { path }),
      ...(linkPath === undefined ? {} : { linkTarget: linkPath }),
      ...(bytes === undefined ? {} : { bytes }),
    };
  }
  const name = tarText(text);
  if (name === undefined) throw new ArchiveDamagedError('a name is not UTF-8');
  return type === 'L' ? { path: name } : { linkTarget: name };
}

function entryOf(header: TarHeader, extension: Extension, source: ByteSource): ArchiveEntry & { readonly end: number } {
  const type = types[header.type] ?? 'other';
  // Links and directories have no content, whatever their header counts (POSIX: the size of a hard link is its file's).
  const bytes = type === 'file' || type === 'other' ? (extension.bytes ?? header.bytes) : 0;
  const end = source.position + bytes;
  const path = extension.path ?? header.name;
  const linkTarget = extension.linkTarget ?? header.linkTarget;
  if (path === undefined || linkTarget === undefined) throw new ArchiveDamagedError('a name is not UTF-8');
  return {
    path,
    type,
    mode: header.mode,
    bytes: type === 'file' ? bytes : 0,
    linkTarget,
    content: source.upTo(end),
    end: end + padding(bytes),
  };
}

function padding(bytes: number): number {
  return (tarBlockBytes - (bytes % tarBlockBytes)) % tarBlockBytes;
}

/** Bytes of a stream by their count. The end of the stream where more were expected is damage. */
class ByteSource {
  readonly #stream: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);
  #position = 0;

  constructor(stream: AsyncIterable<Buffer>) {
    this.#stream = stream[Symbol.asyncIterator]();
  }

  get position(): number {
    return this.#position;
  }

  /** Some bytes, at least one and at most `bytesMax`. */
  async #piece(bytesMax: number): Promise<Buffer> {
    while (this.#rest.length === 0) {
      const next = await this.#stream.next();
      if (next.done === true) throw new ArchiveDamagedError('it ends in the middle');
      this.#rest = next.value;
    }
    const piece = this.#rest.subarray(0, bytesMax);
    this.#rest = this.#rest.subarray(piece.length);
    this.#position += piece.length;
    return piece;
  }

  async take(count: number): Promise<Buffer> {
    const pieces: Buffer[] = [];
    let missing = count;
    while (missing > 0) {
      const piece = await this.#piece(missing);
      pieces.push(piece);
      missing -= piece.length;
    }
    return pieces.length === 1 && pieces[0] !== undefined ? pieces[0] : Buffer.concat(pieces);
  }

  skip(count: number): Promise<void> {
    return this.skipTo(this.#position + count);
  }

  async skipTo(end: number): Promise<void> {
    while (this.#position < end) await this.#piece(end - this.#position);
  }

  async *upTo(end: number): AsyncGenerator<Buffer> {
    while (this.#position < end) yield await this.#piece(end - this.#position);
  }
}
