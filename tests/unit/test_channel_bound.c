/* SPDX-License-Identifier: Apache-2.0 */
/* Bounded logs: the oldest bytes go, at a limit or on a full disk; what is left is right, wherever one was cut short. */
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "test_channel.h"
#include "test_small_fs.h"

enum { LIMIT = 65536, STEP = 65536, MOVE = 256 * 1024, BLOCK = 4096 };

static int setup(void **state)
{
	struct fixture *f = fixture_new_at("/tmp");
	f->limit_bytes = LIMIT;
	fixture_open(f);
	*state = f;
	return 0;
}

static void reopen(struct fixture *f)
{
	fixture_close(f);
	fixture_open(f);
}

/* The guest goes on with the sequence by this many bytes. */
static void print_sequence(struct fixture *f, size_t len)
{
	char block[BLOCK];
	for (uint64_t until = hub_end_offset(f->hub) + len; hub_end_offset(f->hub) < until;) {
		uint64_t at = hub_end_offset(f->hub);
		for (size_t i = 0; i < sizeof(block); i += LINE)
			line_of((at + i) / LINE, block + i);
		assert_int_equal(write(f->guest_out, block, sizeof(block)), sizeof(block));
		LOOP_UNTIL(f, hub_end_offset(f->hub) == at + sizeof(block));
	}
}

static struct stat stat_of(struct fixture *f, const char *name)
{
	struct stat st;
	assert_int_equal(fstatat(f->dir, name, &st, 0), 0);
	return st;
}

static uint64_t disk_bytes(struct fixture *f, const char *name)
{
	return (uint64_t)stat_of(f, name).st_blocks * 512;
}

/* Where the hole at the log's head ends. */
static uint64_t hole_end(struct fixture *f)
{
	int fd = openat(f->dir, "serial0.log", O_RDONLY | O_CLOEXEC);
	off_t data = lseek(fd, 0, SEEK_DATA);
	assert_true(data >= 0);
	close(fd);
	return (uint64_t)data;
}

/* A cursor from 0 begins at the first byte that is left, and every byte from there on is right. */
static void assert_readable(struct fixture *f)
{
	static char buf[65536];
	struct reader r = { .is_lazy = true };
	struct chunk chunk;
	struct err err = ERR_INIT;
	uint64_t at = hub_first_offset(f->hub);
	reader_open(&r, f, 0, UINT64_MAX, false);
	assert_int_equal(cursor_offset(r.cursor), at);
	while (cursor_read(r.cursor, buf, sizeof(buf), &chunk, &err) == 1) {
		assert_int_equal(chunk.offset, at);
		assert_sequence(buf, chunk.len, at);
		at += chunk.len;
	}
	assert_int_equal(at, hub_end_offset(f->hub));
	cursor_close(r.cursor);
}

/* ---------------------------------------------------------------- the limit */

static void test_stays_within_limit(void **state)
{
	struct fixture *f = *state;
	fixture_boot(f, 1, true);
	print_sequence(f, LIMIT);
	assert_int_equal(hub_first_offset(f->hub), 0);
	for (int i = 0; i < 20; i++) {
		print_sequence(f, LIMIT);
		uint64_t held = hub_end_offset(f->hub) - hub_first_offset(f->hub);
		assert_true(held >= LIMIT && held <= LIMIT + STEP + BLOCK);
		assert_true(disk_bytes(f, "serial0.log") <= LIMIT + STEP + MOVE);
		assert_int_equal(hub_first_offset(f->hub) % BLOCK, 0);
		assert_readable(f);
	}
	assert_int_equal(stat_of(f, "serial0.log").st_size, 21 * LIMIT); /* offsets stay what they were */
	assert_int_equal(hub_end_offset(f->hub), 21 * LIMIT);
	assert_int_equal(hole_end(f), hub_first_offset(f->hub));
	assert_int_equal(f->troubles, 0);
	LOOP_UNTIL(f, fixture_timers(f) == 0);
}

