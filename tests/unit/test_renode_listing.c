/* SPDX-License-Identifier: Apache-2.0 */
/* What Renode prints of a device, and values in both directions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "driver/renode_listing.h"
#include "tests/unit/test_renode_text.h"

/* "TYPE NAME rw, ..." */
static void list(const char *text, char *out, size_t size)
{
	struct renode_listing listing;
	size_t used = 0;
	out[0] = '\0';
	renode_listing_init(&listing, text);
	for (size_t i = 0; i < listing.count; i++) {
		const struct driver_property *row = &listing.rows[i];
		used += (size_t)snprintf(out + used, size - used, "%s%s %s %s%s", i > 0 ? ", " : "", row->type, row->name,
					 row->is_readable ? "r" : "", row->is_writable ? "w" : "");
	}
	renode_listing_fini(&listing);
}

static void test_recorded(void **state)
{
	(void)state;
	char out[1024], *text = renode_answer("usart2", "sysbus.usart2");
	list(text, out, sizeof(out));
	assert_string_equal(out, "UInt32 BaudRate r, GPIO DMARequest r, GPIO IRQ r, Parity ParityBit r, Bits StopBits r");
	free(text);
	text = renode_answer("cpu", "sysbus.cpu");
	list(text, out, sizeof(out));
	assert_non_null(strstr(out, "UInt32 PerformanceInMips rw"));
	assert_null(strstr(out, "Void"));
	free(text);
}

static void test_find(void **state)
{
	(void)state;
	struct renode_listing listing;
	char hint[128], *text = renode_answer("usart2", "sysbus.usart2");
	renode_listing_init(&listing, text);
	free(text); /* the listing has its own */
	assert_string_equal(renode_listing_find(&listing, "ParityBit")->type, "Parity");
	assert_null(renode_listing_find(&listing, "parityBit"));
	assert_null(renode_listing_find(&listing, "Reset")); /* a method */
	renode_listing_hint(&listing, "BaudRat", hint, sizeof(hint));
	assert_string_equal(hint, " (did you mean \"BaudRate\"?)");
	renode_listing_fini(&listing);
	renode_listing_init(&listing, "");
	renode_listing_hint(&listing, "x", hint, sizeof(hint));
	assert_string_equal(hint, "");
	renode_listing_fini(&listing);
}

