/* SPDX-License-Identifier: Apache-2.0 */
/* The end is told when the whole tree is dead, however hard the tree tries to live on. */
#include "proc_fixture.h"

/* A descendant that nothing reaches by group or session, that is deaf to SIGTERM, and that says its pid. */
#define STRAY "(setsid sh -c 'trap \"\" TERM; echo $$; exec sleep 1000' &);"

struct run {
	struct seen seen;
	struct shell shell;
	struct proc *proc;
	int in, out; /* the program's stdin and stdout */
};

static void run_start(struct run *run, struct fixture *f, const char *script)
{
	int in[2], out[2];
	*run = (struct run){ 0 };
	assert_int_equal(pipe2(in, O_CLOEXEC) | pipe2(out, O_CLOEXEC), 0);
	struct proc_fd fds[] = { { in[0], 0 }, { out[1], 1 } };
	shell_init(&run->shell, f, "main", script)->spec.fds = fds;
	run->shell.spec.fd_count = 2;
	run->proc = spawn(f, &run->shell.spec, &run->seen);
	close(in[0]);
	close(out[1]);
	run->in = in[1];
	run->out = out[0];
	run_until(f, &run->seen.started, 1);
}

static pid_t run_read_pid(struct run *run)
{
	char line[64];
	read_line(run->out, line, sizeof(line));
	pid_t pid = (pid_t)strtol(line, NULL, 10);
	assert_true(pid > 1);
	assert_true(process_exists(pid));
	return pid;
}

/* After the end everybody's output is closed: EOF is the proof that no descendant lives. */
static void run_finish(struct run *run, struct fixture *f)
{
	char buf[256];
	ssize_t n;
	run_until(f, &run->seen.ended, 1);
	fcntl(run->out, F_SETFL, O_NONBLOCK);
	while ((n = read(run->out, buf, sizeof(buf))) > 0)
		;
	assert_int_equal(n, 0);
	close(run->in);
	close(run->out);
	assert_false(run->seen.end.shim_died);
	finish(f, run->proc, &run->seen);
}

static void sigterm_is_honoured(void **state)
{
	struct fixture *f = *state;
	struct run run;
	run_start(&run, f, "trap 'exit 9' TERM; echo $$; while :; do sleep 1000 & wait; done");
	run_read_pid(&run);
	proc_stop(run.proc, 15000);
	uint64_t before = clock_monotonic_ms();
	run_until(f, &run.seen.ended, 1);
	assert_true(clock_monotonic_ms() - before < 10000);
	assert_int_equal(run.seen.end.code, 9);
	run_finish(&run, f);
}

static void sigterm_is_ignored(void **state)
{
	struct fixture *f = *state;
	struct run run;
	run_start(&run, f, "trap '' TERM; echo $$; while :; do sleep 1000; done");
	run_read_pid(&run);
	uint64_t before = clock_monotonic_ms();
	proc_stop(run.proc, 200);
	run_until(f, &run.seen.ended, 1);
	assert_true(clock_monotonic_ms() - before >= 200);
	assert_int_equal(run.seen.end.signal, SIGKILL);
	run_finish(&run, f);
}

static void grace_can_be_shortened(void **state)
{
	struct fixture *f = *state;
	struct run run;
	run_start(&run, f, "trap '' TERM; echo $$; while :; do sleep 1000; done");
	run_read_pid(&run);
	proc_stop(run.proc, 3600000);
	proc_stop(run.proc, 3600000);
	proc_stop(run.proc, 50);
	proc_stop(run.proc, 3600000); /* not lengthened again */
	run_until(f, &run.seen.ended, 1);
	assert_int_equal(run.seen.end.signal, SIGKILL);
	run_finish(&run, f);
}

static void no_grace(void **state)
{
	struct fixture *f = *state;
	struct run run;
	run_start(&run, f, STRAY "trap 'exit 9' TERM; while :; do sleep 1000; done");
	run_read_pid(&run);
	proc_stop(run.proc, 0);
	run_until(f, &run.seen.ended, 1);
	assert_int_equal(run.seen.end.signal, SIGKILL);
	run_finish(&run, f);
}

static void stopped_program(void **state)
{
	struct fixture *f = *state;
	struct run run;
	run_start(&run, f, "trap 'exit 9' TERM; echo $$; while :; do sleep 1000 & wait; done");
	kill(run_read_pid(&run), SIGSTOP);
	proc_stop(run.proc, 15000);
	run_until(f, &run.seen.ended, 1);
	assert_int_equal(run.seen.end.code, 9);
	run_finish(&run, f);
}

static void strays_are_killed(void **state)
{
	struct fixture *f = *state;
	struct run run;
	run_start(&run, f, STRAY STRAY "wait; sleep 1000");
	pid_t first = run_read_pid(&run), second = run_read_pid(&run);
	proc_stop(run.proc, 100);
	run_until(f, &run.seen.ended, 1);
	assert_int_equal(run.seen.end.signal, SIGTERM); /* that of the program, not of its descendants */
	assert_false(process_exists(first));
	assert_false(process_exists(second));
	run_finish(&run, f);
}

