import { readFileSync, readlinkSync } from 'node:fs';
import { errnoOf } from '../errors.ts';
import type { HostFacts } from '../runtime.ts';

/** Which process of which boot of which host something belongs to, as locks and leases record it. */
export interface Owner {
  readonly host: string;
  readonly boot_id: string;
  /** Which processes the number means: a container has its own. Empty where it is not known. */
  readonly pid_namespace: string;
  readonly pid: number;
  readonly pid_start: string;
}

export function ownerOf(host: HostFacts): Owner {
  return {
    host: host.name,
    boot_id: host.bootId,
    pid_namespace: host.pidNamespace ?? '',
    pid: host.pid,
    pid_start: host.pidStart ?? '',
  };
}

/** The owner that a file of JSON names, whatever else it holds; nobody (number 0) where it names none. */
export function readOwner(value: Readonly<Record<string, unknown>>): Owner {
  const text = (field: string) => (typeof value[field] === 'string' ? value[field] : '');
  const { pid } = value;
  return {
    host: text('host'),
    boot_id: text('boot_id'),
    pid_namespace: text('pid_namespace'),
    pid: typeof pid === 'number' ? pid : 0,
    pid_start: text('pid_start'),
  };
}

export type OwnerState = 'alive' | 'dead' | 'unknown';

/**
 * Of what lies on this host alone (locks). `dead` only where that is certain: this very host was booted again since,
 * or has no process of that number that started then. `unknown` is everything of another host, and of another
 * container, whose processes have numbers of their own.
 */
export function ownerState(owner: Owner, host: HostFacts): OwnerState {
  if (owner.host !== host.name || owner.boot_id === '' || host.bootId === '') return 'unknown';
  if (owner.boot_id !== host.bootId) return 'dead';
  return isOfThisNamespace(owner, host) ? processState(owner) : 'unknown';
}

/** As `ownerState`, of what other hosts and containers of this name may see as well: another boot may be that of another one. */
export function sharedOwnerState(owner: Owner, host: HostFacts): OwnerState {
  return isOfThisKernel(owner, host) ? ownerState(owner, host) : 'unknown';
}

/** Whether this machine was booted again since. Of containers, those of several machines often go by one name. */
export function isOfEarlierBoot(owner: Owner, host: HostFacts): boolean {
  const areMachines = owner.pid_namespace === FIRST_NAMESPACE && host.pidNamespace === FIRST_NAMESPACE;
  return areMachines && owner.boot_id !== host.bootId && ownerState(owner, host) === 'dead';
}

/** Whether the owner is of this host's running kernel, in whatever container. */
export function isOfThisKernel(owner: Owner, host: HostFacts): boolean {
  return owner.host === host.name && owner.boot_id !== '' && owner.boot_id === host.bootId;
}

/** Whether the numbers of processes mean the same to the owner and here. */
export function isOfThisNamespace(owner: Owner, host: HostFacts): boolean {
  return (
    isOfThisKernel(owner, host) && owner.pid_namespace !== '' && owner.pid_namespace === host.pidNamespace
  );
}

/** The kernel's first one (PROC_PID_INIT_INO), that of a machine rather than of a container. */
const FIRST_NAMESPACE = 'pid:[4026531836]';

/** Which processes a number means; empty where /proc does not say, or is that of others. */
export function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self') === String(process.pid) ? readlinkSync('/proc/self/ns/pid') : '';
  } catch {
    return '';
  }
}

function processState({ pid, pid_start }: Owner): OwnerState {
  const start = processStart(pid);
  if (start === '') return isGone(pid) ? 'dead' : 'unknown';
  return pid_start === '' || start === pid_start ? 'alive' : 'dead';
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
