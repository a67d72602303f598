/* SPDX-License-Identifier: Apache-2.0 */
/* A side index that is bounded: what is dropped, what survives it, and what is left after every kind of cut. */
#include "test_channel_index.h"

static void drop(struct index *index, uint64_t first_offset)
{
	assert_int_equal(index_drop(index, first_offset), 0);
	assert_int_equal(index->first_offset, first_offset);
}

static void reopen(struct box *b, struct index *index, uint64_t log_end)
{
	index_fini(index);
	assert_false(box_open(b, index, log_end));
}

/* Time, boot and boot's time of every byte from `first` on, as fill() made them. */
static void assert_spans(const struct index *index, uint64_t first)
{
	for (uint64_t offset = first; offset < BOOTS * BOOT_BYTES; offset += 3) {
		struct index_span span;
		uint32_t hint = (uint32_t)offset * 7 % RECORDS; /* any */
		index_locate(index, offset, &hint, &span);
		assert_int_equal(span.time_ns, 1000 + offset / 10 * 10);
		assert_int_equal(span.boot, offset / BOOT_BYTES + 1);
		assert_int_equal(span.boot_time_ns, span.boot * 1000000);
		assert_true(span.next > offset);
	}
}

/* Boots that are gone are, the others have number, time and start. */
static void assert_boots(const struct index *index, uint64_t first)
{
	uint32_t oldest = (uint32_t)(first / BOOT_BYTES) + 1;
	struct index_boot boot;
	assert_int_equal(index_first_boot(index), oldest);
	assert_int_equal(index->last.number, BOOTS);
	for (uint32_t i = 1; i <= BOOTS; i++) {
		assert_int_equal(index_find_boot(index, i, &boot), i >= oldest);
		if (i < oldest)
			continue;
		assert_int_equal(boot.offset, (i - 1) * BOOT_BYTES);
		assert_int_equal(boot.time_ns, i * 1000000);
		assert_int_equal(boot.explicit_start, i % 3 == 1);
	}
	assert_int_equal(index->start_offset, 6 * BOOT_BYTES);
}

/* Dropped at every offset, at once or by and by: what is left is right, now and after a restart. */
static void test_drop_anywhere(void **state)
{
	struct index index;
	for (uint64_t first = 0; first < BOOTS * BOOT_BYTES; first += 3) {
		for (uint64_t before = 0; before <= first; before += 151) {
			box_truncate(*state, 0);
			box_open(*state, &index, 0);
			fill(&index);
			drop(&index, before);
			drop(&index, first);
			assert_int_equal(index.count, RECORDS);
			assert_spans(&index, first);
			assert_boots(&index, first);
			if (before + 151 > first) {
				reopen(*state, &index, BOOTS * BOOT_BYTES);
				assert_int_equal(index.first_offset, first);
				assert_spans(&index, first);
				assert_boots(&index, first);
			}
			index_fini(&index);
		}
	}
}

/* What comes after a drop hangs together with what was before it. */
static void test_goes_on_after_drop(void **state)
{
	struct index index;
	struct index_span span;
	uint32_t hint = 0;
	box_open(*state, &index, 0);
	add_boot(&index, 1, 0, true);
	add_boot(&index, 2, 10, false);
	for (uint64_t at = 10; at < 100; at++)
		index_add_time(&index, at, 1000 + at);
	drop(&index, 60); /* the explicit start is gone, the boot is not */
	for (int again = 0; again < 2; again++) {
		index_add_time(&index, 100, 5000);
		index_locate(&index, 100, &hint, &span);
		assert_int_equal(span.time_ns, 5000);
		assert_int_equal(span.boot, 2);
		assert_int_equal(span.boot_time_ns, 2000000);
		assert_int_equal(index.last.offset, 10);
		assert_int_equal(index.start_offset, 0); /* of boot 1 */
		reopen(*state, &index, 100);
	}
	add_boot(&index, 3, 100, false);
	drop(&index, 100);
	add_boot(&index, 4, 200, true);
	drop(&index, 200);
	reopen(*state, &index, 200);
	assert_int_equal(index.start_offset, 200);
	assert_int_equal(index_first_boot(&index), 4);
	index_fini(&index);
}

