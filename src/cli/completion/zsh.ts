import { allCommands, type CompletionCommand, type CompletionOption, type ValueKind } from './model.ts';

/** The completion function of zsh, for a folder of $fpath. */
export function zshCompletion(root: CompletionCommand): string {
  const commands = allCommands(root).slice(1);
  return `#compdef dguard
# zsh completion for dguard, written by \`dguard completion zsh\`: never edit it.

_dguard_names() {
  local -a names
  names=(\${(f)"$(_call_program names \${(q)dguard} __complete $1 \${(q)dguard_config[@]} 2>/dev/null)"})
  compadd -a names
}
_dguard_jobs() { _dguard_names jobs }
_dguard_datasources() { _dguard_names datasources }
_dguard_any() { _dguard_names names }
_dguard_destinations() { _dguard_names destinations; _files -/ }

${allCommands(root)
  .filter((command) => command.commands.length > 0)
  .map(listing)
  .join('\n')}
_dguard() {
  local curcontext="$curcontext" state line dguard=$words[1] i
  local -a dguard_config dguard_globals
  for ((i = 2; i < CURRENT; i++)); do
    if [[ $words[i] == (-c|--config) ]]; then dguard_config=(-c $words[i+1]); fi
  done
  dguard_globals=(
${root.options.map((option) => `    ${spec(option)}`).join('\n')}
  )
  _arguments -C -s -S $dguard_globals '1: :_dguard_commands' '*:: :->command'
  [[ $state == command ]] || return
  case $line[1] in
${commands
  .filter(({ path }) => !path.includes(' '))
  .map(branch)
  .join('\n')}
  esac
}

if [[ $funcstack[1] == _dguard ]]; then _dguard "$@"; else compdef _dguard dguard; fi
`;
}

function listing(command: CompletionCommand): string {
  const items = command.commands.map(({ name, description }) => `    ${quoted(`${name}:${description}`)}`);
  return `${functionName(command)}() {
  local -a commands=(
${items.join('\n')}
  )
  _describe command commands
}
`;
}

function functionName({ path }: CompletionCommand): string {
  return path === '' ? '_dguard_commands' : `_dguard_${path.replaceAll(/\W/g, '_')}_commands`;
}

function branch(command: CompletionCommand): string {
  const lines = command.options.map((option) => `        ${spec(option)} \\`);
  if (command.commands.length === 0) {
    const places = command.arguments.map(
      ({ kind, variadic }, i) => `        ${quoted(`${variadic ? '*' : i + 1}: :${action(kind)}`)} \\`,
    );
    return `    (${command.name})
      _arguments -s -S \\
${[...lines, ...places].join('\n')}${lines.length + places.length > 0 ? '\n' : ''}        $dguard_globals
      ;;`;
  }
  const inner = command.commands.map((child) => branch(child).replaceAll(/^/gm, '    ')).join('\n');
  return `    (${command.name})
      state=
      _arguments -C -s -S \\
${lines.join('\n')}${lines.length > 0 ? '\n' : ''}        $dguard_globals '1: :${functionName(command)}' '*:: :->command'
      [[ $state == command ]] || return
      case $line[1] in
${inner}
      esac
      ;;`;
}

/** One option as _arguments reads it. */
function spec({ flags, description, value, repeatable }: CompletionOption): string {
  const text = `[${description.replaceAll(/[[\]]/g, '\\$&').replaceAll(':', '\\:')}]`;
  const argument = value === undefined ? '' : `: :${action(value)}`;
  const long = flags.map((flag) => (value !== undefined && flag.startsWith('--') ? `${flag}=` : flag));
  const rest = quoted(`${text}${argument}`);
  if (flags.length === 1) return `${repeatable ? "'*'" : ''}${long[0]}${rest}`;
  return `'(${flags.join(' ')})'{${long.join(',')}}${rest}`;
}

function action(kind: ValueKind): string {
  if (typeof kind !== 'string') return `(${kind.words.join(' ')})`;
  const functions = {
    jobs: '_dguard_jobs',
    datasources: '_dguard_datasources',
    destinations: '_dguard_destinations',
    names: '_dguard_any',
    file: '_files',
    folder: '_files -/',
    none: ' ',
  };
  return functions[kind];
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}
