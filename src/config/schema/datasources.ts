import * as z from 'zod';
import {
  commandPaths,
  commandWords,
  count,
  duration,
  list,
  path,
  port,
  secret,
  sslMode,
  text,
} from './fields.ts';

const common = {
  tags: list(text()).optional(),
  undo_keep: count(0, 1000).optional(),
};

const network = {
  ...common,
  host: text()
    .refine((value) => !/\s/.test(value), 'must be a host name or address alone')
    .optional(),
  port: port().optional(),
  database: list(text(), 1).optional(),
  username: text().optional(),
  ...secret('password'),
  ssl: sslMode().optional(),
  ssl_ca: path().optional(),
  ssl_cert: path().optional(),
  ssl_key: path().optional(),
  socket: path().optional(),
  ...secret('uri', 'uri'),
  client_path: commandPaths().optional(),
  client_command: commandWords().optional(),
  run_as: text().optional(),
};

/** Patterns and file names: a blank one would match nothing, or everything. */
const pattern = () => z.string().refine((value) => value.trim() !== '', 'must not be empty');

export const datasource = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('postgres'),
    ...network,
    row_counts: z.enum(['exact', 'estimate']).optional(),
    role_passwords: z.boolean().optional(),
    lock_timeout: duration().optional(),
    statement_timeout: duration().optional(),
  }),
  z.strictObject({
    type: z.literal('mysql'),
    ...network,
    lock_tables: z.boolean().optional(),
    include_users: z.boolean().optional(),
    hidden_routines: z.enum(['partial', 'ignore']).optional(),
    definer: text()
      .refine(
        (value) => ['keep', 'strip'].includes(value) || /^[^@]+@[^@]+$/.test(value),
        'must be keep, strip or an account as user@host',
      )
      .optional(),
  }),
  z.strictObject({ type: z.literal('mongodb'), ...network, auth_source: text().optional() }),
  z.strictObject({
    type: z.literal('sqlserver'),
    ...network,
    server_path: text().optional(),
    local_path: path().optional(),
  }),
  z.strictObject({ type: z.literal('sqlite'), ...common, file_path: path() }),
  z.strictObject({
    type: z.literal('files'),
    ...common,
    source_path: list(path(), 1),
    include_patterns: list(pattern()).optional(),
    exclude_patterns: list(pattern()).optional(),
    one_file_system: z.boolean().optional(),
    exclude_if_present: list(
      text().refine((value) => !value.includes('/'), 'must be a file name without /'),
    ).optional(),
    exclude_caches: z.boolean().optional(),
  }),
]);

export type DatasourceInput = z.output<typeof datasource>;
