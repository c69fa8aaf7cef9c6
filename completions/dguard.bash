# bash completion for dguard, written by `dguard completion bash`: never edit it.

# What the value of an option is: sets kind, or leaves it empty.
_dguard_value() {
  kind=
  case "$1:$2" in
    *:-c | *:--config) kind='file' ;;
    *:--log-dir) kind='folder' ;;
    'backup':--type) kind='words full snapshot checkpoint' ;;
    'backup':--tag) kind='none' ;;
    'backup':--only) kind='none' ;;
    'backup':--exclude) kind='none' ;;
    'backup':--to) kind='destinations' ;;
    'backup':--wait-lock) kind='none' ;;
    'list':--destination) kind='destinations' ;;
    'list':--from) kind='destinations' ;;
    'list':--datasource) kind='datasources' ;;
    'list':--type) kind='words full incremental differential snapshot checkpoint' ;;
    'list':--status) kind='words good completed partial suspect failed broken damaged verify-failed' ;;
    'list':--tag) kind='none' ;;
    'list':--since) kind='none' ;;
    'list':--until) kind='none' ;;
    'list':--prefix) kind='none' ;;
    'list':--limit) kind='none' ;;
    'status':--max-age) kind='none' ;;
    'check':--timeout) kind='none' ;;
    'doctor':--timeout) kind='none' ;;
    'show':--from) kind='destinations' ;;
    'ls':--from) kind='destinations' ;;
    'cat':--from) kind='destinations' ;;
    'diff':--from) kind='destinations' ;;
    'restore':--from) kind='destinations' ;;
    'restore':--at) kind='none' ;;
    'restore':--datasource) kind='datasources' ;;
    'restore':--only) kind='none' ;;
    'restore':--to-path) kind='file' ;;
    'restore':--to) kind='datasources' ;;
    'restore':--to-database) kind='names' ;;
    'restore':--parallel-jobs) kind='none' ;;
    'rollback':--from) kind='destinations' ;;
    'rollback':--datasource) kind='datasources' ;;
    'verify':--from) kind='destinations' ;;
    'verify':--level) kind='words exists checksum content restore' ;;
    'verify':--sample) kind='none' ;;
    'verify':--newest) kind='none' ;;
    'prune':--destination) kind='destinations' ;;
    'prune':--wait-lock) kind='none' ;;
    'accept':--from) kind='destinations' ;;
    'pin':--from) kind='destinations' ;;
    'unpin':--from) kind='destinations' ;;
    'delete':--from) kind='destinations' ;;
  esac
}

# What an argument is, by its place.
_dguard_argument() {
  kind=
  case "$1:$2" in
    'backup':*) kind='jobs' ;;
    'list':0) kind='jobs' ;;
    'status':*) kind='jobs' ;;
    'check':*) kind='names' ;;
    'doctor':*) kind='names' ;;
    'show':0) kind='none' ;;
    'ls':0) kind='none' ;;
    'ls':1) kind='none' ;;
    'cat':0) kind='none' ;;
    'cat':1) kind='none' ;;
    'diff':0) kind='none' ;;
    'diff':1) kind='none' ;;
    'restore':0) kind='jobs' ;;
    'rollback':0) kind='jobs' ;;
    'rollback':1) kind='none' ;;
    'verify':0) kind='jobs' ;;
    'prune':*) kind='jobs' ;;
    'accept':0) kind='none' ;;
    'pin':0) kind='none' ;;
    'unpin':0) kind='none' ;;
    'unlock':0) kind='jobs' ;;
    'delete':*) kind='none' ;;
    'completion':0) kind='words bash zsh fish' ;;
  esac
}

