// The entries of a zip archive, by its central directory: what is not listed there does not exist.
//
// Unix modes are in the upper half of the external attributes where the archive was made by a Unix tool (versions
// 3 and 19). An archive of another tool knows no modes: its files count as executable, for nobody could say so there.

import { isUtf8 } from 'node:buffer';
import { type Entry, getFileNameLowLevel, openPromise, type ZipFile } from 'yauzl';
import { ArchiveDamagedError, type ArchiveEntry, type EntryType } from './entry.ts';

const unixHosts: ReadonlySet<number> = new Set([3, 19]);
const hostShift = 8;
const modeShift = 16;
const modeMask = 0o7777;
const typeMask = 0o170000;
const regular = 0o100000;
const directory = 0o040000;
const symbolicLink = 0o120000;
const executableMode = 0o755;
const utf8NameFlag = 0x800;
/** Linux takes no longer target. */
const linkTargetBytesMax = 4095;

export async function* zipEntries(file: string, signal: AbortSignal): AsyncGenerator<ArchiveEntry> {
  // Names are judged by who unpacks, with errors that say so.
  const zip = await openPromise(file, { autoClose: false, decodeStrings: false });
  try {
    for await (const entry of zip.eachEntry()) {
      signal.throwIfAborted();
      yield await read(zip, entry);
    }
  } finally {
    zip.close();
  }
}

async function read(zip: ZipFile, entry: Entry): Promise<ArchiveEntry> {
  const path = nameOf(entry);
  const attributes = entry.externalFileAttributes >>> modeShift;
  const isUnix = unixHosts.has(entry.versionMadeBy >>> hostShift) && attributes !== 0;
  const type = path.endsWith('/') ? 'directory' : isUnix ? typeOf(attributes) : 'file';
  if (type !== 'directory' && !entry.canDecodeFileData())
    throw new ArchiveDamagedError(
      `${path} is ${entry.isEncrypted() ? 'encrypted' : `packed by method ${entry.compressionMethod}`}, which is not supported: pack it with deflate and without a password`,
    );
  return {
    path,
    type,
    mode: isUnix ? attributes & modeMask : executableMode,
    bytes: type === 'file' ? entry.uncompressedSize : 0,
    linkTarget: type === 'symbolic link' ? await readTarget(zip, entry) : '',
    content: contentOf(zip, entry),
  };
}

function nameOf(entry: Entry): string {
  const { fileNameRaw } = entry;
  // Names of many tools are UTF-8 without the flag that says so; in code page 437 they would come out as noise.
  const flags = isUtf8(fileNameRaw) ? entry.generalPurposeBitFlag | utf8NameFlag : entry.generalPurposeBitFlag;
  return getFileNameLowLevel(flags, fileNameRaw, entry.extraFields, true);
}

function typeOf(attributes: number): EntryType {
  switch (attributes & typeMask) {
    case 0:
    case regular:
      return 'file';
    case directory:
      return 'directory';
    case symbolicLink:
      return 'symbolic link';
    default:
      return 'other';
  }
}

async function readTarget(zip: ZipFile, entry: Entry): Promise<string> {
  if (entry.uncompressedSize > linkTargetBytesMax)
    throw new ArchiveDamagedError(`the target of a link has ${entry.uncompressedSize} bytes`);
  const pieces: Buffer[] = [];
  for await (const piece of contentOf(zip, entry)) pieces.push(piece);
  return Buffer.concat(pieces).toString('utf8');
}

async function* contentOf(zip: ZipFile, entry: Entry): AsyncGenerator<Buffer> {
  if (entry.uncompressedSize === 0) return;
  yield* (await zip.openReadStreamPromise(entry)) as AsyncIterable<Buffer>;
}
