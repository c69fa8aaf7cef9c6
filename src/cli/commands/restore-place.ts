import { existsSync, statSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import type { DatasourceConfig } from '../../config/types/datasources.ts';
import type { Config } from '../../config/types.ts';
import type { CatalogEntry } from '../../core/catalog.ts';
import { datasourceOf, presentNames } from '../../core/find.ts';
import type { RestoreOptions } from '../../core/restore.ts';
import { DguardError } from '../../errors.ts';
import { isFolderName } from '../context.ts';
import type { RestoreCommandOptions } from './restore-options.ts';

/** Where a copy goes. Errors: usage, where nothing says it. */
export function placeFor(
  copy: CatalogEntry,
  count: number,
  config: Config | undefined,
  options: RestoreCommandOptions,
): Pick<RestoreOptions, 'toPath' | 'toDatabase' | 'datasource' | 'toOther'> {
  const { datasource: of, id } = copy.manifest!;
  const { namespace, datasource: name } = presentNames(config, copy.manifest!);
  const isUnsaid = options.to === undefined && options.toPath === undefined;
  if (isUnsaid && config && namespace !== config.defaults.namespace) {
    throw new DguardError(
      'usage',
      `where to? it is of ${namespaceText(namespace)}, this configuration of ${namespaceText(config.defaults.namespace)}`,
      {
        operation: 'restore',
        subject: id,
        hint: `say it: --to ${name} replaces this configuration's ${name}, --to-path DIR restores beside`,
      },
    );
  }
  const datasource =
    options.to === undefined
      ? datasourceOf(config, copy.manifest!)
      : configuredDatasource(config, options.to, of.type, id);
  const toPath = targetOf(options.toPath, { name, type: datasource?.type ?? of.type }, count);
  const type = datasource?.type ?? of.type;
  if (options.toDatabase !== undefined && ['files', 'sqlite'].includes(type)) {
    throw new DguardError('usage', `--to-database names a database of a server, and ${name} is ${type}`, {
      operation: 'restore',
      subject: id,
      hint: 'say where: --to-path PATH',
    });
  }
  // A backup of a server's tables may become an SQLite database at any path; otherwise both say where.
  if (options.to !== undefined && options.toPath !== undefined && type === of.type) {
    throw new DguardError('usage', 'where to? --to and --to-path each name a place', {
      operation: 'restore',
      subject: id,
      hint: 'give one of them',
    });
  }
  if (toPath === undefined && !datasource) {
    throw new DguardError('usage', `where to? ${name} is not configured here`, {
      operation: 'restore',
      subject: id,
      hint: ['files', 'sqlite'].includes(of.type)
        ? '--to-path DIR restores anywhere'
        : `write its server into a backup.yaml as a datasource and name that: --to NAME --to-database DATABASE; \`dguard show ${id}\` says how to do without`,
    });
  }
  if ((options.to !== undefined || options.toDatabase !== undefined) && count > 1) {
    throw new DguardError('usage', 'several datasources would go to one place', {
      operation: 'restore',
      subject: id,
      hint: 'choose one of them: --datasource NAME',
    });
  }
  return {
    ...(toPath === undefined ? {} : { toPath }),
    ...(options.toDatabase === undefined ? {} : { toDatabase: options.toDatabase }),
    ...(datasource ? { datasource } : {}),
    ...(options.to === undefined || options.to === name || toPath !== undefined ? {} : { toOther: true }),
  };
}

const namespaceText = (namespace: string) => (namespace === '' ? 'no namespace' : `namespace ${namespace}`);

/** The datasource of that name. Errors: unknown_name, with those of `type`; `subject` is what goes there. */
export function configuredDatasource(
  config: Config | undefined,
  name: string,
  type: string | undefined,
  subject: string,
): DatasourceConfig {
  const found =
    config !== undefined && Object.hasOwn(config.datasources, name) ? config.datasources[name] : undefined;
  if (found !== undefined) return found;
  const known = Object.values(config?.datasources ?? {})
    .filter((each) => type === undefined || each.type === type)
    .map((each) => each.name);
  throw new DguardError('unknown_name', `${name} is not configured here`, {
    operation: 'restore',
    subject,
    hint:
      known.length > 0
        ? `it has: ${known.join(', ')}`
        : `write it into a backup.yaml as a datasource${type === undefined ? '' : ` of type ${type}`}: backup.example.yaml shows the keys`,
  });
}

/** Local destinations, and the folder that is read from: a restore over one, or over what holds it, leaves backups alone. */
export function ownPathsOf(config: Config | undefined, from?: string): string[] {
  const configured = Object.values(config?.destinations ?? {}).flatMap((each) =>
    each.type === 'local' ? [resolve(each.path)] : [],
  );
  return from !== undefined && isFolderName(from) ? [...configured, resolve(from)] : configured;
}

/** Several datasources go into folders of their own beneath the target; a database file keeps a file's name. */
export function targetOf(
  toPath: string | undefined,
  datasource: { readonly name: string; readonly type: string },
  count: number,
): string | undefined {
  if (toPath === undefined) return undefined;
  const file = datasource.type === 'sqlite';
  if (count > 1) return resolve(toPath, file ? `${datasource.name}.db` : datasource.name);
  const path = resolve(toPath);
  const isFolder = existsSync(path) && statSync(path).isDirectory();
  return file && isFolder ? join(path, `${basename(datasource.name)}.db`) : path;
}
