import { nameOf, tokenize } from '../sql/tokens.ts';
import { inOrder, namesRead } from '../sql/view-order.ts';

/** It names the dumped database, around code that was made while that had another collation. */
const BEFORE_CODE =
  /^ALTER DATABASE `(?:[^`]|``)*` (?=CHARACTER SET \w+ COLLATE \w+ ;;?\n\/\*!50003 SET @saved_cs_client )/gm;
const AFTER_CODE =
  /^(\/\*!50003 SET collation_connection {2}= @saved_col_connection \*\/ ;;?\n)ALTER DATABASE `(?:[^`]|``)*` (?=CHARACTER SET \w+ COLLATE \w+ ;;?\n)/gm;
const LAST_LINES = 4;
/** The tool ends with the views, one after the other. */
const VIEWS = '\n--\n-- Final view structure for view `';
const VIEW =
  /\n--\n-- Final view structure for view `[^\n]*`\n--\n\n\/\*!50001 DROP VIEW IF EXISTS (`(?:[^`]|``)*`)\*\/;\n([\s\S]*?)\n\/\*!50001 SET collation_connection {6}= @saved_col_connection \*\/;\n/y;

/**
 * What a dump tool writes of definitions, so that its client alone loads it into an empty database of any name:
 *
 * - Views come by their names, each upon a stand-in where it reads from a later one. The server takes that for a view
 *   that nobody can write to (MariaDB for good), and refuses WITH CHECK OPTION, at which the client stops: they are put
 *   in an order of their own.
 * - ALTER DATABASE names the dumped database, which would be changed, or is not there: it is the client's own instead.
 *
 * Nothing else is touched.
 */
export async function* loadable(
  chunks: AsyncIterable<Uint8Array>,
  schema: string,
): AsyncGenerator<Uint8Array> {
  let text = '';
  for await (const chunk of chunks) {
    const more = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength).toString('latin1');
    text = withoutName(text + more);
    const views = text.indexOf(VIEWS);
    // The last lines may be the beginning of what is looked for.
    const end = views < 0 ? beforeLastLines(text) : views;
    if (end === 0) continue;
    yield Buffer.from(text.slice(0, end), 'latin1');
    text = text.slice(end);
  }
  if (text !== '') yield Buffer.from(viewsInOrder(text, Buffer.from(schema).toString('latin1')), 'latin1');
}

function withoutName(text: string): string {
  return text.replace(BEFORE_CODE, 'ALTER DATABASE ').replace(AFTER_CODE, '$1ALTER DATABASE ');
}

function beforeLastLines(text: string): number {
  let at = text.length;
  for (let line = 0; line < LAST_LINES && at > 0; line++) at = text.lastIndexOf('\n', at - 1);
  return Math.max(0, at);
}

/** The end of a dump, in which a comment in a routine may look like where the views begin. */
function viewsInOrder(text: string, schema: string): string {
  for (let from = text.indexOf(VIEWS); from >= 0; from = text.indexOf(VIEWS, from + 1)) {
    const views: { name: string; names: ReadonlySet<string>; text: string }[] = [];
    let end = from;
    for (VIEW.lastIndex = from; ; end = VIEW.lastIndex) {
      const match = VIEW.exec(text);
      if (match === null) break;
      const [all, name, sql] = match as unknown as [string, string, string];
      views.push({ name: nameOf(tokenize(name)[0]!), names: namesRead(sql, schema), text: all });
    }
    if (text.includes(VIEWS, end)) continue;
    const ordered = inOrder(views).map((view) => view.text);
    return text.slice(0, from) + ordered.join('') + text.slice(end);
  }
  return text;
}
