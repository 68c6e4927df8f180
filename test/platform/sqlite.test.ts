import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { systemSqlite } from '../../src/platform/sqlite.ts';

t.test('a database is made with its directory, which is private', async (t) => {
  const directory = join(t.testdir(), 'deep', 'deeper');
  const database = systemSqlite().open(join(directory, 'a.db'));
  t.match(database.version, /^3\.\d+\.\d+$/);
  database.close();
  t.equal(statSync(directory).mode & 0o777, 0o700);
});

t.test('a transaction is whole or not at all, and the next one works', async (t) => {
  const database = systemSqlite().open(join(t.testdir(), 'a.db'));
  database.exec('CREATE TABLE x (n INTEGER PRIMARY KEY, b BLOB) STRICT');
  const insert = database.prepare('INSERT INTO x (n, b) VALUES (?, ?)');
  t.equal(
    database.transaction(() => insert.run(1, Buffer.from([1, 2]))),
    1,
  );
  const twice = (): void => {
    insert.run(2, null);
    insert.run(1, null);
  };
  t.throws(() => database.transaction(twice), { code: 'SQLITE_CONSTRAINT_PRIMARYKEY' });
  database.transaction(() => insert.run(3, null));
  t.same(
    database
      .prepare('SELECT n FROM x ORDER BY n')
      .all()
      .map((row) => row['n']),
    [1, 3],
  );
  t.same([...database.prepare('SELECT b FROM x WHERE n = ?').iterate(1)], [{ b: Buffer.from([1, 2]) }]);
  t.equal(database.prepare('SELECT n FROM x WHERE n = 9').get(), undefined);
  t.equal(database.pragma('user_version'), 0);
  database.close();
});

t.test('setting aside moves the log too, numbers upwards and keeps only the last few', async (t) => {
  const directory = t.testdir();
  const file = join(directory, 'a.db');
  const aside = join(directory, 'aside');
  const sqlite = systemSqlite();
  t.same(sqlite.asides(file, aside), []);
  for (let round = 1; round <= 11; round++) {
    writeFileSync(file, `file ${round}`);
    writeFileSync(`${file}-wal`, `log ${round}`);
    t.equal(sqlite.fileBytes(file), `file ${round}log ${round}`.length);
    t.equal(sqlite.setAside(file, aside, 2), join(aside, `a.db-${round}`));
    t.notOk(existsSync(file) || existsSync(`${file}-wal`));
  }
  t.same(sqlite.asides(file, aside), [join(aside, 'a.db-10'), join(aside, 'a.db-11')]);
  t.same(readdirSync(aside).sort(), ['a.db-10', 'a.db-10-wal', 'a.db-11', 'a.db-11-wal']);
  t.equal(readFileSync(join(aside, 'a.db-11-wal'), 'utf8'), 'log 11');
});
