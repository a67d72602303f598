/* SPDX-License-Identifier: Apache-2.0 */
/* Readers: where they begin and end, when they are told, and that none costs another anything. */
#include "test_channel.h"

static void test_reads_from_offset(void **state)
{
	struct fixture *f = *state;
	struct reader all = { 0 }, middle = { 0 }, now = { 0 };
	fixture_boot(f, 1, true);
	guest_print_logged(f, "hello ");
	reader_open(&all, f, 0, UINT64_MAX, false);
	reader_open(&middle, f, 3, UINT64_MAX, false);
	reader_open(&now, f, 6, UINT64_MAX, false);
	assert_int_equal(hub_cursor_count(f->hub), 3);
	assert_int_equal(all.calls, 0); /* from the loop only */
	guest_print_logged(f, "world");
	LOOP_UNTIL(f, all.len == 11 && middle.len == 8 && now.len == 5);
	assert_string_equal(all.text, "hello world");
	assert_string_equal(middle.text, "lo world");
	assert_string_equal(now.text, "world");
	assert_int_equal(cursor_offset(now.cursor), 11);
	assert_int_equal(now.chunk[0].offset, 6);
	assert_int_equal(now.chunk[0].time_ns, 0);
	cursor_close(all.cursor);
	cursor_close(middle.cursor);
	cursor_close(now.cursor);
	assert_int_equal(hub_cursor_count(f->hub), 0);
}

static void test_limit_and_range(void **state)
{
	struct fixture *f = *state;
	struct reader r = { 0 }, beyond = { 0 }, empty = { 0 };
	struct err err = ERR_INIT;
	fixture_boot(f, 1, true);
	guest_print_logged(f, "abcdef");
	assert_int_equal(cursor_open(f->hub, 7, UINT64_MAX, false, &reader_ops, &r, &r.cursor, &err), -1);
	assert_int_equal(err.code, ERR_OUT_OF_RANGE);
	assert_non_null(strstr(err.msg, "offset 7 is beyond the end, which is 6"));
	reader_open(&r, f, 1, 4, false);
	reader_open(&empty, f, 3, 3, false);
	reader_open(&beyond, f, 6, 8, false);
	LOOP_UNTIL(f, r.is_at_end && empty.is_at_end);
	assert_string_equal(r.text, "bcd");
	assert_int_equal(empty.len, 0);
	assert_false(beyond.is_at_end);
	guest_print_logged(f, "ghijkl");
	LOOP_UNTIL(f, beyond.is_at_end);
	assert_string_equal(beyond.text, "gh");
}

static void test_final(void **state)
{
	struct fixture *f = *state;
	struct reader r = { 0 }, late = { 0 };
	fixture_boot(f, 1, true);
	reader_open(&r, f, 0, UINT64_MAX, false);
	hub_set_final(f->hub, true);
	guest_print(f, "last words");
	LOOP_UNTIL(f, r.len == 10);
	assert_false(r.is_at_end); /* the boot goes on */
	guest_print(f, "!");
	fixture_end_boot(f);
	LOOP_UNTIL(f, r.is_at_end);
	assert_string_equal(r.text, "last words!");
	reader_open(&late, f, 5, UINT64_MAX, false);
	LOOP_UNTIL(f, late.is_at_end);
	assert_string_equal(late.text, "words!");
	/* A new boot undoes it. */
	reader_open(&late, f, 11, UINT64_MAX, false);
	fixture_boot(f, 2, true);
	assert_false(cursor_is_at_end(late.cursor));
	cursor_close(late.cursor);
}

static void test_final_after_end(void **state)
{
	struct fixture *f = *state;
	struct reader r = { 0 };
	fixture_boot(f, 1, true);
	reader_open(&r, f, 0, UINT64_MAX, false);
	guest_print(f, "x");
	fixture_end_boot(f);
	LOOP_UNTIL(f, r.len == 1);
	assert_false(r.is_at_end);
	hub_set_final(f->hub, true);
	LOOP_UNTIL(f, r.is_at_end);
}

static void test_told_once(void **state)
{
	struct fixture *f = *state;
	struct reader r = { .is_lazy = true };
	reader_open(&r, f, 0, UINT64_MAX, false);
	fixture_boot(f, 1, true);
	guest_print_logged(f, "a");
	LOOP_UNTIL(f, r.calls == 1);
	guest_print_logged(f, "b");
	guest_print_logged(f, "c");
	fixture_turn(f);
	assert_int_equal(r.calls, 1);
	/* After a read of nothing it is told again. */
	char buf[8];
	struct chunk chunk;
	struct err err = ERR_INIT;
	assert_int_equal(cursor_read(r.cursor, buf, sizeof(buf), &chunk, &err), 1);
	assert_int_equal(chunk.len, 3);
	guest_print_logged(f, "d");
	fixture_turn(f);
	assert_int_equal(r.calls, 1);
	assert_int_equal(cursor_read(r.cursor, buf, sizeof(buf), &chunk, &err), 1);
	assert_int_equal(cursor_read(r.cursor, buf, sizeof(buf), &chunk, &err), 0);
	guest_print_logged(f, "e");
	LOOP_UNTIL(f, r.calls == 2);
	cursor_close(r.cursor);
}

