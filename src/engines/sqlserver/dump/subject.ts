import type { Server } from '../server/server.ts';
import type { DatabaseInfo, ServerInfo } from '../server/server-info.ts';
import type { Session } from '../server/session.ts';
import type { SourceFacts } from './facts.ts';

/** A database about to be dumped. */
export interface Subject {
  readonly server: Server;
  readonly session: Session;
  readonly database: string;
  readonly info: ServerInfo;
  readonly facts: DatabaseInfo;
  /** For messages: `datasource/database`. */
  readonly subject: string;
}

export function identityOf({ info, database }: Pick<Subject, 'info' | 'database'>): string {
  return `sqlserver-${info.name}/${database}`;
}

export function factsOf({ info, database, facts }: Subject, kind: SourceFacts['kind']): SourceFacts {
  return {
    kind,
    database,
    server_version: info.version,
    server_major: info.major,
    collation: facts.collation,
    compatibility: facts.compatibility,
    owner: facts.owner,
  };
}
