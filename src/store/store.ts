// The store as everybody else sees it: asynchronous, durable, on the main thread.
//
// Owns the lanes' doors (append, read, confirm), twins and state documents; `sessions` is the broker's own door
// (mqtt-journal.ts) to the database and the same commits. The work is done elsewhere: pace in group-commit.ts,
// the thread in thread-link.ts, the file in engine.ts on the other side. Who wants nothing but durable MQTT
// sessions opens a Store on a file of its own and plugs `sessions` into the broker: the rest costs nothing.
//
//   append ─► group commit ─► transferred memory ─► thread: one write of it, one fdatasync ─► PUBACK
//   read   ─► thread ─► one transferred buffer ─► messages whose bodies are views into it
//
// Invariants
//   append() resolves only after the message and the position of its stream are on stable storage.
//   read() never answers what was confirmed, although it may still be there: a floor for each lane stands
//   in memory from the moment of confirm() on.
//   A confirmation never reaches an outbox other than the one its offsets were read from: `epoch` says which.
//
// When full: the quota drops what has expired and then the oldest of the largest lane of the lowest priority, counted
// and logged; too little free space on the disk counts as a full quota. A disk that is full all the same, or a
// store that cannot keep up, refuses appends with a retryable error and acknowledges nothing.

import { strict as assert } from 'node:assert';
import { Buffer } from 'node:buffer';
import { dirname, join } from 'node:path';
import { storeQuotaBytesMin, storeStateBytesMax } from '../limits.ts';
import { errorCode } from '../model/errors.ts';
import { type Lane, laneKey } from '../model/lane.ts';
import type { Message, StreamPosition } from '../model/message.ts';
import type { Twin, TwinSection } from '../model/twin.ts';
import type { Clock, Timer } from '../platform/clock.ts';
import type { Log } from '../platform/log.ts';
import type { Counter, Metrics } from '../platform/metrics.ts';
import type { Thread } from '../platform/thread.ts';
import { ByteReader } from './byte-buffer.ts';
import type { AppendOutcome, StoreTarget } from './commit-batch.ts';
import { DropLog } from './drop-log.ts';
import { StoreError } from './errors.ts';
import { type CommittedBytes, GroupCommit } from './group-commit.ts';
import { StoreHealth } from './health.ts';
import { MqttJournal } from './mqtt-journal.ts';
import { readRecord } from './record.ts';
import { stampOf } from './stamp.ts';
import { ThreadLink } from './thread-link.ts';
import {
  type CommitResult,
  type CommitSpec,
  type Epochs,
  type FileFacts,
  type LaneFacts,
  type Opened,
  outcome,
  type ReadResult,
  type SpaceFacts,
} from './thread-protocol.ts';
import { readTwinDocument, twinDocument } from './twin-document.ts';

/** Between two looks for expired messages in queues that nobody reads. */
const sweepDelayMs = 60_000;

export interface StorePorts {
  readonly startThread: () => Thread;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: Metrics;
}

export interface StoreOptions {
  /** The database file. */
  readonly path: string;
  /** Directory for damaged files. */
  readonly quarantine: string;
  /** Directory of the outbox's segments; `outbox` beside the database file when absent. */
  readonly outbox?: string | undefined;
  /** Bytes of all lanes together, and of MQTT state, which takes at most half. */
  readonly quotaBytes: number;
  /** To be left free of the file system; by its size when absent. */
  readonly reserveBytes?: number | undefined;
  /** The longest and the shortest a message waits for company before it is committed. */
  readonly commitDelayMs?: number;
  readonly commitDelayMsMin?: number;
  /** As many messages do not wait any longer. */
  readonly commitMessages?: number;
  /** As many bytes do not wait any longer. */
  readonly commitBytes?: number;
}

const defaults = { commitDelayMs: 200, commitDelayMsMin: 5, commitMessages: 256, commitBytes: 65_536 };

export interface StoredMessage {
  /** Counts within its lane. */
  readonly offset: number;
  readonly message: Message;
  /** What the next receiver recognises a repetition by. */
  readonly hop: StreamPosition;
}

