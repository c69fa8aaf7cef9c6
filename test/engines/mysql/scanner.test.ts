import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { withoutSandboxLine } from '../../../src/engines/mysql/dump/sandbox-line.ts';
import { dumpHandler } from '../../../src/engines/mysql/restore/load.ts';
import { scanStatements } from '../../../src/engines/mysql/restore/scanner.ts';
import { optionFileText } from '../../../src/engines/mysql/server/connection.ts';
import { chooseTools, parseVersion, type Tools } from '../../../src/engines/mysql/server/tools.ts';
import { moveReferences } from '../../../src/engines/mysql/sql/references.ts';
import { rewriteCode } from '../../../src/engines/mysql/sql/rewrite.ts';
import { joined, tokenize } from '../../../src/engines/mysql/sql/tokens.ts';
import { collect } from '../../archive/support.ts';

async function* pieces(bytes: Buffer, sizes: readonly number[]): AsyncGenerator<Uint8Array> {
  let at = 0;
  for (let i = 0; at < bytes.length; i++) {
    const size = Math.max(1, sizes[i % sizes.length] ?? bytes.length);
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

async function rewritten(
  sql: string,
  {
    sizes = [1 << 20],
    chosen,
    definer = 'keep' as 'keep' | 'strip',
  }: { sizes?: number[]; chosen?: (name: string) => boolean; definer?: 'keep' | 'strip' } = {},
): Promise<{ text: string; events: Record<string, string>; definers: Set<string> }> {
  const seen = { events: {} as Record<string, string>, definers: new Set<string>() };
  const handler = dumpHandler(
    { schema: 'the new', from: 'old', sequences: 'the new', definer, ...(chosen ? { chosen } : {}) },
    seen,
  );
  const bytes = await collect(scanStatements(withoutSandboxLine(pieces(Buffer.from(sql), sizes)), handler));
  return { text: bytes.toString(), ...seen };
}

const DUMP = `/*M!999999\\- enable the sandbox mode */ 
-- a dump; 'with a quote
/*!40101 SET NAMES utf8mb4 */;
DROP TABLE IF EXISTS \`t;\`\`1\`;
CREATE TABLE \`t;\`\`1\` (a INT COMMENT 'DEFINER=\`x\`@\`y\`; --');
INSERT INTO \`t;\`\`1\` VALUES
(1,'it''s; \\'; CREATE VIEW'),
(2,'\\\\'),(3,'# /* -- '),(4,0xAB);
/*!50003 CREATE*/ /*!50017 DEFINER=\`ro\`\`ot\`@\`%\`*/ /*!50003 TRIGGER \`old\`.\`g\` BEFORE INSERT ON \`old\`.\`t;\`\`1\` FOR EACH ROW SET NEW.a = 'DEFINER=\`root\`@\`%\`' */;
DELIMITER ;;
CREATE DEFINER=\`root\`@\`%\` PROCEDURE \`p\`()
BEGIN
  -- DEFINER=\`root\`@\`%\` ; '
  SELECT "DEFINER=\`root\`@\`%\`; x" ; /* ;; */
END ;;
/*!50106 CREATE*/ /*!50117 DEFINER=\`root\`@\`%\`*/ /*!50106 EVENT \`ENABLE\` ON SCHEDULE EVERY 1 DAY ON COMPLETION NOT PRESERVE ENABLE COMMENT 'ENABLE' DO SELECT 'ENABLE' */ ;;
DELIMITER ;
ALTER DATABASE \`old\` CHARACTER SET latin1 COLLATE latin1_swedish_ci ;
/*!50001 CREATE ALGORITHM=UNDEFINED */
/*!50013 DEFINER=\`root\`@\`%\` SQL SECURITY DEFINER */
/*!50001 VIEW \`v\` AS select 'x' AS \`DEFINER\` */;
-- Dump completed
`;

describe('mysql: a dump on its way to the client', () => {
  it('loses the sandbox line, gets its triggers and collation to where it goes, its events disabled, and nothing else', async () => {
    const { text, events, definers } = await rewritten(DUMP);
    const view = DUMP.slice(DUMP.indexOf('\n/*!50001 CREATE'), DUMP.indexOf('\n-- Dump completed'));
    // Views come last.
    const settings = ["sql_mode = 'NO_AUTO_VALUE_ON_ZERO'"].concat(
      'character_set_client = utf8mb4, collation_connection = utf8mb4_general_ci',
    );
    const expected = DUMP.slice(DUMP.indexOf('\n') + 1)
      .replace(view, `${settings.map((text) => `\nSET ${text};\n`).join('')}\n${view}\n`)
      .replace('TRIGGER `old`.`g`', 'TRIGGER `g`')
      .replace('ON `old`.`t;``1`', 'ON `t;``1`')
      .replace('PRESERVE ENABLE COMMENT', 'PRESERVE DISABLE COMMENT')
      .replace('ALTER DATABASE `old`', 'ALTER DATABASE `the new`');
    expect(text).toBe(expected);
    expect(events).toEqual({ ENABLE: 'ENABLE' });
    expect(definers).toEqual(new Set(['`ro``ot`@`%`', '`root`@`%`']));
  });

  it('loses its definers by their tokens: what stands in bodies, strings and comments stays', async () => {
    const { text } = await rewritten(DUMP, { definer: 'strip' });
    for (const line of [
      "COMMENT 'DEFINER=`x`@`y`; --'",
      "NEW.a = 'DEFINER=`root`@`%`'",
      '-- DEFINER=`root`@`%` ;',
      '"DEFINER=`root`@`%`; x"',
      'AS `DEFINER`',
    ])
      expect(text).toContain(line);
    expect(text.match(/DEFINER=/g)).toHaveLength(4);
    expect(text).toContain('SQL SECURITY DEFINER');
  });

  it.each(['`old`', 'old', '"old"'])('alters the collation of where it goes, not of %s', async (name) => {
    const rest = 'CHARACTER SET latin1 COLLATE latin1_swedish_ci ;\n';
    expect((await rewritten(`ALTER DATABASE ${name} ${rest}`)).text).toBe(
      `ALTER DATABASE \`the new\` ${rest}`,
    );
    expect((await rewritten(`ALTER DATABASE ${rest}`)).text).toBe(`ALTER DATABASE ${rest}`);
  });

  it('is the same however its bytes are cut into chunks', async () => {
    const whole = await rewritten(DUMP, { definer: 'strip' });
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 20 }),
        async (sizes) => {
          expect(await rewritten(DUMP, { sizes, definer: 'strip' })).toEqual(whole);
        },
      ),
      { numRuns: 60 },
    );
  });

  it('is reduced to chosen tables, with their triggers', async () => {
    const none = (await rewritten(DUMP, { chosen: () => false })).text;
    expect(none).not.toMatch(/INSERT|CREATE TABLE|TRIGGER|PROCEDURE|EVENT|VIEW|ALTER/);
    const one = (await rewritten(DUMP, { chosen: (name) => name === 't;`1' })).text;
    expect(one).toMatch(/INSERT[\s\S]*TRIGGER/);
    expect(one).not.toMatch(/PROCEDURE|EVENT|VIEW `v`|ALTER/);
  });

  it('is refused where it holds what no dump of one database holds', async () => {
    const hostile = [
      'USE `mysql`;',
      'DROP DATABASE `other`;',
      'CREATE DATABASE x;',
      "GRANT ALL ON *.* TO 'x'@'%';",
      'SET GLOBAL general_log = 1;',
      '/*!50000 SET @@GLOBAL.x = 1 */;',
      "LOAD DATA INFILE '/etc/passwd' INTO TABLE t;",
      "SELECT 1 INTO OUTFILE '/tmp/x';",
      'system ls;',
      'source /tmp/x;',
      '\\! ls;',
      'CREATE USER x;',
      'TRUNCATE t;',
      'DELIMITER ;;\nDROP USER x;;',
      "CREATE FUNCTION sh RETURNS STRING SONAME 'x.so';",
    ];
    for (const statement of hostile) {
      await expect(rewritten(`SET NAMES utf8;\n${statement}\n`), statement).rejects.toMatchObject({
        code: 'corrupt',
      });
    }
    for (const cut of [
      'INSERT INTO `t` VALUES (1',
      "INSERT INTO `t` VALUES ('x",
      'SET x = 1',
      'SET x = `a',
      '/* not closed',
      "INSERT INTO `t` VALUES ('\\",
    ]) {
      await expect(rewritten(cut), cut).rejects.toMatchObject({ code: 'corrupt' });
    }
  });

  it('passes rows of any bytes through as they are', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 200 }),
        fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1 }),
        async (bytes, sizes) => {
          const escaped = [...bytes].flatMap((byte) =>
            byte === 0x27 || byte === 0x5c ? [0x5c, byte] : [byte],
          );
          const sql = Buffer.concat([
            Buffer.from("INSERT INTO `t` VALUES (1,'"),
            Buffer.from(escaped),
            Buffer.from("'),(2,'');\nSET x = 1;\n"),
          ]);
          const handler = dumpHandler(
            { schema: 's', from: '', sequences: '', definer: 'keep' },
            { events: {}, definers: new Set() },
          );
          expect((await collect(scanStatements(pieces(sql, sizes), handler))).equals(sql)).toBe(true);
        },
      ),
      { numRuns: 100 },
    );
  });
});

