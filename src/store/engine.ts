// The store's synchronous half: two files' worth of truth, one commit at a time, on the store thread.
//
// Owns the database (documents, MQTT state), the outbox (messages) and what happens when either fails. A commit is
// everything that waited: first one SQLite transaction, if there is anything for it, then one write and one sync
// of the outbox.
//
// Invariants
//   commit() returns only after both are on storage. The broker's PUBACK stands on it.
//   The check for repetitions, the message in all its lanes and the position of its stream are one commit of the
//   outbox: there is no instant at which one is true without the others.
//   When SQLite fails nothing of the commit is there. When only the outbox fails the result says so: no message
//   is stored, documents and MQTT state are.
//   Nothing is written into a full disk: with less free than the reserve the quota shrinks to what the outbox has
//   less what is missing, down to storeLowBytesMin, and MQTT messages for sessions are refused (`space.low`).
//
// When SQLite fails
//   damaged     (CORRUPT, NOTADB)  the file goes to quarantine, a fresh one with a new epoch takes its place and gets
//                                  every row that can be read; the broker's only before it has them in memory
//   io          (IOERR, READONLY)  the file is closed and opened again with its check (database-opening.ts); where
//                                  nothing can be written, a copy in memory answers reads, commits of anything but
//                                  messages are refused, and commits try the file first: service resumes by itself
//   full        (FULL)             the commit fails, the file stays as it was
//   everything else is a bug, ends the thread, and its owner starts another
// The outbox comes up whatever it finds; a disk that does not answer it is an error of that call alone.

import { strict as assert } from 'node:assert';
import { Buffer } from 'node:buffer';
import { dirname } from 'node:path';
import { storeLowBytesMin } from '../limits.ts';
import { errorCode, errorMessage } from '../model/errors.ts';
import type { TimeStamp } from '../model/time-stamp.ts';
import type { Entropy } from '../platform/entropy.ts';
import type { FileSystem } from '../platform/file-system.ts';
import type { LogFiles } from '../platform/log-files.ts';
import type { Sqlite, SqliteDatabase } from '../platform/sqlite.ts';
import { ByteWriter } from './byte-buffer.ts';
import { CommitOutcome } from './commit-outcome.ts';
import { closeQuietly, faultError, faultOf } from './database-file.ts';
import { type OpenedDatabase, openAsItIs, openDatabase, openRenewed, renewDatabase } from './database-opening.ts';
import { DocumentTable } from './document-table.ts';
import { StoreError } from './errors.ts';
import { nothingStaged, type Staged, stageMessages } from './message-staging.ts';
import { moveOut, schemaVersion } from './migrations.ts';
import { moveOutbox } from './move-outbox.ts';
import type { MqttCursor, MqttPage, MqttPart } from './mqtt-shapes.ts';
import { MqttTable } from './mqtt-table.ts';
import { Outbox, OutboxFault, type OutboxOpened } from './outbox/index.ts';
import { Reserve } from './reserve.ts';
import {
  type CommitResult,
  type CommitSpec,
  type DocumentRow,
  type Failure,
  type FileFacts,
  type LaneFacts,
  type Opened,
  type OpenSpec,
  outcome,
  type Quarantined,
  type ReadResult,
  type ReadSpec,
  type SweepResult,
} from './thread-protocol.ts';

const epochBytes = 8;
const reopenEveryMs = 1000;

interface Tables {
  readonly database: SqliteDatabase;
  readonly epoch: string;
  readonly twins: DocumentTable;
  readonly states: DocumentTable;
  readonly mqtt: MqttTable;
}

export interface EnginePorts {
  readonly sqlite: Sqlite;
  readonly files: LogFiles;
  readonly fileSystem: FileSystem;
  readonly entropy: Entropy;
  /** At which a segment of the outbox is full; as limits.ts has it when absent. */
  readonly segmentBytes?: number | undefined;
  /** Called when a fresh file had to take the place of a damaged one while running. */
  readonly onRenewed: (opened: Opened) => void;
}

export class Engine {
  readonly #ports: EnginePorts;
  readonly #spec: OpenSpec;
  readonly #outbox: Outbox;
  readonly #reserve: Reserve;
  #outboxOpened: OutboxOpened | undefined;
  #tables: Tables | undefined;
  /** Why nothing can be committed: what is open is a copy in memory. */
  #readOnly: string | undefined;
  /** Before then a commit that does not need the file does not try it. */
  #reopenAtMs = 0;
  /** Of the last commit, for the one that was sealed before it was answered. */
  #outcome = CommitOutcome.none;
  /** The broker has its state in memory, so that of a damaged file is older. */
  #sessionsLive: boolean;

