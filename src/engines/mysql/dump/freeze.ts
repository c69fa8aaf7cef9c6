import type { Server } from '../server/server.ts';
import type { ServerInfo } from '../server/server-info.ts';
import { compareVersions } from '../server/tools.ts';

/** Commits stand still until `release`. */
export interface Freeze {
  /** False where the lock was lost before: somebody ended its session. May be called again. */
  release(): Promise<boolean>;
}

/** How long commits of others may be held up by waiting for the lock. */
const LOCK_WAIT_S = 5;

/**
 * Holds up commits and changes of definitions for a moment, so that several sessions begin at the same state.
 * Undefined where the account may not, or somebody holds a lock for long.
 *
 * MariaDB: https://mariadb.com/kb/en/backup-stage; MySQL: FLUSH TABLES WITH READ LOCK, as its own tools do.
 */
export async function freezeServer(server: Server, info: ServerInfo): Promise<Freeze | undefined> {
  const staged = info.flavour === 'mariadb' && compareVersions(info.version, '10.4.1') >= 0;
  const [lock, unlock] = staged
    ? [['BACKUP STAGE START', 'BACKUP STAGE BLOCK_COMMIT'], 'BACKUP STAGE END']
    : [['FLUSH TABLES WITH READ LOCK'], 'UNLOCK TABLES'];
  const session = await server.open();
  try {
    await session.run(`SET SESSION lock_wait_timeout = ${LOCK_WAIT_S}`);
    for (const statement of lock) await session.run(statement);
  } catch {
    await session.close();
    return undefined;
  }
  let released: Promise<boolean> | undefined;
  const release = async () => {
    const held = await session.run(unlock).then(
      () => true,
      () => false,
    );
    await session.close();
    return held;
  };
  return {
    release() {
      released ??= release();
      return released;
    },
  };
}
