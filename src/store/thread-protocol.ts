// What the two halves of the store say to each other over the thread's pipe.
//
// Every request carries an `id`, every request gets exactly one reply with it, in order: the thread works on one
// thing at a time. Messages cross as bytes in transferred buffers, never as objects.
//
//   commit.entries, `count` times:      read.bytes, `count` times:
//     varint number of targets            f64 offset
//     each: varint index into lanes       f64 by how much the wall clock of its boot was wrong, ms
//           f64 time to live, ms          u32 length of the record
//               (NaN: for ever)           record
//     u32 length of the record
//     u32 its CRC-32
//     varint 0 without a hop, else
//       one more than the index into streams, and f64 sequence
//
// commit.records holds the records (record.ts) as the outbox writes them: each from a multiple of 4 on, zeros between
// them, and up to a multiple of 8 in all. The thread writes that memory to the disk as it is, and gives it back.
//
// Every request that depends on the time brings its stamp: the thread has no clock of its own.
//
// A message k that is refused must not be overtaken by a later one of its stream: the position would pass k, and its
// repetition would be acknowledged without being stored. Therefore whatever of the stream was under way when the
// refusal became known is refused too: the rest of the commit (`held` of its result), and what had gathered behind
// it (`held` of the next commit, which goes at once). What the sender repeats after that is taken. A commit may be
// sent while the one before it has not been answered, and says so (`order.follows`): then the thread itself holds in it
// the streams that the one before refused, and all of its messages when that one failed or never came.
//
// `epochs` of a commit are those its confirmations (`outbox`) and its MQTT state (`file`) speak of. After the thread
// had to start afresh their offsets and ids mean nothing, and confirming them would delete what nobody has
// received: they are ignored. `notice` messages are not replies: the thread tells that an epoch changed.

import type { Lane } from '../model/lane.ts';
import type { TimeStamp } from '../model/time-stamp.ts';
import type { StoreErrorCode } from './errors.ts';
import type { MqttCursor, MqttPage, MqttPart } from './mqtt-shapes.ts';

export interface StoreFiles {
  /** The database file. */
  readonly path: string;
  /** Directory of the outbox's segments. */
  readonly outbox: string;
  /** Directory to which damaged files are moved. */
  readonly quarantine: string;
  /** Of messages and MQTT state together. */
  readonly quotaBytes: number;
  /** To be left free of the file system; undefined: by its size. */
  readonly reserveBytes: number | undefined;
}

export interface OpenSpec extends StoreFiles {
  readonly stamp: TimeStamp;
  /** The broker has its state in memory already: a damaged file's is not wanted. */
  readonly sessionsLive?: boolean;
}

/** What the two parts of the store were born as; 16 hexadecimal digits each. */
export interface Epochs {
  readonly outbox: string;
  readonly file: string;
}

/** Which commit it is, and which one before it had not been answered when it was sealed. */
export interface CommitOrder {
  readonly number: number;
  readonly follows: number | undefined;
}

export interface CommitSpec {
  readonly order?: CommitOrder;
  readonly epochs: Epochs;
  readonly stamp: TimeStamp;
  readonly lanes: readonly Lane[];
  /** Names of streams (record.ts, streamKey). */
  readonly streams: readonly string[];
  readonly count: number;
  readonly entries: Bytes;
  readonly records: Bytes;
  /** By how much the wall clock was stepped while these messages waited; 0: it was not. */
  readonly wallStepMs: number;
  readonly confirms: readonly Confirmation[];
  readonly documents: readonly DocumentChange[];
  /** Streams of which an earlier message was refused: what follows it is refused as well. */
  readonly held: readonly string[];
  /** MQTT state (mqtt-record.ts). */
  readonly journal: Bytes | undefined;
}

/** The first `byteLength` bytes of a memory that may be longer. */
export interface Bytes {
  readonly bytes: ArrayBuffer;
  readonly byteLength: number;
}

export interface Confirmation {
  readonly lane: Lane;
  /** Everything up to and including it has arrived. */
  readonly offset: number;
}

export type DocumentTable = 'twin' | 'state';

export interface DocumentChange {
  readonly table: DocumentTable;
  readonly key: string;
  /** Undefined deletes. */
  readonly document: string | undefined;
}

export interface ReadSpec {
  readonly lane: Lane;
  readonly afterOffset: number;
  readonly messagesMax: number;
  readonly bytesMax: number;
  readonly stamp: TimeStamp;
}

export const dropReasons = ['quota', 'ttl_expiry', 'damaged'] as const;
export type DropReason = (typeof dropReasons)[number];

export interface Drop {
  readonly lane: Lane;
  readonly reason: DropReason;
  readonly messages: number;
}

/** One byte for each message or document of a commit. */
export const outcome = { stored: 0, duplicate: 1, refused: 2, held: 3 } as const;

