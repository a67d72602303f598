/* SPDX-License-Identifier: Apache-2.0 */
/* pwemud.json. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "config/settings.h"
#include "test_config_file.h"

static void test_defaults(void **state)
{
	(void)state;
	struct settings s;
	memset(&s, 0xff, sizeof(s));
	settings_init(&s);
	assert_int_equal(s.port_first, 20000);
	assert_int_equal(s.port_last, 29999);
	assert_true(s.log_limit_bytes == UINT64_C(256) << 20);
	assert_false(s.log_drop_oldest);
	assert_true(s.keep_ms == UINT64_C(7) * 86400000);
	assert_true(s.keep_bytes == UINT64_C(2) << 30);
	assert_true(s.idle_ms == 600000);
}

static void test_file(void **state)
{
	(void)state;
	struct settings s;
	struct err err = ERR_INIT;
	file_put("{\"ports\": \"5000-5001\", \"log-limit\": \"1M\", \"log-full\": \"drop-oldest\", \"keep\": \"90d\", \"keep-bytes\": 0,"
		 "\"idle\": \"0s\"}");
	assert_int_equal(settings_load(file_path, true, &s, &err), 0);
	assert_int_equal(s.port_first, 5000);
	assert_int_equal(s.port_last, 5001);
	assert_true(s.log_limit_bytes == 1 << 20);
	assert_true(s.log_drop_oldest);
	assert_true(s.keep_ms == UINT64_C(90) * 86400000);
	assert_true(s.keep_bytes == 0 && s.idle_ms == 0);
	file_put("{\"idle\": \"1m\", \"keep\": null}"); /* the others have their defaults again */
	assert_int_equal(settings_load(file_path, true, &s, &err), 0);
	assert_int_equal(s.port_first, 20000);
	assert_true(s.idle_ms == 60000 && s.keep_bytes == UINT64_C(2) << 30);
}

static void test_no_file(void **state)
{
	(void)state;
	struct settings s;
	struct err err = ERR_INIT;
	assert_int_equal(settings_load(file_path, false, &s, &err), 0);
	assert_int_equal(s.port_first, 20000);
	assert_false(err_is_set(&err));
	assert_int_equal(settings_load(file_path, true, &s, &err), -1);
	assert_non_null(strstr(err.msg, file_path));
	assert_int_equal(settings_load("", false, &s, &err), 0);
	assert_int_equal(settings_load(file_dir, false, &s, &err), -1); /* something that is no file is a mistake */
}

static void test_mistakes(void **state)
{
	(void)state;
	static const struct {
		const char *json, *want;
	} rows[] = {
		{ "{\n\"log-limt\": \"1M\"}", "2: log-limt: unknown key 'log-limt' (did you mean \"log-limit\"" },
		{ "{\"log-limit\": \"1\"}", "1: log-limit: 1 is out of range: 4K to " },
		{ "{\n\n\"log-limit\": \"big\"}", "3: log-limit: 'big' is not a number" },
		{ "{\"log-full\": \"drop\"}", "1: log-full: 'drop' is not one of wait, drop-oldest" },
		{ "{\"ports\": \"20000\"}", "1: ports: '20000' is not a range: write 20000-29999" },
		{ "{\"ports\": 20000}", "1: ports: '20000' is not a range" },
		{ "{\"ports\": \"2-1\"}", "1: ports: '2-1' ends before it begins" },
		{ "{\"ports\": \"0-5\"}", "1: ports: 0-5 is out of range: 1 to 65535" },
		{ "{\"ports\": \"5-65536\"}", "1: ports: 5-65536 is out of range: 1 to 65535" },
		{ "{\"keep\": 7}", "1: keep: '7' has no unit" },
		{ "{\"keep\": true}", "1: keep: must be a string or a number" },
		{ "{\"keep\"", "1: not JSON" },
		{ "[]", "1: must be an object" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct settings s = { .port_first = 77 };
		struct err err = ERR_INIT;
		file_put(rows[i].json);
		if (settings_load(file_path, false, &s, &err) == 0)
			fail_msg("taken: %s", rows[i].json);
		assert_names_file(err.msg, rows[i].want);
		assert_int_equal(s.port_first, 77);
	}
}

static void test_help_has_every_key(void **state)
{
	(void)state;
	static const char *const keys[] = { "ports", "log-limit", "log-full", "keep", "keep-bytes", "idle" };
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);
	settings_help(to);
	fclose(to);
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		assert_non_null(strstr(text, keys[i]));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test_setup_teardown(test_file, file_setup, file_teardown),
		cmocka_unit_test_setup_teardown(test_no_file, file_setup, file_teardown),
		cmocka_unit_test_setup_teardown(test_mistakes, file_setup, file_teardown),
		cmocka_unit_test(test_help_has_every_key),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
