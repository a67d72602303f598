#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016 # expanded by an inner shell
# How a client finds, starts, ends and loses the daemon.

load helpers

daemon_pid() { pwemu daemon info -o json | json 'j["pid"]'; }

@test "ten clients at once start one daemon" {
	pids=()
	for i in 0 1 2 3 4 5 6 7 8 9; do
		pwemu ls -o json >"$T/ls$i" 2>"$T/err$i" 3>&- &
		pids+=($!)
	done
	for i in 0 1 2 3 4 5 6 7 8 9; do
		wait "${pids[i]}" || no "client $i: $(cat "$T/err$i")"
		[ "$(cat "$T/ls$i")" = "[]" ]
	done
	count=0
	for pid in $(processes_of_test); do
		[[ $(readlink "/proc/$pid/exe") == */pwemud ]] && count=$((count + 1))
	done
	[ "$count" = 1 ]
}

@test "the daemon keeps nothing of ours: pipes see their end, cwd is /" {
	x=$(timeout -s KILL "$DEADLINE" pwemu ls -o json)
	[ "$x" = "[]" ]
	timeout -s KILL "$DEADLINE" bash -c 'exec 7>"$0"; pwemu ls 2>&1 | cat' "$T/kept" >/dev/null
	pid=$(daemon_pid)
	[ "$(readlink "/proc/$pid/cwd")" = / ]
	for fd in "/proc/$pid/fd/"*; do
		[[ $(readlink "$fd") != "$T/kept" ]]
	done
	[ "$(ps -o sid= -p "$pid" | tr -d ' ')" != "$(ps -o sid= -p $$ | tr -d ' ')" ]
}

@test "env -i in /" {
	cd /
	limited env -i PWEMU_TEST="$T" XDG_RUNTIME_DIR="$XDG_RUNTIME_DIR" XDG_STATE_HOME="$XDG_STATE_HOME" "$BUILD/bin/pwemu" ls
	[ "$status" = 0 ]
}

@test "HOME that cannot be written" {
	only_here "the home is the daemon's"
	unset XDG_STATE_HOME
	HOME=/proc/nowhere limited pwemu ls -o json
	[ "$output" = "[]" ] || no "$stderr"
	HOME=/proc/nowhere limited pwemu daemon stop
	[ "$status" = 0 ]
}

@test "a daemon that cannot start says why" {
	only_here "what the starter is told; afar it comes through ssh"
	: >"$XDG_RUNTIME_DIR/pwemu"
	limited pwemu ls
	[ "$status" = 1 ]
	contains "$stderr" "$XDG_RUNTIME_DIR/pwemu"
	[ "$(wc -l <"$T/err")" = 1 ]
}

@test "info, stop, restart, reload, logs" {
	only_here "the log is a file on the daemon's machine"
	limited pwemu ls
	limited pwemu daemon info
	[ "$status" = 0 ]
	contains "$output" control.sock
	pid=$(daemon_pid)
	[ "$(pwemu daemon info -o json | json 'j["socket"]')" = "$XDG_RUNTIME_DIR/pwemu/control.sock" ]
	[ -n "$(pwemu daemon info -o json | json 'j["version"]')" ]
	limited pwemu daemon reload
	[ "$status" = 0 ]
	limited pwemu daemon logs
	[ "$status" = 0 ]
	[ -n "$output" ]
	[ "$(pwemu daemon logs --lines 1 | wc -l)" = 1 ]
	limited pwemu daemon restart
	[ "$status" = 0 ]
	[ "$(daemon_pid)" != "$pid" ]
	limited pwemu daemon stop
	[ "$status" = 0 ]
	limited pwemu daemon info
	[ "$status" = 1 ]
	limited pwemu daemon logs
	[ "$status" = 0 ]
}

