/* SPDX-License-Identifier: Apache-2.0 */
/* The way of a program from proc_spawn to proc_release, and what it is given. */
#include "proc_fixture.h"

static void exit_code(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { 0 };
	struct shell shell;
	struct proc *proc = spawn(f, &shell_init(&shell, f, "main", "exit 3")->spec, &seen);
	run_until(f, &seen.ended, 1);
	assert_int_equal(seen.started, 1);
	assert_true(seen.pid > 0);
	assert_int_equal(seen.end.code, 3);
	assert_int_equal(seen.end.signal, 0);
	assert_int_equal(seen.end.exec_errno, 0);
	assert_false(seen.end.shim_died);
	assert_true(seen.end.time_ns > 1600000000000000000u);
	assert_true(seen.end.max_rss_kib > 0);
	finish(f, proc, &seen);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(exit_code, fixture_setup, fixture_teardown),
	};
	return cmocka_run_group_tests_name("proc", tests, NULL, NULL);
}
