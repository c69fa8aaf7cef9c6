import { readdirSync, readFileSync } from 'node:fs';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { StreamMember } from '../../../src/engines/member.ts';
import { postgresEngine } from '../../../src/engines/postgres/engine.ts';
import type { PostgresServer } from '../../services/postgres.mjs';
import { type Bench, dumpRequest } from './support.ts';

/** A database with enough rows to be in the middle of. */
export const BIG = `CREATE TABLE big (id int PRIMARY KEY, filler text);
  INSERT INTO big SELECT g, repeat(md5(g::text), 10) FROM generate_series(1, 100000) g`;

/** Our child of this name. */
export function childPid(name: string): number {
  for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    try {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      if (new RegExp(`^Name:\\s+${name}$`, 'm').test(status) && status.includes(`PPid:\t${process.pid}\n`)) {
        return Number(pid);
      }
    } catch {
      // Gone meanwhile.
    }
  }
  throw new Error(`no child ${name}`);
}

/** A command that runs client tools as in a container: another environment, another PATH. */
export async function toolsElsewhere(
  bench: Bench,
  { password }: PostgresServer,
  bin: string,
): Promise<string> {
  const passfile = join(bench.folder, 'inside.pgpass');
  await writeFile(passfile, `*:*:*:*:${password.replace(/[\\:]/g, '\\$&')}\n`, { mode: 0o600 });
  const wrapper = join(bench.folder, 'wrapper');
  await writeFile(wrapper, `#!/bin/sh\nexec env -i PATH='${bin}' PGPASSFILE='${passfile}' "$@"\n`);
  await chmod(wrapper, 0o755);
  return wrapper;
}

/** Dumps `big`, and does something once its first bytes have come. */
export async function inTheMiddle(
  bench: Bench,
  action: () => unknown,
  signal: AbortSignal = new AbortController().signal,
): Promise<void> {
  const dump = await postgresEngine.dump({ ...bench.source('big'), signal }, dumpRequest());
  try {
    let acted = false;
    for await (const member of dump.members()) {
      for await (const _ of (member as StreamMember).open()) {
        if (acted) continue;
        acted = true;
        await action();
      }
    }
    await dump.facts();
  } finally {
    await dump.close();
  }
}
