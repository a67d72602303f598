/* SPDX-License-Identifier: Apache-2.0 */
/* Why a QEMU ended: what was measured of every way in which it ends, and what the driver makes of it. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "driver/qemu.h"

#define CAUSE(name) PWEMU__V1__END_CAUSE__END_CAUSE_##name

/* Text as QEMU 7.2 prints it. */
#define LOCKUP_AT(pc, r0)                                                                                                                  \
	"qemu: fatal: Lockup: can't escalate 3 to HardFault (current priority -1)\n\n"                                                     \
	"R00=" r0 " R01=2000ff80 R02=00000000 R03=00000000\nR04=00000000 R05=00000000 R06=00000000 R07=00000000\n"                         \
	"R08=00000000 R09=00000000 R10=00000000 R11=00000000\nR12=00000000 R13=2000ffe0 R14=fffffff9 R15=" pc "\n"                         \
	"XPSR=40000003 -Z-- A handler\n"
#define LOCKUP   LOCKUP_AT("00000040", "12345678")
#define WARNING  "qemu-system-arm: warning: nic stellaris_enet.0 has no peer\n"
#define BAD_OPT  "qemu-system-arm: -nosuch: invalid option\n"
#define TERM_MSG "qemu-system-arm: terminating on signal 15 from pid 4711 (kill)\n"
#define GDB_MSG  "qemu-system-arm: Terminated via GDBstub\n"

struct row {
	const char *what;
	int code, signal;
	bool was_ready, stop_requested, semihosting;
	const char *shutdown_reason, *text;
	Pwemu__V1__EndCause cause;
	const char *message; /* the whole of it */
};

