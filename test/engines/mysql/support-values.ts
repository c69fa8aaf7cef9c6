import type { Bench } from './support.ts';

const BYTES = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, '0')).join('');

/** What a dump tool alone would lose, and what a reader of one's own may. */
const VALUES = `CREATE TABLE floats (id INT PRIMARY KEY, f FLOAT, d DOUBLE, fd FLOAT(7,3));
INSERT INTO floats VALUES (1, 1.2345678, 0.1, 1234.567), (2, -0e0, -0e0, -0e0), (3, 3.4028233e38, 1.7976931348623157e308, NULL), (4, 1.1754944e-38, 4.9406564584124654e-324, 0), (5, 16777217, 123456789012345678, 1);
CREATE TABLE every_byte (id SMALLINT PRIMARY KEY, b BLOB, t TEXT CHARACTER SET latin1, u VARCHAR(300) CHARACTER SET utf16);
INSERT INTO every_byte VALUES (-1, x'${BYTES}', x'${BYTES}', 'é€𝄞'), (0, '', '', ''), (1, NULL, NULL, NULL);
CREATE TABLE wide (${Array.from({ length: 300 }, (_, n) => `c${n} INT`).join(', ')});
INSERT INTO wide (c0, c299) VALUES (1, 2), (NULL, NULL);
CREATE TABLE keyed (a VARCHAR(20) NOT NULL, b INT NOT NULL, PRIMARY KEY (b, a));
INSERT INTO keyed VALUES ('z', 1), ('a', 2), ('m', 1);
CREATE TABLE hidden (id INT PRIMARY KEY, secret INT INVISIBLE);
INSERT INTO hidden (id, secret) VALUES (1, 7);
CREATE TABLE old_engine (id INT PRIMARY KEY, t TEXT) ENGINE=MyISAM;
INSERT INTO old_engine VALUES (1, 'it''s')`;

/** A database whose values are easily lost on the way. */
export async function valuesDatabase(bench: Bench, name: string): Promise<void> {
  await bench.database(name, VALUES);
  if (bench.server.flavour === 'mariadb') {
    await bench.sql(name, 'CREATE TABLE versions (id INT PRIMARY KEY, n INT) WITH SYSTEM VERSIONING');
    await bench.sql(name, 'INSERT INTO versions VALUES (1, 1)');
    await bench.sql(name, 'UPDATE versions SET n = 2');
    await bench.sql(name, 'CREATE SEQUENCE numbers START WITH 5 INCREMENT BY 3');
    await bench.sql(name, 'DO NEXTVAL(numbers)');
    await bench.sql(name, 'CREATE TABLE names (u UUID, i INET6)');
    await bench.sql(name, "INSERT INTO names VALUES (UUID(), '2001:db8::1'), (NULL, NULL)");
  }
}
