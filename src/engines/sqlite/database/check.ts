import { DguardError } from '../../../errors.ts';
import type { DumpFacts, TableFact } from '../../types.ts';
import { countTables, listModules, listSchema, listTables, quoteName, schemaHash } from './catalog.ts';
import type { Database } from './driver.ts';
import { isDamage } from './driver.ts';

/** More findings than anyone reads; few enough to hold. */
const MAX_FINDINGS = 10_000;

export interface Findings {
  /** The file is broken: pages, cells, indexes. */
  readonly damage: readonly string[];
  /**
   * Rows that break a rule of the schema, and full-text indexes that cannot be compared with their texts, or are older
   * than those. They are the user's data and are kept as they are.
   */
  readonly doubts: readonly string[];
}

/**
 * SQLite's own check. `quick_check` looks at every page and row, `integrity_check` compares each index
 * with its table as well.
 */
export function checkDatabase(database: Database, check: 'quick_check' | 'integrity_check'): Findings {
  // A CHECK constraint is the application's business, and may call functions that only it has.
  database.pragma('ignore_check_constraints = ON');
  const lines: string[] = [];
  try {
    runCheck(database, `${check}(${MAX_FINDINGS})`, lines);
    return sortFindings(database, lines);
  } catch (error) {
    // Some damage ends the check itself; what it found until then says more than the error.
    if (isDamage(error)) return sortFindings(database, [...lines, (error as Error).message]);
    return checkTableByTable(database, check);
  }
}

function runCheck(database: Database, pragma: string, lines: string[]): void {
  for (const line of database.prepare(`PRAGMA main.${pragma}`).pluck().iterate() as Iterable<string>) {
    if (line !== 'ok') lines.push(...line.split('\n'));
  }
}

/** One index on a function of the application stops the whole check: then each table has its own. */
function checkTableByTable(database: Database, check: string): Findings {
  const lines: string[] = [];
  const doubts: string[] = [];
  for (const table of listTables(database)) {
    try {
      runCheck(database, `${check}(${quoteName(table.name)})`, lines);
    } catch (error) {
      if (isDamage(error)) lines.push(`${table.name}: ${(error as Error).message}`);
      else doubts.push(`table ${table.name} could not be checked: ${(error as Error).message}`);
    }
  }
  const sorted = sortFindings(database, lines);
  return { damage: sorted.damage, doubts: [...sorted.doubts, ...doubts] };
}

/** The texts of pragma.c, "Verify that all NOT NULL constraints are honored", and of the types. */
const RULE_BROKEN = /^(NULL value in |(NUMERIC|TEXT|non-\w+) value in |CHECK constraint failed in )/;

/**
 * fts3.c, fts3IntegrityMethod(), of a table that keeps no texts (`content=""`), whose texts are gone, or whose functions
 * (`compress=`) only the application has. A broken index is said in other words.
 */
const NOT_COMPARED = /^unable to validate the inverted index for FTS\d table .*: SQL logic error$/;
const MALFORMED = 'malformed inverted index for FTS4 table main.';

function sortFindings(database: Database, lines: readonly string[]): Findings {
  const malformed = lines.some((line) => line.startsWith(MALFORMED));
  const elsewhere = new Set(malformed ? indexesOfOtherTables(database) : []);
  const damage: string[] = [];
  const doubts: string[] = [];
  for (const line of lines) {
    const index = line.startsWith(MALFORMED) ? line.slice(MALFORMED.length) : undefined;
    if (index !== undefined && elsewhere.has(index)) doubts.push(`${line}: ${rebuildOf(index)}`);
    else if (RULE_BROKEN.test(line) || NOT_COMPARED.test(line)) doubts.push(line);
    else damage.push(line);
  }
  return { damage, doubts };
}

/** Which of the two it is cannot be told; the texts are all there, and the same statement mends both. */
function rebuildOf(index: string): string {
  const name = quoteName(index);
  return `it is stale or broken, rebuild it: INSERT INTO ${name} (${name}) VALUES ('rebuild')`;
}

/** FTS4 tables whose texts are another table's: the application keeps the two equal, or does not. */
function indexesOfOtherTables(database: Database): string[] {
  try {
    return listSchema(database)
      .filter(({ sql }) => /^\s*CREATE\s+VIRTUAL\s/i.test(sql) && contentOf(sql) !== '')
      .map(({ name }) => name);
  } catch (error) {
    if (isDamage(error)) return [];
    throw error;
  }
}

const COMMENT = /--[^\n]*|\/\*[\s\S]*?\*\//g;
const CONTENT = /[(,]\s*content=('[^']*'|"[^"]*"|`[^`]*`|\[[^\]]*\]|[^,)]*)/gi;

/** What `content=` names, quoted as it is; empty where there is none, or `content=""`: then the index is all there is. */
function contentOf(sql: string): string {
  const values = [...sql.replace(COMMENT, ' ').matchAll(CONTENT)].map((match) => match[1]!);
  return (values.at(-1) ?? '').replace(/^(''|""|``|\[\])$/, '').trim();
}

export interface Examined {
  readonly facts: DumpFacts;
  readonly tables: readonly TableFact[];
}

/** What the copy holds, for the manifest and for every later comparison. */
export function examine(database: Database): Examined {
  const tables = countTables(database, listTables(database));
  const value = (pragma: string) => database.pragma(pragma, { simple: true }) as number | string;
  const version = sqliteVersion(database);
  const modules = listModules(database);
  const facts: DumpFacts = {
    database_version: version,
    tool: 'sqlite',
    tool_version: version,
    consistency: 'snapshot',
    ...(modules.length > 0 ? { extensions: modules } : {}),
    schema_sha256: schemaHash(database),
    tables_count: tables.length,
    rows: tables.reduce((sum, table) => sum + (table.rows ?? 0), 0),
    engine_output: [
      `journal_mode ${value('journal_mode')}`,
      `page_size ${value('page_size')}`,
      `page_count ${value('page_count')}`,
      `encoding ${value('encoding')}`,
      `user_version ${value('user_version')}`,
      `application_id ${value('application_id')}`,
    ].join(', '),
  };
  return { facts, tables };
}

export function sqliteVersion(database: Database): string {
  return database.prepare('SELECT sqlite_version()').pluck().get() as string;
}

/** Throws `corrupt` with the first lines when the database is damaged. */
export function requireSound(
  findings: Findings,
  code: 'source_failed' | 'corrupt',
  operation: string,
  subject: string,
  hint: string,
): void {
  if (findings.damage.length === 0) return;
  const shown = findings.damage.slice(0, 5).join('; ');
  const more = findings.damage.length > 5 ? ` (and ${findings.damage.length - 5} more)` : '';
  throw new DguardError(code, `the database is corrupt: ${shown}${more}`, { operation, subject, hint });
}

/** How the tables of a restored database differ from what the backup recorded. */
export function compareTables(recorded: readonly TableFact[], found: readonly TableFact[]): string[] {
  const rows = new Map(found.map((table) => [table.name, table.rows]));
  return recorded.flatMap((table) => {
    if (!rows.has(table.name)) return [`table ${table.name} is missing`];
    const count = rows.get(table.name);
    if (table.rows === undefined || count === undefined || count === table.rows) return [];
    return [`table ${table.name} has ${count} rows, ${table.rows} were recorded`];
  });
}
