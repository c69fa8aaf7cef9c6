import { fromText } from '../../archive/paths.ts';
import type { DiagnoseRequest, Finding } from '../health.ts';
import type { EngineSource } from '../types.ts';
import { unfinishedSwaps } from '../undo/findings.ts';
import type { FilesOptions } from './options.ts';
import { placeOf } from './swap/swaps.ts';
import { loadXattrs } from './system/xattrs.ts';

/** What a backup of these files would leave out, and what interrupted restores left beside them. */
export async function diagnoseFiles(
  source: EngineSource<FilesOptions>,
  { job }: DiagnoseRequest,
): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  if (process.platform === 'linux' && (await loadXattrs()) === undefined) {
    findings.push({
      severity: 'warning',
      topic: 'support',
      message: 'the package fs-xattr is not there: backups leave out extended attributes and ACLs',
      fix: { by: 'shell', lines: ['apt-get install build-essential python3', 'npm install -g dguard'] },
    });
  }
  if (!source.host.privileged) {
    findings.push({
      severity: 'notice',
      topic: 'permissions',
      message:
        'dguard does not run as root: files of others may be unreadable, and a restore gives all files to this user',
    });
  }
  return [
    ...findings,
    ...source.options.source_path.flatMap((path) => unfinishedSwaps(placeOf(fromText(path)), job)),
  ];
}
