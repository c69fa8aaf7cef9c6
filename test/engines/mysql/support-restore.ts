import { afterAll, beforeAll, beforeEach } from 'vitest';
import type { BackupContent } from '../../../src/engines/types.ts';
import type { MysqlServer } from '../../services/mysql.mjs';
import { type Bench, backUp, makeBench, picture } from './support.ts';

export const OLD = `CREATE TABLE a (id INT PRIMARY KEY, f TEXT);
CREATE TABLE b (id INT PRIMARY KEY, a_id INT, CONSTRAINT b_a FOREIGN KEY (a_id) REFERENCES a (id));
CREATE TABLE only_old (id INT PRIMARY KEY);
INSERT INTO a VALUES (1, 'old');
INSERT INTO b VALUES (1, 1);
CREATE PROCEDURE p () SELECT 'old';
CREATE VIEW v AS SELECT id, f FROM a;
CREATE TRIGGER a_bi BEFORE INSERT ON a FOR EACH ROW SET NEW.f = CONCAT('old ', NEW.f);
CREATE EVENT e ON SCHEDULE EVERY 1 YEAR STARTS '2030-01-01 00:00:00' DO DELETE FROM only_old`;

export const NEW = `CREATE TABLE a (id INT PRIMARY KEY, f TEXT, g INT);
CREATE TABLE b (id INT PRIMARY KEY, a_id INT, CONSTRAINT b_a FOREIGN KEY (a_id) REFERENCES a (id));
CREATE TABLE only_new (id INT PRIMARY KEY);
INSERT INTO a VALUES (1, 'new', 1), (2, 'new', 2);
INSERT INTO b VALUES (1, 2);
CREATE FUNCTION q () RETURNS INT DETERMINISTIC RETURN 7;
CREATE VIEW v AS SELECT id, q() AS q FROM a;
CREATE VIEW only_old AS SELECT 1 AS one;
CREATE TRIGGER a_bi BEFORE INSERT ON a FOR EACH ROW SET NEW.g = q();
CREATE EVENT e ON SCHEDULE EVERY 1 YEAR STARTS '2030-01-01 00:00:00' DISABLE DO DELETE FROM only_new;
CREATE EVENT e2 ON SCHEDULE EVERY 1 YEAR STARTS '2030-01-01 00:00:00' DO DELETE FROM only_new`;

/** A backup of NEW. */
export function useNew(server: () => MysqlServer) {
  let bench: Bench;
  let content: BackupContent;
  let after: Record<string, string>;
  beforeAll(async () => {
    bench = await makeBench(server(), 'dgr_');
    await bench.database('dgr_new', NEW);
    content = await backUp(bench.source('dgr_new'));
    after = await picture(bench, 'dgr_new');
  });
  beforeEach(async () => {
    bench.warnings.length = 0;
    for (const name of await bench.names())
      if (name.includes('__dg_')) await bench.sql(undefined, `DROP DATABASE \`${name}\``);
  });
  afterAll(() => bench?.remove());
  return {
    get bench() {
      return bench;
    },
    get content() {
      return content;
    },
    /** What a target is after a restore. */
    get after() {
      return after;
    },
  };
}