@test "instances outlive daemon stop, and it says so" {
	pwemu -q start "$BOARD" -f "$FW/slow.elf" -i a
	emulator=$(pwemu status -i a -o json | json 'j["pid"]')
	limited pwemu daemon stop
	[ "$status" = 0 ]
	contains "$stderr" "1 instance"
	kill -0 "$emulator"
	[ -z "${server:-}" ] || wait_until "$DEADLINE" pwemu daemon info # its server starts the next one
	[ "$(pwemu status -i a -o json | json 'j["pid"]')" = "$emulator" ]
	limited pwemu daemon stop --with-instances
	[ "$status" = 0 ]
	wait_until "$DEADLINE" has_ended "$emulator"
}

@test "logs -f goes on with the next daemon when its own is killed or restarted" {
	pwemu -q start "$BOARD" -f "$FW/slow.elf" -i a
	pwemu logs -f >"$T/follow" 2>"$T/follow.err" 3>&- &
	follower=$!
	wait_until "$DEADLINE" file_has "$T/follow" "tick 3"
	emulator=$(pwemu status -o json | json 'j["pid"]')
	kill -KILL "$(daemon_pid)"
	wait_until "$DEADLINE" file_has "$T/follow" "tick 20"
	[ "$(pwemu status -o json | json 'j["pid"]')" = "$emulator" ]
	pwemu daemon restart
	wait_until "$DEADLINE" file_has "$T/follow" "tick 40"
	pwemu -q stop -i a
	wait "$follower"
	tr -d '\r' <"$T/follow" | grep -v '^$' | head -n -1 | awk '$0 != "tick " NR - 1 { exit 1 }'
	[ "$(cat "$T/follow")" = "$(pwemu logs -i a)" ]
}

# ticks_go_on FILE: the numbers of "tick N" are 0, 1, 2, … without a gap.
ticks_go_on() { awk '/^tick [0-9]+$/ && $2 != n++ { bad = 1 } END { exit bad || n < 3 }' "$1"; }

# goes_on COMMAND...: a run whose daemon is replaced by that command notices nothing.
goes_on() {
	pwemu run "$BOARD" "$FW/slow.elf" --result verdict >"$T/run.out" 2>"$T/run.err" </dev/null 3>&- &
	run_pid=$!
	wait_until "$DEADLINE" file_has "$T/run.out" "tick 2"
	emulator=$(pwemu status -o json | json 'j["pid"]')
	"$@"
	seen=$(wc -l <"$T/run.out")
	wait_until "$DEADLINE" file_has "$T/run.out" "tick $((seen + 5))" || no "$(cat "$T/run.out" "$T/run.err"; pwemu daemon logs)"
	ticks_go_on "$T/run.out" || no "$(cat "$T/run.out")"
	[ "$(pwemu status -o json | json 'j["pid"]')" = "$emulator" ]
}

@test "run goes on over a daemon restart, and its instance still ends with it" {
	goes_on pwemu -q daemon restart
	kill -KILL "$run_pid"
	wait_until "$DEADLINE" is_state run-1 ended
	wait "$run_pid" || true
}

@test "run goes on when its daemon is killed" {
	goes_on kill -KILL "$(pwemu ls >/dev/null; daemon_pid)"
	kill -TERM "$run_pid" # a background job of bash ignores SIGINT
	status=0
	wait "$run_pid" || status=$?
	[ "$status" = 143 ]
	[ "$(cat verdict)" = interrupted ]
	wait_until "$DEADLINE" has_ended "$emulator"
}

@test "a run whose client died with the daemon ends ten seconds after its adoption" {
	pwemu run "$BOARD" "$FW/slow.elf" >"$T/run.out" 2>"$T/run.err" </dev/null 3>&- &
	run_pid=$!
	wait_until 20 file_has "$T/run.out" "tick 0"
	kill -KILL "$(daemon_pid)" "$run_pid"
	wait "$run_pid" || true
	wait_until 20 is_state run-1 running
	wait_until 25 is_state run-1 ended
}
