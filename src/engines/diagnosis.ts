import { DguardError, errorText } from '../errors.ts';
import type { Finding } from './health.ts';

/** What engines of servers find alike. */

/** Beyond this a server's clock is worth setting: times in the data are not those of the backups. */
const CLOCK_WARNING_MS = 60_000;

/** Reads a server's clock; `read` gives milliseconds since the epoch. */
export async function clockFindings(now: () => Date, read: () => Promise<number>): Promise<Finding[]> {
  const before = now().getTime();
  const theirs = await read();
  const after = now().getTime();
  const aheadMs = theirs > after ? theirs - after : theirs < before ? theirs - before : 0;
  if (Math.abs(aheadMs) < CLOCK_WARNING_MS) return [];
  const seconds = Math.round(Math.abs(aheadMs) / 1000);
  return [
    {
      severity: 'warning',
      topic: 'clock',
      message: `the server's clock is ${seconds} s ${aheadMs > 0 ? 'ahead of' : 'behind'} ours: times in its data and of its backups do not agree`,
      fix: { by: 'shell', lines: ['timedatectl set-ntp true'] },
    },
  ];
}

/** Client tools that are missing or do not fit, as the error that a backup would end with. */
export async function toolFindings<Tools>(
  choose: () => Promise<Tools>,
  look: (tools: Tools) => readonly Finding[],
): Promise<readonly Finding[]> {
  try {
    return look(await choose());
  } catch (error) {
    if (!(error instanceof DguardError) || !['tool_missing', 'tool_version'].includes(error.code))
      throw error;
    const fix = error.hint === undefined ? {} : { fix: installFix(error.hint) };
    return [{ severity: 'problem', topic: 'tools', message: errorText(error), ...fix }];
  }
}

/** The command out of a hint that names it in parentheses: `… apt-get install NAME …`. */
function installFix(hint: string): NonNullable<Finding['fix']> {
  const command = /\b(apt-get install [\w.+-]+)/.exec(hint)?.[1];
  return { by: 'shell', lines: command === undefined ? [hint] : [command, `# ${hint}`] };
}
