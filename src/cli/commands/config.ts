import { EXIT_STATUS, unlessAborted } from '../../errors.ts';
import type { Context } from '../context.ts';
import { jsonDocument } from '../render/outcome.ts';

export const configCommands = {
  async validate(context: Context): Promise<number> {
    const { validateConfig } = await import('../../config/load.ts');
    const { formatProblem, problemsError } = await import('../../config/problems.ts');
    const validating = validateConfig(context.options.config, {
      env: context.runtime.env,
      cwd: process.cwd(),
      uid: process.getuid?.(),
      trustConfig: context.options.trustConfig === true,
    });
    const { path, valid, problems } = await unlessAborted(context.runtime.signal, validating);
    const status = valid ? 0 : EXIT_STATUS.config_invalid;
    for (const problem of problems) {
      const level = problem.severity === 'warning' ? 'warning' : 'error';
      context.runtime.emit({ type: 'log', level, message: formatProblem(problem) });
    }
    if (context.options.json) {
      const errors = valid ? [] : [problemsError(problems, path)];
      context.print(jsonDocument('config validate', status, { path, problems }, errors));
    } else {
      const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
      context.print(valid ? `${path}: valid` : `${path}: ${count}`);
    }
    return status;
  },

  async show(context: Context): Promise<number> {
    const { showConfig } = await import('../../config/show.ts');
    const shown = showConfig(await context.config());
    if (context.options.json) context.print(jsonDocument('config show', 0, { config: shown }, []));
    else context.print((await import('yaml')).stringify(shown).trimEnd());
    return 0;
  },

  async schema(context: Context): Promise<number> {
    const { configJsonSchema } = await import('../../config/json-schema.ts');
    const schema = configJsonSchema();
    if (context.options.json) context.print(jsonDocument('config schema', 0, { schema }, []));
    else context.print(JSON.stringify(schema, null, 2));
    return 0;
  },
};
