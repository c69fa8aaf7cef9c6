import type { Server } from './connection.ts';

/** As `connectionStatus` with `showPrivileges` lists them. */
export interface Privilege {
  readonly resource: {
    readonly db?: string;
    readonly collection?: string;
    readonly cluster?: boolean;
    readonly anyResource?: boolean;
  };
  readonly actions: readonly string[];
}

/** https://www.mongodb.com/docs/manual/reference/privilege-actions/ */
export const TO_DUMP: readonly string[] = ['find', 'listCollections', 'listIndexes', 'collStats'];
export const TO_RESTORE: readonly string[] = [
  ...TO_DUMP,
  'insert',
  'update',
  'remove',
  'createCollection',
  'createIndex',
  'dropCollection',
  'renameCollectionSameDB',
  'bypassDocumentValidation',
];
export const TO_SCRATCH: readonly string[] = ['insert', 'createCollection', 'createIndex', 'dropDatabase'];

/** The user's name, and privileges; undefined where the server does not say, or asks for no login. */
export async function readPrivileges(
  server: Server,
): Promise<{ user: string; privileges: readonly Privilege[] } | undefined> {
  const { authInfo } = (await server.client
    .db('admin')
    .command({ connectionStatus: 1, showPrivileges: true })) as {
    authInfo?: {
      authenticatedUsers?: { user: string; db: string }[];
      authenticatedUserPrivileges?: Privilege[];
    };
  };
  const [user] = authInfo?.authenticatedUsers ?? [];
  const privileges = authInfo?.authenticatedUserPrivileges;
  return user === undefined || privileges === undefined ? undefined : { user: user.user, privileges };
}

/** Those of the actions that the user may not do on all ordinary collections of a database. */
export function missingActions(
  privileges: readonly Privilege[],
  database: string,
  actions: readonly string[],
): string[] {
  const here = privileges.filter(
    ({ resource: { anyResource, cluster, db, collection } }) =>
      anyResource === true || (cluster !== true && (db === '' || db === database) && collection === ''),
  );
  return actions.filter((action) => !here.some((privilege) => privilege.actions.includes(action)));
}
