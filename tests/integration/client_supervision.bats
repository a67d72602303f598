#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# shellcheck disable=SC2016 # $pw_env{} is not the shell's
# What one says about supervision: options, a project's configuration, the daemon's settings; daemons of another version, and their
# replacement under running instances.

load helpers

info() { pwemu -q daemon info -o json | json "j[\"$1\"]"; }

# refused STATUS PART WORDS...: one line on stderr with that part.
refused() {
	local want=$1 part=$2
	shift 2
	limited pwemu "$@"
	[ "$status" = "$want" ] || no "status $status"
	[ -z "$output" ]
	[ "$(wc -l <"$T/err")" = 1 ]
	contains "$stderr" "$part"
}

# config_file <<JSON: the body of pw.pw_emu.
config_file() { printf '{"pw": {"pw_emu":\n%s\n}}\n' "$(cat)" >"$T/work/emu.json"; }

# settings JSON
settings() {
	mkdir -p "$HOME/.config/pwemu"
	printf '%s\n' "$1" >"$HOME/.config/pwemu/pwemud.json"
}

# start_daemon PROGRAM ARG...: by hand, in the foreground; its pid goes to $daemon.
start_daemon() {
	not_over_tls "a daemon of its own, which does not serve"
	"$@" --foreground >"$T/daemon.out" 2>&1 </dev/null 3>&- &
	daemon=$!
	wait_until "$DEADLINE" pwemu -q daemon info || no "$(cat "$T/daemon.out")"
}

# an_installation DIR: a copy of the build, whose parts can be changed.
an_installation() {
	mkdir "$1" "$1/bin"
	cp "$BUILD/bin/pwemud" "$BUILD/bin/pwemu" "$1/bin/"
	ln -s "$BUILD/libexec" "$BUILD/share" "$1/"
}

# of_another_version PROGRAM: its version string, changed in place.
of_another_version() {
	version=$(pwemu --version | cut -d ' ' -f 2)
	other=${version%?}$(((${version: -1} + 1) % 10))
	sed -i "s/${version//./\\.}/$other/g" "$1"
}

# ---------------------------------------------------------------- options

@test "options of supervision are checked before anything else" {
	refused 2 "did you mean \"always\"?" start "$BOARD" --restart alwys
	refused 2 "--restart: delay: '5' has no unit" run "$BOARD" x.elf --restart on-failure,delay=5
	refused 2 'did you mean "max-delay"' start "$BOARD" --restart always,maxdelay=5s
	refused 2 "--gdb: port: '70000' is out of range" start "$BOARD" --gdb 70000
	refused 2 "--tcp: port: 'x' is not a number" start "$BOARD" --tcp serial0=x
	refused 2 "--tcp: '=5' names no channel" start "$BOARD" --tcp =5
	refused 2 "channel 'serial0' can have one endpoint, not tcp and pty" start "$BOARD" --pty serial0 --tcp serial0
	refused 2 "channel 'gdb' can have one endpoint, not tcp and another" start "$BOARD" --gdb 3333 --tcp gdb
	[ "${PWEMU_TEST_REMOTE:-}" = tls ] || [ ! -e "$XDG_RUNTIME_DIR/pwemu/control.sock" ]
}

# ---------------------------------------------------------------- -c FILE

@test "-c FILE: a target of the project runs, with its defaults and our keys" {
	config_file <<-'JSON'
		{"qemu": {"executable": "qemu-system-arm", "args": ["-name", "$pw_env{PWEMU_TEST}"], "channels": {"type": "none"}},
		 "targets": {"mine": {"restart": "no", "qemu": {"machine": "lm3s6965evb",
		   "channels": {"chardevs": {"uart": {"id": "serial0"}}}}}}}
	JSON
	limited pwemu -c emu.json run mine "$FW/hello.elf" --expect hello
	[ "$status" = 0 ]
	contains "$output" hello
	limited pwemu start mine --config emu.json -f "$FW/slow.elf" -i a
	[ "$status" = 0 ]
	contains "$stderr" "a: mine running"
	limited pwemu status -i a -o json
	[ "$(json 'j["target"]' <"$T/out")" = mine ]
	[ "$(json 'j["channels"][0]["name"]' <"$T/out")" = uart ]
	contains "$(json 'j["argv"]' <"$T/out")" "'-name', '$T'"
}

@test "-c FILE: a name that is not in it is the daemon's; what is unknown in it is told and ignored" {
	config_file <<<'{"targets": {}, "target_filse": []}'
	limited pwemu -c emu.json run "$BOARD" "$FW/hello.elf" --expect hello
	[ "$status" = 0 ]
	contains "$stderr" "emu.json:2: pw.pw_emu.target_filse: unknown key"
	contains "$stderr" "; ignored"
}

