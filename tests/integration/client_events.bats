#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What happened, and waiting for what happens.

load helpers

# The Nth field of each line of JSON on stdin.
fields() { /usr/bin/python3 -c 'import json, sys; [print(eval(sys.argv[1], {"j": json.loads(line)})) for line in sys.stdin]' "$1"; }

# The numbers on stdin are FIRST, FIRST + 1, …, at least three of them.
count_on() { awk -v n="$1" '$1 != n++ { bad = 1 } END { exit bad || NR < 3 }'; }

start() { pwemu -q start "$BOARD" -f "$FW/$1.elf" -i "${2:-a}"; }

# background NAME COMMAND...: what it says goes to $T/NAME.out and .err, its status to `finish NAME`.
background() {
	local name=$1
	shift
	timeout -s KILL $((2 * DEADLINE)) "$@" >"$T/$name.out" 2>"$T/$name.err" </dev/null 3>&- &
	eval "pid_$name=\$!"
}

finish() {
	local pid="pid_$1"
	status=0
	wait "${!pid}" || status=$?
	stderr=$(cat "$T/$1.err")
	echo "$1 ended with $status: $(cat "$T/$1.out" "$T/$1.err")"
}

# A command with -v that waits is there.
has_said() { file_has "$T/$1.err" "connected"; }

@test "events: a table of all, JSON lines, one instance, a beginning" {
	start hello
	pwemu -q pause -i a
	pwemu -q stop -i a
	limited pwemu events
	[ "$status" = 0 ]
	grep -qE '^[0-9]{4}-[0-9-]{5} [0-9:]{8}\.[0-9]{3} +1  - +daemon +pwemud .* begins$' "$T/out"
	grep -qE ' a +state +paused' "$T/out"
	grep -qE ' a +state +stopping: stopped by client of .* \((process [0-9]+|127.0.0.1:[0-9]+)\)$' "$T/out"
	[ -z "$stderr" ]
	count=$(wc -l <"$T/out")
	limited pwemu events -o json
	[ "$(wc -l <"$T/out")" = "$count" ]
	fields 'j["seq"]' <"$T/out" | count_on 1
	contains "$(fields 'j["kind"] + " " + j["state"]' <"$T/out")" "state running"
	limited pwemu events --from 3 -o json
	fields 'j["seq"]' <"$T/out" | count_on 3
	limited pwemu events -i a -o json
	[ "$(fields 'j["instance"]' <"$T/out" | sort -u)" = a ]
	limited pwemu events --from 100000
	[ "$status" = 1 ]
	contains "$stderr" "the newest is"
	limited pwemu events -i nobody
	[ "$status" = 1 ]
}

@test "events: those that are gone are counted when they were asked for" {
	pwemu ls >/dev/null
	pwemu ls -o json >/dev/null
	pwemu daemon stop 2>/dev/null
	rm "$XDG_STATE_HOME/pwemu/events.log"
	limited pwemu events --from 1
	contains "$stderr" "2 older events are not kept any more"
	limited pwemu events
	[ -z "$stderr" ]
}

@test "events -f goes on with the next daemon at the next number" {
	start hello
	background follow pwemu events -f -o json
	for _ in 1 2 3; do
		kill_daemon
		pwemu -q pause -i a
		pwemu -q resume -i a
		pwemu -q daemon restart
	done
	pwemu -q stop -i a
	wait_until "$DEADLINE" file_has "$T/follow.out" '"state": "ended"'
	kill -TERM "$pid_follow"
	finish follow
	[ "$status" = 143 ]
	fields 'j["seq"]' <"$T/follow.out" | count_on 1
	[ "$(fields '"begins" in j["reason"]' <"$T/follow.out" | grep -c True)" = 7 ]
}

@test "events -f: of one instance to its end; a closed pipe ends it silently" {
	start hello
	background follow pwemu events -f -i a
	wait_until "$DEADLINE" file_has "$T/follow.out" running
	pwemu -q stop -i a
	finish follow
	[ "$status" = 0 ]
	contains "$(tail -n 1 "$T/follow.out")" "ended"
	# shellcheck disable=SC2016 # expanded by the inner shell
	limited bash -c 'pwemu events -f | head -n 1; exit "${PIPESTATUS[0]}"'
	[ "$status" = 141 ]
	contains "$output" "begins"
	[ -z "$stderr" ]
}

