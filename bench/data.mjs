import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { noiseSource, seededRandom } from './random.mjs';
import { textSource } from './text.mjs';

const KIB = 1024;
const MIB = 1024 * KIB;
/** Raise it when the makers below change: data that an older bench kept are then made again. */
const REVISION = 1;
const TEXT_SHARE = 0.63;

const MAKERS = { mix: makeMix, many: makeMany, sqlite: makeSqlite };

/**
 * The path of a data set, made unless an earlier run kept it at the same scale.
 * @param {'mix' | 'many' | 'sqlite'} name
 * @param {{ folder: string, scale: number }} options
 * @returns {string} a folder, or the file of the database
 */
export function dataSet(name, { folder, scale }) {
  const path = join(folder, name === 'sqlite' ? 'sqlite.db' : name);
  const stamp = `${path}.made`;
  const recipe = JSON.stringify({ name, scale, revision: REVISION });
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === recipe) return path;
  rmSync(stamp, { force: true });
  rmSync(path, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  MAKERS[name](path, scale);
  writeFileSync(stamp, recipe);
  return path;
}

/** One file of text and noise in turns of 1 MiB, as databases and archives look from outside. */
export function makeBigFile(path, sizeBytes, seed) {
  const random = seededRandom(seed);
  const fill = contentSource(seed);
  const buffer = Buffer.alloc(MIB);
  const fd = openSync(path, 'w');
  try {
    for (let left = sizeBytes; left > 0; left -= MIB) {
      const part = buffer.subarray(0, Math.min(MIB, left));
      fill(part, random() < TEXT_SHARE);
      writeSync(fd, part);
    }
  } finally {
    closeSync(fd);
  }
}

/** What a reader has to have in memory before the first contestant runs. */
export function warmUp(path) {
  const buffer = Buffer.alloc(MIB);
  for (const file of filesBelow(path)) {
    const fd = openSync(file, 'r');
    while (readSync(fd, buffer) > 0);
    closeSync(fd);
  }
}

/** 20,000 files of 1–40 KiB, 400 of 1–4 MiB and one of 512 MiB: 2.04 GB, 63 % of it text. */
function makeMix(root, scale) {
  const random = seededRandom(1);
  const fill = contentSource(1);
  const buffer = Buffer.alloc(4 * MIB);
  const write = (path, sizeBytes) => {
    const content = buffer.subarray(0, sizeBytes);
    fill(content, random() < TEXT_SHARE);
    writeFileSync(path, content);
  };
  for (let i = 0; i < scaled(20_000, scale); i++) {
    const folder = join(
      root,
      'documents',
      `group-${Math.floor(i / 1000)}`,
      `set-${Math.floor(i / 100) % 10}`,
    );
    if (i % 100 === 0) mkdirSync(folder, { recursive: true });
    write(join(folder, `file-${i}`), KIB + Math.floor(random() * 39 * KIB));
  }
  mkdirSync(join(root, 'media'), { recursive: true });
  for (let i = 0; i < scaled(400, scale); i++)
    write(join(root, 'media', `item-${i}`), MIB + Math.floor(random() * 3 * MIB));
  makeBigFile(join(root, 'image.raw'), scaled(512, scale) * MIB, 2);
}

/** 100,000 files of 0.1–4.5 KiB in 1,000 folders: 230 MB, nearly all text. */
function makeMany(root, scale) {
  const random = seededRandom(3);
  const fill = contentSource(3);
  const buffer = Buffer.alloc(8 * KIB);
  for (let i = 0; i < scaled(100_000, scale); i++) {
    const folder = join(root, `part-${Math.floor(i / 10_000)}`, `shelf-${Math.floor(i / 100) % 100}`);
    if (i % 100 === 0) mkdirSync(folder, { recursive: true });
    const content = buffer.subarray(0, 100 + Math.floor(random() * 4400));
    fill(content, random() < 0.95);
    writeFileSync(join(folder, `note-${i}.txt`), content);
  }
}

/** 1 GiB: documents with an attachment each, and four times as many rows under two indexes. */
function makeSqlite(path, scale) {
  const random = seededRandom(4);
  const fill = contentSource(4);
  const db = new Database(path);
  db.pragma('journal_mode = OFF');
  db.pragma('synchronous = OFF');
  db.exec(`
    CREATE TABLE documents (id INTEGER PRIMARY KEY, title TEXT NOT NULL, body TEXT NOT NULL, attachment BLOB NOT NULL);
    CREATE TABLE events (id INTEGER PRIMARY KEY, document_id INTEGER NOT NULL REFERENCES documents(id),
                         at INTEGER NOT NULL, kind TEXT NOT NULL, detail TEXT NOT NULL);
  `);
  const document = db.prepare('INSERT INTO documents (title, body, attachment) VALUES (?, ?, ?)');
  const event = db.prepare('INSERT INTO events (document_id, at, kind, detail) VALUES (?, ?, ?, ?)');
  const kinds = ['created', 'opened', 'changed', 'shared', 'printed'];
  const body = Buffer.alloc(7 * KIB);
  const attachment = Buffer.alloc(1.5 * KIB);
  const text = (buffer) => {
    fill(buffer, true);
    return buffer.toString('latin1');
  };
  db.transaction(() => {
    for (let id = 1; id <= scaled(142_000, scale); id++) {
      const content = text(body.subarray(0, 3 * KIB + Math.floor(random() * 4 * KIB)));
      fill(attachment, false);
      document.run(
        content.slice(0, 40),
        content,
        attachment.subarray(0, Math.floor(random() * attachment.length)),
      );
      for (let i = 0; i < 4; i++) {
        const at = 1_735_689_600 + Math.floor(random() * 31_536_000);
        event.run(
          1 + Math.floor(random() * id),
          at,
          kinds[Math.floor(random() * 5)],
          text(body.subarray(0, 120)),
        );
      }
    }
  })();
  db.exec(
    'CREATE INDEX events_by_document ON events (document_id, at); CREATE INDEX events_by_time ON events (at)',
  );
  db.close();
}

function contentSource(seed) {
  const text = textSource(seed);
  const noise = noiseSource(seed);
  return (buffer, isText) => (isText ? text(buffer) : noise(buffer));
}

function scaled(count, scale) {
  return Math.max(1, Math.round(count * scale));
}

/** The files in a folder and all below it, or the file itself. */
export function* filesBelow(path) {
  let entries;
  try {
    entries = readdirSync(path, { withFileTypes: true });
  } catch (error) {
    if (error.code !== 'ENOTDIR') throw error;
    yield path;
    return;
  }
  for (const entry of entries) {
    if (entry.isDirectory()) yield* filesBelow(join(path, entry.name));
    else if (entry.isFile()) yield join(path, entry.name);
  }
}
