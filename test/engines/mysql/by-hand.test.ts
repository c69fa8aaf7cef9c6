import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { runDguard } from '../../cli/support.ts';
import { type Bench, describeWithEachMysql, makeBench, picture } from './support.ts';

const OBJECTS = readFileSync(join(import.meta.dirname, 'support-objects.sql'), 'utf8');

/** What the server's client, told nothing, does not bring back. */
const MORE = [
  'CREATE VIEW z_names AS SELECT id AS a_names FROM parent WHERE id > 1',
  'CREATE VIEW a_names AS SELECT a_names AS z_names FROM z_names WITH CASCADED CHECK OPTION',
  // An alias is no view that is read.
  'CREATE VIEW b_first AS SELECT c_second.id FROM parent c_second WHERE c_second.id > 1',
  'CREATE VIEW c_second AS SELECT id FROM b_first WITH CASCADED CHECK OPTION',
  "CREATE PROCEDURE with_returns () BEGIN\r\n  -- a comment\r\n  SELECT 'a\r\nb';\r\nEND",
  // Code of before remembers what it was.
  'ALTER DATABASE dgh_all CHARACTER SET utf8mb4 COLLATE utf8mb4_bin',
];

/** Values of every form, and names that are no file's. */
const ODD = `SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO';
CREATE TABLE \`Odd näme %/x\` (id INT PRIMARY KEY AUTO_INCREMENT, n VARCHAR(20), e VARCHAR(20) NOT NULL, b VARBINARY(20), bl BLOB,
  bi BIT(9), de DECIMAL(30,10), d DATE, dt DATETIME(6), ts TIMESTAMP(3) NULL, j JSON, bs TEXT, db DOUBLE, y YEAR, tm TIME(2),
  en ENUM('a','b\\\\c',''), st SET('x','y'), g INT GENERATED ALWAYS AS (LENGTH(n)) STORED, bb BIGINT UNSIGNED, ge GEOMETRY);
INSERT INTO \`Odd näme %/x\` (id,n,e,b,bl,bi,de,d,dt,ts,j,bs,db,y,tm,en,st,bb,ge) VALUES
  (0, NULL, '', x'00ff5c0a', '', b'101010101', -12345678901234567890.0123456789, '0000-00-00', '0000-00-00', NULL,
  '{"a":"\\\\u00e9 \\\\" \\\\n","b":null}', '😀 back\\\\slash\\n "q" ''s'' \\0 \\\\N', 1e300, 2024, '-838:59:59', 'b\\\\c', 'x,y',
  18446744073709551615, ST_GeomFromText('POINT(1 2)')),
  (7, 'NULL', 'x', '', 'NULL', 0, 0, '2024-01-31', '2024-01-01 00:00:00.000001', '2024-07-01 10:00:00.123', 'null', '\\\\N',
  -0.1, NULL, NULL, NULL, '', NULL, NULL);
CREATE TABLE child (v INT, p INT, FOREIGN KEY (p) REFERENCES \`Odd näme %/x\` (id));
INSERT INTO child VALUES (1, 0), (1, 0), (NULL, NULL);
CREATE TRIGGER child_bi BEFORE INSERT ON child FOR EACH ROW SET NEW.v = 5`;

/** As somebody would write it who has \`schema.json\` and the line of \`show\` alone. */
const ROWS = `
import base64, json, sys
print(sys.argv[1] + ";")
def sql(value, form):
    if value is None: return "NULL"
    if form in ("number", "float"): return value
    data = base64.b64decode(value) if form == "base64" else value.encode("utf-8")
    return ("" if form == "base64" else "_utf8mb4 ") + "x'" + data.hex() + "'"
name = lambda text: "\`" + text.replace("\`", "\`\`") + "\`"
for table in json.load(open("schema.json", encoding="utf-8"))["tables"]:
    forms = {column["name"]: column["form"] for column in table["columns"]}
    for line in open(table["member"], encoding="utf-8", newline="\\n"):
        row = json.loads(line, parse_int=str, parse_float=str)
        values = ", ".join(sql(value, forms[key]) for key, value in row.items())
        print("INSERT INTO", name(table["table"]), "(" + ", ".join(map(name, row)) + ") VALUES (" + values + ");")
`;