static void test_survives_restart(void **state)
{
	struct fixture *f = *state;
	fixture_boot(f, 1, true);
	print_sequence(f, 5 * LIMIT);
	uint64_t first = hub_first_offset(f->hub);
	assert_true(first > 0);
	reopen(f);
	assert_int_equal(hub_first_offset(f->hub), first);
	assert_int_equal(hub_start_offset(f->hub), first);
	assert_readable(f);
	f->limit_bytes = 0; /* a limit that is lifted brings nothing back */
	reopen(f);
	assert_int_equal(hub_first_offset(f->hub), first);
	assert_int_equal(f->troubles, 0);
}

/* A reader that has lagged behind finds itself at the first byte that is left; what is gone can be told from the offsets. */
static void test_head_passes_a_reader(void **state)
{
	struct fixture *f = *state;
	struct reader r = { .is_lazy = true };
	struct chunk chunk;
	struct err err = ERR_INIT;
	char buf[1000];
	fixture_boot(f, 1, true);
	print_sequence(f, BLOCK);
	reader_open(&r, f, 0, UINT64_MAX, true);
	assert_int_equal(cursor_read(r.cursor, buf, sizeof(buf), &chunk, &err), 1);
	assert_int_equal(chunk.offset, 0);
	print_sequence(f, 3 * LIMIT);
	uint64_t first = hub_first_offset(f->hub);
	assert_true(first > sizeof(buf));
	assert_int_equal(cursor_read(r.cursor, buf, sizeof(buf), &chunk, &err), 1);
	assert_int_equal(chunk.offset, first);
	assert_sequence(buf, chunk.len, first);
	assert_int_equal(chunk.boot, 1);
	cursor_close(r.cursor);
}

/* A limit that the head has passed: at its end, not stuck. */
static void test_head_passes_a_limit(void **state)
{
	struct fixture *f = *state;
	struct reader r = { .is_lazy = true };
	struct chunk chunk;
	struct err err = ERR_INIT;
	char buf[16];
	fixture_boot(f, 1, true);
	print_sequence(f, BLOCK);
	reader_open(&r, f, 0, 100, false);
	print_sequence(f, 3 * LIMIT);
	assert_int_equal(cursor_read(r.cursor, buf, sizeof(buf), &chunk, &err), 0);
	assert_true(cursor_is_at_end(r.cursor));
	cursor_close(r.cursor);
}

static void test_boots(void **state)
{
	struct fixture *f = *state;
	struct hub_boot boot;
	uint64_t begin_ns = 0;
	for (uint32_t number = 1; number <= 4; number++) {
		struct err err = ERR_INIT;
		fixture_boot(f, number, number == 3);
		assert_int_equal(hub_find_boot(f->hub, 3 > number ? 0 : 3, &boot, &err), 0);
		begin_ns = boot.time_ns;
		print_sequence(f, number == 3 ? 3 * LIMIT : BLOCK);
		fixture_end_boot(f);
	}
	for (int again = 0; again < 2; again++) {
		struct err err = ERR_INIT;
		assert_int_equal(hub_find_boot(f->hub, 1, &boot, &err), -1);
		assert_int_equal(err.code, ERR_NOT_FOUND);
		assert_string_equal(err.msg, "channel \"serial0\" has no boot 1: it has 3 to 4");
		assert_int_equal(hub_find_boot(f->hub, -1, &boot, &err), 0);
		assert_int_equal(boot.number, 3);
		assert_int_equal(boot.offset, hub_first_offset(f->hub)); /* of what is left of it */
		assert_int_equal(boot.time_ns, begin_ns);
		assert_true(boot.explicit_start);
		assert_int_equal(hub_start_offset(f->hub), hub_first_offset(f->hub));
		assert_int_equal(hub_find_boot(f->hub, 0, &boot, &err), 0);
		assert_int_equal(boot.offset, hub_end_offset(f->hub) - BLOCK);
		reopen(f);
	}
}