export interface LaneFacts extends Lane {
  readonly messages: number;
  /** Bytes of its messages, with what the disk needs beside them. */
  readonly bytes: number;
  /** When the oldest message was accepted, wall time in milliseconds; undefined for an empty lane. */
  readonly oldestEnqueuedMs: number | undefined;
  /** Messages that left without being delivered in this epoch, by reason. */
  readonly dropped: Readonly<Record<string, number>>;
}

export interface FileFacts {
  readonly path: string;
  /** Of the database with its log, and of all segments of the outbox. */
  readonly fileBytes: number;
  /** Of the messages that wait, which the quota bounds. */
  readonly messageBytes: number;
  readonly sqliteVersion: string;
  readonly schemaVersion: number;
  readonly quarantined: readonly string[];
  readonly space: SpaceFacts;
}

export interface SpaceFacts {
  /** Of the file system; undefined when it does not tell. */
  readonly freeBytes: number | undefined;
  readonly reserveBytes: number;
  /** Less is free than is to be left free: the quota is what the messages have now, and less. */
  readonly low: boolean;
}

export interface CommitResult {
  /** The commit's memory, to be used again. */
  readonly spent: CommitMemory;
  readonly outcomes: Uint8Array;
  readonly documentOutcomes: Uint8Array;
  /** Indexes of the lanes that have got at least one message. */
  readonly appended: readonly number[];
  readonly dropped: readonly Drop[];
  /** Streams of messages that were refused. */
  readonly held: readonly string[];
  /** Bytes of all MQTT messages. */
  readonly mqttBytes: number;
  /** The outbox did not take it: no message is stored and nothing is confirmed; documents and MQTT state are. */
  readonly outboxFailure: Failure | undefined;
  readonly space: SpaceFacts;
}

export interface CommitMemory {
  readonly entries: ArrayBuffer;
  readonly records: ArrayBuffer;
}

export interface ReadResult {
  readonly count: number;
  readonly bytes: ArrayBuffer;
  readonly byteLength: number;
  /** What the next receiver knows this lane by. */
  readonly stream: string;
  /** Nothing was found, but the search is not at its end: ask again. */
  readonly more: boolean;
}

export interface SweepResult {
  readonly dropped: readonly Drop[];
  readonly space: SpaceFacts;
}

export interface DocumentRow {
  readonly key: string;
  readonly document: string;
}

export interface Operations {
  open: { readonly request: OpenSpec; readonly reply: Opened };
  commit: { readonly request: CommitSpec; readonly reply: CommitResult };
  read: { readonly request: ReadSpec; readonly reply: ReadResult };
  sweep: { readonly request: { readonly stamp: TimeStamp }; readonly reply: SweepResult };
  lanes: { readonly request: { readonly stamp: TimeStamp }; readonly reply: readonly LaneFacts[] };
  twins: { readonly request: null; readonly reply: readonly DocumentRow[] };
  state: { readonly request: { readonly key: string }; readonly reply: string | undefined };
  mqtt: { readonly request: { readonly part: MqttPart; readonly after: MqttCursor }; readonly reply: MqttPage };
  facts: { readonly request: null; readonly reply: FileFacts };
  /** Answered in turn, by nothing but the thread's being there. */
  alive: { readonly request: null; readonly reply: null };
  close: { readonly request: null; readonly reply: null };
}

export type OperationName = keyof Operations;

export interface Opened {
  readonly epochs: Epochs;
  /** Present when the database found could not be trusted and now lies there. */
  readonly quarantined: Quarantined | undefined;
  /** Present when nothing can be written: reads are answered from memory, commits are refused until it can. */
  readonly readOnly: string | undefined;
  /** Present when segments of the outbox were damaged: what could be read of them is still there. */
  readonly salvaged: OutboxSalvage | undefined;
}

export interface Quarantined {
  readonly path: string;
  readonly reason: string;
  /** What the fresh file got of it. */
  readonly salvaged: {
    /** Rows by table. */
    readonly kept: Readonly<Record<string, number>>;
    /** Rows that are there and cannot be believed. */
    readonly lost: number;
    /** Pages that cannot be read, whatever they held. */
    readonly pages: number;
  };
}

export interface OutboxSalvage {
  readonly quarantined: readonly string[];
  readonly kept: number;
  readonly lost: number;
  readonly reason: string;
}

export type Request = {
  [Name in OperationName]: { readonly id: number; readonly name: Name; readonly body: Operations[Name]['request'] };
}[OperationName];

export interface Failure {
  readonly code: StoreErrorCode;
  readonly message: string;
  readonly retryable: boolean;
}

export type FromThread =
  | { readonly kind: 'reply'; readonly id: number; readonly body: unknown }
  | { readonly kind: 'failure'; readonly id: number; readonly failure: Failure }
  | { readonly kind: 'notice'; readonly opened: Opened };