export interface ReadFrom {
  /** 0 reads from the beginning. */
  readonly afterOffset: number;
  readonly messagesMax: number;
  /** At least one message is answered, however large. */
  readonly bytesMax: number;
}

export interface TwinRecord {
  /** identityKey() of the owner. */
  readonly key: string;
  readonly twin: Twin;
  /** The desired properties that the owner may have seen last. */
  readonly seen?: readonly TwinSection[] | undefined;
}

export class Store {
  /** MQTT sessions, queued and retained messages: the broker's SessionStore. */
  readonly sessions: MqttJournal;
  readonly #ports: StorePorts;
  readonly #link: ThreadLink;
  readonly #commits: GroupCommit;
  readonly #drops: DropLog;
  readonly #floors = new Map<string, number>();
  readonly #listeners = new Set<(lane: Lane) => void>();
  readonly #committed: Counter;
  readonly #stored: Counter;
  readonly #duplicates: Counter;
  readonly #unreadable: Counter;
  readonly #submitted: Counter;
  readonly #health: StoreHealth;
  #epochs: Epochs | undefined;
  #space: SpaceFacts | undefined;
  #acceptedBytes = 0;
  #sweep: Timer | undefined;
  #sweeping: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(ports: StorePorts, options: StoreOptions) {
    assert(options.quotaBytes >= storeQuotaBytesMin, `the quota is at least ${storeQuotaBytesMin} bytes`);
    const { startThread, clock, log, metrics } = ports;
    const { path, quarantine, quotaBytes, reserveBytes } = options;
    const outbox = options.outbox ?? join(dirname(path), 'outbox');
    const pace = { ...defaults, ...options };
    this.#ports = ports;
    this.#drops = new DropLog({ clock, log, metrics });
    this.#health = new StoreHealth({ clock, log, metrics }, path);
    this.#link = new ThreadLink(
      { startThread, clock, log, onOpened: (opened) => this.#opened(opened) },
      { path, outbox, quarantine, quotaBytes, reserveBytes },
    );
    this.sessions = new MqttJournal(
      {
        clock,
        log,
        metrics,
        wake: () => this.#commits.wake(),
        page: (part, after) => this.#link.request('mqtt', { part, after }),
      },
      { quotaBytes: quotaBytes / 2 },
    );
    this.#commits = new GroupCommit(
      {
        clock,
        journal: this.sessions,
        epochs: () => this.#openEpochs,
        send: (spec) =>
          this.#health.commit(() => this.#link.request('commit', spec, buffersOf(spec)), {
            needsDatabase: spec.documents.length > 0 || spec.journal !== undefined,
          }),
        onCommitted: (result, appended, bytes) => this.#onCommitted(result, appended, bytes),
      },
      {
        delayMsMin: pace.commitDelayMsMin,
        delayMsMax: pace.commitDelayMs,
        messagesMax: pace.commitMessages,
        bytesMax: pace.commitBytes,
      },
    );
    this.#committed = metrics.counter('store_commits_total');
    this.#stored = metrics.counter('store_messages_total', { outcome: 'stored' });
    this.#duplicates = metrics.counter('store_messages_total', { outcome: 'duplicate' });
    this.#unreadable = metrics.counter('store_messages_total', { outcome: 'unreadable' });
    this.#submitted = metrics.counter('store_submitted_bytes_total');
    metrics.gauge('store_accepted_bytes_total', () => this.#acceptedBytes);
    metrics.gauge('store_free_bytes', () => this.#space?.freeBytes ?? 0);
  }

  /** Opens database and outbox; a damaged database goes to quarantine and a fresh one takes its place. Rejects STORE_SCHEMA_NEWER, and after some attempts STORE_LOCKED, STORE_DISK_FULL, STORE_UNAVAILABLE. */
  async start(): Promise<void> {
    await this.#link.start();
    this.#sweepLater();
  }

  /** Born with the outbox: 16 hexadecimal digits. Offsets mean something only together with it. */
  get epoch(): string {
    return this.#openEpochs.outbox;
  }

  get #openEpochs(): Epochs {
    assert(this.#epochs !== undefined, 'the store has been started');
    return this.#epochs;
  }

  /**
   * Resolves after the commit. `duplicate`: the message's hop was not higher than the last of its stream; it is
   * there already and may be acknowledged. `durable: 'now'` does not wait for company.
   * Rejects with a StoreError; then the message is in no lane.
   */
  append(
    message: Message,
    targets: readonly StoreTarget[],
    options: { readonly durable?: 'now' } = {},
  ): Promise<AppendOutcome> {
    return this.#commits.append(message, targets, options);
  }

  /** Oldest first. Expired messages are skipped, removed and counted. Empty: nothing is there. */
  async read(lane: Lane, from: ReadFrom): Promise<readonly StoredMessage[]> {
    const key = laneKey(lane);
    let { afterOffset } = from;
    for (;;) {
      const result = await this.#link.request('read', {
        ...from,
        lane: { queue: lane.queue, priority: lane.priority, live: lane.live },
        afterOffset: Math.max(afterOffset, this.#floors.get(key) ?? 0),
        stamp: stampOf(this.#ports.clock),
      });
      const { messages, lastOffset } = this.#decode(lane, result);
      if (messages.length > 0 || (result.count === 0 && !result.more)) return messages;
      afterOffset = Math.max(afterOffset, lastOffset);
    }
  }

  /** Everything up to `offset` has arrived: reads skip it from now on; it leaves the disk with a later commit, and then this resolves. */
  confirm({ queue, priority, live }: Lane, offset: number): Promise<void> {
    const lane = { queue, priority, live };
    const key = laneKey(lane);
    this.#floors.set(key, Math.max(offset, this.#floors.get(key) ?? 0));
    return this.#commits.confirm(lane, offset);
  }

  /** Called after each commit that put something into a lane, or may have done so without being able to say it. Answers how to stop listening. */
  onAppended(listener: (lane: Lane) => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** All lanes that ever held something in this epoch. */
  async lanes(): Promise<readonly LaneFacts[]> {
    await this.#commits.flush();
    return this.#link.request('lanes', { stamp: stampOf(this.#ports.clock) });
  }

  async twins(): Promise<readonly TwinRecord[]> {
    await this.#commits.flush();
    const rows = await this.#health.ask(() => this.#link.request('twins', null));
    return rows.flatMap(({ key, document }) => {
      const record = readTwinDocument(key, document);
      if (record === undefined)
        this.#ports.log.error('a stored twin cannot be read and is fetched anew', { twin: key });
      return record ?? [];
    });
  }

  async saveTwin(record: TwinRecord): Promise<void> {
    await this.#save('twin', record.key, twinDocument(record));
  }

  async deleteTwin(key: string): Promise<void> {
    await this.#commits.save({ table: 'twin', key, document: undefined });
  }

  async state(key: string): Promise<string | undefined> {
    await this.#commits.flush();
    return this.#health.ask(() => this.#link.request('state', { key }));
  }

  async saveState(key: string, value: string): Promise<void> {
    await this.#save('state', key, value);
  }

  /** Bytes of message bodies and of MQTT state that were committed since the start. */
  get acceptedBytes(): number {
    return this.#acceptedBytes;
  }

  /** The longest a message waits for company from now on, to spare flash; undefined: as configured, and never less. */
  lengthenCommits(delayMs: number | undefined): void {
    this.#commits.lengthen(delayMs);
  }

  facts(): Promise<FileFacts> {
    return this.#link.request('facts', null);
  }

  /** Resolves when the thread has come to this question. A thread that died and is being started again rejects it. */
  async alive(): Promise<void> {
    await this.#link.request('alive', null);
  }

  /** Commits what waits, empties the write-ahead log, closes the file, ends the thread. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#sweep?.cancel();
    await this.#sweeping;
    await this.#commits.close();
    await this.#link.close();
  }

  #save(table: 'twin' | 'state', key: string, document: string): Promise<void> {
    const bytes = Buffer.byteLength(document);
    if (bytes <= storeStateBytesMax) return this.#commits.save({ table, key, document });
    return Promise.reject(
      new StoreError({
        code: 'STORE_DOCUMENT_TOO_LARGE',
        message: `The ${table} document ${key} has ${bytes} bytes; at most ${storeStateBytesMax} are stored.`,
        fields: { table, key, bytes },
      }),
    );
  }

  #decode(
    { queue, priority }: Lane,
    result: ReadResult,
  ): { readonly messages: readonly StoredMessage[]; readonly lastOffset: number } {
    const reader = new ByteReader(Buffer.from(result.bytes, 0, result.byteLength));
    const messages: StoredMessage[] = [];
    let lastOffset = 0;
    for (let index = 0; index < result.count; index++) {
      const offset = reader.float64();
      const wallShiftMs = reader.float64();
      const record = reader.bytes(reader.uint32());
      assert(offset > lastOffset, 'offsets of one lane grow');
      lastOffset = offset;
      try {
        const message = readRecord(record, wallShiftMs);
        messages.push({ offset, message, hop: { stream: result.stream, sequence: offset } });
      } catch (error) {
        // Its checksum was right, so it is not the disk: say so and keep the queue moving.
        this.#unreadable.add();
        this.#ports.log.error('a stored message cannot be read and is skipped', {
          queue,
          priority,
          offset,
          code: errorCode(error),
        });
      }
    }
    return { messages, lastOffset };
  }

  #onCommitted(result: CommitResult, appended: readonly Lane[], bytes: CommittedBytes): void {
    this.#committed.add();
    if (result.outboxFailure === undefined) {
      this.#acceptedBytes += bytes.accepted;
      this.#submitted.add(bytes.submitted);
      this.#duplicates.add(countOf(result.outcomes, outcome.duplicate));
      this.#stored.add(countOf(result.outcomes, outcome.stored));
    }
    this.#drops.add(result.dropped);
    this.#spaceKnown(result.space);
    for (const lane of appended) for (const listener of this.#listeners) listener(lane);
  }

  /** Too little space is said once, and when it is over. */
  #spaceKnown(space: SpaceFacts): void {
    this.#space = space;
    this.sessions.lowOnSpace(space.low);
    this.#health.space(space);
  }

  #opened({ epochs, quarantined, readOnly, salvaged }: Opened): void {
    const before = this.#epochs;
    this.#epochs = epochs;
    if (before !== undefined && before.outbox !== epochs.outbox) {
      this.#floors.clear();
      this.#commits.forgetConfirms();
    }
    if (before !== undefined && before.file !== epochs.file) this.sessions.lost();
    this.#health.opened({ quarantined, readOnly, salvaged });
    if (before !== undefined) void this.#tellAll();
  }

  /** A thread that died may have stored what it could not acknowledge: whoever drains a lane would not know of it. */
  async #tellAll(): Promise<void> {
    try {
      const lanes = await this.#link.request('lanes', { stamp: stampOf(this.#ports.clock) });
      for (const { queue, priority, live, messages } of lanes)
        if (messages > 0) for (const listener of this.#listeners) listener({ queue, priority, live });
    } catch (error) {
      // That thread has died as well: the next one is asked.
      if (!(error instanceof StoreError)) throw error;
    }
  }

  #sweepLater(): void {
    if (this.#closing !== undefined) return;
    this.#sweep = this.#ports.clock.setTimer(
      sweepDelayMs,
      () => {
        this.#sweeping = this.#sweepOnce();
      },
      { background: true },
    );
  }

  async #sweepOnce(): Promise<void> {
    try {
      const { dropped, space } = await this.#link.request('sweep', { stamp: stampOf(this.#ports.clock) });
      this.#drops.add(dropped);
      this.#spaceKnown(space);
    } catch (error) {
      // Nobody waits for a sweep; the next one comes in a minute.
      this.#ports.log.debug('looking for expired messages failed', { code: errorCode(error) });
    }
    this.#sweepLater();
  }
}

function buffersOf({ entries, records, journal }: CommitSpec): readonly ArrayBuffer[] {
  const buffers = [entries.bytes, records.bytes];
  if (journal !== undefined) buffers.push(journal.bytes);
  return buffers;
}

function countOf(outcomes: Uint8Array, wanted: number): number {
  return outcomes.reduce((sum, code) => sum + (code === wanted ? 1 : 0), 0);
}
