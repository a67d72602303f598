#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# start, ls, status, logs, pause, resume, reset, stop, rm, targets.

load helpers

start() { # NAME FIRMWARE OPTION...
	local name=$1 firmware=$2
	shift 2
	limited pwemu start "$BOARD" -f "$FW/$firmware.elf" -i "$name" "$@"
	[ "$status" = 0 ]
	[ -z "$output" ]
}

# Begins one in the foreground, with SIGINT at its default, which a shell takes from what it puts into the background.
fore() {
	/usr/bin/python3 -c 'import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execvp(sys.argv[1], sys.argv[1:])' \
		pwemu start "$BOARD" -f "$FW/hello.elf" -F -i fore -C "$T/dir" >"$T/fore.out" 2>&1 3>&- &
	pid=$!
	wait_until "$DEADLINE" test -e "$T/dir/handles.json"
}

logs_have() { pwemu logs -i "$1" | grep -qF "$2"; }

@test "start, ls, status, stop" {
	start board2 hello
	[ "$(pwemu ls -o json | json '[(i["name"], i["target"], i["state"]) for i in j]')" = "[('board2', '$BOARD', 'running')]" ]
	limited pwemu ls
	contains "$output" board2
	contains "$output" running
	limited pwemu status -i board2
	[ "$status" = 0 ]
	contains "$output" serial0
	limited pwemu stop -i board2
	[ "$status" = 0 ]
	limited pwemu status -i board2
	[ "$status" = 3 ]
	limited pwemu stop -i board2
	[ "$status" = 1 ]
	[ "$(pwemu ls -o json)" = "[]" ]
	contains "$(pwemu ls -a)" board2
}

@test "status -o json is what ls -o json lists" {
	start one hello
	wait_until "$DEADLINE" logs_have one hello
	[ "$(pwemu ls -o json | json 'j[0]')" = "$(pwemu status -i one -o json | json 'j')" ]
	pwemu status -i one -o json | json '[j[k] for k in ("name", "id", "working_dir", "owner", "target", "state", "reason", "pid", "boot")]'
	[ "$(pwemu status -i one -o json | json 'set(j["channels"][0]) >= {"host", "name", "offset", "path", "port", "type"}')" = True ]
	pid=$(pwemu status -i one -o json | json 'j["pid"]')
	contains "$(readlink "/proc/$pid/exe")" qemu-system-arm
	start two hello
	[ "$(pwemu status -i one -i two -o json | json '[i["name"] for i in j]')" = "['one', 'two']" ]
}

@test "which instance: default, the only one, else an error with the names" {
	start a hello
	[ "$(pwemu status -o json | json 'j["name"]')" = a ]
	start b hello
	limited pwemu status
	[ "$status" = 1 ]
	contains "$stderr" a
	contains "$stderr" b
	limited pwemu start "$BOARD" -f "$FW/hello.elf"
	[ "$(pwemu status -o json | json 'j["name"]')" = default ]
	id=$(pwemu status -i a -o json | json 'j["id"]')
	[ "$(pwemu status -i "$id" -o json | json 'j["name"]')" = a ]
	limited pwemu status -i nosuch
	[ "$status" = 1 ]
	contains "$stderr" nosuch
}

@test "names belong to a project; another project's is used with a note" {
	mkdir -p p1/sub p2
	echo '{}' >p1/pigweed.json
	echo '{}' >p2/pwemu.json
	cd p1/sub
	start default hello
	cd ../../p2
	start default hello
	[ "$(pwemu ls -o json | json 'len({i["id"] for i in j})')" = 2 ]
	[ "$(pwemu status -o json | json 'j["project"]')" = "$T/work/p2" ]
	start only hello
	cd ../p1
	limited pwemu status -i only -o json
	[ "$status" = 0 ]
	contains "$stderr" "$T/work/p2"
}

