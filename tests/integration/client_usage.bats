#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What needs no daemon: usage errors, help, and that looking at the daemon does not start one.

load helpers

# Over TLS one is there.
no_daemon() { [ "${PWEMU_TEST_REMOTE:-}" = tls ] || [ ! -e "$XDG_RUNTIME_DIR/pwemu/control.sock" ]; }

@test "without a command: help on stderr, 2" {
	limited pwemu
	[ "$status" = 2 ]
	[ -z "$output" ]
	contains "$stderr" "Usage: pwemu"
}

@test "help is on stdout and comes from the table" {
	limited pwemu --help
	[ "$status" = 0 ]
	contains "$output" "daemon info"
	limited pwemu help run
	[ "$status" = 0 ]
	contains "$output" "--semihosting"
	help_run=$output
	limited pwemu run --help
	[ "$output" = "$help_run" ]
	limited pwemu daemon --help
	[ "$status" = 0 ]
	contains "$output" "daemon restart"
	no_daemon
}

@test "every command has help" {
	commands=$(pwemu help --bash | sed -n "s/^\t'\(..*\)') words=.*/\1/p")
	[ "$(wc -l <<<"$commands")" -ge 21 ]
	while read -r command; do
		# shellcheck disable=SC2086 # two words
		limited pwemu help $command
		[ "$status" = 0 ]
		contains "$output" "Usage: pwemu $command"
	done <<<"$commands"
}

@test "--version" {
	limited pwemu --version
	[ "$status" = 0 ]
	[[ $output =~ ^pwemu\ [0-9]+\.[0-9]+\.[0-9]+$ ]]
}

@test "usage errors: 2, one line that says what" {
	check() { # PART WORDS...
		local part=$1
		shift
		limited pwemu "$@"
		[ "$status" = 2 ]
		[ -z "$output" ]
		[ "$(wc -l <"$T/err")" = 1 ]
		contains "$stderr" "$part"
	}
	check 'did you mean "stop"' stpo
	check "did you mean -i board2" stop board2
	check "did you mean -i board2" status board2
	check "did you mean --timeout" run --timeuot 5s
	check "--timeout" run t f --timeout soon
	check "5s" run t f --timeout 5
	check "wants a FILE" run "$BOARD"
	check "TARGET" run
	check "takes one -i" term -i a -i b
	check "one of table|json" ls -o yaml
	check "--instance wants" stop -i
	check "which command" daemon
	check "daemon stop" daemon sotp
	check "unknown option -Z" ls -Z
	no_daemon
}

@test "global options stand before or after the command" {
	limited pwemu -H unix:/nowhere/sock ls
	[ "$status" = 1 ]
	contains "$stderr" /nowhere/sock
	limited pwemu ls --ho unix:/nowhere/sock
	[ "$status" = 1 ]
	contains "$stderr" /nowhere/sock
	PWEMU_HOST=unix:/nowhere/else limited pwemu ls
	[ "$status" = 1 ]
	contains "$stderr" /nowhere/else
	no_daemon
}

@test "daemon info, stop and logs start none" {
	only_here "afar proxy starts the daemon"
	for command in info stop logs; do
		limited pwemu daemon $command
		[ "$status" = 1 ]
		[ -z "$output" ]
		[ -n "$stderr" ]
	done
	no_daemon
}

@test "a file that is not there is refused before a daemon is started" {
	limited pwemu run "$BOARD" missing.elf
	[ "$status" = 125 ]
	contains "$stderr" missing.elf
	limited pwemu start "$BOARD" -f missing.elf
	[ "$status" = 1 ]
	no_daemon
}

@test "man page and completion are those of the tables" {
	pwemu help --man | diff - "$ROOT/packaging/man/pwemu.1"
	pwemu help --bash | diff - "$ROOT/packaging/completion/pwemu.bash"
}
