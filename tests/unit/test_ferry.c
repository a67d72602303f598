/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes between a PTY's slave and FIFOs: in both directions, against full targets, over hang-ups and killed processes. */
#include "tests/unit/test_ferry.h"

#include <termios.h>

#include "loop/ferry.h"
#include "loop/pty.h"

struct box {
	struct event_base *base;
	struct ferry *ferry;
	char dir[64];
	int master, slave, out, in; /* ours; the ferry has its own */
	int troubles;
};

static void on_trouble(void *ctx, const struct err *err)
{
	((struct box *)ctx)->troubles++;
	print_message("%s\n", err->msg);
}

static struct ferry *ferry_of(struct box *b, struct event_base *base)
{
	const struct ferry_fds fds = { dup(b->slave), dup(b->out), dup(b->in) };
	return ferry_new(base, &fds, on_trouble, b);
}

static int box_setup(void **state)
{
	struct box *b = calloc(1, sizeof(*b));
	struct err err = ERR_INIT;
	snprintf(b->dir, sizeof(b->dir), "/tmp/pwemu-ferry-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	b->master = posix_openpt(O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);
	assert_true(b->master >= 0);
	assert_int_equal(grantpt(b->master) | unlockpt(b->master), 0);
	assert_int_equal(pty_open_raw(ptsname(b->master), &b->slave, &err), 0);
	b->out = fifo_make(b->dir, "out");
	b->in = fifo_make(b->dir, "in");
	b->base = event_base_new();
	b->ferry = ferry_of(b, b->base);
	*state = b;
	return 0;
}

static int box_teardown(void **state)
{
	static const char *const names[] = { "out", "in" };
	struct box *b = *state;
	ferry_free(b->ferry);
	event_base_free(b->base);
	if (b->master >= 0)
		close(b->master);
	close(b->slave);
	close(b->out);
	close(b->in);
	dir_remove(b->dir, names, 2);
	free(b);
	return 0;
}

static void turn(struct box *b)
{
	event_base_loop(b->base, EVLOOP_NONBLOCK);
}

/* Until all that was written to `from` was read from `to`. */
static void carry(struct box *b, struct stream *stream, int from, int to, size_t total)
{
	time_t end = time(NULL) + STREAM_DEADLINE_S;
	while (stream->read < total) {
		size_t moved = stream_write(stream, from, total - stream->written);
		turn(b);
		moved += stream_read(stream, to, total);
		if (moved == 0)
			stream_wait(end);
	}
	turn(b);
	assert_int_equal(stream_read(stream, to, 1), 0); /* nothing comes twice */
	assert_int_equal(b->troubles, 0);
}

static void test_both_ways(void **state)
{
	struct box *b = *state;
	struct stream down = { 0 }, up = { 0 };
	carry(b, &down, b->master, b->out, 1);
	carry(b, &up, b->in, b->master, 1);
	carry(b, &down, b->master, b->out, 300000);
	carry(b, &up, b->in, b->master, 300000);
}

/* What nobody takes waits where it is, without that the loop turns for it, and nothing is lost. */
static void test_full_out(void **state)
{
	struct box *b = *state;
	struct stream down = { 0 }, up = { 0 };
	time_t end = time(NULL) + STREAM_DEADLINE_S;
	size_t idle = 0;
	while (idle < 20) {
		idle = stream_write(&down, b->master, 1u << 20) == 0 ? idle + 1 : 0;
		turn(b);
		if (idle > 0)
			stream_wait(end);
	}
	assert_in_range(down.written, 60000, 200000);
	assert_int_equal(event_base_get_num_events(b->base, EVENT_BASE_COUNT_ACTIVE), 0);
	assert_false(ferry_drain(b->ferry));
	carry(b, &up, b->in, b->master, 5000); /* the other way goes on */
	carry(b, &down, b->master, b->out, 500000);
	assert_true(ferry_drain(b->ferry));
}

static void test_full_slave(void **state)
{
	struct box *b = *state;
	struct stream down = { 0 }, up = { 0 };
	time_t end = time(NULL) + STREAM_DEADLINE_S;
	size_t idle = 0;
	while (idle < 20) {
		idle = stream_write(&up, b->in, 1u << 20) == 0 ? idle + 1 : 0;
		turn(b);
		if (idle > 0)
			stream_wait(end);
	}
	assert_true(up.written < 1u << 20);
	carry(b, &down, b->master, b->out, 5000);
	carry(b, &up, b->in, b->master, 1u << 20);
}

/* Without a turn of the loop. */
static void test_drain(void **state)
{
	struct box *b = *state;
	struct stream down = { 0 };
	time_t end = time(NULL) + STREAM_DEADLINE_S;
	assert_true(ferry_drain(b->ferry));
	assert_int_equal(stream_write(&down, b->master, 3000), 3000);
	while (down.read < 3000) { /* the kernel takes a moment from end to end of a PTY */
		assert_true(ferry_drain(b->ferry));
		if (stream_read(&down, b->out, 3000) == 0)
			stream_wait(end);
	}
}

/* It is over: nothing turns, nobody complains. */
static void test_hang_up(void **state)
{
	struct box *b = *state;
	struct stream up = { 0 };
	time_t end = time(NULL) + STREAM_DEADLINE_S;
	turn(b);
	close(b->master);
	b->master = -1;
	while (event_base_get_num_events(b->base, EVENT_BASE_COUNT_ADDED) > 1) { /* what is typed */
		turn(b);
		stream_wait(end);
	}
	assert_true(ferry_drain(b->ferry));
	stream_write(&up, b->in, 100);
	while (event_base_get_num_events(b->base, EVENT_BASE_COUNT_ADDED) > 0) {
		turn(b);
		stream_wait(end);
	}
	assert_int_equal(b->troubles, 0);
}

/* A process that does nothing but carry. */
static pid_t start_carrier(struct box *b)
{
	pid_t pid = process_fork();
	if (pid != 0)
		return pid;
	struct event_base *base = event_base_new();
	(void)ferry_of(b, base);
	event_base_dispatch(base);
	_exit(1);
}

/* Each carrier is killed in the middle of its work; the next one goes on where it was. */
static void test_killed(void **state)
{
	struct box *b = *state;
	struct stream down = { 0 }, up = { 0 };
	size_t total = 2u << 20;
	time_t end = time(NULL) + STREAM_DEADLINE_S;
	ferry_free(b->ferry);
	b->ferry = NULL;
	for (size_t round = 1; round <= 40; round++) {
		pid_t pid = start_carrier(b);
		while (down.read < round * total / 40 || up.read < round * total / 80) {
			size_t moved = stream_write(&down, b->master, total) + stream_write(&up, b->in, total);
			moved += stream_read(&down, b->out, 20000) + stream_read(&up, b->master, 10000);
			if (moved == 0)
				stream_wait(end);
		}
		process_kill(pid);
	}
	b->ferry = ferry_of(b, b->base);
	carry(b, &down, b->master, b->out, down.written);
	carry(b, &up, b->in, b->master, up.written);
}

static void test_given_up(void **state)
{
	struct box *b = *state;
	ferry_free(NULL);
	turn(b);
	ferry_free(b->ferry);
	b->ferry = NULL;
	assert_int_equal(event_base_get_num_events(b->base, EVENT_BASE_COUNT_ADDED), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, box_setup, box_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_both_ways), TEST(test_full_out), TEST(test_full_slave), TEST(test_drain),
		TEST(test_hang_up),   TEST(test_killed),   TEST(test_given_up),
	};
	return cmocka_run_group_tests_name("ferry", tests, NULL, NULL);
}