describeWithEachMysql('mysql: what show prints, in a shell', (server) => {
  let bench: Bench;
  let home: string;
  beforeAll(async () => {
    bench = await makeBench(server(), 'dgh_');
    home = join(bench.folder, 'home');
    mkdirSync(home);
    const { host, port, user, password, bin } = server();
    writeFileSync(join(home, 'password'), password, { mode: 0o600 });
    const escaped = password.replace(/[\\"]/g, '\\$&');
    writeFileSync(
      join(home, '.my.cnf'),
      `[client]\nhost=${host}\nport=${port}\nprotocol=tcp\nuser=${user}\npassword="${escaped}"\n`,
      { mode: 0o600 },
    );
    const source = {
      type: 'mysql',
      host,
      port,
      username: user,
      password_file: join(home, 'password'),
      ...(bin === undefined ? {} : { client_path: bin }),
    };
    const config = {
      version: 1,
      datasources: Object.fromEntries(
        ['all', 'lone', 'rows'].map((name) => [name, { ...source, database: `dgh_${name}` }]),
      ),
      destinations: { store: { type: 'local', path: join(home, 'store') } },
      jobs: Object.fromEntries(
        ['all', 'lone', 'rows'].map((name) => [
          name,
          {
            datasources: [name],
            destinations: ['store'],
            options: { compression: 'gzip', format: name === 'rows' ? 'jsonl' : 'native' },
          },
        ]),
      ),
    };
    writeFileSync(join(home, 'backup.yaml'), JSON.stringify(config), { mode: 0o600 });
  });
  afterAll(() => bench?.remove());

  /** Backs a job up; returns its folder and the lines of `show` that restore it without dguard. */
  async function backUp(job: string) {
    const made = await runDguard(['backup', job, '-q'], { cwd: home });
    expect(made.code, made.stderr).toBe(0);
    const folder = join(home, 'store', job, job);
    const [id] = readdirSync(folder);
    const { stdout } = await runDguard(['show', id!], { cwd: home });
    const lines = stdout.trim().split('without dguard')[1]!.split('\n').slice(1);
    const loads = lines.filter((line) => line.includes('then load it: '));
    return {
      folder: join(folder, id!),
      unpack: lines.filter((line) => !loads.includes(line)).join('\n'),
      load: loads.map((line) => line.replace(/^.*then load it: /, '')),
    };
  }

  function inShell(script: string, cwd: string): void {
    const { bin } = server();
    const PATH = [...(bin === undefined ? [] : [bin]), process.env['PATH']].join(delimiter);
    const own = mkdtempSync(join(home, 'own-'));
    writeFileSync(join(own, '.my.cnf'), readFileSync(join(home, '.my.cnf')), { mode: 0o600 });
    const done = spawnSync('bash', ['-c', script], { cwd, env: { PATH, HOME: own }, encoding: 'utf8' });
    expect(done.status, `${script}\n${done.stdout}${done.stderr}`).toBe(0);
  }

  it('brings all of a database back that is gone', async () => {
    await bench.database('dgh_all', OBJECTS);
    for (const statement of MORE) await bench.sql('dgh_all', statement);
    const before = await picture(bench, 'dgh_all');
    const writable = () =>
      bench.sql(
        undefined,
        "SELECT TABLE_NAME AS v, IS_UPDATABLE AS yes FROM information_schema.VIEWS WHERE TABLE_SCHEMA = 'dgh_all' ORDER BY 1",
      );
    const wereWritable = await writable();
    const { folder, unpack, load } = await backUp('all');
    await bench.sql(undefined, 'DROP DATABASE dgh_all');
    inShell(`${unpack} && ${load[0]}`, folder);
    expect(await picture(bench, 'dgh_all')).toEqual(before);
    expect(await writable()).toEqual(wereWritable);
  });

  it('brings an export back whose rows somebody loads as schema.json and it say', async () => {
    await bench.database('dgh_rows', ODD);
    const before = await picture(bench, 'dgh_rows');
    const { folder, unpack, load } = await backUp('rows');
    await bench.sql(undefined, 'DROP DATABASE dgh_rows');
    writeFileSync(join(home, 'rows.py'), ROWS);
    const [schema, says, triggers] = load;
    const session = /first (SET NAMES .*)$/.exec(says!)![1]!;
    const client = triggers!.replace(/ < .*$/, '');
    const rows = `python3 '${join(home, 'rows.py')}' "${session}" > rows.sql && ${client} < rows.sql`;
    inShell([unpack, schema, rows, triggers].join(' &&\n'), folder);
    expect(await picture(bench, 'dgh_rows')).toEqual(before);
  });

  it('leaves a database alone that is still there, and goes into one of another name', async () => {
    await bench.database('dgh_lone', 'CREATE TABLE t (n INT);\nCREATE PROCEDURE p (x TEXT) SELECT x');
    await bench.sql(undefined, 'ALTER DATABASE dgh_lone CHARACTER SET latin1');
    await bench.sql('dgh_lone', 'CREATE TRIGGER t_bi BEFORE INSERT ON t FOR EACH ROW SET NEW.n = 1');
    await bench.sql(
      'dgh_lone',
      "CREATE EVENT e ON SCHEDULE EVERY 1 YEAR STARTS '2030-01-01 00:00:00' DO DELETE FROM t",
    );
    await bench.sql(undefined, 'ALTER DATABASE dgh_lone CHARACTER SET utf8mb4 COLLATE utf8mb4_bin');
    const before = await picture(bench, 'dgh_lone');
    const { folder, unpack, load } = await backUp('lone');
    // It has been given another one since.
    await bench.sql(undefined, 'ALTER DATABASE dgh_lone CHARACTER SET latin2');
    inShell(`${unpack} && ${load[0]!.replaceAll('dgh_lone', 'dgh_other')}`, folder);
    expect(await picture(bench, 'dgh_other')).toEqual(before);
    const [{ charset }] = (await bench.sql('dgh_lone', 'SELECT @@character_set_database AS charset')) as [
      { charset: string },
    ];
    expect(charset).toBe('latin2');
  });
});
