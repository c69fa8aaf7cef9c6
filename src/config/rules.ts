import { resolve } from 'node:path';
import { formerRules } from './former.ts';
import { COMPRESSION_LEVELS, DEFAULT_COMPRESSION } from './levels.ts';
import type { ConfigProblem } from './problems.ts';
import { suggest } from './suggest.ts';
import {
  isTreeMap,
  type Marks,
  problemAt,
  type Report,
  type Tree,
  type TreeMap,
  type TreePath,
} from './tree.ts';
import type { Compression } from './types/jobs.ts';

/**
 * The rules that need more than one key. They read the prepared tree, not the schema's result, so that
 * they are heard even where the schema has complaints of its own; what has the wrong shape they pass over.
 */
export function ruleProblems(tree: TreeMap, marks: Marks): ConfigProblem[] {
  const problems: ConfigProblem[] = [];
  const report: Report = (path, message, hint, severity) =>
    problems.push(problemAt(marks, path, message, hint, severity));
  for (const [name, entry] of entries(tree['datasources'])) {
    oneSecretKey(entry, ['datasources', name], report);
    if (NETWORK.includes(entry['type'] as string)) networkRules(entry, ['datasources', name], report);
  }
  for (const [name, entry] of entries(tree['destinations'])) {
    oneSecretKey(entry, ['destinations', name], report);
    destinationRules(entry, ['destinations', name], report);
  }
  for (const [name, entry] of entries(tree['notifications'])) {
    oneSecretKey(entry, ['notifications', name], report);
    notificationRules(entry, ['notifications', name], report);
  }
  for (const [name, entry] of entries(tree['jobs'])) jobRules(entry, ['jobs', name], tree, report);
  formerRules(tree, report);
  return problems;
}

const NETWORK = ['postgres', 'mysql', 'mongodb', 'sqlserver'];

/** Of `x`, `x_file` and `x_command` at most one. */
function oneSecretKey(entry: TreeMap, path: TreePath, report: Report): void {
  const bases = Object.keys(entry).map((key) => key.replace(/_(file|command)$/, ''));
  for (const base of new Set(bases)) {
    // `config_file` and `client_command` are no secrets, and have no partner.
    const given = [base, `${base}_file`, `${base}_command`].filter((key) => has(entry, key));
    if (given.length > 1) report([...path, given[1]!], `says the same as ${given[0]}; give only one of them`);
  }
}

function networkRules(entry: TreeMap, path: TreePath, report: Report): void {
  const places = ['uri', 'socket', 'host'].filter((key) => hasSecret(entry, key));
  if (places.length > 1) report([...path, places[1]!], `cannot stand beside ${places[0]}`);
  if (places.length === 0 && !has(entry, 'client_command') && !has(entry, 'run_as')) {
    report([...path, 'host'], 'is required, or else socket or uri');
  }
  if (hasSecret(entry, 'uri') && has(entry, 'port')) report([...path, 'port'], 'belongs into the uri');
  if (!hasSecret(entry, 'uri') && !has(entry, 'database') && entry['type'] !== 'mongodb') {
    report([...path, 'database'], 'is required: a name, a list of names, or all');
  }
  const databases = texts(entry['database']);
  if (databases.includes('all') && databases.length > 1) {
    report([...path, 'database'], 'says all and names besides');
  }
  noRepeats(databases, [...path, 'database'], report);
  if (has(entry, 'server_path') !== has(entry, 'local_path')) {
    const names = has(entry, 'server_path') ? ['server_path', 'local_path'] : ['local_path', 'server_path'];
    report([...path, names[0]!], `needs ${names[1]} beside it: the same folder, seen from the other side`);
  }
  if (has(entry, 'ssl_cert') !== has(entry, 'ssl_key')) {
    const [given, wanted] = has(entry, 'ssl_cert') ? ['ssl_cert', 'ssl_key'] : ['ssl_key', 'ssl_cert'];
    report([...path, given], `needs ${wanted} beside it`);
  }
}

