import { DguardError } from '../../../errors.ts';
import { occupiedDatabase } from '../../occupied.ts';
import { recordedTables } from '../../recorded-tables.ts';
import { targetSource as sourceOf } from '../../target-source.ts';
import type { BackupContent, EngineSource, RestoreRequest, TableFact } from '../../types.ts';
import { warnOfUnmet } from '../../unmet.ts';
import { type SourceFacts, sourceFacts } from '../facts.ts';
import type { MysqlOptions } from '../options.ts';
import { tableMatcher } from '../select.ts';
import { isEmptySchema, readSchema, type SchemaFacts } from '../server/catalog.ts';
import { onlyDatabase, type Server } from '../server/server.ts';
import { readServer, type ServerInfo, storedName } from '../server/server-info.ts';
import type { Session } from '../server/session.ts';
import type { Tools } from '../server/tools.ts';
import { findScript, type Script } from './content.ts';
import type { Mark } from './marks.ts';
import { refuseBadFit, refuseReferences } from './preflight.ts';

type Request = RestoreRequest<MysqlOptions>;

/** A restore that was found possible. */
export interface Work {
  readonly content: BackupContent;
  readonly request: Request;
  readonly server: Server;
  readonly session: Session;
  readonly target: string;
  readonly script: Script;
  readonly facts: SourceFacts;
  /** All tables that the backup recorded. */
  readonly recorded: readonly TableFact[];
  /** Those that are to be restored. */
  readonly tables: readonly TableFact[];
  readonly info: ServerInfo;
  readonly tools: Tools;
  /** Of the target; undefined: there is none of that name. */
  readonly existing?: SchemaFacts;
  /** Tables take the place of their counterparts, everything else stays. */
  readonly merge: boolean;
}

/** The source of a target, with the signal, temporary folder and warnings of this call. */
export function targetSource(
  request: Parameters<typeof sourceOf<MysqlOptions>>[0],
): EngineSource<MysqlOptions> {
  return sourceOf(request, 'a MySQL backup', 'take the dump itself out: dguard cat ID database.sql');
}

/** Looks at backup, server and target, and refuses what cannot or must not be done. Changes nothing. */
export async function prepare(
  content: BackupContent,
  request: Request,
  server: Server,
  session: Session,
): Promise<Work> {
  const info = await readServer(session);
  const named = request.toDatabase ?? content.database ?? onlyDatabase(server);
  const target = storedName(named, info.lowerCaseTableNames);
  const script = await findScript(content);
  const facts = sourceFacts(content.facts.engine);
  const tools = await server.tools(info);
  const recorded = await recordedTables(content);
  const chosen = tableMatcher(request.only, facts.schema);
  const tables = request.only.length === 0 ? recorded : recorded.filter(({ name }) => chosen(name));
  if (request.only.length > 0 && tables.length === 0) {
    throw new DguardError('nothing_there', `the backup has no table ${request.only.join(', ')}`, {
      operation: 'restore',
      subject: target,
      hint: `it has: ${recorded
        .slice(0, 20)
        .map(({ name }) => name)
        .join(', ')}`,
    });
  }
  const isMet = (pattern: string) => {
    const matches = tableMatcher([pattern], facts.schema);
    return recorded.some(({ name }) => matches(name));
  };
  warnOfUnmet(request.only, isMet, request.warn);
  refuseBadFit(facts, info, target, tables, request.warn);
  const existing = request.scratch ? undefined : await readSchema(session, target);
  const empty = existing === undefined || (await isEmptySchema(session, target));
  if (!empty && !request.overwrite) {
    throw occupiedDatabase(target, !content.whole || request.only.length > 0);
  }
  const merge = !empty && (!content.whole || request.only.length > 0);
  if (!empty) {
    await refuseReferences(
      session,
      target,
      merge && !request.deleteExtra ? storedNames(tables, info) : undefined,
    );
  }
  const work = {
    content,
    request,
    server,
    session,
    target,
    script,
    facts,
    recorded,
    tables,
    info,
    tools,
    merge,
  };
  return existing === undefined ? work : { ...work, existing };
}

/** What tables of a backup are called at the target. */
export function storedNames(tables: readonly TableFact[], { lowerCaseTableNames }: ServerInfo): string[] {
  return tables.map(({ name }) => storedName(name, lowerCaseTableNames));
}

export function markOf<Role extends 'new' | 'scratch'>(
  { request, target }: Work,
  role: Role,
): Mark & { readonly role: Role } {
  return { role, target, backupId: request.backupId, createdAt: request.now().toISOString() };
}