static const struct row rows[] = {
	/* The table of what was measured, row by row. */
	{ "exit extended 5", 5, 0, true, false, true, "", "", CAUSE(FINISHED), "guest finished with code 5" },
	{ "exit extended 255", 255, 0, true, false, true, "", "", CAUSE(FINISHED), "guest finished with code 255" },
	{ "application exit", 0, 0, true, false, true, "", "", CAUSE(FINISHED), "guest finished with code 0" },
	{ "error exit", 1, 0, true, false, true, "", "", CAUSE(FINISHED), "guest finished with code 1" },
	{ "finisher pass", 0, 0, true, false, false, "", "", CAUSE(FINISHED), "guest finished with code 0" },
	{ "finisher fail 7", 7, 0, true, false, false, "", "", CAUSE(FINISHED), "guest finished with code 7" },
	{ "QMP quit", 0, 0, true, false, false, "host-qmp-quit", "", CAUSE(STOPPED), "stopped through the emulator's monitor" },
	{ "SIGTERM from outside", 0, 0, true, false, false, "host-signal", TERM_MSG, CAUSE(KILLED), "emulator killed from outside" },
	{ "SIGTERM, no daemon there", 0, 0, false, false, false, "", TERM_MSG, CAUSE(KILLED), "emulator killed from outside" },
	{ "SIGTERM of ours", 0, 0, true, true, false, "host-signal", TERM_MSG, CAUSE(STOPPED), "stopped" },
	{ "reset, -no-reboot", 0, 0, true, false, false, "guest-reset", "", CAUSE(GUEST_RESET),
	  "guest reset itself and the emulator was told not to reboot" },
	{ "gdb kill", 0, 0, true, false, true, "", GDB_MSG, CAUSE(GDB), "ended by a debugger" },
	{ "bad option", 1, 0, false, false, false, "", BAD_OPT, CAUSE(BAD_CONFIG),
	  "the emulator refused to start (exit code 1): qemu-system-arm: -nosuch: invalid option" },
	{ "lockup", -1, SIGABRT, true, false, false, "", LOCKUP, CAUSE(GUEST_FAULT),
	  "guest fault: qemu: fatal: Lockup: can't escalate 3 to HardFault (current priority -1)" },
	{ "assertion", -1, SIGABRT, true, false, false, "", "qemu-system-arm: ../hw/x.c:12: f: Assertion `x' failed.\n", CAUSE(CRASHED),
	  "emulator crashed (Aborted)" },
	{ "seccomp", -1, SIGSYS, true, false, true, "", "", CAUSE(CRASHED), "emulator crashed (Bad system call)" },
	{ "SIGKILL", -1, SIGKILL, true, false, false, "", "", CAUSE(KILLED), "emulator killed from outside (Killed)" },

	/* The guest was faster than the greeting. */
	{ "quick exit 0", 0, 0, false, false, true, "", "", CAUSE(FINISHED), "guest finished with code 0" },
	{ "quick fail 7, a guest without an exit", 7, 0, false, false, false, "", "", CAUSE(BAD_CONFIG),
	  "the emulator refused to start (exit code 7): it printed no reason" },
	{ "quick exit 3, other words", 3, 0, false, false, true, "", "some library says hello\n", CAUSE(FINISHED),
	  "guest finished with code 3" },
	{ "quick lockup", -1, SIGABRT, false, false, false, "", WARNING LOCKUP, CAUSE(GUEST_FAULT),
	  "guest fault: qemu: fatal: Lockup: can't escalate 3 to HardFault (current priority -1)" },

	/* Its refusals. */
	{ "warning, then the reason", 1, 0, false, false, false, "", WARNING "\n" BAD_OPT, CAUSE(BAD_CONFIG),
	  "the emulator refused to start (exit code 1): qemu-system-arm: -nosuch: invalid option" },
	{ "library missing", 127, 0, false, false, false, "",
	  "/x/qemu-system-arm: error while loading shared libraries: libfdt.so.1: cannot open shared object file\n", CAUSE(BAD_CONFIG),
	  "the emulator refused to start (exit code 127): /x/qemu-system-arm: error while loading shared libraries: libfdt.so.1: cannot "
	  "open "
	  "shared object file" },
	{ "an error, but it answered", 1, 0, true, false, true, "", BAD_OPT, CAUSE(FINISHED), "guest finished with code 1" },

	/* A user's wish and what happened otherwise. */
	{ "stopped, killed in the end", -1, SIGKILL, true, true, false, "", "", CAUSE(STOPPED), "stopped" },
	{ "stopped, but it was quicker", 3, 0, true, true, true, "", "", CAUSE(FINISHED), "guest finished with code 3" },
	{ "stopped, but it was refused", 1, 0, false, true, false, "", BAD_OPT, CAUSE(BAD_CONFIG),
	  "the emulator refused to start (exit code 1): qemu-system-arm: -nosuch: invalid option" },
	{ "stopped before it answered", 0, 0, false, true, false, "", TERM_MSG, CAUSE(STOPPED), "stopped" },
	{ "lockup while being stopped", -1, SIGABRT, true, true, false, "", LOCKUP, CAUSE(GUEST_FAULT),
	  "guest fault: qemu: fatal: Lockup: can't escalate 3 to HardFault (current priority -1)" },
	{ "SIGTERM before QEMU has its handler", -1, SIGTERM, false, false, false, "", "", CAUSE(KILLED),
	  "emulator killed from outside (Terminated)" },
	{ "SIGINT", -1, SIGINT, true, false, false, "", "", CAUSE(KILLED), "emulator killed from outside (Interrupt)" },
	{ "SIGHUP", -1, SIGHUP, true, false, false, "", "", CAUSE(KILLED), "emulator killed from outside (Hangup)" },
	{ "SIGSEGV", -1, SIGSEGV, true, false, false, "", "", CAUSE(CRASHED), "emulator crashed (Segmentation fault)" },
	{ "nothing is known", -1, 0, true, false, false, "", "", CAUSE(UNKNOWN), "nobody knows how the emulator ended" },
};

/* A RISC-V guest can end the emulator without semihosting. */
static const struct row riscv_rows[] = {
	{ "quick fail 7, warnings", 7, 0, false, false, false, "", WARNING, CAUSE(FINISHED), "guest finished with code 7" },
	{ "quick fail 7, info", 7, 0, false, false, false, "", "qemu-system-arm: info: dtb at 0\n", CAUSE(FINISHED),
	  "guest finished with code 7" },
};

static const struct row restart_rows[] = {
	{ "refused in an automatic restart", 1, 0, false, false, false, "", BAD_OPT, CAUSE(CRASHED),
	  "the emulator refused to start (exit code 1): qemu-system-arm: -nosuch: invalid option" },
};

static const struct {
	const struct row *rows;
	size_t count;
	const char *architecture;
	bool is_restart;
} groups[] = {
	{ rows, sizeof(rows) / sizeof(rows[0]), "arm", false },
	{ riscv_rows, sizeof(riscv_rows) / sizeof(riscv_rows[0]), "riscv32", false },
	{ restart_rows, sizeof(restart_rows) / sizeof(restart_rows[0]), "arm", true },
};

