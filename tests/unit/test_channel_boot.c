/* SPDX-License-Identifier: Apache-2.0 */
/* Boots of a channel from FIFO to log: marks, ends, a log that cannot be written, files that cannot be opened, and rest when idle. */
#include <errno.h>
#include <signal.h>
#include <sys/resource.h>

#include "test_channel.h"
#include "test_small_fs.h"

static void assert_log(struct fixture *f, const char *text)
{
	char buf[256] = "";
	int fd = openat(f->dir, "serial0.log", O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, buf, sizeof(buf) - 1), (ssize_t)strlen(text));
	assert_string_equal(buf, text);
	close(fd);
}

static void assert_boot(struct fixture *f, int32_t number, uint32_t found, uint64_t offset)
{
	struct hub_boot boot;
	struct err err = ERR_INIT;
	if (hub_find_boot(f->hub, number, &boot, &err) != 0)
		fail_msg("boot %d: %s", number, err.msg);
	assert_int_equal(boot.number, found);
	assert_int_equal(boot.offset, offset);
	assert_true(boot.time_ns > 0);
}

static void assert_no_boot(struct fixture *f, int32_t number, const char *message)
{
	struct hub_boot boot;
	struct err err = ERR_INIT;
	assert_int_equal(hub_find_boot(f->hub, number, &boot, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_string_equal(err.msg, message);
}

static void print_boot(struct fixture *f, uint32_t number, bool explicit_start, const char *text)
{
	fixture_boot(f, number, explicit_start);
	guest_print(f, text);
	fixture_end_boot(f);
}

static void test_marks(void **state)
{
	struct fixture *f = *state;
	assert_no_boot(f, 0, "channel \"serial0\" has not had a boot yet");
	assert_int_equal(hub_last_boot(f->hub), 0);
	assert_int_equal(hub_start_offset(f->hub), 0);
	print_boot(f, 4, true, "one");
	print_boot(f, 5, true, "two!");
	assert_int_equal(hub_start_offset(f->hub), 3);
	print_boot(f, 6, false, "three");
	print_boot(f, 7, false, "four");
	for (int again = 0; again < 2; again++) {
		assert_boot(f, 0, 7, 12);
		assert_boot(f, -1, 6, 7);
		assert_boot(f, -3, 4, 0);
		assert_boot(f, 5, 5, 3);
		assert_no_boot(f, 3, "channel \"serial0\" has no boot 3: it has 4 to 7");
		assert_no_boot(f, 8, "channel \"serial0\" has no boot 8: it has 4 to 7");
		assert_no_boot(f, -4, "channel \"serial0\" has no boot 3: it has 4 to 7");
		assert_no_boot(f, INT32_MIN, "channel \"serial0\" has no boot -2147483648: it has 4 to 7");
		assert_int_equal(hub_last_boot(f->hub), 7);
		assert_int_equal(hub_start_offset(f->hub), 3);
		assert_int_equal(hub_end_offset(f->hub), 16);
		assert_int_equal(hub_first_offset(f->hub), 0);
		fixture_close(f);
		fixture_open(f);
	}
	assert_log(f, "onetwo!threefour");
}

static void test_boot_numbers(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	print_boot(f, 3, true, "");
	fixture_boot(f, 3, true); /* a daemon that died before the emulator started does it again */
	assert_int_equal(hub_begin_boot(f->hub, 4, true, -1, -1, &err), -1);
	assert_non_null(strstr(err.msg, "boot 4 cannot begin: boot 3 has not ended"));
	guest_print(f, "x");
	fixture_end_boot(f);
	assert_int_equal(hub_begin_boot(f->hub, 3, true, -1, -1, &err), -1);
	assert_int_equal(err.code, ERR_ALREADY_EXISTS);
	assert_int_equal(hub_begin_boot(f->hub, 2, true, -1, -1, &err), -1);
	assert_non_null(strstr(err.msg, "boot 2 cannot follow boot 3"));
	assert_int_equal(hub_begin_boot(f->hub, 0, true, -1, -1, &err), -1);
	assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
	assert_boot(f, 3, 3, 0);
}

static void test_resume(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	fixture_boot(f, 1, true);
	guest_print_logged(f, "before ");
	fixture_close(f);
	guest_print(f, "meanwhile ");
	fixture_open(f);
	assert_int_equal(hub_resume_boot(f->hub, 1, false, openat(f->dir, "out", O_RDWR | O_NONBLOCK | O_CLOEXEC), -1, &err), 0);
	guest_print(f, "after");
	LOOP_UNTIL(f, hub_end_offset(f->hub) == 22);
	assert_log(f, "before meanwhile after");
	assert_boot(f, 0, 1, 0);
	assert_int_equal(f->troubles, 0);
}

/* The index was deleted under a running boot: the bytes go on, and it is said. */
static void test_resume_without_mark(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	fixture_boot(f, 2, true);
	guest_print_logged(f, "before ");
	fixture_close(f);
	unlinkat(f->dir, "serial0.idx", 0);
	fixture_open(f);
	LOOP_UNTIL(f, f->troubles == 1);
	assert_int_equal(f->trouble.code, ERR_DATA_LOSS);
	assert_non_null(strstr(f->trouble.msg, "channel \"serial0\": \"serial0.idx\" was missing or cut short"));
	assert_int_equal(hub_resume_boot(f->hub, 2, false, openat(f->dir, "out", O_RDWR | O_NONBLOCK | O_CLOEXEC), -1, &err), 0);
	LOOP_UNTIL(f, f->troubles == 2);
	assert_non_null(strstr(f->trouble.msg, "the mark of boot 2 was lost: it now begins at offset 7"));
	guest_print_logged(f, "after");
	assert_log(f, "before after");
	assert_boot(f, 0, 2, 7);
}

/* The end drains a full FIFO of the largest size, also when it had been enlarged, a bounded piece a turn. */
static void test_end_drains_all(void **state)
{
	enum { SIZE = 1024 * 1024 };
	struct fixture *f = *state;
	char *block = xmalloc(SIZE), *copy = xmalloc(SIZE);
	for (size_t i = 0; i < SIZE; i++)
		block[i] = (char)(i * 31 >> 3);
	fixture_boot(f, 1, true);
	if (fcntl(f->guest_out, F_SETPIPE_SZ, SIZE) != SIZE)
		print_message("test_end_drains_all: the FIFO has %d bytes only\n", fcntl(f->guest_out, F_GETPIPE_SZ));
	ssize_t printed = write(f->guest_out, block, SIZE);
	assert_true(printed >= 4096);
	hub_end_boot(f->hub, fixture_on_end, f);
	assert_int_equal(f->ends, 0);
	unsigned turns = 0;
	for (uint64_t before = 0; f->ends == 0; before = hub_end_offset(f->hub)) {
		event_base_loop(f->base, EVLOOP_ONCE);
		assert_true(hub_end_offset(f->hub) - before <= 256 * 1024);
		assert_true(turns++ < 100);
	}
	assert_int_equal(hub_end_offset(f->hub), printed);
	int fd = openat(f->dir, "serial0.log", O_RDONLY | O_CLOEXEC);
	assert_int_equal(read(fd, copy, SIZE), printed);
	assert_memory_equal(block, copy, (size_t)printed);
	close(fd);
	free(block);
	free(copy);
}

static void test_end_without_boot(void **state)
{
	struct fixture *f = *state;
	fixture_end_boot(f);
	fixture_boot(f, 1, true);
	fixture_end_boot(f);
	fixture_end_boot(f);
	hub_drop_boot(f->hub);
	assert_int_equal(f->ends, 3);
}

static void begin_next_boot(void *ctx)
{
	struct fixture *f = ctx;
	f->ends++;
	fixture_boot(f, 2, false);
}

static void test_next_boot_from_end(void **state)
{
	struct fixture *f = *state;
	fixture_boot(f, 1, true);
	guest_print(f, "one ");
	hub_end_boot(f->hub, begin_next_boot, f);
	LOOP_UNTIL(f, f->ends == 1);
	guest_print(f, "two");
	LOOP_UNTIL(f, hub_end_offset(f->hub) == 7);
	assert_log(f, "one two");
	assert_boot(f, 0, 2, 4);
}

static void free_on_end(void *ctx)
{
	struct fixture *f = ctx;
	f->ends++;
	fixture_close(f);
}

static void test_free_from_end(void **state)
{
	struct fixture *f = *state;
	fixture_boot(f, 1, true);
	guest_print(f, "x");
	hub_end_boot(f->hub, free_on_end, f);
	LOOP_UNTIL(f, f->ends == 1);
	assert_null(f->hub);
}

/* No timer and no fd that is ready: the loop sleeps for ever. */
static void test_idle_is_silent(void **state)
{
	struct fixture *f = *state;
	struct reader r = { 0 };
	fixture_boot(f, 1, true);
	assert_int_equal(fixture_timers(f), 0);
	reader_open(&r, f, 0, UINT64_MAX, true);
	for (int round = 0; round < 3; round++) {
		guest_print_logged(f, "text\n");
		LOOP_UNTIL(f, fixture_timers(f) == 0);
	}
	assert_int_equal(r.len, 15);
	unsigned calls = r.calls;
	for (int i = 0; i < 10; i++) {
		event_base_loop(f->base, EVLOOP_NONBLOCK);
		assert_int_equal(event_base_get_num_events(f->base, EVENT_BASE_COUNT_ACTIVE), 0);
		assert_int_equal(fixture_timers(f), 0);
	}
	assert_int_equal(r.calls, calls);
	assert_int_equal(event_base_get_num_events(f->base, EVENT_BASE_COUNT_ADDED), 1); /* the FIFO */
	cursor_close(r.cursor);
}

/* The first byte is moved in the turn in which it came, what follows after a millisecond. */
static void test_first_byte_at_once(void **state)
{
	struct fixture *f = *state;
	fixture_boot(f, 1, true);
	guest_print(f, "a");
	event_base_loop(f->base, EVLOOP_ONCE);
	assert_int_equal(hub_end_offset(f->hub), 1);
	assert_int_equal(fixture_timers(f), 1);
	guest_print(f, "b");
	event_base_loop(f->base, EVLOOP_ONCE); /* sleeps until the timer */
	assert_int_equal(hub_end_offset(f->hub), 2);
}

/* A FIFO is enlarged only for who prints much. */
static void test_fifo_grows_with_use(void **state)
{
	struct fixture *f = *state;
	static char block[4096];
	fixture_boot(f, 1, true);
	guest_print_logged(f, "boot\n");
	int small = fcntl(f->guest_out, F_GETPIPE_SZ);
	assert_true(small <= 65536);
	for (uint64_t end = hub_end_offset(f->hub) + 3 * sizeof(block); hub_end_offset(f->hub) < end; fixture_turn(f))
		if (fifo_unread(f->guest_out) == 0)
			assert_int_equal(write(f->guest_out, block, sizeof(block)), sizeof(block));
	if (fcntl(f->guest_out, F_GETPIPE_SZ) == small) /* this user has used up what the kernel gives */
		assert_int_equal(fcntl(f->guest_out, F_SETPIPE_SZ, 1024 * 1024), -1);
}

/* ---------------------------------------------------------------- a log that cannot be written */

static struct rlimit fsize_old;

static void limit_file_size(rlim_t bytes)
{
	struct rlimit limit = { bytes, fsize_old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

static void test_no_room_and_room_again(void **state)
{
	struct fixture *f = *state;
	fixture_boot(f, 1, true);
	limit_file_size(100);
	for (int i = 0; i < 25; i++)
		guest_print(f, "0123456789");
	LOOP_UNTIL(f, f->troubles == 1);
	assert_non_null(strstr(f->trouble.msg, "channel \"serial0\": write \"serial0.log\"; the emulator waits until it can be written: "));
	assert_int_equal(hub_end_offset(f->hub), 100);
	assert_int_equal(fifo_unread(f->guest_out), 150);
	assert_int_equal(fixture_timers(f), 1);
	uint64_t later = test_now_ms() + 1200; /* one more try in vain: not told again */
	LOOP_UNTIL(f, test_now_ms() > later);
	assert_int_equal(f->troubles, 1);
	limit_file_size(fsize_old.rlim_cur);
	LOOP_UNTIL(f, hub_end_offset(f->hub) == 250);
	LOOP_UNTIL(f, f->troubles == 2);
	assert_int_equal(f->trouble.code, ERR_OK);
	assert_non_null(strstr(f->trouble.msg, "\"serial0.log\" can be written again"));
	LOOP_UNTIL(f, fixture_timers(f) == 0);
	assert_log(f, "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
		      "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789"
		      "01234567890123456789012345678901234567890123456789");
}

static void test_end_waits_for_room(void **state)
{
	struct fixture *f = *state;
	fixture_boot(f, 1, true);
	guest_print_logged(f, "01234567");
	limit_file_size(10);
	guest_print(f, "89abcdef");
	hub_end_boot(f->hub, fixture_on_end, f);
	LOOP_UNTIL(f, f->troubles == 1);
	assert_int_equal(f->ends, 0);
	limit_file_size(fsize_old.rlim_cur);
	LOOP_UNTIL(f, f->ends == 1);
	assert_log(f, "0123456789abcdef");
}

static void test_drop_does_not_wait(void **state)
{
	struct fixture *f = *state;
	fixture_boot(f, 1, true);
	guest_print_logged(f, "01234567");
	limit_file_size(10);
	guest_print(f, "89abcdef");
	hub_end_boot(f->hub, fixture_on_end, f);
	LOOP_UNTIL(f, f->troubles == 1);
	hub_drop_boot(f->hub);
	LOOP_UNTIL(f, f->ends == 1);
	limit_file_size(fsize_old.rlim_cur);
	assert_log(f, "0123456789");
	assert_int_equal(fixture_timers(f), 0);
}

/* The same on a real full file system. */
static void test_full_file_system(void **state)
{
	(void)state;
	int mount_fd = small_file_system("tmpfs", "64k");
	if (mount_fd < 0) {
		print_message("optional: test_full_file_system: no file system of one's own is allowed here\n");
		skip();
	}
	char dir[32];
	snprintf(dir, sizeof(dir), "/proc/self/fd/%d", mount_fd);
	struct fixture *f = fixture_new_at(dir);
	static char block[4096];
	size_t printed = 0;
	fixture_open(f);
	fixture_boot(f, 1, true);
	int ballast = openat(f->dir, "ballast", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	while (write(ballast, block, sizeof(block)) > 0)
		;
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (char)(i % 251);
	for (; printed < 5 * sizeof(block); printed += sizeof(block))
		assert_int_equal(write(f->guest_out, block, sizeof(block)), sizeof(block));
	LOOP_UNTIL(f, f->troubles == 1);
	assert_int_equal(f->trouble.sys, ENOSPC);
	assert_int_equal(f->trouble.code, ERR_RESOURCE_EXHAUSTED);
	assert_int_equal(hub_end_offset(f->hub) + (uint64_t)fifo_unread(f->guest_out), printed);
	assert_int_equal(ftruncate(ballast, 0), 0);
	close(ballast);
	LOOP_UNTIL(f, hub_end_offset(f->hub) == printed);
	int fd = openat(f->dir, "serial0.log", O_RDONLY | O_CLOEXEC);
	for (size_t i = 0; i < 5; i++) {
		static char copy[4096];
		assert_int_equal(read(fd, copy, sizeof(copy)), sizeof(copy));
		assert_memory_equal(copy, block, sizeof(copy));
	}
	close(fd);
	void *fixture = f;
	fixture_teardown(&fixture);
	close(mount_fd);
}

/* ---------------------------------------------------------------- files that cannot be opened */

static void assert_open_fails(struct fixture *f, const char *name, enum err_code code, const char *message)
{
	struct hub_config config = fixture_config(f);
	struct hub *hub = NULL;
	struct err err = ERR_INIT;
	config.name = name;
	assert_int_equal(hub_open(&config, &hub, &err), -1);
	assert_null(hub);
	assert_string_equal(err.msg, message);
	assert_int_equal(err.code, code);
}

static void test_open_errors(void **state)
{
	struct fixture *f = *state;
	char name[300];
	assert_open_fails(f, "", ERR_INVALID_ARGUMENT, "channel \"\": not a plain file name of at most 200 characters");
	assert_open_fails(f, "../x", ERR_INVALID_ARGUMENT, "channel \"../x\": not a plain file name of at most 200 characters");
	assert_open_fails(f, "a/b", ERR_INVALID_ARGUMENT, "channel \"a/b\": not a plain file name of at most 200 characters");
	memset(name, 'n', sizeof(name));
	name[201] = '\0';
	struct err err = ERR_INIT;
	struct hub_config config = fixture_config(f);
	struct hub *hub = NULL;
	config.name = name;
	assert_int_equal(hub_open(&config, &hub, &err), -1);
	name[200] = '\0';
	assert_int_equal(hub_open(&config, &hub, &err), 0);
	hub_free(hub);
	hub_free(NULL);
	mkfifoat(f->dir, "fifo.log", 0600);
	assert_open_fails(f, "fifo", ERR_FAILED_PRECONDITION, "channel \"fifo\": open \"fifo.log\": not a regular file");
	mkdirat(f->dir, "dir.log", 0700);
	assert_open_fails(f, "dir", ERR_INVALID_ARGUMENT, "channel \"dir\": open \"dir.log\": Is a directory");
	unlinkat(f->dir, "dir.log", AT_REMOVEDIR);
	mkdirat(f->dir, "idx.idx", 0700);
	assert_open_fails(f, "idx", ERR_INVALID_ARGUMENT, "channel \"idx\": open \"idx.idx\": Is a directory");
	unlinkat(f->dir, "idx.idx", AT_REMOVEDIR);
	assert_int_equal(symlinkat("/etc/passwd", f->dir, "link.log"), 0);
	assert_open_fails(f, "link", ERR_INTERNAL, "channel \"link\": open \"link.log\": Too many levels of symbolic links");
}

static void test_unreadable(void **state)
{
	struct fixture *f = *state;
	int fd = openat(f->dir, "secret.log", O_RDWR | O_CREAT | O_CLOEXEC, 0);
	close(fd);
	if (geteuid() != 0) {
		assert_open_fails(f, "secret", ERR_PERMISSION_DENIED, "channel \"secret\": open \"secret.log\": Permission denied");
		return;
	}
	assert_int_equal(fchmod(f->dir, 0755), 0);
	assert_int_equal(seteuid(65534), 0);
	assert_open_fails(f, "secret", ERR_PERMISSION_DENIED, "channel \"secret\": open \"secret.log\": Permission denied");
	assert_open_fails(f, "new", ERR_PERMISSION_DENIED, "channel \"new\": open \"new.log\": Permission denied");
	assert_int_equal(seteuid(0), 0);
}

/* A header that says the head is gone, as retention will leave it. */
static void test_punched_head(void **state)
{
	struct fixture *f = *state;
	struct reader r = { 0 };
	unsigned char header[32] = { 0 };
	uint64_t magic = UINT64_C(0x3158444955455750), first = 4;
	uint32_t sum = UINT32_C(2166136261);
	print_boot(f, 1, true, "0123456789");
	fixture_close(f);
	memcpy(header, &magic, 8);
	memcpy(header + 8, &first, 8);
	for (int i = 0; i < 28; i++)
		sum = (sum ^ header[i]) * UINT32_C(16777619);
	memcpy(header + 28, &sum, 4);
	int fd = openat(f->dir, "serial0.idx", O_RDWR | O_CLOEXEC);
	assert_int_equal(pwrite(fd, header, sizeof(header), 0), sizeof(header));
	close(fd);
	fixture_open(f);
	assert_int_equal(hub_first_offset(f->hub), 4);
	assert_int_equal(hub_start_offset(f->hub), 4);
	reader_open(&r, f, 0, UINT64_MAX, true);
	assert_int_equal(cursor_offset(r.cursor), 4);
	LOOP_UNTIL(f, r.len == 6);
	assert_string_equal(r.text, "456789");
	assert_int_equal(r.chunk[0].offset, 4);
	cursor_close(r.cursor);
}

static int teardown_limits(void **state)
{
	limit_file_size(fsize_old.rlim_cur);
	return fixture_teardown(state);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, fixture_setup, teardown_limits)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_marks),
		TEST(test_boot_numbers),
		TEST(test_resume),
		TEST(test_resume_without_mark),
		TEST(test_end_drains_all),
		TEST(test_end_without_boot),
		TEST(test_next_boot_from_end),
		TEST(test_free_from_end),
		TEST(test_idle_is_silent),
		TEST(test_first_byte_at_once),
		TEST(test_fifo_grows_with_use),
		TEST(test_no_room_and_room_again),
		TEST(test_end_waits_for_room),
		TEST(test_drop_does_not_wait),
		TEST(test_open_errors),
		TEST(test_unreadable),
		TEST(test_punched_head),
		cmocka_unit_test(test_full_file_system),
	};
	signal(SIGXFSZ, SIG_IGN);
	getrlimit(RLIMIT_FSIZE, &fsize_old);
	return cmocka_run_group_tests_name("channel: boots", tests, NULL, NULL);
}
