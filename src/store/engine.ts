// The store's synchronous half: one file, one transaction at a time, on the store thread.
//
// Owns the database and what happens when it fails. A commit is everything that waited: messages, confirmations
// and documents, in one transaction, so that one fsync pays for all of them.
//
// Invariants
//   commit() returns only after the transaction is on storage. The broker's PUBACK stands on it.
//   The check for repetitions, the message in all its queues and the position of its stream are one transaction:
//   there is no instant at which one is true without the others.
//   After any failure nothing of the commit is there.
//
// When SQLite fails
//   damaged     (CORRUPT, NOTADB)  the file goes to quarantine, a fresh one with a new epoch takes its place and gets
//                                  every row that can be read; the broker's only before it has them in memory
//   io          (IOERR, READONLY)  the file is closed and opened again with its check (database-opening.ts); where
//                                  nothing can be written, a copy in memory answers reads, commits are refused, and
//                                  each commit tries the file first: service resumes by itself
//   full        (FULL)             the commit fails, the file stays as it was
//   everything else is a bug, ends the thread, and its owner starts another

import { strict as assert } from 'node:assert';
import { Buffer } from 'node:buffer';
import { storeTargetsMax } from '../limits.ts';
import { errorCode, errorMessage } from '../model/errors.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { Sqlite, SqliteDatabase } from '../platform/sqlite.ts';
import { ByteReader, ByteWriter } from './byte-buffer.ts';
import { closeQuietly, faultError, faultOf } from './database-file.ts';
import { type OpenedDatabase, openAsItIs, openDatabase, renewDatabase } from './database-opening.ts';
import { DocumentTable } from './document-table.ts';
import { StoreError } from './errors.ts';
import { schemaVersion } from './migrations.ts';
import type { MqttCursor, MqttPage, MqttPart } from './mqtt-shapes.ts';
import { MqttTable } from './mqtt-table.ts';
import { OutboxTable } from './outbox-table.ts';
import { PositionTable } from './position-table.ts';
import { readHop } from './record.ts';
import {
  type CommitResult,
  type CommitSpec,
  type DocumentRow,
  type Drop,
  type FileFacts,
  type Opened,
  type OpenSpec,
  outcome,
  type QueueFacts,
  type ReadResult,
  type ReadSpec,
} from './thread-protocol.ts';

const epochBytes = 8;

interface Tables {
  readonly database: SqliteDatabase;
  readonly epoch: string;
  readonly outbox: OutboxTable;
  readonly positions: PositionTable;
  readonly twins: DocumentTable;
  readonly states: DocumentTable;
  readonly mqtt: MqttTable;
}

export interface EnginePorts {
  readonly sqlite: Sqlite;
  readonly entropy: Entropy;
  /** Called when a fresh file had to take the place of a damaged one while running. */
  readonly onRenewed: (opened: Opened) => void;
}

export class Engine {
  readonly #ports: EnginePorts;
  readonly #spec: OpenSpec;
  #tables: Tables | undefined;
  /** Why nothing can be committed: what is open is a copy in memory. */
  #readOnly: string | undefined;
  /** The broker has its state in memory, so that of a damaged file is older. */
  #sessionsLive: boolean;

  constructor(ports: EnginePorts, spec: OpenSpec) {
    this.#ports = ports;
    this.#spec = spec;
    this.#sessionsLive = spec.sessionsLive === true;
  }

