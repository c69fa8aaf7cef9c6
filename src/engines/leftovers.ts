import { shellWord } from '../shell-word.ts';
import type { Finding, Health } from './health.ts';

/** What is marked as dguard's own on a server, beside a target. */
export interface Leftover {
  readonly name: string;
  readonly role: string;
  /** The database that it is to be, or was. */
  readonly target: string;
  readonly inUse: boolean;
  readonly backupId: string;
}

/** Whose leftovers are looked for. */
export interface Owned {
  /** What is looked at now; none: all of its server. */
  readonly targets: readonly string[];
  /** What else the datasource has, which is looked at for itself. */
  readonly others?: readonly string[] | undefined;
  readonly datasource: string;
}

/**
 * In words, what a killed restore to another database of this server left: only a command that names that one takes it
 * away, and nobody may ever give it. Nothing of a source that looks after all databases; what cannot be listed now is
 * told another time.
 */
export async function leftElsewhere(
  list: () => Promise<readonly Leftover[]>,
  source:
    | { readonly name: string; readonly options: { database: readonly string[]; all_databases: boolean } }
    | undefined,
  targets: readonly string[],
): Promise<string[]> {
  if (source === undefined || source.options.all_databases) return [];
  const owned = { targets, others: source.options.database, datasource: source.name };
  const marked = await list().catch(() => []);
  return marked
    .filter((one) => one.role === 'new' && !one.inUse && !isOwn(one, owned))
    .map(
      ({ name, target, backupId }) =>
        `${name} was left by an interrupted restore${backupId === '' ? '' : ` of ${backupId}`} to ${target}, and takes room; to remove it: ${elsewhereLine(owned, target)}`,
    );
}

/** What nobody works on any more, and the command that removes it. */
export function leftoverFindings(
  marked: readonly Leftover[],
  owned: Owned,
  job: string | undefined,
): Finding[] {
  return marked
    .filter((one) => one.role !== 'undo' && !one.inUse && (one.role === 'new' || isOwn(one, owned)))
    .map((one) => {
      const by = one.role === 'scratch' ? 'test restore' : 'restore';
      const own = isOwn(one, owned);
      const line = own ? ownLine(job) : elsewhereLine(owned, one.target);
      return {
        severity: 'warning',
        topic: 'leftovers',
        subject: one.name,
        message: `an interrupted ${by}${own ? '' : ` to ${one.target}`} left it`,
        ...(line === undefined ? {} : { fix: { by: 'shell', lines: [line] } }),
      };
    });
}

/** The same for a probe, without the command: as much of `Health` as there is. What cannot be listed is no ill health. */
export async function leftoverHealth(
  list: () => Promise<readonly Leftover[]>,
  owned: Owned,
): Promise<Pick<Health, 'leftovers'>> {
  const found = leftoverFindings(await list().catch(() => []), owned, undefined);
  if (found.length === 0) return {};
  return { leftovers: found.map(({ subject, message }) => ({ name: subject!, message })) };
}

const isOwn = ({ target }: Leftover, { targets, others }: Owned) =>
  targets.length === 0 || targets.includes(target) || others?.includes(target) === true;

const ownLine = (job: string | undefined) =>
  job === undefined ? undefined : `dguard restore ${shellWord(job)} --recover`;

const elsewhereLine = ({ datasource }: Owned, target: string) =>
  `dguard restore --recover --to ${shellWord(datasource)} --to-database ${shellWord(target)}`;