static struct driver_verdict classify_as(const struct proc_end *end, const struct row *row, const char *architecture, bool is_restart)
{
	struct driver_verdict verdict = { 0 };
	Pwemu__V1__QemuTarget qemu = PWEMU__V1__QEMU_TARGET__INIT;
	Pwemu__V1__Target target = PWEMU__V1__TARGET__INIT;
	target.qemu = &qemu;
	qemu.executable = (char *)"qemu-system-x";
	target.architecture = (char *)(uintptr_t)architecture;
	static char *items[] = { (char *)"qemu-system-x", NULL };
	struct strv argv = { items, 1 };
	struct driver_death death = {
		.end = end,
		.argv = &argv,
		.was_ready = row->was_ready,
		.stop_requested = row->stop_requested,
		.semihosting = row->semihosting,
		.is_restart = is_restart,
		.target = &target,
		.shutdown_reason = row->shutdown_reason,
		.text = row->text,
	};
	qemu_classify(&death, &verdict);
	return verdict;
}

static struct driver_verdict classify(const struct proc_end *end, const struct row *row)
{
	return classify_as(end, row, "arm", false);
}

static void test_group(const struct row *group, size_t count, const char *architecture, bool is_restart)
{
	for (size_t i = 0; i < count; i++) {
		struct proc_end end = { .code = group[i].code, .signal = group[i].signal };
		struct driver_verdict verdict = classify_as(&end, &group[i], architecture, is_restart);
		if (verdict.cause != group[i].cause || strcmp(verdict.message, group[i].message) != 0)
			fail_msg("%s: cause %d, \"%s\"; wanted %d, \"%s\"", group[i].what, (int)verdict.cause, verdict.message,
				 (int)group[i].cause, group[i].message);
	}
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
		test_group(groups[i].rows, groups[i].count, groups[i].architecture, groups[i].is_restart);
}

static void test_not_executed(void **state)
{
	(void)state;
	struct proc_end end = { .code = -1, .exec_errno = EACCES, .exec_what = "execve" };
	struct row row = { .shutdown_reason = "", .text = "" };
	struct driver_verdict verdict = classify(&end, &row);
	assert_int_equal(verdict.cause, CAUSE(BAD_CONFIG));
	assert_string_equal(verdict.message, "the emulator could not be executed: execve: Permission denied");
	row.stop_requested = true; /* the reason is worth more */
	assert_int_equal(classify(&end, &row).cause, CAUSE(BAD_CONFIG));
}

static void test_shim_died(void **state)
{
	(void)state;
	struct proc_end end = { .code = -1, .shim_died = true };
	struct row row = { .was_ready = true, .shutdown_reason = "", .text = "" };
	assert_int_equal(classify(&end, &row).cause, CAUSE(KILLED));
	row.stop_requested = true;
	assert_int_equal(classify(&end, &row).cause, CAUSE(STOPPED));
	row.stop_requested = false;
	row.text = WARNING;
	row.was_ready = false;
	assert_int_equal(classify(&end, &row).cause, CAUSE(KILLED));
}

/* ---------------------------------------------------------------- what the sandbox denies */