  /** Opens the file, or a fresh one when it is damaged. Throws STORE_SCHEMA_NEWER, STORE_LOCKED, STORE_DISK_FULL, STORE_UNAVAILABLE. */
  open(): Opened {
    assert(this.#tables === undefined, 'the engine is open');
    const spec = { ...this.#spec, sessions: !this.#sessionsLive };
    return this.#use(openDatabase(this.#ports.sqlite, spec, (database) => this.#tablesOn(database)));
  }

  commit(spec: CommitSpec): CommitResult {
    this.#becomeWritable();
    this.#sessionsLive ||= spec.journal !== undefined;
    return this.#guard((tables) => {
      const outcomes = new Uint8Array(spec.count);
      const documentOutcomes = new Uint8Array(spec.documents.length);
      const appended = new Set<string>();
      const held = new Set(spec.held);
      const refused = new Set<string>();
      tables.database.transaction(() => {
        if (spec.epoch === tables.epoch) {
          for (const { queue, offset } of spec.confirms) tables.outbox.remove(queue, offset);
        }
        const reader = new ByteReader(Buffer.from(spec.bytes, 0, spec.byteLength));
        for (let index = 0; index < spec.count; index++) {
          outcomes[index] = appendOne(tables, reader, { queues: spec.queues, appended, held, refused });
        }
        assert(reader.remaining === 0, 'a commit holds exactly the messages it says');
        for (const [index, { table, key, document }] of spec.documents.entries()) {
          const documents = table === 'twin' ? tables.twins : tables.states;
          if (document === undefined) documents.delete(key);
          else if (!documents.save(key, document)) documentOutcomes[index] = outcome.refused;
        }
        if (spec.journal !== undefined && spec.epoch === tables.epoch)
          tables.mqtt.apply(Buffer.from(spec.journal.bytes, 0, spec.journal.byteLength));
        tables.outbox.enforceQuota(outboxQuota(this.#spec.quotaBytes, tables.mqtt.bytes), spec.nowMs);
        tables.outbox.flush();
        tables.positions.flush();
      });
      return {
        outcomes,
        documentOutcomes,
        appended: [...appended],
        dropped: tables.outbox.takeDrops(),
        held: [...refused],
        mqttBytes: tables.mqtt.bytes,
      };
    });
  }

  read(spec: ReadSpec): ReadResult {
    return this.#guard((tables) => {
      const found = tables.outbox.read(spec);
      if (found.gone.size > 0) {
        tables.database.transaction(() => {
          for (const [reason, keys] of found.gone) tables.outbox.drop(keys, reason);
          tables.outbox.flush();
        });
      }
      const writer = new ByteWriter(found.bytes + found.rows.length * readEntryOverheadBytes);
      for (const { offset, record } of found.rows) {
        writer.float64(offset);
        writer.uint32(record.byteLength);
        writer.bytes(record);
      }
      return {
        count: found.rows.length,
        byteLength: writer.length,
        bytes: writer.release(),
        more: found.rows.length === 0 && found.cut,
        dropped: tables.outbox.takeDrops(),
      };
    });
  }