it('mysql: a row as large as no statement is held goes the way of the script', async () => {
  const insert = Buffer.concat([
    Buffer.from('INSERT INTO t VALUES (0x'),
    Buffer.alloc(65 * 1024 * 1024, 'a'),
  ]);
  const script = Buffer.concat([insert, Buffer.from(');\n')]);
  const handler = { statement: (text: string) => text, insert: () => 'aside' as const };
  const refuse = () => expect.unreachable();
  const aside = { takes: refuse, insert: refuse, settled: async () => {}, mark: refuse };
  const sent = await collect(scanStatements(pieces(script, [script.length]), handler, aside));
  expect(script.equals(sent)).toBe(true);
});

describe('mysql: code by its tokens', () => {
  it('reads every way to write a definer, and views of another schema', () => {
    const definer = (sql: string) => rewriteCode(sql, { definer: 'strip' });
    expect(definer('CREATE DEFINER=CURRENT_USER() VIEW v AS SELECT 1')).toMatchObject({
      definer: 'CURRENT_USER()',
      name: 'v',
    });
    expect(definer("CREATE DEFINER = 'a b'@'h' SQL SECURITY INVOKER VIEW `v w` AS SELECT 1")).toMatchObject({
      definer: "'a b'@'h'",
      name: 'v w',
    });
    expect(definer('CREATE DEFINER=role_x FUNCTION f() RETURNS INT RETURN 1')).toMatchObject({
      definer: 'role_x',
      name: 'f',
    });
    expect(
      definer('CREATE OR REPLACE DEFINER=`a`@`b` AGGREGATE FUNCTION IF NOT EXISTS f() RETURNS INT RETURN 1'),
    ).toMatchObject({ definer: '`a`@`b`', name: 'f' });
    expect(definer('CREATE DEFINER=`a`@`b` PACKAGE BODY `pb` AS END')).toMatchObject({ name: 'pb' });
    const moved = rewriteCode(
      "CREATE VIEW `old`.`v` AS select `old`.`t`.`old` AS `old`,'`old`.`t`' from `old`.`t` join `older`.`u`",
      { definer: 'keep', schema: { from: 'old', to: 'n`ew' } },
    );
    expect(moved.sql).toBe(
      "CREATE VIEW `v` AS select `n``ew`.`t`.`old` AS `old`,'`old`.`t`' from `n``ew`.`t` join `older`.`u`",
    );
    expect(
      rewriteCode(
        'CREATE EVENT e ON SCHEDULE EVERY 1 DAY ON COMPLETION PRESERVE DISABLE ON SLAVE DO SELECT 1',
        { definer: 'keep', eventStatus: 'DISABLE' },
      ),
    ).toMatchObject({
      eventStatus: 'DISABLE ON SLAVE',
      sql: expect.stringContaining('PRESERVE DISABLE DO SELECT'),
    });
  });
});

