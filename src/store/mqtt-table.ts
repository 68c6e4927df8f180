// MQTT sessions, their queues and retained messages on disk: the thread's side of mqtt-journal.ts.
//
// Owns the rows of the `mqtt_…` tables, and in memory only what a commit could not do without: how often a message
// is used where that is more than once, and the sum of bytes. Runs on the store thread, inside transactions that
// engine.ts opens; after one that failed, load() makes the memory true again.
//
// Invariants
//   A message has a row exactly while a delivery or a retained topic uses it; who uses it last takes it along.
//   Every operation may come twice: after a thread died in the middle, nobody knows whether its last commit was one.

import { Buffer } from 'node:buffer';
import { storeLoadPageBytes, storeScanRowsMax } from '../limits.ts';
import type { SqliteDatabase, SqliteRow, SqliteStatement } from '../platform/sqlite.ts';
import { ByteReader, ByteWriter } from './byte-buffer.ts';
import { checksum } from './checksum.ts';
import { DamagedFile } from './errors.ts';
import { operation, readLong, writeLong } from './mqtt-record.ts';
import type { MqttCursor, MqttPage, MqttPart } from './mqtt-shapes.ts';

/** A row of a message and one of its delivery, with their keys and the pages' own accounting, about. */
const messageOverheadBytes = 32;
const varintBits = 7;
const varintMore = 0x80;
const varintMask = 0x7f;

export class MqttTable {
  readonly #database: SqliteDatabase;
  readonly #statements: ReturnType<typeof prepareStatements>;
  /** Uses of a message, where they are more than one. */
  readonly #shared = new Map<number, number>();
  /** Uses of the messages this transaction touched. */
  readonly #touched = new Map<number, number>();
  #bytes = 0;

  constructor(database: SqliteDatabase) {
    this.#database = database;
    this.#statements = prepareStatements(database);
  }

  /** Bytes of all messages, with what the file needs beside them. */
  get bytes(): number {
    return this.#bytes;
  }

  load(): void {
    this.#shared.clear();
    this.#touched.clear();
    const size = `coalesce(sum(length(canonical) + ${messageOverheadBytes}), 0)`;
    this.#bytes = Number(this.#database.prepare(`SELECT ${size} AS bytes FROM mqtt_message`).get()?.['bytes']);
    const uses = 'SELECT message FROM mqtt_delivery UNION ALL SELECT message FROM mqtt_retained';
    const shared = `SELECT message, count(*) AS uses FROM (${uses}) GROUP BY message HAVING uses > 1`;
    for (const row of this.#database.prepare(shared).iterate()) {
      this.#shared.set(Number(row['message']), Number(row['uses']));
    }
  }

  /** Carries out the operations of one commit (mqtt-record.ts). Ends with flush(). */
  apply(bytes: Buffer): void {
    const reader = new ByteReader(bytes);
    while (reader.remaining > 0) this.#applyOne(reader.byte(), reader);
    this.#flush();
  }

  /** The next rows of a part, as far as one page goes. */
  page(part: MqttPart, after: MqttCursor): MqttPage {
    const writer = new ByteWriter(storeLoadPageBytes);
    const statement = this.#statements.pages[part];
    const keys =
      part === 'retained'
        ? [after.text]
        : part === 'subscription'
          ? [after.first, after.text]
          : part === 'message' || part === 'session'
            ? [after.first]
            : [after.first, after.second];
    let count = 0;
    let next: MqttCursor | undefined;
    for (const row of statement.iterate(...keys)) {
      writeRow(writer, part, row);
      count++;
      next = {
        first: Number(row['first'] ?? 0),
        second: Number(row['second'] ?? 0),
        text: String(row['text'] ?? ''),
      };
      if (writer.length >= storeLoadPageBytes) break;
    }
    return { count, byteLength: writer.length, bytes: writer.release(), next: count === 0 ? undefined : next };
  }

