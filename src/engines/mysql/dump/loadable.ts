import { nameOf, tokenize } from '../sql/tokens.ts';
import { inOrder, namesRead } from '../sql/view-order.ts';

const LAST_LINES = 4;
/** The tool ends with the views, one after the other. */
const VIEWS = '\n--\n-- Final view structure for view `';
const VIEW =
  /\n--\n-- Final view structure for view `[^\n]*`\n--\n\n\/\*!50001 DROP VIEW IF EXISTS (`(?:[^`]|``)*`)\*\/;\n((?:(?!\n--\n-- Final view structure )[\s\S])*?)\n\/\*!50001 SET collation_connection {6}= @saved_col_connection \*\/;\n/y;

/**
 * What a dump tool writes of definitions, so that its client alone loads it into an empty database of any name:
 *
 * - Views come by their names, each upon a stand-in where it reads from a later one. The server takes that for a view
 *   that nobody can write to (MariaDB for good), and refuses WITH CHECK OPTION, at which the client stops: they are put
 *   in an order of their own.
 * - ALTER DATABASE, around code that was made while the dumped database had another collation, names that database,
 *   which would be changed, or is not there: it is the client's own instead.
 *
 * Where the text is not as the tools write it, it stays as it is.
 */
export async function* loadable(
  chunks: AsyncIterable<Uint8Array>,
  schema: string,
): AsyncGenerator<Uint8Array> {
  const name = Buffer.from(schema).toString('latin1');
  const withoutName = nameRemover(name);
  let text = '';
  /** From where the views may begin. */
  const tail: string[] = [];
  for await (const chunk of chunks) {
    const more = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString('latin1');
    if (tail.length > 0) {
      tail.push(more);
      continue;
    }
    text = withoutName(text + more);
    const views = text.indexOf(VIEWS);
    // The last lines may be the beginning of what is looked for.
    const end = views < 0 ? beforeLastLines(text) : views;
    if (end > 0) yield Buffer.from(text.slice(0, end), 'latin1');
    text = text.slice(end);
    if (views >= 0) tail.push(text);
  }
  const last = tail.length > 0 ? withoutName(tail.join('')) : text;
  if (last !== '') yield Buffer.from(viewsInOrder(last, name), 'latin1');
}

/** `name`: a byte string, as all texts here. The tools escape it as a text, too, before some of the code. */
function nameRemover(name: string): (text: string) => string {
  const escaped = name.replace(/['"\\\0\n\r\x1a]/g, (sign) => ESCAPES[sign] ?? `\\${sign}`);
  const names = [name, escaped].map((one) => literally(`\`${one.replaceAll('`', '``')}\``)).join('|');
  const before = new RegExp(
    `^ALTER DATABASE (?:${names}) (?=CHARACTER SET \\w+ COLLATE \\w+ ;;?\\n/\\*!50003 SET @saved_cs_client )`,
    'gm',
  );
  const after = new RegExp(
    `^(/\\*!50003 SET collation_connection {2}= @saved_col_connection \\*/ ;;?\\n)ALTER DATABASE (?:${names}) (?=CHARACTER SET \\w+ COLLATE \\w+ ;;?\\n)`,
    'gm',
  );
  return (text) => text.replace(before, 'ALTER DATABASE ').replace(after, '$1ALTER DATABASE ');
}

/** mysql_real_escape_string(3). */
const ESCAPES: Readonly<Record<string, string>> = { '\0': '\\0', '\n': '\\n', '\r': '\\r', '\x1a': '\\Z' };

function literally(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

function beforeLastLines(text: string): number {
  let at = text.length;
  for (let line = 0; line < LAST_LINES && at > 0; line++) at = text.lastIndexOf('\n', at - 1);
  return Math.max(0, at);
}

/** The end of a dump, in which a comment in a routine may look like where the views begin. */
function viewsInOrder(text: string, schema: string): string {
  for (let from = text.indexOf(VIEWS); from >= 0; ) {
    const views: { name: string; names: ReadonlySet<string>; text: string }[] = [];
    let end = from;
    for (VIEW.lastIndex = from; ; end = VIEW.lastIndex) {
      const match = VIEW.exec(text);
      if (match === null) break;
      const [all, name, sql] = match as unknown as [string, string, string];
      views.push({ name: nameOf(tokenize(name)[0]!), names: namesRead(sql, schema), text: all });
    }
    const next = text.indexOf(VIEWS, Math.max(end, from + 1));
    if (next < 0) {
      const { ordered, isCyclic } = inOrder(views);
      if (isCyclic) return text;
      return text.slice(0, from) + ordered.map((view) => view.text).join('') + text.slice(end);
    }
    from = next;
  }
  return text;
}
