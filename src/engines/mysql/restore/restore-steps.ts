import { DguardError, errorText } from '../../../errors.ts';
import type { TableFact } from '../../types.ts';
import { createCode, readCode } from '../server/code.ts';
import type { Flavour } from '../server/connection.ts';
import { maySetDefiner } from '../server/privileges.ts';
import { storedName } from '../server/server-info.ts';
import { identifier } from '../server/session.ts';
import { compareVersions } from '../server/tools.ts';
import { compareSchema } from './compare.ts';
import { type Loaded, loadScript } from './load.ts';
import { dropMarked, withFreshSession } from './place.ts';
import type { Work } from './restore-work.ts';

export async function load(work: Work, schema: string): Promise<Loaded> {
  const { script, request, server, tools, tables } = work;
  const wanted = request.source?.options.definer;
  const definer = await chooseDefiner(work);
  // Such a server keeps small letters, and triggers as they were written, with their table's name.
  const folded = (name: string) => storedName(name, work.facts.lower_case_table_names);
  const names = new Set(tables.map(({ name }) => folded(name)));
  let done = 0;
  const loaded = await loadScript(script, {
    server,
    tools,
    info: work.info,
    schema,
    from: folded(work.facts.schema),
    // Chosen tables come without them.
    sequences: request.only.length > 0 || work.merge ? work.target : schema,
    definer,
    storedTable: storedTable(work),
    // A merge takes the tables with rows; a new schema takes all of what the backup holds.
    ...(request.only.length > 0 || work.merge ? { chosen: (name: string) => names.has(folded(name)) } : {}),
    ...(request.parallelJobs === undefined ? {} : { parallelJobs: request.parallelJobs }),
    signal: request.signal,
    onBytes: (count) => {
      done += count;
      request.onProgress(done, 0);
    },
  });
  if (definer === 'strip' && wanted === undefined && loaded.definers.size > 0) {
    const message = `views, triggers, routines and events now run as ${work.info.user}: the account may not keep their definers (${[...loaded.definers].join(', ')})`;
    request.warn({ message, subject: work.target, partial: false });
  }
  return loaded;
}

/**
 * MariaDB keeps a trigger as it was written, which a server that tells names apart by case takes at its word: there its
 * table is named as the source stored it.
 */
function storedTable({ facts, info, recorded }: Work): ((written: string) => string) | undefined {
  if (facts.lower_case_table_names === 0 || info.lowerCaseTableNames !== 0) return undefined;
  const stored = new Map(recorded.map(({ name }) => [name.toLowerCase(), name]));
  return (written) => stored.get(written.toLowerCase()) ?? written;
}

/** What the datasource says; otherwise definers are kept where the account may. */
async function chooseDefiner({ request, session }: Work) {
  const wanted = request.source?.options.definer;
  if (wanted === 'keep' || wanted === 'strip') return wanted;
  if (wanted === undefined) return (await maySetDefiner(session)) ? 'keep' : 'strip';
  const [user = '', host = ''] = wanted.split('@');
  const bytes = (text: string) => Buffer.from(identifier(text), 'utf8').toString('latin1');
  return { as: `${bytes(user)}@${bytes(host)}` };
}

export async function compare(work: Work, schema: string, strict: boolean): Promise<readonly TableFact[]> {
  const { content, facts, info, request, session, target } = work;
  const sha256 = content.facts.schema_sha256;
  const whole = request.only.length === 0 && !work.merge;
  // Another version describes the same in other words, and one that keeps names otherwise under other names.
  const sameWords =
    facts.flavour === info.flavour &&
    compareVersions(minor(facts.version), minor(info.version)) === 0 &&
    facts.lower_case_table_names === info.lowerCaseTableNames;
  const compared = await compareSchema(
    session,
    schema,
    {
      tables: work.tables,
      approximate: (table) => facts.counts === 'approximate' || facts.non_transactional.includes(table),
      oldEnd: work.script.format === 'native' && endsIn2038(facts) && !endsIn2038(info),
      ...(sha256 === undefined || !whole || !sameWords ? {} : { schemaSha256: sha256 }),
    },
    target,
  );
  const tell = (message: string) => request.warn({ message, subject: target, partial: false });
  for (const difference of compared.differing.slice(0, 5)) tell(`${difference} beside the dump`);
  if (compared.sameSchema) return compared.tables;
  const message = 'the restored schema does not read like the recorded one';
  if (strict) throw new DguardError('corrupt', message, { operation: 'compare', subject: target });
  // Every statement was carried out and every row counted: no reason to keep it from who needs it.
  tell(`${message}; compare with mysqldump --no-data`);
  return compared.tables;
}

/** Whether time ends in 2038 for a server. */
function endsIn2038({ flavour, version }: { readonly flavour: Flavour; readonly version: string }): boolean {
  return flavour === 'mariadb' && compareVersions(version, '11.5') < 0;
}

function minor(version: string): string {
  return version.split('.').slice(0, 2).join('.');
}

/**
 * Events are loaded disabled; now they become what they were. Created anew: ALTER EVENT would make us their
 * definer.
 */
export async function setEvents(work: Work, schema: string, events: Loaded['events']): Promise<void> {
  const { session, request } = work;
  const off = (await readCode(session, schema)).filter(
    ({ kind, name }) => kind === 'event' && (events[name] ?? 'DISABLE') !== 'DISABLE',
  );
  const failed = await createCode(session, off, {
    from: schema,
    to: schema,
    eventStatus: (name) => events[name],
  });
  for (const problem of failed) {
    request.warn({ message: `not created: ${problem}`, subject: schema, partial: true });
  }
}

/** Removes a schema of this restore's own, also after an abort; where that fails, a warning says how. */
export async function dropQuietly({ session, server, request }: Work, name: string): Promise<void> {
  try {
    await dropMarked(session, name).catch(() => withFreshSession(server, (fresh) => dropMarked(fresh, name)));
  } catch (error) {
    const message = `the database ${name} could not be removed (${errorText(error)}); it is marked, and goes with: dguard restore --recover`;
    request.warn({ message, subject: name, partial: false, stays: true });
  }
}
