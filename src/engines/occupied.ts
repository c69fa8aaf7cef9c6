import { DguardError } from '../errors.ts';

/** That a database is there, has something in it, and nothing said that it may be replaced (`part`: not as a whole). */
export function occupiedDatabase(database: string, part: boolean): DguardError {
  const replace = part ? 'replace in it what is restored, and nothing else' : 'replace it';
  return new DguardError('target_refused', 'the database exists and is not empty', {
    operation: 'restore',
    subject: database,
    hint: `use --to-database NEW-NAME, or ${replace}: --overwrite`,
  });
}
