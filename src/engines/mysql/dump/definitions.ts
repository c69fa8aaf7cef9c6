import type { CodeName } from '../server/code.ts';
import { dumpArguments, type RunningDump, startDump } from './dump-tool.ts';
import { loadable } from './loadable.ts';
import type { Moment } from './moment.ts';

/** Starts the dump tool for tables without rows, views and routines. */
export async function startDefinitions(moment: Moment): Promise<RunningDump> {
  const { server, schema, tables, without, subject } = moment;
  const argv = [...(await argumentsOf(moment, ['--skip-triggers', '--routines'])), '--', schema];
  const left = without.filter(({ kind }) => kind === 'view');
  const kept = tables.filter((table) => !left.includes(table));
  return loadableDump(await startDump(server, argv, kept, subject), schema);
}

/** More of them, all together, may be more than arguments hold: 128 KiB where a shell of another host gets them as one. */
const MAX_NAMES_BYTES = 64 * 1024;

/**
 * Starts the dump tool for triggers and events. `code`: what there was when definitions were dumped. A trigger of a
 * table that was made since then could not be loaded, and one that a migration puts upon an older table (as
 * pt-online-schema-change does) may write to a table that is not in the dump: only tables that had triggers are asked for.
 */
export async function startTriggers(moment: Moment, code: readonly CodeName[]): Promise<RunningDump> {
  const { server, schema, subject } = moment;
  const owners = [...new Set(code.flatMap(({ table }) => table ?? []))];
  const fits = owners.reduce((sum, name) => sum + Buffer.byteLength(name) + 1, 0) <= MAX_NAMES_BYTES;
  const argv = [
    ...(await argumentsOf(moment, ['--no-create-info', '--events'])),
    ...(owners.length === 0 ? ['--skip-triggers'] : []),
    '--',
    schema,
    ...(fits ? owners : []),
  ];
  return loadableDump(await startDump(server, argv, [], subject), schema);
}

function loadableDump(dump: RunningDump, schema: string): RunningDump {
  return { ...dump, read: () => loadable(dump.read(), schema) };
}

async function argumentsOf(
  { server, tools, schema, without }: Moment,
  options: readonly string[],
): Promise<string[]> {
  const views = without.filter(({ kind }) => kind === 'view').map(({ name }) => name);
  const ignored = views.map((name) => `--ignore-table=${schema}.${name}`);
  return [...(await dumpArguments(server, tools)), '--no-data', ...options, ...ignored];
}
