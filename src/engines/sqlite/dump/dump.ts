import { chmod, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { throwIfAborted } from '../../../errors.ts';
import { shellWord } from '../../../shell-word.ts';
import type { Member, StreamMember } from '../../member.ts';
import type { Dump, DumpRequest, EngineSource, TableFact } from '../../types.ts';
import { listTables } from '../database/catalog.ts';
import type { Examined, Findings } from '../database/check.ts';
import { checkDatabase, examine, requireSound } from '../database/check.ts';
import { closeQuietly, openDatabase, sqliteError } from '../database/driver.ts';
import { dropTables } from '../database/filter.ts';
import { foreignKeyDoubts } from '../database/foreign-keys.ts';
import { exportMembers } from '../jsonl/export.ts';
import type { SqliteOptions } from '../options.ts';
import { DATABASE_MEMBER } from '../restore/stage.ts';
import type { TablePatterns, TableSelection } from '../select.ts';
import { selectTables } from '../select.ts';
import { proveBeside, type RunningProof } from './proof.ts';
import type { Snapshot } from './snapshot.ts';
import { takeSnapshot } from './snapshot.ts';

const READ_BYTES = 1024 * 1024;

/** Copies the database, proves the copy sound, and offers it as one file or as a JSONL member per table. */
export async function dumpDatabase(source: EngineSource<SqliteOptions>, request: DumpRequest): Promise<Dump> {
  const layers = patternLayers(source.options, request);
  const snapshot = await takeSnapshot(source, layers.length > 0 ? 2 : 1);
  try {
    const whole = request.format === 'native' && layers.length === 0;
    const proof = whole ? proveBeside(snapshot.copyPath, source.signal) : undefined;
    if (proof) return await dumpWhileProving(snapshot, proof, source);
    const selection = await proveCopy(snapshot, layers, source);
    const copyPath = await reduceCopy(snapshot, selection, source);
    const database = await openDatabase(copyPath, { readonly: false });
    let examined: Examined;
    try {
      database.pragma('query_only = ON');
      examined = examine(database);
    } catch (error) {
      closeQuietly(database);
      throw error;
    }
    // A native copy is read as a file: its handle has to be gone, and its empty journal with it.
    if (request.format === 'native') database.close();
    return {
      snapshotAt: snapshot.takenAt,
      identity: `${source.host.name}:${snapshot.sourcePath}`,
      ...(request.format === 'native' ? { expectedBytes: (await stat(copyPath)).size } : {}),
      ...(layers.length > 0 ? { patterns: joinPatterns(layers) } : {}),
      members: () =>
        request.format === 'native'
          ? fileMembers(copyPath, async () => examined.tables, source.signal)
          : exportMembers(database, examined.tables, source.signal),
      facts: async () => examined.facts,
      close: async () => {
        closeQuietly(database);
        await snapshot.remove();
      },
    };
  } catch (error) {
    await snapshot.remove();
    throw sqliteError(error, 'source_failed', 'dump database', source.options.file_path);
  }
}

/** The whole file: it is archived while it is checked. A check that fails, fails the backup after it. */
async function dumpWhileProving(
  snapshot: Snapshot,
  proof: RunningProof,
  source: EngineSource<SqliteOptions>,
): Promise<Dump> {
  const subject = source.options.file_path;
  let examined: Promise<Examined> | undefined;
  const proven = () => {
    examined ??= proof.result.then(
      (found) => {
        requireProven(found.findings, found.foreignKeyDoubts, snapshot, source);
        return found.examined!;
      },
      (error: unknown) => {
        throw sqliteError(error, 'source_failed', 'check database', subject);
      },
    );
    return examined;
  };
  return {
    snapshotAt: snapshot.takenAt,
    identity: `${source.host.name}:${snapshot.sourcePath}`,
    expectedBytes: (await stat(snapshot.copyPath)).size,
    members: () => fileMembers(snapshot.copyPath, async () => (await proven()).tables, source.signal),
    facts: async () => (await proven()).facts,
    close: async () => {
      proof.stop();
      await snapshot.remove();
    },
  };
}

/** The datasource's own patterns and the request's: a table has to pass both. */
function patternLayers(options: SqliteOptions, request: DumpRequest): TablePatterns[] {
  const own = { include: options.include_tables ?? [], exclude: options.exclude_tables ?? [] };
  return [own, request].filter((layer) => layer.include.length > 0 || layer.exclude.length > 0);
}

function joinPatterns(layers: readonly TablePatterns[]): TablePatterns {
  return {
    include: layers.flatMap((layer) => layer.include),
    exclude: layers.flatMap((layer) => layer.exclude),
  };
}

/** Checks the copy as it was taken, before anything is left out of it. */
async function proveCopy(
  snapshot: Snapshot,
  layers: readonly TablePatterns[],
  source: EngineSource<SqliteOptions>,
): Promise<TableSelection> {
  const subject = source.options.file_path;
  throwIfAborted(source.signal);
  const database = await openDatabase(snapshot.copyPath, { readonly: false });
  try {
    const findings = checkDatabase(database, 'quick_check');
    requireProven(findings, findings.damage.length > 0 ? [] : foreignKeyDoubts(database), snapshot, source);
    return selectTables(listTables(database), layers, subject, source.warn);
  } finally {
    closeQuietly(database);
  }
}

/** Throws for damage; what is merely doubtful becomes warnings. */
function requireProven(
  findings: Findings,
  keyDoubts: readonly string[],
  snapshot: Snapshot,
  source: EngineSource<SqliteOptions>,
): void {
  const subject = source.options.file_path;
  const hint = `what can be saved: sqlite3 ${shellWord(snapshot.sourcePath)} .recover; or restore the newest good backup`;
  requireSound(findings, 'source_failed', 'check database', subject, hint);
  for (const doubt of [...findings.doubts.slice(0, 20), ...keyDoubts.slice(0, 20)]) {
    source.warn({ message: doubt, subject, partial: false });
  }
}

async function reduceCopy(
  snapshot: Snapshot,
  selection: TableSelection,
  source: EngineSource<SqliteOptions>,
): Promise<string> {
  if (selection.dropped.length === 0) return snapshot.copyPath;
  const reduced = join(snapshot.folder, 'tables.db');
  await dropTables(snapshot.copyPath, reduced, selection.dropped, source.warn);
  await chmod(reduced, 0o600);
  return reduced;
}

async function* fileMembers(
  path: string,
  tables: () => Promise<readonly TableFact[]>,
  signal: AbortSignal,
): AsyncGenerator<Member> {
  const member: StreamMember = {
    kind: 'stream',
    path: DATABASE_MEMBER,
    media: 'application/vnd.sqlite3',
    format: 'sqlite3',
    open: () => readFileBytes(path, signal),
    tables,
  };
  yield member;
}

/** Each chunk is valid until the next is asked for: the one after it is read meanwhile, into the other buffer. */
async function* readFileBytes(path: string, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const file = await open(path, 'r');
  const buffers = [Buffer.allocUnsafeSlow(READ_BYTES), Buffer.allocUnsafeSlow(READ_BYTES)] as const;
  const read = (into: Buffer) => {
    const reading = file.read(into, 0, READ_BYTES, null);
    reading.catch(() => {});
    return reading;
  };
  let ahead = read(buffers[0]);
  try {
    for (let turn = 1; ; turn ^= 1) {
      throwIfAborted(signal);
      const { bytesRead, buffer } = await ahead;
      if (bytesRead === 0) return;
      ahead = read(buffers[turn]!);
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await ahead.catch(() => {});
    await file.close();
  }
}