/* The latest explicit start is known also when its mark is gone, and is forgotten with the next one. */
static void test_start_offset_survives(void **state)
{
	struct index index;
	box_open(*state, &index, 0);
	add_boot(&index, 1, UINT64_C(0x500000007), true);
	add_boot(&index, 2, UINT64_C(0x500000010), false);
	add_boot(&index, 3, UINT64_C(0x500000020), false);
	drop(&index, UINT64_C(0x500000025));
	reopen(*state, &index, UINT64_C(0x600000000));
	assert_int_equal(index.start_offset, UINT64_C(0x500000007));
	add_boot(&index, 4, UINT64_C(0x500000030), false);
	reopen(*state, &index, UINT64_C(0x600000000));
	assert_int_equal(index.start_offset, UINT64_C(0x500000007));
	add_boot(&index, 5, UINT64_C(0x500000040), true);
	reopen(*state, &index, UINT64_C(0x600000000));
	assert_int_equal(index.start_offset, UINT64_C(0x500000040));
	index_fini(&index);
}

/* Killed after the mark was moved, before the header said so: all that was there is there, in order. */
static void test_killed_between(void **state)
{
	unsigned char header[BLOCK];
	struct index index;
	struct index_span span;
	struct index_boot boot;
	for (uint64_t first = 5; first < BOOTS * BOOT_BYTES; first += 10) {
		box_truncate(*state, 0);
		box_open(*state, &index, 0);
		fill(&index);
		int fd = openat(((struct box *)*state)->dir, "x.idx", O_RDONLY | O_CLOEXEC);
		assert_int_equal(pread(fd, header, sizeof(header), 0), sizeof(header));
		close(fd);
		drop(&index, first);
		index_fini(&index);
		box_patch(*state, 0, header, sizeof(header));
		assert_false(box_open(*state, &index, BOOTS * BOOT_BYTES));
		assert_int_equal(index.first_offset, 0);
		for (uint64_t offset = 0; offset < BOOTS * BOOT_BYTES; offset++) {
			uint32_t hint = 0;
			index_locate(&index, offset, &hint, &span);
			assert_int_equal(span.boot, offset / BOOT_BYTES + 1);
			assert_int_equal(span.boot_time_ns, span.boot * 1000000);
			assert_true(span.next > offset);
		}
		for (uint32_t i = 1; i <= BOOTS; i++)
			assert_true(index_find_boot(&index, i, &boot) && boot.offset == (i - 1) * BOOT_BYTES);
		drop(&index, first);
		assert_spans(&index, first);
		assert_boots(&index, first);
		index_fini(&index);
	}
}

/* Cut at every byte after records were dropped. */
static void test_truncated_at_every_byte(void **state)
{
	struct index index;
	struct index_span span;
	struct index_boot boot;
	box_open(*state, &index, 0);
	fill(&index);
	drop(&index, 345);
	index_fini(&index);
	for (off_t size = box_size(*state) - 1; size >= 0; size--) {
		uint32_t hint = 0, whole = size < BLOCK ? 0 : (uint32_t)(size / BLOCK) - 1;
		box_truncate(*state, size);
		bool repaired = box_open(*state, &index, BOOTS * BOOT_BYTES);
		assert_int_equal(repaired, size % BLOCK != 0 || size == 0);
		assert_int_equal(index.count, whole);
		assert_int_equal(index.first_offset, size < BLOCK ? 0 : 345);
		index_locate(&index, 699, &hint, &span);
		assert_int_equal(span.boot, index.first < index.count ? (whole + 10) / 11 : 0);
		assert_int_equal(index.last.number, span.boot);
		assert_int_equal(index_find_boot(&index, 4, &boot), span.boot >= 4);
		index_fini(&index);
	}
}

/* ---------------------------------------------------------------- size */

static uint64_t disk_bytes(struct box *b)
{
	struct stat st;
	assert_int_equal(fstatat(b->dir, "x.idx", &st, 0), 0);
	return (uint64_t)st.st_blocks * 512;
}

/* A log that is bounded while it goes on for ever: so is its index. */
static void test_blocks_are_given_back(void **state)
{
	enum { HELD = 1000, TOTAL = 100000 };
	struct index index;
	struct index_span span;
	uint32_t hint = 0;
	box_open(*state, &index, 0);
	add_boot(&index, 1, 0, true);
	for (uint64_t at = 0; at < TOTAL; at++) {
		index_add_time(&index, at, 1000 + at);
		if (at % HELD == 0 && at > HELD)
			drop(&index, at - HELD);
		assert_true(at % 5000 != 0 || disk_bytes(*state) <= (2 * HELD + 4096) * BLOCK);
	}
	assert_int_equal(box_size(*state), (TOTAL + 2) * BLOCK); /* numbers stay what they were */
	reopen(*state, &index, TOTAL);
	index_locate(&index, TOTAL - HELD, &hint, &span);
	assert_int_equal(span.time_ns, 1000 + TOTAL - HELD);
	assert_int_equal(span.boot_time_ns, 1000000);
	assert_true(index.last.explicit_start);
	index_fini(&index);
}

