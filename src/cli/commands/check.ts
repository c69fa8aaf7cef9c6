import { redact } from '../../config/secret.ts';
import { checkDatasource, type DatasourceHealth } from '../../core/health/datasource.ts';
import { checkDestination, type DestinationHealth } from '../../core/health/destination.ts';
import { inParallel } from '../../core/health/limit.ts';
import { chooseNames } from '../../core/health/names.ts';
import type { Health } from '../../engines/health.ts';
import { formatDuration } from '../../plan/duration.ts';
import { type Context, openDestination } from '../context.ts';
import { waitOf } from '../jobs.ts';
import { jsonDocument } from '../render/outcome.ts';
import { tableText } from '../render/table.ts';
import { durationText, plainText, sizeText } from '../render/text.ts';

interface Options {
  readonly timeout?: string;
}

const DEFAULT_TIMEOUT_MS = 15_000;
/** Looked at side by side: they wait for the network, not for us. */
const AT_ONCE = 8;

/** Health of datasources and destinations: all of them, or those of the names. */
export async function checkCommand(
  context: Context,
  names: readonly string[],
  options: Options,
): Promise<number> {
  const config = await context.config();
  const { runtime } = context;
  const chosen = chooseNames(config, names, 'check');
  const limitMs = options.timeout === undefined ? DEFAULT_TIMEOUT_MS : waitOf(options.timeout, '--timeout');
  const open = (name: string) => openDestination(context, name);
  const [datasources, destinations] = await Promise.all([
    inParallel(chosen.datasources, AT_ONCE, (name) => checkDatasource(config, name, limitMs, runtime)),
    inParallel(chosen.destinations, AT_ONCE, (name) => {
      const { type, optional } = config.destinations[name] ?? { type: 'local', optional: false };
      return checkDestination(name, type, optional, open, limitMs, runtime);
    }),
  ]);
  const errors = [...datasources, ...destinations].flatMap(({ error }) => (error ? [error] : []));
  const status = exitOf(datasources, destinations);
  for (const error of errors) context.report(error);
  for (const { name, health } of datasources) {
    for (const { name: subject, message } of health.leftovers ?? [])
      context.warn(`${message}; dguard doctor ${name} says what removes it`, `${name}: ${subject}`);
  }
  if (context.options.json) {
    const fields = {
      datasources: datasources.map(datasourceJson),
      destinations: destinations.map(destinationJson),
    };
    context.print(jsonDocument('check', status, fields, errors));
  } else await printTables(context, datasources, destinations);
  return status;
}

/** 0: all well; 3: some; 1: none; 75: only what may be offline is not well. */
function exitOf(
  datasources: readonly DatasourceHealth[],
  destinations: readonly DestinationHealth[],
): number {
  const failed = [...datasources, ...destinations].filter(({ error }) => error !== undefined);
  if (failed.length === 0) return 0;
  if (failed.every((each) => 'optional' in each && each.optional)) return 75;
  return failed.length === datasources.length + destinations.length ? 1 : 3;
}

async function printTables(
  context: Context,
  datasources: readonly DatasourceHealth[],
  destinations: readonly DestinationHealth[],
): Promise<void> {
  if (datasources.length > 0) {
    const rows = datasources.map(({ name, type, health }) => {
      const fact = (key: string) => numberOf(health, key);
      const uptime = fact('uptime_seconds');
      const free = fact('free_bytes');
      return [
        name,
        type,
        health.status,
        health.latencyMs === undefined ? '-' : durationText(health.latencyMs),
        health.serverVersion === undefined ? '-' : plainText(health.serverVersion),
        uptime === undefined ? '-' : formatDuration(uptime * 1000),
        connectionsText(fact('connections'), fact('max_connections')),
        health.sizeBytes === undefined ? '-' : sizeText(health.sizeBytes),
        free === undefined ? '-' : sizeText(free),
      ];
    });
    const head = [
      'datasource',
      'type',
      'status',
      'latency',
      'version',
      'up',
      'connections',
      'size',
      'disk free',
    ];
    context.print(await tableText(head, rows));
  }
  if (destinations.length === 0) return;
  const rows = destinations.map((each) => [
    plainText(each.name),
    each.type,
    each.status,
    each.roundTripMs === undefined ? '-' : durationText(each.roundTripMs),
    each.freeBytes === undefined ? '-' : sizeText(each.freeBytes),
    each.limitBytes === undefined ? '-' : sizeText(each.limitBytes),
    plainText(each.label ?? '-'),
  ]);
  const head = ['destination', 'type', 'status', 'round trip', 'free', 'limit', 'where'];
  context.print(await tableText(head, rows));
}

function connectionsText(connections: number | undefined, max: number | undefined): string {
  if (connections === undefined) return '-';
  return max === undefined ? String(connections) : `${connections} of ${max}`;
}

function numberOf({ facts }: Health, key: string): number | undefined {
  const value = facts?.[key];
  return typeof value === 'number' ? value : undefined;
}

function datasourceJson({ name, type, health, error }: DatasourceHealth): object {
  return {
    name,
    type,
    status: health.status,
    message: messageOf(health.message ?? error?.message),
    latency_ms: health.latencyMs ?? null,
    server_version: health.serverVersion ?? null,
    size_bytes: health.sizeBytes ?? null,
    facts: health.facts ?? {},
    leftovers: health.leftovers ?? [],
  };
}

function destinationJson(each: DestinationHealth): object {
  return {
    name: each.name,
    type: each.type,
    label: each.label ?? null,
    status: each.status,
    message: messageOf(each.error?.message),
    optional: each.optional,
    round_trip_ms: each.roundTripMs ?? null,
    free_bytes: each.freeBytes ?? null,
    limit_bytes: each.limitBytes ?? null,
    clock_ahead_ms: each.clockAheadMs ?? null,
  };
}

function messageOf(text: string | undefined): string | null {
  return text === undefined ? null : redact(text);
}