  constructor(ports: EnginePorts, spec: OpenSpec) {
    const { files, fileSystem, entropy, segmentBytes } = ports;
    this.#ports = ports;
    this.#spec = spec;
    this.#sessionsLive = spec.sessionsLive === true;
    this.#outbox = new Outbox(
      { files, entropy },
      { directory: spec.outbox, quarantine: spec.quarantine, segmentBytes },
    );
    this.#reserve = new Reserve(fileSystem, { directory: dirname(spec.path), bytes: spec.reserveBytes });
  }

  /** Opens the file, or a fresh one when it is damaged, and the outbox. Throws STORE_SCHEMA_NEWER, STORE_LOCKED, STORE_DISK_FULL, STORE_UNAVAILABLE. */
  open(): Opened {
    assert(this.#tables === undefined, 'the engine is open');
    const quarantined = this.#openDatabase();
    try {
      this.#outboxOpened ??= this.#withOutbox((outbox) => outbox.open(this.#spec.stamp));
    } catch (error) {
      this.#closeDatabase();
      throw error;
    }
    this.#reserve.look(this.#spec.stamp.monotonicMs);
    return { ...this.#opened(quarantined), salvaged: this.#outboxOpened.salvaged };
  }

  commit(spec: CommitSpec): CommitResult {
    let answered: CommitResult | undefined;
    this.#commit(spec, 'now', (result) => {
      answered = result;
    });
    return answered ?? assert.fail('a commit that does not throw is answered');
  }

  /**
   * The same, but the outbox's sync may go on by itself. Throws as commit() does, else answers with `done`, later or at
   * once; until then nothing else is asked of the engine.
   */
  commitLater(spec: CommitSpec, done: (result: CommitResult) => void): void {
    this.#commit(spec, 'later', done);
  }

  #commit(spec: CommitSpec, sync: 'now' | 'later', done: (result: CommitResult) => void): void {
    const before = this.#outcome.of(spec.order?.follows);
    try {
      this.#becomeWritable(spec);
      this.#sessionsLive ||= spec.journal !== undefined;
      this.#guard((tables) => {
        const { documentOutcomes, staged } = this.#stage(tables, spec, before);
        const committed = (failure: Failure | undefined): void => {
          const refused = failure === undefined ? staged.refused : [];
          this.#outcome = new CommitOutcome(spec.order?.number, { failure, refused });
          done({
            spent: { entries: spec.entries.bytes, records: spec.records.bytes },
            outcomes: staged.outcomes,
            documentOutcomes,
            appended: failure === undefined ? staged.appended : [],
            dropped: this.#outbox.takeDrops(),
            held: refused,
            mqttBytes: tables.mqtt.bytes,
            outboxFailure: failure,
            space: this.#reserve.facts,
          });
        };
        if (before.failure === undefined) this.#commitOutbox(tables, { stamp: spec.stamp, sync }, committed);
        else committed(before.failure);
      });
    } catch (error) {
      this.#outcome = CommitOutcome.thrown(spec.order?.number, error);
      throw error;
    }
  }

  /** Stages messages and confirmations, unless the commit before failed, and commits what SQLite keeps. */
  #stage(
    tables: Tables,
    spec: CommitSpec,
    before: CommitOutcome,
  ): { readonly documentOutcomes: Uint8Array; readonly staged: Staged } {
    const outbox = this.#outbox;
    if (before.failure !== undefined)
      return { documentOutcomes: this.#commitDatabase(tables, spec), staged: nothingStaged(spec) };
    if (spec.epochs.outbox === outbox.epoch) {
      for (const { lane, offset } of spec.confirms) outbox.confirm(lane, offset);
    }
    const staged = stageMessages(outbox, spec, before.refused);
    try {
      return { documentOutcomes: this.#commitDatabase(tables, spec), staged };
    } catch (error) {
      outbox.discard();
      throw error;
    }
  }

  read(spec: ReadSpec): ReadResult {
    const found = this.#withOutbox((outbox) => outbox.read(spec));
    const writer = new ByteWriter(found.bytes + found.rows.length * readEntryOverheadBytes);
    for (const { offset, record, wallShiftMs } of found.rows) {
      writer.float64(offset);
      writer.float64(wallShiftMs);
      writer.uint32(record.byteLength);
      writer.append(record);
    }
    return {
      count: found.rows.length,
      byteLength: writer.length,
      bytes: writer.release(),
      stream: found.stream,
      more: found.more,
    };
  }

  /** Removes some of what has expired, also in lanes that nobody reads, and keeps the reserve. */
  sweep(stamp: TimeStamp): SweepResult {
    return this.#guard((tables) => {
      this.#withOutbox((outbox) => outbox.sweep(stamp));
      let failed: Failure | undefined;
      this.#commitOutbox(tables, { stamp, sync: 'now' }, (failure) => {
        failed = failure;
      });
      if (failed !== undefined) throw new StoreError(failed);
      return { dropped: this.#outbox.takeDrops(), space: this.#reserve.facts };
    });
  }

  lanes(stamp: TimeStamp): readonly LaneFacts[] {
    return this.#withOutbox((outbox) =>
      outbox.lanes(stamp).map(({ queue, priority, live, messages, bytes, oldestMs, dropped }) => ({
        queue,
        priority,
        live,
        messages,
        bytes,
        oldestEnqueuedMs: oldestMs,
        dropped,
      })),
    );
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
      fileBytes: this.#ports.sqlite.fileBytes(path) + this.#outbox.diskBytes,
      messageBytes: this.#outbox.liveBytes,
      sqliteVersion: database.version,
      schemaVersion,
      quarantined: this.#ports.sqlite.asides(path, quarantine),
      space: this.#reserve.facts,
    }));
  }

  /** Leaves one file without a log beside it. */
  close(): void {
    const tables = this.#tables;
    this.#tables = undefined;
    if (this.#outboxOpened !== undefined) this.#outbox.close();
    this.#outboxOpened = undefined;
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

  #commitDatabase(tables: Tables, spec: CommitSpec): Uint8Array {
    const outcomes = new Uint8Array(spec.documents.length);
    const journal = spec.epochs.file === tables.epoch ? spec.journal : undefined;
    if (spec.documents.length === 0 && journal === undefined) return outcomes;
    tables.database.transaction(() => {
      for (const [index, { table, key, document }] of spec.documents.entries()) {
        const documents = table === 'twin' ? tables.twins : tables.states;
        if (document === undefined) documents.delete(key);
        else if (!documents.save(key, document)) outcomes[index] = outcome.refused;
      }
      if (journal !== undefined) tables.mqtt.apply(Buffer.from(journal.bytes, 0, journal.byteLength));
    });
    this.#reserve.wrote(journal?.byteLength ?? 0);
    return outcomes;
  }

  /** Makes room, writes what is staged, and tells why it could not. */
  #commitOutbox(
    { mqtt }: Tables,
    { stamp, sync }: { readonly stamp: TimeStamp; readonly sync: 'now' | 'later' },
    done: (failure: Failure | undefined) => void,
  ): void {
    const outbox = this.#outbox;
    const ended = (fault: OutboxFault | undefined): void =>
      done(fault === undefined ? undefined : outboxFailure(fault, this.#spec.outbox));
    this.#reserve.look(stamp.monotonicMs);
    try {
      outbox.enforceQuota(this.#outboxBytesMax(mqtt.bytes), stamp);
      this.#reserve.wrote(outbox.stagedBytes);
      if (sync === 'now') outbox.commit(stamp);
    } catch (error) {
      outbox.discard();
      if (!(error instanceof OutboxFault)) throw error;
      ended(error);
      return;
    }
    if (sync === 'now') ended(undefined);
    else outbox.commitLater(stamp, ended);
  }

  /** MQTT state shares the quota with the outbox and takes at most half (mqtt-journal.ts keeps to that). */
  #outboxBytesMax(mqttBytes: number): number {
    const { quotaBytes } = this.#spec;
    const quota = Math.max(quotaBytes / 2, quotaBytes - mqttBytes);
    const missing = this.#reserve.missingBytes;
    return missing === 0 ? quota : Math.min(quota, Math.max(storeLowBytesMin, this.#outbox.diskBytes - missing));
  }

  #withOutbox<T>(work: (outbox: Outbox) => T): T {
    try {
      return work(this.#outbox);
    } catch (error) {
      if (!(error instanceof OutboxFault)) throw error;
      throw new StoreError({ ...outboxFailure(error, this.#spec.outbox), cause: error });
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

  #closeDatabase(): void {
    if (this.#tables !== undefined) closeQuietly(this.#tables.database);
    this.#tables = undefined;
  }

  /** Answers where a file went that could not be trusted. */
  #openDatabase(): Quarantined | undefined {
    const { sqlite } = this.#ports;
    return this.#use(openDatabase(sqlite, this.#openingSpec, (database) => this.#tablesOn(database)));
  }

  get #openingSpec(): OpenSpec & { readonly sessions: boolean } {
    return { ...this.#spec, sessions: !this.#sessionsLive };
  }

  #use({ built, renewed, readOnly }: OpenedDatabase<Tables>): Quarantined | undefined {
    this.#tables = built;
    this.#readOnly = readOnly;
    return renewed;
  }

  #opened(quarantined: Quarantined | undefined): Opened {
    assert(this.#tables !== undefined, 'opening opens or throws');
    const epochs = { outbox: this.#outbox.epoch, file: this.#tables.epoch };
    return { epochs, quarantined, readOnly: this.#readOnly, salvaged: undefined };
  }

  /**
   * While only a copy in memory is open: the file itself, or the error that says why not yet. Messages alone do not wait
   * for it: what has arrived must leave a full disk, or there will never be room.
   */
  #becomeWritable({ documents, journal, stamp }: CommitSpec): void {
    if (this.#readOnly === undefined) return;
    const isNeeded = documents.length > 0 || journal !== undefined;
    if (!isNeeded && stamp.monotonicMs < this.#reopenAtMs) return;
    this.#reopenAtMs = stamp.monotonicMs + reopenEveryMs;
    const { path } = this.#spec;
    const copy = this.#tables;
    try {
      this.#ports.onRenewed(this.#opened(this.#use(this.#openWritable())));
    } catch (error) {
      const fault = faultOf(error);
      if (fault === 'bug') throw error;
      if (!isNeeded) return;
      throw faultError(fault === 'damaged' ? 'io' : fault, path, error);
    }
    if (copy !== undefined) closeQuietly(copy.database);
  }

  #openWritable(): OpenedDatabase<Tables> {
    const { sqlite } = this.#ports;
    const spec = this.#openingSpec;
    const build = (database: SqliteDatabase): Tables => this.#tablesOn(database);
    try {
      return openAsItIs(sqlite, spec, build);
    } catch (cause) {
      if (faultOf(cause) !== 'damaged') throw cause;
      return openRenewed(sqlite, { spec, cause }, build);
    }
  }

  #reopen(): Tables {
    const quarantined = this.#openDatabase();
    if (quarantined !== undefined || this.#readOnly !== undefined) this.#ports.onRenewed(this.#opened(quarantined));
    assert(this.#tables !== undefined, 'opening opens or throws');
    return this.#tables;
  }

  /** The file was believed when it was opened; what was read since says otherwise, whatever its check says now. */
  #renew(cause: unknown): void {
    const spec = this.#openingSpec;
    const opened = renewDatabase(this.#ports.sqlite, { spec, cause }, (database) => this.#tablesOn(database));
    this.#ports.onRenewed(this.#opened(this.#use(opened)));
  }

  #tablesOn(database: SqliteDatabase): Tables {
    moveOut(database, () => this.#moveOutbox(database));
    const epoch = this.#epochOf(database);
    const mqtt = new MqttTable(database);
    mqtt.load();
    const twins = new DocumentTable(database, 'twin');
    const states = new DocumentTable(database, 'state');
    for (const documents of [twins, states]) documents.check();
    return { database, epoch, twins, states, mqtt };
  }

  /** The messages of an older file. A copy of them may take what is free, but for a part of the reserve. */
  #moveOutbox(database: SqliteDatabase): void {
    const { stamp } = this.#spec;
    this.#reserve.look(stamp.monotonicMs);
    const { freeBytes, reserveBytes } = this.#reserve.facts;
    const roomBytes = freeBytes === undefined ? undefined : Math.max(storeLowBytesMin, freeBytes - reserveBytes / 2);
    this.#outboxOpened = this.#withOutbox((outbox) => moveOutbox({ database, outbox, stamp, roomBytes }));
  }

  #epochOf(database: SqliteDatabase): string {
    const found = database.prepare("SELECT value FROM meta WHERE key = 'epoch'").get();
    if (found !== undefined) return String(found['value']);
    const epoch = Buffer.from(this.#ports.entropy.bytes(epochBytes)).toString('hex');
    database.transaction(() => database.prepare("INSERT INTO meta (key, value) VALUES ('epoch', ?)").run(epoch));
    return epoch;
  }
}

const readEntryOverheadBytes = 20;

function outboxFailure(fault: OutboxFault, directory: string): Failure {
  const kinds = { full: 'full', io: 'io', readonly: 'unreachable' } as const;
  const { code, message, retryable } = faultError(kinds[fault.kind], directory, fault);
  return { code, message, retryable };
}
