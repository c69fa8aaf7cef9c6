import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';
import { afterAll, beforeAll, describe } from 'vitest';
import { externalPostgres, type PostgresServer, postgresPrograms, startPostgres } from './postgres.mjs';
import type { Server } from './server.d.mts';

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
  options: { settings?: Record<string, string>; env?: Record<string, string> } = {},
): void {
  const needed = {
    name: `PostgreSQL ${major}`,
    isThere: postgresPrograms(major) !== undefined,
    start: () => startPostgres(major, options),
  };
  describeWithServers(`${name} [${needed.name}]`, [needed], ([server]) => suite(server!));
}

/** A server that a suite needs: what it is called where it cannot be had, and how it is started. */
export interface NeededServer<Running extends Server> {
  readonly name: string;
  readonly isThere: boolean;
  start(): Promise<Running>;
}

/** A suite against servers started for it. Where one cannot be had it is skipped by name. */
export function describeWithServers<Running extends Server>(
  name: string,
  needed: readonly NeededServer<Running>[],
  suite: (servers: (() => Running)[]) => void,
): void {
  const servers: Running[] = [];
  const handles = needed.map((_, at) => () => {
    const server = servers[at];
    if (!server) throw new Error('the server is started before the first test, not before');
    return server;
  });
  const missing = needed.filter(({ isThere }) => !isThere).map((one) => one.name);
  if (missing.length > 0) {
    describe.skip(`${name} [needs ${missing.join(', ')}: npm run services]`, () => suite(handles));
    return;
  }
  describe(name, () => {
    beforeAll(async () => {
      for (const one of needed) servers.push(await one.start());
    });
    afterAll(async () => {
      for (const server of servers) await server.stop();
    });
    suite(handles);
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