/* A log that a daemon without limit has filled: the first byte that comes brings it into bounds. */
static void test_limit_comes_later(void **state)
{
	struct fixture *f = *state;
	f->limit_bytes = 0;
	reopen(f);
	fixture_boot(f, 1, true);
	print_sequence(f, 10 * LIMIT);
	assert_int_equal(hub_first_offset(f->hub), 0);
	fixture_end_boot(f);
	hub_set_bounds(f->hub, LIMIT, false);
	fixture_boot(f, 2, true);
	print_sequence(f, BLOCK);
	assert_int_equal(hub_end_offset(f->hub) - hub_first_offset(f->hub), LIMIT);
	assert_readable(f);
}

/* ---------------------------------------------------------------- cut short */

/* As the daemon writes it, with the log beginning at `first`. */
static void write_header(struct fixture *f, uint64_t first)
{
	unsigned char header[32] = { 0 };
	uint64_t magic = UINT64_C(0x3158444955455750);
	uint32_t sum = UINT32_C(2166136261);
	memcpy(header, &magic, 8);
	memcpy(header + 8, &first, 8);
	for (int i = 0; i < 28; i++)
		sum = (sum ^ header[i]) * UINT32_C(16777619);
	memcpy(header + 28, &sum, 4);
	int fd = openat(f->dir, "serial0.idx", O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, header, sizeof(header), 0), sizeof(header));
	close(fd);
}

/* Killed after the header was written, before the blocks were given back. */
static void test_killed_between(void **state)
{
	struct fixture *f = *state;
	fixture_boot(f, 1, true);
	print_sequence(f, LIMIT);
	fixture_close(f);
	write_header(f, 5 * BLOCK);
	fixture_open(f);
	assert_int_equal(hub_first_offset(f->hub), 5 * BLOCK);
	assert_int_equal(hole_end(f), 5 * BLOCK);
	assert_readable(f);
	assert_int_equal(f->troubles, 0);
}

/* The power went: the hole is on the disk, what the index says about it is not. */
static void test_hole_without_header(void **state)
{
	struct fixture *f = *state;
	struct hub_boot boot;
	struct err err = ERR_INIT;
	fixture_boot(f, 1, true);
	print_sequence(f, BLOCK);
	fixture_end_boot(f);
	fixture_boot(f, 2, true);
	print_sequence(f, 4 * LIMIT);
	uint64_t first = hub_first_offset(f->hub);
	fixture_close(f);
	write_header(f, 0);
	fixture_open(f);
	assert_int_equal(hub_first_offset(f->hub), first);
	assert_int_equal(hub_find_boot(f->hub, 1, &boot, &err), -1);
	assert_string_equal(err.msg, "channel \"serial0\" has no boot 1: it has 2 to 2");
	assert_readable(f);
	fixture_close(f);
	assert_int_equal(unlinkat(f->dir, "serial0.idx", 0), 0);
	for (int again = 0; again < 2; again++) {
		fixture_open(f);
		assert_int_equal(hub_first_offset(f->hub), first);
		assert_readable(f);
		fixture_close(f);
	}
	fixture_open(f);
}

/* Power cuts: the log ends anywhere, its index anywhere. What is left of the log is right, and it goes on. */
static void test_cut_anywhere(void **state)
{
	struct fixture *f = *state;
	struct hub_boot boot;
	fixture_boot(f, 1, true);
	print_sequence(f, 3 * LIMIT);
	fixture_end_boot(f);
	fixture_boot(f, 2, false);
	print_sequence(f, BLOCK);
	fixture_end_boot(f);
	fixture_close(f);
	off_t log_size = stat_of(f, "serial0.log").st_size, index_size = stat_of(f, "serial0.idx").st_size;
	uint64_t first = hole_end(f);
	char *log = xasprintf("%s/serial0.log", f->path), *index = xasprintf("%s/serial0.idx", f->path);
	/* The log from its end down, in odd steps over what is left and over the hole; the index at every byte. */
	for (off_t size = log_size; size >= 0; size -= size > (off_t)first ? 61 : 997) {
		assert_int_equal(truncate(log, size), 0);
		fixture_open(f);
		assert_int_equal(hub_end_offset(f->hub), size);
		assert_true(hub_first_offset(f->hub) == first || (uint64_t)size < first);
		assert_readable(f);
		if (hub_last_boot(f->hub) != 0)
			assert_int_equal(hub_find_boot(f->hub, 0, &boot, NULL), 0);
		fixture_close(f);
	}
	for (off_t size = index_size; size >= 0; size--) {
		assert_int_equal(truncate(index, size), 0);
		fixture_open(f);
		assert_readable(f);
		fixture_close(f);
	}
	free(log);
	free(index);
	fixture_open(f);
	fixture_boot(f, 3, true); /* it goes on */
	guest_print_logged(f, "x");
}

