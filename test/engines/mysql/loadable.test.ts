import { describe, expect, it } from 'vitest';
import { loadable } from '../../../src/engines/mysql/dump/loadable.ts';
import { inOrder, namesRead } from '../../../src/engines/mysql/sql/view-order.ts';

/** What becomes of the definitions of a dump of the schema `shöp`, in chunks of a size. */
async function loaded(text: string, size = 64): Promise<string> {
  const bytes = Buffer.from(text);
  async function* chunks(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
  }
  const parts: Uint8Array[] = [];
  for await (const part of loadable(chunks(), 'shöp')) parts.push(part);
  return Buffer.concat(parts).toString();
}

const view = (name: string, query: string) => `
--
-- Final view structure for view \`${name}\`
--

/*!50001 DROP VIEW IF EXISTS \`${name}\`*/;
/*!50001 SET @saved_cs_client          = @@character_set_client */;
/*!50001 CREATE ALGORITHM=UNDEFINED */
/*!50013 DEFINER=\`last\`@\`%\` SQL SECURITY DEFINER */
/*!50001 VIEW \`${name}\` AS ${query} */;
/*!50001 SET character_set_client      = @saved_cs_client */;
/*!50001 SET collation_connection      = @saved_col_connection */;
`;
const HEAD = '-- Tables, stand-ins and code\n';
const TAIL = '\n/*!40101 SET SQL_MODE=@OLD_SQL_MODE */;\n-- Dump completed\n';
const altered = (name: string) =>
  `ALTER DATABASE \`${name}\` CHARACTER SET latin1 COLLATE latin1_swedish_ci ;\n/*!50003 SET @saved_cs_client      = @@character_set_client */ ;\n`;

describe('mysql: the definitions of a dump', () => {
  it.each([1, 7, 64, 1 << 20])('hold views in an order that loads, in chunks of %i bytes', async (size) => {
    const first = view('b', 'select `t`.`id` AS `a` from `t`');
    const second = view('a', 'select `x`.`id` AS `id` from `shöp`.`b` `x`');
    expect(await loaded(HEAD + second + first + TAIL, size)).toBe(HEAD + first + second + TAIL);
  });

  it.each([
    ['an alias', 'select `last`.`id` AS `id` from `t` `last`'],
    ['an alias behind AS', 'select `t`.`id` AS `last` from `t`'],
    ['an alias of a query', 'select `last`.`id` AS `id` from (select 1 AS `id`) `last`'],
    ['a table of another schema', 'select `y`.`id` AS `id` from `other`.`last` `y`'],
    ['a function', 'select `last`(`t`.`id`) AS `id` from `t`'],
    ['a definer', 'select `t`.`id` AS `id` from `t`'],
  ])('%s is no view that is read', async (_, query) => {
    const dump =
      HEAD + view('first', query) + view('last', 'select `first`.`id` AS `id` from `first`') + TAIL;
    expect(await loaded(dump)).toBe(dump);
  });

  it('stay in their order where their names go round', async () => {
    const query = (other: string) => `select \`t\`.\`id\` AS \`${other}\` from \`t\` order by \`${other}\``;
    const dump = HEAD + view('b', query('a')) + view('a', query('b')) + TAIL;
    expect(await loaded(dump)).toBe(dump);
  });

  it('do not name their database around code, and another one is not touched', async () => {
    expect(await loaded(HEAD + altered('shöp') + TAIL, 5)).toBe(
      HEAD + altered('shöp').replace('`shöp` ', '') + TAIL,
    );
    expect(await loaded(HEAD + altered('other') + TAIL, 5)).toBe(HEAD + altered('other') + TAIL);
  });

  it('a heading of views in a comment of a routine changes nothing before or behind it', async () => {
    const comment = '/*\n--\n-- Final view structure for view `x`\n--\n*/\n';
    const [a, b] = [view('a', 'select `b`.`id` AS `id` from `b`'), view('b', 'select 1 AS `id`')];
    expect(await loaded(HEAD + comment + a + b + TAIL)).toBe(HEAD + comment + b + a + TAIL);
  });
});

it('views that read from each other by name are found behind brackets and joins, at any depth', () => {
  const names = namesRead(
    'CREATE ALGORITHM=UNDEFINED DEFINER=`d`@`%` SQL SECURITY DEFINER VIEW `v` AS select `a`.`x` AS `x` from ((`a` join `b` on(`a`.`x` = `b`.`x`)) left join `s`.`c` `z` on(exists(select 1 from `e` where `e`.`x` = `z`.`x`)))',
    's',
  );
  expect([...names].sort()).toEqual(['a', 'b', 'c', 'e']);
  const of = (name: string, ...read: string[]) => ({ name, names: new Set(read) });
  const { ordered, isCyclic } = inOrder([of('a', 'c', 'a'), of('b'), of('c', 'b')]);
  expect(ordered.map(({ name }) => name)).toEqual(['b', 'c', 'a']);
  expect(isCyclic).toBe(false);
});
