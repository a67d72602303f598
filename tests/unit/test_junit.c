/* SPDX-License-Identifier: Apache-2.0 */
/* Test cases out of consoles' text, and the XML made of them: forms, cuts, hostile text, bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/junit.h"
#include "client/junit_xml.h"
#include "wire/mem.h"

static const char *const results[] = { "passed", "skipped", "failed", "unfinished" };

/* What was found, one line a case: "SUITE NAME result [message]". */
static char *found(const struct junit *junit)
{
	char *text = NULL;
	size_t size;
	FILE *to = open_memstream(&text, &size);
	for (size_t i = 0; i < junit_count(junit); i++) {
		const struct junit_case *c = junit_case(junit, i);
		fprintf(to, "%s %s %s%s%s\n", c->suite, c->name, results[c->result], c->message != NULL ? ": " : "",
			c->message != NULL ? c->message : "");
	}
	fclose(to);
	return text;
}

static struct junit *parse(const char *text, size_t len, size_t piece)
{
	struct junit *junit = junit_new();
	size_t channel = junit_add_channel(junit, "serial0");
	for (size_t at = 0; at < len; at += piece)
		junit_feed(junit, channel, text + at, len - at < piece ? len - at : piece, 0);
	junit_finish(junit, 0);
	return junit;
}

static void assert_found(const char *text, const char *want)
{
	for (size_t piece = 1; piece < 100; piece += 7) {
		struct junit *junit = parse(text, strlen(text), piece);
		char *have = found(junit);
		assert_string_equal(have, want);
		free(have);
		junit_free(junit);
	}
}

/* ---------------------------------------------------------------- forms */

static void test_forms(void **state)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "[ RUN      ] A.B\n[       OK ] A.B (3 ms)\n", "A B passed\n" },
		{ "[ RUN      ] A.B\r\n[       OK ] A.B (3 ms)\r\n", "A B passed\n" },
		{ "[ RUN      ] A.B\n[  FAILED  ] A.B\n", "A B failed\n" },
		{ "[ RUN      ] A.B\nno line end[       OK ] A.B (3 ms)\n", "A B passed\n" },
		{ "[ RUN      ] I/A.B/0\n[  FAILED  ] I/A.B/0, where GetParam() = \"a (9 ms)\" (1 ms)\n", "I/A B/0 failed\n" },
		{ "[ RUN      ] A/1.B\n[       OK ] A/1.B, where TypeParam = int (0 ms)\n", "A/1 B passed\n" },
		{ "[ RUN      ] A.B\na.cc:1: Failure\n  Expected: x\n[  FAILED  ] A.B (0 ms)\n",
		  "A B failed: a.cc:1: Failure: Expected: x\n" },
		{ "[ RUN      ] A.B\na.cc:1: Skipped\nlater\n[  SKIPPED ] A.B (0 ms)\n", "A B skipped: a.cc:1: Skipped: later\n" },
		{ "INF [ RUN      ] A.B\nINF [ DISABLED ] A.B\n", "A B skipped\n" },
		{ "\033[32mINF\033[0m  [ RUN      ] A.B\n\033[1;31mERR\033[0m [  FAILED  ] A.B\n", "A B failed\n" },
		{ "[       OK ] A.B (3 ms)\n", "A B passed\n" }, /* its begin was lost */
		{ "[  FAILED  ] 2 tests, listed below:\n[  FAILED  ] A.B\n[  FAILED  ] A.C, where GetParam() = 1\n", "" },
		{ "START - test_x\n PASS - test_x in 0.001 seconds\n", "ztest test_x passed\n" },
		{ "Running TESTSUITE s\n===\nSTART - test_x\n FAIL - test_x in 0.001 seconds\nTESTSUITE s failed.\n", "s test_x failed\n" },
		{ "Running TESTSUITE s\nSTART - x\n SKIP - x in 0.0 seconds\nTESTSUITE s succeeded\nSTART - y\n PASS - y in 0 seconds\n",
		  "s x skipped\nztest y passed\n" },
		{ "Running test suite s\nstarting test - test_x\nPASS - test_x.\nTest suite s succeeded\n", "s test_x passed\n" },
		{ "START - x\ntext PASS - x in 0.001 seconds\n", "ztest x passed\n" },
		{ "START - x\n    Assertion failed at m.c:3: x: (a is b)\n FAIL - x in 0.001 seconds\n",
		  "ztest x failed: Assertion failed at m.c:3: x: (a is b)\n" },
		{ " - PASS - [s.x] duration = 0.001 seconds\n - FAIL - [s.y] duration = 0.001 seconds\n", "s x passed\ns y failed\n" },
		{ "Running TESTSUITE s\nSTART - x\n PASS - x in 0 seconds\nTESTSUITE s failed.\n - PASS - [s.x] duration = 0.001 seconds\n",
		  "s x passed\ns TESTSUITE failed: the suite failed, none of its tests did\n" },
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_found(rows[i].text, rows[i].want);
}

