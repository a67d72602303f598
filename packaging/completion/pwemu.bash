# completion of pwemu for bash, made by `pwemu help --bash`
_pwemu() {
	local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command='' words='' word skip='' count=0
	for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
		if [ -n "$skip" ]; then skip=; continue; fi
		case $word in
		-i|-C|-w|-c|-H|--instance|--working-dir|--config|--host) skip=1 ;;
		-*) ;;
		*) if [ "$command" = daemon ]; then command="daemon $word"; elif [ -z "$command" ]; then command=$word; else count=$((count+1)); fi ;;
		esac
	done
	case $prev in
	-i|--instance) mapfile -t COMPREPLY < <(compgen -W "$(pwemu ls -a 2>/dev/null | awk 'NR > 1 { print $1 }')" -- "$cur"); return ;;
	-C|-w|--working-dir|--log-dir) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
	-f|--file|-c|--config|--result|--junit) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
	-o|--output) mapfile -t COMPREPLY < <(compgen -W 'table json' -- "$cur"); return ;;
	esac
	case $command in
	'run') words=' --args --runner --pause --debug --semihosting --restart --lease --queue-timeout --set-env --channel --timeout --expect --fail --result --junit --log-dir --rm --detach-parent' ;;
	'start') words=' --file --args --runner --pause --debug --semihosting --restart --lease --queue-timeout --set-env --tcp --pty --gdb --foreground' ;;
	'restart') words=' --file --args --runner --pause --debug --semihosting --restart --lease --queue-timeout --set-env --tcp --pty --gdb --foreground' ;;
	'stop') words=' --all --grace' ;;
	'reset') words='' ;;
	'pause') words='' ;;
	'resume') words='' ;;
	'rm') words=' --force --ended' ;;
	'load') words=' --pause --offset' ;;
	'prop-ls') words=' --output' ;;
	'prop-get') words=' --output' ;;
	'prop-set') words=' --output' ;;
	'term') words=' --channel --from --read-only --steal --escape --eol' ;;
	'pipe') words=' --from --read-only' ;;
	'gdb') words=' --executable' ;;
	'gdb-cmds') words=' --executable --pause' ;;
	'logs') words=' --channel --follow --from --boot --lines --time' ;;
	'send') words=' --channel --line --expect --fail --timeout' ;;
	'wait') words=' --state --exit --channel --expect --fail --from --timeout' ;;
	'ls') words=' --all --all-users --user --output' ;;
	'status') words=' --output' ;;
	'share') words=' --with --group' ;;
	'unshare') words=' --with --group' ;;
	'who') words=' --output' ;;
	'lease ls') words=' --output' ;;
	'lease renew') words='' ;;
	'lease rm') words='' ;;
	'events') words=' --follow --from --output' ;;
	'targets') words=' --output' ;;
	'config check') words='' ;;
	'config explain') words=' --argv --runner --output' ;;
	'daemon info') words=' --output' ;;
	'daemon stop') words=' --with-instances' ;;
	'daemon restart') words='' ;;
	'daemon reload') words='' ;;
	'daemon logs') words=' --lines' ;;
	'proxy') words='' ;;
	'context add') words=' --no-check' ;;
	'context use') words='' ;;
	'context ls') words=' --output' ;;
	'context rm') words='' ;;
	'context ca') words='' ;;
	'token add') words=' --ttl --note --output' ;;
	'token ls') words=' --output' ;;
	'token rm') words='' ;;
	'help') words=' --man --bash' ;;
	'') words=' run start restart stop reset pause resume rm load prop-ls prop-get prop-set term pipe gdb gdb-cmds logs send wait ls status share unshare who lease lease lease events targets config config daemon daemon daemon daemon daemon proxy context context context context context token token token help' ;;
	daemon) words='info stop restart reload logs' ;;
	esac
	if [[ $cur == -* ]]; then words+=' --instance --working-dir --config --host --context --quiet --verbose --help --version'
	elif [[ $command == run || $command == start || $command == restart || $command == targets ]] && [ $count = 0 ]; then
		words=$(pwemu targets 2>/dev/null | awk 'NR > 1 { print $1 }')
	elif [ "$command" = run ]; then
		mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return
	fi
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}
complete -o filenames -F _pwemu pwemu