@test "-c FILE: a mistake has its place; 1 for start, 125 for run" {
	config_file <<<'{"targets": {
		"m": {"qemu": {"executable": "e", "machine": "x", "channels": {"chardevs": {"u": {"id": "serial99"}}}}}}}'
	refused 1 'emu.json:3: pw.pw_emu.targets.m: channel "u": id "serial99" must be serial0 to serial15' -c emu.json start m
	refused 125 'emu.json:3: pw.pw_emu.targets.m: channel "u"' -c emu.json run m "$FW/hello.elf"
	refused 1 'open "nowhere.json": No such file' -c nowhere.json start m
	printf '{\n"pw"' >emu.json
	refused 1 "emu.json:2: not JSON" -c emu.json start m
}

# ---------------------------------------------------------------- settings

@test "a mistake in the settings: the daemon refuses to start and the client says why" {
	only_here "what the starter is told; afar it comes through ssh"
	settings '{
"log-limt": "1M"}'
	refused 1 "$HOME/.config/pwemu/pwemud.json:2: log-limt: unknown key 'log-limt' (did you mean \"log-limit\"" ls
	limited "$BUILD/bin/pwemud" --foreground
	[ "$status" = 1 ]
	contains "$stderr" "pwemud.json:2: log-limt"
	limited "$BUILD/bin/pwemud" --foreground --config "$T/none.json"
	[ "$status" = 1 ]
	contains "$stderr" "$T/none.json"
	settings '{"log-limit": "1M"}'
	limited pwemu ls -o json
	[ "$output" = "[]" ]
	[ "$(info settings)" = "$HOME/.config/pwemu/pwemud.json" ]
}

@test "a mistake in the settings: a reload keeps the old ones and says why" {
	only_here "the daemon's log"
	settings '{"idle": "1h"}'
	pwemu ls
	limited pwemu daemon reload
	[ "$status" = 0 ]
	settings '{"idle": "1"}'
	limited pwemu daemon reload
	[ "$status" = 1 ]
	contains "$stderr" "the settings stay as they were: $HOME/.config/pwemu/pwemud.json:1: idle: '1' has no unit"
	kill -HUP "$(info pid)"
	wait_until "$DEADLINE" eval '[ "$(pwemu daemon logs | grep -c "idle: .1. has no unit")" = 1 ]'
	settings '{"idle": "0s"}'
	pid=$(info pid)
	limited pwemu daemon reload
	[ "$status" = 0 ]
	limited pwemu run "$BOARD" "$FW/hello.elf" --expect hello # its end arms the new time
	wait_until "$DEADLINE" has_ended "$pid"
}

@test "pwemud --help and its manual explain every setting" {
	limited "$BUILD/bin/pwemud" --help
	[ "$status" = 0 ]
	for key in ports log-limit log-full keep keep-bytes idle; do
		contains "$output" "  $key "
		grep -qxF ".B ${key//-/\\-}" "$ROOT/packaging/man/pwemud.8" || no "$key is not in the manual"
	done
}

# ---------------------------------------------------------------- versions, restart of the daemon

@test "a daemon of another version: said once, and no reason to fail" {
	an_installation "$T/old"
	of_another_version "$T/old/bin/pwemud"
	sed -i 's#/pwemu.v1.Instances/Reset#/pwemu.v1.Instances/Rexxx#' "$T/old/bin/pwemud"
	start_daemon "$T/old/bin/pwemud"
	limited pwemu start "$BOARD" -f "$FW/slow.elf" -i a
	[ "$status" = 0 ]
	contains "$stderr" "note: the daemon is $other, this is $version; \`pwemu daemon restart\` makes them the same"
	[ "$(grep -c "note: the daemon" "$T/err")" = 1 ]
	for looks in ls targets "daemon info"; do
		# shellcheck disable=SC2086 # two words
		limited pwemu $looks
		[ "$status" = 0 ]
		[ "$(grep -c "note: the daemon" "$T/err")" = 1 ]
	done
	limited pwemu -q reset -i a
	[ "$status" = 1 ]
	contains "$stderr" "the daemon ($other) does not know Instances/Reset, which this pwemu ($version) needs"
	limited pwemu -q stop -i a
	[ "$status" = 0 ]
}

@test "daemon restart replaces a daemon that was started by hand: same process, same emulator, same bytes" {
	start_daemon "$BUILD/bin/pwemud" --log-level debug
	pwemu -q start "$BOARD" -f "$FW/slow.elf" -i a
	emulator=$(pwemu status -i a -o json | json 'j["pid"]')
	pwemu logs -i a -f >"$T/follow" 2>"$T/follow.err" 3>&- &
	follower=$!
	began=$(info started_ns)
	for _ in 1 2 3; do
		limited pwemu daemon restart
		[ "$status" = 0 ]
		[ "$(info pid)" = "$daemon" ]
		[ "$(info started_ns)" -gt "$began" ]
		began=$(info started_ns)
		[ "$(pwemu status -i a -o json | json 'j["pid"]')" = "$emulator" ]
	done
	seen=$(wc -l <"$T/follow")
	wait_until "$DEADLINE" file_has "$T/follow" "tick $((seen + 3))"
	contains "$(tr '\0' ' ' <"/proc/$daemon/cmdline")" "--log-level=debug --foreground"
	pwemu -q stop -i a
	wait "$follower"
	[ "$(cat "$T/follow")" = "$(pwemu logs -i a)" ]
	pwemu -q rm -i a
	wait_until "$DEADLINE" eval '[ -z "$(ps --no-headers -o pid --ppid "$daemon")" ]' # and no zombie
}

