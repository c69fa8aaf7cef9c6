import { readFileSync } from 'node:fs';
import type { HostFacts } from '../runtime.ts';

/** Which process of which boot of which host something belongs to, as locks and leases record it. */
export interface Owner {
  readonly host: string;
  readonly boot_id: string;
  readonly pid: number;
  readonly pid_start: string;
}

export function ownerOf(host: HostFacts): Owner {
  return { host: host.name, boot_id: host.bootId, pid: host.pid, pid_start: host.pidStart ?? '' };
}

/**
 * `dead` only where that is certain: this very host was booted again since, or has no process of that
 * number that started then. `unknown` is everything of another host.
 */
export function ownerState(owner: Owner, host: HostFacts): 'alive' | 'dead' | 'unknown' {
  if (owner.host !== host.name || owner.boot_id === '' || host.bootId === '') return 'unknown';
  if (owner.boot_id !== host.bootId) return 'dead';
  const start = processStart(owner.pid);
  return start !== '' && (owner.pid_start === '' || start === owner.pid_start) ? 'alive' : 'dead';
}

/** When a process started, in clock ticks since boot (field 22 of /proc/PID/stat); empty where there is none. */
export function processStart(pid: number): string {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1');
    // The second field is the program's name in parentheses, which may itself hold spaces and parentheses.
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

/** A line about an owner, for people. */
export function ownerText(owner: Owner): string {
  return `process ${owner.pid} on ${owner.host}`;
}
