#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016 # expanded by an inner shell
# pwemu run: output, exit codes, verdicts, what ends it.

load helpers

# background NAME COMMAND...: its process id is in $pid, its output in $T/NAME.out and .err.
background() {
	local name=$1
	shift
	"$@" >"$T/$name.out" 2>"$T/$name.err" </dev/null 3>&- &
	pid=$!
}

ended() { ! kill -0 "$1" 2>/dev/null; }

# Waits for a background process; its exit code is in $status.
reap() {
	wait_until "$DEADLINE" ended "$1" || no "still running: $1"
	status=0
	wait "$1" || status=$?
}

none_runs() { [ "$(pwemu ls -o json)" = "[]" ]; }
is_verdict() { [ "$(tail -n 1 "$T/err" | sed 's/^pwemu: [^:]*: //; s/:.*//')" = "$1" ]; }

@test "the guest's exit code is ours, its text is on stdout, unchanged" {
	limited pwemu run "$BOARD" "$FW/exit.elf" --semihosting --result verdict
	[ "$status" = 42 ]
	[ -n "$output" ]
	is_verdict failed
	[ "$(cat verdict)" = failed ]
	none_runs
}

@test "code 0 is passed; --result in .json says more" {
	limited pwemu run "$BOARD" "$FW/exit.elf" --result r.json -- 0
	[ "$status" = 0 ]
	is_verdict passed
	[ "$(json 'j["verdict"]' <r.json)" = passed ]
	[ "$(json 'j["exit_code"]' <r.json)" = 0 ]
	[ "$(json 'j["target"]' <r.json)" = "$BOARD" ]
}

@test "words after -- are the firmware's, the first is FILE where none was given" {
	limited pwemu run "$BOARD" "$FW/exit.elf" -- 7
	[ "$status" = 7 ]
	limited pwemu run "$BOARD" --semihosting -- "$FW/exit.elf" 9
	[ "$status" = 9 ]
	cp "$FW/exit.elf" fw.elf
	limited pwemu run "$BOARD" -- fw.elf 11
	[ "$status" = 11 ]
}

@test "semihosting console and serial are both shown" {
	limited pwemu run "$BOARD" "$FW/semi.elf" --semihosting
	[ "$status" = 0 ]
	[ -n "$output" ]
}

@test "-n all has names before the lines" {
	limited pwemu run "$BOARD" "$FW/uarts.elf" -n all --timeout 1s
	[ "$status" = 124 ]
	contains "$output" "serial0: uart0"
	contains "$output" "serial1: uart1"
}

@test "-n NAME shows that one" {
	limited pwemu run "$BOARD" "$FW/uarts.elf" -n serial1 --timeout 1s
	[ "$status" = 124 ]
	[ "${output%$'\r'}" = uart1 ]
	limited pwemu run "$BOARD" "$FW/uarts.elf" -n serial9 --timeout 5s
	[ "$status" = 125 ]
	contains "$stderr" serial9
	none_runs
}

@test "timeout: 124, and nothing runs" {
	limited pwemu run "$BOARD" "$FW/hello.elf" --timeout 500ms --result verdict
	[ "$status" = 124 ]
	contains "$output" "hello from lm3s6965evb"
	is_verdict timeout
	[ "$(cat verdict)" = timeout ]
	none_runs
}

@test "lockup: guest-fault, 134, the registers on stderr" {
	limited pwemu run "$BOARD" "$FW/lockup.elf" --result verdict
	[ "$status" = 134 ]
	contains "$output" "about to fault"
	contains "$stderr" R15
	is_verdict guest-fault
	[ "$(cat verdict)" = guest-fault ]
}

@test "bkpt 0xab without semihosting: the hint" {
	limited pwemu run "$BOARD" "$FW/bkpt.elf"
	[ "$status" = 134 ]
	contains "$stderr" "--semihosting"
}

@test "the emulator refuses its arguments: emulator-error, 125, its words" {
	limited pwemu run "$BOARD" "$FW/hello.elf" --args '-no-such-option' --result verdict
	[ "$status" = 125 ]
	contains "$stderr" no-such-option
	is_verdict emulator-error
	[ "$(cat verdict)" = emulator-error ]
	none_runs
}

