import { DguardError } from '../../errors.ts';
import { memberText } from '../member-text.ts';
import type { BackupContent } from '../types.ts';

/** `schema.json` of a JSONL export: what its files are, for any reader. */
export const DOCUMENT_MEMBER = 'schema.json';

/** What every engine's document begins with. */
interface DocumentHead {
  readonly format: string;
  readonly version: number;
}

export interface DocumentKind {
  readonly format: string;
  /** The newest version that is understood. */
  readonly version: number;
  /** Whose export it describes, in words: `a PostgreSQL export`. */
  readonly of: string;
  /** Whether all is there that a reader relies on. */
  isComplete(document: Readonly<Record<string, unknown>>): boolean;
}

/** Reads `schema.json`; throws `corrupt` or `too_new`. */
export async function readDocument<Document extends DocumentHead>(
  content: BackupContent,
  kind: DocumentKind,
): Promise<Document> {
  const broken = (why: string, cause?: unknown) =>
    new DguardError('corrupt', why, { operation: 'read schema.json', subject: DOCUMENT_MEMBER, cause });
  const entry = await content.entry(DOCUMENT_MEMBER);
  if (entry === undefined) throw broken('the backup has no schema.json');
  const text = await memberText(content, entry);
  let parsed: Record<string, unknown> | null;
  try {
    parsed = JSON.parse(text) as Record<string, unknown> | null;
  } catch (error) {
    throw broken('it is not JSON', error);
  }
  if (parsed?.['format'] !== kind.format) throw broken(`it does not describe ${kind.of}`);
  if (typeof parsed['version'] !== 'number' || parsed['version'] > kind.version) {
    throw new DguardError('too_new', `schema.json has version ${parsed['version']}`, {
      operation: 'read schema.json',
      hint: 'use a newer dguard',
    });
  }
  if (!kind.isComplete(parsed)) throw broken('it is not complete');
  return parsed as unknown as Document;
}
