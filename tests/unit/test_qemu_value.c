/* SPDX-License-Identifier: Apache-2.0 */
/* Values of properties as people write them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <json-c/json.h>

#include "driver/qemu_value.h"

/* The JSON, or "!" for a refusal. */
static void check(const char *type, const char *text, const char *expected)
{
	struct json_object *value = NULL;
	struct err err = ERR_INIT;
	if (qemu_value_of_text(type, text, &value, &err) < 0) {
		assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
		assert_string_equal(err.reason, "invalid-value");
		assert_string_equal("!", expected);
		return;
	}
	assert_string_equal(json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE), expected);
	json_object_put(value);
}

static void test_bool(void **state)
{
	(void)state;
	static const char *const yes[] = { "on", "true", "yes", "1", "ON", "True" }, *const no[] = { "off", "false", "no", "0", "False" };
	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++)
		check("bool", yes[i], "true");
	for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++)
		check("bool", no[i], "false");
	check("bool", "2", "!");
	check("bool", "", "!");
	check("bool", "\"on\"", "!");
}

static void test_integers(void **state)
{
	(void)state;
	static const char *const types[] = { "int",    "int8",   "int32", "int64",    "uint8", "uint16",
					     "uint32", "uint64", "size",  "uint32_t", "uint" };
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		check(types[i], "12", "12");
		check(types[i], "0x1F", "31");
		check(types[i], "64K", "65536");
		check(types[i], "1M", "1048576");
		check(types[i], "2G", "2147483648");
		check(types[i], "x", "!");
		check(types[i], "", "!");
		check(types[i], "1.5", "!");
		check(types[i], "12 ", "!");
	}
	check("int32", "-5", "-5");
	check("int64", "-9223372036854775808", "-9223372036854775808");
	check("int64", "-9223372036854775809", "!");
	check("uint64", "18446744073709551615", "18446744073709551615");
	check("uint64", "18446744073709551616", "!");
	check("uint64", "17179869184G", "!");
	check("int32", "--5", "!");
	check("int32", "-", "!");
}

static void test_strings(void **state)
{
	(void)state;
	check("string", "off", "\"off\"");
	check("string", "12", "\"12\"");
	check("str", "{}", "\"{}\"");
	check("string", "", "\"\"");
	check("link<memory-backend>", "/objects/ram", "\"/objects/ram\"");
}

/* Enums want strings, structures JSON; a bool's words are no JSON. */
static void test_others(void **state)
{
	(void)state;
	check("OnOffAuto", "auto", "\"auto\"");
	check("OnOffAuto", "off", "\"off\"");
	check("SMPConfiguration", "{\"cpus\": 2}", "{\"cpus\":2}");
	check("uint32List", "[1, 2]", "[1,2]");
	check("", "12", "12");
	check("", "true", "true");
	check("", "null", "null");
	check("", "\"quoted\"", "\"quoted\"");
	check("", "12 13", "\"12 13\"");
	check("", "{", "\"{\"");
	check("", "", "\"\"");
	check("intelligent", "12", "12"); /* no integer */
	check("intelligent", "0x1f", "\"0x1f\"");
}

static void test_json(void **state)
{
	(void)state;
	struct json_object *value = NULL;
	struct err err = ERR_INIT;
	assert_int_equal(qemu_value_of_json("[true, 1, \"a\"]", &value, &err), 0);
	json_object_put(value);
	static const char *const bad[] = { "", "{", "[1,]", "yes", "1 2", "'a'" };
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(qemu_value_of_json(bad[i], &value, &err), -1);
		assert_string_equal(err.reason, "invalid-value");
	}
	char deep[100];
	memset(deep, '[', sizeof(deep) - 1);
	deep[sizeof(deep) - 1] = '\0';
	assert_int_equal(qemu_value_of_json(deep, &value, &err), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bool),   cmocka_unit_test(test_integers), cmocka_unit_test(test_strings),
		cmocka_unit_test(test_others), cmocka_unit_test(test_json),
	};
	return cmocka_run_group_tests_name("qemu_value", tests, NULL, NULL);
}