@test "wait: what has been printed already, also a prompt without its line end" {
	start echo
	limited pwemu wait -i a --expect 'ready> '
	[ "$status" = 0 ]
	[ -z "$output$stderr" ]
	limited pwemu wait -i a --expect 'ready> ' --from now --timeout 300ms
	[ "$status" = 124 ]
	contains "$stderr" "waited 0.3 s in vain for 'ready> '"
	limited pwemu wait -i a --expect ready --fail 'rea.y'
	[ "$status" = 1 ]
	contains "$stderr" "saw 'rea.y'"
	limited pwemu wait -i a --expect ready -n nowhere
	[ "$status" = 1 ]
	contains "$stderr" nowhere
}

@test "wait cannot race with a firmware that prints at once and ends" {
	pwemu -q start "$BOARD" -f "$FW/exit.elf" --semihosting -i a
	limited pwemu wait -i a --expect 'exit on' --expect leaving -n all
	[ "$status" = 0 ] || no "$(pwemu logs -i a)"
	limited pwemu wait -i a
	[ "$status" = 0 ]
	limited pwemu wait -i a --state ended --state failed
	[ "$status" = 0 ]
	limited pwemu wait -i a --expect 'never'
	[ "$status" = 1 ]
	contains "$stderr" "a: ended without 'never'"
	limited pwemu wait -i a --fail 'never' # it has ended without
	[ "$status" = 0 ]
	limited pwemu wait -i a --state running
	[ "$status" = 1 ]
	contains "$stderr" "without state running"
}

@test "wait: a state that is left at once" {
	start hello
	background waiter pwemu -v wait -i a --state paused
	wait_until "$DEADLINE" has_said waiter
	for _ in 1 2 3; do # until it surely looks
		pwemu -q pause -i a
		pwemu -q resume -i a
	done
	finish waiter
	[ "$status" = 0 ]
	limited pwemu wait -i a --state running
	[ "$status" = 0 ]
	limited pwemu wait -i a --state paused --state stopping --timeout 200ms
	[ "$status" = 124 ]
	contains "$stderr" "state paused or stopping"
	limited pwemu wait -i a --state pasued
	[ "$status" = 2 ]
	contains "$stderr" 'did you mean "paused"'
	limited pwemu wait -i a --from 0
	[ "$status" = 2 ]
}

@test "wait for the end" {
	start hello
	background waiter pwemu wait -i a
	limited pwemu wait -i a --timeout 200ms
	[ "$status" = 124 ]
	contains "$stderr" "its end"
	pwemu -q stop -i a
	finish waiter
	[ "$status" = 0 ]
}

@test "wait: what an earlier start has printed does not count" {
	pwemu -q start "$BOARD" -f "$FW/exit.elf" --semihosting -i a
	limited pwemu wait -i a --expect 'exit on'
	[ "$status" = 0 ]
	limited pwemu wait -i a
	start silent
	limited pwemu wait -i a --expect 'exit on' --timeout 500ms
	[ "$status" = 124 ]
	limited pwemu wait -i a --expect 'exit on' --from 0
	[ "$status" = 0 ]
	pwemu -q stop -i a
	limited pwemu wait -i a --expect 'exit on'
	[ "$status" = 1 ]
}

@test "wait goes on when its daemon is killed, at the exact byte and event" {
	start echo
	background output pwemu wait -i a --expect 'got: after'
	background state pwemu wait -i a --state paused
	background end pwemu wait -i a --expect 'got: after' --exit
	for _ in 1 2 3 4 5 6 7; do
		kill_daemon
		pwemu ls >/dev/null
	done
	kill -0 "$pid_output" "$pid_state" "$pid_end"
	printf 'after\r' | timeout -s KILL "$DEADLINE" pwemu term -i a >/dev/null 2>&1 3>&- &
	typist=$!
	finish output
	[ "$status" = 0 ]
	kill "$typist"
	wait "$typist" || true
	kill -0 "$pid_state" "$pid_end"
	kill_daemon
	pwemu -q pause -i a
	finish state
	[ "$status" = 0 ]
	pwemu -q stop -i a
	finish end
	[ "$status" = 0 ]
}
