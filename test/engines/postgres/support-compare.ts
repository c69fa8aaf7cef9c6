import { spawnSync } from 'node:child_process';
import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import type { PostgresServer } from '../../services/postgres.mjs';
import { postgresPrograms } from '../../services/postgres.mjs';
import type { Bench } from './support.ts';

/** The schema as pg_dump writes it, without what differs by right: its random key, and who is who. */
export function schemaText(
  server: PostgresServer,
  bench: Bench,
  database: string,
  more: string[] = [],
): string {
  const passfile = join(bench.folder, 'compare.pgpass');
  writeFileSync(passfile, `*:*:*:*:${server.password.replace(/[\\:]/g, '\\$&')}\n`);
  chmodSync(passfile, 0o600);
  const bin = server.bin ?? postgresPrograms(18) ?? '/usr/bin';
  const result = spawnSync(
    join(bin, 'pg_dump'),
    ['-s', '-h', server.host, '-p', String(server.port), '-U', server.user, '-w', ...more, database],
    { env: { PATH: process.env['PATH'], PGPASSFILE: passfile }, encoding: 'utf8', maxBuffer: 1e9 },
  );
  rmSync(passfile);
  if (result.status !== 0) throw new Error(result.stderr);
  return (
    result.stdout
      .replace(/^\\(un)?restrict .*$/gm, '')
      .replace(/^-- Dumped .*$/gm, '')
      // How the server writes `varchar IN (…)` back before, and how after, it was dumped and restored once.
      .replace(/\(ARRAY\[([^\]]*)\]\)::text\[\]/g, (_, items: string) => {
        const casts = items.split(', ').map((item) => `(${item})::text`);
        return `ARRAY[${casts.join(', ')}]`;
      })
  );
}

/** A checksum and a count of each table's rows, of each sequence's state, and of large objects. */
export async function contentSums(bench: Bench, database: string): Promise<Record<string, string>> {
  const tables = (await bench.sql(
    database,
    `SELECT format('%I.%I', n.nspname, c.relname) AS name, c.relkind AS kind,
        -- Children may come back with their columns in another order.
        (SELECT coalesce(string_agg(quote_ident(attname), ', ' ORDER BY attname), '') FROM pg_attribute
          WHERE attrelid = c.oid AND attnum > 0 AND NOT attisdropped) AS columns
      FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
      WHERE c.relkind IN ('r', 'S', 'm') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
        AND (c.relkind <> 'm' OR c.relispopulated) ORDER BY 1`,
  )) as { name: string; kind: string; columns: string }[];
  const sums: Record<string, string> = {};
  for (let at = 0; at < tables.length; at += 100) {
    const parts = tables.slice(at, at + 100).map(({ name, kind, columns }) => {
      const what = kind === 'S' ? 'last_value, is_called' : columns;
      const only = kind === 'r' ? 'ONLY ' : '';
      return `SELECT ${pg.escapeLiteral(name)} AS name, (SELECT count(*) || ' ' || coalesce(md5(string_agg(t, '|' ORDER BY t COLLATE "C")), '')
        FROM (SELECT ROW(${what})::text AS t FROM ${only}${name}) x) AS sum`;
    });
    for (const { name, sum } of await bench.sql(database, parts.join(' UNION ALL '))) {
      sums[name as string] = sum as string;
    }
  }
  const [objects] = await bench.sql(
    database,
    `SELECT string_agg(oid || ':' || md5(lo_get(oid)), ',' ORDER BY oid) AS sum FROM pg_largeobject_metadata`,
  );
  sums['large objects'] = String(objects!['sum']);
  return sums;
}