/* What only looks like a test. */
static void test_no_tests(void **state)
{
	static const char *const rows[] = {
		"[ RUN      ] \n",
		"[ RUN      ] A\n",
		"[ RUN      ] .B\n",
		"[ RUN      ] A.\n",
		"[ RUN      ] A.B now\n",
		"[       OK ] A.B\n",
		"[       OK ] A.B (ms)\n",
		"[       OK ] A.B (99999999999 ms)\n",
		"[       OK ] A.B (3 ms\n",
		"x [       OK ] A.B (3 ms)\n",
		"START - \n",
		"START - a b\n",
		"PASS - all is well\n",
		" PASS - x\n",
		"SUITE PASS - 100% [s]: x\n",
		" - PASS - [s] duration = 0.001 seconds\n",
		"TESTSUITE\n",
		"Running TESTSUITE \n",
		"[ RUN      ] A.\001B\n",
		"[ RUN      ",
	};
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_found(rows[i], "");
}

static void test_unfinished(void **state)
{
	(void)state;
	assert_found("[ RUN      ] A.B\ntext", "A B unfinished\n");
	assert_found("[ RUN      ] A.B\n[       OK ] A.", "A B unfinished\n");
	assert_found("[ RUN      ] A.B\n[       OK ] A.C (1 ms)\n", "A B unfinished\n");
	assert_found("[ RUN      ] A.B\n[ RUN      ] A.C\n[       OK ] A.C\n",
		     "A B unfinished: it did not end: another test began\nA C passed\n");
	assert_found("Running TESTSUITE s\nSTART - x\nTESTSUITE s succeeded\n", "s x unfinished: it did not end: its suite ended\n");
	assert_found("[ RUN      ] A.B\n[       OK ] A.B", "A B passed\n"); /* the run ended before the line did */
}

static void test_texts(void **state)
{
	static const char text[] = "before\n[ RUN      ] A.B\none\r\na.cc:3: Failure\nwhy\ntail[  FAILED  ] A.B (1500 ms)\nafter";
	struct junit *junit = parse(text, sizeof(text) - 1, 3);
	const struct junit_case *c = junit_case(junit, 0);
	size_t len;
	(void)state;
	assert_int_equal(junit_count(junit), 1);
	assert_memory_equal(c->output, "one\na.cc:3: Failure\nwhy\ntail\n", c->output_len);
	assert_int_equal(c->output_len, 30 - 1);
	assert_memory_equal(c->failure, "a.cc:3: Failure\nwhy\ntail\n", c->failure_len);
	assert_int_equal(c->failure_len, 25);
	assert_true(c->seconds > 1.4999 && c->seconds < 1.5001);
	const char *outside = junit_channel_text(junit, 0, &len);
	assert_int_equal(len, 13);
	assert_memory_equal(outside, "before\nafter\n", len);
	junit_free(junit);
}

