// What SQLite does at most: one thread, one table, one prepared INSERT of the payload, transactions of a given size in
// WAL with synchronous=FULL. No acknowledgement to anybody, no other thread, no order to keep: the limit of what a
// store on SQLite could reach, which the store is compared with.

import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import Database from 'better-sqlite3';

interface SqliteOrder {
  readonly data: string;
  readonly bytes: number;
  /** Rows in one transaction. */
  readonly batch: number;
  readonly seconds: number;
  readonly warmup: number;
}

const msPerSecond = 1000;

function main(): void {
  const order = JSON.parse(process.argv[2] ?? '{}') as SqliteOrder;
  const database = new Database(join(order.data, 'alone.db'));
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = FULL');
  database.exec('CREATE TABLE message (id INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT');
  const insert = database.prepare('INSERT INTO message (body) VALUES (?)');
  const body = randomBytes(order.bytes);
  const commit = database.transaction(() => {
    for (let count = 0; count < order.batch; count++) insert.run(body);
  });
  const during = (seconds: number): { rows: number; seconds: number } => {
    const startMs = performance.now();
    let [rows, nowMs] = [0, startMs];
    while (nowMs - startMs < seconds * msPerSecond) {
      commit();
      rows += order.batch;
      nowMs = performance.now();
    }
    return { rows, seconds: (nowMs - startMs) / msPerSecond };
  };
  during(order.warmup);
  const measured = during(order.seconds);
  database.close();
  const perSecond = measured.rows / measured.seconds;
  process.stdout.write(`${JSON.stringify({ perSecond, batch: order.batch })}\n`);
}

main();
