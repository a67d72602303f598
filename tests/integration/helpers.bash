# SPDX-License-Identifier: Apache-2.0
# Every test has a home, a runtime and a state directory of its own, hence a daemon of its own. Nothing of it survives teardown:
# what carries the test's directory in its environment is ended by process id, and a test that leaves something running fails.

ROOT=$(cd "${BASH_SOURCE[0]%/*}/../.." && pwd)
BUILD=${PWEMU_BUILD:-$ROOT/build/${VARIANT:-release}}
FIRMWARE=$ROOT/build/firmware
DEADLINE=${PWEMU_TEST_DEADLINE:-30} # seconds
# shellcheck disable=SC2034 # for the tests
BOARD=qemu-lm3s6965evb
# shellcheck disable=SC2034
FW=$FIRMWARE/lm3s6965evb

setup() {
	T=$(mktemp -d /tmp/pwemu-test.XXXXXX)
	mkdir -m 700 "$T/home" "$T/run" "$T/state" "$T/work"
	export HOME=$T/home XDG_RUNTIME_DIR=$T/run XDG_STATE_HOME=$T/state PWEMU_TEST=$T
	export PATH=$BUILD/bin:$PATH
	unset XDG_CONFIG_HOME PWEMU_HOST PWEMU_CONTEXT PW_EMU_WDIR PW_PROJECT_ROOT PW_ROOT NO_COLOR
	# The same suite as for a local client, for one that comes through `pwemu proxy` or over TLS.
	case ${PWEMU_TEST_REMOTE:-} in
	'') ;;
	tls) serve || return 1 ;;
	*) export PWEMU_SSH=$ROOT/tests/fake/ssh PWEMU_HOST=ssh://test@far ;;
	esac
	cd "$T/work" || return 1
	declare -F test_setup >/dev/null && test_setup
	return 0
}

# The set-up as it is documented: what the server prints is run on the client.
serve() {
	setsid "$ROOT/tests/fake/server" "$T" </dev/null >/dev/null 3>&- &
	server=$!
	wait_until "$DEADLINE" test -e "$T/server.line" || no "$(cat "$T/server.out")" || return 1
	sh "$T/server.line" >/dev/null && pwemu -q context use "$(cut -d ' ' -f 4 "$T/server.line")"
}

# From here on the daemon is a local one, which is not begun again.
serve_no_more() {
	: >"$T/server.stop"
	unset PWEMU_HOST
	pwemu -q context use -
}

teardown() {
	declare -F test_teardown >/dev/null && test_teardown
	cd / || return 1
	[ -z "${server:-}" ] || serve_no_more
	# Of a daemon that was killed the instances run on: the next one ends them.
	pwemu -q daemon stop --with-instances >/dev/null 2>&1 || nothing_left ||
		{ pwemu -q ls && pwemu -q daemon stop --with-instances; } >/dev/null 2>&1
	local left
	wait_until 10 nothing_left
	left=$(processes_of_test)
	if [ -n "$left" ]; then
		echo "left running:"
		for pid in $left; do
			echo "$pid: $(tr '\0' ' ' <"/proc/$pid/cmdline")"
			kill -KILL "$pid" 2>/dev/null
		done
	fi
	[ -z "${server:-}" ] || wait_until 10 has_ended "$server" || { kill -KILL "$server" && left+=" server"; }
	rm -rf "$T"
	[ -z "$left" ]
}

# Process ids that carry this test's mark in their environment, save our own and bats' (zombies have none).
processes_of_test() {
	local environ pid ancestors=" $$ $BASHPID $PPID "
	for environ in /proc/[0-9]*/environ; do
		pid=${environ#/proc/}
		pid=${pid%/environ}
		case $ancestors in *" $pid "*) continue ;; esac
		grep -qzxF "PWEMU_TEST=$T" "$environ" 2>/dev/null || continue
		case $(readlink "/proc/$pid/exe") in
		"$BUILD"/* | */qemu-system-*) echo "$pid" ;;
		esac
	done
}

nothing_left() { [ -z "$(processes_of_test)" ]; }

# wait_until SECONDS COMMAND...: until it succeeds. The deadline is generous, since machines are slow; it is a failure when it passes.
wait_until() {
	local deadline=$((SECONDS + $1))
	shift
	until "$@" >/dev/null 2>&1; do
		if [ $SECONDS -ge $deadline ]; then
			echo "timed out: $*" >&2
			return 1
		fi
		sleep 0.02
	done
}

# Runs a command with a limit, so that one that hangs fails its test. Status, stdout and stderr go to $status, $output, $stderr.
# The limit's own 124 is told apart from pwemu's by its -k status: a command that it ends gets SIGKILL (137).
limited() {
	status=0
	timeout -s KILL "$DEADLINE" "$@" >"$T/out" 2>"$T/err" </dev/null || status=$?
	output=$(cat "$T/out")
	stderr=$(cat "$T/err")
	echo "\$ $*"
	echo "status $status"
	echo "stdout: $output"
	echo "stderr: $stderr"
}

# A test that cannot hold for a client elsewhere, and why.
only_here() { [ -z "${PWEMU_TEST_REMOTE:-}" ] || skip "optional: $1"; }
# One that cannot hold over TLS, where a client starts no daemon and none but the served one can be reached.
not_over_tls() { [ "${PWEMU_TEST_REMOTE:-}" != tls ] || skip "optional: $1"; }

# Over TLS a client cannot start the next daemon, which its server does.
kill_daemon() {
	kill -KILL "$(pwemu daemon info -o json | json 'j["pid"]')"
	[ -z "${server:-}" ] || wait_until "$DEADLINE" pwemu daemon info
}

# Fails with a text.
no() {
	echo "$*"
	return 1
}

contains() { # TEXT PART
	case $1 in
	*"$2"*) return 0 ;;
	*) no "'$2' is not in: $1" ;;
	esac
}

# json EXPRESSION: evaluates a Python expression over `j`, the JSON on stdin, and prints it.
json() { /usr/bin/python3 -c 'import json, sys; j = json.load(sys.stdin); print(eval(sys.argv[1]))' "$1"; }

# has_ended PID: also as a zombie, since in a container PID 1 may never reap the daemon.
has_ended() {
	local stat
	read -r stat 2>/dev/null <"/proc/$1/stat" || return 0
	[[ ${stat##*) } == [ZX]* ]]
}

state_of() { pwemu status -i "$1" -o json | json 'j["state"]'; }
is_state() { [ "$(state_of "$1")" = "$2" ]; }
file_has() { grep -qF -- "$2" "$1"; }