@test "daemon restart: of a daemon in the background, with relative paths, which stays there" {
	"$BUILD/bin/pwemud" --state-dir there --socket run.sock 3>&-
	export PWEMU_HOST=unix:$T/work/run.sock
	pid=$(info pid)
	began=$(info started_ns)
	limited pwemu daemon restart
	[ "$status" = 0 ]
	[ "$(info pid)" = "$pid" ]
	[ "$(info started_ns)" -gt "$began" ]
	[ "$(info state_dir)" = "$T/work/there" ]
	limited pwemu daemon stop
	[ "$status" = 0 ]
}

@test "daemon restart upgrades in place" {
	an_installation "$T/there"
	of_another_version "$T/there/bin/pwemud"
	start_daemon "$T/there/bin/pwemud"
	[ "$(info version)" = "$other" ]
	pwemu -q start "$BOARD" -f "$FW/slow.elf" -i a
	emulator=$(pwemu -q status -i a -o json | json 'j["pid"]')
	cp "$BUILD/bin/pwemud" "$T/there/bin/new"
	mv "$T/there/bin/new" "$T/there/bin/pwemud" # as package managers do: /proc/PID/exe is deleted
	limited pwemu -q daemon restart
	[ "$status" = 0 ]
	[ "$(info version)" = "$version" ]
	[ "$(info pid)" = "$daemon" ]
	[ "$(pwemu status -i a -o json | json 'j["pid"]')" = "$emulator" ]
}

@test "daemon restart: where nothing is installed any more the daemon ends with an error, its instances run on" {
	only_here "looks at the daemon's process"
	an_installation "$T/there"
	start_daemon "$T/there/bin/pwemud"
	pwemu -q start "$BOARD" -f "$FW/slow.elf" -i a
	emulator=$(pwemu status -i a -o json | json 'j["pid"]')
	rm "$T/there/bin/pwemud"
	limited pwemu daemon restart
	[ "$status" = 1 ]
	contains "$stderr" "has ended and not come back"
	contains "$(cat "$T/daemon.out")" "begin again as \"$T/there/bin/pwemud\": No such file"
	status=0
	wait "$daemon" || status=$?
	[ "$status" = 1 ]
	[ "$(pwemu status -i a -o json | json 'j["pid"]')" = "$emulator" ]
}

# ---------------------------------------------------------------- restart

boot_of() { pwemu status -i "$1" -o json | json 'j["boot"]'; }

@test "restart: as it was started, running or not" {
	FROM_A=me pwemu -q start "$BOARD" -f "$FW/slow.elf" -i a --args "-name x"
	emulator=$(pwemu status -i a -o json | json 'j["pid"]')
	limited pwemu restart -i a
	[ "$status" = 0 ]
	contains "$stderr" "a: $BOARD running, pid"
	wait_until "$DEADLINE" has_ended "$emulator"
	[ "$(boot_of a)" = 2 ]
	limited pwemu stop -i a
	limited pwemu restart -i a
	[ "$status" = 0 ]
	[ "$(boot_of a)" = 3 ]
	pwemu status -i a -o json >"$T/status"
	contains "$(json 'j["argv"]' <"$T/status")" "'-name', 'x'"
	contains "$(json 'j["images"]' <"$T/status")" "slow.elf"
	contains "$(pwemu logs -i a)" "tick 0"
	not_over_tls "the environment is the server's"
	tr '\0' '\n' <"/proc/$(json 'j["pid"]' <"$T/status")/environ" | grep -qx "FROM_A=me"
}

@test "restart TARGET: a start, after a stop of what runs in its place" {
	limited pwemu restart "$BOARD" -f "$FW/slow.elf" -i a # nothing is there yet
	[ "$status" = 0 ]
	pwemu -q start "$BOARD" -f "$FW/slow.elf" -i b
	b=$(pwemu status -i b -o json | json 'j["pid"]')
	limited pwemu restart "$BOARD" -f "$FW/hello.elf" -i a
	[ "$status" = 0 ]
	[ "$(boot_of a)" = 2 ]
	contains "$(pwemu status -i a -o json | json 'j["images"]')" "hello.elf"
	[ "$(pwemu status -i b -o json | json 'j["pid"]')" = "$b" ]
}

@test "restart: refusals leave what runs alone" {
	refused 2 "--file needs a TARGET" restart -f x.elf
	mkdir "$T/targets"
	cp "$BUILD/share/pwemu/targets/$BOARD.json" "$T/targets/"
	start_daemon "$BUILD/bin/pwemud" --targets-dir "$T/targets"
	pwemu -q start "$BOARD" -f "$FW/slow.elf" -i a
	rm "$T/targets/$BOARD.json"
	pwemu -q daemon reload
	refused 1 "no target \"$BOARD\"" restart -i a
	refused 1 'no instance' restart -i nowhere
	is_state a running
	[ "$(boot_of a)" = 1 ]
}