function destinationRules(entry: TreeMap, path: TreePath, report: Report): void {
  if (entry['type'] === 's3' || entry['type'] === 'minio') {
    const id = has(entry, 'access_key_id');
    const secret = hasSecret(entry, 'secret_access_key');
    if (id && !secret) report([...path, 'access_key_id'], 'needs secret_access_key beside it');
    if (secret && !id) report([...path, 'access_key_id'], 'is required beside secret_access_key');
    if (hasSecret(entry, 'session_token') && !id) report([...path, 'session_token'], 'needs access_key_id');
    const sse = entry['server_side_encryption'];
    if (has(entry, 'kms_key_id') && !String(sse ?? '').startsWith('aws:kms')) {
      report([...path, 'kms_key_id'], 'needs server_side_encryption: aws:kms');
    }
  }
  if (entry['type'] === 'backblaze' && !hasSecret(entry, 'application_key')) {
    report([...path, 'application_key'], 'is required');
  }
  if (entry['type'] === 'sftp' || entry['type'] === 'ssh') {
    if (hasSecret(entry, 'passphrase') && !hasSecret(entry, 'private_key')) {
      report([...path, 'passphrase'], 'is the one of a private_key, which is not given');
    }
  }
}

function notificationRules(entry: TreeMap, path: TreePath, report: Report): void {
  if (entry['type'] === 'ping' && !hasSecret(entry, 'url')) report([...path, 'url'], 'is required');
  if (entry['type'] === 'smtp' && hasSecret(entry, 'password') && !has(entry, 'username')) {
    report([...path, 'username'], 'is required beside password');
  }
  if (entry['type'] !== 'webhook') return;
  if (entry['preset'] === 'telegram') {
    if (!hasSecret(entry, 'token')) report([...path, 'token'], 'is required for the preset telegram');
    if (!has(entry, 'chat_id')) report([...path, 'chat_id'], 'is required for the preset telegram');
    if (hasSecret(entry, 'url')) report([...path, 'url'], 'follows from token with the preset telegram');
    return;
  }
  if (!hasSecret(entry, 'url')) report([...path, 'url'], 'is required');
  if (has(entry, 'chat_id')) report([...path, 'chat_id'], 'is for the preset telegram only');
  if (hasSecret(entry, 'token') && entry['preset'] !== 'ntfy') {
    report([...path, 'token'], 'is for the presets telegram and ntfy only', 'use headers');
  }
}

/** A database `eu` of the datasource `pg` is called `pg.eu`: a datasource of that name would share its history. */
function oneNameEach(names: readonly Tree[], path: TreePath, tree: TreeMap, report: Report): void {
  const section = isTreeMap(tree['datasources']) ? tree['datasources'] : {};
  const hasSeveral = (name: string) => {
    const found = Object.hasOwn(section, name) ? section[name] : undefined;
    const databases = isTreeMap(found) ? list(found['database']) : [];
    return databases.length > 1 || databases[0] === 'all';
  };
  for (const [i, name] of names.entries()) {
    const other = names.find(
      (each) => typeof each === 'string' && String(name).startsWith(`${each}.`) && hasSeveral(each),
    );
    if (other === undefined) continue;
    const message = `"${String(name)}" may be the name of a database of ${String(other)} too: their histories would be one`;
    report([...path, i], message, 'give the datasource another name, without the dot');
  }
}

function jobRules(entry: TreeMap, path: TreePath, tree: TreeMap, report: Report): void {
  const destinations = list(entry['destinations']).map((item) => (isTreeMap(item) ? item['name'] : item));
  const references: readonly [string, string, readonly (Tree | undefined)[]][] = [
    ['datasources', 'datasource', list(entry['datasources'])],
    ['destinations', 'destination', destinations],
    ['notify', 'notification', list(entry['notify'])],
  ];
  for (const [key, kind, names] of references) {
    const section = tree[key === 'notify' ? 'notifications' : key];
    const known = isTreeMap(section) ? Object.keys(section) : [];
    for (const [i, name] of names.entries()) {
      if (typeof name !== 'string' || known.includes(name)) continue;
      const near = suggest(name, known);
      const help = known.length === 0 ? `no ${kind} is defined` : `known: ${known.join(', ')}`;
      const hint = near === undefined ? help : `did you mean ${near}?`;
      report([...path, key, i], `names the ${kind} "${name}", which is not defined`, hint);
    }
    noRepeats(names, [...path, key], report);
  }
  oneNameEach(list(entry['datasources']), [...path, 'datasources'], tree, report);
  sameFolders(destinations, [...path, 'destinations'], tree, report);
  if (isTreeMap(entry['options'])) levelRule(entry['options'], [...path, 'options'], report);
  if (isTreeMap(entry['encryption'])) {
    oneSecretKey(entry['encryption'], [...path, 'encryption'], report);
    encryptionRules(entry['encryption'], [...path, 'encryption'], report);
  }
  retentionRule(entry['retention'], [...path, 'retention'], report);
  for (const [i, item] of list(entry['destinations']).entries()) {
    if (isTreeMap(item)) retentionRule(item['retention'], [...path, 'destinations', i, 'retention'], report);
  }
}