describe('mysql: what a dump says of its schema', () => {
  const moved = (sql: string) => {
    const tokens = tokenize(sql);
    moveReferences(tokens, 'shop', 'new');
    return joined(tokens);
  };

  it('references become another schema’s, columns of a table of the same name stay', () => {
    expect(moved('select `shop`.`t`.`a` from `shop`.`t` join `shop`.`u`')).toBe(
      'select `new`.`t`.`a` from `new`.`t` join `new`.`u`',
    );
    expect(moved('select `shop`.`a`,`shop`.`f`(`shop`.`b`) from (`shop`.`shop` join `t`)')).toBe(
      'select `shop`.`a`,`new`.`f`(`shop`.`b`) from (`new`.`shop` join `t`)',
    );
    expect(moved('select `shop`.`a`,`shop`.`f`(1) from ((`shop` join `shop`.`t`))')).toBe(
      'select `shop`.`a`,`new`.`f`(1) from ((`shop` join `new`.`t`))',
    );
  });

  it('views come after those that they read from, and in no stand-in’s place', async () => {
    const view = (name: string, text: string, charset = 'utf8mb4') => `
/*!50001 DROP VIEW IF EXISTS \`${name}\`*/;
/*!50001 SET character_set_client      = ${charset} */;
/*!50001 CREATE ALGORITHM=UNDEFINED */
/*!50013 DEFINER=\`a\`@\`b\` SQL SECURITY DEFINER */
/*!50001 VIEW \`${name}\` AS ${text} */;
/*!50001 SET character_set_client      = @saved_cs_client */;
`;
    const { text } = await rewritten(
      `/*!50001 CREATE VIEW \`a\` AS SELECT 1 AS \`x\` */;${view('a', 'select `b`.`x` from `b`', 'latin1')}${view('b', 'select `old`.`t`.`x` from `t`')}CREATE TABLE t (x INT);\n-- end`,
    );
    const made = [...text.matchAll(/VIEW `(\w)` AS|CREATE TABLE|client = (\w+),/g)].map(([all]) => all);
    expect(made).toEqual([
      'VIEW `a` AS',
      'CREATE TABLE',
      'client = utf8mb4,',
      'VIEW `b` AS',
      'client = latin1,',
      'VIEW `a` AS',
    ]);
    expect(text).toContain('select `the new`.`t`.`x` from `t`');
  });

  it('code of another sql_mode ends where that mode says', async () => {
    const script = (mode: string, body: string) =>
      `/*!50003 SET sql_mode = '${mode}' */;\nDELIMITER ;;\n${body} ;;\nDELIMITER ;\n` +
      "/*!50003 SET sql_mode = @saved_sql_mode */;\nCREATE EVENT e ON SCHEDULE EVERY 1 DAY ENABLE DO SELECT '\\';';\n";
    for (const [mode, body] of [
      ['NO_BACKSLASH_ESCAPES', "CREATE PROCEDURE p() SELECT 'a\\'"],
      ['ANSI_QUOTES', 'CREATE PROCEDURE p() SELECT "a\\"'],
      ['NO_AUTO_VALUE_ON_ZERO', "CREATE PROCEDURE p() SELECT '\\''"],
    ] as const) {
      const { text, events } = await rewritten(script(mode, body));
      expect(events, mode).toEqual({ e: 'ENABLE' });
      expect(text, mode).toContain('EVERY 1 DAY DISABLE');
    }
  });
});