_dguard_options() {
  case "$1" in
    '') words='-c --config --json -q --quiet -v --verbose --log-dir --no-color --no-progress --trust-config --version -h --help' ;;
    'backup') words='--all --type --tag --only --exclude --to --wait-lock --ignore-clock --dry-run -h --help -c --config --json -q --quiet -v --verbose --log-dir --no-color --no-progress --trust-config --version' ;;
    'list') words='--destination --from --datasource --type --status --tag --since --until --prefix --limit -h --help -c --config --json -q --quiet -v --verbose --log-dir --no-color --no-progress --trust-config --version' ;;
    'status') words='--max-age --prometheus -h --help -c --config --json -q --quiet -v --verbose --log-dir --no-color --no-progress --trust-config --version' ;;
    'check') words='--timeout -h --help -c --config --json -q --quiet -v --verbose --log-dir --no-color --no-progress --trust-config --version' ;;
    'doctor') words='--timeout -h --help -c --config --json -q --quiet -v --verbose --log-dir --no-color --no-progress --trust-config --version' ;;
    'show') words='--from -h --help -c --config --json -q --quiet -v --verbose --log-dir --no-color --no-progress --trust-config --version' ;;
    'ls') words='--from -h --help -c --config --json -q --quiet -v --verbose --log-dir --no-color --no-progress --trust-config --version' ;;
    'cat') words='--from -h --help -c --config --json -q --quiet -v --verbose --log-dir --no-color --no-progress --trust-config --version' ;;
    'diff') words='--from -h --help -c --config --json -q --quiet -v --verbose --log-dir --no-color --no-progress --trust-config --version' ;;
    'restore') words='--from --at --datasource --only --to-path --to --to-database --overwrite --delete-extra --no-safety --privileged --roles --allow-duplicates --parallel-jobs --dry-run --undo --recover --drop-undo --yes -h --help -c --config --json -q --quiet -v --verbose --log-dir --no-color --no-progress --trust-config --version' ;;
    'rollback') words='--from --datasource --privileged --no-safety --dry-run --yes -h --help -c --config --json -q --quiet -v --verbose --log-dir --no-color --no-progress --trust-config --version' ;;
    'verify') words='--from --level --all --sample --newest -h --help -c --config --json -q --quiet -v --verbose --log-dir --no-color --no-progress --trust-config --version' ;;
    'prune') words='--destination --dry-run --wait-lock --ignore-clock -h --help -c --config --json -q --quiet -v --verbose --log-dir --no-color --no-progress --trust-config --version' ;;
    'accept') words='--from -h --help -c --config --json -q --quiet -v --verbose --log-dir --no-color --no-progress --trust-config --version' ;;
    'pin') words='--from -h --help -c --config --json -q --quiet -v --verbose --log-dir --no-color --no-progress --trust-config --version' ;;
    'unpin') words='--from -h --help -c --config --json -q --quiet -v --verbose --log-dir --no-color --no-progress --trust-config --version' ;;
    'unlock') words='--force --yes -h --help -c --config --json -q --quiet -v --verbose --log-dir --no-color --no-progress --trust-config --version' ;;
    'delete') words='--from --with-dependents --yes -h --help -c --config --json -q --quiet -v --verbose --log-dir --no-color --no-progress --trust-config --version' ;;
    'config') words='-h --help -c --config --json -q --quiet -v --verbose --log-dir --no-color --no-progress --trust-config --version' ;;
    'config validate') words='-h --help -c --config --json -q --quiet -v --verbose --log-dir --no-color --no-progress --trust-config --version' ;;
    'config show') words='-h --help -c --config --json -q --quiet -v --verbose --log-dir --no-color --no-progress --trust-config --version' ;;
    'config schema') words='-h --help -c --config --json -q --quiet -v --verbose --log-dir --no-color --no-progress --trust-config --version' ;;
    'completion') words='-h --help -c --config --json -q --quiet -v --verbose --log-dir --no-color --no-progress --trust-config --version' ;;
  esac
}

_dguard_commands() {
  words=
  case "$1" in
    '') words='backup list status check doctor show ls cat diff restore rollback verify prune accept pin unpin unlock delete config completion' ;;
    'config') words='validate show schema' ;;
  esac
}

_dguard() {
  local cur=${COMP_WORDS[COMP_CWORD]} command='' places=0 kind='' words='' config='' option='' word i plain=''
  local -a found=()
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
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
        command="${command:+$command }$word"
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
      [[ $kind == 'words '* ]] && words=${kind#words }
      mapfile -t found < <(printf '%s\n' $words)
      ;;
    jobs | datasources | destinations | names)
      mapfile -t found < <("$1" __complete "$kind" ${config:+-c "$config"} 2>/dev/null)
      ;;
  esac
  for word in "${found[@]}"; do
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
