import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { hubSchemaVersion, openHubDatabase } from '../../src/hub/database.ts';
import { systemSqlite } from '../../src/platform/sqlite.ts';

const sqlite = systemSqlite();

function codeOf(work: () => unknown): string {
  try {
    work();
    return 'none';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

t.test('a new file gets the current schema and a second opening changes nothing', async (t) => {
  const path = join(t.testdir(), 'hub.db');
  const first = openHubDatabase(path, sqlite);
  first.run('INSERT INTO log_state VALUES (1, 1, 1, 1, 1)');
  first.close();
  const second = openHubDatabase(path, sqlite);
  t.equal(second.all('SELECT * FROM log_state').length, 2);
  second.close();
});

t.test('a commit waits for the disk: synchronous is FULL and the journal a write-ahead log', async (t) => {
  const path = join(t.testdir(), 'hub.db');
  let seen: unknown[] = [];
  const database = openHubDatabase(path, {
    ...sqlite,
    open(file) {
      const opened = sqlite.open(file);
      seen = [opened];
      return opened;
    },
  });
  const [opened] = seen as [ReturnType<typeof sqlite.open>];
  t.equal(opened.pragma('synchronous'), 2);
  t.equal(opened.pragma('journal_mode'), 'wal');
  t.equal(opened.pragma('user_version'), hubSchemaVersion);
  database.close();
});

t.test('a file that is not a database is refused and left as it is', async (t) => {
  const path = join(
    t.testdir({ 'hub.db': 'this is no database, it is a letter of some length'.repeat(100) }),
    'hub.db',
  );
  t.equal(
    codeOf(() => openHubDatabase(path, sqlite)),
    'HUB_DATABASE_DAMAGED',
  );
});

t.test('a database cut in half is refused as damaged', async (t) => {
  const path = join(t.testdir(), 'hub.db');
  const database = openHubDatabase(path, sqlite);
  database.close();
  truncateSync(path, 5000);
  t.equal(
    codeOf(() => openHubDatabase(path, sqlite)),
    'HUB_DATABASE_DAMAGED',
  );
});

t.test(
  'a log that is found is on the disk again before anything is built on it, or the hub does not start',
  async (t) => {
    const path = join(t.testdir(), 'hub.db');
    openHubDatabase(path, sqlite).close();
    const order: string[] = [];
    const watched = {
      open(file: string) {
        const opened = sqlite.open(file);
        const transaction = <T>(work: () => T): T => {
          order.push('transaction');
          return opened.transaction(work);
        };
        return { ...opened, transaction };
      },
      secureLog(file: string) {
        order.push(`secure ${file}`);
        t.equal(
          codeOf(() => openHubDatabase(path, sqlite)),
          'HUB_DATABASE_BUSY',
          'nobody else writes it meanwhile',
        );
      },
    };
    openHubDatabase(path, watched).close();
    t.same(order, [`secure ${path}`, 'transaction']);
    const failing = () => {
      throw Object.assign(new Error('i/o error, fsync'), { code: 'EIO' });
    };
    t.equal(
      codeOf(() => openHubDatabase(path, { ...sqlite, secureLog: failing })),
      'HUB_DATABASE_UNUSABLE',
    );
    openHubDatabase(path, sqlite).close();
  },
);

t.test('a database of another program is refused', async (t) => {
  const path = join(t.testdir(), 'hub.db');
  const raw = sqlite.open(path);
  raw.exec('CREATE TABLE other (x)');
  raw.close();
  t.equal(
    codeOf(() => openHubDatabase(path, sqlite)),
    'HUB_DATABASE_FOREIGN',
  );
});

t.test('a second hub on the same file is refused while the first runs', async (t) => {
  const path = join(t.testdir(), 'hub.db');
  const first = openHubDatabase(path, sqlite);
  t.equal(
    codeOf(() => openHubDatabase(path, sqlite)),
    'HUB_DATABASE_BUSY',
  );
  first.close();
  openHubDatabase(path, sqlite).close();
});

t.test('a path that is a directory is unusable, and said so', async (t) => {
  const directory = t.testdir();
  mkdirSync(join(directory, 'hub.db'));
  writeFileSync(join(directory, 'x'), '');
  t.equal(
    codeOf(() => openHubDatabase(join(directory, 'hub.db'), sqlite)),
    'HUB_DATABASE_UNUSABLE',
  );
});

t.test('a transaction inside another is part of it: a throw undoes both', async (t) => {
  const database = openHubDatabase(join(t.testdir(), 'hub.db'), sqlite);
  t.throws(() =>
    database.transaction(() => {
      database.transaction(() => database.run('UPDATE log_state SET events = 7'));
      throw new Error('no');
    }),
  );
  t.notOk(database.inTransaction);
  t.same(database.get('SELECT events FROM log_state'), { events: 0 });
  database.close();
});
