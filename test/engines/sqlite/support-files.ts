import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import Driver from 'better-sqlite3';

/** Everything in a database as SQL text, by SQLite's own shell. */
export function dumpText(path: string): string {
  return execFileSync('sqlite3', [path, '.dump'], { encoding: 'utf8', maxBuffer: 1 << 28 });
}

export function create(path: string, sql: string): void {
  const database = new Driver(path);
  try {
    database.exec(sql);
  } finally {
    database.close();
  }
}

export function read<T>(path: string, sql: string): T {
  const database = new Driver(path, { readonly: true });
  try {
    return database.prepare(sql).pluck().get() as T;
  } finally {
    database.close();
  }
}

/** Runs a script beside this process, with `Database` at hand, until it prints `ready`. */
export async function beside(script: string, ...args: string[]) {
  const require = `const Database = require(${JSON.stringify(fileURLToPath(import.meta.resolve('better-sqlite3')))});`;
  const child = spawn(process.execPath, ['-e', require + script, ...args], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(child, 'exit');
  await Promise.race([once(child.stdout, 'data'), exited]);
  return {
    running: () => child.exitCode === null,
    stop: async () => {
      child.kill('SIGKILL');
      await exited;
    },
  };
}

export const PAIR_WRITER = `
  const database = new Database(process.argv[1], { timeout: 30000 });
  const write = database.transaction((i) => {
    database.prepare('INSERT INTO a (id, text) VALUES (?, ?)').run(i, 'x'.repeat(500));
    database.prepare('INSERT INTO b (id, a_id) VALUES (?, ?)').run(i, i);
  });
  let i = database.prepare('SELECT coalesce(max(id), 0) FROM a').pluck().get();
  const turn = () => { for (let n = 0; n < 20; n++) write(++i); setImmediate(turn); };
  turn();
  console.log('ready');
`;

export const PAIR_SCHEMA = `
  CREATE TABLE a (id INTEGER PRIMARY KEY, text TEXT);
  CREATE TABLE b (id INTEGER PRIMARY KEY, a_id INTEGER REFERENCES a);
  CREATE INDEX b_a ON b (a_id);
  WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 60000)
    INSERT INTO a SELECT i, hex(randomblob(250)) FROM n;
  INSERT INTO b SELECT id, id FROM a;
`;

export const RICH_SCHEMA = `
  CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, born REAL);
  CREATE TABLE "odd ""name"" é" (a, "b c" TEXT DEFAULT 'x', full TEXT AS (a || "b c") STORED, v AS (a + 1));
  CREATE TABLE tags (word TEXT, user INTEGER REFERENCES users, PRIMARY KEY (word, user)) WITHOUT ROWID;
  CREATE TABLE logs_old (line TEXT);
  CREATE TABLE counters (n INTEGER) STRICT;
  CREATE VIRTUAL TABLE notes USING fts5(title, body);
  CREATE TABLE docs (body TEXT);
  CREATE VIRTUAL TABLE docs_index USING fts5(body, content='docs');
  CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1);
  CREATE INDEX users_born ON users (born) WHERE born IS NOT NULL;
  CREATE VIEW loud AS SELECT upper(name) AS name FROM users;
  CREATE VIEW old_lines AS SELECT line FROM logs_old;
  CREATE TRIGGER user_gone AFTER DELETE ON users BEGIN DELETE FROM tags WHERE user = old.id; END;
  CREATE TRIGGER user_logged AFTER INSERT ON users BEGIN INSERT INTO logs_old VALUES (new.name); END;
  INSERT INTO users (name, born) VALUES ('ana', 1990.5), ('bob', NULL), ('', 3);
  DELETE FROM users WHERE name = 'bob';
  INSERT INTO "odd ""name"" é" (a, "b c") VALUES (1, 'one'), (NULL, '');
  INSERT INTO tags VALUES ('x', 1), ('y', 1);
  INSERT INTO counters VALUES (7);
  INSERT INTO notes VALUES ('first', 'the quick fox'), ('second', 'lazy dog');
  INSERT INTO docs (rowid, body) VALUES (10, 'gap before'), (20, 'and between');
  INSERT INTO docs_index (rowid, body) SELECT rowid, body FROM docs;
  INSERT INTO boxes VALUES (1, 0.5, 2.5);
  ANALYZE;
  PRAGMA user_version = 42;
  PRAGMA application_id = 77;
`;
