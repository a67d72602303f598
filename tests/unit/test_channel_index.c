/* SPDX-License-Identifier: Apache-2.0 */
/* The side index: found times and boots, and what is left of them after every kind of damage. */
#include <signal.h>
#include <sys/resource.h>

#include "test_channel_index.h"

static void assert_span(const struct index *index, uint64_t offset, uint32_t hint)
{
	struct index_span span;
	index_locate(index, offset, &hint, &span);
	assert_int_equal(span.time_ns, 1000 + offset / 10 * 10);
	assert_int_equal(span.boot, offset / BOOT_BYTES + 1);
	assert_int_equal(span.boot_time_ns, span.boot * 1000000);
	if (offset < BOOTS * BOOT_BYTES - 10)
		assert_int_equal(span.next, offset / 10 * 10 + 10);
	else
		assert_true(span.next == UINT64_MAX);
}

static void test_locate(void **state)
{
	struct index index;
	box_open(*state, &index, 0);
	fill(&index);
	for (uint64_t offset = 0; offset < BOOTS * BOOT_BYTES; offset++)
		for (uint32_t hint = 0; hint < RECORDS + 2; hint += 3) /* any hint, also a wrong one */
			assert_span(&index, offset, hint);
	index_fini(&index);
	assert_false(box_open(*state, &index, BOOTS * BOOT_BYTES));
	assert_span(&index, 345, 0);
	index_fini(&index);
}

static void test_boots(void **state)
{
	struct index index;
	struct index_boot boot;
	box_open(*state, &index, 0);
	assert_false(index_find_boot(&index, 1, &boot));
	assert_int_equal(index_first_boot(&index), 0);
	fill(&index);
	for (int again = 0; again < 2; again++) {
		assert_int_equal(index.last.number, BOOTS);
		assert_int_equal(index.start_offset, 6 * BOOT_BYTES); /* boot 7 */
		assert_int_equal(index_first_boot(&index), 1);
		for (uint32_t i = 1; i <= BOOTS; i++) {
			assert_true(index_find_boot(&index, i, &boot));
			assert_int_equal(boot.number, i);
			assert_int_equal(boot.offset, (i - 1) * BOOT_BYTES);
			assert_int_equal(boot.time_ns, i * 1000000);
			assert_int_equal(boot.explicit_start, i % 3 == 1);
		}
		assert_false(index_find_boot(&index, 0, &boot));
		assert_false(index_find_boot(&index, BOOTS + 1, &boot));
		index_fini(&index);
		box_open(*state, &index, BOOTS * BOOT_BYTES);
	}
	/* An automatic restart leaves the explicit start where it was; numbers may skip. */
	add_boot(&index, 20, 700, false);
	index_fini(&index);
	assert_false(box_open(*state, &index, 700));
	assert_int_equal(index.last.number, 20);
	assert_int_equal(index.start_offset, 6 * BOOT_BYTES);
	assert_false(index_find_boot(&index, 15, &boot));
	index_fini(&index);
}

/* Cut at every byte: what was whole is there, what was cut is said, and it goes on. */
static void test_truncated_at_every_byte(void **state)
{
	struct index index;
	struct index_boot boot;
	struct index_span span;
	uint32_t hint = 0;
	box_open(*state, &index, 0);
	fill(&index);
	index_fini(&index);
	off_t full = box_size(*state);
	assert_int_equal(full, BLOCK * (RECORDS + 1));
	for (off_t size = full - 1; size >= 0; size--) {
		box_truncate(*state, size);
		bool repaired = box_open(*state, &index, BOOTS * BOOT_BYTES);
		assert_int_equal(repaired, size % BLOCK != 0 || size == 0);
		uint32_t whole = size < BLOCK ? 0 : (uint32_t)(size / BLOCK) - 1;
		assert_int_equal(index.count, whole);
		assert_int_equal(index.last.number, (whole + 10) / 11);
		for (uint32_t i = 1; i <= index.last.number; i++)
			assert_true(index_find_boot(&index, i, &boot));
		assert_false(index_find_boot(&index, index.last.number + 1, &boot));
		index_locate(&index, 699, &hint, &span);
		assert_int_equal(span.boot, index.last.number);
		index_fini(&index);
		if (size % BLOCK != 0)
			assert_int_equal(box_size(*state), size < BLOCK ? 0 : size / BLOCK * BLOCK);
	}
	box_open(*state, &index, 0);
	fill(&index);
	assert_span(&index, 345, 0);
	index_fini(&index);
}

/* The log lost its end: so do the records beyond. */
static void test_beyond_log_end(void **state)
{
	struct index index;
	box_open(*state, &index, 0);
	fill(&index);
	index_fini(&index);
	assert_true(box_open(*state, &index, 255));
	assert_int_equal(index.last.number, 3);
	assert_int_equal(index.count, 2 * 11 + 1 + 6);
	assert_span(&index, 249, 0);
	index_fini(&index);
	assert_false(box_open(*state, &index, 255));
	index_fini(&index);
}

/* After a power cut the tail may be zeros. */
static void test_zeros_at_the_end(void **state)
{
	static const char zeros[BLOCK * 300];
	struct index index;
	box_open(*state, &index, 0);
	fill(&index);
	index_fini(&index);
	box_patch(*state, box_size(*state) - BLOCK * 4, zeros, sizeof(zeros));
	assert_true(box_open(*state, &index, BOOTS * BOOT_BYTES));
	assert_int_equal(index.count, RECORDS - 4);
	assert_int_equal(index.last.number, BOOTS);
	index_fini(&index);
}

