import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { runDguard } from '../../cli/support.ts';
import { describeWithPostgres } from '../../services/needs.ts';
import { type PostgresServer, postgresPrograms } from '../../services/postgres.mjs';
import { watchStore } from '../support-failed.ts';
import { type Bench, makeBench } from './support.ts';
import { toolsElsewhere } from './support-dump.ts';

describeWithPostgres(18, 'postgres: runs with client tools that are too old', (server) => {
  it.skipIf(postgresPrograms(15) === undefined)('exit 7, with the package to install', () =>
    runsWith(
      server(),
      () => Promise.resolve({ client_path: postgresPrograms(15)! }),
      'postgresql-client-18',
      {
        PATH: '/nonexistent',
      },
    ),
  );
});

describeWithPostgres(15, 'postgres: runs with client tools that are too new', (server) => {
  it.skipIf(postgresPrograms(18) === undefined)('exit 7, with the package to install', () =>
    runsWith(
      server(),
      // The only tools that there are: where client_command runs them.
      async (bench) => ({ client_command: [await toolsElsewhere(bench, server(), postgresPrograms(18)!)] }),
      'postgresql-client-15',
    ),
  );
});

/** A backup with the server's own tools, then one with others: it fails, is recorded, and changes nothing. */
async function runsWith(
  server: PostgresServer,
  others: (bench: Bench) => Promise<object>,
  hint: string,
  env: Record<string, string> = {},
): Promise<void> {
  const bench = await makeBench(server);
  const place = (name: string) => join(bench.folder, name);
  try {
    await bench.database('app', 'CREATE TABLE t AS SELECT 1 AS n');
    for (const name of ['store', 'elsewhere']) mkdirSync(place(name), { mode: 0o700 });
    const { host, port, user: username, password, bin } = server;
    writeFileSync(place('password'), password, { mode: 0o600 });
    const app = { type: 'postgres', host, port, username, password_file: place('password'), database: 'app' };
    const configure = (more: object) => {
      const config = {
        version: 1,
        defaults: { temp_dir: place('elsewhere') },
        datasources: { app: { ...app, ...more } },
        destinations: { store: { type: 'local', path: place('store') } },
        jobs: { job: { datasources: ['app'], destinations: ['store'] } },
      };
      writeFileSync(place('backup.yaml'), JSON.stringify(config), { mode: 0o600 });
    };
    configure(bin === undefined ? {} : { client_path: bin });
    expect(await runDguard(['backup', 'job'], { cwd: bench.folder })).toMatchObject({ code: 0 });
    configure(await others(bench));
    const store = watchStore(place('store'), place('elsewhere'));
    const outcome = await runDguard(['backup', 'job'], { cwd: bench.folder, env });
    expect(outcome.stderr).toContain(hint);
    store.expectFailed(outcome, {
      code: 7,
      says: /the server is PostgreSQL|what pg_dump 18/,
      secret: password,
    });
  } finally {
    await bench.remove();
  }
}
