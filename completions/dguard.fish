# fish completion for dguard, written by `dguard completion fish`: never edit it.

# The command that stands on the line: 'config validate'; empty before there is one.
function __dguard_command
    set -l words (commandline -opc)
    set -l path
    set -l skip 0
    for word in $words[2..-1]
        if test $skip = 1
            set skip 0
        else if contains -- $word --at --config --datasource --destination --exclude --from --level --limit --log-dir --max-age --newest --only --parallel-jobs --prefix --sample --since --status --tag --timeout --to --to-database --to-path --type --until --wait-lock -c
            set skip 1
        else if string match -q -- '-*' $word
            continue
        else if contains -- (string join ' ' $path $word) 'backup' 'list' 'status' 'check' 'doctor' 'show' 'ls' 'cat' 'diff' 'restore' 'rollback' 'verify' 'prune' 'accept' 'pin' 'unpin' 'unlock' 'delete' 'config' 'config validate' 'config show' 'config schema' 'completion'
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
complete -c dguard -s c -l config -r -F -d 'configuration file'
complete -c dguard -l json -d 'one JSON document on stdout; stderr is JSON lines: progress, warnings, errors'
complete -c dguard -s q -l quiet -d 'only results, warnings and errors'
complete -c dguard -s v -l verbose -d 'more about what happens'
complete -c dguard -l log-dir -r -f -a '(__fish_complete_directories)' -d 'append a log of JSON lines there, one file per job and day'
complete -c dguard -l no-color -d 'no colours and no other escape codes'
complete -c dguard -l no-progress -d 'no progress'
complete -c dguard -l trust-config -d 'run commands of a configuration that is someone else\'s, as root'
complete -c dguard -l version -d 'print the version'
complete -c dguard -s h -l help -d 'display help for command'
complete -c dguard -n '__dguard_at' -a backup -d 'run jobs'
complete -c dguard -n '__dguard_at' -a list -d 'backups, newest first'
complete -c dguard -n '__dguard_at' -a status -d 'how old, how large and how well proven the backups are'
complete -c dguard -n '__dguard_at' -a check -d 'health of datasources and destinations, by name or by job'
complete -c dguard -n '__dguard_at' -a doctor -d 'what would make a backup or a restore fail, and how to mend it'
complete -c dguard -n '__dguard_at' -a show -d 'everything about one backup'
complete -c dguard -n '__dguard_at' -a ls -d 'what is inside'
complete -c dguard -n '__dguard_at' -a cat -d 'one file or member to stdout'
complete -c dguard -n '__dguard_at' -a diff -d 'what was added, removed, changed'
complete -c dguard -n '__dguard_at' -a restore -d 'restore a backup, or the newest good run of a job; without a name: a folder of mongodump (--from ./dump --to DATASOURCE)'
complete -c dguard -n '__dguard_at' -a rollback -d 'restore the good backup before the newest good one, or the one named'
complete -c dguard -n '__dguard_at' -a verify -d 'prove that backups can be restored'
complete -c dguard -n '__dguard_at' -a prune -d 'apply retention, and sweep what interrupted runs left'
complete -c dguard -n '__dguard_at' -a accept -d 'end the doubt about a suspect backup'
complete -c dguard -n '__dguard_at' -a pin -d 'keep a backup whatever retention says'
complete -c dguard -n '__dguard_at' -a unpin -d 'leave a pinned backup or a checkpoint to retention again'
complete -c dguard -n '__dguard_at' -a unlock -d 'remove a stale lock after showing its owner'
complete -c dguard -n '__dguard_at' -a delete -d 'delete backups'
complete -c dguard -n '__dguard_at' -a config -d 'look at the configuration'
complete -c dguard -n '__dguard_at' -a completion -d 'the completion script for bash, zsh or fish'
complete -c dguard -n '__dguard_at backup' -l all -d 'every job of the configuration'
complete -c dguard -n '__dguard_at backup' -l type -r -f -a 'full snapshot checkpoint' -d 'kind of backup'
complete -c dguard -n '__dguard_at backup' -l tag -r -d 'tag it (repeatable)'
complete -c dguard -n '__dguard_at backup' -l only -r -d 'only this table or path (repeatable)'
complete -c dguard -n '__dguard_at backup' -l exclude -r -d 'without this table or path (repeatable)'
complete -c dguard -n '__dguard_at backup' -l to -r -f -a '(__dguard_names destinations) (__fish_complete_directories)' -d 'only to this destination'
complete -c dguard -n '__dguard_at backup' -l wait-lock -r -d 'wait so long for another run of it (30m)'
complete -c dguard -n '__dguard_at backup' -l ignore-clock -d 'take the clock as it is'
complete -c dguard -n '__dguard_at backup' -l dry-run -d 'say what would be done'
complete -c dguard -n '__dguard_at backup' -s h -l help -d 'display help for command'
complete -c dguard -n '__dguard_at backup' -f -a '(__dguard_names jobs)'
complete -c dguard -n '__dguard_at list' -l destination -r -f -a '(__dguard_names destinations) (__fish_complete_directories)' -d 'a name, or a folder (./backups)'
complete -c dguard -n '__dguard_at list' -l from -r -f -a '(__dguard_names destinations) (__fish_complete_directories)' -d 'the same as --destination'
complete -c dguard -n '__dguard_at list' -l datasource -r -f -a '(__dguard_names datasources)' -d 'only of this datasource'
complete -c dguard -n '__dguard_at list' -l type -r -f -a 'full incremental differential snapshot checkpoint' -d 'only of this kind'
complete -c dguard -n '__dguard_at list' -l status -r -f -a 'good completed partial suspect failed broken damaged verify-failed' -d 'only with this status'
complete -c dguard -n '__dguard_at list' -l tag -r -d 'only with this tag'
complete -c dguard -n '__dguard_at list' -l since -r -d 'not before this (2026-01-31, 2026-01-31T23:00:00Z, or 7d: ago)'
complete -c dguard -n '__dguard_at list' -l until -r -d 'not after this'
complete -c dguard -n '__dguard_at list' -l prefix -r -d 'only in folders of the destination that begin so'
complete -c dguard -n '__dguard_at list' -l limit -r -d 'at most so many'
complete -c dguard -n '__dguard_at list' -s h -l help -d 'display help for command'
complete -c dguard -n '__dguard_at list' -f -a '(__dguard_names jobs)'
complete -c dguard -n '__dguard_at status' -l max-age -r -d 'fail (9) where the last good one is older (26h)'
complete -c dguard -n '__dguard_at status' -l prometheus -d 'print metrics'
complete -c dguard -n '__dguard_at status' -s h -l help -d 'display help for command'
complete -c dguard -n '__dguard_at status' -f -a '(__dguard_names jobs)'
complete -c dguard -n '__dguard_at check' -l timeout -r -d 'wait so long for each (15s)'
complete -c dguard -n '__dguard_at check' -s h -l help -d 'display help for command'
complete -c dguard -n '__dguard_at check' -f -a '(__dguard_names names)'
complete -c dguard -n '__dguard_at doctor' -l timeout -r -d 'wait so long for each (60s)'
complete -c dguard -n '__dguard_at doctor' -s h -l help -d 'display help for command'
complete -c dguard -n '__dguard_at doctor' -f -a '(__dguard_names names)'
complete -c dguard -n '__dguard_at show' -l from -r -f -a '(__dguard_names destinations) (__fish_complete_directories)' -d 'read from this destination: a name, or a folder (./backups)'
complete -c dguard -n '__dguard_at show' -s h -l help -d 'display help for command'
complete -c dguard -n '__dguard_at ls' -l from -r -f -a '(__dguard_names destinations) (__fish_complete_directories)' -d 'read from this destination: a name, or a folder (./backups)'
complete -c dguard -n '__dguard_at ls' -s h -l help -d 'display help for command'
complete -c dguard -n '__dguard_at cat' -l from -r -f -a '(__dguard_names destinations) (__fish_complete_directories)' -d 'read from this destination: a name, or a folder (./backups)'
complete -c dguard -n '__dguard_at cat' -s h -l help -d 'display help for command'
complete -c dguard -n '__dguard_at diff' -l from -r -f -a '(__dguard_names destinations) (__fish_complete_directories)' -d 'read from this destination: a name, or a folder (./backups)'
complete -c dguard -n '__dguard_at diff' -s h -l help -d 'display help for command'
complete -c dguard -n '__dguard_at restore' -l from -r -f -a '(__dguard_names destinations) (__fish_complete_directories)' -d 'read from this destination: a name, or a folder (./backups)'
complete -c dguard -n '__dguard_at restore' -l at -r -d 'the newest good one not after this (2026-01-31T23:00:00Z, or 7d: ago)'
complete -c dguard -n '__dguard_at restore' -l datasource -r -f -a '(__dguard_names datasources)' -d 'only this datasource (repeatable)'
complete -c dguard -n '__dguard_at restore' -l only -r -d 'only this path or table (repeatable)'
complete -c dguard -n '__dguard_at restore' -l to-path -r -F -d 'restore there'
complete -c dguard -n '__dguard_at restore' -l to -r -f -a '(__dguard_names datasources)' -d 'to another datasource\'s place; of another type: plain tables of a JSONL export'
complete -c dguard -n '__dguard_at restore' -l to-database -r -f -a '(__dguard_names names)' -d 'to a database of this name'
complete -c dguard -n '__dguard_at restore' -l overwrite -d 'replace what is there; the old is kept for --undo'
complete -c dguard -n '__dguard_at restore' -l delete-extra -d 'also remove (keep for --undo) what the backup does not hold, after showing it'
complete -c dguard -n '__dguard_at restore' -l no-safety -d 'take no safety backup where nothing can be kept for --undo'
complete -c dguard -n '__dguard_at restore' -l privileged -d 'set-uid bits and devices too, as root'
complete -c dguard -n '__dguard_at restore' -l roles -d 'make the roles that the server lacks, as the backup\'s globals have them (postgres)'
complete -c dguard -n '__dguard_at restore' -l allow-duplicates -d 'build a unique index that documents of the backup break without unique (mongodb)'
complete -c dguard -n '__dguard_at restore' -l parallel-jobs -r -d 'so many connections load at a time (default: the job\'s parallel_jobs; then the engine\'s choice)'
complete -c dguard -n '__dguard_at restore' -l dry-run -d 'say what would be done'
complete -c dguard -n '__dguard_at restore' -l undo -d 'put back what the newest restore of it replaced'
complete -c dguard -n '__dguard_at restore' -l recover -d 'finish or take back a restore that was interrupted'
complete -c dguard -n '__dguard_at restore' -l drop-undo -d 'remove what restores of it have kept, after showing it'
complete -c dguard -n '__dguard_at restore' -l yes -d 'do not ask'
complete -c dguard -n '__dguard_at restore' -s h -l help -d 'display help for command'
complete -c dguard -n '__dguard_at restore' -f -a '(__dguard_names jobs)'
complete -c dguard -n '__dguard_at rollback' -l from -r -f -a '(__dguard_names destinations) (__fish_complete_directories)' -d 'read from this destination: a name, or a folder (./backups)'
complete -c dguard -n '__dguard_at rollback' -l datasource -r -f -a '(__dguard_names datasources)' -d 'only this datasource (repeatable)'
complete -c dguard -n '__dguard_at rollback' -l privileged -d 'set-uid bits and devices too, as root'
complete -c dguard -n '__dguard_at rollback' -l no-safety -d 'take no safety backup where nothing can be kept for --undo'
complete -c dguard -n '__dguard_at rollback' -l dry-run -d 'say what would be done'
complete -c dguard -n '__dguard_at rollback' -l yes -d 'do not ask'
complete -c dguard -n '__dguard_at rollback' -s h -l help -d 'display help for command'
complete -c dguard -n '__dguard_at rollback' -f -a '(__dguard_names jobs)'
complete -c dguard -n '__dguard_at verify' -l from -r -f -a '(__dguard_names destinations) (__fish_complete_directories)' -d 'read from this destination: a name, or a folder (./backups)'
complete -c dguard -n '__dguard_at verify' -l level -r -f -a 'exists checksum content restore' -d 'how far'
complete -c dguard -n '__dguard_at verify' -l all -d 'every backup, not only the newest of each datasource'
complete -c dguard -n '__dguard_at verify' -l sample -r -d 'a random share of all, at least one (10%)'
complete -c dguard -n '__dguard_at verify' -l newest -r -d 'the newest so many of each datasource'
complete -c dguard -n '__dguard_at verify' -s h -l help -d 'display help for command'
complete -c dguard -n '__dguard_at verify' -f -a '(__dguard_names jobs)'
complete -c dguard -n '__dguard_at prune' -l destination -r -f -a '(__dguard_names destinations) (__fish_complete_directories)' -d 'only at this destination'
complete -c dguard -n '__dguard_at prune' -l dry-run -d 'show the plan with its reasons'
complete -c dguard -n '__dguard_at prune' -l wait-lock -r -d 'wait so long for another run (30m)'
complete -c dguard -n '__dguard_at prune' -l ignore-clock -d 'take the clock as it is'
complete -c dguard -n '__dguard_at prune' -s h -l help -d 'display help for command'
complete -c dguard -n '__dguard_at prune' -f -a '(__dguard_names jobs)'
complete -c dguard -n '__dguard_at accept' -l from -r -f -a '(__dguard_names destinations) (__fish_complete_directories)' -d 'read from this destination: a name, or a folder (./backups)'
complete -c dguard -n '__dguard_at accept' -s h -l help -d 'display help for command'
complete -c dguard -n '__dguard_at pin' -l from -r -f -a '(__dguard_names destinations) (__fish_complete_directories)' -d 'read from this destination: a name, or a folder (./backups)'
complete -c dguard -n '__dguard_at pin' -s h -l help -d 'display help for command'
complete -c dguard -n '__dguard_at unpin' -l from -r -f -a '(__dguard_names destinations) (__fish_complete_directories)' -d 'read from this destination: a name, or a folder (./backups)'
complete -c dguard -n '__dguard_at unpin' -s h -l help -d 'display help for command'
complete -c dguard -n '__dguard_at unlock' -l force -d 'also when its owner seems to run'
complete -c dguard -n '__dguard_at unlock' -l yes -d 'do not ask'
complete -c dguard -n '__dguard_at unlock' -s h -l help -d 'display help for command'
complete -c dguard -n '__dguard_at unlock' -f -a '(__dguard_names jobs)'
complete -c dguard -n '__dguard_at delete' -l from -r -f -a '(__dguard_names destinations) (__fish_complete_directories)' -d 'read from this destination: a name, or a folder (./backups)'
complete -c dguard -n '__dguard_at delete' -l with-dependents -d 'and the backups that need them'
complete -c dguard -n '__dguard_at delete' -l yes -d 'do not ask'
complete -c dguard -n '__dguard_at delete' -s h -l help -d 'display help for command'
complete -c dguard -n '__dguard_at config' -a validate -d 'every problem at once, with its line'
complete -c dguard -n '__dguard_at config' -a show -d 'the configuration in effect, without secrets'
complete -c dguard -n '__dguard_at config' -a schema -d 'the JSON Schema for editors'
complete -c dguard -n '__dguard_at config' -s h -l help -d 'display help for command'
complete -c dguard -n '__dguard_at config validate' -s h -l help -d 'display help for command'
complete -c dguard -n '__dguard_at config show' -s h -l help -d 'display help for command'
complete -c dguard -n '__dguard_at config schema' -s h -l help -d 'display help for command'
complete -c dguard -n '__dguard_at completion' -s h -l help -d 'display help for command'
complete -c dguard -n '__dguard_at completion' -f -a 'bash zsh fish'
