import { chmodSync, fchmodSync, fchownSync, futimesSync, lchownSync, lutimesSync } from 'node:fs';
import type { EntryRecord } from '../../../archive/entry.ts';
import { errnoOf, errorText } from '../../../errors.ts';
import { fsPath } from '../../fs-paths.ts';
import type { Warning } from '../../types.ts';
import type { Owners } from './owners.ts';
import type { Xattrs } from './xattrs.ts';

export interface MetadataOptions {
  /** dguard runs as root. */
  readonly root: boolean;
  /** The user asked for set-id bits, file capabilities and devices. */
  readonly privileged: boolean;
  readonly owners: Owners;
  readonly xattrs: Xattrs | undefined;
}

/** Gives restored things what their entries say: owner, attributes, mode, times, in the order that keeps all. */
export interface Metadata {
  /** A file or folder by its descriptor. */
  applyToOpen(fd: number, entry: Readonly<EntryRecord>): void;
  applyToSymlink(path: string, entry: Readonly<EntryRecord>): void;
  applyToSpecial(path: string, entry: Readonly<EntryRecord>): void;
  /** One warning for each kind of thing that could not be given back, with its count. */
  report(warn: (warning: Warning) => void): void;
}

export function createMetadata(options: MetadataOptions): Metadata {
  const { owners, xattrs } = options;
  const mayElevate = options.root && options.privileged;
  const ownUid = process.geteuid?.() ?? 0;
  const ownGid = process.getegid?.() ?? 0;
  let foreign = 0;
  let elevated = 0;
  let withoutXattrs = 0;
  let xattrError = '';

  return { applyToOpen, applyToSymlink, applyToSpecial, report };

  function applyToOpen(fd: number, entry: Readonly<EntryRecord>): void {
    changeOwner(entry, (uid, gid) => fchownSync(fd, uid, gid));
    // Before the mode, which may forbid it; after the owner, whose change removes capabilities.
    if (entry.xattrs !== undefined) applyXattrs(fd, entry);
    fchmodSync(fd, modeOf(entry));
    const time = fsTime(entry.mtimeNs);
    futimesSync(fd, time, time);
  }

  function applyToSymlink(path: string, entry: Readonly<EntryRecord>): void {
    const name = fsPath(path);
    changeOwner(entry, (uid, gid) => lchownSync(name, uid, gid));
    const time = fsTime(entry.mtimeNs);
    lutimesSync(name, time, time);
  }

  function applyToSpecial(path: string, entry: Readonly<EntryRecord>): void {
    const name = fsPath(path);
    changeOwner(entry, (uid, gid) => lchownSync(name, uid, gid));
    chmodSync(name, modeOf(entry));
    const time = fsTime(entry.mtimeNs);
    lutimesSync(name, time, time);
  }

  /** By name where this host knows it, as tar and rsync do; a name's number may differ between hosts. */
  function changeOwner(entry: Readonly<EntryRecord>, change: (uid: number, gid: number) => void): void {
    const uid = (entry.user === undefined ? undefined : owners.userId(entry.user)) ?? entry.uid;
    const gid = (entry.group === undefined ? undefined : owners.groupId(entry.group)) ?? entry.gid;
    if (uid === ownUid && gid === ownGid) return;
    if (!options.root) {
      foreign += 1;
      return;
    }
    try {
      change(uid, gid);
    } catch (error) {
      // Root of a user namespace knows some numbers only.
      if (errnoOf(error) !== 'EPERM' && errnoOf(error) !== 'EINVAL') throw error;
      foreign += 1;
    }
  }

  function modeOf(entry: Readonly<EntryRecord>): number {
    const setId = entry.mode & 0o6000;
    if (setId !== 0 && !mayElevate) {
      elevated += 1;
      return entry.mode & ~setId;
    }
    return entry.mode;
  }

  function applyXattrs(fd: number, entry: Readonly<EntryRecord>): void {
    let failed = xattrs === undefined;
    for (const { name, value } of entry.xattrs ?? []) {
      if (xattrs === undefined) break;
      if (name === 'security.capability' && !mayElevate) {
        elevated += 1;
        continue;
      }
      if (!options.root && (name.startsWith('security.') || name.startsWith('trusted.'))) {
        failed = true;
        continue;
      }
      try {
        xattrs.write(fd, name, value);
      } catch (error) {
        failed = true;
        xattrError ||= errorText(error);
      }
    }
    if (failed) withoutXattrs += 1;
  }

  function report(warn: (warning: Warning) => void): void {
    if (foreign > 0) {
      const message = `${foreign} entries do not have their owners back: that takes root`;
      warn({ message, partial: false });
    }
    if (elevated > 0) {
      const message = `${elevated} set-user-ID, set-group-ID or capability marks are left out: they take root and --privileged`;
      warn({ message, partial: false });
    }
    if (withoutXattrs > 0) {
      const why = xattrError === '' ? '' : `: ${xattrError}`;
      const message = `${withoutXattrs} entries do not have all their extended attributes back${why}`;
      warn({ message, partial: true });
    }
  }
}

/**
 * Node takes seconds as a double and cuts to microseconds towards zero: half a microsecond more (in the
 * direction of the sign) makes it exact. A negative number means "now" to Node, its text does not.
 */
export function fsTime(ns: bigint): number | string {
  let microseconds = ns / 1000n;
  if (ns < 0n && ns % 1000n !== 0n) microseconds -= 1n;
  const whole = Number(microseconds);
  return whole >= 0 ? (whole + 0.5) / 1e6 : String((whole - 0.5) / 1e6);
}
