import { DguardError } from '../../../errors.ts';

/** What a restore has to know of where a backup came from: `facts.engine` of the manifest. */
export interface SourceFacts {
  readonly kind: 'native' | 'jsonl';
  readonly database: string;
  readonly server_version: string;
  readonly server_major: number;
  readonly collation: string | null;
  readonly compatibility: number;
  readonly owner: string | null;
}

/** Throws `corrupt` where they are none of an SQL Server backup's. */
export function sourceFacts(engine: Readonly<Record<string, unknown>> | undefined): SourceFacts {
  const facts = engine as Partial<SourceFacts> | undefined;
  if (
    (facts?.kind !== 'native' && facts?.kind !== 'jsonl') ||
    typeof facts.database !== 'string' ||
    typeof facts.server_major !== 'number'
  ) {
    throw new DguardError('corrupt', 'the manifest does not say what database this is a backup of', {
      operation: 'read backup',
    });
  }
  const text = (value: unknown) => (typeof value === 'string' ? value : null);
  return {
    kind: facts.kind,
    database: facts.database,
    server_version: text(facts.server_version) ?? '',
    server_major: facts.server_major,
    collation: text(facts.collation),
    compatibility: Number(facts.compatibility ?? 0),
    owner: text(facts.owner),
  };
}
