/**
 * Writes fixtures/retention/*.json: what the real restic keeps, and why, for many histories and policies.
 *
 *   npm run services -- bench && node test/plan/make-retention-fixtures.mjs
 *
 * Takes about five minutes. One repository; each history is a host, each point in time one `restic rewrite
 * --new-time` of the hosts that have it, under the TZ whose wall clock restic then puts into buckets; one
 * `restic forget --dry-run --json --group-by host` per policy then judges all histories at once.
 *
 * A fixture: `times` are seconds since 1970, ascending; `histories[h]` are positions in `times`;
 * `kept[p][h]` is what policy p keeps of history h, as `POSITION REASONS` joined by blanks, where a reason is one
 * letter (last, hourly, daily, weekly, monthly, yearly; W for within), preceded by `o` where restic says `oldest`.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { restic } from '../services/restic.mjs';

/** Of these the first eight reach over all moments of their zone, each of the others over one. */
const HISTORIES = 14;
const LONG = 8;
const POLICIES = 30;

/** Around what each zone is hard: local moments, each with the step in minutes and the number of backups. */
const ZONES = {
  // Clocks go from 00:00 to 01:00 on 2018-11-04 and from 24:00 to 23:00 on 2018-02-17.
  'America/Sao_Paulo': [
    ['2016-12-28 23:30:00', 1440 / 2, 14],
    ['2018-02-17 19:00:00', 45, 14],
    ['2018-02-18 00:30:00', 1440, 12],
    ['2018-11-02 22:30:00', 60 * 3, 16],
    ['2018-11-03 23:05:00', 25, 9],
    ['2018-12-20 03:00:00', 1440 * 3, 9],
  ],
  // 2020 has a week 53, which 2021-01-03 still belongs to; 2018-12-31 is in week 1 of 2019.
  'Europe/Berlin': [
    ['2018-12-28 12:00:00', 1440 / 2, 12],
    ['2020-10-24 22:15:00', 45, 16],
    ['2020-12-24 23:59:59', 1440, 18],
    ['2021-03-27 20:10:00', 55, 14],
    ['2021-04-30 04:00:00', 1440 * 10, 14],
  ],
  // The day 2011-12-30 does not exist there.
  'Pacific/Apia': [
    ['2010-09-25 20:00:00', 120, 8],
    ['2011-12-26 06:00:00', 60 * 9, 22],
    ['2012-04-01 00:20:00', 30, 10],
    ['2012-05-31 23:59:59', 1440 * 6, 30],
  ],
  // Whole hours apart, so that backups lie at the very edge of keep_within.
  UTC: [
    ['2015-12-25 00:00:00', 1440, 14],
    ['2019-12-29 23:59:59', 60 * 8, 12],
    ['2022-02-27 00:00:00', 60, 30],
    ['2022-12-30 12:00:00', 1440 * 2, 12],
    ['2024-02-28 23:00:00', 60 * 4, 10],
  ],
};

const RULES = ['last', 'hourly', 'daily', 'weekly', 'monthly', 'yearly'];
const random = linear(20260102);

const program = restic.program();
if (program === undefined) throw new Error('restic is not installed: npm run services -- bench');
const folder = mkdtempSync(join(tmpdir(), 'dguard-restic-'));
try {
  run('UTC', ['init', '-q']);
  for (const [timeZone, moments] of Object.entries(ZONES)) writeFixture(timeZone, moments);
} finally {
  rmSync(folder, { recursive: true, force: true });
}

