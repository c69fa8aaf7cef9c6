import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Outcome, runDguard } from '../../cli/support.ts';
import { describeWithPostgres } from '../../services/needs.ts';
import { type Bench, makeBench } from './support.ts';

describeWithPostgres(15, 'postgres: a role that may not create databases', (server) => {
  let bench: Bench;
  let folder: string;
  const run = (...args: string[]): Promise<Outcome> => runDguard(args, { cwd: folder });
  const names = async () =>
    (await bench.sql('owned', 'SELECT name FROM people ORDER BY name')).map(({ name }) => name);

  beforeAll(async () => {
    bench = await makeBench(server());
    folder = mkdtempSync(join(tmpdir(), 'dguard-pg-safety-'));
    await bench.sql('postgres', "CREATE ROLE tenant LOGIN PASSWORD 'pass of tenant'");
    await bench.database('owned', 'CREATE TABLE people (name text PRIMARY KEY)');
    await bench.sql(
      'owned',
      "INSERT INTO people VALUES ('ada'), ('grace'); ALTER TABLE people OWNER TO tenant",
    );
    await bench.sql('postgres', 'ALTER DATABASE owned OWNER TO tenant');
    const { host, port, bin } = server();
    writeFileSync(join(folder, 'password'), 'pass of tenant\n', { mode: 0o600 });
    writeFileSync(
      join(folder, 'backup.yaml'),
      `version: 1
defaults: { temp_dir: ${folder}/temp }
datasources:
  owned: { type: postgres, host: ${host}, port: ${port}, client_path: ['${bin}'], username: tenant, password_file: ${folder}/password, database: owned }
destinations:
  nas: { type: local, path: ${folder}/nas }
jobs:
  owned: { datasources: [owned], destinations: [nas] }
`,
      { mode: 0o600 },
    );
    const backup = await run('backup', 'owned');
    expect(backup, backup.stderr).toMatchObject({ code: 0 });
    await bench.sql('owned', "DELETE FROM people; INSERT INTO people VALUES ('linus')");
  });
  afterAll(async () => {
    await bench?.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  it('says on a dry run that a safety backup comes first, and takes none', async () => {
    const plan = await run('restore', 'owned', '--overwrite', '--dry-run');
    expect(plan, plan.stderr).toMatchObject({ code: 0 });
    expect(plan.stdout).toContain('take a safety backup of owned');
    expect(await names()).toEqual(['linus']);
    expect(JSON.parse((await run('list', '--json')).stdout).backups).toHaveLength(1);
  });

  it('leaves the database alone where the safety backup fails', async () => {
    await bench.sql('owned', 'CREATE TABLE closed (n int); REVOKE ALL ON closed FROM PUBLIC');
    const refused = await run('restore', 'owned', '--overwrite');
    expect(refused.code, refused.stdout).not.toBe(0);
    expect(refused.stderr).toContain('no safety backup of it could be taken');
    expect(refused.stderr).toContain('--no-safety');
    expect(await names()).toEqual(['linus']);
    await bench.sql('owned', 'DROP TABLE closed');
  });

  it('replaces inside the database, and the safety backup takes it back', async () => {
    const restored = await run('restore', 'owned', '--overwrite', '--json');
    expect(restored, restored.stderr).toMatchObject({ code: 0 });
    expect(await names()).toEqual(['ada', 'grace']);
    const { safety } = JSON.parse(restored.stdout).restored[0];
    const { backups } = JSON.parse((await run('list', '--json')).stdout);
    const taken = backups.find(({ id }: { id: string }) => id === safety);
    expect(taken).toMatchObject({ type: 'snapshot', tags: ['safety'] });
    expect(Date.parse(taken.expires) - Date.parse(taken.finished_at)).toBe(7 * 24 * 3600 * 1000);
    // The newest backup of the job is still the one it made itself.
    expect((await run('restore', 'owned', '--overwrite', '--dry-run', '--json')).stdout).not.toContain(
      safety,
    );
    const back = await run('restore', safety, '--overwrite');
    expect(back, back.stderr).toMatchObject({ code: 0 });
    expect(await names()).toEqual(['linus']);
  });

  it('the safety backup has what is replaced, whatever the job leaves out and writes by now', async () => {
    await bench.sql('owned', 'CREATE TABLE other (n int); ALTER TABLE other OWNER TO tenant');
    const config = join(folder, 'backup.yaml');
    const before = readFileSync(config, 'utf8');
    writeFileSync(
      config,
      before.replace('[nas] }', '[nas], options: { exclude_tables: [people], format: jsonl } }'),
    );
    const restored = await run('restore', 'owned', '--overwrite', '--json');
    expect(restored, restored.stderr).toMatchObject({ code: 0 });
    expect(await names()).toEqual(['ada', 'grace']);
    const back = await run('restore', JSON.parse(restored.stdout).restored[0].safety, '--overwrite');
    expect(back, back.stderr).toMatchObject({ code: 0 });
    writeFileSync(config, before);
    await bench.sql('owned', 'DROP TABLE other');
    expect(await names()).toEqual(['linus']);
  });

  it('--no-safety replaces without one', async () => {
    const before = JSON.parse((await run('list', '--json')).stdout).backups.length;
    const restored = await run('restore', 'owned', '--overwrite', '--no-safety');
    expect(restored, restored.stderr).toMatchObject({ code: 0 });
    expect(await names()).toEqual(['ada', 'grace']);
    expect(JSON.parse((await run('list', '--json')).stdout).backups).toHaveLength(before);
  });

  it('a load that fails leaves all as it was', async () => {
    await bench.sql('owned', "DELETE FROM people; INSERT INTO people VALUES ('linus')");
    // Something of another role hangs on what would be replaced.
    await bench.sql('owned', 'CREATE VIEW watchers AS SELECT name FROM people');
    const failed = await run('restore', 'owned', '--overwrite', '--no-safety');
    expect(failed.code).not.toBe(0);
    expect(await names()).toEqual(['linus']);
    await bench.sql('owned', 'DROP VIEW watchers');
  });
});
