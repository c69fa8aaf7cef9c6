import { closeSync, openSync, writeSync } from 'node:fs';
import { seededRandom } from './random.mjs';
import { textSource } from './text.mjs';

const KIB = 1024;
const STATEMENT_BYTES = 900 * KIB;

/**
 * A script of about 600 MB at scale 1: documents of 1–6 KiB, small rows of many types, and a table without an
 * integer key.
 */
export function makeMysql(path, scale) {
  const fd = openSync(path, 'w');
  try {
    writeSync(
      fd,
      `SET FOREIGN_KEY_CHECKS = 0, UNIQUE_CHECKS = 0;
CREATE TABLE documents (id INT UNSIGNED AUTO_INCREMENT PRIMARY KEY, title VARCHAR(80) NOT NULL, body MEDIUMTEXT NOT NULL,
  changed DATETIME NOT NULL, KEY (changed)) DEFAULT CHARSET=utf8mb4;
CREATE TABLE events (id BIGINT AUTO_INCREMENT PRIMARY KEY, document_id INT UNSIGNED NOT NULL, at DATETIME(3) NOT NULL,
  kind ENUM('created', 'opened', 'changed', 'shared') NOT NULL, amount DECIMAL(12,2), ratio DOUBLE, detail VARCHAR(120) NOT NULL,
  KEY (document_id, at)) DEFAULT CHARSET=utf8mb4;
CREATE TABLE tokens (token CHAR(32) CHARACTER SET ascii PRIMARY KEY, owner INT NOT NULL, secret VARBINARY(64)) DEFAULT CHARSET=utf8mb4;
`,
    );
    const random = seededRandom(11);
    const fill = textSource(11);
    const text = (bytes) => {
      const buffer = Buffer.allocUnsafe(bytes);
      fill(buffer);
      return buffer.toString('latin1').replace(/['\\]/g, '\\$&').replaceAll('\n', '\\n');
    };
    const at = () =>
      new Date(1_735_689_600_000 + Math.floor(random() * 31_536_000_000)).toISOString().slice(0, 23);
    const hex = (bytes) =>
      Array.from({ length: bytes }, () =>
        Math.floor(random() * 256)
          .toString(16)
          .padStart(2, '0'),
      ).join('');
    const documents = Math.max(10, Math.round(100_000 * scale));
    insertAll(fd, 'documents', documents, (id) => {
      const body = text(KIB + Math.floor(random() * 5 * KIB));
      return `${id},'${body.slice(0, 40).replace(/\\.?/g, ' ')}','${body}','${at().slice(0, 19)}'`;
    });
    const kinds = ['created', 'opened', 'changed', 'shared'];
    insertAll(fd, 'events', Math.max(10, Math.round(1_600_000 * scale)), (id) => {
      const amount = random() < 0.1 ? 'NULL' : (random() * 100_000).toFixed(2);
      return `${id},${1 + Math.floor(random() * documents)},'${at()}','${kinds[Math.floor(random() * 4)]}',${amount},${random()},'${text(20 + Math.floor(random() * 80)).replace(/\\$/, '')}'`;
    });
    insertAll(fd, 'tokens', Math.max(10, Math.round(150_000 * scale)), (id) => {
      return `'${hex(12)}${id.toString(16).padStart(8, '0')}',${id},0x${hex(40)}`;
    });
  } finally {
    closeSync(fd);
  }
}

function insertAll(fd, table, count, row) {
  let statement = '';
  const flush = () => {
    if (statement !== '') writeSync(fd, `${statement};\n`, null, 'latin1');
    statement = '';
  };
  for (let id = 1; id <= count; id++) {
    statement += statement === '' ? `INSERT INTO ${table} VALUES (${row(id)})` : `,(${row(id)})`;
    if (statement.length > STATEMENT_BYTES) flush();
  }
  flush();
}