  /** Removes some of what has expired, also in queues that nobody reads. */
  sweep(nowMs: number): readonly Drop[] {
    return this.#guard((tables) => {
      tables.database.transaction(() => {
        if (tables.outbox.sweep(nowMs)) tables.outbox.flush();
      });
      return tables.outbox.takeDrops();
    });
  }

  queues(): readonly QueueFacts[] {
    return this.#guard((tables) => tables.outbox.facts());
  }

  twins(): readonly DocumentRow[] {
    return this.#guard((tables) => tables.twins.all());
  }

  state(key: string): string | undefined {
    return this.#guard((tables) => tables.states.get(key));
  }

  mqttPage(part: MqttPart, after: MqttCursor): MqttPage {
    return this.#guard(({ mqtt }) => mqtt.page(part, after));
  }

  facts(): FileFacts {
    const { path, quarantine } = this.#spec;
    return this.#guard(({ database }) => ({
      path,
      fileBytes: this.#ports.sqlite.fileBytes(path),
      sqliteVersion: database.version,
      schemaVersion,
      quarantined: this.#ports.sqlite.asides(path, quarantine),
    }));
  }

  /** Leaves one file without a log beside it. */
  close(): void {
    const tables = this.#tables;
    this.#tables = undefined;
    if (tables === undefined) return;
    try {
      tables.database.pragma('wal_checkpoint(TRUNCATE)');
    } catch (error) {
      // The log stays beside the file and is played back at the next start: nothing is lost.
      if (faultOf(error) === 'bug') throw error;
    } finally {
      closeQuietly(tables.database);
    }
  }

  #guard<T>(work: (tables: Tables) => T): T {
    const tables = this.#tables ?? this.#reopen();
    try {
      return work(tables);
    } catch (error) {
      throw this.#recover(tables, error);
    }
  }

  /** Brings the engine back to a state in which the next call can work; answers the error for this one. */
  #recover(tables: Tables, error: unknown): unknown {
    const fault = faultOf(error);
    switch (fault) {
      case 'bug':
        return error;
      case 'full':
      case 'locked':
        tables.outbox.load();
        tables.positions.load();
        tables.mqtt.load();
        return faultError(fault, this.#spec.path, error);
      case 'io':
      case 'unreachable':
        closeQuietly(tables.database);
        this.#tables = undefined;
        this.#reopen();
        return faultError(fault, this.#spec.path, error);
      case 'damaged':
        closeQuietly(tables.database);
        this.#tables = undefined;
        this.#renew(error);
        return new StoreError({
          code: 'STORE_DAMAGED',
          message: `${this.#spec.path} was damaged (${errorMessage(error)}) and has been moved to quarantine; a fresh file has taken its place. Send again.`,
          retryable: true,
          fields: { file: this.#spec.path, sqlite: errorCode(error) },
          cause: error,
        });
    }
  }

  #use({ built, renewed, readOnly }: OpenedDatabase<Tables>): Opened {
    this.#tables = built;
    this.#readOnly = readOnly;
    return { epoch: built.epoch, quarantined: renewed, readOnly };
  }

  /** While only a copy in memory is open: the file itself, or the error that says why not yet. */
  #becomeWritable(): void {
    if (this.#readOnly === undefined) return;
    const { path } = this.#spec;
    const copy = this.#tables;
    try {
      const spec = { ...this.#spec, sessions: !this.#sessionsLive };
      const opened = openAsItIs(this.#ports.sqlite, spec, (database) => this.#tablesOn(database));
      this.#ports.onRenewed(this.#use(opened));
    } catch (error) {
      const fault = faultOf(error);
      if (fault === 'bug') throw error;
      throw faultError(fault === 'damaged' ? 'io' : fault, path, error);
    }
    if (copy !== undefined) closeQuietly(copy.database);
  }

  #reopen(): Tables {
    const opened = this.open();
    if (opened.quarantined !== undefined || opened.readOnly !== undefined) this.#ports.onRenewed(opened);
    assert(this.#tables !== undefined, 'open() opens or throws');
    return this.#tables;
  }

  /** The file was believed when it was opened; what was read since says otherwise, whatever its check says now. */
  #renew(cause: unknown): void {
    const { sqlite } = this.#ports;
    const spec = { ...this.#spec, sessions: !this.#sessionsLive };
    const opened = renewDatabase(sqlite, { spec, cause }, (database) => this.#tablesOn(database));
    this.#ports.onRenewed(this.#use(opened));
  }

  #tablesOn(database: SqliteDatabase): Tables {
    const epoch = this.#epochOf(database);
    const outbox = new OutboxTable(database);
    const positions = new PositionTable(database);
    const mqtt = new MqttTable(database);
    outbox.load();
    positions.load();
    mqtt.load();
    const twins = new DocumentTable(database, 'twin');
    const states = new DocumentTable(database, 'state');
    return { database, epoch, outbox, positions, twins, states, mqtt };
  }

  #epochOf(database: SqliteDatabase): string {
    const found = database.prepare("SELECT value FROM meta WHERE key = 'epoch'").get();
    if (found !== undefined) return String(found['value']);
    const epoch = Buffer.from(this.#ports.entropy.bytes(epochBytes)).toString('hex');
    database.transaction(() => database.prepare("INSERT INTO meta (key, value) VALUES ('epoch', ?)").run(epoch));
    return epoch;
  }
}

const readEntryOverheadBytes = 12;

/** MQTT state shares the quota with the outbox and takes at most half (mqtt-journal.ts keeps to that). */
function outboxQuota(quotaBytes: number, mqttBytes: number): number {
  return Math.max(quotaBytes / 2, quotaBytes - mqttBytes);
}

interface CommitWork {
  readonly queues: readonly string[];
  /** Queues that got a message. */
  readonly appended: Set<string>;
  /** Streams that take nothing more in this commit, and those of them of which it refused a message itself. */
  readonly held: Set<string>;
  readonly refused: Set<string>;
}

function appendOne(
  { outbox, positions }: Tables,
  reader: ByteReader,
  { queues, appended, held, refused }: CommitWork,
): number {
  const targets = Array.from({ length: reader.varint() }, () => {
    const queue = queues[reader.varint()];
    const expiresMs = reader.float64();
    assert(queue !== undefined, 'a target names a queue of its commit');
    return { queue, expiresMs: Number.isNaN(expiresMs) ? undefined : expiresMs };
  });
  assert(targets.length > 0 && targets.length <= storeTargetsMax, 'a message has targets');
  const record = reader.bytes(reader.uint32());
  const hop = readHop(record);
  if (hop !== undefined && held.has(hop.stream)) return outcome.held;
  if (!outbox.admits(targets.map(({ queue }) => queue))) {
    if (hop !== undefined) {
      held.add(hop.stream);
      refused.add(hop.stream);
    }
    return outcome.refused;
  }
  if (hop !== undefined && !positions.advance(hop)) return outcome.duplicate;
  for (const { queue, expiresMs } of targets) {
    outbox.append(queue, record, expiresMs);
    appended.add(queue);
  }
  return outcome.stored;
}
