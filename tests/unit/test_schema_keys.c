/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON Schemas have the keys that the parser's tables have, neither more nor fewer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "config/project_files.h"
#include "config/target_json.h"

#define PWEMU_SCHEMA   "config/schema/pwemu.schema.json"
#define PIGWEED_SCHEMA "config/schema/pigweed.schema.json"

static bool has_key(const struct keys *keys, const char *name)
{
	for (size_t i = 0; i < keys->count; i++)
		if (strcmp(keys->rows[i].name, name) == 0)
			return true;
	return false;
}

static void compare(const struct json_at *definitions, const struct target_table *table, size_t *seen)
{
	struct json_at definition, properties, member;
	struct json_iter iter = { 0 };
	if (!json_member(definitions, table->name, &definition) || !json_member(&definition, "properties", &properties))
		fail_msg("no definition of %s with properties", table->name);
	for (size_t i = 0; i < table->keys->count; i++)
		if (!json_member(&properties, table->keys->rows[i].name, &member))
			fail_msg("%s.%s is not in the schema", table->name, table->keys->rows[i].name);
	while (json_next(&properties, &iter, &member))
		if (!has_key(table->keys, member.key))
			fail_msg("%s.%s is not in the parser", table->name, member.key);
	(*seen)++;
}

static void check_schema(const char *path)
{
	static const struct target_table *const lists[] = { project_tables, target_json_tables, target_emulator_tables,
							    target_type_tables };
	struct json_file file;
	struct json_at definitions;
	struct err err = ERR_INIT;
	size_t seen = 0, count = 0;
	struct json_iter iter = { 0 };
	struct json_at member;
	if (json_load(path, &file, &err) < 0)
		fail_msg("%s", err.msg);
	struct json_at root = json_root(&file);
	assert_true(json_member(&root, "definitions", &definitions));
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (const struct target_table *table = lists[i]; table->name != NULL; table++)
			compare(&definitions, table, &seen);
	while (json_next(&definitions, &iter, &member))
		count++;
	assert_int_equal(count, seen + 3); /* restart, hang, log: tables of config/field.h, tested by documents */
	json_fini(&file);
}

static void test_pwemu(void **state)
{
	(void)state;
	check_schema(PWEMU_SCHEMA);
}

static void test_pigweed(void **state)
{
	(void)state;
	check_schema(PIGWEED_SCHEMA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pwemu),
		cmocka_unit_test(test_pigweed),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