/* Two channels at once, in each other's lines; the clock times what does not time itself. */
static void test_channels(void **state)
{
	struct junit *junit = junit_new();
	size_t a = junit_add_channel(junit, "a"), b = junit_add_channel(junit, "b");
	(void)state;
	junit_feed(junit, a, "[ RUN    ", 9, 1000000);
	junit_feed(junit, b, "[ RUN      ] A.B\n[  FAI", 23, 1000000);
	junit_feed(junit, a, "  ] A.B\n[       OK ] A", 22, 2000000);
	junit_feed(junit, b, "LED  ] A.B\n", 11, 4000000);
	junit_feed(junit, a, ".B\n", 3, 2250000);
	junit_finish(junit, 5000000);
	char *have = found(junit);
	assert_string_equal(have, "A B failed\nA B passed\n");
	assert_int_equal(junit_case(junit, 0)->channel, b);
	assert_true(junit_case(junit, 0)->seconds > 2.999 && junit_case(junit, 0)->seconds < 3.001);
	assert_int_equal(junit_case(junit, 1)->channel, a);
	assert_true(junit_case(junit, 1)->seconds > 0.249 && junit_case(junit, 1)->seconds < 0.251);
	free(have);
	junit_free(junit);
}

/* ---------------------------------------------------------------- bounds */

static void feed_text(struct junit *junit, const char *text)
{
	junit_feed(junit, 0, text, strlen(text), 0);
}

static void test_long_line(void **state)
{
	static char line[100000];
	struct junit *junit = junit_new();
	(void)state;
	junit_add_channel(junit, "serial0");
	memset(line, 'x', sizeof(line) - 1);
	feed_text(junit, line);
	feed_text(junit, "[ RUN      ] A.B\n"); /* the end of that line: no mark */
	feed_text(junit, "[ RUN      ] A.C\n");
	feed_text(junit, line);
	feed_text(junit, "\n[       OK ] A.C\n");
	junit_finish(junit, 0);
	char *have = found(junit);
	assert_string_equal(have, "A C passed\n");
	const struct junit_case *c = junit_case(junit, 0);
	assert_true(c->output_len > 60000 && c->output_len < 70000);
	assert_non_null(memmem(c->output, c->output_len, "bytes left out", 14));
	free(have);
	junit_free(junit);
}

static void test_long_name(void **state)
{
	char name[300], text[700];
	(void)state;
	memset(name, 'n', sizeof(name));
	name[1] = '.';
	snprintf(text, sizeof(text), "[ RUN      ] %.256s\n[       OK ] %.256s\n", name, name);
	struct junit *junit = parse(text, strlen(text), 50);
	assert_int_equal(junit_count(junit), 1);
	junit_free(junit);
	snprintf(text, sizeof(text), "[ RUN      ] %.257s\n[       OK ] %.257s (1 ms)\n", name, name);
	assert_found(text, "");
}

static void feed_case(struct junit *junit, size_t number, const char *text, const char *end)
{
	char line[128];
	snprintf(line, sizeof(line), "[ RUN      ] A.T%zu\n", number);
	feed_text(junit, line);
	feed_text(junit, text);
	snprintf(line, sizeof(line), "%s A.T%zu\n", end, number);
	feed_text(junit, line);
}

/* Too much text and too many cases: those that failed have a share of their own. */
static void test_too_much(void **state)
{
	static char text[60001];
	struct junit *junit = junit_new();
	size_t bytes[2] = { 0 };
	(void)state;
	junit_add_channel(junit, "serial0");
	memset(text, 'x', sizeof(text) - 2);
	text[sizeof(text) - 2] = '\n';
	for (size_t i = 0; i < JUNIT_CASES_MAX + 10; i++)
		feed_case(junit, i, i < 1000 ? text : "", "[       OK ]");
	feed_case(junit, 0, "what failed\n", "[  FAILED  ]");
	junit_finish(junit, 0);
	assert_int_equal(junit_count(junit), JUNIT_CASES_MAX + 1);
	assert_int_equal(junit_total(junit, JUNIT_PASSED), JUNIT_CASES_MAX + 10);
	assert_int_equal(junit_dropped(junit, JUNIT_PASSED), 10);
	for (size_t i = 0; i < junit_count(junit); i++)
		bytes[junit_case(junit, i)->result == JUNIT_FAILED] += junit_case(junit, i)->output_len;
	assert_true(bytes[0] <= JUNIT_TEXTS_MAX);
	assert_int_equal(bytes[1], strlen("what failed\n"));
	junit_free(junit);
}

/* ---------------------------------------------------------------- XML */

