// How far each sender's stream has come: what makes a repetition after a lost acknowledgement harmless.
//
// Owns the rows of `position` and the same in memory, least recently used first. advance() is called before the
// message is inserted, in the transaction that inserts it; a row is written once a commit for each stream that
// moved, not once a message. Runs on the store thread; after a transaction that failed, load() restores truth.
//
// Bounded: of more than storeStreamsMax streams the one untouched for longest is forgotten. A sender that
// repeats itself after that becomes at-least-once, which is what every sender without a stream is.

import { storeStreamsMax } from '../limits.ts';
import type { StreamPosition } from '../model/message.ts';
import type { SqliteDatabase, SqliteStatement } from '../platform/sqlite.ts';

export class PositionTable {
  readonly #sequences = new Map<string, number>();
  readonly #moved = new Set<string>();
  readonly #load: SqliteStatement;
  readonly #save: SqliteStatement;
  readonly #forget: SqliteStatement;
  #touch = 0;

  constructor(database: SqliteDatabase) {
    this.#load = database.prepare('SELECT stream, sequence, touched FROM position ORDER BY touched');
    this.#save = database.prepare(
      'INSERT INTO position (stream, sequence, touched) VALUES (?, ?, ?) ON CONFLICT (stream) DO UPDATE SET sequence = excluded.sequence, touched = excluded.touched',
    );
    this.#forget = database.prepare('DELETE FROM position WHERE stream = ?');
  }

  load(): void {
    this.#sequences.clear();
    this.#moved.clear();
    for (const row of this.#load.all()) {
      this.#sequences.set(String(row['stream']), Number(row['sequence']));
      this.#touch = Math.max(this.#touch, Number(row['touched']));
    }
  }

  /** False when the stream is already this far: the message is a repetition. */
  advance({ stream, sequence }: StreamPosition): boolean {
    const last = this.#sequences.get(stream);
    if (last !== undefined && sequence <= last) return false;
    // Deleting first moves the stream to the young end of the map.
    this.#sequences.delete(stream);
    this.#sequences.set(stream, sequence);
    this.#moved.add(stream);
    return true;
  }

  flush(): void {
    for (const stream of this.#moved) {
      this.#save.run(stream, this.#sequences.get(stream) ?? 0, ++this.#touch);
    }
    this.#moved.clear();
    for (const stream of this.#sequences.keys()) {
      if (this.#sequences.size <= storeStreamsMax) return;
      this.#sequences.delete(stream);
      this.#forget.run(stream);
    }
  }
}
