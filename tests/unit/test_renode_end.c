/* SPDX-License-Identifier: Apache-2.0 */
/* Why a Renode ended: every rule, and which of two that fit decides. */
#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "driver/renode_int.h"

#define CAUSE(name) PWEMU__V1__END_CAUSE__END_CAUSE_##name
#define USAGE       "unknown option: --nosuch\nusage: renode [options]\n"
#define EXCEPTION   "Unhandled exception. System.IO.IOException: no space\n   at Antmicro.Renode\n"

static const struct row {
	const char *what;
	struct proc_end end;
	bool was_ready, stop_requested, is_restart;
	const char *shutdown_reason, *text;
	Pwemu__V1__EndCause cause;
	const char *message; /* the whole of it */
	bool has_details, tail_unknown;
} rows[] = {
	{ "quit of ours", { .code = 0 }, true, true, false, RENODE_QUIT, "", CAUSE(STOPPED), "stopped", false, false },
	{ "stopped by signals",
	  { .code = -1, .signal = SIGKILL },
	  true,
	  true,
	  false,
	  "",
	  EXCEPTION,
	  CAUSE(STOPPED),
	  "stopped",
	  false,
	  true },
	{ "stopped before it answered",
	  { .code = -1, .signal = SIGTERM },
	  false,
	  true,
	  false,
	  "",
	  "",
	  CAUSE(STOPPED),
	  "stopped",
	  false,
	  true },
	{ "quit at the monitor",
	  { .code = 0 },
	  true,
	  false,
	  false,
	  RENODE_USER_QUIT,
	  "",
	  CAUSE(STOPPED),
	  "stopped through the emulator's monitor",
	  false,
	  false },
	{ "quit at the monitor, and it crashed",
	  { .code = -1, .signal = SIGABRT },
	  true,
	  false,
	  false,
	  RENODE_USER_QUIT,
	  EXCEPTION,
	  CAUSE(STOPPED),
	  "stopped through the emulator's monitor",
	  false,
	  false },
	{ "the shim was killed",
	  { .code = -1, .shim_died = true },
	  true,
	  false,
	  false,
	  "",
	  "",
	  CAUSE(KILLED),
	  "emulator killed from outside",
	  false,
	  true },
	{ "SIGKILL",
	  { .code = -1, .signal = SIGKILL },
	  true,
	  false,
	  false,
	  "",
	  "",
	  CAUSE(KILLED),
	  "emulator killed from outside (Killed)",
	  false,
	  true },
	{ "SIGTERM to what a launcher has started",
	  { .code = 143 },
	  true,
	  false,
	  false,
	  "",
	  "",
	  CAUSE(KILLED),
	  "emulator killed from outside (Terminated)",
	  false,
	  true },
	{ "SIGINT before it answered",
	  { .code = -1, .signal = SIGINT },
	  false,
	  false,
	  false,
	  "",
	  "",
	  CAUSE(KILLED),
	  "emulator killed from outside (Interrupt)",
	  false,
	  true },
	{ "SIGHUP",
	  { .code = -1, .signal = SIGHUP },
	  true,
	  false,
	  false,
	  "",
	  "",
	  CAUSE(KILLED),
	  "emulator killed from outside (Hangup)",
	  false,
	  true },
	{ "bad option",
	  { .code = 0 },
	  false,
	  false,
	  false,
	  "",
	  USAGE,
	  CAUSE(BAD_CONFIG),
	  "the emulator refused to start (exit code 0): unknown option: --nosuch",
	  true,
	  true },
	{ "no word",
	  { .code = 3 },
	  false,
	  false,
	  false,
	  "",
	  "",
	  CAUSE(BAD_CONFIG),
	  "the emulator refused to start (exit code 3): it printed no reason",
	  true,
	  true },
	{ "refused in an automatic restart",
	  { .code = 1 },
	  false,
	  false,
	  true,
	  "",
	  USAGE,
	  CAUSE(CRASHED),
	  "emulator ended by itself with code 1",
	  true,
	  true },
	{ "crash of its runtime",
	  { .code = -1, .signal = SIGABRT },
	  true,
	  false,
	  false,
	  "",
	  EXCEPTION,
	  CAUSE(CRASHED),
	  "emulator crashed (Aborted)",
	  true,
	  true },
	{ "crash before it answered",
	  { .code = -1, .signal = SIGSEGV },
	  false,
	  false,
	  false,
	  "",
	  EXCEPTION,
	  CAUSE(CRASHED),
	  "emulator crashed (Segmentation fault)",
	  true,
	  true },
	{ "crash below a launcher",
	  { .code = 134 },
	  true,
	  false,
	  false,
	  "",
	  EXCEPTION,
	  CAUSE(CRASHED),
	  "emulator crashed (Aborted)",
	  true,
	  true },
	{ "code", { .code = 7 }, true, false, false, "", EXCEPTION, CAUSE(CRASHED), "emulator ended by itself with code 7", true, true },
	{ "code of no signal",
	  { .code = 255 },
	  true,
	  false,
	  false,
	  "",
	  "",
	  CAUSE(CRASHED),
	  "emulator ended by itself with code 255",
	  true,
	  true },
	{ "quit of a script",
	  { .code = 0 },
	  true,
	  false,
	  false,
	  "",
	  "",
	  CAUSE(STOPPED),
	  "emulator quit by itself: a script or a command of its monitor told it to",
	  false,
	  true },
	{ "quit in an automatic restart",
	  { .code = 0 },
	  false,
	  false,
	  true,
	  "",
	  "",
	  CAUSE(STOPPED),
	  "emulator quit by itself: a script or a command of its monitor told it to",
	  false,
	  true },
	{ "not there",
	  { .code = -1, .exec_errno = ENOENT, .exec_what = "execve" },
	  false,
	  false,
	  false,
	  "",
	  "",
	  CAUSE(BAD_CONFIG),
	  "the emulator could not be executed: execve: No such file or directory",
	  false,
	  false },
	{ "not there any more",
	  { .code = -1, .exec_errno = ENOENT, .exec_what = "execve" },
	  false,
	  false,
	  true,
	  "",
	  "",
	  CAUSE(CRASHED),
	  "the emulator could not be executed: execve: No such file or directory",
	  false,
	  false },
	{ "not there, and stopped",
	  { .code = -1, .exec_errno = EACCES, .exec_what = "chdir" },
	  false,
	  true,
	  false,
	  "",
	  "",
	  CAUSE(BAD_CONFIG),
	  "the emulator could not be executed: chdir: Permission denied",
	  false,
	  false },
};

