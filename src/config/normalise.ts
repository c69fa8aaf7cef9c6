import { normaliseDatasource } from './normalise/datasources.ts';
import { normaliseDestination } from './normalise/destinations.ts';
import { given, mapNames } from './normalise/given.ts';
import { normaliseJob } from './normalise/jobs.ts';
import { normaliseNotification } from './normalise/notifications.ts';
import type { RootInput } from './schema/root.ts';
import { type Secrets, under } from './secrets.ts';
import type { Config } from './types.ts';

/** Checked input as the rest of dguard wants it: defaults filled in, durations in milliseconds, secrets wrapped. */
export function normalise(input: RootInput, secrets: Secrets, localTimezone: () => string): Config {
  const { timezone, max_concurrent_backups = 2, namespace = '', ...rest } = input.defaults ?? {};
  return {
    version: 1,
    defaults: given({
      get timezone() {
        return timezone ?? localTimezone();
      },
      max_concurrent_backups,
      namespace,
      ...rest,
    }),
    datasources: mapNames(input.datasources, (name, entry) =>
      normaliseDatasource(name, entry, under(secrets, ['datasources', name])),
    ),
    destinations: mapNames(input.destinations, (name, entry) =>
      normaliseDestination(name, entry, under(secrets, ['destinations', name])),
    ),
    jobs: mapNames(input.jobs, (name, entry) =>
      normaliseJob(name, entry, () => timezone ?? localTimezone(), under(secrets, ['jobs', name])),
    ),
    notifications: mapNames(input.notifications, (name, entry) =>
      normaliseNotification(name, entry, under(secrets, ['notifications', name])),
    ),
  };
}
