/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SIGKILL at any moment loses and doubles nothing. A generator prints a sequence without pause into a FIFO that the test holds open (as
 * the shim does); a drainer process moves it with a hub and is killed at random moments, again and again. Then the log is compared
 * with the sequence, byte for byte.
 */
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "test_channel.h"

enum { KILLS = 150, KILL_MAX_US = 4000, BACKLOG = 32768, LIMIT = 65536 };

/* Prints in odd pieces, down to one byte, until the other end of `stop` is closed; finishes its block. */
static void generator(struct fixture *f, int stop)
{
	int fifo = openat(f->dir, "out", O_RDWR | O_CLOEXEC); /* blocks when it is full, as an emulator does */
	unsigned seed = 12345;
	char block[LINE * 256];
	struct pollfd ended = { .fd = stop, .events = POLLIN };
	for (uint64_t i = 0; poll(&ended, 1, 0) == 0; i += sizeof(block) / LINE) {
		for (size_t at = 0; at < sizeof(block); at += LINE)
			line_of(i + at / LINE, block + at);
		for (size_t at = 0, len; at < sizeof(block); at += len) {
			size_t piece = (size_t)rand_r(&seed) % (rand_r(&seed) % 8 == 0 ? 2 : 600) + 1;
			len = at + piece < sizeof(block) ? piece : sizeof(block) - at;
			if (write(fifo, block + at, len) != (ssize_t)len)
				_exit(1);
		}
	}
	_exit(0);
}

/* What a daemon does with a channel, in a process of its own; `ready` is closed when the hub runs. */
static void drainer(struct fixture *f, bool resume, int ready)
{
	struct err err = ERR_INIT;
	struct hub_config config = fixture_config(f);
	struct hub *hub;
	config.base = event_base_new();
	config.on_trouble = NULL;
	int out = openat(f->dir, "out", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	if (hub_open(&config, &hub, &err) != 0)
		_exit(2);
	if (resume ? hub_resume_boot(hub, 1, true, out, -1, &err) != 0 : hub_begin_boot(hub, 1, true, out, -1, &err) != 0)
		_exit(3);
	close(ready);
	event_base_dispatch(config.base);
	_exit(4);
}

static pid_t fork_child(void)
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

static pid_t start_drainer(struct fixture *f, bool resume)
{
	int ready[2];
	char c;
	assert_int_equal(pipe(ready), 0);
	pid_t pid = fork_child();
	if (pid == 0) {
		close(ready[0]);
		drainer(f, resume, ready[1]);
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &c, 1), 0);
	close(ready[0]);
	return pid;
}

static void end_child(pid_t pid, int signal_number)
{
	int status;
	if (signal_number != 0)
		kill(pid, signal_number);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (signal_number != 0)
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == signal_number);
	else
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static uint64_t log_size(struct fixture *f)
{
	struct stat st;
	assert_int_equal(fstatat(f->dir, "serial0.log", &st, 0), 0);
	return (uint64_t)st.st_size;
}

/* Ends at the moment to kill: at any time, or right in the middle of moving, when bytes have left the FIFO or come to the log. */
static void await_moment(struct fixture *f, int kind, unsigned *seed)
{
	uint64_t until_ms = test_now_ms() + 50, size = log_size(f);
	int unread = fifo_unread(f->guest_out);
	if (kind == 0) {
		struct timespec moment = { 0, (long)(rand_r(seed) % KILL_MAX_US) * 1000 };
		nanosleep(&moment, NULL); /* the moment is what is being tested */
	} else if (kind == 1) {
		while (fifo_unread(f->guest_out) >= unread && test_now_ms() < until_ms)
			;
	} else {
		while (log_size(f) == size && test_now_ms() < until_ms)
			;
	}
}

static void await_backlog(struct fixture *f)
{
	for (uint64_t until_ms = test_now_ms() + DEADLINE_MS; fifo_unread(f->guest_out) < BACKLOG; sched_yield())
		if (test_now_ms() > until_ms)
			fail_msg("the generator does not print");
}

/* The guest prints while one drainer after the other is killed; then the boot ends. Returns how many had moved something. */
static unsigned kill_drainers(struct fixture *f)
{
	int stop[2], fifo = fixture_fifo(f, "out", &f->guest_out);
	unsigned seed = (unsigned)time(NULL), moved = 0;
	print_message("seed %u\n", seed);
	fixture_close(f);
	(void)fcntl(f->guest_out, F_SETPIPE_SZ, 1024 * 1024); /* long moves can be cut in the middle */
	assert_int_equal(pipe2(stop, O_CLOEXEC), 0);
	pid_t guest = fork_child();
	if (guest == 0) {
		close(stop[1]);
		generator(f, stop[0]);
	}
	close(stop[0]);
	for (int i = 0; i < KILLS; i++) {
		await_backlog(f);
		uint64_t before = i > 0 ? log_size(f) : 0;
		pid_t pid = start_drainer(f, i > 0);
		await_moment(f, i % 3, &seed);
		end_child(pid, SIGKILL);
		moved += log_size(f) > before ? 1 : 0;
	}
	close(stop[1]);
	pid_t last = start_drainer(f, true); /* the guest may wait for room */
	end_child(guest, 0);
	end_child(last, SIGKILL);
	/* The emulator is dead: the last daemon ends the boot. */
	struct err err = ERR_INIT;
	fixture_open(f);
	assert_int_equal(hub_resume_boot(f->hub, 1, true, fifo, -1, &err), 0);
	fixture_end_boot(f);
	assert_int_equal(fifo_unread(f->guest_out), 0);
	print_message("%d kills, %u of them after bytes had moved, %llu bytes\n", KILLS, moved, (unsigned long long)log_size(f));
	return moved;
}

/* Every byte from the first that is left is there once, and the boot is known. */
static void check_log(struct fixture *f)
{
	struct hub_boot boot;
	struct err err = ERR_INIT;
	uint64_t first = hub_first_offset(f->hub);
	assert_int_equal(f->troubles, 0);
	assert_int_equal(log_size(f) % LINE, 0);
	assert_true(first < log_size(f));
	assert_int_equal(assert_log_is_sequence(f, first), log_size(f));
	assert_int_equal(hub_find_boot(f->hub, 0, &boot, &err), 0);
	assert_int_equal(boot.number, 1);
	assert_int_equal(boot.offset, first);
	assert_true(boot.explicit_start && boot.time_ns > 0);
}

static void test_killed_at_any_moment(void **state)
{
	assert_true(kill_drainers(*state) > KILLS / 2);
	check_log(*state);
	assert_int_equal(hub_first_offset(((struct fixture *)*state)->hub), 0);
}

/* As before; the head of the log is dropped all the time. */
static void test_killed_while_dropping(void **state)
{
	struct fixture *f = *state;
	f->limit_bytes = LIMIT;
	assert_true(kill_drainers(f) > KILLS / 2);
	check_log(f);
	assert_true(hub_first_offset(f->hub) > 0);
	assert_true(log_size(f) - hub_first_offset(f->hub) >= LIMIT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_killed_at_any_moment, fixture_setup, fixture_teardown),
		cmocka_unit_test_setup_teardown(test_killed_while_dropping, fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests_name("channel: SIGKILL", tests, NULL, NULL);
}