@test "no emulator: 127; one that cannot be executed: 126" {
	only_here "the emulator is found by the daemon's PATH"
	mkdir bin
	limited env PATH="$BUILD/bin:$T/work/bin" pwemu run "$BOARD" "$FW/hello.elf" --result verdict
	[ "$status" = 127 ]
	contains "$stderr" qemu-system-arm
	[ "$(cat verdict)" = emulator-error ]
	: >bin/qemu-system-arm
	limited env PATH="$BUILD/bin:$T/work/bin" pwemu run "$BOARD" "$FW/hello.elf"
	[ "$status" = 126 ]
	none_runs
}

@test "the emulator dies of a signal: emulator-crash, 128+n" {
	not_over_tls "the emulator is found by the server's PATH"
	mkdir bin
	printf '#!/bin/sh\nkill -SEGV $$\n' >bin/qemu-system-arm
	chmod +x bin/qemu-system-arm
	PATH=$T/work/bin:$PATH limited pwemu run "$BOARD" "$FW/hello.elf" --result verdict
	[ "$status" = 139 ]
	[ "$(cat verdict)" = emulator-crash ]
	none_runs
}

@test "a refusal: pwemu-error, 125, at once" {
	limited pwemu run qemu-lm3s6965evc "$FW/hello.elf" --result verdict
	[ "$status" = 125 ]
	contains "$stderr" "$BOARD"
	[ "$(cat verdict)" = pwemu-error ]
	for bad in truncated.elf wrong-arch.elf elsewhere.elf text.elf; do
		limited pwemu run "$BOARD" "$FIRMWARE/bad/$bad"
		[ "$status" = 125 ]
		[ -z "$output" ]
		contains "$stderr" "$bad"
	done
	limited pwemu run "$BOARD" "$FW/hello.elf" --result /nowhere/verdict
	[ "$status" = 125 ]
	none_runs
}

@test "SIGINT, SIGTERM and SIGHUP stop the instance, then 128+n" {
	for signal in INT TERM HUP; do
		rm -f "$T/run.out" # that of the signal before: who is told before it executes never hears of it
		# A shell's background job ignores SIGINT.
		background run env --default-signal=INT pwemu run "$BOARD" "$FW/hello.elf" --result verdict
		wait_until "$DEADLINE" file_has "$T/run.out" hello
		kill -"$signal" "$pid"
		reap "$pid"
		[ "$status" = $((128 + $(kill -l "$signal"))) ]
		[ "$(cat verdict)" = interrupted ]
		none_runs
	done
}

@test "a killed client's instance is stopped" {
	background run pwemu run "$BOARD" "$FW/hello.elf"
	wait_until "$DEADLINE" file_has "$T/run.out" hello
	kill -KILL "$pid"
	reap "$pid"
	[ "$status" = 137 ]
	wait_until "$DEADLINE" none_runs
}

@test "a closed stdout stops it silently" {
	set +o pipefail
	timeout -s KILL "$DEADLINE" bash -c 'pwemu -q run "$0" "$1" 2>"$2" </dev/null; echo $? >"$3"' "$BOARD" "$FW/hello.elf" "$T/err" "$T/code" | head -n 1
	wait_until "$DEADLINE" test -s "$T/code"
	[ "$(cat "$T/code")" = 141 ]
	[ ! -s "$T/err" ]
	none_runs
}

@test "stdin goes to the guest, its end ends nothing" {
	mkfifo "$T/in"
	pwemu run "$BOARD" "$FW/echo.elf" <"$T/in" >"$T/out" 2>"$T/err" 3>&- &
	pid=$!
	exec 8>"$T/in"
	wait_until "$DEADLINE" file_has "$T/out" "ready>" # before, the UART is off
	printf 'abc\r' >&8
	wait_until "$DEADLINE" file_has "$T/out" "got: abc"
	exec 8>&-
	pwemu status | grep -q running
	kill -0 "$pid"
	kill -TERM "$pid"
	reap "$pid"
	[ "$status" = 143 ]
}

@test "-q says nothing but errors, --rm leaves nothing" {
	limited pwemu -q run "$BOARD" "$FW/exit.elf" --rm -- 0
	[ "$status" = 0 ]
	[ -z "$stderr" ]
	[ "$(pwemu ls -a -o json)" = "[]" ]
}

