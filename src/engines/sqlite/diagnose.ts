import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fromText } from '../../archive/paths.ts';
import { freeBytesOf } from '../../folders.ts';
import type { DiagnoseRequest, Finding } from '../health.ts';
import type { EngineSource } from '../types.ts';
import { unfinishedSwaps } from '../undo/findings.ts';
import { isOnNetwork, locateSource, type SourceFile, sideFiles } from './database/locate.ts';
import type { SqliteOptions } from './options.ts';

const MIB = 1024 * 1024;
/** A log of changes that is larger than this, and than the database, is never checkpointed. */
const LARGE_WAL_BYTES = 256 * MIB;

/** What a backup of the file, and a restore in its place, would stumble over. */
export async function diagnoseFile(
  source: EngineSource<SqliteOptions>,
  { job }: DiagnoseRequest,
): Promise<readonly Finding[]> {
  const file = await locateSource(source.options.file_path);
  const findings: Finding[] = [];
  if (await isOnNetwork(file.path)) {
    findings.push({
      severity: 'warning',
      topic: 'consistency',
      subject: file.path,
      message:
        'it lies on a network file system, whose locks SQLite cannot rely on: run dguard where the file is',
    });
  }
  return [
    ...findings,
    ...(await sideFindings(file)),
    ...(await folderFindings(file)),
    ...unfinishedSwaps(fromText(file.path), job),
  ];
}

async function sideFindings({ path, sizeBytes }: SourceFile): Promise<Finding[]> {
  const wal = (await sideFiles(path)).find((side) => side.path.endsWith('-wal'));
  if (wal === undefined || wal.sizeBytes < Math.max(LARGE_WAL_BYTES, sizeBytes)) return [];
  return [
    {
      severity: 'warning',
      topic: 'space',
      subject: wal.path,
      message: `its log of changes has grown to ${Math.round(wal.sizeBytes / MIB)} MiB: some connection keeps it from being checkpointed`,
      fix: { by: 'sql', database: path, lines: ['PRAGMA wal_checkpoint(TRUNCATE)'] },
    },
  ];
}

/** A restore in place puts the new file beside the old one, and keeps both. */
async function folderFindings({ path, sizeBytes }: SourceFile): Promise<Finding[]> {
  const folder = dirname(path);
  const writable = await access(folder, constants.W_OK | constants.X_OK).then(
    () => true,
    () => false,
  );
  if (!writable) {
    const message = 'this user may not write to its folder: a restore in its place fails';
    return [{ severity: 'warning', topic: 'permissions', subject: folder, message }];
  }
  const free = await freeBytesOf(folder);
  if (free === undefined || free >= sizeBytes) return [];
  const message = `${Math.floor(free / MIB)} MiB are free: a restore in its place needs ${Math.ceil(sizeBytes / MIB)} MiB`;
  return [{ severity: 'warning', topic: 'space', subject: folder, message }];
}