@test "the working directory is an identity: -C, PW_EMU_WDIR, PW_PROJECT_ROOT" {
	start x hello -C w1
	[ "$(pwemu status -C w1 -o json | json 'j["working_dir"]')" = "$T/work/w1" ]
	PW_EMU_WDIR=$T/work/w1 pwemu status -o json | json 'j["name"]' | grep -qx x
	pwemu -q stop -w w1
	export PW_PROJECT_ROOT=$T/work
	start y hello
	[ "$(pwemu status -i y -o json | json 'j["working_dir"]')" = "$T/work/.pw_emu/y" ]
}

@test "start of a running instance is refused; a refused emulator says why" {
	start a hello
	limited pwemu start "$BOARD" -f "$FW/hello.elf" -i a
	[ "$status" = 1 ]
	contains "$stderr" a
	limited pwemu start "$BOARD" -f "$FW/hello.elf" -i b --args '-no-such-option'
	[ "$status" = 1 ]
	contains "$stderr" no-such-option
}

@test "start -F shows the emulator's words and ends with its code" {
	limited pwemu start "$BOARD" -f "$FW/exit.elf" -F -- 5
	[ "$status" = 5 ]
	pwemu start "$BOARD" -f "$FW/hello.elf" -F -i fore >"$T/fore.out" 2>&1 3>&- &
	pid=$!
	wait_until "$DEADLINE" is_state fore running
	kill -TERM "$pid"
	status=0
	wait "$pid" || status=$?
	[ "$status" = 143 ]
	is_state fore ended
}

# The code of the firmware, not of the client; the working directory shows nothing afterwards.
@test "start -F: exit 42 of the firmware, Ctrl-C, and a client that is killed" {
	only_here "looks at the files in the working directory"
	limited pwemu start "$BOARD" -f "$FW/exit.elf" -F --semihosting -C "$T/dir"
	[ "$status" = 42 ]
	contains "$output" leaving
	wait_until "$DEADLINE" test ! -e "$T/dir/handles.json"
	[ "$(ls "$T/dir")" = qemu.log ]
	fore
	kill -INT "$pid"
	status=0
	wait "$pid" || status=$?
	[ "$status" = 130 ]
	is_state fore ended
	[ ! -e "$T/dir/handles.json" ]
	fore
	emulator=$(cat "$T/dir/qemu.pid")
	kill -KILL "$pid"
	wait_until "$DEADLINE" has_ended "$emulator"
	wait_until "$DEADLINE" is_state fore ended
	wait_until "$DEADLINE" test ! -e "$T/dir/handles.json"
}

@test "logs: all, from, lines, boot, times, other channels" {
	start a uarts
	wait_until "$DEADLINE" logs_have a uart0
	[ "$(pwemu logs -i a)" = "$(pwemu logs serial0 -i a)" ]
	contains "$(pwemu logs serial1 -i a)" uart1
	contains "$(pwemu logs -n serial1 -i a)" uart1
	first=$(pwemu logs -i a | head -c 3)
	[ "$first" = uar ]
	[ "$(pwemu logs -i a --from 1 | head -c 2)" = ar ]
	[ "$(pwemu logs -i a --from -2 | wc -c)" = 2 ]
	[ -z "$(pwemu logs -i a --from now)" ]
	[[ $(pwemu logs -i a -t | head -n 1) =~ ^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}\.[0-9]{2}[+-][0-9]{2}:[0-9]{2}\ uart0 ]]
	[[ $(pwemu logs -i a --time=boot | head -n 1) =~ ^\[\ *[0-9.]+\]\ uart0 ]]
	[[ $(pwemu logs -i a -t=boot | head -n 1) =~ ^\[\ *[0-9.]+\]\ uart0 ]]
	pwemu -q stop -i a
	start a hello
	wait_until "$DEADLINE" logs_have a hello
	contains "$(pwemu logs -i a)" uart0
	contains "$(pwemu logs -i a --boot 0)" hello
	[[ $(pwemu logs -i a --boot 0) != *uart0* ]]
	[[ $(pwemu logs -i a --boot -1) != *hello* ]]
	[[ $(pwemu logs -i a --lines 1) == *hello* ]]
	limited pwemu logs nosuch -i a
	[ "$status" = 1 ]
	contains "$stderr" serial0
	limited pwemu logs -i a --from 1000000
	[ "$status" = 1 ]
}

