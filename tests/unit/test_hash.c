/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/hash.h"
#include "wire/mem.h"

#define COUNT 5000

struct thing {
	struct hash_node node;
	unsigned number;
};

static size_t find(const struct hash_table *table, uint64_t hash, const struct thing *wanted, bool *is_there)
{
	size_t count = 0;
	*is_there = false;
	for (const struct hash_node *node = NULL; (node = hash_next(table, hash, node)) != NULL; count++) {
		assert_int_equal(node->hash, hash);
		*is_there |= node->thing == wanted;
	}
	return count;
}

/* Each hash is that of ten things; what is taken out is not there any more, and may go in again. */
static void test_finds(void **state)
{
	(void)state;
	struct hash_table table = { 0 };
	struct thing *things = xcalloc(COUNT, sizeof(*things));
	bool is_there;
	assert_null(hash_next(&table, 1, NULL));
	for (unsigned i = 0; i < COUNT; i++) {
		things[i].number = i;
		hash_remove(&table, &things[i].node); /* it is in none */
		hash_add(&table, &things[i].node, i / 10, &things[i]);
	}
	assert_int_equal(table.count, COUNT);
	for (unsigned i = 0; i < COUNT; i++) {
		assert_int_equal(find(&table, i / 10, &things[i], &is_there), 10);
		assert_true(is_there);
	}
	for (unsigned i = 0; i < COUNT; i += 2)
		hash_remove(&table, &things[i].node);
	assert_int_equal(table.count, COUNT / 2);
	for (unsigned i = 0; i < COUNT; i++) {
		assert_int_equal(find(&table, i / 10, &things[i], &is_there), 5);
		assert_int_equal(is_there, i % 2);
	}
	hash_add(&table, &things[0].node, 77777, &things[0]);
	assert_int_equal(find(&table, 77777, &things[0], &is_there), 1);
	hash_table_fini(&table);
	free(things);
}

/* Records on disk have it. */
static void test_is_fnv_1a(void **state)
{
	(void)state;
	assert_true(hash_text("") == UINT64_C(0xcbf29ce484222325));
	assert_true(hash_text("a") == UINT64_C(0xaf63dc4c8601ec8c));
	assert_true(hash_bytes("foobar", 6) == UINT64_C(0x85944171f73967e8));
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(test_finds), cmocka_unit_test(test_is_fnv_1a) };
	return cmocka_run_group_tests_name("hash", tests, NULL, NULL);
}
