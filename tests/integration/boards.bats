#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Every kind of UART and of core that the test firmware knows, from image to console and back.

load helpers

BOARDS="lm3s6965evb netduinoplus2 stm32vldiscovery mps2-an385 microbit riscv32-virt riscv64-virt"

# each FUNCTION: calls it with every board.
each() {
	for board in $BOARDS; do
		"$1" "$board" || no "$board: $(cat "$T/out" "$T/err")"
	done
}

says_hello() {
	limited pwemu run "qemu-$1" "$FIRMWARE/$1/hello.elf" --expect "^hello from $1\$" --timeout "${DEADLINE}s"
	[ "$status" = 0 ] && [ "$output" = "hello from $1" ]
}

@test "ELF on every board" {
	each says_hello
}

says_hello_from_bin() {
	limited pwemu run "qemu-$1" "$FIRMWARE/$1/hello.bin" --expect "hello from $1" --timeout "${DEADLINE}s"
	[ "$status" = 0 ]
}

@test "raw binary at the board's boot memory, on every board" {
	each says_hello_from_bin
}

says_hello_from_hex() {
	limited pwemu run "qemu-$1" "$FIRMWARE/$1/hello.hex" --expect "hello from $1" --timeout "${DEADLINE}s"
	[ "$status" = 0 ]
}

@test "Intel hex on every board" {
	each says_hello_from_hex
}

ends_with_code() {
	limited pwemu run "qemu-$1" "$FIRMWARE/$1/exit.elf" -- 7
	[ "$status" = 7 ]
}

@test "semihosting exit code on every board" {
	each ends_with_code
}

echoes() {
	pwemu -q start "qemu-$1" -f "$FIRMWARE/$1/echo.elf" -i "$1"
	wait_until "$DEADLINE" prints "$1" "ready>"
	printf 'hallo\r' | timeout 3 pwemu -q term -i "$1" --from now >/dev/null 2>&1 || true
	wait_until "$DEADLINE" prints "$1" "got: hallo"
	pwemu -q stop -i "$1"
}
prints() { pwemu logs -i "$1" | grep -q "$2"; }

@test "input reaches the guest through every kind of UART" {
	each echoes
}

boots_both() {
	limited pwemu run "qemu-$1" "$FIRMWARE/$1/bootloader.hex" "$FIRMWARE/$1/app.bin@$2" --expect '^app$' --timeout "${DEADLINE}s"
	[ "$status" = 0 ]
	[ "$output" = $'boot\napp' ]
}

@test "a boot loader in hex and its application at an address" {
	boots_both mps2-an385 0x00010000
	boots_both netduinoplus2 0x08010000
}

@test "each serial port is a channel of its own" {
	pwemu -q start qemu-mps2-an385 -f "$FIRMWARE/mps2-an385/uarts.elf" -i a
	for port in 0 1 2 3 4; do
		uart_says() { [ "$(pwemu logs -i a "serial$port")" = "uart$port" ]; }
		wait_until "$DEADLINE" uart_says
	done
}

@test "a guest that resets itself boots again, in the same log" {
	limited pwemu run qemu-netduinoplus2 "$FIRMWARE/netduinoplus2/reset.elf" --expect '^boot 2$' --timeout "${DEADLINE}s"
	[ "$status" = 0 ]
	[ "$output" = $'boot 1\nboot 2' ]
}
