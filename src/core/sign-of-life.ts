import { randomBytes } from 'node:crypto';
import { statfs, unlink } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { errnoOf } from '../errors.ts';

/** The path of a socket has this many bytes at most (`sun_path` of Linux); a longer one may be cut in silence. */
const MAX_PATH_BYTES = 107;
const NAME = /^alive-[0-9a-f]{16}$/;
/**
 * File systems on which all of one kernel meet at a socket (statfs(2)): ext4, XFS, Btrfs, tmpfs, overlay, ZFS, F2FS. On one
 * of a network two mounts may be two places.
 */
const LOCAL_TYPES = new Set([0xef53, 0x58465342, 0x9123683e, 0x01021994, 0x794c7630, 0x2fc12fc1, 0xf2f52010]);

/**
 * A socket in `folder` that this process listens at. Its kernel takes it away with the process, so that others of the same
 * kernel can tell whether it lives, also out of containers from which its number is not seen. The name is to be told to
 * them; empty where there is none (a path too long, a file system without sockets).
 */
export async function showLife(folder: string): Promise<{ readonly name: string; end(): Promise<void> }> {
  const name = `alive-${randomBytes(8).toString('hex')}`;
  const path = join(folder, name);
  const none = { name: '', end: async () => undefined };
  if (!(await canHold(folder, path))) return none;
  const server = createServer((asks) => asks.destroy()).unref();
  try {
    await new Promise<void>((done, fail) => server.once('error', fail).listen(path, done));
  } catch {
    return none;
  }
  server.on('error', () => undefined);
  return { name, end: () => new Promise((done) => server.close(() => done())) };
}

/** Whether a process of this kernel that showed `name` in `folder` lives. */
export async function askLife(folder: string, name: string): Promise<'alive' | 'dead' | 'unknown'> {
  const path = join(folder, name);
  if (!NAME.test(name) || !(await canHold(folder, path))) return 'unknown';
  return new Promise((done) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      done('alive');
    });
    socket.once('error', (error) => done(errnoOf(error) === 'ECONNREFUSED' ? 'dead' : 'unknown'));
  });
}

/** Removes what a dead process showed. */
export async function removeLife(folder: string, name: string): Promise<void> {
  if (NAME.test(name)) await unlink(join(folder, name)).catch(() => undefined);
}

async function canHold(folder: string, path: string): Promise<boolean> {
  if (process.platform !== 'linux' || Buffer.byteLength(path) > MAX_PATH_BYTES) return false;
  const type = await statfs(folder).then(
    (facts) => facts.type >>> 0,
    () => 0,
  );
  return LOCAL_TYPES.has(type);
}