/** Two local destinations of a job that are one place: the second copy would have to take the place of the first. */
function sameFolders(names: readonly unknown[], path: TreePath, tree: TreeMap, report: Report): void {
  const known = new Map<string, string>();
  for (const [i, name] of names.entries()) {
    const found = entries(tree['destinations']).find(([each]) => each === name)?.[1];
    if (found?.['type'] !== 'local' || typeof found['path'] !== 'string') continue;
    const place = JSON.stringify([resolve(found['path']), found['path_template'] ?? null]);
    const first = known.get(place);
    if (first === undefined) known.set(place, String(name));
    else if (first !== name)
      report([...path, i], `"${String(name)}" is the same folder as "${first}"`, 'leave one of them out');
  }
}

function levelRule(options: TreeMap, path: TreePath, report: Report): void {
  const level = options['compression_level'];
  const codec = options['compression'] ?? DEFAULT_COMPRESSION;
  if (typeof level !== 'number' || typeof codec !== 'string' || !Object.hasOwn(COMPRESSION_LEVELS, codec))
    return;
  const range = COMPRESSION_LEVELS[codec as Compression];
  if (range === undefined) report([...path, 'compression_level'], `${codec} has no levels`, 'remove the key');
  else if (level < range.min || level > range.max) {
    report([...path, 'compression_level'], `must lie between ${range.min} and ${range.max} for ${codec}`);
  }
}

function encryptionRules(encryption: TreeMap, path: TreePath, report: Report): void {
  const ways = ['passphrase', 'key'].filter((key) => hasSecret(encryption, key));
  if (ways.length === 0 && list(encryption['recipients']).length === 0) {
    report(path, 'needs a passphrase, a key or recipients to encrypt for');
  }
  if (has(encryption, 'kdf') && !ways.includes('passphrase')) {
    report([...path, 'kdf'], 'has a meaning only beside passphrase');
  }
  noRepeats(list(encryption['recipients']), [...path, 'recipients'], report);
}

function retentionRule(retention: Tree | undefined, path: TreePath, report: Report): void {
  if (!isTreeMap(retention) || retention['auto_delete'] !== true || Object.keys(retention).length > 1) return;
  report(
    [...path, 'auto_delete'],
    'has no rule to apply: nothing will ever be deleted',
    undefined,
    'warning',
  );
}

function noRepeats(values: readonly (Tree | undefined)[], path: TreePath, report: Report): void {
  for (const [i, value] of values.entries()) {
    if (typeof value === 'string' && values.indexOf(value) < i)
      report([...path, i], `"${value}" stands here twice`);
  }
}

function entries(section: Tree | undefined): [string, TreeMap][] {
  if (!isTreeMap(section)) return [];
  return Object.entries(section).filter((pair): pair is [string, TreeMap] => isTreeMap(pair[1]));
}

const list = (value: Tree | undefined): Tree[] => (Array.isArray(value) ? value : []);
const texts = (value: Tree | undefined): string[] => list(value).filter((item) => typeof item === 'string');
const has = (entry: TreeMap, key: string): boolean => Object.hasOwn(entry, key);
const hasSecret = (entry: TreeMap, key: string): boolean =>
  has(entry, key) || has(entry, `${key}_file`) || has(entry, `${key}_command`);
