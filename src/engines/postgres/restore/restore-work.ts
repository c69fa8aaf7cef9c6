import { DguardError } from '../../../errors.ts';
import { occupiedDatabase } from '../../occupied.ts';
import { recordedTables } from '../../recorded-tables.ts';
import { targetSource as sourceOf } from '../../target-source.ts';
import type { BackupContent, EngineSource, RestoreRequest, TableFact } from '../../types.ts';
import { type Archive, findArchive } from '../dump/content.ts';
import { readVersion, type ServerVersion, type SourceFacts, sourceFacts } from '../dump/source-facts.ts';
import type { PostgresOptions } from '../options.ts';
import { isEmptyDatabase } from '../server/catalog.ts';
import { type DatabaseFacts, readDatabase } from '../server/database.ts';
import type { Server } from '../server/server.ts';
import type { Session } from '../server/session.ts';
import type { Tools } from '../server/tools.ts';
import type { Fit, Powers } from './preflight.ts';
import {
  fitToServer,
  readPowers,
  refuseBusy,
  refuseOwned,
  refuseReplicated,
  restoreTools,
} from './preflight.ts';
import { createRoles, type NewRoles } from './roles.ts';

type Request = RestoreRequest<PostgresOptions>;

/** A restore that was found possible. */
export interface Work {
  readonly content: BackupContent;
  readonly request: Request;
  readonly server: Server;
  readonly admin: Session;
  readonly target: string;
  readonly archive: Archive;
  readonly facts: SourceFacts;
  readonly recorded: readonly TableFact[];
  readonly version: ServerVersion;
  readonly tools: Tools;
  readonly powers: Powers;
  readonly fit: Fit;
  /** Chosen tables, or a backup of a part: their rows go beside what else is there. */
  readonly merge: boolean;
  /** What the target holds is replaced inside it: no other database can be made. */
  readonly replaces: boolean;
  /** What has the target's name now. */
  readonly existing?: DatabaseFacts;
}

/** The source of a target, with the signal, temporary folder and warnings of this call. */
export function targetSource(
  request: Parameters<typeof sourceOf<PostgresOptions>>[0],
): EngineSource<PostgresOptions> {
  return sourceOf(request, 'a PostgreSQL backup', 'take the dump itself out: dguard cat ID database.dump');
}

/** Looks at backup, server and target, and refuses what cannot or must not be done. Changes nothing but roles, on request. */
export async function prepare(
  content: BackupContent,
  request: Request,
  server: Server,
  admin: Session,
  target: string,
  makingRoles: (roles: NewRoles | undefined) => void,
): Promise<Work> {
  const archive = await findArchive(content);
  const facts = sourceFacts(content.facts.engine);
  const recorded = await recordedTables(content);
  const version = await readVersion(admin);
  const tools = await restoreTools(server, version, facts);
  const powers = await readPowers(admin);
  const existing = request.scratch ? undefined : await readDatabase(admin, target);
  let way: Way | undefined;
  if (existing !== undefined) way = await refuseTarget(content, request, server, admin, target, powers);
  else if (!powers.createDatabases) {
    throw new DguardError('target_refused', `role ${powers.role} may not create databases`, {
      operation: 'restore',
      subject: target,
      hint: `as a superuser: ALTER ROLE "${powers.role}" CREATEDB; or create an empty database of that name for it`,
    });
  }
  const place = { existing, scratch: request.scratch };
  // The last that is looked at: everything else that could be refused was.
  const make = request.roles === true && !request.dryRun && !request.scratch;
  let fit = await fitToServer(admin, powers, facts, target, place);
  if (make && (await createRoles(content, facts, admin, makingRoles)))
    fit = await fitToServer(admin, powers, facts, target, place);
  for (const message of fit.warnings) request.warn({ message, subject: target, partial: false });
  const work = {
    content,
    request,
    server,
    admin,
    target,
    archive,
    facts,
    recorded,
    version,
    tools,
    powers,
    fit,
    merge: way === 'merge',
    replaces: way === 'replace',
  };
  return existing === undefined ? work : { ...work, existing };
}

/** How an existing database is restored: swapped, table by table, or (no other can be made) filled or replaced inside. */
type Way = 'swap' | 'merge' | 'fill' | 'replace';

/** An existing database is replaced only when asked to, as a whole by the whole of another, else table by table. */
async function refuseTarget(
  content: BackupContent,
  request: Request,
  server: Server,
  admin: Session,
  target: string,
  powers: Powers,
): Promise<Way> {
  const refuse = (why: string, hint: string) =>
    new DguardError('target_refused', why, { operation: 'restore', subject: target, hint });
  const session = await server.open(target);
  let empty: boolean;
  try {
    empty = await isEmptyDatabase(session);
  } finally {
    await session.close();
  }
  if (!empty && !request.overwrite) {
    throw occupiedDatabase(target, !content.whole || request.only.length > 0);
  }
  const merge = !empty && (!content.whole || request.only.length > 0);
  if (merge && request.deleteExtra) {
    throw refuse(
      'tables that the backup does not hold are not removed from a database that keeps others',
      'drop them by hand, or leave --delete-extra out',
    );
  }
  if (!powers.createDatabases) {
    if (!merge) return empty ? 'fill' : 'replace';
    throw refuse(
      `role ${powers.role} may not create databases, so nothing could be put beside this one`,
      `as a superuser: ALTER ROLE "${powers.role}" CREATEDB; or restore into an empty database`,
    );
  }
  if (merge) return 'merge';
  await refuseOwned(admin, powers, target);
  await refuseReplicated(admin, target);
  await refuseBusy(admin, target);
  return 'swap';
}
