/* SPDX-License-Identifier: Apache-2.0 */
/* The small helpers of daemon/base: lines of text, string vectors, copies of messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/pb.h"
#include "base/strv.h"
#include "base/text.h"
#include "pwemu/v1/instances.pb-c.h"

static void test_first_line(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "", "" },
		{ "\n\r\n \t\n", "" },
		{ "one", "one" },
		{ "one\ntwo", "one" },
		{ "one\r\ntwo", "one" },
		{ "\n\n  \t one two \nthree", "one two " },
	};
	char out[64];
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		text_first_line(rows[i][0], out, sizeof(out));
		assert_string_equal(out, rows[i][1]);
	}
}

static void test_line_with(void **state)
{
	(void)state;
	static const char *const rows[][3] = {
		{ "", "x", "" },
		{ "abc", "x", "" },
		{ "abc\ndef x\nghi x", "x", "def x" },
		{ "x first\nother", "x", "x first" },
		{ "a\n  indented x here\r\nb", "x", "  indented x here" },
		{ "last line x", "x", "last line x" },
	};
	char out[64] = "old";
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		text_line_with(rows[i][0], rows[i][1], out, sizeof(out));
		assert_string_equal(out, rows[i][2]);
	}
}

/* Nothing is written beyond the size, whatever it is. */
static void test_lines_are_cut(void **state)
{
	(void)state;
	for (size_t size = 1; size <= 8; size++) {
		char out[16];
		memset(out, '#', sizeof(out));
		text_first_line("abcdef\n", out, size);
		assert_int_equal(strlen(out), size - 1 < 6 ? size - 1 : 6);
		assert_memory_equal(out, "abcdef", strlen(out));
		assert_int_equal(out[size], '#');
		memset(out, '#', sizeof(out));
		text_line_with("zz\nabcdef", "def", out, size);
		assert_int_equal(strlen(out), size - 1 < 6 ? size - 1 : 6);
		assert_int_equal(out[size], '#');
	}
}

static void test_strv(void **state)
{
	(void)state;
	struct strv v, w;
	strv_init(&v);
	assert_int_equal(v.count, 0);
	assert_null(v.items[0]);
	strv_add(&v, "one");
	strv_addf(&v, "%d,%s", 2, "two");
	strv_init(&w);
	strv_add(&w, "zero");
	strv_add_all(&w, v.items, v.count);
	strv_fini(&v);
	assert_int_equal(w.count, 3);
	assert_string_equal(w.items[0], "zero");
	assert_string_equal(w.items[1], "one");
	assert_string_equal(w.items[2], "2,two");
	assert_null(w.items[3]);
	strv_fini(&w);
}

static void test_strv_env(void **state)
{
	(void)state;
	char *const items[] = { (char *)"PATHS=no", (char *)"PATH=/first", (char *)"EMPTY=", (char *)"PATH=/last", (char *)"BARE" };
	size_t count = sizeof(items) / sizeof(items[0]);
	assert_string_equal(strv_env(items, count, "PATH"), "/last");
	assert_string_equal(strv_env(items, 3, "PATH"), "/first");
	assert_string_equal(strv_env(items, count, "EMPTY"), "");
	assert_null(strv_env(items, count, "BARE"));
	assert_null(strv_env(items, count, "PAT"));
	assert_null(strv_env(items, 0, "PATH"));
}

/* A copy shares nothing with its original. */
static void test_pb_copy(void **state)
{
	(void)state;
	char name[] = "board", arg[] = "-x";
	char *args[] = { arg, arg };
	Pwemu__V1__StartRequest request = PWEMU__V1__START_REQUEST__INIT;
	request.name = name;
	request.args = args;
	request.n_args = 2;
	request.pause = 1;
	Pwemu__V1__StartRequest *copy = PB_COPY(Pwemu__V1__StartRequest, &request), *none = NULL;
	name[0] = arg[0] = '#';
	assert_string_equal(copy->name, "board");
	assert_int_equal(copy->n_args, 2);
	assert_string_equal(copy->args[1], "-x");
	assert_true(copy->pause);
	PB_FREE(copy);
	assert_null(PB_COPY(Pwemu__V1__StartRequest, none));
	PB_FREE(none);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_line), cmocka_unit_test(test_line_with), cmocka_unit_test(test_lines_are_cut),
		cmocka_unit_test(test_strv),       cmocka_unit_test(test_strv_env),  cmocka_unit_test(test_pb_copy),
	};
	return cmocka_run_group_tests_name("daemon: base", tests, NULL, NULL);
}
