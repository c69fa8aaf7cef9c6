import type { CodecName } from '../archive/format.ts';
import { fromText, isSafeEntryPath } from '../archive/paths.ts';
import type { Manifest, ManifestArtifact } from '../manifest/types.ts';
import { shellWord } from '../shell-word.ts';

const DECOMPRESS: Readonly<Record<CodecName, string | undefined>> = {
  zstd: 'zstd -dc',
  gzip: 'gzip -dc',
  lz4: 'lz4 -dc',
  none: 'cat',
  brotli: undefined,
  deflate: undefined,
};

/** GNU tar leaves out extended attributes, ACLs and capabilities, and says nothing, unless it is asked for them. */
const UNPACK = "tar --xattrs --xattrs-include='*' -xpf -";

/**
 * Never in the backup's folder: a stored artifact may be called as what it holds, which a shell empties before it is read,
 * and a tree may hold a `manifest.json`, which would take the backup's place.
 */
const ELSEWHERE = 'B=$PWD R=~/restored-$(basename "$PWD") && mkdir "$R" && cd "$R"';

/** Of artifacts that are too many for the manifest: their names are no way back to what they hold. */
const BY_THE_INDEX = [
  '# the artifacts are listed in the index: recover.py, of dguard\'s package, reads it (FORMAT.md, "Without dguard")',
  'R=~/restored-$(basename "$PWD") && python3 recover.py . "$R" && cd "$R"',
];

/**
 * Commands for people who have the folder but not dguard: lines of one shell that begins in that folder. Together they are
 * one list of `&&`: where a line fails (the new folder is there from last time), the next would run in the backup's own.
 * They are one more than the artifacts at most, which is what every reader of manifests takes.
 */
export function recoverCommands(artifacts: unknown, codec: CodecName): string[] {
  if (!Array.isArray(artifacts)) return BY_THE_INDEX;
  const decompress = DECOMPRESS[codec];
  if (!decompress) return [`${codec} has no concatenation: use dguard, or recover.py (FORMAT.md)`];
  const lines = [
    `sha256sum -c SHA256SUMS && ${ELSEWHERE}`,
    ...(artifacts as ManifestArtifact[]).map((artifact) => {
      const { folder, file } = placeOf(artifact);
      // No codec's tool takes an empty file for an empty stream.
      if (artifact.stored_size === 0) return `${folder}: > ${file}`;
      const input = `${folder}cat "$B"/${artifact.name}${artifact.parts ? '.[0-9]*' : ''}`;
      const output = artifact.media === 'application/x-tar' ? UNPACK : `cat > ${file}`;
      return decompress === 'cat' ? `${input} | ${output}` : `${input} | ${decompress} | ${output}`;
    }),
  ];
  return lines.map((line, i) => (i < lines.length - 1 ? `${line} &&` : line));
}

/** How the server's own client loads what those commands unpack; none for files and for JSONL of MongoDB and SQL Server. */
export function loadCommands(manifest: Pick<Manifest, 'artifacts' | 'datasource' | 'facts'>): string[] {
  const { type } = manifest.datasource;
  const engine = manifest.facts?.engine;
  if (!Array.isArray(manifest.artifacts)) return loadCommandsOfMany(type, engine);
  const all = manifest.artifacts as ManifestArtifact[];
  return [
    ...(type === 'postgres' ? postgresCommands(engine, all) : []),
    ...(type === 'mysql'
      ? mysqlCommands(
          engine,
          all.map(({ member }) => member),
        )
      : []),
    ...(all.some(({ format }) => format === 'bson') ? ['mongorestore --dir .'] : []),
  ];
}

/**
 * The artifacts are in the index, which is not read here: of what a datasource of the type has so many. One stream is never
 * so many.
 */
function loadCommandsOfMany(type: string, engine: unknown): string[] {
  if (type === 'mongodb') return ['mongorestore --dir . # where there are .bson files'];
  if (type === 'mysql') return mysqlCommands(engine, ['schema.sql']);
  if (type !== 'postgres') return [];
  const load = pgRestore(engine);
  return [
    `${load} database.dir # where there is that folder`,
    ...postgresExportCommands(load, ' # where there is schema.dump'),
  ];
}

