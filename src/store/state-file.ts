// State documents a second time, in a file of their own: the last good deployment survives the loss of weir.db.
//
//   state.json       weir-state 1 <crc-32, 8 hex>\n{"key":"text",…}\n     the sum is over "1\n" and what follows the line
//   state.json.bak   what it was before
//
// The database is written first and read first; the file answers only for what the database has lost. It is changed
// by temp file, fsync, rename and fsync of the directory, and the old one is kept until then, so that of three copies
// one is whole at any instant. A file that is damaged is passed over for the older one and told; one of a newer
// format is refused, because this program cannot know what it would overwrite.
//
// When full: documents beyond storeStateFileBytesMax are not written to the file, which is told; the database has them.

import { Buffer } from 'node:buffer';
import { storeStateFileBytesMax } from '../limits.ts';
import { errorMessage } from '../model/errors.ts';
import { isJsonObject, parseJson } from '../model/json.ts';
import type { Disk } from '../platform/disk.ts';
import type { Log } from '../platform/log.ts';
import { checksum } from './checksum.ts';
import { StoreError } from './errors.ts';

/** The database's side: Store has it. */
export interface StateDocuments {
  state(key: string): Promise<string | undefined>;
  saveState(key: string, value: string): Promise<void>;
}

export interface StateFilePorts {
  readonly documents: StateDocuments;
  readonly disk: Disk;
  readonly log: Log;
}

const formatKnown = 1;
const headerPattern = /^weir-state (\d+) ([0-9a-f]{8})$/;
const hexRadix = 16;
const sumDigits = 8;

export class StateFile implements StateDocuments {
  readonly #ports: StateFilePorts;
  readonly #path: string;
  #documents = new Map<string, string>();
  #writing: Promise<void> = Promise.resolve();
  #failing = false;

  constructor(ports: StateFilePorts, path: string) {
    this.#ports = ports;
    this.#path = path;
  }

  /** Reads the file, or the one before it. Throws STORE_STATE_NEWER. */
  async start(): Promise<void> {
    for (const path of [this.#path, `${this.#path}.bak`]) {
      const found = await this.#read(path);
      if (found === undefined) continue;
      this.#documents = found;
      return;
    }
  }

  async state(key: string): Promise<string | undefined> {
    const stored = await this.#ports.documents.state(key);
    if (stored !== undefined) return stored;
    const kept = this.#documents.get(key);
    if (kept === undefined) return undefined;
    const { documents, log } = this.#ports;
    log.warn('the database has lost a state document; it comes from its file', { key, file: this.#path });
    // Whoever asks has it already; a database that cannot take it back now is asked by the next start.
    documents.saveState(key, kept).catch(() => undefined);
    return kept;
  }

  /** Resolves when database and file have it; a file that cannot be written is told and does not fail the call. */
  async saveState(key: string, value: string): Promise<void> {
    await this.#ports.documents.saveState(key, value);
    if (this.#documents.get(key) === value) return;
    this.#documents.set(key, value);
    this.#writing = this.#writing.then(() => this.#write());
    await this.#writing;
  }

  async #write(): Promise<void> {
    const { disk, log } = this.#ports;
    try {
      const body = Buffer.from(`${JSON.stringify(Object.fromEntries(this.#documents))}\n`, 'utf8');
      if (body.byteLength > storeStateFileBytesMax) throw tooLarge(this.#path, body.byteLength);
      if ((await disk.facts('state:look', this.#path)) !== undefined)
        await disk.rename('state:keep', this.#path, `${this.#path}.bak`);
      const data = Buffer.concat([
        Buffer.from(`weir-state ${formatKnown} ${sumOf(formatKnown, body)}\n`, 'utf8'),
        body,
      ]);
      await disk.writeFileAtomic('state:write', this.#path, { data });
      this.#failing = false;
    } catch (error) {
      if (!this.#failing)
        log.warn('the state file cannot be written; the database has the state', { reason: errorMessage(error) });
      this.#failing = true;
    }
  }

  /** Undefined when there is none that can be read. */
  async #read(path: string): Promise<Map<string, string> | undefined> {
    const { disk, log } = this.#ports;
    const facts = await disk.facts('state:look', path).catch(() => undefined);
    if (facts === undefined) return undefined;
    try {
      if (facts.isDirectory || facts.bytes > storeStateFileBytesMax * 2) throw damaged('it is no file of this program');
      return parse(path, await disk.readFile('state:read', path));
    } catch (error) {
      if (error instanceof StoreError && error.code === 'STORE_STATE_NEWER') throw error;
      log.error('a state file cannot be read and is passed over', { file: path, reason: errorMessage(error) });
      return undefined;
    }
  }
}

function parse(path: string, bytes: Buffer): Map<string, string> {
  const end = bytes.indexOf('\n');
  const header = headerPattern.exec(bytes.subarray(0, Math.max(0, end)).toString('latin1'));
  if (header === null) throw damaged('its first line is not known');
  const format = Number(header[1]);
  const body = bytes.subarray(end + 1);
  if (sumOf(format, body) !== header[2]) throw damaged('its checksum does not fit');
  if (format > formatKnown) {
    throw new StoreError({
      code: 'STORE_STATE_NEWER',
      message: `${path} has format ${format}; this weir knows up to ${formatKnown}. It was written by a newer weir: install that version again, or move the file away.`,
      fields: { path, format, known: formatKnown },
    });
  }
  const parsed = parseJson(body.toString('utf8'));
  if (!parsed.ok || !isJsonObject(parsed.value)) throw damaged('it is no JSON object');
  const entries = Object.entries(parsed.value);
  return new Map(entries.flatMap(([key, text]) => (typeof text === 'string' ? [[key, text] as const] : [])));
}

function sumOf(format: number, body: Buffer): string {
  const sum = checksum(Buffer.concat([Buffer.from(`${format}\n`, 'latin1'), body])) >>> 0;
  return sum.toString(hexRadix).padStart(sumDigits, '0');
}

function damaged(why: string): StoreError {
  return new StoreError({ code: 'STORE_DAMAGED', message: why, retryable: true });
}

function tooLarge(path: string, bytes: number): StoreError {
  return new StoreError({
    code: 'STORE_DOCUMENT_TOO_LARGE',
    message: `${path} would have ${bytes} bytes; at most ${storeStateFileBytesMax} are written.`,
  });
}
