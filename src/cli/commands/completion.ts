import { DguardError } from '../../errors.ts';
import { bashCompletion } from '../completion/bash.ts';
import { fishCompletion } from '../completion/fish.ts';
import { completionModel, DYNAMIC_KINDS } from '../completion/model.ts';
import { zshCompletion } from '../completion/zsh.ts';
import type { Context } from '../context.ts';
import { createProgram } from '../program.ts';
import { jsonDocument } from '../render/outcome.ts';

const GENERATORS = { bash: bashCompletion, zsh: zshCompletion, fish: fishCompletion } as const;

/** The completion script of a shell, out of the commands and options that there are. */
export function completionScript(shell: keyof typeof GENERATORS): string {
  return GENERATORS[shell](completionModel(createProgram({ run: async () => undefined })));
}

export async function completionCommand(context: Context, shell: string): Promise<number> {
  if (!Object.hasOwn(GENERATORS, shell)) {
    throw new DguardError('usage', `there is no completion for ${shell}`, {
      operation: 'completion',
      subject: shell,
      hint: `one of ${Object.keys(GENERATORS).join(', ')}`,
    });
  }
  const script = completionScript(shell as keyof typeof GENERATORS);
  context.print(
    context.options.json ? jsonDocument('completion', 0, { shell, script }, []) : script.trimEnd(),
  );
  return 0;
}

/** `dguard __complete KIND`: names for the shells, one a line; nothing at all where anything is amiss. */
export async function namesCommand(context: Context, kind: string): Promise<number> {
  const found = await namesOf(context, kind).catch(() => []);
  // A shell may expand what it gets: only what a name may be made of.
  const names = found.filter((name) => /^[A-Za-z0-9._-]+$/.test(name));
  if (names.length > 0) context.print([...new Set(names)].join('\n'));
  return 0;
}

/** Reads the sections' keys only: nothing is checked, no secret is opened, no command runs. */
async function namesOf(context: Context, kind: string): Promise<string[]> {
  if (!(DYNAMIC_KINDS as readonly string[]).includes(kind)) return [];
  const { discoverConfig } = await import('../../config/discover.ts');
  const { readMerged } = await import('../../config/include.ts');
  const { env } = context.runtime;
  const path = await discoverConfig(context.options.config, env, process.cwd());
  if (path === undefined) return [];
  const { tree } = await readMerged(path, env);
  const sections = kind === 'names' ? ['datasources', 'destinations', 'jobs'] : [kind];
  return sections.flatMap((section) => Object.keys(tree[section] ?? {}));
}
