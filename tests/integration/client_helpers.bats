#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Pre-start and post-start commands of a project's configuration, from the user's side.

load helpers

# The gate is what a command waits for.
test_setup() {
	mkfifo "$T/work/gate"
	cat >"$T/work/pigweed.json" <<-END
		{"pw": {"pw_emu": {
			"qemu": {"executable": "qemu-system-arm"},
			"targets": {"board": {
				"pre-start-cmds": {"before": ["sh", "-c", "echo \$GREETING; pwd; exec sleep 100000"]},
				"post-start-cmds": {
					"after": ["sh", "-c", "echo port \$pw_emu_channel_port{serial0} of \$pw_emu_wdir{}; read line < gate; exit 3"]
				},
				"qemu": {"machine": "lm3s6965evb", "channels": {"type": "tcp", "chardevs": {"serial0": {"id": "serial0"}}}}
			}}
		}}}
	END
}

begin() { limited env GREETING=hello pwemu -C "$T/dir" start board -f "$FW/slow.elf"; }

has_text() { [ "$(cat "$T/dir/$1.log")" = "$2" ]; }

@test "they run where the user is, are shown, and end with the instance" {
	only_here "they run in a directory of the daemon's"
	begin
	[ "$status" = 0 ]
	wait_until "$DEADLINE" has_text before "hello
$T/work"
	port=$(json 'j["channels"]["serial0"]["port"]' <"$T/dir/handles.json")
	wait_until "$DEADLINE" has_text after "port $port of $T/dir/"
	[ "$(json 'list(j["procs"])' <"$T/dir/handles.json")" = "['before', 'qemu', 'after']" ]
	[ "$(json 'j["config"]' <"$T/dir/handles.json")" = "$T/work/pigweed.json" ]
	limited pwemu -C "$T/dir" status
	contains "$output" "before: pid $(cat "$T/dir/before.pid")"
	[ "$(pwemu -C "$T/dir" status -o json | json '[p["name"] for p in j["processes"]]')" = "['before', 'qemu', 'after']" ]
	before=$(cat "$T/dir/before.pid")
	pwemu -C "$T/dir" stop
	has_ended "$before"
	[ ! -e "$T/dir/handles.json" ]
}

is_told() { pwemu events | grep -qF 'post-start command'; }

@test "the death of one is an event" {
	only_here "they run in a directory of the daemon's, without the gate"
	begin
	echo go >"$T/work/gate"
	wait_until "$DEADLINE" is_told
	contains "$(pwemu events)" 'after: post-start command "after" has ended with code 3'
	limited pwemu -C "$T/dir" status
	[ "$status" = 0 ]
	contains "$output" 'after: post-start command "after" has ended with code 3'
}

@test "an expression that means nothing is refused before anything begins" {
	sed -i 's/channel_port{serial0}/channel_port{nope}/' pigweed.json
	begin
	[ "$status" = 1 ]
	contains "$stderr" nope
	contains "$stderr" pigweed.json:6
	[ ! -e "$T/dir/before.pid" ]
}
