/* SPDX-License-Identifier: Apache-2.0 */
/* What is done to a channel's bytes on their way to the user, and what is made of an end: mux, stamps, lines, keys, verdicts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/expect.h"
#include "client/keys.h"
#include "client/lines.h"
#include "client/mux.h"
#include "client/stamp.h"
#include "client/verdict.h"

static char shown[100000];

static void show(void *ctx, const char *bytes, size_t len)
{
	(void)ctx;
	size_t used = strlen(shown);
	assert_true(used + len < sizeof(shown));
	memcpy(shown + used, bytes, len);
	shown[used + len] = '\0';
}

static int clear(void **state)
{
	(void)state;
	shown[0] = '\0';
	return 0;
}

/* ---------------------------------------------------------------- mux */

static void put(struct mux *mux, size_t channel, const char *text)
{
	mux_write(mux, channel, text, strlen(text));
}

static void test_mux(void **state)
{
	(void)state;
	struct mux *mux = mux_new(MUX_NAMED, show, NULL);
	size_t a = mux_add(mux, "a"), b = mux_add(mux, "b");
	put(mux, a, "one\ntwo\n");
	put(mux, a, "prompt> "); /* seen at once */
	assert_string_equal(shown, "a: one\na: two\na: prompt> ");
	put(mux, b, "half"); /* waits */
	assert_string_equal(shown, "a: one\na: two\na: prompt> ");
	put(mux, a, "typed\n"); /* now b's turn */
	assert_string_equal(shown, "a: one\na: two\na: prompt> typed\nb: half");
	put(mux, a, "x\ny\n"); /* waits for b's line */
	assert_true(mux_is_holding(mux));
	mux_release(mux); /* which took too long */
	assert_string_equal(shown, "a: one\na: two\na: prompt> typed\nb: half\na: x\na: y\n");
	put(mux, b, "more\n");
	assert_string_equal(shown, "a: one\na: two\na: prompt> typed\nb: half\na: x\na: y\nb: more\n");
	mux_free(mux);
}

static void test_mux_finish(void **state)
{
	(void)state;
	struct mux *mux = mux_new(MUX_NAMED, show, NULL);
	size_t a = mux_add(mux, "a"), b = mux_add(mux, "b");
	put(mux, a, "1");
	put(mux, b, "2");
	mux_finish(mux);
	assert_string_equal(shown, "a: 1\nb: 2\n");
	mux_free(mux);
}

static void test_mux_long_line(void **state)
{
	(void)state;
	static char line[70001];
	memset(line, 'x', 70000);
	struct mux *mux = mux_new(MUX_NAMED, show, NULL);
	size_t a = mux_add(mux, "a"), b = mux_add(mux, "b");
	put(mux, a, "1");
	put(mux, b, line); /* too long to wait */
	mux_finish(mux);
	assert_int_equal(strlen(shown), strlen("a: 1\nb: \n") + 70000);
	mux_free(mux);
}

static void test_mux_plain(void **state)
{
	(void)state;
	struct mux *mux = mux_new(MUX_PLAIN, show, NULL);
	size_t a = mux_add(mux, "a"), b = mux_add(mux, "b");
	put(mux, a, "h");
	put(mux, b, "other\nthi");
	assert_true(mux_is_holding(mux));
	put(mux, a, "ello\n"); /* complete: b's turn, and its line is the unfinished one now */
	assert_string_equal(shown, "hello\nother\nthi");
	assert_false(mux_is_holding(mux));
	put(mux, a, "x\n");
	assert_string_equal(shown, "hello\nother\nthi");
	mux_release(mux); /* it took too long */
	assert_string_equal(shown, "hello\nother\nthix\n");
	put(mux, b, "s\n");
	put(mux, a, "$ ");
	put(mux, b, "end");
	mux_finish(mux);
	assert_string_equal(shown, "hello\nother\nthix\ns\n$ end");
	mux_free(mux);
}

/* ---------------------------------------------------------------- stamps */