static void test_odd_listings(void **state)
{
	(void)state;
#define HEAD "The following properties are available:\n"
	static const char *const rows[][2] = {
		{ HEAD " - A b\n", "A b " },
		{ HEAD " - Tuple<A, B> b\n     available for 'set'\n", "Tuple<A, B> b w" },
		{ HEAD " - a\n - \n -\n - b \n", "" },
		{ HEAD "     available for 'get'\n", "" },
		{ HEAD " - A b\n     available for 'get' and 'set'\n\nThe following fields are available:\n - C d\n", "A b rw" },
		{ " - A b\n     available for 'get'\n", "" }, /* of nothing */
		{ HEAD " - A b\nUsage:\n - get: x PropertyName\n", "A b " },
		{ HEAD, "" },
		{ "", "" },
		{ "\n\n\n", "" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char out[256];
		list(rows[i][0], out, sizeof(out));
		assert_string_equal(out, rows[i][1]);
	}
}

/* ---------------------------------------------------------------- values */

static void test_values(void **state)
{
	(void)state;
	static const char *const rows[][3] = {
		{ "UInt32", "0x0000E0D1", "57553" },
		{ "UInt32", "57553", "57553" },
		{ "UInt64", "0xFFFFFFFFFFFFFFFF", "18446744073709551615" },
		{ "Int32", "-5", "-5" },
		{ "Int64", "-9223372036854775808", "-9223372036854775808" },
		{ "Int32", "010", "10" }, /* no octal numbers there */
		{ "RegisterValue", "0x80000bc", "134217916" },
		{ "uint", "7", "7" },
		{ "Boolean", "True", "true" },
		{ "Boolean", "False", "false" },
		{ "Double", "1.5", "1.5" },
		{ "Double", "-2", "-2" },
		{ "Single", "0.1", "0.1" },
		{ "Double", "1E-05", "1e-05" },
		{ "String", "a \"b\" /c", "\"a \\\"b\\\" /c\"" },
		{ "String", "12", "\"12\"" },
		{ "String", "", "\"\"" },
		{ "Parity", "Even", "\"Even\"" },
		{ "ElapsedTime", "00:00:01.5", "\"00:00:01.5\"" },
		/* What is none of its type is told as it came. */
		{ "UInt32", "", "\"\"" },
		{ "UInt32", "-", "\"-\"" },
		{ "UInt32", "0x", "\"0x\"" },
		{ "UInt32", "--5", "\"--5\"" },
		{ "UInt32", "- 5", "\"- 5\"" },
		{ "UInt32", "+5", "\"+5\"" },
		{ "UInt32", " 5", "\" 5\"" },
		{ "UInt32", "5 x", "\"5 x\"" },
		{ "UInt32", "12abc", "\"12abc\"" },
		{ "UInt64", "18446744073709551616", "\"18446744073709551616\"" },
		{ "Int64", "-9223372036854775809", "\"-9223372036854775809\"" },
		{ "Int64", "-0xFFFFFFFFFFFFFFFF", "\"-0xFFFFFFFFFFFFFFFF\"" },
		{ "Boolean", "1", "\"1\"" },
		{ "Double", "nan", "\"nan\"" },
		{ "Double", "inf", "\"inf\"" },
		{ "Double", "1,5", "\"1,5\"" },
		{ "Double", "", "\"\"" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char *json = renode_value_json(rows[i][0], rows[i][1]);
		if (strcmp(json, rows[i][2]) != 0)
			fail_msg("%s \"%s\": %s", rows[i][0], rows[i][1], json);
		free(json);
	}
}

static void test_arguments(void **state)
{
	(void)state;
	static const struct {
		const char *type, *value;
		bool is_json;
		const char *argument;
	} rows[] = {
		{ "UInt32", "12", false, "12" },
		{ "UInt32", "0x1f", false, "31" },
		{ "UInt32", "64K", false, "65536" },
		{ "Int32", "-5", true, "-5" },
		{ "UInt64", "18446744073709551615", true, "18446744073709551615" },
		{ "Boolean", "true", true, "true" },
		{ "Boolean", "False", false, "false" },
		{ "Boolean", "on", false, "true" },
		{ "Boolean", "0", true, "false" },
		{ "Double", "1.5", true, "1.5" },
		{ "Double", "-2", false, "-2" },
		{ "String", "a b", false, "\"a b\"" },
		{ "String", "\"a b\"", true, "\"a b\"" },
		{ "String", "", false, "\"\"" },
		{ "String", "C:\\x", false, "\"C:\\x\"" },
		{ "Parity", "Even", false, "Even" },
		{ "Parity", "\"Even\"", true, "Even" },
		{ "IPeripheral", "sysbus.usart2", false, "sysbus.usart2" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = ERR_INIT;
		char *argument = renode_value_argument(rows[i].type, rows[i].value, rows[i].is_json, &err);
		if (argument == NULL)
			fail_msg("%s %s: %s", rows[i].type, rows[i].value, err.msg);
		assert_string_equal(argument, rows[i].argument);
		free(argument);
	}
}

/* None of them gets out of its word into the monitor. */
static void test_hostile_arguments(void **state)
{
	(void)state;
	static const struct {
		const char *type, *value;
		bool is_json;
	} rows[] = {
		{ "UInt32", "", false },
		{ "UInt32", "5; quit", false },
		{ "UInt32", "--5", false },
		{ "UInt32", "\"5\\nquit\"", true },
		{ "UInt32", "18446744073709551616", false },
		{ "UInt32", "[1]", true },
		{ "Boolean", "maybe", false },
		{ "Boolean", "2", true },
		{ "Double", "1.5; quit", false },
		{ "Double", "nan", false },
		{ "Double", "\t1", false },
		{ "Double", "0x10", false },
		{ "String", "a\" quit \"", false },
		{ "String", "\"a\\nquit\"", true },
		{ "String", "\x04", false },
		{ "String", "ends with a backslash\\", false }, /* that would take the quote */
		{ "Parity", "Even; quit", false },
		{ "Parity", "Even\nquit", false },
		{ "Parity", "$x", false },
		{ "Parity", "\"\"", true },
		{ "Parity", "", false },
		{ "Parity", "{\"a\": 1}", true },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = ERR_INIT;
		char *argument = renode_value_argument(rows[i].type, rows[i].value, rows[i].is_json, &err);
		if (argument != NULL)
			fail_msg("%s \"%s\": %s", rows[i].type, rows[i].value, argument);
		assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_recorded), cmocka_unit_test(test_find),      cmocka_unit_test(test_odd_listings),
		cmocka_unit_test(test_values),   cmocka_unit_test(test_arguments), cmocka_unit_test(test_hostile_arguments),
	};
	return cmocka_run_group_tests_name("renode_listing", tests, NULL, NULL);
}
