import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe } from 'vitest';
import { externalPostgres, type PostgresServer, postgresPrograms, startPostgres } from './postgres.mjs';

/**
 * A suite that needs commands of the machine. Where one is missing, its tests are skipped, and their names carry the
 * reason into the summary of the run.
 */
export function describeWithCommands(commands: string[], name: string, suite: () => void): void {
  const missing = missingCommands(commands);
  if (missing.length === 0) describe(name, suite);
  else describe.skip(`${name} [needs ${missing.join(', ')}: npm run services]`, suite);
}

/** The majors that the suites run against; DGUARD_TEST_POSTGRES_URL names a server to run against instead. */
export const POSTGRES_MAJORS = [15, 17, 18] as const;
export type PostgresMajor = (typeof POSTGRES_MAJORS)[number];

/** A suite against each of the servers, or against the one that the environment names. */
export function describeWithEachPostgres(name: string, suite: (server: () => PostgresServer) => void): void {
  const external = externalPostgres();
  if (external) describe(`${name} [${external.label}]`, () => suite(() => external));
  else for (const major of POSTGRES_MAJORS) describeWithPostgres(major, name, suite);
}

/** A suite against a server of one major, started for it. Without that server it is skipped by name. */
export function describeWithPostgres(
  major: PostgresMajor,
  name: string,
  suite: (server: () => PostgresServer) => void,
  options: { settings?: Record<string, string> } = {},
): void {
  let server: PostgresServer | undefined;
  const started = () => {
    if (!server) throw new Error('the server is started before the first test, not before');
    return server;
  };
  const title = `${name} [PostgreSQL ${major}]`;
  if (postgresPrograms(major) === undefined) {
    describe.skip(`${title} [needs PostgreSQL ${major}: npm run services]`, () => suite(started));
    return;
  }
  describe(title, () => {
    beforeAll(async () => {
      server = await startPostgres(major, options);
    });
    afterAll(async () => {
      await server?.stop();
    });
    suite(started);
  });
}

/** Those of the commands that are not in PATH. */
export function missingCommands(commands: readonly string[]): string[] {
  const folders = (process.env['PATH'] ?? '').split(delimiter).filter((folder) => folder !== '');
  return commands.filter((command) => !folders.some((folder) => isExecutable(join(folder, command))));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