  #applyOne(code: number, reader: ByteReader): void {
    const { statements: run } = this.#statements;
    switch (code) {
      case operation.message:
        this.#addMessage(readLong(reader), reader);
        return;
      case operation.delivery:
      case operation.deliveryAgain:
        this.#addDelivery(reader, code === operation.deliveryAgain);
        return;
      case operation.step: {
        const [session, ordinal] = [reader.varint(), readLong(reader)];
        run.step.run(reader.varint(), reader.byte(), session, ordinal);
        return;
      }
      case operation.delivered: {
        const row = run.delivered.get(reader.varint(), readLong(reader));
        if (row !== undefined) this.#use(Number(row['message']), -1);
        return;
      }
      case operation.session: {
        const id = reader.varint();
        const record = reader.bytes(reader.uint32());
        run.saveSession.run(id, checksum(record), record);
        return;
      }
      case operation.ended:
        this.#endSession(reader.varint());
        return;
      default:
        this.#applySmall(code, reader);
    }
  }

  #applySmall(code: number, reader: ByteReader): void {
    const { statements: run } = this.#statements;
    switch (code) {
      case operation.subscription:
        run.subscribe.run(reader.varint(), reader.text(), reader.byte(), reader.varint());
        return;
      case operation.unsubscribed:
        run.unsubscribe.run(reader.varint(), reader.text());
        return;
      case operation.receiving:
        run.receiving.run(reader.varint(), reader.varint());
        return;
      case operation.released:
        run.released.run(reader.varint(), reader.varint());
        return;
      case operation.retained: {
        const topic = reader.text();
        this.#clear(topic);
        const message = readLong(reader);
        run.retain.run(topic, message, reader.byte());
        this.#use(message, 1);
        return;
      }
      case operation.cleared:
        this.#clear(reader.text());
        return;
      default:
        throw new DamagedFile(`operation ${code} of a commit is not known`);
    }
  }

  #addMessage(id: number, reader: ByteReader): void {
    const expiresMs = reader.float64();
    const canonical = reader.bytes(reader.uint32());
    const added = this.#statements.statements.addMessage.run(id, expiresMs, checksum(canonical), canonical);
    if (added === 0) return;
    this.#bytes += canonical.byteLength + messageOverheadBytes;
    this.#touched.set(id, 0);
  }

  #addDelivery(reader: ByteReader, again: boolean): void {
    const { statements: run } = this.#statements;
    const [session, ordinal, message] = [reader.varint(), readLong(reader), readLong(reader)];
    const facts = reader.byte();
    const [packetId, awaiting] = [reader.varint(), reader.byte()];
    const ids = Array.from({ length: reader.varint() }, () => reader.varint());
    const before = again ? run.findDelivery.get(session, ordinal) : undefined;
    if (before !== undefined) this.#use(Number(before['message']), -1);
    run.deliver.run(session, ordinal, message, facts, packetId, awaiting, ids.length === 0 ? null : packIds(ids));
    this.#use(message, 1);
  }

  #endSession(session: number): void {
    const { statements: run } = this.#statements;
    for (const row of run.endDeliveries.all(session)) this.#use(Number(row['message']), -1);
    run.endSubscriptions.run(session);
    run.endReceiving.run(session);
    run.endSession.run(session);
  }

  #clear(topic: string): void {
    const row = this.#statements.statements.clear.get(topic);
    if (row !== undefined) this.#use(Number(row['message']), -1);
  }

  #use(message: number, by: 1 | -1): void {
    const uses = this.#touched.get(message) ?? this.#shared.get(message) ?? 1;
    this.#touched.set(message, uses + by);
  }

  /** Removes the messages that nobody uses any more. */
  #flush(): void {
    for (const [message, uses] of this.#touched) {
      if (uses > 1) {
        this.#shared.set(message, uses);
        continue;
      }
      this.#shared.delete(message);
      if (uses === 1) continue;
      const row = this.#statements.statements.dropMessage.get(message);
      if (row !== undefined) this.#bytes -= Number(row['bytes']) + messageOverheadBytes;
    }
    this.#touched.clear();
  }
}

function writeRow(writer: ByteWriter, part: MqttPart, row: SqliteRow): void {
  switch (part) {
    case 'message':
      writeLong(writer, Number(row['first']));
      writer.float64(Number(row['expires_ms']));
      writeChecked(writer, row);
      return;
    case 'session':
      writer.varint(Number(row['first']));
      writeChecked(writer, row);
      return;
    case 'subscription':
      writer.varint(Number(row['first']));
      writer.text(String(row['text']));
      writer.byte(Number(row['options']));
      writer.varint(Number(row['subscription_id']));
      return;
    case 'receiving':
      writer.varint(Number(row['first']));
      writer.varint(Number(row['second']));
      return;
    case 'delivery':
      writeDelivery(writer, row);
      return;
    case 'retained':
      writer.text(String(row['text']));
      writeLong(writer, Number(row['message']));
      writer.byte(Number(row['facts']));
  }
}

function writeChecked(writer: ByteWriter, row: SqliteRow): void {
  const blob = row['record'] as Buffer;
  writer.byte(checksum(blob) === Number(row['checksum']) ? 1 : 0);
  writer.uint32(blob.byteLength);
  writer.append(blob);
}

