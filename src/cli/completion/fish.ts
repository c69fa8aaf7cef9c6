import { allCommands, type CompletionCommand, type CompletionOption, type ValueKind } from './model.ts';

/** The completion script of fish (3.0 and newer). */
export function fishCompletion(root: CompletionCommand): string {
  const commands = allCommands(root);
  const withValue = commands.flatMap(({ options }) => options.filter(({ value }) => value !== undefined));
  const flags = [...new Set(withValue.flatMap((option) => option.flags))].sort();
  const paths = commands.slice(1).map(({ path }) => quoted(path));
  return `# fish completion for dguard, written by \`dguard completion fish\`: never edit it.

# The command that stands on the line: 'config validate'; empty before there is one.
function __dguard_command
    set -l words (commandline -opc)
    set -l path
    set -l skip 0
    for word in $words[2..-1]
        if test $skip = 1
            set skip 0
        else if contains -- $word ${flags.join(' ')}
            set skip 1
        else if string match -q -- '-*' $word
            continue
        else if contains -- (string join ' ' $path $word) ${paths.join(' ')}
            set -a path $word
        end
    end
    string join ' ' $path
end

function __dguard_at
    test (__dguard_command | string collect --allow-empty) = "$argv"
end

function __dguard_names
    set -l words (commandline -opc)
    set -l config
    for i in (seq 2 (count $words))
        if contains -- $words[$i] -c --config
            set config -c $words[(math $i + 1)]
        end
    end
    eval $words[1] __complete $argv[1] (string escape -- $config) 2>/dev/null
end

complete -c dguard -f
${root.options.map((option) => line('', option)).join('\n')}
${commands.flatMap(lines).join('\n')}
`;
}

function lines(command: CompletionCommand): string[] {
  const at = `-n ${quoted(`__dguard_at ${command.path}`.trim())}`;
  const own = command.path === '' ? [] : command.options.map((option) => line(`${at} `, option));
  const children = command.commands.map(
    ({ name, description }) => `complete -c dguard ${at} -a ${name} -d ${quoted(description)}`,
  );
  const kinds = [...new Set(command.arguments.map(({ kind }) => values(kind)))].filter((text) => text !== '');
  return [...children, ...own, ...kinds.map((text) => `complete -c dguard ${at} ${text}`)];
}

function line(at: string, { flags, description, value }: CompletionOption): string {
  const names = flags.map((flag) => (flag.startsWith('--') ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`));
  const argument = value === undefined ? '' : ` ${`-r ${values(value)}`.trim()}`;
  return `complete -c dguard ${at}${names.join(' ')}${argument} -d ${quoted(description)}`;
}

function values(kind: ValueKind): string {
  if (typeof kind !== 'string') return `-f -a ${quoted(kind.words.join(' '))}`;
  if (kind === 'none') return '';
  if (kind === 'file') return '-F';
  if (kind === 'folder') return "-f -a '(__fish_complete_directories)'";
  const folders = kind === 'destinations' ? ' (__fish_complete_directories)' : '';
  return `-f -a '(__dguard_names ${kind})${folders}'`;
}

function quoted(text: string): string {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
}
