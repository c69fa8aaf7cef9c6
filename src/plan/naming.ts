import type { BackupType } from '../config/types/jobs.ts';

/** A backup's id: type, the snapshot's moment in UTC to the second, eight random base32 characters. */
export function backupId(type: BackupType, snapshotAt: Date, random: Uint8Array): string {
  return `${type}-${stamp(snapshotAt)}-${base32(random)}`;
}

/** What `backupId` makes, its moment in four groups. */
export const BACKUP_ID = /^[a-z]{2,20}-(\d{4}-\d{2}-\d{2})T(\d{2})-(\d{2})-(\d{2})Z-[a-z2-7]{8}$/;

/** The snapshot's moment, as an id tells it; undefined for what is no id. */
export function momentOf(id: string): Date | undefined {
  const [, day, hours, minutes, seconds] = BACKUP_ID.exec(id) ?? [];
  const moment = new Date(`${day}T${hours}:${minutes}:${seconds}Z`);
  return Number.isNaN(moment.getTime()) ? undefined : moment;
}

/** The origin: the random part of an id, a backup's short name. */
export function originOf(id: string): string {
  return id.slice(-8);
}

export function isOrigin(text: string): boolean {
  return /^[a-z2-7]{8}$/.test(text);
}

/** `2026-01-02T03-04-05Z`: an instant as names can hold it. */
export function stamp(at: Date): string {
  return `${at.toISOString().slice(0, 19).replaceAll(':', '-')}Z`;
}

/** Five bytes as eight characters of RFC 4648's base32, lower case. */
export function base32(bytes: Uint8Array): string {
  let bits = 0n;
  for (const byte of bytes.subarray(0, 5)) bits = (bits << 8n) | BigInt(byte);
  let text = '';
  for (let i = 7n; i >= 0n; i--) text += 'abcdefghijklmnopqrstuvwxyz234567'[Number((bits >> (i * 5n)) & 31n)];
  return text;
}

/** What a path template's variables stand for. */
export interface TemplateValues {
  readonly job: string;
  readonly datasource: string;
  readonly host: string;
  readonly type: string;
  readonly id: string;
  readonly at: Date;
}

/** A backup's folder: the template with its values percent-encoded to what keys can hold. */
export function backupFolder(template: string, values: TemplateValues): string {
  const iso = values.at.toISOString();
  const all: Record<string, string> = {
    job: values.job,
    datasource: values.datasource,
    host: values.host,
    type: values.type,
    id: values.id,
    date: iso.slice(0, 10),
    time: iso.slice(11, 19).replaceAll(':', '-'),
    year: iso.slice(0, 4),
    month: iso.slice(5, 7),
    day: iso.slice(8, 10),
  };
  return template
    .replace(/\{(\w+)\}/g, (_, name: string) => encodePart(all[name] ?? ''))
    .replace(/^\/+|\/+$/g, '');
}

/** A value as one part of a key: `[A-Za-z0-9._-]`, the rest percent-encoded, never `.`, `..` or empty. */
export function encodePart(value: string): string {
  const encoded = [...Buffer.from(value, 'utf8')]
    .map((byte) => {
      const char = String.fromCharCode(byte);
      return /[A-Za-z0-9._-]/.test(char) ? char : `%${byte.toString(16).padStart(2, '0').toUpperCase()}`;
    })
    .join('');
  if (encoded === '') return '%00';
  return /^\.{1,2}$/.test(encoded) ? encoded.replaceAll('.', '%2E') : encoded;
}
