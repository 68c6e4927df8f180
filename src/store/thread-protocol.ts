// What the two halves of the store say to each other over the thread's pipe.
//
// Every request carries an `id`, every request gets exactly one reply with it, in order: the thread works on one
// thing at a time. Messages cross as bytes in one transferred buffer, never as objects.
//
//   commit.bytes, `count` times:        read.bytes, `count` times:
//     varint number of targets            f64 offset
//     each: varint index into queues      u32 length of the record
//           f64 expiry (NaN: never)       record
//     u32 length of the record
//     record (record.ts)
//
// A message k that is refused must not be overtaken by a later one of its stream: the position would pass k, and its
// repetition would be acknowledged without being stored. Therefore whatever of the stream was under way when the
// refusal became known is refused too: the rest of the commit (`held` of its result), and what had gathered behind
// it (`held` of the next commit, which goes at once). What the sender repeats after that is taken.
//
// `epoch` of a commit is the one its confirmations speak of. After the thread had to start a fresh file their
// offsets mean nothing, and confirming them would delete what nobody has received: such confirmations are
// ignored. `notice` messages are not replies: the thread tells that the epoch changed.

import type { StoreErrorCode } from './errors.ts';
import type { MqttCursor, MqttPage, MqttPart } from './mqtt-shapes.ts';

export interface OpenSpec {
  readonly path: string;
  /** Directory to which damaged files are moved. */
  readonly quarantine: string;
  readonly quotaBytes: number;
  /** The broker has its state in memory already: a damaged file's is not wanted. */
  readonly sessionsLive?: boolean;
}

export interface CommitSpec {
  readonly epoch: string;
  readonly nowMs: number;
  readonly queues: readonly string[];
  readonly count: number;
  readonly bytes: ArrayBuffer;
  readonly byteLength: number;
  readonly confirms: readonly Confirmation[];
  readonly documents: readonly DocumentChange[];
  /** Streams of which an earlier message was refused: what follows it is refused as well. */
  readonly held: readonly string[];
  /** MQTT state (mqtt-record.ts); meant, like confirmations, for the file of `epoch`. */
  readonly journal: { readonly bytes: ArrayBuffer; readonly byteLength: number } | undefined;
}

export interface Confirmation {
  readonly queue: string;
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
  readonly queue: string;
  readonly afterOffset: number;
  readonly messagesMax: number;
  readonly bytesMax: number;
  readonly nowMs: number;
}

export const dropReasons = ['quota', 'ttl_expiry', 'damaged'] as const;
export type DropReason = (typeof dropReasons)[number];

export interface Drop {
  readonly queue: string;
  readonly reason: DropReason;
  readonly messages: number;
}

/** One byte for each message or document of a commit. */
export const outcome = { stored: 0, duplicate: 1, refused: 2, held: 3 } as const;

export interface QueueFacts {
  readonly queue: string;
  readonly messages: number;
  /** Bytes of records, with what the file needs beside them. */
  readonly bytes: number;
  /** When the oldest message was accepted, wall time in milliseconds; undefined for an empty queue. */
  readonly oldestEnqueuedMs: number | undefined;
  /** Messages that left without being delivered since the file was born, by reason. */
  readonly dropped: Readonly<Record<string, number>>;
}

export interface FileFacts {
  readonly path: string;
  readonly fileBytes: number;
  readonly sqliteVersion: string;
  readonly schemaVersion: number;
  readonly quarantined: readonly string[];
}

export interface CommitResult {
  readonly outcomes: Uint8Array;
  readonly documentOutcomes: Uint8Array;
  /** Queues that have got at least one message. */
  readonly appended: readonly string[];
  readonly dropped: readonly Drop[];
  /** Streams of messages that were refused. */
  readonly held: readonly string[];
  /** Bytes of all MQTT messages. */
  readonly mqttBytes: number;
}

export interface ReadResult {
  readonly count: number;
  readonly bytes: ArrayBuffer;
  readonly byteLength: number;
  /** Nothing was found, but rows were removed on the way and the search is not at its end: ask again. */
  readonly more: boolean;
  readonly dropped: readonly Drop[];
}

export interface DocumentRow {
  readonly key: string;
  readonly document: string;
}

export interface Operations {
  open: { readonly request: OpenSpec; readonly reply: Opened };
  commit: { readonly request: CommitSpec; readonly reply: CommitResult };
  read: { readonly request: ReadSpec; readonly reply: ReadResult };
  sweep: { readonly request: { readonly nowMs: number }; readonly reply: { readonly dropped: readonly Drop[] } };
  queues: { readonly request: null; readonly reply: readonly QueueFacts[] };
  twins: { readonly request: null; readonly reply: readonly DocumentRow[] };
  state: { readonly request: { readonly key: string }; readonly reply: string | undefined };
  mqtt: { readonly request: { readonly part: MqttPart; readonly after: MqttCursor }; readonly reply: MqttPage };
  facts: { readonly request: null; readonly reply: FileFacts };
  close: { readonly request: null; readonly reply: null };
}

export type OperationName = keyof Operations;

export interface Opened {
  readonly epoch: string;
  /** Present when the file found could not be trusted and now lies there. */
  readonly quarantined: Quarantined | undefined;
  /** Present when nothing can be written: reads are answered from memory, commits are refused until it can. */
  readonly readOnly: string | undefined;
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
