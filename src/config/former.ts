import type { Report } from './tree.ts';
import { isTreeMap, type Tree, type TreeMap } from './tree.ts';
import type { FormerName } from './types/jobs.ts';

/** What `formerly` says of one name: as text, and of which datasource of the job it is the history, if it says so. */
export interface FormerInput {
  readonly was: string;
  readonly datasource?: string | undefined;
}

/**
 * Whose history a former name is: the datasource that the entry names, else the one that is still called so,
 * else the job's only one. Undefined: nobody can say. A former name of one of several databases
 * (`{datasource}.{database}`) is of its datasource.
 */
export function formerOf(input: FormerInput, datasources: readonly string[]): FormerName | undefined {
  const parts = input.was.split('/');
  const [job, datasource] = parts.slice(-2) as [string, string];
  const same = datasources.find((name) => isOfDatasource(datasource, name));
  const now = input.datasource ?? same ?? (datasources.length === 1 ? datasources[0] : undefined);
  if (now === undefined) return undefined;
  return { namespace: parts.length === 3 ? parts[0]! : '', job, datasource, now };
}

/** True for a datasource's own name and for `{datasource}.{database}`. */
export function isOfDatasource(name: string, datasource: string): boolean {
  return name === datasource || name.startsWith(`${datasource}.`);
}

/** The rules of `formerly`, over all jobs: every old name is the history of exactly one datasource. */
export function formerRules(tree: TreeMap, report: Report): void {
  const defaults = tree['defaults'];
  const namespace = isTreeMap(defaults) ? String(defaults['namespace'] ?? '') : '';
  const fullName = (named: Pick<FormerName, 'namespace' | 'job' | 'datasource'>) =>
    `${named.namespace}/${named.job}/${named.datasource}`;
  const jobs = Object.entries(isTreeMap(tree['jobs']) ? tree['jobs'] : {}).map(([name, job]) => ({
    name,
    datasources: textsOf(isTreeMap(job) ? job['datasources'] : undefined),
    formerly: isTreeMap(job) ? listOf(job['formerly']) : [],
  }));
  const present = new Map(
    jobs.flatMap(({ name, datasources }) =>
      datasources.map((datasource) => [
        fullName({ namespace, job: name, datasource }),
        `${name}/${datasource}`,
      ]),
    ),
  );
  const claimed = new Set<string>();
  for (const { name, datasources, formerly } of jobs) {
    for (const [i, item] of formerly.entries()) {
      const path = ['jobs', name, 'formerly', i];
      const input = inputOf(item);
      if (input === undefined || datasources.length === 0) continue;
      const { datasource, was } = input;
      if (datasource !== undefined && !datasources.some((each) => isOfDatasource(datasource, each))) {
        report(path, `names "${datasource}", which is no datasource of the job`, known(datasources));
        continue;
      }
      const former = formerOf(input, datasources);
      if (former === undefined) {
        const hint = `say it: { was: ${was}, datasource: ${datasources[0]} }`;
        report(path, `does not say which of ${datasources.join(', ')} was ${was}`, hint);
        continue;
      }
      const full = fullName(former);
      const today = present.get(full);
      if (today !== undefined) {
        report(path, `is no former name: ${today} is called so today`, 'two would prune one history');
      } else if (claimed.has(full)) {
        report(path, `"${was}" stands here twice`, 'a history belongs to one datasource of one job');
      }
      claimed.add(full);
    }
  }
}

const known = (names: readonly string[]) => `known: ${names.join(', ')}`;

/** Undefined: the schema complains about its shape. */
function inputOf(item: Tree): FormerInput | undefined {
  const { was, datasource } = isTreeMap(item) ? item : { was: item, datasource: undefined };
  if (typeof was !== 'string' || !/^[^/]+(\/[^/]+){1,2}$/.test(was)) return undefined;
  return { was, datasource: typeof datasource === 'string' ? datasource : undefined };
}

const listOf = (value: Tree | undefined): Tree[] => (Array.isArray(value) ? value : []);
const textsOf = (value: Tree | undefined): string[] =>
  listOf(value).filter((item): item is string => typeof item === 'string');
