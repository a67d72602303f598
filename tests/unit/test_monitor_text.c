/* SPDX-License-Identifier: Apache-2.0 */
/* Renode's console, as text: echoes, prompts, line ends, errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "driver/monitor_text.h"

static void test_echo(void **state)
{
	(void)state;
	static const struct {
		const char *text, *command;
		int answer; /* where it begins, -1: no echo */
	} rows[] = {
		{ "version\n\rRenode", "version", 7 },
		{ "(m) version\n\rRenode", "version", 11 },
		{ "old\r\n\r(m) version\r\nRenode", "version", 17 },
		{ "\n\rversion\n", "version", 9 },
		{ "ver\n\rsion\n", "version", 9 }, /* broken where the console is narrow */
		{ "v\re\nr\rs\ni\ro\nn\r\n", "version", 13 },
		{ "version", "version", -1 }, /* its line end is to come */
		{ "versio", "version", -1 },
		{ "", "version", -1 },
		{ "a version\n", "version", -1 }, /* within a line */
		{ "(m)version\n", "version", -1 },
		{ "version 2\n", "version", -1 }, /* another command */
		{ "version 2\nversion\n", "version", 17 },
		{ "pause\r\nversion\r\n", "version", 14 },
		{ "(a) (b) pause\n", "pause", 13 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *found = monitor_find_echo(rows[i].text, strlen(rows[i].text), rows[i].command);
		int at = found != NULL ? (int)(found - rows[i].text) : -1;
		if (at != rows[i].answer)
			fail_msg("\"%s\" in \"%s\": %d", rows[i].command, rows[i].text, at);
	}
}

/* The runtime's encoding is its own: what is not ASCII may come back as it was, as question marks, or not at all. */
static void test_echo_of_other_letters(void **state)
{
	(void)state;
	static const char command[] = "echo \"gr\xc3\xbc\xc3\x9f"
				      "e\" x";
	static const char *const good[] = { "echo \"gr\xc3\xbc\xc3\x9f"
					    "e\" x\n",
					    "echo \"gr\xfc\xdf"
					    "e\" x\n",
					    "echo \"gr??e\" x\n",
					    "echo \"gr????e\" x\n",
					    "echo \"gre\" x\n",
					    "echo \"gr\xc3\n\r\xbc\xc3\x9f"
					    "e\" x\n" };
	static const char *const bad[] = { "echo \"gruesse\" x\n", "echo \"gr??f\" x\n", "echo \"gr" };
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		const char *found = monitor_find_echo(good[i], strlen(good[i]), command);
		if (found == NULL)
			fail_msg("no echo in: %s", good[i]);
		assert_int_equal(found - good[i], strlen(good[i]) - 1);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_null(monitor_find_echo(bad[i], strlen(bad[i]), command));
	assert_non_null(monitor_find_echo("\xc3\xa4 ?\n", 5, "\xc3\xa4 ?")); /* a question mark of the command's own */
}

static void test_prompt(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		size_t len;
	} rows[] = {
		{ "(monitor) ", 10 },
		{ "\n\r(m) ", 4 },
		{ "text\r\n(machine-0) ", 12 },
		{ "text\r(qemu_like.2+x:y) ", 18 },
		{ "(monitor)", 0 },
		{ "(monitor) x", 0 },
		{ "(monitor) \n", 0 },
		{ "() ", 0 },
		{ "\n() ", 0 },
		{ "(a b) ", 0 },
		{ "text (m) ", 0 }, /* within a line */
		{ "m) ", 0 },
		{ " ", 0 },
		{ "", 0 },
		{ ") ", 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (monitor_find_prompt(rows[i].text, strlen(rows[i].text)) != rows[i].len)
			fail_msg("\"%s\": %zu", rows[i].text, monitor_find_prompt(rows[i].text, strlen(rows[i].text)));
}

/* What is longer than anybody keeps is none. */
static void test_prompt_is_bounded(void **state)
{
	(void)state;
	char text[2 * MONITOR_PROMPT_MAX];
	for (int len = 1; len < MONITOR_PROMPT_MAX + 20; len++) {
		snprintf(text, sizeof(text), "(%0*d) ", len, 0);
		size_t found = monitor_find_prompt(text, strlen(text));
		assert_true(found < MONITOR_PROMPT_MAX);
		assert_true(found == 0 || found == strlen(text));
		assert_true(found > 0 || len > 64);
	}
}

static void test_line_ends(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "a\nb", "a\nb" },
		{ "a\r\nb\r\n", "a\nb" },
		{ "\n\ra\n\rb\n\r", "a\nb" },
		{ "a\r\r\nb\r\r\n", "a\nb" },
		{ "\r\n\r\n a\r\n\rb", " a\nb" },
		{ "a\r\n\r\nb", "a\n\nb" }, /* an empty line */
		{ "\n\r0x0000E0D1\r\r\n", "0x0000E0D1" },
		{ "\n\r\n\r", "" },
		{ "", "" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *normal = monitor_normal(rows[i][0], strlen(rows[i][0]));
		assert_string_equal(normal, rows[i][1]);
		free(normal);
	}
	char *normal = monitor_normal("a\0b\0", 4);
	assert_string_equal(normal, "ab");
	free(normal);
}