static void test_denied(void **state)
{
	static const struct {
		const char *argument; /* of -netdev; NULL: none */
		bool was_ready, semihosting, stop_requested, is_sandboxed;
		Pwemu__V1__EndCause cause;
		const char *message;
	} cases[] = {
		{ NULL, true, true, false, true, CAUSE(GUEST_FAULT),
		  "semihosting SYS_SYSTEM denied: the firmware asked the host to run a command" },
		{ NULL, false, true, false, true, CAUSE(GUEST_FAULT), "semihosting SYS_SYSTEM denied" }, /* before it answered */
		{ NULL, true, true, true, true, CAUSE(GUEST_FAULT), "semihosting SYS_SYSTEM denied" },
		{ "user,id=n", false, true, false, true, CAUSE(GUEST_FAULT), "semihosting SYS_SYSTEM denied" },
		{ "tap,id=n", false, true, false, true, CAUSE(BAD_CONFIG),
		  "a process, as its argument \"tap,id=n\" wants; \"sandbox\": \"off\"" },
		{ "tap,id=n", true, true, false, true, CAUSE(GUEST_FAULT), "semihosting SYS_SYSTEM denied" },
		{ NULL, true, false, false, true, CAUSE(CRASHED), "emulator crashed (Bad system call): it did what its sandbox denies" },
		{ NULL, true, true, false, false, CAUSE(CRASHED), "emulator crashed (Bad system call)" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct proc_end end = { .code = -1, .signal = SIGSYS };
		struct driver_verdict verdict = { 0 };
		char *items[] = {
			(char *)"qemu-system-x", (char *)"-netdev", (char *)(uintptr_t)(cases[i].argument ? cases[i].argument : ""),
			(char *)"-sandbox",      (char *)"on",      NULL
		};
		struct strv argv = { items, cases[i].is_sandboxed ? 5 : 3 };
		struct driver_death death = { .end = &end,
					      .argv = &argv,
					      .was_ready = cases[i].was_ready,
					      .semihosting = cases[i].semihosting,
					      .stop_requested = cases[i].stop_requested,
					      .shutdown_reason = "",
					      .text = "" };
		qemu_classify(&death, &verdict);
		if (verdict.cause != cases[i].cause || strstr(verdict.message, cases[i].message) == NULL)
			fail_msg("case %zu: cause %d, \"%s\"", i, (int)verdict.cause, verdict.message);
	}
}

/* ---------------------------------------------------------------- `bkpt 0xab` */

static const uint32_t calls[] = { 0x100, 0x1a4 };

static void assert_hint(const char *text, bool semihosting, size_t call_count, bool wanted)
{
	struct proc_end end = { .code = -1, .signal = SIGABRT };
	struct driver_verdict verdict = { 0 };
	struct driver_death death = { .end = &end,
				      .was_ready = true,
				      .semihosting = semihosting,
				      .shutdown_reason = "",
				      .text = text,
				      .semihosting_calls = call_count > 0 ? calls : NULL,
				      .semihosting_call_count = call_count };
	qemu_classify(&death, &verdict);
	assert_int_equal(verdict.cause, CAUSE(GUEST_FAULT));
	bool has_hint = strcmp(verdict.message, "guest fault at `bkpt 0xab`: the firmware uses semihosting, add --semihosting") == 0;
	if (has_hint != wanted)
		fail_msg("%s", verdict.message);
}

static void test_semihosting_hint(void **state)
{
	(void)state;
	assert_hint(LOCKUP_AT("000001a4", "12345678"), false, 2, true); /* the program counter is at a call */
	assert_hint(LOCKUP_AT("00000100", "12345678"), false, 2, true);
	assert_hint(LOCKUP_AT("00000102", "12345678"), false, 2, false);
	assert_hint(LOCKUP_AT("00000040", "00000018"), false, 2, true); /* r0 has an operation */
	assert_hint(LOCKUP_AT("00000040", "00000001"), false, 2, true);
	assert_hint(LOCKUP_AT("00000040", "00000020"), false, 2, true);
	assert_hint(LOCKUP_AT("00000040", "00000030"), false, 2, true);
	assert_hint(LOCKUP_AT("00000040", "00000000"), false, 2, false);
	assert_hint(LOCKUP_AT("00000040", "00000021"), false, 2, false);
	assert_hint(LOCKUP_AT("00000040", "00000032"), false, 2, false);
	assert_hint(LOCKUP_AT("000001a4", "00000018"), true, 2, false);  /* it was served */
	assert_hint(LOCKUP_AT("000001a4", "00000018"), false, 0, false); /* the firmware has no such call */
	assert_hint("qemu: fatal: Lockup: no registers\n", false, 2, false);
	assert_hint("qemu: fatal: Lockup: R15=garbage R00=\n", false, 2, false);
}

/* Long lines are cut, never beyond the message. */
static void test_long_lines(void **state)
{
	(void)state;
	static char text[8192];
	struct proc_end end = { .code = 1 };
	struct row row = { .shutdown_reason = "", .text = text };
	memset(text, 'x', sizeof(text) - 1);
	memcpy(text, "qemu-system-arm: ", 17);
	struct driver_verdict verdict = classify(&end, &row);
	assert_int_equal(verdict.cause, CAUSE(BAD_CONFIG));
	assert_true(strlen(verdict.message) < sizeof(verdict.message));
	memcpy(text, "qemu: fatal: Lockup", 19);
	end = (struct proc_end){ .code = -1, .signal = SIGABRT };
	verdict = classify(&end, &row);
	assert_int_equal(verdict.cause, CAUSE(GUEST_FAULT));
	assert_true(strlen(verdict.message) < sizeof(verdict.message));
}

/* No SHUTDOWN was seen: the guest was quicker than the first answer. */
static void test_quick_reset(void **state)
{
	(void)state;
	Pwemu__V1__QemuTarget qemu = PWEMU__V1__QEMU_TARGET__INIT;
	Pwemu__V1__Target target = PWEMU__V1__TARGET__INIT;
	struct driver_verdict verdict = { 0 };
	struct proc_end end = { .code = 0 };
	static char *items[] = { (char *)"qemu-system-x", (char *)"-no-reboot", NULL };
	struct strv argv = { items, 2 };
	target.qemu = &qemu;
	struct driver_death death = { .end = &end, .argv = &argv, .target = &target, .shutdown_reason = "", .text = "" };
	qemu_classify(&death, &verdict);
	assert_int_equal(verdict.cause, CAUSE(GUEST_RESET));
	death.semihosting = true; /* it may as well have ended itself */
	qemu_classify(&death, &verdict);
	assert_int_equal(verdict.cause, CAUSE(FINISHED));
	argv.count = 1;
	death.semihosting = false;
	qemu_classify(&death, &verdict);
	assert_int_equal(verdict.cause, CAUSE(FINISHED));
}

/* Semihosting that the user's own arguments turn on: a guest that was done before QEMU answered has ended itself. */
static void test_own_semihosting(void **state)
{
	(void)state;
	static const struct {
		const char *argument;
		Pwemu__V1__EndCause cause;
	} cases[] = {
		{ "-semihosting-config", CAUSE(FINISHED) },
		{ "--semihosting", CAUSE(FINISHED) },
		{ "-no-shutdown", CAUSE(BAD_CONFIG) },
	};
	Pwemu__V1__Target target = PWEMU__V1__TARGET__INIT;
	Pwemu__V1__QemuTarget qemu = PWEMU__V1__QEMU_TARGET__INIT;
	struct proc_end end = { .code = 7 };
	target.qemu = &qemu;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct driver_verdict verdict;
		char *items[] = { (char *)"qemu-system-x", (char *)(uintptr_t)cases[i].argument, NULL };
		struct strv argv = { items, 2 };
		struct driver_death death = { .end = &end, .argv = &argv, .target = &target, .shutdown_reason = "", .text = "" };
		qemu_classify(&death, &verdict);
		assert_int_equal(verdict.cause, cases[i].cause);
	}
}