@test "with -i a running instance is refused; ended ones are in ls -a only" {
	limited pwemu run "$BOARD" "$FW/exit.elf" -i mine -- 0
	[ "$status" = 0 ]
	[ "$(pwemu ls -a -o json | json '[i["name"] for i in j]')" = "['mine']" ]
	none_runs
	pwemu -q start "$BOARD" -f "$FW/hello.elf" -i mine
	limited pwemu run "$BOARD" "$FW/hello.elf" -i mine
	[ "$status" = 125 ]
	contains "$stderr" mine
}

@test "eight at once in one directory" {
	pids=()
	for code in 1 2 3 4 5 6 7 8; do
		background "run$code" pwemu run "$BOARD" "$FW/exit.elf" -- "$code"
		pids+=("$pid")
	done
	for code in 1 2 3 4 5 6 7 8; do
		reap "${pids[code - 1]}"
		[ "$status" = "$code" ] || no "run $code: $status: $(cat "$T/run$code.err")"
	done
	[ "$(pwemu ls -a -o json | json 'len({i["name"] for i in j})')" = 8 ]
}

@test "relative arguments and a PATH that only the client knows" {
	only_here "paths and PATH of the caller mean nothing elsewhere"
	mkdir bin
	ln -s "$(command -v qemu-system-arm)" bin/qemu-only-here
	printf '#!/bin/sh\npwd >cwd; echo "$MARK" >mark; exec qemu-only-here "$@"\n' >bin/qemu-system-arm
	chmod +x bin/qemu-system-arm
	truncate -s 1M disk.img
	env -i HOME="$HOME" XDG_RUNTIME_DIR="$XDG_RUNTIME_DIR" XDG_STATE_HOME="$XDG_STATE_HOME" PWEMU_TEST="$T" "$BUILD/bin/pwemu" ls
	PATH=$T/work/bin:$PATH limited pwemu run "$BOARD" "$FW/exit.elf" --set-env MARK=x --args '-drive file=disk.img,format=raw,if=none' -- 3
	[ "$status" = 3 ]
	[ "$(cat cwd)" = "$T/work" ]
	[ "$(cat mark)" = x ]
}

@test "a whole run's bytes arrive, also into a slow pipe" {
	limited bash -c 'pwemu -q run "$0" "$1" --semihosting --timeout 60s | (sleep 1; cat) | md5sum' "$BOARD" "$FW/seqn.elf"
	slow=$output
	limited bash -c 'for ((i = 0; i < 20000; i++)); do printf "%08x\n" "$i"; done | md5sum'
	[ "$slow" = "$output" ]
}

@test "--expect and --fail end the run after the line" {
	limited pwemu run "$BOARD" "$FW/slow.elf" --expect 'tick 2$' --fail nothing --result verdict
	[ "$status" = 0 ]
	[ "${output##*$'\n'}" = "tick 2" ]
	[ "$(cat verdict)" = passed ]
	limited pwemu run "$BOARD" "$FW/slow.elf" --expect 'tick 9999' --fail 'tick 2$' --result verdict
	[ "$status" = 1 ]
	[ "${output##*$'\n'}" = "tick 2" ]
	[ "$(cat verdict)" = failed ]
	none_runs
	limited pwemu run "$BOARD" "$FW/exit.elf" --expect nothing -- 0
	[ "$status" = 1 ]
	is_verdict failed
	limited pwemu run "$BOARD" "$FW/slow.elf" --expect nothing --timeout 500ms
	[ "$status" = 124 ]
	limited pwemu run "$BOARD" "$FW/echo.elf" --expect 'ready> $' --timeout 1s # a prompt has no end: $ does not match
	[ "$status" = 124 ]
	limited pwemu run "$BOARD" "$FW/echo.elf" --expect 'ready> ' --timeout 10s
	[ "$status" = 0 ]
	limited pwemu run "$BOARD" "$FW/echo.elf" --expect '('
	[ "$status" = 2 ]
	none_runs
}

@test "an image that is not there: what it may be, or that it is to be built" {
	cp "$FW/hello.elf" .
	limited pwemu run "$BOARD" helo.elf
	[ "$status" = 125 ]
	contains "$stderr" 'image "helo.elf": No such file or directory (did you mean "hello.elf"?)'
	limited pwemu start "$BOARD" -f out/board/app.elf
	[ "$status" = 1 ]
	contains "$stderr" 'nor is there a directory "out/board": has it been built?'
	limited pwemu run "$BOARD" nothing.like.it
	contains "$stderr" "has it been built?"
}