/* A log that is not bounded, for ever: of too many records the oldest are forgotten; the boot keeps its place and time. */
static void test_keeps_so_many(void **state)
{
	struct index index;
	struct index_boot boot;
	box_open(*state, &index, 0);
	add_boot(&index, 1, 0, true);
	add_boot(&index, 2, 5, true);
	for (uint64_t at = 5; at < INDEX_KEEP_MAX + 100000; at++)
		index_add_time(&index, at, 1000 + at);
	for (int again = 0; again < 2; again++) {
		assert_true(index.count - index.first <= INDEX_KEEP_MAX);
		assert_true(index.count - index.first >= INDEX_KEEP_MAX - INDEX_KEEP_MAX / 16);
		assert_true(disk_bytes(*state) <= (INDEX_KEEP_MAX + 4096) * (uint64_t)BLOCK);
		assert_int_equal(index.first_offset, 0); /* the log has it all */
		assert_true(index_find_boot(&index, 2, &boot));
		assert_int_equal(boot.offset, 5);
		assert_int_equal(boot.time_ns, 2000000);
		assert_int_equal(index.start_offset, 5);
		assert_false(index_find_boot(&index, 1, &boot));
		reopen(*state, &index, UINT64_MAX);
	}
	index_fini(&index);
}

/* The more a boot has printed the further apart times are; a new boot begins anew. */
static void test_steps_get_coarser(void **state)
{
	struct index index;
	box_open(*state, &index, 0);
	assert_int_equal(index_time_step_ms(&index), 10);
	add_boot(&index, 1, 0, true);
	static const struct {
		uint32_t records;
		unsigned step_ms;
	} rows[] = { { 10, 10 }, { 65000, 10 }, { 66000, 100 }, { 262000, 100 }, { 263000, 1000 }, { 524000, 1000 }, { 525000, 10000 } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		while (index.count < rows[i].records)
			index_add_time(&index, index.count, index.count);
		assert_int_equal(index_time_step_ms(&index), rows[i].step_ms);
	}
	reopen(*state, &index, UINT64_MAX);
	assert_int_equal(index_time_step_ms(&index), 10000);
	add_boot(&index, 2, 600000, false);
	assert_int_equal(index_time_step_ms(&index), 10);
	index_fini(&index);
}

/* A header with this number in the place that is the first record's. */
static void patch_first(struct box *b, uint32_t first)
{
	unsigned char header[BLOCK] = { 'P', 'W', 'E', 'U', 'I', 'D', 'X', '1' };
	uint32_t sum = UINT32_C(2166136261);
	memcpy(header + 16, &first, sizeof(first));
	for (int i = 0; i < BLOCK - 4; i++)
		sum = (sum ^ header[i]) * UINT32_C(16777619);
	memcpy(header + BLOCK - 4, &sum, sizeof(sum));
	box_patch(b, 0, header, sizeof(header));
}

/* Written by a daemon that did not drop. */
static void test_old_format(void **state)
{
	struct index index;
	box_open(*state, &index, 0);
	fill(&index);
	index_fini(&index);
	patch_first(*state, 0);
	assert_false(box_open(*state, &index, BOOTS * BOOT_BYTES));
	assert_spans(&index, 0);
	assert_boots(&index, 0);
	index_fini(&index);
}

/* The power went and took the records that the header knows: nothing is found, and it goes on. */
static void test_first_beyond_end(void **state)
{
	struct index index;
	box_open(*state, &index, 0);
	fill(&index);
	index_fini(&index);
	patch_first(*state, RECORDS + 5);
	assert_false(box_open(*state, &index, BOOTS * BOOT_BYTES));
	assert_int_equal(index.last.number, 0);
	assert_int_equal(index_first_boot(&index), 0);
	add_boot(&index, 9, BOOTS * BOOT_BYTES, true);
	reopen(*state, &index, BOOTS * BOOT_BYTES);
	assert_int_equal(index.last.number, 9);
	assert_int_equal(index_first_boot(&index), 9);
	index_fini(&index);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, box_setup, box_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_drop_anywhere),    TEST(test_goes_on_after_drop),      TEST(test_start_offset_survives),
		TEST(test_killed_between),   TEST(test_truncated_at_every_byte), TEST(test_blocks_are_given_back),
		TEST(test_keeps_so_many),    TEST(test_steps_get_coarser),       TEST(test_old_format),
		TEST(test_first_beyond_end),
	};
	return cmocka_run_group_tests_name("channel: bounded index", tests, NULL, NULL);
}