describe('mysql: tools and options', () => {
  it('tells MySQL and MariaDB apart by what their tools say, whatever they are called', () => {
    expect(
      parseVersion('mysqldump  Ver 10.19 Distrib 10.11.18-MariaDB, for debian-linux-gnu (x86_64)'),
    ).toEqual({ flavour: 'mariadb', version: '10.11.18' });
    expect(
      parseVersion('/usr/bin/mysqldump from 11.8.6-MariaDB, client 10.19 for debian-linux-gnu (x86_64)'),
    ).toEqual({ flavour: 'mariadb', version: '11.8.6' });
    expect(parseVersion('mysqldump  Ver 9.7.4-2 for Linux on x86_64 ((Debian))')).toEqual({
      flavour: 'mysql',
      version: '9.7.4',
    });
    expect(parseVersion('mysqldump  Ver 10.13 Distrib 5.7.44, for Linux (x86_64)')).toEqual({
      flavour: 'mysql',
      version: '5.7.44',
    });
    expect(parseVersion('pg_dump (PostgreSQL) 17.1')).toBeUndefined();
  });

  it('takes the tools of the server own make and nearest version, and says so when it cannot', () => {
    const tools = (flavour: 'mysql' | 'mariadb', version: string): Tools => ({
      flavour,
      version,
      name: 'x',
      argv: () => [],
    });
    const all = [
      tools('mysql', '9.7.4'),
      tools('mysql', '8.0.40'),
      tools('mariadb', '11.8.6'),
      tools('mariadb', '10.11.18'),
    ];
    const warnings: string[] = [];
    const choose = (flavour: 'mysql' | 'mariadb', version: string, of = all) =>
      chooseTools(of, { flavour, version }, 's', ({ message }) => void warnings.push(message)).version;
    expect(choose('mysql', '8.0.36')).toBe('8.0.40');
    expect(choose('mysql', '5.7.44')).toBe('8.0.40');
    expect(choose('mariadb', '10.11.18')).toBe('10.11.18');
    expect(choose('mariadb', '12.0.1')).toBe('11.8.6');
    expect(warnings).toEqual([]);
    expect(choose('mysql', '8.0.36', all.slice(2))).toBe('11.8.6');
    expect(warnings).toHaveLength(1);
    expect(() => choose('mysql', '8.0.36', [])).toThrow(/neither mysqldump nor mariadb-dump/);
  });

  it('option file: a password with quotes, backslashes and hash signs is one value', () => {
    const text = optionFileText({ host: 'h', user: 'u', password: 'a"b\\c#d\ne', ssl: 'require' }, 'mysql');
    expect(text).toContain('password="a\\"b\\\\c#d\\ne"\n');
    expect(text).toContain('ssl-mode="REQUIRED"');
    expect(optionFileText({ host: 'h', ssl: 'prefer' }, 'mariadb')).not.toContain('ssl-mode');
  });
});
