/* SPDX-License-Identifier: Apache-2.0 */
/* A growing file into a FIFO: what is there, what comes, full FIFOs, killed processes, what is given back to the disk. */
#include "tests/unit/test_ferry.h"

#include <sys/mman.h>

#include "loop/tail.h"

struct box {
	struct event_base *base;
	struct tail *tail;
	char dir[64], path[96];
	int file, append, fifo; /* ours; the tail has its own of file and FIFO */
};

static int box_setup(void **state)
{
	struct box *b = calloc(1, sizeof(*b));
	snprintf(b->dir, sizeof(b->dir), "/tmp/pwemu-tail-XXXXXX");
	assert_non_null(mkdtemp(b->dir));
	snprintf(b->path, sizeof(b->path), "%s/log", b->dir);
	b->append = open(b->path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	b->file = open(b->path, O_RDWR | O_CLOEXEC);
	assert_true(b->append >= 0 && b->file >= 0);
	b->fifo = fifo_make(b->dir, "fifo");
	b->base = event_base_new();
	*state = b;
	return 0;
}

static int box_teardown(void **state)
{
	static const char *const names[] = { "log", "fifo" };
	struct box *b = *state;
	tail_free(b->tail);
	event_base_free(b->base);
	close(b->file);
	close(b->append);
	close(b->fifo);
	dir_remove(b->dir, names, 2);
	free(b);
	return 0;
}

static struct tail *tail_of(struct box *b, struct event_base *base)
{
	struct err err = ERR_INIT;
	struct tail *tail;
	if (tail_new(base, dup(b->file), dup(b->fifo), &tail, &err) < 0)
		fail_msg("%s", err.msg);
	return tail;
}

/* Until all that was written has come. */
static void carry(struct box *b, struct stream *stream)
{
	time_t end = time(NULL) + STREAM_DEADLINE_S;
	while (stream->read < stream->written) {
		event_base_loop(b->base, EVLOOP_NONBLOCK);
		if (stream_read(stream, b->fifo, 16384) == 0)
			stream_wait(end);
	}
	event_base_loop(b->base, EVLOOP_NONBLOCK);
	assert_int_equal(stream_read(stream, b->fifo, 1), 0);
}

static void test_follows(void **state)
{
	struct box *b = *state;
	struct stream stream = { 0 };
	stream_write(&stream, b->append, 5000); /* before it is there */
	b->tail = tail_of(b, b->base);
	carry(b, &stream);
	for (int i = 0; i < 20; i++) {
		stream_write(&stream, b->append, (size_t)i * 700 + 1);
		carry(b, &stream);
	}
	assert_int_equal(event_base_get_num_events(b->base, EVENT_BASE_COUNT_ACTIVE), 0);
}

/* More than the FIFO takes, and what was moved is given back. */
static void test_large(void **state)
{
	struct box *b = *state;
	struct stream stream = { 0 };
	struct stat st;
	stream_write(&stream, b->append, (5u << 20) - 1234); /* the last of its pages is not full */
	b->tail = tail_of(b, b->base);
	carry(b, &stream);
	stream_write(&stream, b->append, (3u << 20) + 1234);
	carry(b, &stream);
	assert_int_equal(fstat(b->file, &st), 0);
	assert_int_equal(st.st_size, 8u << 20);
	assert_true(st.st_blocks * 512 < 4 << 20);
}

/* Some file systems take nothing back. */
static void test_no_holes(void **state)
{
	struct box *b = *state;
	struct stream stream = { 0 };
	int file = memfd_create("log", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	assert_true(file >= 0);
	stream_write(&stream, file, 4u << 20);
	lseek(file, 0, SEEK_SET);
	assert_int_equal(fcntl(file, F_ADD_SEALS, F_SEAL_WRITE), 0);
	assert_int_equal(dup3(file, b->file, O_CLOEXEC), b->file);
	close(file);
	snprintf(b->path, sizeof(b->path), "/proc/self/fd/%d", b->file);
	b->tail = tail_of(b, b->base);
	carry(b, &stream);
}

static void test_drain(void **state)
{
	struct box *b = *state;
	struct stream stream = { 0 };
	b->tail = tail_of(b, b->base);
	stream_write(&stream, b->append, 5000);
	tail_drain(b->tail);
	assert_int_equal(stream_read(&stream, b->fifo, 5000), 5000);
	stream_write(&stream, b->append, 5000);
	carry(b, &stream); /* it goes on */
}

static void test_not_there(void **state)
{
	struct box *b = *state;
	struct err err = ERR_INIT;
	int fifo = dup(b->fifo);
	assert_int_equal(tail_new(b->base, 1023, fifo, &b->tail, &err), -1); /* a number that nothing has */
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(close(fifo), 0); /* it is still ours */
	tail_free(NULL);
}

static pid_t start_carrier(struct box *b)
{
	pid_t pid = process_fork();
	if (pid != 0)
		return pid;
	struct event_base *base = event_base_new();
	(void)tail_of(b, base);
	event_base_dispatch(base);
	_exit(1);
}

/* The offset is the file's: each goes on where the one before was killed. */
static void test_killed(void **state)
{
	struct box *b = *state;
	struct stream stream = { 0 };
	time_t end = time(NULL) + STREAM_DEADLINE_S;
	for (size_t round = 1; round <= 40; round++) {
		pid_t pid = start_carrier(b);
		stream_write(&stream, b->append, 100000);
		while (stream.read < stream.written - 50000)
			if (stream_read(&stream, b->fifo, 10000) == 0)
				stream_wait(end);
		process_kill(pid);
	}
	b->tail = tail_of(b, b->base);
	carry(b, &stream);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, box_setup, box_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_follows), TEST(test_large), TEST(test_no_holes), TEST(test_drain), TEST(test_not_there), TEST(test_killed),
	};
	return cmocka_run_group_tests_name("tail", tests, NULL, NULL);
}
