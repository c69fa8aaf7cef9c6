import { createHash } from 'node:crypto';
import type { Flavour } from './connection.ts';
import type { Session } from './session.ts';

/** What a server says of itself. */
export interface ServerInfo {
  readonly flavour: Flavour;
  /** The numbers of its version: `10.11.18`. */
  readonly version: string;
  /** As it says it: `10.11.18-MariaDB-0+deb12u1`. */
  readonly versionText: string;
  /** What it is, whatever it is called. */
  readonly identity: string;
  /** 0: names of tables keep their case and differ by it. */
  readonly lowerCaseTableNames: number;
  readonly user: string;
  /** The largest statement that it takes of new connections. */
  readonly maxPacketBytes: number;
}

/** The name of a database as a server has it, which may keep small letters alone (lower_case_table_names = 1). */
export function storedName(name: string, folding: number): string {
  return folding === 1 ? name.toLowerCase() : name;
}

/**
 * MySQL has a server_uuid. MariaDB has none: the host's name, port and data folder stand for it.
 */
export async function readServer(session: Session): Promise<ServerInfo> {
  const [row] = await session.rows<Record<string, string>>(
    `SELECT VERSION() AS version, @@version_comment AS comment, @@hostname AS host, @@port AS port,
      @@datadir AS folder, @@lower_case_table_names AS folding, @@GLOBAL.max_allowed_packet AS packet, CURRENT_USER() AS user`,
  );
  const { version = '', comment = '', host, port, folder, folding, packet, user = '' } = row!;
  const flavour: Flavour = /mariadb/i.test(version) || /mariadb/i.test(comment) ? 'mariadb' : 'mysql';
  const uuid =
    flavour === 'mysql'
      ? (await session.rows<{ uuid: string }>('SELECT @@server_uuid AS uuid').catch(() => []))[0]?.uuid
      : undefined;
  const hash = () => createHash('sha256').update(`${host}\n${port}\n${folder}`).digest('hex').slice(0, 32);
  return {
    flavour,
    // Replication-safe servers say `5.5.5-10.11.18-MariaDB`.
    version: /(\d+\.\d+\.\d+)(?:-MariaDB)?/i.exec(version.replace(/^5\.5\.5-(?=1\d\.)/, ''))?.[1] ?? version,
    versionText: version,
    identity: uuid ?? `mariadb-${hash()}`,
    lowerCaseTableNames: Number(folding),
    user,
    maxPacketBytes: Number(packet),
  };
}
