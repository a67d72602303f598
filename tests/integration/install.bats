#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What `make` does for a stranger: a missing package has a name, an installation works wherever it is.

load helpers

# The makefile's own targets; nothing of the make that runs the tests.
stranger() { limited env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -C "$ROOT" -s VARIANT="${BUILD##*/}" "$@"; }

@test "make names the packages that are missing" {
	stranger all SHIM_CC=no-such-compiler
	[ "$status" = 2 ]
	contains "$stderr" "missing packages: musl-tools"
	contains "$stderr" "apt-get install musl-tools"
	printf '#!/bin/sh\necho "$*" >>%s/asked\n' "$T" >"$T/work/apt-get"
	printf '#!/bin/sh\nexec "$@"\n' >"$T/work/sudo"
	chmod +x "$T/work/apt-get" "$T/work/sudo"
	PATH=$T/work:$PATH stranger deps SHIM_CC=no-such-compiler
	[ "$status" = 0 ]
	file_has "$T/asked" "--no-install-recommends musl-tools"
}

@test "nothing is installed when nothing is missing" {
	printf '#!/bin/sh\ntouch %s/asked\n' "$T" >"$T/work/apt-get"
	chmod +x "$T/work/apt-get"
	PATH=$T/work:$PATH stranger deps-test
	[ "$status" = 0 ]
	[ ! -e "$T/asked" ]
}

@test "an installation works under any prefix, also when moved" {
	stranger install DESTDIR="$T/stage" PREFIX=/opt/x
	[ "$status" = 0 ]
	mv "$T/stage/opt/x" "$T/there"
	limited "$T/there/bin/pwemu" run "$BOARD" "$FW/hello.elf" --expect hello --result "$T/result"
	[ "$status" = 0 ]
	limited "$T/there/bin/pwemu" daemon info -o json
	pid=$(json 'j["pid"]' <"$T/out")
	[ "$(readlink "/proc/$pid/exe")" = "$T/there/bin/pwemud" ]
	limited "$T/there/bin/pwemu" daemon stop --with-instances
	[ "$status" = 0 ]
	wait_until "$DEADLINE" has_ended "$pid"
	"$T/there/bin/pwemu" help --man | diff - "$T/there/share/man/man1/pwemu.1"
}

@test "units lead to what was installed, and systemd takes them" {
	stranger install DESTDIR="$T/stage" PREFIX=/opt/x
	for place in system user; do
		grep -qx 'ExecStart=/opt/x/bin/pwemud.* --foreground' "$T/stage/opt/x/lib/systemd/$place/pwemud.service"
		[ -s "$T/stage/opt/x/lib/systemd/$place/pwemud.socket" ]
	done
	limited grep -r '@' "$T/stage/opt/x/lib/systemd"
	[ "$status" = 1 ]
	limited grep -rE '^(Private|Protect)[A-Za-z]*=' "$T/stage/opt/x/lib/systemd"
	[ "$status" = 1 ]
	grep -qx 'g pwemu -' "$T/stage/opt/x/lib/sysusers.d/pwemu.conf"
	grep -q '^d /run/pwemu ' "$T/stage/opt/x/lib/tmpfiles.d/pwemu.conf"
	command -v systemd-analyze >/dev/null || skip "optional: systemd-analyze"
	sed -i "s|=/opt/x|=$T/stage/opt/x|" "$T/stage/opt/x/lib/systemd"/*/pwemud.service
	limited systemd-analyze verify --man=no "$T/stage/opt/x/lib/systemd/system"/pwemud.*
	[ "$status" = 0 ]
	[ -z "$stderr" ]
	limited systemd-analyze --user verify --man=no "$T/stage/opt/x/lib/systemd/user"/pwemud.*
	[ "$status" = 0 ]
	[ -z "$stderr" ]
}

@test "what was installed can be removed" {
	stranger install DESTDIR="$T/stage"
	stranger uninstall DESTDIR="$T/stage"
	[ "$status" = 0 ]
	[ -z "$(find "$T/stage" ! -type d)" ]
}