/* Any one record damaged, and any run of them: lookups stay in bounds and right for what is untouched. */
static void test_damage_in_the_middle(void **state)
{
	static const char junk[BLOCK * 20] = { 1, 2, 3 };
	struct index index;
	struct index_span span;
	struct index_boot boot;
	for (off_t run = 1; run <= 20; run += 19) {
		for (off_t at = 0; at + run < RECORDS; at++) {
			box_truncate(*state, 0);
			box_open(*state, &index, 0);
			fill(&index);
			index_fini(&index);
			box_patch(*state, BLOCK * (at + 1), junk, (size_t)(BLOCK * run));
			assert_false(box_open(*state, &index, BOOTS * BOOT_BYTES));
			for (uint64_t offset = 0; offset < BOOTS * BOOT_BYTES; offset += 7) {
				uint32_t hint = (uint32_t)offset % RECORDS;
				index_locate(&index, offset, &hint, &span);
				assert_true(span.next > offset);
				assert_true(span.time_ns <= 1000 + offset || span.time_ns == span.boot_time_ns);
				assert_true(span.boot <= offset / BOOT_BYTES + 1);
			}
			for (uint32_t i = 1; i <= BOOTS; i++)
				if (run == 1)
					assert_true(index_find_boot(&index, i, &boot) && boot.offset == (i - 1) * BOOT_BYTES);
			index_fini(&index);
		}
	}
}

/* Records in order of nothing: no crash, no endless search. */
static void test_out_of_order(void **state)
{
	struct index index;
	struct index_span span;
	struct index_boot boot;
	uint32_t hint = 0;
	box_open(*state, &index, 0);
	add_boot(&index, 9, 500, true);
	add_boot(&index, 3, 100, true);
	for (uint64_t i = 0; i < 200; i++)
		index_add_time(&index, i * 7919 % 1000, i);
	for (uint64_t offset = 0; offset < 1000; offset++) {
		index_locate(&index, offset, &hint, &span);
		assert_true(span.next > offset);
	}
	for (uint32_t i = 0; i < 12; i++)
		index_find_boot(&index, i, &boot);
	index_fini(&index);
	box_open(*state, &index, 700);
	index_fini(&index);
}

static void test_not_an_index(void **state)
{
	struct box *b = *state;
	struct index index;
	char text[400];
	memset(text, 'x', sizeof(text));
	box_open(b, &index, 0);
	index_fini(&index);
	box_patch(b, 0, text, sizeof(text));
	assert_true(box_open(b, &index, 10));
	assert_int_equal(faccessat(b->dir, "x.idx.bad", F_OK, 0), 0); /* kept for people */
	fill(&index);
	index_fini(&index);
	assert_false(box_open(b, &index, BOOTS * BOOT_BYTES));
	assert_int_equal(index.last.number, BOOTS);
	index_fini(&index);
	/* A damaged header alone. */
	box_patch(b, 9, text, 1);
	assert_true(box_open(b, &index, BOOTS * BOOT_BYTES));
	assert_int_equal(index.count, 0);
	index_fini(&index);
}

static void test_missing_beside_a_log(void **state)
{
	struct index index;
	assert_false(box_open(*state, &index, 0)); /* new: nothing to say */
	index_fini(&index);
	assert_true(box_open(*state, &index, 1));
	index_fini(&index);
}

/* No room: a mark is refused, a time is not worth a word, and when there is room again nothing is out of place. */
static void test_no_room(void **state)
{
	struct index index;
	struct index_boot boot = { 2, 10, 5, true, false };
	struct err err = ERR_INIT;
	struct rlimit old, small;
	getrlimit(RLIMIT_FSIZE, &old);
	box_open(*state, &index, 0);
	add_boot(&index, 1, 0, true);
	small = (struct rlimit){ BLOCK * 2 + 10, old.rlim_max };
	setrlimit(RLIMIT_FSIZE, &small);
	index_add_time(&index, 3, 77);
	int rc = index_add_boot(&index, &boot, &err);
	setrlimit(RLIMIT_FSIZE, &old);
	assert_int_equal(rc, -1);
	assert_non_null(strstr(err.msg, "write the mark of boot 2 to \"x.idx\": "));
	assert_int_equal(index.last.number, 1);
	assert_int_equal(index_add_boot(&index, &boot, &err), 0);
	index_fini(&index);
	assert_false(box_open(*state, &index, 10));
	assert_int_equal(index.count, 2);
	assert_int_equal(index.last.number, 2);
	index_fini(&index);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, box_setup, box_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_locate),
		TEST(test_boots),
		TEST(test_truncated_at_every_byte),
		TEST(test_beyond_log_end),
		TEST(test_zeros_at_the_end),
		TEST(test_damage_in_the_middle),
		TEST(test_out_of_order),
		TEST(test_not_an_index),
		TEST(test_missing_beside_a_log),
		TEST(test_no_room),
	};
	signal(SIGXFSZ, SIG_IGN);
	return cmocka_run_group_tests_name("channel: index", tests, NULL, NULL);
}