static void test_errors(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		enum err_code code;
		const char *reason;
	} rows[] = {
		{ "No such command or device: foo", ERR_NOT_FOUND, "No such command or device: foo" },
		{ "There was an error executing command 'machine LoadPlatformDescription @/nope.repl'\nCould not find file '/nope.repl'.",
		  ERR_FAILED_PRECONDITION, "Could not find file '/nope.repl'." },
		{ "There was an error executing command 'x': \nCould not find file 'y'.", ERR_FAILED_PRECONDITION,
		  "Could not find file 'y'." },
		{ "There was an error executing command 'x': ", ERR_FAILED_PRECONDITION, "There was an error executing command 'x': " },
		{ "The following methods are available:\n - Void LoadELF (ReadFilePath fileName)\n\nUsage:\n sysbus MethodName param1\n\n"
		  "There was an error executing command 'sysbus LoadELF @/no'\nParameters did not match the signature",
		  ERR_FAILED_PRECONDITION, "Parameters did not match the signature" },
		{ "Parameters did not match the signature", ERR_FAILED_PRECONDITION, "Parameters did not match the signature" },
		{ "Bad parameters for command mach \nmach\nlist and manipulate", ERR_FAILED_PRECONDITION,
		  "Bad parameters for command mach " },
		{ "Could not find file '/nope'.", ERR_FAILED_PRECONDITION, "Could not find file '/nope'." },
		{ "x\nFailed to download https://x/y: no network\nz", ERR_FAILED_PRECONDITION,
		  "Failed to download https://x/y: no network" },
		{ "Could not tokenize here:\nlogFile @a b\n           ^", ERR_FAILED_PRECONDITION, "Could not tokenize here:" },
		{ "There was an error executing command 'x'\none\n\ntwo\nthree\nfour", ERR_FAILED_PRECONDITION, "one; two; three" },
	};
	static const char *const good[] = { "",
					    "True",
					    "Starting emulation...",
					    "a: No such command or device: foo",
					    "Could not",
					    "Renode, version 1.16.1 (d66b0c2a-202611221354)" };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = ERR_INIT;
		assert_true(monitor_find_error(rows[i].text, &err));
		assert_int_equal(err.code, rows[i].code);
		assert_string_equal(err.msg, rows[i].reason);
	}
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		struct err err = ERR_INIT;
		assert_false(monitor_find_error(good[i], &err));
	}
}

static void test_long_reason(void **state)
{
	(void)state;
	char *text = malloc(9000);
	struct err err = ERR_INIT;
	int used = snprintf(text, 9000, "There was an error executing command 'x'\n");
	for (int line = 0; line < 8; line++)
		used += snprintf(text + used, 9000 - (size_t)used, "%01000d\n", line);
	assert_true(monitor_find_error(text, &err));
	assert_in_range(strlen(err.msg), 290, 330);
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_echo),        cmocka_unit_test(test_echo_of_other_letters),
		cmocka_unit_test(test_prompt),      cmocka_unit_test(test_prompt_is_bounded),
		cmocka_unit_test(test_line_ends),   cmocka_unit_test(test_errors),
		cmocka_unit_test(test_long_reason),
	};
	return cmocka_run_group_tests_name("monitor_text", tests, NULL, NULL);
}
