/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGKILL at any moment loses and doubles nothing on a PTY. The test is the guest, the terminal's user and the shim, which holds the
 * descriptors; a daemon with a hub and an endpoint moves bytes between them at full speed and is killed at random moments, again and
 * again. Each byte says where in the stream it belongs.
 */
#include "test_endpoint.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

enum { KILLS = 150, AHEAD = 256 << 10, LINE_LEN = 9, LIFE_MAX_US = 4000 };

struct stream {
	int from, to; /* the test's: where it writes, where it reads */
	uint64_t written, read;
};

/* Lines of a number each. */
static char stream_byte(uint64_t offset)
{
	static const uint64_t powers[] = { 10000000, 1000000, 100000, 10000, 1000, 100, 10, 1 };
	uint64_t at = offset % LINE_LEN;
	return at == LINE_LEN - 1 ? '\n' : (char)('0' + offset / LINE_LEN / powers[at] % 10);
}

static void stream_write(struct stream *s)
{
	char block[LINE_LEN * 450];
	if (s->written - s->read > AHEAD)
		return;
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = stream_byte(s->written + i);
	ssize_t n = write(s->from, block, sizeof(block));
	s->written += n > 0 ? (uint64_t)n : 0;
}

static void stream_read(struct stream *s)
{
	static char block[65536];
	ssize_t n = read(s->to, block, sizeof(block));
	for (ssize_t i = 0; i < n; i++, s->read++)
		if (block[i] != stream_byte(s->read))
			fail_msg("byte %llu is '%c' instead of '%c'", (unsigned long long)s->read, block[i], stream_byte(s->read));
}

static void stream_step(struct stream *s)
{
	struct pollfd fds[] = { { .fd = s->from, .events = POLLOUT }, { .fd = s->to, .events = POLLIN } };
	poll(fds, 2, 1);
	stream_write(s);
	stream_read(s);
}

/* ---------------------------------------------------------------- the daemon */

static _Noreturn void daemon_run(struct bench *b)
{
	struct err err = ERR_INIT;
	struct hub_config config = fixture_config(b->f);
	struct hub *hub;
	config.base = event_base_new();
	int out = openat(b->f->dir, "out", O_RDWR | O_NONBLOCK | O_CLOEXEC), in = openat(b->f->dir, "in", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (hub_open(&config, &hub, &err) != 0 || hub_resume_boot(hub, 1, true, out, in, &err) != 0)
		_exit(2);
	b->config.base = config.base;
	b->config.hub = hub;
	b->config.on_party = NULL;
	if (endpoint_open(&b->config, true, &b->endpoint, &err) != 0)
		_exit(3);
	event_base_dispatch(config.base);
	_exit(4);
}

static pid_t daemon_start(struct bench *b)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid > 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	daemon_run(b);
}

static void daemon_kill(pid_t pid)
{
	int status;
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* ---------------------------------------------------------------- the test */

static uint64_t now_us(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

/* Runs until the daemon that has just been started is at work, then for a moment more. */
static bool stream_run_until_moment(struct stream *s, unsigned *seed)
{
	uint64_t read = s->read, wait_ms = test_now_ms() + DEADLINE_MS;
	bool is_early = rand_r(seed) % 8 == 0; /* killed while it starts */
	while (!is_early && s->read == read && test_now_ms() < wait_ms)
		stream_step(s);
	for (uint64_t until_us = now_us() + (uint64_t)rand_r(seed) % LIFE_MAX_US; now_us() < until_us;)
		stream_step(s);
	return s->read != read;
}

static void kill_again_and_again(struct bench *b, struct stream *s)
{
	unsigned seed = (unsigned)time(NULL), moved = 0;
	print_message("seed %u\n", seed);
	for (int i = 0; i < KILLS; i++) {
		pid_t pid = daemon_start(b);
		moved += stream_run_until_moment(s, &seed) ? 1 : 0;
		daemon_kill(pid);
	}
	pid_t last = daemon_start(b);
	uint64_t give_up_ms = test_now_ms() + DEADLINE_MS;
	for (uint64_t all = s->written; s->read < all && test_now_ms() < give_up_ms;) {
		struct pollfd fd = { .fd = s->to, .events = POLLIN };
		poll(&fd, 1, 10);
		stream_read(s);
	}
	daemon_kill(last);
	stream_read(s);
	print_message("%d kills, %u after bytes had come, %llu bytes\n", KILLS, moved, (unsigned long long)s->written);
	assert_int_equal(s->read, s->written);
	assert_true(moved > KILLS / 2);
}

static int setup(void **state)
{
	struct err err = ERR_INIT;
	struct bench *b = bench_new(ENDPOINT_PTY);
	if (endpoint_make_pty(b->f->dir, "serial0", getuid(), &b->fds, b->path, &err) != 0)
		fail_msg("%s", err.msg);
	fixture_boot(b->f, 1, true);
	fixture_close(b->f);
	*state = b;
	return 0;
}

static void test_output(void **state)
{
	struct bench *b = *state;
	struct stream s = { .from = b->f->guest_out, .to = open(b->path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC) };
	assert_true(s.to >= 0);
	kill_again_and_again(b, &s);
	close(s.to);
}

static void test_input(void **state)
{
	struct bench *b = *state;
	struct stream s = { .from = open(b->path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC), .to = b->f->guest_in };
	assert_true(s.from >= 0);
	kill_again_and_again(b, &s);
	close(s.from);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, bench_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = { TEST(test_output), TEST(test_input) };
	return cmocka_run_group_tests_name("endpoint: SIGKILL", tests, NULL, NULL);
}