static void test_close_in_callback(void **state)
{
	struct fixture *f = *state;
	struct reader a = { .close_at_once = true }, b = { 0 }, c = { .close_at_once = true };
	reader_open(&a, f, 0, UINT64_MAX, false);
	reader_open(&b, f, 0, UINT64_MAX, false);
	reader_open(&c, f, 0, UINT64_MAX, false);
	fixture_boot(f, 1, true);
	guest_print(f, "x");
	LOOP_UNTIL(f, a.cursor == NULL && c.cursor == NULL && b.len == 1);
	assert_int_equal(hub_cursor_count(f->hub), 1);
	cursor_close(b.cursor);
}

struct neighbours {
	struct cursor *cursor[2];
	unsigned calls;
};

static void neighbours_on_readable(void *ctx)
{
	struct neighbours *n = ctx;
	n->calls++;
	cursor_close(n->cursor[0]);
	cursor_close(n->cursor[1]);
	n->cursor[0] = n->cursor[1] = NULL;
}

static void test_close_neighbour_in_callback(void **state)
{
	static const struct cursor_ops ops = { neighbours_on_readable };
	struct fixture *f = *state;
	struct neighbours n = { 0 };
	struct err err = ERR_INIT;
	for (int i = 0; i < 2; i++)
		assert_int_equal(cursor_open(f->hub, 0, UINT64_MAX, false, &ops, &n, &n.cursor[i], &err), 0);
	fixture_boot(f, 1, true);
	guest_print_logged(f, "x");
	LOOP_UNTIL(f, n.calls == 1);
	fixture_turn(f);
	assert_int_equal(n.calls, 1);
}

static void test_free_with_open_cursors(void **state)
{
	struct fixture *f = *state;
	struct reader r = { 0 }, lazy = { .is_lazy = true };
	struct err err = ERR_INIT;
	struct chunk chunk;
	char buf[4];
	reader_open(&r, f, 0, UINT64_MAX, false);
	reader_open(&lazy, f, 0, UINT64_MAX, false);
	fixture_boot(f, 1, true);
	guest_print_logged(f, "x");
	LOOP_UNTIL(f, lazy.calls == 1 && r.len == 1);
	fixture_close(f);
	assert_true(r.is_at_end);
	assert_null(r.cursor);
	assert_int_equal(lazy.calls, 2);
	assert_true(cursor_is_at_end(lazy.cursor));
	assert_int_equal(cursor_read(lazy.cursor, buf, sizeof(buf), &chunk, &err), 0);
	cursor_close(lazy.cursor);
	cursor_close(NULL);
}

static void free_hub_on_readable(void *ctx)
{
	fixture_close(ctx);
}

static void test_free_in_callback(void **state)
{
	static const struct cursor_ops ops = { free_hub_on_readable };
	struct fixture *f = *state;
	struct cursor *cursor[3];
	struct err err = ERR_INIT;
	for (int i = 0; i < 3; i++)
		assert_int_equal(cursor_open(f->hub, 0, UINT64_MAX, false, &ops, f, &cursor[i], &err), 0);
	fixture_boot(f, 1, true);
	guest_print(f, "x");
	LOOP_UNTIL(f, f->hub == NULL);
	for (int i = 0; i < 3; i++)
		cursor_close(cursor[i]);
}

/* Hundreds of readers, one of whom never reads: all others have everything, and the loop looks at fds in between. */
static void test_many_cursors(void **state)
{
	enum { COUNT = 500 };
	struct fixture *f = *state;
	struct reader *readers = xcalloc(COUNT, sizeof(*readers));
	fixture_boot(f, 1, true);
	readers[0].is_lazy = true;
	for (int i = 0; i < COUNT; i++)
		reader_open(&readers[i], f, 0, UINT64_MAX, false);
	for (int round = 0; round < 20; round++)
		guest_print_logged(f, "0123456789");
	for (int i = 1; i < COUNT; i++) {
		LOOP_UNTIL(f, readers[i].len == 200);
		cursor_close(readers[i].cursor);
	}
	assert_int_equal(readers[0].calls, 1);
	assert_int_equal(hub_cursor_count(f->hub), 1);
	cursor_close(readers[0].cursor);
	free(readers);
}

