import { displayPath } from '../../../archive/paths.ts';
import { throwIfAborted } from '../../../errors.ts';
import type { BackupContent, InspectRequest } from '../../types.ts';
import { createEntryCheck } from './entry-check.ts';

/** More say no more. */
const MAX_FINDINGS = 100;

/** Walks the entries as a restore would, without writing: order, paths, kinds, links, count. */
export async function inspectFiles(
  content: BackupContent,
  request: InspectRequest,
): Promise<readonly string[]> {
  const check = createEntryCheck(false);
  const findings: string[] = [];
  let filesCount = 0;
  let bytes = 0;
  for await (const entry of content.entries()) {
    throwIfAborted(request.signal);
    const wrong = check(entry);
    if (wrong !== undefined) findings.push(`${displayPath(entry.path) || 'the root'}: ${wrong}`);
    if (findings.length >= MAX_FINDINGS) return findings;
    if (entry.type !== 'tree' || entry.kind === 'directory') continue;
    filesCount += 1;
    bytes += entry.size;
    const held = entry.slices.reduce((sum, slice) => sum + slice.length, 0);
    if (entry.kind === 'file' && held !== entry.size) {
      findings.push(`${displayPath(entry.path)}: ${held} bytes of content for a size of ${entry.size}`);
    }
    request.onProgress(bytes);
  }
  const recorded = content.facts.files_count;
  if (recorded !== undefined && recorded !== filesCount) {
    findings.push(`${filesCount} files are listed, ${recorded} were backed up`);
  }
  return findings;
}