/* The power went and took even what the header says is the beginning: what comes after that is there, and stays. */
static void test_cut_below_first(void **state)
{
	struct fixture *f = *state;
	struct reader r = { 0 };
	fixture_boot(f, 1, true);
	print_sequence(f, 4 * LIMIT);
	assert_true(hub_first_offset(f->hub) > BLOCK + 100);
	fixture_close(f);
	char *log = xasprintf("%s/serial0.log", f->path);
	assert_int_equal(truncate(log, BLOCK + 100), 0);
	free(log);
	fixture_open(f);
	fixture_boot(f, 2, true);
	guest_print_logged(f, "after");
	fixture_end_boot(f);
	for (int again = 0; again < 2; again++) {
		reopen(f);
		assert_int_equal(hub_first_offset(f->hub), BLOCK + 100);
		reader_open(&r, f, 0, UINT64_MAX, true);
		LOOP_UNTIL(f, r.len == 5);
		assert_string_equal(r.text, "after");
		assert_int_equal(r.chunk[0].boot, 2);
		cursor_close(r.cursor);
	}
}

/* ---------------------------------------------------------------- file systems */

/* A fixture on a file system of its own; NULL: not allowed here. */
static struct fixture *fixture_on(const char *type, const char *size, int *mount_fd)
{
	char dir[32];
	*mount_fd = small_file_system(type, size);
	if (*mount_fd < 0) {
		print_message("optional: file_systems: no file system of one's own is allowed here\n");
		return NULL;
	}
	snprintf(dir, sizeof(dir), "/proc/self/fd/%d", *mount_fd);
	return fixture_new_at(dir);
}

static void fixture_end(struct fixture *f, int mount_fd)
{
	void *state = f;
	fixture_teardown(&state);
	close(mount_fd);
}

static void test_cannot_punch(void **state)
{
	(void)state;
	int mount_fd;
	struct fixture *f = fixture_on("ramfs", NULL, &mount_fd);
	if (f == NULL)
		skip();
	f->limit_bytes = LIMIT;
	fixture_open(f);
	fixture_boot(f, 1, true);
	print_sequence(f, 5 * LIMIT);
	LOOP_UNTIL(f, f->troubles == 1);
	assert_non_null(strstr(f->trouble.msg,
			       "the file system cannot give back the oldest data of \"serial0.log\", which grows beyond its "
			       "limit of 65536 bytes: Operation not supported"));
	assert_int_equal(hub_first_offset(f->hub), 0);
	assert_readable(f);
	print_sequence(f, LIMIT);
	assert_int_equal(f->troubles, 1); /* once */
	fixture_end(f, mount_fd);
}