/* A bounded number is told in one turn of the loop. */
static void test_telling_is_bounded(void **state)
{
	enum { COUNT = 300 };
	struct fixture *f = *state;
	struct reader *readers = xcalloc(COUNT, sizeof(*readers));
	unsigned told = 0, turns = 0;
	for (int i = 0; i < COUNT; i++)
		reader_open(&readers[i], f, 0, UINT64_MAX, false);
	hub_set_final(f->hub, true);
	while (told < COUNT) {
		event_base_loop(f->base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
		unsigned before = told;
		told = 0;
		for (int i = 0; i < COUNT; i++)
			told += readers[i].calls;
		assert_true(told > before && told - before <= 100);
		turns++;
	}
	assert_true(turns >= 3);
	free(readers);
}

/* The user's own log, cut by hand: an error that says so, no endless loop. */
static void test_truncated_by_somebody(void **state)
{
	struct fixture *f = *state;
	struct reader lazy = { .is_lazy = true };
	struct err err = ERR_INIT;
	struct chunk chunk;
	char buf[4];
	fixture_boot(f, 1, true);
	guest_print_logged(f, "0123456789");
	reader_open(&lazy, f, 0, UINT64_MAX, false);
	char *path = xasprintf("%s/serial0.log", f->path);
	assert_int_equal(truncate(path, 0), 0);
	free(path);
	assert_int_equal(cursor_read(lazy.cursor, buf, sizeof(buf), &chunk, &err), -1);
	assert_int_equal(err.code, ERR_DATA_LOSS);
	assert_non_null(strstr(err.msg, "channel \"serial0\": read \"serial0.log\" at offset 0"));
	cursor_close(lazy.cursor);
}

/* ---------------------------------------------------------------- times */

static uint64_t fake_ms, fake_ns;
static uint64_t fake_monotonic(void)
{
	return fake_ms;
}
static uint64_t fake_wall(void)
{
	return fake_ns;
}

static void fake_clock(uint64_t ms)
{
	static const struct clock_source source = { fake_monotonic, fake_wall };
	fake_ms = 5000 + ms;
	fake_ns = 1000000000 + ms * 1000000;
	clock_override(&source);
}

static void assert_chunk(const struct chunk *chunk, uint64_t offset, size_t len, uint64_t ms, uint32_t boot, uint64_t boot_ms)
{
	assert_int_equal(chunk->offset, offset);
	assert_int_equal(chunk->len, len);
	assert_int_equal(chunk->time_ns, 1000000000 + ms * 1000000);
	assert_int_equal(chunk->boot, boot);
	assert_int_equal(chunk->boot_time_ns, 1000000000 + boot_ms * 1000000);
}

static void test_times(void **state)
{
	struct fixture *f = *state;
	struct reader r = { 0 }, part = { 0 };
	fake_clock(0);
	fixture_boot(f, 1, true);
	fake_clock(30);
	guest_print_logged(f, "aaaa");
	fake_clock(35); /* within 10 ms: no time of its own */
	guest_print_logged(f, "bb");
	fake_clock(50);
	guest_print_logged(f, "ccc");
	fake_clock(52);
	fixture_end_boot(f);
	fixture_boot(f, 2, false);
	fake_clock(53); /* the first byte of a boot always has one */
	guest_print_logged(f, "d");
	reader_open(&r, f, 0, UINT64_MAX, true);
	reader_open(&part, f, 5, 8, true);
	LOOP_UNTIL(f, r.len == 10 && part.len == 3);
	assert_int_equal(r.chunks, 3);
	assert_chunk(&r.chunk[0], 0, 6, 30, 1, 0);
	assert_chunk(&r.chunk[1], 6, 3, 50, 1, 0);
	assert_chunk(&r.chunk[2], 9, 1, 53, 2, 52);
	assert_int_equal(part.chunks, 2);
	assert_chunk(&part.chunk[0], 5, 1, 30, 1, 0);
	assert_chunk(&part.chunk[1], 6, 2, 50, 1, 0);
	fake_clock(70); /* live, from its hint */
	guest_print_logged(f, "ee");
	LOOP_UNTIL(f, r.len == 12);
	assert_chunk(&r.chunk[3], 10, 2, 70, 2, 52);
	cursor_close(r.cursor);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_reads_from_offset),
		TEST(test_limit_and_range),
		TEST(test_final),
		TEST(test_final_after_end),
		TEST(test_told_once),
		TEST(test_close_in_callback),
		TEST(test_close_neighbour_in_callback),
		TEST(test_free_with_open_cursors),
		TEST(test_free_in_callback),
		TEST(test_many_cursors),
		TEST(test_telling_is_bounded),
		TEST(test_truncated_by_somebody),
		TEST(test_times),
	};
	return cmocka_run_group_tests_name("channel: cursors", tests, NULL, NULL);
}
