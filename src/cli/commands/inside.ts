import type { ContentEntry } from '../../archive/entry.ts';
import { displayPath, fromText, withoutEnds } from '../../archive/paths.ts';
import { type OpenContent, openContent } from '../../archive/reader.ts';
import { type Change, changesBetween } from '../../core/diff.ts';
import { asStored, findCopy, readCatalogs, resolver } from '../../core/find.ts';
import { DguardError } from '../../errors.ts';
import { type Context, openDestinations } from '../context.ts';
import { jsonPieces } from '../render/outcome.ts';

interface From {
  readonly from?: string;
  readonly destination?: string;
}

async function open(context: Context, id: string, options: From): Promise<OpenContent> {
  const destinations = await openDestinations(context, options.from ?? options.destination);
  const catalogs = await readCatalogs(destinations, context.runtime.signal);
  const copy = findCopy(catalogs, id);
  return openContent(asStored(copy), resolver(catalogs.entries, copy), context.runtime.signal);
}

export async function lsCommand(
  context: Context,
  id: string,
  path: string | undefined,
  options: From,
): Promise<number> {
  const content = await open(context, id, options);
  const found: object[] = [];
  let count = 0;
  for await (const entry of content.entries(path === undefined ? {} : { only: [path] })) {
    count++;
    if (context.options.json)
      found.push({ path: displayPath(entry.path), kind: entry.kind, ...sizeOf(entry) });
    else context.print(line(entry));
  }
  if (path !== undefined && count === 0) {
    throw new DguardError('unknown_name', `there is nothing of the name ${path} in ${id}`, {
      operation: 'ls',
      subject: id,
      hint: `\`dguard ls ${id}\` shows what there is`,
    });
  }
  if (context.options.json) context.print(jsonPieces('ls', 0, { entries: found }, []));
  return 0;
}

function sizeOf(entry: ContentEntry): object {
  return entry.type === 'table' ? { rows: entry.rows ?? null } : { size: entry.size };
}

function line(entry: ContentEntry): string {
  const path = displayPath(entry.path) || '.';
  if (entry.type === 'table') return `table      ${String(entry.rows ?? '?').padStart(12)} rows  ${path}`;
  if (entry.type === 'stream') return `stream     ${String(entry.size).padStart(12)}       ${path}`;
  const mode = entry.mode.toString(8).padStart(4, '0');
  const link = entry.link === undefined ? '' : ` -> ${displayPath(entry.link)}`;
  return `${entry.kind.padEnd(10)} ${String(entry.size).padStart(12)} ${mode}  ${path}${link}`;
}

export async function catCommand(
  context: Context,
  id: string,
  member: string,
  options: From,
): Promise<number> {
  if (context.options.json) {
    throw new DguardError(
      'usage',
      'cat writes the bytes of one file to stdout: there is no document of them',
      {
        operation: 'cat',
        subject: id,
        hint: `leave out --json; \`dguard ls ${id} --json\` lists what there is`,
      },
    );
  }
  const content = await open(context, id, options);
  const entry = await entryOf(content, withoutEnds(member));
  if (
    !entry ||
    (entry.type === 'tree' && entry.kind !== 'file' && entry.kind !== 'hardlink') ||
    entry.type === 'table'
  ) {
    const found =
      entry?.type === 'tree' ? `${member} is no file but a ${entry.kind}` : entry && `${member} is a table`;
    throw new DguardError('unknown_name', found ?? `there is no file or member ${member} in ${id}`, {
      operation: 'cat',
      subject: id,
      hint: `\`dguard ls ${id}\` shows what there is`,
    });
  }
  const real =
    entry.type === 'tree' && entry.kind === 'hardlink' ? await content.entry(entry.link ?? '') : entry;
  if (!real) {
    throw new DguardError('corrupt', `the hard link ${member} leads nowhere`, {
      operation: 'cat',
      subject: id,
      hint: `\`dguard verify ${id}\` says what else is wrong with it`,
    });
  }
  for await (const bytes of content.read(real)) if (!(await context.write(bytes))) break;
  return 0;
}

/** By its path, or by what is shown of one that cannot be typed; undefined where several are shown alike. */
async function entryOf(content: OpenContent, path: string): Promise<ContentEntry | undefined> {
  const entry = await content.entry(fromText(path));
  if (entry || !path.includes('\\')) return entry;
  const alike: ContentEntry[] = [];
  for await (const each of content.entries()) if (displayPath(each.path) === path) alike.push(each);
  return alike.length === 1 ? alike[0] : undefined;
}

export async function diffCommand(
  context: Context,
  older: string,
  newer: string,
  options: From,
): Promise<number> {
  const changes: Change[] = [];
  for await (const change of changesBetween(
    await open(context, older, options),
    await open(context, newer, options),
  )) {
    if (context.options.json) changes.push(change);
    else context.print(`${change.change.padEnd(8)} ${change.path || '.'}`);
  }
  if (context.options.json) context.print(jsonPieces('diff', 0, { changes }, []));
  return 0;
}