function writeFixture(timeZone, moments) {
  const tag = timeZone.replaceAll('/', '-').toLowerCase();
  const hosts = Array.from({ length: HISTORIES }, (_, h) => `${tag}-${h}`);
  const bases = hosts.map((host) => {
    run('UTC', ['backup', '-q', '--stdin', '--host', host, '--tag', 'base'], 'x');
    return JSON.parse(run('UTC', ['snapshots', '--json', '--host', host]))[0].id;
  });
  // The first history has all points in time, the others less and less.
  moments.forEach(([start, step, count], m) => {
    for (const local of localTimes(start, step, count)) {
      const chosen = bases.filter((_, h) =>
        h < LONG ? random() < 1 - (h / LONG) * 0.95 : (h - LONG) % moments.length === m && random() < 0.9,
      );
      run(timeZone, ['rewrite', '-q', '--new-time', local, ...chosen]);
    }
  });
  const snapshots = hosts.map((host) =>
    JSON.parse(run(timeZone, ['snapshots', '--json', '--host', host, '--tag', 'rewrite'])).map(seconds),
  );
  const times = [...new Set(snapshots.flat())].sort((a, b) => a - b);
  const position = new Map(times.map((time, at) => [time, at]));
  const policies = Array.from({ length: POLICIES }, (_, p) => policy(p, times));
  const kept = policies.map((rules) => {
    const flags = Object.entries(rules).flatMap(([rule, value]) =>
      rule === 'within_hours' ? ['--keep-within', `${value}h`] : [`--keep-${rule}`, String(value)],
    );
    const args = ['forget', '--dry-run', '--json', '--tag', `rewrite`, '--group-by', 'host'];
    const groups = JSON.parse(run(timeZone, [...args, ...hosts.flatMap((h) => ['--host', h]), ...flags]));
    return hosts.map((host) => {
      const group = groups.find((candidate) => candidate.host === host);
      if (group === undefined) return '';
      return group.reasons
        .map(
          ({ snapshot, matches }) =>
            `${position.get(seconds(snapshot))} ${matches.map(letter).sort().join('')}`,
        )
        .join(' ');
    });
  });
  const histories = snapshots.map((own) =>
    [...new Set(own)].sort((a, b) => a - b).map((t) => position.get(t)),
  );
  const fixture = { restic: version(), timeZone, times, histories, policies, kept };
  const lines = Object.entries(fixture).map(([key, value]) => `"${key}": ${rows(value)}`);
  const path = new URL(`../../fixtures/retention/${tag}.json`, import.meta.url);
  writeFileSync(path, `{\n${lines.join(',\n')}\n}\n`);
  console.log(`${timeZone}: ${times.length} points in time, ${histories.length * policies.length} pairs`);
}

/** Wall-clock times as restic takes them; those that the zone skips or repeats are restic's to resolve. */
function localTimes(start, stepMinutes, count) {
  const first = Date.parse(`${start.replace(' ', 'T')}Z`);
  return Array.from({ length: count }, (_, i) =>
    new Date(first + i * stepMinutes * 60_000).toISOString().slice(0, 19).replace('T', ' '),
  );
}

/** The first policies are the single rules, then mixtures; spans reach from one edge of the history to the other. */
function policy(p, times) {
  if (p < RULES.length) return { [RULES[p]]: 1 + Math.floor(random() * 8) };
  const rules = {};
  for (const rule of RULES) if (random() < 0.4) rules[rule] = Math.floor(random() * 14);
  if (random() < 0.4 || Object.values(rules).every((count) => count === 0)) {
    const a = times[Math.floor(random() * times.length)];
    rules.within_hours =
      random() < 0.5 ? 1 + Math.floor(random() * 100) : Math.ceil((times.at(-1) - a) / 3600) || 1;
  }
  return rules;
}

function letter(match) {
  const [, oldest, rule] = /^(oldest )?(\w+)/.exec(match);
  return `${oldest ? 'o' : ''}${rule === 'within' ? 'W' : rule[0]}`;
}

function rows(value) {
  if (!Array.isArray(value) || typeof value[0] === 'number') return JSON.stringify(value);
  return `[\n${value.map((row) => `  ${JSON.stringify(row)}`).join(',\n')}\n]`;
}

function seconds(snapshot) {
  return Math.floor(Date.parse(snapshot.time) / 1000);
}

function version() {
  return run('UTC', ['version']).split(' ')[1];
}

function run(timeZone, args, input = '') {
  const env = { ...process.env, TZ: timeZone, RESTIC_REPOSITORY: folder, RESTIC_PASSWORD: 'x' };
  return execFileSync(program, ['--no-cache', ...args], { env, input, maxBuffer: 1 << 30 }).toString();
}

/** The same numbers on every machine: the fixture can be made again and compared. */
function linear(seed) {
  let x = seed;
  return () => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    return x / 2 ** 32;
  };
}
