/* SPDX-License-Identifier: Apache-2.0 */
/* Semihosting calls, the few that the programs need. Without a host they fault: `bkpt 0xab` on Cortex-M is a lockup. */
#pragma once

#include <stdint.h>

enum {
	SYS_OPEN = 0x01,
	SYS_WRITE0 = 0x04,
	SYS_WRITE = 0x05,
	SYS_SYSTEM = 0x12,
	SYS_GET_CMDLINE = 0x15,
	SYS_EXIT_EXTENDED = 0x20,
};

/* The arguments are where the host wants them already. On RISC-V the three instructions are the mark: uncompressed, on one page. */
__attribute__((naked, noinline, unused, aligned(16))) static long semi_call(long operation, const void *argument)
{
	(void)operation;
	(void)argument;
#ifdef __arm__
	__asm__ volatile("bkpt 0xab\nbx lr");
#else
	__asm__ volatile(".option push\n.option norvc\nslli x0, x0, 0x1f\nebreak\nsrai x0, x0, 7\n.option pop\nret");
#endif
}

static inline void semi_print(const char *text)
{
	semi_call(SYS_WRITE0, text);
}

static inline void semi_exit(unsigned code)
{
	const long block[2] = { 0x20026 /* ADP_Stopped_ApplicationExit */, (long)code };

	semi_call(SYS_EXIT_EXTENDED, block);
}

/* The whole command line, program first. Returns `buf`, "" when there is none. */
static inline char *semi_command_line(char *buf, long size)
{
	long block[2] = { (long)buf, size };

	buf[0] = '\0';
	if (semi_call(SYS_GET_CMDLINE, block) != 0)
		buf[0] = '\0';
	return buf;
}

/* newlib's stdout: ":tt" opened for writing. Mode 4 is "w", 8 is "a" (stderr). */
static inline long semi_open_tt(long mode)
{
	const long block[3] = { (long)":tt", mode, 3 };

	return semi_call(SYS_OPEN, block);
}

static inline void semi_write(long handle, const char *text)
{
	long block[3] = { handle, (long)text, 0 };

	while (text[block[2]])
		block[2]++;
	semi_call(SYS_WRITE, block);
}

/* Runs a command on the host; -1 where that is refused and we live. */
static inline long semi_system(const char *command)
{
	long block[2] = { (long)command, 0 };

	while (command[block[1]])
		block[1]++;
	return semi_call(SYS_SYSTEM, block);
}
