import { openChild } from '../../../child/open.ts';
import { DguardError } from '../../../errors.ts';
import type { Server } from '../server/server.ts';
import type { ServerInfo } from '../server/server-info.ts';
import { identifier } from '../server/session.ts';
import { compareVersions, type Tools } from '../server/tools.ts';
import { moveReferences } from '../sql/references.ts';
import { type CodeKind, createdKind, rewriteCode } from '../sql/rewrite.ts';
import { isWord, joined, nameOf, significant, type Token, tokenize } from '../sql/tokens.ts';
import { clientMarks } from './client-marks.ts';
import type { Script } from './content.ts';
import { loadFailure } from './load-failures.ts';
import { openRowLoaders } from './row-loaders.ts';
import { asRowMode, LOAD_MODE, withoutGoneMode } from './row-mode.ts';
import { type StatementHandler, scanStatements, sqlModeOf } from './scanner.ts';
import { heldViews } from './views.ts';

type Definer = Parameters<typeof rewriteCode>[1]['definer'];

export interface LoadRequest {
  readonly server: Server;
  readonly tools: Tools;
  /** Of the target. */
  readonly info: Pick<ServerInfo, 'flavour' | 'version'>;
  /** An empty schema. */
  readonly schema: string;
  /** The schema that was dumped. */
  readonly from: string;
  /** Where the sequences are that its tables take values from. */
  readonly sequences: string;
  readonly definer: Definer;
  /** What a trigger's table is called that its statement may write in another case; undefined: as it is written. */
  readonly storedTable?: ((written: string) => string) | undefined;
  /** Tables to load; undefined: everything. */
  readonly chosen?: (table: string) => boolean;
  /** Connections that load rows; undefined: as many as this host has cores, 2 to 4. */
  readonly parallelJobs?: number;
  readonly signal: AbortSignal;
  readonly onBytes: (count: number) => void;
}

export interface Loaded {
  /** How events were set in the backup; all are loaded disabled. */
  readonly events: Readonly<Record<string, string>>;
  /** Accounts that code was defined by. */
  readonly definers: ReadonlySet<string>;
}

/** Less than that is loaded before several connections have begun. */
const PARALLEL_BYTES = 8 * 1024 * 1024;

/**
 * Loads a dump with the client, rows of a large one over several connections meanwhile. Its statements are looked at on
 * their way: each must be one that a dump of one schema has. Throws `corrupt` for others, `target_failed` for what the
 * server refuses.
 */
export async function loadScript(script: Script, request: LoadRequest): Promise<Loaded> {
  const { server, tools } = request;
  const seen = { events: {} as Record<string, string>, definers: new Set<string>() };
  const read = async function* () {
    for await (const chunk of script.read(request.chosen ?? (() => true))) {
      request.onBytes(chunk.length);
      yield chunk;
    }
  };
  const argv = [
    ...tools.argv('client'),
    await server.optionArgument(tools.flavour),
    // Commands of the client itself, a shell's among them, are off but for DELIMITER.
    '--binary-mode',
    '--comments',
    '--batch',
    // Its answer to a mark comes at once.
    '--unbuffered',
    '--default-character-set=utf8mb4',
    '--max-allowed-packet=1073741824',
    `--init-command=${LOAD_MODE}`,
    `--database=${request.schema}`,
  ];
  const loaders =
    script.sizeBytes < PARALLEL_BYTES
      ? undefined
      : await openRowLoaders(server, request.schema, request.parallelJobs);
  const marks = clientMarks();
  try {
    const handler = dumpHandler({ ...request, aside: loaders !== undefined }, seen);
    const child = await openChild(argv, {
      env: server.env,
      signal: request.signal,
      redact: server.secrets,
      chunkBytes: 1,
      stdin: scanStatements(read(), handler, loaders && { ...loaders, mark: marks.mark }),
      failure: {
        code: 'target_failed',
        operation: 'load',
        subject: request.schema,
        hint: 'the target was not touched; solve what the client names, then restore again',
      },
    });
    await marks.watch(child.stdout);
    const { stdinCutShort } = await child.done;
    if (stdinCutShort || marks.missed()) {
      throw new DguardError('target_failed', `${tools.name}'s client ended before it had read the dump`, {
        operation: 'load',
        subject: request.schema,
      });
    }
  } catch (error) {
    throw loadFailure(error, request.schema);
  } finally {
    await loaders?.close();
  }
  return seen;
}

