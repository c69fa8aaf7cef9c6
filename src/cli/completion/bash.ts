import { allCommands, type CompletionCommand, type ValueKind } from './model.ts';

/** The completion script of bash (4.0 and newer; needs no bash-completion). */
export function bashCompletion(root: CompletionCommand): string {
  const commands = allCommands(root);
  const own = (command: CompletionCommand) => [...command.options, ...(command === root ? [] : root.options)];
  const subcommands = commands.filter((command) => command.commands.length > 0);
  const values = commands.flatMap((command) =>
    command.options.flatMap(({ flags, value }) =>
      value === undefined
        ? []
        : [
            arm(
              flags.map((flag) => `${command === root ? '*' : `'${command.path}'`}:${flag}`),
              value,
            ),
          ],
    ),
  );
  const places = commands.flatMap(({ path, arguments: places }) =>
    places.map(({ kind, variadic }, i) => arm([`'${path}':${variadic ? '*' : i}`], kind)),
  );
  return `# bash completion for dguard, written by \`dguard completion bash\`: never edit it.

# What the value of an option is: sets kind, or leaves it empty.
_dguard_value() {
  kind=
  case "$1:$2" in
${values.join('\n')}
  esac
}

# What an argument is, by its place.
_dguard_argument() {
  kind=
  case "$1:$2" in
${places.join('\n')}
  esac
}

_dguard_options() {
  case "$1" in
${commands.map((command) => `    '${command.path}') words='${optionWords(own(command))}' ;;`).join('\n')}
  esac
}

_dguard_commands() {
  words=
  case "$1" in
${subcommands.map(({ path, commands }) => `    '${path}') words='${commands.map(({ name }) => name).join(' ')}' ;;`).join('\n')}
  esac
}

_dguard() {
  local cur=\${COMP_WORDS[COMP_CWORD]} command='' places=0 kind='' words='' config='' option='' word i plain=''
  local -a found=()
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    if [[ -n $option ]]; then
      [[ $word == '=' ]] && continue
      [[ $option == -c || $option == --config ]] && config=$word
      option=
    elif [[ -z $plain && $word == -- ]]; then
      plain=1
    elif [[ -z $plain && $word == -?* ]]; then
      _dguard_value "$command" "$word"
      [[ -n $kind ]] && option=$word
    else
      _dguard_commands "$command"
      if [[ -n $words && " $words " == *" $word "* ]]; then
        command="\${command:+$command }$word"
      else
        places=$((places + 1))
      fi
    fi
  done
  if [[ -n $option ]]; then
    [[ $cur == '=' ]] && cur=
    _dguard_value "$command" "$option"
  elif [[ -z $plain && $cur == -* ]]; then
    _dguard_options "$command"
    kind=words
  else
    _dguard_commands "$command"
    if [[ -n $words ]]; then kind=words; else _dguard_argument "$command" "$places"; fi
  fi
  case "$kind" in
    words*)
      [[ $kind == 'words '* ]] && words=\${kind#words }
      mapfile -t found < <(printf '%s\\n' $words)
      ;;
    jobs | datasources | destinations | names)
      mapfile -t found < <("$1" __complete "$kind" \${config:+-c "$config"} 2>/dev/null)
      ;;
  esac
  for word in "\${found[@]}"; do
    [[ -n $word && $word == "$cur"* ]] && COMPREPLY+=("$word")
  done
  case "$kind" in
    file) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
    folder) mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
    destinations) [[ $cur == */* || $cur == .* ]] && mapfile -t COMPREPLY < <(compgen -d -- "$cur") ;;
  esac
  [[ $kind == file || $kind == folder || $cur == */* ]] && compopt -o filenames 2>/dev/null
  return 0
}

complete -F _dguard dguard
`;
}

function arm(patterns: readonly string[], kind: ValueKind): string {
  return `    ${patterns.join(' | ')}) kind='${typeof kind === 'string' ? kind : `words ${kind.words.join(' ')}`}' ;;`;
}

function optionWords(options: CompletionCommand['options']): string {
  return [...new Set(options.flatMap(({ flags }) => flags))].join(' ');
}