static void stamp(struct stamp *s, const char *text, uint64_t time_ns)
{
	Pwemu__V1__Data data = PWEMU__V1__DATA__INIT;
	data.bytes.data = (uint8_t *)(uintptr_t)text;
	data.bytes.len = strlen(text);
	data.time_ns = time_ns;
	data.boot_time_ns = 1000000000000000000ULL;
	stamp_write(s, &data, show, NULL);
}

static void test_stamp(void **state)
{
	(void)state;
	struct stamp s = { .since_boot = true };
	stamp(&s, "one\ntw", 1000000000250000000ULL);
	stamp(&s, "o\n", 1000000001500000000ULL);
	stamp(&s, "x\n", 1000000012340000000ULL);
	assert_string_equal(shown, "[    0.25] one\n[    0.25] two\n[   12.34] x\n");
	shown[0] = '\0';
	setenv("TZ", "UTC", 1);
	struct stamp date = { .since_boot = false };
	stamp(&date, "a\n", 1000000000250000000ULL);
	assert_string_equal(shown, "2001-09-09T01:46:40.25+00:00 a\n");
}

/* ---------------------------------------------------------------- the last lines */

static uint64_t last_lines(const char *text, size_t wanted, size_t piece)
{
	struct lines lines;
	lines_init(&lines, wanted);
	for (size_t i = 0; i < strlen(text); i += piece)
		lines_feed(&lines, 100 + i, text + i, strnlen(text + i, piece));
	uint64_t start = lines_start(&lines);
	lines_fini(&lines);
	return start - 100;
}

static void test_last_lines(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < 12; piece++) {
		assert_int_equal(last_lines("a\nbb\nccc\n", 1, piece), 5);
		assert_int_equal(last_lines("a\nbb\nccc\n", 2, piece), 2);
		assert_int_equal(last_lines("a\nbb\nccc\n", 3, piece), 0);
		assert_int_equal(last_lines("a\nbb\nccc\n", 99, piece), 0);
		assert_int_equal(last_lines("a\nbb\nccc", 1, piece), 5);
		assert_int_equal(last_lines("\n\n\n", 2, piece), 1);
	}
	char many[1001];
	for (size_t i = 0; i < 500; i++)
		memcpy(many + 2 * i, "x\n", 3);
	assert_int_equal(last_lines(many, 100, 7), 800);
	assert_int_equal(last_lines(many, 64, 7), 1000 - 128);
}

/* ---------------------------------------------------------------- keys */

static void on_text(void *ctx, const char *bytes, size_t len)
{
	show(ctx, bytes, len);
}

static void on_action(void *ctx, enum keys_action action)
{
	static const char *const names[] = { "[quit]", "[help]", "[reset]", "[pause]", "[writer]", "[info]", "[unknown]" };
	show(ctx, names[action], strlen(names[action]));
}

static const struct keys_ops keys_ops = { .on_text = on_text, .on_action = on_action };

static void type(const char *eol, const char *text, size_t piece)
{
	struct keys keys;
	shown[0] = '\0';
	keys_init(&keys, 0x1d, eol, &keys_ops, NULL);
	for (size_t i = 0; i < strlen(text); i += piece)
		keys_feed(&keys, text + i, strnlen(text + i, piece));
	if (keys_is_waiting(&keys))
		keys_timeout(&keys);
}

static void test_keys(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < 4; piece++) {
		type("\r", "ab\rc\x03", piece);
		assert_string_equal(shown, "ab\rc\x03");
		type("\r\n", "a\r", piece);
		assert_string_equal(shown, "a\r\n");
		type("\r", "a\x1d", piece);
		assert_string_equal(shown, "a[quit]");
		type("\r", "\x1d\x1dz", piece); /* doubled: sent */
		assert_string_equal(shown, "\x1dz");
		type("\r", "\x14r\x14\x10\x14?\x14wy", piece);
		assert_string_equal(shown, "[help][reset][help][pause][help][help][help][writer]y");
		type("\r", "\x14\x14\x14\x1dz", piece); /* the menu sends both keys */
		assert_string_equal(shown, "[help]\x14[help]\x1dz");
		type("\r", "\x14Z\x14i", piece);
		assert_string_equal(shown, "[help][unknown][help][info]");
	}
	type("\r", "\x14qxyz", 9); /* what follows a quit is dropped */
	assert_string_equal(shown, "[help][quit]");
	assert_string_equal(keys_eol("lf"), "\n");
	assert_string_equal(keys_eol("crlf"), "\r\n");
	assert_string_equal(keys_eol(""), "\r");
}

