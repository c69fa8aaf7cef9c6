import { mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { dguard } from './contestants.mjs';
import { measure, prepare } from './measure.mjs';

const BACKUPS = 10_000;
const HOUR_MS = 3_600_000;
const ALPHABET = 'abcdefghijklmnopqrstuvwxyz234567';

/** `list` of 10,000 backups: one real backup, its folder repeated with other ids and times, its data left as holes. */
export async function runList({ folder, scale, rounds, say }) {
  const contestant = dguard(join(folder, 'list'), 3, 'files');
  if (contestant.missing) {
    say(`list: dguard is left out: ${contestant.missing}`);
    return;
  }
  const source = join(folder, 'list-source');
  mkdirSync(source, { recursive: true });
  writeFileSync(join(source, 'file.txt'), 'one file\n');
  contestant.reset(source);
  const full = contestant.full(source);
  prepare(full);
  const count = Math.round(BACKUPS * scale);
  await repeatBackup(join(contestant.store, 'bench', 'data'), count);
  say(`list: ${count} backups are there`);
  const [program] = full.command;
  const config = full.command[full.command.indexOf('-c') + 1];
  for (const last of [['--limit', '20'], ['--json']]) {
    for (let round = 1; round <= rounds; round++) {
      const command = [program, 'list', 'bench', '-c', config, ...last];
      const { wallS, cpuS, rssBytes } = measure({ ...full, command }, join(folder, 'scratch'));
      const cost = `${wallS.toFixed(2)} s wall, ${cpuS.toFixed(2)} s CPU, ${(rssBytes / 1e6).toFixed(0)} MB`;
      say(`list ${last.join(' ')} ${round}/${rounds}: ${cost}`);
    }
  }
  for (const name of ['list', 'list-source']) rmSync(join(folder, name), { recursive: true, force: true });
}

async function repeatBackup(home, count) {
  const { sealManifest } = await import('../dist/manifest/parse.js');
  const [first] = readdirSync(home);
  const manifest = JSON.parse(readFileSync(join(home, first, 'manifest.json'), 'utf8'));
  const others = readdirSync(join(home, first)).filter((name) => name !== 'manifest.json');
  const { integrity: _, ...draft } = manifest;
  for (let i = 1; i < count; i++) {
    const at = new Date(Date.parse(manifest.created_at) - i * HOUR_MS);
    const id = `full-${at.toISOString().slice(0, 19).replaceAll(':', '-')}Z-${shortName(i)}`;
    const backup = join(home, id);
    mkdirSync(backup, { mode: 0o700 });
    for (const name of others) {
      const size = manifest.artifacts.find((artifact) => artifact.name === name)?.stored_size;
      if (size === undefined) writeFileSync(join(backup, name), readFileSync(join(home, first, name)));
      else {
        writeFileSync(join(backup, name), '');
        truncateSync(join(backup, name), size);
      }
    }
    const times = {
      created_at: at.toISOString(),
      started_at: at.toISOString(),
      finished_at: at.toISOString(),
    };
    writeFileSync(join(backup, 'manifest.json'), sealManifest({ ...draft, ...times, id }).text, {
      mode: 0o600,
    });
  }
}

function shortName(number) {
  let rest = number;
  let name = '';
  for (let i = 0; i < 8; i++) {
    name = ALPHABET[rest % 32] + name;
    rest = Math.floor(rest / 32);
  }
  return name;
}