static char *xml(const char *text, size_t len, enum verdict verdict)
{
	static const struct junit_property properties[] = { { "a", "1 < 2\n\"x\"" }, { "none", NULL } };
	struct outcome outcome = { .verdict = verdict, .message = "because" };
	struct junit_run run = { .target = "t&t",
				 .image = "app.elf",
				 .ended_ns = 1500000000,
				 .outcome = &outcome,
				 .properties = properties,
				 .property_count = 2 };
	struct junit *junit = parse(text, len, 5);
	char *out = NULL;
	size_t size;
	FILE *to = open_memstream(&out, &size);
	junit_xml_write(to, junit, &run);
	fclose(to);
	junit_free(junit);
	return out;
}

static void assert_xml(const char *text, enum verdict verdict, const char *counts, const char *has)
{
	char *out = xml(text, strlen(text), verdict);
	if (strstr(out, counts) == NULL || strstr(out, has) == NULL)
		fail_msg("no %s or no %s in\n%s", counts, has, out);
	free(out);
}

static void test_xml(void **state)
{
	(void)state;
	assert_xml("hi\n", VERDICT_PASSED, "tests=\"1\" failures=\"0\" errors=\"0\" skipped=\"0\" time=\"1.500\"",
		   "<testcase classname=\"t&amp;t\" name=\"app.elf\" time=\"1.500\">\n    <system-out>hi\n</system-out>");
	assert_xml("", VERDICT_TIMEOUT, "tests=\"1\" failures=\"0\" errors=\"1\"", "<error message=\"because\" type=\"timeout\"/>");
	assert_xml("", VERDICT_FAILED, "tests=\"1\" failures=\"1\" errors=\"0\"", "<failure message=\"because\" type=\"failed\"/>");
	assert_xml("[ RUN      ] A.B\n", VERDICT_GUEST_FAULT, "tests=\"1\" failures=\"0\" errors=\"1\"",
		   "<error message=\"guest-fault: because\" type=\"guest-fault\"/>");
	assert_xml("", VERDICT_PASSED, "", "<property name=\"a\" value=\"1 &lt; 2&#10;&quot;x&quot;\"/>\n  </properties>");
}

/* A run that ended badly is seen to have, though all of its tests went well. */
static void test_xml_run(void **state)
{
	static const char good[] = "[ RUN      ] A.B\n[       OK ] A.B\n", bad[] = "[ RUN      ] A.B\n[  FAILED  ] A.B\n";
	(void)state;
	assert_xml(good, VERDICT_PASSED, "tests=\"1\" failures=\"0\" errors=\"0\"", "name=\"B\"");
	assert_xml(good, VERDICT_TIMEOUT, "tests=\"2\" failures=\"0\" errors=\"1\"", "name=\"app.elf\"");
	assert_xml(good, VERDICT_FAILED, "tests=\"2\" failures=\"1\" errors=\"0\"", "name=\"app.elf\"");
	assert_xml(bad, VERDICT_FAILED, "tests=\"1\" failures=\"1\" errors=\"0\"", "name=\"B\"");
	assert_xml(bad, VERDICT_EMULATOR_CRASH, "tests=\"2\" failures=\"1\" errors=\"1\"", "type=\"emulator-crash\"");
}

static void test_xml_bytes(void **state)
{
	static const char text[] = "a\0b\x01\x1b[1m\t\xff\xc3\xa9\xc3\xed\xa0\x80\xef\xbf\xbf\xf0\x9f\x98\x80 <&>\"]]>\rx\n";
	char *out = xml(text, sizeof(text) - 1, VERDICT_PASSED);
	(void)state;
	assert_non_null(strstr(out, ">a\\x00b\\x01\\x1b[1m\t\\xff\xc3\xa9\\xc3\\xed\\xa0\\x80\\xef\\xbf\\xbf\xf0\x9f\x98\x80 "
				    "&lt;&amp;&gt;&quot;]]&gt;&#13;x\n</system-out>"));
	free(out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_forms),     cmocka_unit_test(test_no_tests),  cmocka_unit_test(test_unfinished),
		cmocka_unit_test(test_texts),     cmocka_unit_test(test_channels),  cmocka_unit_test(test_long_line),
		cmocka_unit_test(test_long_name), cmocka_unit_test(test_too_much),  cmocka_unit_test(test_xml),
		cmocka_unit_test(test_xml_run),   cmocka_unit_test(test_xml_bytes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
