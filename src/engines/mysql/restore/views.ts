import type { Token } from '../sql/tokens.ts';
import { inOrder, namesRead } from '../sql/view-order.ts';

/** A view of a dump, with what is set when it is created. */
interface HeldView {
  readonly name: string;
  readonly sql: string;
  readonly charset: string;
  readonly collation: string;
  /** Of what it may read from. */
  readonly names: ReadonlySet<string>;
}

/**
 * The views of a dump, which come by their names with a stand-in of each before. Upon a stand-in the server makes a view
 * that cannot be written to (MariaDB remembers that), and refuses WITH CHECK OPTION. So they are held, and made at the
 * end, each after those that it names. All texts are byte strings.
 * `schema`: where they are made.
 */
export function heldViews(schema: string) {
  const views: HeldView[] = [];
  const set = { character_set_client: 'utf8mb4', collation_connection: 'utf8mb4_general_ci' };
  return {
    /** A SET statement that is sent. */
    set(words: readonly Token[]): void {
      const name = words[1]?.text.toLowerCase();
      if (name !== 'character_set_client' && name !== 'collation_connection') return;
      if (words[3]?.type === 'word' && words.length === 4) set[name] = words[3].text;
    },
    hold(name: string, sql: string): void {
      views.push({
        name,
        sql,
        charset: set.character_set_client,
        collation: set.collation_connection,
        names: namesRead(sql, schema),
      });
    },
    statements(): string[] {
      if (views.length === 0) return [];
      return [
        "SET sql_mode = 'NO_AUTO_VALUE_ON_ZERO'",
        ...inOrder(views).ordered.flatMap(({ sql, charset, collation }) => [
          `SET character_set_client = ${charset}, collation_connection = ${collation}`,
          sql,
        ]),
      ];
    },
  };
}
