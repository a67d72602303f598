#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Terminals, in tmux: what a person sees and types.

load helpers

test_setup() {
	export TMUX_TMPDIR=$T TERM=xterm-256color LC_ALL=C.UTF-8
	unset TMUX
	tmux -f /dev/null new-session -d -s t -x 120 -y 30 "exec bash --norc --noprofile"
	tmux send-keys -t =t: "PS1='$ '; stty -a >$T/stty.before; clear" Enter
	wait_until "$DEADLINE" test -s "$T/stty.before"
}

test_teardown() { tmux kill-server 2>/dev/null || true; }

# "=t:" is the session; a bare "t" may be a window, too.
screen() { tmux capture-pane -p -t "=${1:-t}:"; }
screen_has() { screen "${2:-t}" | grep -qF -- "$1"; }
sees() { wait_until "$DEADLINE" screen_has "$@" || no "not seen: $1; the screen: $(screen "${2:-t}")"; }
type_line() { tmux send-keys -t =t: -l "$1" && tmux send-keys -t =t: Enter; }
key() { tmux send-keys -t =t: "$@"; }

# The terminal is as it was before.
restored() {
	type_line "stty -a >$T/stty.after; echo don''e"
	sees 'done'
	diff "$T/stty.before" "$T/stty.after"
}

start_echo() { pwemu -q start "$BOARD" -f "$FW/echo.elf" -i e "$@"; }
kill_emulator() { kill -KILL "$(pwemu status -i e -o json | json 'j["pid"]')"; }

@test "term: banner, typing, escape key, 0, restored" {
	start_echo
	type_line "pwemu term -i e; echo code \$?"
	sees "--- e/serial0 · quit: Ctrl+] · menu: Ctrl+T ---"
	sees "ready>"
	key -l "abc"
	key Enter
	sees "got: abc"
	key C-c # goes to the guest
	key -l "def"
	sees "def"
	key 'C-]'
	sees "code 0"
	restored
	is_state e running
}

@test "term: the escape key doubled is sent; --escape" {
	start_echo
	type_line "pwemu term -i e --escape ctrl-x; echo code \$?"
	sees "quit: Ctrl+X"
	key -l "a"
	key C-x
	sees "code 0"
	restored
}

@test "term: menu" {
	start_echo
	type_line "pwemu term -i e; echo code \$?"
	sees "ready>"
	key C-t
	key -l "?"
	sees "p pause/resume"
	key C-t
	key -l "i"
	sees "you write"
	key C-t
	key -l "p"
	sees "paused"
	is_state e paused
	key C-t
	key -l "p"
	sees "resumed"
	key C-t
	key -l "r"
	sees "--- reset ---"
	key C-t
	key -l "q"
	sees "code 0"
	restored
}

@test "two terms: the second is read-only until the first leaves; stealing" {
	start_echo
	tmux new-session -d -s u -x 120 -y 30 "exec bash --norc --noprofile"
	type_line "pwemu term -i e"
	sees "ready>"
	tmux send-keys -t =u: -l "pwemu term -i e"
	tmux send-keys -t =u: Enter
	sees "read-only" u
	tmux send-keys -t =u: -l "x"
	key -l "abc"
	key Enter
	sees "got: abc"
	sees "got: abc" u
	tmux send-keys -t =u: C-t
	tmux send-keys -t =u: -l "w"
	sees "you have the writer role" u
	sees "read-only"
	tmux send-keys -t =u: -l "def"
	tmux send-keys -t =u: Enter
	sees "got: def"
	tmux send-keys -t =u: 'C-]'
	sees "you have the writer role"
	key -l "ghi"
	key Enter
	sees "got: ghi"
}

@test "term goes on when the emulator is started again" {
	start_echo
	type_line "clear; pwemu term -i e; echo code \$?"
	sees "ready>"
	kill_emulator
	sees "ready> ready>"
	type_line "abc"
	sees "got: abc"
	key 'C-]'
	sees "code 0"
	restored
}

@test "term is restored when the emulator dies; it says what happened" {
	start_echo --restart no
	type_line "clear; pwemu term -i e; echo code \$?"
	sees "quit: Ctrl+]"
	kill_emulator
	sees "code "
	screen_has "--- e ended"
	restored
}

@test "term goes on with the next daemon; with none it says so, restored" {
	only_here "another text; test_reconnect.py has it"
	start_echo
	type_line "clear; pwemu term -i e; echo code \$?"
	sees "ready>"
	pwemu daemon restart
	sees "going on"
	key -l "abc"
	key Enter
	sees "got: abc"
	key 'C-]'
	sees "code 0"
	restored
	type_line "clear; pwemu term -i e -H unix:$T/run/pwemu/control.sock; echo code \$?" # a named daemon is not started
	sees "quit: Ctrl+]"
	pwemu daemon stop
	sees "code 1"
	screen_has "no daemon"
	restored
}

@test "a lone line feed is shown as CR LF" {
	pwemu -q start "$BOARD" -f "$FW/slow.elf" -i s
	type_line "clear; pwemu term -i s --from 0"
	sees "tick 3"
	screen | grep -q "^tick 2 *$"
	screen | grep -q "^tick 3 *$"
	key 'C-]'
	sees "--- exit ---"
	restored
}

@test "run on a terminal: Ctrl+] ends it with 0 and stops the instance" {
	type_line "pwemu run $BOARD $FW/echo.elf; echo code \$?"
	sees "quit: Ctrl+]"
	sees "ready>"
	key -l "abc"
	key Enter
	sees "got: abc"
	key 'C-]'
	sees "code 0"
	restored
	[ "$(pwemu ls -o json)" = "[]" ]
}

@test "run on a terminal is restored after a lockup" {
	type_line "pwemu run $BOARD $FW/lockup.elf; echo code \$?"
	sees "code 134"
	restored
}

@test "term without a terminal: stdin to the guest, output unchanged" {
	start_echo
	mkfifo "$T/in"
	pwemu term -i e --from 0 <"$T/in" >"$T/out" 2>"$T/err" 3>&- &
	pid=$!
	exec 8>"$T/in"
	printf 'abc\r' >&8
	wait_until "$DEADLINE" file_has "$T/out" "got: abc"
	exec 8>&-
	kill -0 "$pid" # the end of stdin ends nothing
	[ "$(cat "$T/out")" = "$(pwemu logs -i e)" ]
	pwemu -q stop -i e
	wait "$pid"
}