static struct driver_verdict classify(const struct row *row)
{
	struct driver_verdict verdict = { 0 };
	const struct driver_death death = {
		.end = &row->end,
		.was_ready = row->was_ready,
		.stop_requested = row->stop_requested,
		.is_restart = row->is_restart,
		.shutdown_reason = row->shutdown_reason,
		.text = row->text,
	};
	renode_classify(&death, &verdict);
	return verdict;
}

static void test_rows(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct driver_verdict verdict = classify(row);
		if (verdict.cause != row->cause || strcmp(verdict.message, row->message) != 0 ||
		    verdict.tail_unknown != row->tail_unknown || strcmp(verdict.details, row->has_details ? row->text : "") != 0)
			fail_msg("%s: cause %d, tail %d: %s\n%s", row->what, (int)verdict.cause, verdict.tail_unknown, verdict.message,
				 verdict.details);
	}
}

/* Of many words the last are kept. */
static void test_long_text(void **state)
{
	(void)state;
	static char text[3 * DRIVER_DETAILS_MAX];
	memset(text, 'x', sizeof(text) - 1);
	memcpy(text + sizeof(text) - 5, "last", 4);
	struct row row = { .end = { .code = 1 }, .shutdown_reason = "", .text = text };
	struct driver_verdict verdict = classify(&row);
	assert_int_equal(verdict.cause, CAUSE(BAD_CONFIG));
	assert_int_equal(strlen(verdict.details), DRIVER_DETAILS_MAX - 1);
	assert_string_equal(verdict.details + DRIVER_DETAILS_MAX - 5, "last");
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_rows), cmocka_unit_test(test_long_text) };
	return cmocka_run_group_tests_name("renode: ends", tests, NULL, NULL);
}