/** Amounts of money are read by the locale that they were written by: where another is set, wrongly or not at all. */
function pgRestore(engine: unknown): string {
  const { lc_monetary: money, has_money: isUsed } = (engine ?? {}) as Record<string, unknown>;
  const option = `-c lc_monetary=${String(money).replace(/[\\ ]/g, '\\$&')}`;
  const isSaid = typeof money === 'string' && isUsed !== false;
  return `${isSaid ? `PGOPTIONS=${shellWord(option)} ` : ''}pg_restore -d NEW-DATABASE`;
}

function postgresCommands(engine: unknown, all: readonly ManifestArtifact[]): string[] {
  const load = pgRestore(engine);
  const contents = all.find(({ format }) => format === 'pg_dump-directory-toc')?.member;
  if (contents !== undefined) return [`${load} ${shellWord(contents.replace(/\/?[^/]*$/, '') || '.')}`];
  const archive = all.find(({ format }) => format === 'pg_dump-custom')?.member;
  if (archive === 'database.dump') return [`${load} ${archive}`];
  return archive === 'schema.dump' ? postgresExportCommands(load) : [];
}

function postgresExportCommands(load: string, where = ''): string[] {
  return [
    `${load} --section=pre-data --section=data schema.dump${where}`,
    ROWS_BY_HAND,
    `${load} --section=post-data schema.dump${where}`,
  ];
}

const ROWS_BY_HAND = '# the rows: schema.json says how the values of each .jsonl file are written';

/**
 * Into a database of the old name, character set and collation: definitions may name it, or take those from it. MariaDB's
 * client leaves comments out of code, and both make LF of its CR LF, unless they are told.
 */
function mysqlCommands(engine: unknown, members: readonly string[]): string[] {
  const text = (key: string) => {
    const value = (engine as Record<string, unknown> | undefined)?.[key];
    return typeof value === 'string' ? value : '';
  };
  const name = text('schema') || 'NEW-DATABASE';
  const plain = ['charset', 'collation'].map(text).filter((word) => /^\w+$/.test(word));
  const defaults = plain.length === 2 ? ` CHARACTER SET ${plain[0]} COLLATE ${plain[1]}` : '';
  const client = text('flavour') === 'mariadb' ? 'mariadb' : 'mysql';
  const create = `${client} -e ${shellWord(`CREATE DATABASE \`${name.replaceAll('`', '``')}\`${defaults}`)}`;
  const load = (file: string) =>
    `${client} --binary-mode --comments ${shellWord(`--database=${name}`)} < ${file}`;
  if (members.includes('database.sql')) return [`${create} && ${load('database.sql')}`];
  if (!members.includes('schema.sql')) return [];
  return [
    `${create} && ${load('schema.sql')}`,
    `${ROWS_BY_HAND}; first SET NAMES utf8mb4, ${ROW_SESSION}`,
    load('triggers.sql'),
  ];
}

/** What rows need that are loaded by INSERT: keys of 0, days that no month has, tables in any order, times in UTC. */
const ROW_SESSION =
  "time_zone = '+00:00', sql_mode = 'NO_AUTO_VALUE_ON_ZERO,ALLOW_INVALID_DATES', foreign_key_checks = 0";

/**
 * Where the bytes of an artifact go: into what a `schema.json` beside them calls them, and files of a folder (mongodump's,
 * pg_dump's) into that folder.
 */
function placeOf({ name, member }: ManifestArtifact): { folder: string; file: string } {
  if (!isSafeEntryPath(fromText(member))) return { folder: '', file: name.replace(/\.(zst|gz|lz4)$/, '') };
  const slash = member.lastIndexOf('/');
  if (slash < 0) return { folder: '', file: shellWord(member) };
  return { folder: `mkdir -p -- ${shellWord(member.slice(0, slash))} && `, file: shellWord(member) };
}