/** What a dump of one schema consists of; everything else is refused. */
export function dumpHandler(
  request: Pick<LoadRequest, 'schema' | 'from' | 'sequences' | 'definer' | 'storedTable' | 'chosen'> & {
    readonly info?: LoadRequest['info'];
    /** Rows may be loaded in any order by others. */
    readonly aside?: boolean;
  },
  seen: { events: Record<string, string>; definers: Set<string> },
): StatementHandler {
  const { chosen, storedTable } = request;
  const [from, to] = [byteString(request.from), byteString(request.schema)];
  const views = heldViews(to);
  let inRows = false;
  let mode = '';
  /** Without a primary key rows are kept in the order in which they come. */
  const inOrder = new Set<string>();
  const wanted = (token: Token | undefined) =>
    chosen === undefined || (token !== undefined && chosen(utf8(nameOf(token))));
  const only = (text: string, token: Token | undefined) => (wanted(token) ? text : undefined);
  return {
    statement(text) {
      const tokens = tokenize(text);
      const words = significant(tokens).map((at) => tokens[at]!);
      const [first, second] = words;
      // The client's comment at the end of a conditional one: `/*!50112 … */` of a newer server.
      if (first === undefined) return text;
      switch (first.text.toUpperCase()) {
        case 'SET': {
          if (words.some((token) => isWord(token, 'GLOBAL') || /^PERSIST/i.test(token.text)))
            throw foreign(text);
          const { sql, rows } = asRowMode(text);
          if (rows !== undefined) inRows = rows === 'begin' && request.aside === true;
          views.set(words);
          mode = sqlModeOf(text) ?? mode;
          return request.info !== undefined && hasNoGoneMode(request.info) ? withoutGoneMode(sql) : sql;
        }
        case 'UNLOCK':
        case 'COMMIT':
          return text;
        case 'DO':
        case 'SELECT':
          if (!words.some((token) => isWord(token, 'SETVAL'))) throw foreign(text);
          return only(
            text,
            words.find(({ type }) => type === 'name'),
          );
        case 'LOCK':
          return only(text, words[2]);
        case 'DROP': {
          const named = words.find(({ type }) => type === 'name');
          if (['DATABASE', 'SCHEMA', 'USER', 'ROLE'].includes(second?.text.toUpperCase() ?? ''))
            throw foreign(text);
          if (chosen === undefined || isWord(second, 'TABLE')) return only(text, named);
          return undefined;
        }
        case 'ALTER':
          if (isWord(second, 'TABLE')) return only(text, words[2]);
          if (isWord(second, 'DATABASE') || isWord(second, 'SCHEMA')) {
            // Around code of another collation than its schema's. Other dumps name the one that was dumped.
            if (chosen !== undefined) return undefined;
            return isWord(words[2], 'CHARACTER') ? text : renamed(tokens, words[2]!, request.schema);
          }
          throw foreign(text);
        case 'CREATE':
          return created(text, tokens, words);
        default:
          throw foreign(text);
      }
    },
    insert(head) {
      const tokens = tokenize(head);
      const name = tokens.find(({ type }) => type === 'name');
      if (!wanted(name)) return 'skip';
      return inRows && name !== undefined && !inOrder.has(nameOf(name)) ? 'aside' : 'pass';
    },
    end: () => views.statements(),
  };

  function created(text: string, tokens: readonly Token[], words: readonly Token[]): string | undefined {
    const kind = createdKind(tokens);
    if (kind === 'TABLE' || kind === 'SEQUENCE') {
      const name = words.find(({ type }) => type === 'name');
      if (
        name !== undefined &&
        !words.some((word, at) => isWord(word, 'PRIMARY') && isWord(words[at + 1], 'KEY'))
      )
        inOrder.add(nameOf(name));
      return only(moveSequences(text, from, byteString(request.sequences)), name);
    }
    if (!CODE.includes(kind as CodeKind)) throw foreign(text);
    // A function of a shared library: code for the server's own process.
    if (isWord(words.at(-2), 'SONAME')) throw foreign(text);
    const code = rewriteCode(text, {
      definer: request.definer,
      eventStatus: 'DISABLE',
      mode,
      ...(storedTable && { tableName: (name: string) => byteString(storedTable(utf8(name))) }),
      // MariaDB names the schema in a view whose definer is gone.
      ...(from === '' ? {} : { schema: { from, to } }),
    });
    if (code.definer !== undefined) seen.definers.add(utf8(code.definer));
    if (code.eventStatus !== undefined) seen.events[utf8(code.name)] = code.eventStatus;
    if (chosen === undefined && kind === 'view' && code.definer !== undefined) {
      views.hold(code.name, code.sql);
      return undefined;
    }
    if (chosen === undefined) return code.sql;
    return kind === 'trigger' && chosen(utf8(code.table ?? '')) ? code.sql : undefined;
  }
}

function hasNoGoneMode({ flavour, version }: LoadRequest['info']): boolean {
  return flavour === 'mysql' && compareVersions(version, '8.0.11') >= 0;
}

/** A table's definition whose defaults take from sequences where they are now. */
function moveSequences(text: string, from: string, to: string): string {
  if (from === '' || !/\bnextval\(/i.test(text)) return text;
  const tokens = tokenize(text);
  moveReferences(tokens, from, to);
  return joined(tokens);
}

const CODE: readonly CodeKind[] = ['view', 'trigger', 'function', 'procedure', 'package', 'event'];

function renamed(tokens: readonly Token[], name: Token, schema: string): string {
  const text = byteString(identifier(schema));
  return joined(tokens.map((token) => (token === name ? { type: 'name', text } : token)));
}

function byteString(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

function utf8(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

function foreign(text: string): DguardError {
  const shown = utf8(text).trim().replace(/\s+/g, ' ').slice(0, 80);
  return new DguardError('corrupt', `the dump holds what no dump of one database holds: ${shown}`, {
    operation: 'load',
    hint: 'the target was not touched; look at it by: dguard cat ID database.sql',
  });
}
