// A file that grows and knows the SHA-256 of what it holds: a download on its way.
//
// Opening reads what is there already, so that a download can go on after a restart; what the digest covers is always
// what was read from or written to this very file. Nothing is synced before sync() is asked: what a power cut takes
// is found by the digest, and a download can be repeated.

import { createHash, type Hash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';

export interface HashedFile {
  readonly bytes: number;
  append(piece: Uint8Array): Promise<void>;
  /** Back to nothing. */
  restart(): Promise<void>;
  /** Of all bytes so far, 64 lower-case hexadecimal digits. */
  sha256(): string;
  sync(): Promise<void>;
  close(): Promise<void>;
}

export interface HashedFiles {
  /** Creates the file, private to its owner, when there is none. */
  open(operation: string, path: string, signal: AbortSignal): Promise<HashedFile>;
}

const privateMode = 0o600;
const pieceBytes = 65_536;

export function systemHashedFiles(): HashedFiles {
  return {
    async open(_operation, path, signal) {
      const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
      const file = await open(path, O_RDWR | O_CREAT | O_NOFOLLOW, privateMode);
      try {
        const hash = createHash('sha256');
        const bytes = await readInto(hash, file, signal);
        return new OpenFile(file, hash, bytes);
      } catch (error) {
        await file.close();
        throw error;
      }
    },
  };
}

async function readInto(hash: Hash, file: FileHandle, signal: AbortSignal): Promise<number> {
  const buffer = Buffer.allocUnsafe(pieceBytes);
  let at = 0;
  for (;;) {
    signal.throwIfAborted();
    const { bytesRead } = await file.read(buffer, 0, pieceBytes, at);
    if (bytesRead === 0) return at;
    hash.update(buffer.subarray(0, bytesRead));
    at += bytesRead;
  }
}

class OpenFile implements HashedFile {
  readonly #file: FileHandle;
  #hash: Hash;
  #bytes: number;

  constructor(file: FileHandle, hash: Hash, bytes: number) {
    this.#file = file;
    this.#hash = hash;
    this.#bytes = bytes;
  }

  get bytes(): number {
    return this.#bytes;
  }

  async append(piece: Uint8Array): Promise<void> {
    let done = 0;
    while (done < piece.length) {
      const { bytesWritten } = await this.#file.write(piece, done, piece.length - done, this.#bytes);
      this.#hash.update(piece.subarray(done, done + bytesWritten));
      this.#bytes += bytesWritten;
      done += bytesWritten;
    }
  }

  async restart(): Promise<void> {
    await this.#file.truncate(0);
    this.#hash = createHash('sha256');
    this.#bytes = 0;
  }

  sha256(): string {
    return this.#hash.copy().digest('hex');
  }

  sync(): Promise<void> {
    return this.#file.sync();
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}