@test "logs --lines of a long log" {
	limited pwemu -q run "$BOARD" "$FW/seqn.elf" -i long --semihosting
	[ "$(pwemu logs -i long --lines 3 | tr -d '\r')" = "$(printf '%08x\n' 19997 19998 19999)" ]
	[ "$(pwemu logs -i long --lines 19000 | head -n 1 | tr -d '\r')" = 000003e8 ]
	[ "$(pwemu logs -i long --lines 0)" = "" ]
}

@test "logs -f ends with the instance; into head it ends silently" {
	start a slow
	pwemu logs -i a -f >"$T/follow" 3>&- &
	pid=$!
	wait_until "$DEADLINE" file_has "$T/follow" "tick 3"
	pwemu -q stop -i a
	wait "$pid"
	start b slow
	set -o pipefail
	status=0
	timeout -s KILL "$DEADLINE" pwemu logs -i b -f 2>"$T/err" | head -n 2 || status=$?
	[ "$status" = 141 ]
	[ ! -s "$T/err" ]
}

@test "pause, resume, reset" {
	start a slow
	wait_until "$DEADLINE" logs_have a "tick 1"
	pwemu -q pause -i a
	is_state a paused
	before=$(pwemu logs -i a | wc -c)
	pwemu -q pause -i a
	pwemu -q resume -i a
	is_state a running
	grown() { [ "$(pwemu logs -i a | wc -c)" -gt "$before" ]; }
	wait_until "$DEADLINE" grown
	pwemu -q reset -i a
	again() { [ "$(pwemu logs -i a | grep -c "tick 0")" -ge 2 ]; }
	wait_until "$DEADLINE" again
	start p hello -p
	is_state p paused
	[ -z "$(pwemu logs -i p)" ]
	pwemu -q resume -i p
	wait_until "$DEADLINE" logs_have p hello
	pwemu -q stop -i p
	limited pwemu pause -i p
	[ "$status" = 1 ]
}

@test "stop: several, --all; one that fails does not keep the others" {
	start a hello
	start b hello
	start c hello
	limited pwemu stop -i a -i nosuch -i b
	[ "$status" = 1 ]
	contains "$stderr" nosuch
	[ "$(pwemu ls -o json | json '[i["name"] for i in j]')" = "['c']" ]
	limited pwemu stop --all --grace 100ms
	[ "$status" = 0 ]
	[ "$(pwemu ls -o json)" = "[]" ]
}

@test "rm: ended ones; a running one only with --force" {
	start a hello
	start b hello
	limited pwemu rm -i a
	[ "$status" = 1 ]
	pwemu -q stop -i b
	limited pwemu rm --ended
	[ "$status" = 0 ]
	[ "$(pwemu ls -a -o json | json '[i["name"] for i in j]')" = "['a']" ]
	limited pwemu rm -i a --force
	[ "$status" = 0 ]
	[ "$(pwemu ls -a -o json)" = "[]" ]
}

@test "targets" {
	limited pwemu targets
	[ "$status" = 0 ]
	contains "$output" "$BOARD"
	contains "$output" qemu-riscv32-virt
	limited pwemu targets "$BOARD"
	[ "$status" = 0 ]
	contains "$output" serial0
	contains "$output" 0x20000000
	pwemu targets -o json | json '[t["name"] for t in j]' | grep -q "$BOARD"
	[ "$(pwemu targets "$BOARD" -o json | json 'j["qemu"]["machine"]')" = lm3s6965evb ]
	limited pwemu targets qemu-lm3s6965evc
	[ "$status" = 1 ]
	contains "$stderr" "$BOARD"
}

@test "ls --user, --all-users" {
	start a hello
	[ "$(pwemu ls --user "$(id -un)" -o json | json 'len(j)')" = 1 ]
	[ "$(pwemu ls --user nobody-of-that-name -o json)" = "[]" ]
	contains "$(pwemu ls --all-users)" "$(id -un)"
	[ -z "$(pwemu ls --user nobody-of-that-name 2>&1 >/dev/null)" ] # the note for people is for terminals
}
