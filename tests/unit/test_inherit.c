/* SPDX-License-Identifier: Apache-2.0 */
/* Children of the program that was this process before: reaped when they end; those that we start ourselves are not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loop/inherit.h"
#include "loop/loop.h"
#include "loop/timer.h"

#define DEADLINE_MS 20000

static struct event_base *base;

static pid_t child_new(void)
{
	pid_t pid = fork();
	while (pid == 0)
		pause();
	return pid;
}

/* Ended, and nobody has waited for it yet. */
static void await_zombie(pid_t pid)
{
	siginfo_t info;
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

static bool is_gone(pid_t pid)
{
	return kill(pid, 0) < 0 && errno == ESRCH;
}

struct wait {
	pid_t pid;
	uint64_t deadline;
	struct timer *timer;
};

static void on_look(void *ctx)
{
	struct wait *wait = ctx;
	if (is_gone(wait->pid) || clock_monotonic_ms() > wait->deadline)
		loop_stop(base);
	else
		timer_arm(wait->timer, 1);
}

static void run_until_gone(pid_t pid)
{
	struct wait wait = { .pid = pid, .deadline = clock_monotonic_ms() + DEADLINE_MS };
	wait.timer = timer_new(base, on_look, &wait);
	timer_arm(wait.timer, 0);
	loop_run(base);
	timer_free(wait.timer);
	assert_true(is_gone(pid));
}

static void test_reaps_those_and_no_others(void **state)
{
	(void)state;
	pid_t inherited = child_new(), second = child_new();
	struct inherit *inherit = inherit_children(base);
	assert_non_null(inherit);
	pid_t ours = child_new();
	kill(ours, SIGKILL);
	await_zombie(ours);
	kill(inherited, SIGKILL);
	run_until_gone(inherited);
	kill(second, SIGKILL);
	run_until_gone(second);
	assert_int_equal(waitpid(ours, NULL, 0), ours); /* its status was left to us */
	inherit_free(inherit);
}

static void test_those_that_have_ended(void **state)
{
	(void)state;
	pid_t pid = child_new();
	kill(pid, SIGKILL);
	await_zombie(pid);
	assert_null(inherit_children(base));
	assert_true(is_gone(pid));
}

static void test_none(void **state)
{
	(void)state;
	assert_null(inherit_children(base));
	inherit_free(NULL);
}

static int setup(void **state)
{
	(void)state;
	base = loop_new();
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	loop_free(base);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_reaps_those_and_no_others, setup, teardown),
		cmocka_unit_test_setup_teardown(test_those_that_have_ended, setup, teardown),
		cmocka_unit_test_setup_teardown(test_none, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
