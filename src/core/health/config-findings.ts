import { stat } from 'node:fs/promises';
import type { LoadedConfig } from '../../config/load.ts';
import { formatProblem } from '../../config/problems.ts';
import type { Finding } from '../../engines/health.ts';
import { shellWord } from '../../shell-word.ts';

/** Who else could change the configuration, or read its secrets; what loading it warned of. */
export async function diagnoseConfig(
  loaded: Pick<LoadedConfig, 'secretFiles' | 'warnings'>,
): Promise<readonly Finding[]> {
  const findings: Finding[] = loaded.warnings.map((warning) => {
    const { hint, ...unhinted } = warning;
    const command = hint !== undefined && /^(chmod|chown) /.test(hint) ? hint : undefined;
    return {
      severity: 'warning',
      topic: 'permissions',
      message: formatProblem(command === undefined ? warning : unhinted),
      ...(command === undefined ? {} : { fix: { by: 'shell', lines: [command] } }),
    };
  });
  for (const path of new Set(loaded.secretFiles)) {
    const facts = await stat(path).catch(() => undefined);
    if (!facts?.isFile() || (facts.mode & 0o004) === 0) continue;
    findings.push({
      severity: 'warning',
      topic: 'permissions',
      subject: path,
      message: 'this file holds a secret, and anyone on this host can read it',
      fix: { by: 'shell', lines: [`chmod o-r ${shellWord(path)}`] },
    });
  }
  return findings;
}
