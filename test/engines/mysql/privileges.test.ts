import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { mostSpecific } from '../../../src/engines/mysql/server/privileges.ts';
import { parseDocument } from '../../cli/documents.ts';
import { type Workspace, workspace } from '../../cli/support.ts';
import { doctor } from '../../cli/support-doctor.ts';
import { type Bench, describeWithEachMysql, makeBench } from './support.ts';

const READER = "'dgv_reader'@'%'";

describeWithEachMysql('mysql: what an account may not see', (server) => {
  let bench: Bench;
  let place: Workspace;
  beforeAll(async () => {
    bench = await makeBench(server(), 'dgv_');
    place = workspace();
    await bench.database('dgv_app', 'CREATE TABLE t (n INT);\nINSERT INTO t VALUES (1)');
    await bench.sql('dgv_app', 'CREATE PROCEDURE theirs() SELECT 1');
    place.write('reader', 'read-1');
    configure({});
  });
  function configure(options: object): void {
    const { host, port, bin } = server();
    place.config({
      datasources: {
        db: {
          type: 'mysql',
          host,
          port,
          database: 'dgv_app',
          username: 'dgv_reader',
          password_file: place.path('reader'),
          ...(bin === undefined ? {} : { client_path: bin }),
          ...options,
        },
      },
      destinations: { here: { type: 'local', path: './backups' } },
      jobs: { app: { datasources: ['db'], destinations: ['here'] } },
    });
  }
  beforeEach(async () => {
    await bench.sql(undefined, `DROP USER IF EXISTS ${READER}`);
    await bench.sql(undefined, `CREATE USER ${READER} IDENTIFIED BY 'read-1'`);
  });
  afterAll(async () => {
    for (const name of (await bench?.names()) ?? []) await bench.sql(undefined, `DROP DATABASE \`${name}\``);
    await bench?.sql(undefined, `DROP USER IF EXISTS ${READER}`);
    await bench?.remove();
    place?.remove();
  });

  const grant = (text: string) => bench.sql(undefined, `GRANT ${text} TO ${READER}`);
  /** The status of the backup that was made last, and what the program said. */
  async function backup(): Promise<{ code: number; said: string; status: string; id: string }> {
    const { code, stderr, stdout } = await place.run('backup', 'app');
    const listed = await place.run('list', 'app', '--json');
    const { backups } = parseDocument('list', listed.stdout) as unknown as {
      backups: { status: string; id: string }[];
    };
    return { code, said: stderr + stdout, status: backups[0]?.status ?? 'none', id: backups[0]?.id ?? '' };
  }

  it('routines of others: the backup is partial, and says which GRANT makes it whole', async () => {
    await grant('SELECT, SHOW VIEW, TRIGGER, EVENT ON `dgv\\_app`.*');
    const partial = await backup();
    expect(partial.status, partial.said).toBe('partial');
    const statement = /GRANT [^\n]*(?:SHOW_ROUTINE ON \*\.\*|SELECT ON mysql\.proc) TO '\w+'@'%'/.exec(
      partial.said,
    )?.[0];
    expect(statement, partial.said).toBeDefined();
    const { findings } = await doctor(place, 'db');
    expect(findings.map(({ fix }) => fix?.lines[0])).toContain(statement);
    await bench.sql(undefined, statement!);
    const whole = await backup();
    expect(whole).toMatchObject({ code: 0, status: 'completed' });
    expect((await place.run('cat', whole.id, 'database.sql')).stdout).toMatch(/PROCEDURE `theirs`/);
  });

  it('hidden_routines: ignore says that they are not wanted: the backup is good, and doctor content', async () => {
    await grant('SELECT, SHOW VIEW, TRIGGER, EVENT ON `dgv\\_app`.*');
    const about = ({ message }: { message: string }) => /procedures and functions of others/.test(message);
    configure({});
    expect((await doctor(place, 'db')).findings.some(about)).toBe(true);
    configure({ hidden_routines: 'ignore' });
    const good = await backup();
    expect(good).toMatchObject({ code: 0, status: 'completed' });
    expect(good.said).not.toMatch(/routine|function/);
    expect((await doctor(place, 'db')).findings.some(about)).toBe(false);
    configure({});
    expect((await backup()).status).toBe('partial');
  });

  it('a routine that is listed, but may not be read, fails the backup, and doctor says so before', async () => {
    await grant('SELECT, SHOW VIEW, TRIGGER, EVENT, EXECUTE ON `dgv\\_app`.*');
    const { findings } = await doctor(place, 'db');
    expect(findings).toContainEqual(
      expect.objectContaining({ severity: 'problem', message: expect.stringContaining('theirs') }),
    );
    const failed = await backup();
    expect(failed.code, failed.said).toBe(1);
    expect(failed.said).toMatch(/SHOW_ROUTINE|mysql\.proc/);
  });

  it('of several patterns only the most specific counts, with the server and with us', async () => {
    await grant('ALL PRIVILEGES ON `dgv%`.*');
    await grant('SELECT ON `dgv\\_a%`.*');
    const refused = await backup();
    expect(refused.code, refused.said).toBe(1);
    expect(refused.said).toMatch(/lacks SHOW VIEW, TRIGGER, EVENT/);
    const statement = /GRANT [^\n]* ON `[^`]+`\.\* TO '\w+'@'%'/.exec(refused.said)?.[0];
    await bench.sql(undefined, statement!);
    expect((await backup()).status).toBe('partial');
  });
});

it('the pattern whose first wildcard comes last is the most specific', () => {
  expect(mostSpecific(['*', 'ap%', 'app_x', 'app\\_%'], 'app_x')).toBe('app\\_%');
  expect(mostSpecific(['app_x', 'app\\_x'], 'app_x')).toBe('app\\_x');
  expect(mostSpecific(['%', 'other'], 'app')).toBe('%');
  expect(mostSpecific(['*', 'other', 'app_'], 'app')).toBeUndefined();
});