static void bounded_bomb(void **state)
{
	static const char bomb[] = "i=0; while [ $i -lt 50 ]; do (setsid sh -c 'trap \"\" TERM; echo $$; while :; do sleep 1000; done' &);"
				   "i=$((i+1)); done; sleep 1000";
	struct fixture *f = *state;
	struct run run;
	pid_t pids[50];
	run_start(&run, f, bomb);
	for (int i = 0; i < 50; i++)
		pids[i] = run_read_pid(&run);
	proc_stop(run.proc, 20);
	run_until(f, &run.seen.ended, 1);
	for (int i = 0; i < 50; i++)
		assert_false(process_exists(pids[i]));
	run_finish(&run, f);
}

static void leftovers_of_a_program_that_ends(void **state)
{
	struct fixture *f = *state;
	struct run run;
	run_start(&run, f, STRAY "read x; exit 4");
	pid_t stray = run_read_pid(&run);
	uint64_t before = clock_monotonic_ms();
	assert_int_equal(write(run.in, "\n", 1), 1);
	run_until(f, &run.seen.ended, 1);
	assert_true(clock_monotonic_ms() - before >= 500); /* it had its time to go */
	assert_int_equal(run.seen.end.code, 4);
	assert_false(process_exists(stray));
	run_finish(&run, f);
}

static void leftovers_that_go_when_told(void **state)
{
	struct fixture *f = *state;
	struct run run;
	run_start(&run, f, "(setsid sh -c 'echo $$; exec sleep 1000' &); read x; exit 4");
	run_read_pid(&run);
	uint64_t before = clock_monotonic_ms();
	assert_int_equal(write(run.in, "\n", 1), 1);
	run_until(f, &run.seen.ended, 1);
	assert_true(clock_monotonic_ms() - before < 450);
	assert_int_equal(run.seen.end.code, 4);
	run_finish(&run, f);
}

static void stop_before_the_start_is_told(void **state)
{
	struct fixture *f = *state;
	for (int i = 0; i < 30; i++) {
		struct seen seen = { 0 };
		struct shell shell;
		struct proc *proc = spawn(f, &shell_init(&shell, f, "main", "sleep 1000")->spec, &seen);
		proc_stop(proc, i % 2 == 0 ? 0 : 10000);
		run_until(f, &seen.ended, 1);
		assert_int_equal(seen.started, 1);
		assert_true(seen.end.signal == SIGKILL || seen.end.signal == SIGTERM);
		finish(f, proc, &seen);
	}
}

/* The shim itself is signalled. */
static void signals_to_the_shim(void **state)
{
	struct fixture *f = *state;
	struct run run;
	static const int harmless[] = { SIGHUP, SIGINT, SIGPIPE, SIGUSR1, SIGALRM, SIGQUIT };
	run_start(&run, f, "trap 'exit 9' TERM; echo $$; while :; do sleep 1000 & wait; done");
	run_read_pid(&run);
	pid_t shim = proc_shim_pid(run.proc);
	for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
		kill(shim, harmless[i]);
	int fd = -1;
	struct err err = ERR_INIT;
	assert_int_equal(proc_held_fd(run.proc, "none", &fd, &err), -1); /* a round trip: it lives */
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(run.seen.ended, 0);
	kill(shim, SIGTERM);
	run_until(f, &run.seen.ended, 1);
	assert_int_equal(run.seen.end.code, 9);
	assert_true(process_exists(shim)); /* somebody is there who may want what it holds */
	run_finish(&run, f);
}

/* The host goes down: SIGTERM to all. Without a daemon the shim does not stay in the way, the record does. */
static void sigterm_without_a_daemon(void **state)
{
	struct fixture *f = *state;
	struct run run;
	run_start(&run, f, "trap 'exit 9' TERM; echo $$; while :; do sleep 1000 & wait; done");
	run_read_pid(&run);
	pid_t shim = proc_shim_pid(run.proc);
	proc_free(run.proc);
	kill(shim, SIGTERM);
	assert_int_equal(waitpid(shim, NULL, 0), shim);
	assert_true(file_exists(f, "main.end"));
	run.seen = (struct seen){ 0 };
	run.proc = adopt(f, "main", &run.seen);
	run_until(f, &run.seen.ended, 1);
	assert_int_equal(run.seen.started, 0);
	assert_int_equal(run.seen.end.code, 9);
	run_finish(&run, f);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sigterm_is_honoured),
		TEST(sigterm_is_ignored),
		TEST(grace_can_be_shortened),
		TEST(no_grace),
		TEST(stopped_program),
		TEST(strays_are_killed),
		TEST(bounded_bomb),
		TEST(leftovers_of_a_program_that_ends),
		TEST(leftovers_that_go_when_told),
		TEST(stop_before_the_start_is_told),
		TEST(signals_to_the_shim),
		TEST(sigterm_without_a_daemon),
	};
	return cmocka_run_group_tests_name("proc_stop", tests, NULL, NULL);
}