/* What is kept for people: the dump of a lockup from its first line on, of a crash the last words. */
static void test_details(void **state)
{
	(void)state;
	struct proc_end aborted = { .code = -1, .signal = SIGABRT };
	struct row row = { .was_ready = true, .shutdown_reason = "", .text = WARNING LOCKUP };
	struct driver_verdict verdict = classify(&aborted, &row);
	assert_string_equal(verdict.details, LOCKUP);
	static char text[3 * DRIVER_DETAILS_MAX];
	memset(text, 'x', sizeof(text) - 1);
	memcpy(text + sizeof(text) - 5, "last", 4);
	row.text = text;
	verdict = classify(&aborted, &row);
	assert_int_equal(verdict.cause, CAUSE(CRASHED));
	assert_int_equal(strlen(verdict.details), DRIVER_DETAILS_MAX - 1);
	assert_string_equal(verdict.details + DRIVER_DETAILS_MAX - 5, "last");
	struct proc_end finished = { .code = 0 };
	row.text = WARNING;
	row.semihosting = true;
	verdict = classify(&finished, &row);
	assert_string_equal(verdict.details, "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),        cmocka_unit_test(test_own_semihosting),  cmocka_unit_test(test_details),
		cmocka_unit_test(test_quick_reset), cmocka_unit_test(test_not_executed),     cmocka_unit_test(test_shim_died),
		cmocka_unit_test(test_denied),      cmocka_unit_test(test_semihosting_hint), cmocka_unit_test(test_long_lines),
	};
	return cmocka_run_group_tests_name("qemu: ends", tests, NULL, NULL);
}
