import { readFileSync, readlinkSync } from 'node:fs';
import { errnoOf } from '../errors.ts';
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

/** The owner that a file of JSON names, whatever else it holds; nobody (number 0) where it names none. */
export function readOwner(value: Readonly<Record<string, unknown>>): Owner {
  const text = (field: string) => (typeof value[field] === 'string' ? value[field] : '');
  const { pid } = value;
  return {
    host: text('host'),
    boot_id: text('boot_id'),
    pid: typeof pid === 'number' ? pid : 0,
    pid_start: text('pid_start'),
  };
}

/**
 * `dead` only where that is certain: this very host was booted again since, or has no process of that
 * number that started then. `unknown` is everything of another host.
 */
export function ownerState(owner: Owner, host: HostFacts): 'alive' | 'dead' | 'unknown' {
  if (owner.host !== host.name || owner.boot_id === '' || host.bootId === '') return 'unknown';
  if (owner.boot_id !== host.bootId) return 'dead';
  const start = processStart(owner.pid);
  if (start === '') return isGone(owner.pid) ? 'dead' : 'unknown';
  return owner.pid_start === '' || start === owner.pid_start ? 'alive' : 'dead';
}

/** An owner that also says which processes its number means, where another host or container may read it. */
export interface PlacedOwner extends Owner {
  /** Empty where it is not known. */
  readonly pid_namespace: string;
}

export function placedOwnerOf(host: HostFacts): PlacedOwner {
  return { ...ownerOf(host), pid_namespace: pidNamespace() };
}

export function readPlacedOwner(value: Readonly<Record<string, unknown>>): PlacedOwner {
  const { pid_namespace } = value;
  return { ...readOwner(value), pid_namespace: typeof pid_namespace === 'string' ? pid_namespace : '' };
}

/** `unknown` also of processes of another container, and of another host of this name, which are not seen from here. */
export function placedOwnerState(owner: PlacedOwner, host: HostFacts): ReturnType<typeof ownerState> {
  const isSeen =
    owner.pid > 0 &&
    owner.pid_namespace !== '' &&
    owner.pid_namespace === pidNamespace() &&
    owner.boot_id === host.bootId;
  return isSeen ? ownerState(owner, host) : 'unknown';
}

/** Which processes a number means; empty where /proc does not say, or is that of others. */
function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self') === String(process.pid) ? readlinkSync('/proc/self/ns/pid') : '';
  } catch {
    return '';
  }
}

/** /proc may hide processes (hidepid): the kernel is asked too. */
function isGone(pid: number): boolean {
  if (pid <= 0) return true;
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return errnoOf(error) === 'ESRCH';
  }
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