static void fill_up(struct fixture *f)
{
	static const char block[BLOCK];
	int ballast = openat(f->dir, "ballast", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
	while (write(ballast, block, sizeof(block)) > 0)
		;
	close(ballast);
}

/* The disk is full and stays so: the guest prints on and on, the oldest bytes make room for the newest. */
static void test_full_disk_drops_oldest(void **state)
{
	(void)state;
	int mount_fd;
	struct fixture *f = fixture_on("tmpfs", "1m", &mount_fd);
	if (f == NULL)
		skip();
	f->drop_oldest = true;
	fixture_open(f);
	fixture_boot(f, 1, true);
	print_sequence(f, 8 * BLOCK);
	fill_up(f);
	print_sequence(f, 2 * BLOCK);
	LOOP_UNTIL(f, f->troubles == 1);
	assert_int_equal(f->trouble.code, ERR_RESOURCE_EXHAUSTED);
	assert_non_null(strstr(f->trouble.msg,
			       "channel \"serial0\": the disk is full: the oldest 28672 bytes of \"serial0.log\" are gone, it now "
			       "begins at offset 28672"));
	for (int i = 0; i < 50; i++) {
		print_sequence(f, 3 * BLOCK);
		assert_true(hub_end_offset(f->hub) - hub_first_offset(f->hub) <= 8 * BLOCK);
		assert_readable(f);
	}
	assert_int_equal(f->troubles, 1); /* the next one comes ten seconds later */
	LOOP_UNTIL(f, fixture_timers(f) == 1);
	fixture_end_boot(f);
	fixture_boot(f, 2, true); /* there is room for its mark */
	fixture_end(f, mount_fd);
}

/* Nothing is left to drop: the emulator waits, as in the other mode. */
static void test_full_disk_with_nothing_to_drop(void **state)
{
	(void)state;
	int mount_fd;
	struct fixture *f = fixture_on("tmpfs", "1m", &mount_fd);
	if (f == NULL)
		skip();
	f->drop_oldest = true;
	fixture_open(f);
	fixture_boot(f, 1, true);
	print_sequence(f, BLOCK);
	fill_up(f);
	char block[2 * BLOCK];
	for (uint64_t i = 0; i < sizeof(block); i += LINE)
		line_of((BLOCK + i) / LINE, block + i);
	assert_int_equal(write(f->guest_out, block, sizeof(block)), sizeof(block));
	LOOP_UNTIL(f, f->troubles == 1);
	assert_non_null(strstr(f->trouble.msg, "the emulator waits until it can be written"));
	assert_int_equal(hub_first_offset(f->hub), 0);
	assert_int_equal(hub_end_offset(f->hub) + (uint64_t)fifo_unread(f->guest_out), 3 * BLOCK);
	assert_int_equal(unlinkat(f->dir, "ballast", 0), 0);
	LOOP_UNTIL(f, hub_end_offset(f->hub) == 3 * BLOCK);
	LOOP_UNTIL(f, f->troubles == 2);
	assert_int_equal(f->trouble.code, ERR_OK);
	assert_readable(f);
	fixture_end(f, mount_fd);
}

/* A file that has become too long is not shortened by dropping: it waits. */
static void test_too_long(void **state)
{
	struct fixture *f = *state;
	struct rlimit old;
	f->drop_oldest = true;
	reopen(f);
	fixture_boot(f, 1, true);
	print_sequence(f, 4 * BLOCK);
	getrlimit(RLIMIT_FSIZE, &old);
	struct rlimit small = { 4 * BLOCK, old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	guest_print(f, "more");
	LOOP_UNTIL(f, f->troubles == 1);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
	assert_int_equal(f->trouble.sys, EFBIG);
	assert_int_equal(hub_first_offset(f->hub), 0);
	LOOP_UNTIL(f, hub_end_offset(f->hub) == 4 * BLOCK + 4);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_stays_within_limit),
		TEST(test_survives_restart),
		TEST(test_head_passes_a_reader),
		TEST(test_head_passes_a_limit),
		TEST(test_boots),
		TEST(test_limit_comes_later),
		TEST(test_killed_between),
		TEST(test_hole_without_header),
		TEST(test_cut_anywhere),
		TEST(test_cut_below_first),
		TEST(test_too_long),
		cmocka_unit_test(test_cannot_punch),
		cmocka_unit_test(test_full_disk_drops_oldest),
		cmocka_unit_test(test_full_disk_with_nothing_to_drop),
	};
	signal(SIGXFSZ, SIG_IGN);
	return cmocka_run_group_tests_name("channel: bounds", tests, NULL, NULL);
}
