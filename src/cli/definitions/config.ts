import type { CommandDefinition } from '../definition.ts';

const load = async (name: 'validate' | 'show' | 'schema') =>
  (await import('../commands/config.ts')).configCommands[name];

/** Commands about the configuration and the machine. */
export const CONFIG_COMMANDS: readonly CommandDefinition[] = [
  {
    usage: 'config',
    description: 'look at the configuration',
    commands: [
      {
        usage: 'validate',
        description: 'every problem at once, with its line',
        empty: { problems: [] },
        load: () => load('validate'),
      },
      {
        usage: 'show',
        description: 'the configuration in effect, without secrets',
        load: () => load('show'),
      },
      { usage: 'schema', description: 'the JSON Schema for editors', load: () => load('schema') },
    ],
  },
  {
    usage: 'completion <shell>',
    description: 'the completion script for bash, zsh or fish',
    load: async () => (await import('../commands/completion.ts')).completionCommand,
  },
  {
    usage: '__complete <kind>',
    description: 'names for the completion scripts',
    hidden: true,
    load: async () => (await import('../commands/completion.ts')).namesCommand,
  },
];
