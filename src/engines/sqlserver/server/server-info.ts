import { DguardError } from '../../../errors.ts';
import type { Session } from './session.ts';
import { literal } from './sql.ts';

/** What a server says of itself. */
export interface ServerInfo {
  /** `16.0.4125.3` */
  readonly version: string;
  readonly major: number;
  readonly edition: string;
  /** Azure SQL Database: no backup of one's own, no renames across, no shared folder. */
  readonly isAzure: boolean;
  /** Managed instances back up to URLs only. */
  readonly isManaged: boolean;
  /** Express cannot compress a backup, but restores a compressed one. */
  readonly compresses: boolean;
  readonly name: string;
  readonly login: string;
  /** Its default folders; undefined where it does not say. */
  readonly dataPath?: string;
  readonly logPath?: string;
}

/** https://learn.microsoft.com/sql/t-sql/functions/serverproperty-transact-sql */
export async function readServer(session: Session): Promise<ServerInfo> {
  const property = (name: string) => `CONVERT(nvarchar(400), SERVERPROPERTY('${name}'))`;
  const [row] = await session.rows<Record<string, string | number | null>>(
    `SELECT ${property('ProductVersion')} AS version, ${property('Edition')} AS edition,
      CONVERT(int, SERVERPROPERTY('EngineEdition')) AS engine, ${property('ServerName')} AS name,
      ${property('InstanceDefaultDataPath')} AS data, ${property('InstanceDefaultLogPath')} AS logs,
      CONVERT(nvarchar(256), ORIGINAL_LOGIN()) AS login`,
  );
  return describeServer(row ?? {});
}

/** EngineEdition: 4 is Express, 5 Azure SQL Database, 8 a managed instance. */
export function describeServer(row: Readonly<Record<string, string | number | null>>): ServerInfo {
  const version = String(row['version'] ?? '');
  const major = Number.parseInt(version, 10);
  if (!Number.isInteger(major)) {
    throw new DguardError('source_failed', `the server does not say what version it is (${version})`, {
      operation: 'connect',
    });
  }
  const engine = Number(row['engine']);
  const { data, logs } = row;
  return {
    version,
    major,
    edition: String(row['edition'] ?? ''),
    isAzure: engine === 5,
    isManaged: engine === 8,
    compresses: engine !== 4,
    name: String(row['name'] ?? ''),
    login: String(row['login'] ?? ''),
    ...(typeof data === 'string' && data !== '' ? { dataPath: data } : {}),
    ...(typeof logs === 'string' && logs !== '' ? { logPath: logs } : {}),
  };
}

export interface DatabaseInfo {
  readonly name: string;
  readonly state: string;
  readonly owner: string | null;
  readonly collation: string | null;
  readonly compatibility: number;
  readonly recovery: string;
  readonly snapshotIsolation: boolean;
  readonly readOnly: boolean;
  readonly trustworthy: boolean;
  readonly brokerEnabled: boolean;
  /** It is replicated, mirrored, in an availability group, or encrypted by the server. */
  readonly bound: readonly string[];
  /** Never changes as long as the database lives, whatever it is called. */
  readonly guid: string | null;
}

/** A database of this server, or undefined when there is none of that name (or the login may not know). */
export async function readDatabase(session: Session, name: string): Promise<DatabaseInfo | undefined> {
  const [row] = await session.rows<Record<string, string | number | boolean | null>>(
    `SELECT d.name, d.state_desc AS state, SUSER_SNAME(d.owner_sid) AS owner, d.collation_name AS collation,
      CONVERT(int, d.compatibility_level) AS compatibility, d.recovery_model_desc AS recovery,
      CONVERT(int, d.snapshot_isolation_state) AS snap, d.is_read_only, d.is_trustworthy_on, d.is_broker_enabled,
      d.is_published, d.is_subscribed, d.is_merge_published, d.is_distributor, d.is_cdc_enabled, d.is_encrypted,
      CASE WHEN d.replica_id IS NULL THEN 0 ELSE 1 END AS in_group,
      CASE WHEN m.mirroring_guid IS NULL THEN 0 ELSE 1 END AS mirrored,
      CONVERT(nvarchar(36), r.database_guid) AS guid
    FROM sys.databases d LEFT JOIN sys.database_mirroring m ON m.database_id = d.database_id
      LEFT JOIN sys.database_recovery_status r ON r.database_id = d.database_id
    WHERE d.name = ${literal(name)}`,
  );
  if (row === undefined) return undefined;
  const is = (field: string) => row[field] === true || row[field] === 1;
  const bonds: Record<string, string> = {
    is_published: 'published for replication',
    is_subscribed: 'a subscriber',
    is_merge_published: 'published for merge replication',
    is_distributor: 'a distributor',
    in_group: 'in an availability group',
    mirrored: 'mirrored',
  };
  return {
    name: String(row['name']),
    state: String(row['state']),
    owner: row['owner'] === null ? null : String(row['owner']),
    collation: row['collation'] === null ? null : String(row['collation']),
    compatibility: Number(row['compatibility']),
    recovery: String(row['recovery']),
    snapshotIsolation: Number(row['snap']) === 1,
    readOnly: is('is_read_only'),
    trustworthy: is('is_trustworthy_on'),
    brokerEnabled: is('is_broker_enabled'),
    bound: Object.entries(bonds).flatMap(([field, words]) => (is(field) ? [words] : [])),
    guid: row['guid'] === null || row['guid'] === undefined ? null : String(row['guid']),
  };
}

/** Databases of the server's own. */
export const SYSTEM_DATABASES: readonly string[] = [
  'master',
  'tempdb',
  'model',
  'msdb',
  'rdsadmin',
  'distribution',
];
