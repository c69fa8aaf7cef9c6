import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { completionScript } from '../../src/cli/commands/completion.ts';
import { DGUARD, dguard, ROOT } from './support.ts';

const FILES = { bash: 'dguard.bash', zsh: '_dguard', fish: 'dguard.fish' } as const;
const SHELLS = ['bash', 'zsh', 'fish'] as const;
const pathOf = (shell: keyof typeof FILES) => join(ROOT, 'completions', FILES[shell]);

it.each(SHELLS)('completions/ holds what the generator writes for %s (npm run completions)', (shell) => {
  expect(readFileSync(pathOf(shell), 'utf8')).toBe(`${completionScript(shell).trimEnd()}\n`);
});

it.each(SHELLS)('dguard completion %s prints it', async (shell) => {
  const run = await dguard(ROOT, 'completion', shell);
  expect(run.code, run.stderr).toBe(0);
  expect(run.stdout).toBe(`${completionScript(shell).trimEnd()}\n`);
});

it('another shell is a usage error', async () => {
  expect(await dguard(ROOT, 'completion', 'tcsh')).toMatchObject({ code: 2, stdout: '' });
});

const installed = SHELLS.filter((shell) => spawnSync(shell, ['-c', 'true']).status === 0);
it.each(installed)('%s itself finds no fault in its syntax', (shell) => {
  execFileSync(shell, ['-n', pathOf(shell)], { stdio: 'pipe' });
});

describe('bash completes', () => {
  const cwd = mkdtempSync(join(tmpdir(), 'dguard-completion-'));
  afterAll(() => rmSync(cwd, { recursive: true, force: true }));
  const source = { mode: 0o600 };
  writeFileSync(
    join(cwd, 'c.yaml'),
    `version: 1\ninclude: more.yaml\ndatasources: { db: { type: sqlite, file_path: "\${UNSET}" } }\n` +
      'destinations: { here: { type: local, path: ./backups }, far: { type: nonsense } }\njobs: { nightly: {}, "$(touch owned)": {} }\n',
    source,
  );
  writeFileSync(join(cwd, 'more.yaml'), 'jobs: { weekly: {} }\n', source);
  writeFileSync(join(cwd, 'broken.yaml'), 'jobs: [\n', source);

  function completed(...words: string[]): string[] {
    const script = `source "$1"; program=$2; shift 2
      COMP_WORDS=("$program" "$@"); COMP_CWORD=$#; _dguard "$program"; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const output = execFileSync('bash', ['-c', script, 'bash', pathOf('bash'), DGUARD, ...words], { cwd });
    return output.toString().split('\n').filter(Boolean);
  }

  it.each([
    ['commands', ['bac'], ['backup']],
    ['subcommands', ['config', ''], ['validate', 'show', 'schema']],
    ['options of the command', ['verify', '--lev'], ['--level']],
    ['global options after a command', ['config', 'show', '--js'], ['--json']],
    ['choices', ['verify', '--level', 'c'], ['checksum', 'content']],
    ['choices after =', ['verify', '--level', '=', 'con'], ['content']],
    ['jobs, also of included files', ['backup', '-c', 'c.yaml', ''], ['nightly', 'weekly']],
    ['more jobs', ['-c', 'c.yaml', 'backup', 'nightly', 'w'], ['weekly']],
    ['only one job where only one can be', ['-c', 'c.yaml', 'list', 'nightly', ''], []],
    ['datasources', ['-c', 'c.yaml', 'list', '--datasource', ''], ['db']],
    ['destinations', ['-c', 'c.yaml', 'list', '--from', ''], ['far', 'here']],
    ['files', ['-c', 'c'], ['c.yaml']],
    ['nothing after an option that takes any text', ['list', '--tag', ''], []],
    ['nothing without a configuration', ['-c', 'none.yaml', 'backup', ''], []],
    ['nothing out of a broken one', ['-c', 'broken.yaml', 'backup', ''], []],
  ])('%s', (_, words, expected) => {
    expect(completed(...words).sort()).toEqual([...expected].sort());
  });

  it('hidden commands are not offered', () => {
    expect(completed('__')).toEqual([]);
  });
});
