import * as z from 'zod';
import { datasource } from './datasources.ts';
import { destination } from './destinations.ts';
import { count, list, name, path, text, timezone } from './fields.ts';
import { job } from './jobs.ts';
import { notification } from './notifications.ts';

/** The sections that hold things by name; `include` merges them name by name. */
export const NAMED_SECTIONS = ['datasources', 'destinations', 'jobs', 'notifications'] as const;

/** The whole file. `include` is resolved before this schema is asked. */
export const root = z.strictObject({
  version: z.literal(1),
  include: list(text()).optional(),
  defaults: z
    .strictObject({
      timezone: timezone().optional(),
      temp_dir: path().optional(),
      max_concurrent_backups: count(1, 256).optional(),
      namespace: name().optional(),
      host: name().optional(),
    })
    .optional(),
  datasources: z.record(name(), datasource).optional(),
  destinations: z.record(name(), destination).optional(),
  jobs: z.record(name(), job).optional(),
  notifications: z.record(name(), notification).optional(),
});

export type RootInput = z.output<typeof root>;
