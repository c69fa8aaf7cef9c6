import type { Config } from '../../config/types.ts';
import type { Finding } from '../../engines/health.ts';
import { abortError, DguardError, errorText, toDguardError } from '../../errors.ts';
import type { Runtime } from '../../runtime.ts';
import type { Destination } from '../catalog.ts';
import { listUndo } from '../target.ts';
import { checkDatasource, withSource } from './datasource.ts';
import { diagnoseDestination } from './destination-findings.ts';
import { diagnoseHost } from './host-findings.ts';
import { inParallel, withTimeLimit } from './limit.ts';
import type { Chosen } from './names.ts';

/** A finding, and what it is about. */
export interface Diagnosis extends Finding {
  readonly kind: 'config' | 'host' | 'datasource' | 'destination';
  /** Of the datasource or destination; of the host its name, of the configuration its file's. */
  readonly name: string;
}

/** As many at once: they wait for the network, not for us. */
const AT_ONCE = 4;

const TROUBLE = {
  timeout: 'does not answer',
  auth_failed: 'does not let us in',
  unreachable: 'cannot be reached',
  error: 'cannot be read',
} as const;

/** Looks at everything chosen, and at this host. Changes nothing that stays. An interruption throws. */
export async function diagnose(
  config: Config,
  chosen: Chosen,
  open: (name: string) => Promise<Destination>,
  limitMs: number,
  runtime: Runtime,
): Promise<readonly Diagnosis[]> {
  const destinations = await inParallel(chosen.destinations, AT_ONCE, async (name) => ({
    name,
    report: await diagnoseDestination(config, name, open, limitMs, runtime),
  }));
  const datasources = await inParallel(chosen.datasources, AT_ONCE, async (name) => ({
    name,
    findings: await diagnoseDatasource(config, name, limitMs, runtime),
  }));
  const catalogs = destinations.flatMap(({ report }) => (report.catalog ? [report.catalog] : []));
  const host = await diagnoseHost(config, chosen, catalogs, runtime);
  return [
    ...host.map((finding): Diagnosis => ({ ...finding, kind: 'host', name: runtime.host.name })),
    ...datasources.flatMap(({ name, findings }) =>
      findings.map((finding): Diagnosis => ({ ...finding, kind: 'datasource', name })),
    ),
    ...destinations.flatMap(({ name, report }) =>
      report.findings.map((finding): Diagnosis => ({ ...finding, kind: 'destination', name })),
    ),
  ];
}

/** A finding that is a problem, as the error that it will be. */
export function problemError({ kind, name, subject, topic, message, fix }: Diagnosis): DguardError {
  const code =
    topic === 'tools'
      ? 'tool_missing'
      : topic === 'space'
        ? 'storage_full'
        : kind === 'destination'
          ? 'storage_failed'
          : 'source_failed';
  return new DguardError(code, message, {
    operation: 'doctor',
    subject: subject === undefined ? name : `${name}: ${subject}`,
    ...(fix === undefined ? {} : { hint: fix.lines.join('\n') }),
  });
}

async function diagnoseDatasource(
  config: Config,
  name: string,
  limitMs: number,
  runtime: Runtime,
): Promise<readonly Finding[]> {
  const { health, error } = await checkDatasource(config, name, limitMs, runtime);
  const datasource = config.datasources[name]!;
  const findings: Finding[] = [];
  if (health.status !== 'ok') {
    const message = `it ${TROUBLE[health.status]}: ${health.message ?? error?.message ?? ''}`;
    findings.push({ severity: 'problem', topic: 'connection', message });
    if (health.status === 'timeout' || health.status === 'unreachable') return findings;
  }
  const job = jobOf(config, name);
  const request = job === undefined ? {} : { job };
  try {
    const found = await withTimeLimit(name, limitMs, runtime, (limited) =>
      withSource(
        config,
        datasource,
        limited,
        async (engine, source) => (await engine.diagnose?.(source, request)) ?? [],
      ),
    );
    findings.push(...found);
  } catch (thrown) {
    if (runtime.signal.aborted) throw abortError(runtime.signal);
    // Why it does not let us in has been said.
    if (findings.length > 0) return findings;
    const { message } = toDguardError(thrown, 'source_failed');
    findings.push({
      severity: 'problem',
      topic: 'connection',
      message: `it could not be looked at: ${message}`,
    });
  }
  if (health.status !== 'ok') return findings;
  return [...findings, ...(await undoFindings(config, name, limitMs, runtime))];
}

/** Undo copies take room until they are dropped. */
async function undoFindings(
  config: Config,
  name: string,
  limitMs: number,
  runtime: Runtime,
): Promise<readonly Finding[]> {
  const datasource = config.datasources[name]!;
  try {
    const copies = await withTimeLimit(name, limitMs, runtime, (limited) =>
      listUndo({ type: datasource.type, datasource }, limited),
    );
    return copies.map(({ name: copy, createdAt }) => ({
      severity: 'notice',
      topic: 'leftovers',
      subject: copy,
      message: `what a restore of ${createdAt.toISOString()} replaced is kept for --undo, and takes room`,
      ...jobFix(config, name, '--drop-undo'),
    }));
  } catch (error) {
    if (runtime.signal.aborted) throw abortError(runtime.signal);
    // Who may only read may not see them either: then there is nothing to say but that.
    const message = `undo copies could not be looked for: ${errorText(error)}`;
    return [{ severity: 'notice', topic: 'leftovers', message }];
  }
}

function jobFix(config: Config, datasource: string, option: string): Pick<Finding, 'fix'> {
  const job = jobOf(config, datasource);
  if (job === undefined) return {};
  const only = config.jobs[job]!.datasources.length > 1 ? ` --datasource ${datasource}` : '';
  return { fix: { by: 'shell', lines: [`dguard restore ${job}${only} ${option}`] } };
}

function jobOf(config: Config, datasource: string): string | undefined {
  return Object.values(config.jobs).find(({ datasources }) => datasources.includes(datasource))?.name;
}