/* ---------------------------------------------------------------- verdicts */

static void test_verdict_of_end(void **state)
{
	(void)state;
	static const struct {
		int cause, code, signal, exec_errno;
		enum verdict verdict;
		int exit_code;
	} rows[] = {
		{ PWEMU__V1__END_CAUSE__END_CAUSE_FINISHED, 0, 0, 0, VERDICT_PASSED, 0 },
		{ PWEMU__V1__END_CAUSE__END_CAUSE_FINISHED, 42, 0, 0, VERDICT_FAILED, 42 },
		{ PWEMU__V1__END_CAUSE__END_CAUSE_GUEST_RESET, 0, 0, 0, VERDICT_PASSED, 0 },
		{ PWEMU__V1__END_CAUSE__END_CAUSE_GUEST_FAULT, -1, SIGABRT, 0, VERDICT_GUEST_FAULT, 134 },
		{ PWEMU__V1__END_CAUSE__END_CAUSE_CRASHED, -1, SIGSEGV, 0, VERDICT_EMULATOR_CRASH, 139 },
		{ PWEMU__V1__END_CAUSE__END_CAUSE_KILLED, -1, SIGKILL, 0, VERDICT_EMULATOR_CRASH, 137 },
		{ PWEMU__V1__END_CAUSE__END_CAUSE_KILLED, 0, 0, 0, VERDICT_INTERRUPTED, 143 },
		{ PWEMU__V1__END_CAUSE__END_CAUSE_STOPPED, 0, 0, 0, VERDICT_INTERRUPTED, 143 },
		{ PWEMU__V1__END_CAUSE__END_CAUSE_BAD_CONFIG, 1, 0, 0, VERDICT_EMULATOR_ERROR, 125 },
		{ PWEMU__V1__END_CAUSE__END_CAUSE_BAD_CONFIG, -1, 0, EACCES, VERDICT_EMULATOR_ERROR, 126 },
		{ PWEMU__V1__END_CAUSE__END_CAUSE_BAD_CONFIG, -1, 0, ENOENT, VERDICT_EMULATOR_ERROR, 127 },
		{ PWEMU__V1__END_CAUSE__END_CAUSE_UNKNOWN, 3, 0, 0, VERDICT_EMULATOR_ERROR, 125 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		Pwemu__V1__Instance inst = PWEMU__V1__INSTANCE__INIT;
		Pwemu__V1__End end = PWEMU__V1__END__INIT;
		struct outcome_events events = { 0 };
		struct outcome outcome;
		end.cause = (Pwemu__V1__EndCause)rows[i].cause;
		end.code = rows[i].code;
		end.signal = rows[i].signal;
		end.exec_errno = rows[i].exec_errno;
		inst.end = &end;
		outcome_judge(&outcome, &inst, &events);
		assert_int_equal(outcome.verdict, rows[i].verdict);
		assert_int_equal(outcome.exit_code, rows[i].exit_code);
		assert_true(outcome.message[0] != '\0');
	}
}

static void test_verdict_of_ours(void **state)
{
	(void)state;
	Pwemu__V1__Instance inst = PWEMU__V1__INSTANCE__INIT;
	Pwemu__V1__End end = PWEMU__V1__END__INIT;
	struct outcome outcome;
	struct err err = ERR_INIT;
	inst.end = &end;
	end.cause = PWEMU__V1__END_CAUSE__END_CAUSE_STOPPED;
	outcome_judge(&outcome, &inst, &(struct outcome_events){ .timeout_ms = 1500 });
	assert_int_equal(outcome.verdict, VERDICT_TIMEOUT);
	assert_int_equal(outcome.exit_code, 124);
	outcome_judge(&outcome, &inst, &(struct outcome_events){ .signal = SIGINT });
	assert_int_equal(outcome.exit_code, 130);
	assert_int_equal(outcome.verdict, VERDICT_INTERRUPTED);
	outcome_judge(&outcome, &inst, &(struct outcome_events){ .quit = "Ctrl+]" });
	assert_int_equal(outcome.exit_code, 0);
	/* It finished while the timeout's stop was on its way: its own end counts. */
	end.cause = PWEMU__V1__END_CAUSE__END_CAUSE_FINISHED;
	end.code = 7;
	outcome_judge(&outcome, &inst, &(struct outcome_events){ .timeout_ms = 1500 });
	assert_int_equal(outcome.exit_code, 7);
	err_set(&err, ERR_UNAVAILABLE, "the daemon is gone");
	outcome_judge(&outcome, &inst, &(struct outcome_events){ .trouble = &err });
	assert_int_equal(outcome.exit_code, 125);
	assert_int_equal(outcome.verdict, VERDICT_PWEMU_ERROR);
	assert_string_equal(outcome.message, "the daemon is gone");
	outcome_judge(&outcome, NULL, &(struct outcome_events){ 0 });
	assert_int_equal(outcome.exit_code, 125);
}

/* ---------------------------------------------------------------- --expect, --fail */

static struct expect *expecting(const char *const *expects, const char *const *fails)
{
	struct expect *expect = expect_new();
	struct err err = ERR_INIT;
	for (; *expects != NULL; expects++)
		assert_int_equal(expect_add(expect, *expects, false, &err), 0);
	for (; *fails != NULL; fails++)
		assert_int_equal(expect_add(expect, *fails, true, &err), 0);
	assert_int_equal(expect_add_channel(expect), 0);
	assert_int_equal(expect_add_channel(expect), 1);
	return expect;
}

#define LIST(...) ((const char *const[]){ __VA_ARGS__ __VA_OPT__(, ) NULL })

/* Feeds a text in pieces to channel 0; returns how much was shown. */
static size_t feed_pieces(struct expect *expect, const char *text, size_t piece)
{
	size_t shown_len = 0;
	for (size_t i = 0; i < strlen(text); i += piece)
		shown_len += expect_feed(expect, 0, text + i, strnlen(text + i, piece));
	return shown_len;
}

static void test_expect(void **state)
{
	(void)state;
	for (size_t piece = 1; piece < 20; piece++) {
		struct expect *expect = expecting(LIST("all tests pass(ed)?$"), LIST("FAIL"));
		assert_int_equal(feed_pieces(expect, "one\nall tests passed\r\nmore\n", piece), strlen("one\nall tests passed\r\n"));
		assert_int_equal(expect_result(expect), EXPECT_MET);
		assert_true(expect_is_finished(expect));
		assert_int_equal(expect_feed(expect, 1, "x", 1), 0);
		expect_free(expect);
		expect = expecting(LIST("ok"), LIST("FAIL"));
		feed_pieces(expect, "FAIL: ok\n", piece); /* the first that is seen; in one piece the failure */
		assert_int_equal(expect_result(expect), EXPECT_FAILED);
		assert_string_equal(expect_pattern(expect), "FAIL");
		expect_free(expect);
	}
}

static void test_expect_unfinished_line(void **state)
{
	(void)state;
	struct expect *expect = expecting(LIST("login: "), LIST("$ ^"));
	assert_int_equal(feed_pieces(expect, "login:", 3), 6);
	assert_int_equal(expect_result(expect), EXPECT_OPEN);
	assert_int_equal(expect_feed(expect, 0, " ro", 3), 3);
	assert_int_equal(expect_result(expect), EXPECT_MET);
	assert_false(expect_is_finished(expect));
	assert_int_equal(expect_feed(expect, 0, "ot\nx", 4), 3); /* the rest of the line, no more */
	assert_true(expect_is_finished(expect));
	expect_free(expect);
}

static void test_expect_all_of_several(void **state)
{
	(void)state;
	struct expect *expect = expecting(LIST("^b$", "^a$"), LIST());
	feed_pieces(expect, "a\n", 9);
	assert_int_equal(expect_result(expect), EXPECT_OPEN);
	assert_string_equal(expect_pattern(expect), "^b$");
	assert_int_equal(expect_feed(expect, 1, "b\n", 2), 2);
	assert_int_equal(expect_result(expect), EXPECT_MET);
	expect_free(expect);
}

/* Lines without an end and patterns without an end are both bounded. */
static void test_expect_is_bounded(void **state)
{
	(void)state;
	struct expect *expect = expecting(LIST("needle"), LIST("(a+)+$"));
	char block[1000];
	memset(block, 'a', sizeof(block));
	for (size_t i = 0; i < 200; i++)
		assert_int_equal(expect_feed(expect, 0, block, 30), 30);
	assert_int_equal(expect_feed(expect, 0, "b", 1), 1);
	expect_free(expect);
	expect = expecting(LIST("needle"), LIST());
	for (size_t i = 0; i < 300; i++)
		expect_feed(expect, 0, block, sizeof(block));
	expect_feed(expect, 0, "needle", 6);
	assert_int_equal(expect_result(expect), EXPECT_MET);
	expect_free(expect);
}

static void test_bad_pattern(void **state)
{
	(void)state;
	struct expect *expect = expect_new();
	struct err err = ERR_INIT;
	assert_int_equal(expect_add(expect, "(", false, &err), -1);
	assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
	assert_non_null(strstr(err.msg, "'('"));
	expect_free(expect);
}

static void test_verdict_of_expect(void **state)
{
	(void)state;
	Pwemu__V1__Instance inst = PWEMU__V1__INSTANCE__INIT;
	Pwemu__V1__End end = PWEMU__V1__END__INIT;
	struct outcome outcome;
	inst.end = &end;
	end.cause = PWEMU__V1__END_CAUSE__END_CAUSE_STOPPED;
	outcome_judge(&outcome, &inst, &(struct outcome_events){ .met = "x" });
	assert_int_equal(outcome.exit_code, 0);
	assert_int_equal(outcome.verdict, VERDICT_PASSED);
	outcome_judge(&outcome, &inst, &(struct outcome_events){ .failed = "x" });
	assert_int_equal(outcome.exit_code, 1);
	assert_int_equal(outcome.verdict, VERDICT_FAILED);
	end.cause = PWEMU__V1__END_CAUSE__END_CAUSE_FINISHED;
	outcome_judge(&outcome, &inst, &(struct outcome_events){ .missing = "x" });
	assert_int_equal(outcome.exit_code, 1);
	assert_int_equal(outcome.verdict, VERDICT_FAILED);
	end.code = 9;
	outcome_judge(&outcome, &inst, &(struct outcome_events){ .missing = "x" });
	assert_int_equal(outcome.exit_code, 9);
}

static void test_result_file(void **state)
{
	(void)state;
	struct outcome outcome = { .verdict = VERDICT_GUEST_FAULT, .exit_code = 134, .message = "a \"b\"" };
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);
	outcome_write(to, &outcome, NULL, 0);
	fflush(to);
	assert_string_equal(text, "guest-fault\n");
	outcome_write(to, &outcome, NULL, 1);
	fclose(to);
	assert_non_null(strstr(text, "\"verdict\": \"guest-fault\""));
	assert_non_null(strstr(text, "\"message\": \"a \\\"b\\\"\""));
	assert_non_null(strstr(text, "\"exit_code\": 134"));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_mux, clear),
		cmocka_unit_test_setup(test_mux_finish, clear),
		cmocka_unit_test_setup(test_mux_plain, clear),
		cmocka_unit_test_setup(test_mux_long_line, clear),
		cmocka_unit_test_setup(test_stamp, clear),
		cmocka_unit_test(test_last_lines),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_verdict_of_end),
		cmocka_unit_test(test_verdict_of_ours),
		cmocka_unit_test(test_result_file),
		cmocka_unit_test(test_expect),
		cmocka_unit_test(test_expect_unfinished_line),
		cmocka_unit_test(test_expect_all_of_several),
		cmocka_unit_test(test_expect_is_bounded),
		cmocka_unit_test(test_bad_pattern),
		cmocka_unit_test(test_verdict_of_expect),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