function writeDelivery(writer: ByteWriter, row: SqliteRow): void {
  writer.varint(Number(row['first']));
  writeLong(writer, Number(row['second']));
  writeLong(writer, Number(row['message']));
  writer.byte(Number(row['facts']));
  writer.varint(Number(row['packet_id']));
  writer.byte(Number(row['awaiting']));
  const packed = row['subscription_ids'];
  if (packed === null || packed === undefined) {
    writer.varint(0);
    return;
  }
  const ids = unpackIds(packed as Buffer);
  writer.varint(ids.length);
  for (const id of ids) writer.varint(id);
}

function packIds(ids: readonly number[]): Buffer {
  const bytes: number[] = [];
  for (let rest of ids) {
    for (; rest >= varintMore; rest >>>= varintBits) bytes.push((rest & varintMask) | varintMore);
    bytes.push(rest);
  }
  return Buffer.from(bytes);
}

function unpackIds(packed: Buffer): readonly number[] {
  const reader = new ByteReader(packed);
  const ids: number[] = [];
  while (reader.remaining > 0) ids.push(reader.varint());
  return ids;
}

function preparePages(database: SqliteDatabase): Readonly<Record<MqttPart, SqliteStatement>> {
  const page = (sql: string): SqliteStatement => database.prepare(`${sql} LIMIT ${storeScanRowsMax}`);
  const pair = '(session, packet_id) > (?, ?) ORDER BY session, packet_id';
  return {
    message: page(
      'SELECT id AS first, expires_ms, checksum, canonical AS record FROM mqtt_message WHERE id > ? ORDER BY id',
    ),
    session: page('SELECT id AS first, checksum, record FROM mqtt_session WHERE id > ? ORDER BY id'),
    subscription: page(
      'SELECT session AS first, filter AS text, options, subscription_id FROM mqtt_subscription WHERE (session, filter) > (?, ?) ORDER BY session, filter',
    ),
    receiving: page(`SELECT session AS first, packet_id AS second FROM mqtt_receiving WHERE ${pair}`),
    delivery: page(
      'SELECT session AS first, ordinal AS second, message, facts, packet_id, awaiting, subscription_ids FROM mqtt_delivery WHERE (session, ordinal) > (?, ?) ORDER BY session, ordinal',
    ),
    retained: page('SELECT topic AS text, message, facts FROM mqtt_retained WHERE topic > ? ORDER BY topic'),
  };
}

function prepareStatements(database: SqliteDatabase) {
  const prepare = (sql: string): SqliteStatement => database.prepare(sql);
  return {
    pages: preparePages(database),
    statements: {
      addMessage: prepare(
        'INSERT OR IGNORE INTO mqtt_message (id, expires_ms, checksum, canonical) VALUES (?, ?, ?, ?)',
      ),
      dropMessage: prepare('DELETE FROM mqtt_message WHERE id = ? RETURNING length(canonical) AS bytes'),
      deliver: prepare(
        'INSERT OR REPLACE INTO mqtt_delivery (session, ordinal, message, facts, packet_id, awaiting, subscription_ids) VALUES (?, ?, ?, ?, ?, ?, ?)',
      ),
      findDelivery: prepare('SELECT message FROM mqtt_delivery WHERE session = ? AND ordinal = ?'),
      step: prepare('UPDATE mqtt_delivery SET packet_id = ?, awaiting = ? WHERE session = ? AND ordinal = ?'),
      delivered: prepare('DELETE FROM mqtt_delivery WHERE session = ? AND ordinal = ? RETURNING message'),
      saveSession: prepare('INSERT OR REPLACE INTO mqtt_session (id, checksum, record) VALUES (?, ?, ?)'),
      endSession: prepare('DELETE FROM mqtt_session WHERE id = ?'),
      endDeliveries: prepare('DELETE FROM mqtt_delivery WHERE session = ? RETURNING message'),
      endSubscriptions: prepare('DELETE FROM mqtt_subscription WHERE session = ?'),
      endReceiving: prepare('DELETE FROM mqtt_receiving WHERE session = ?'),
      subscribe: prepare(
        'INSERT OR REPLACE INTO mqtt_subscription (session, filter, options, subscription_id) VALUES (?, ?, ?, ?)',
      ),
      unsubscribe: prepare('DELETE FROM mqtt_subscription WHERE session = ? AND filter = ?'),
      receiving: prepare('INSERT OR IGNORE INTO mqtt_receiving (session, packet_id) VALUES (?, ?)'),
      released: prepare('DELETE FROM mqtt_receiving WHERE session = ? AND packet_id = ?'),
      retain: prepare('INSERT OR REPLACE INTO mqtt_retained (topic, message, facts) VALUES (?, ?, ?)'),
      clear: prepare('DELETE FROM mqtt_retained WHERE topic = ? RETURNING message'),
    },
  };
}
