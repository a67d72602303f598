/* SPDX-License-Identifier: Apache-2.0 */
/* The daemon dies, the shim dies, records are torn: what the next daemon finds. */
#include "proc_fixture.h"

#include <sys/socket.h>
#include <sys/un.h>

#define STRAY "(setsid sh -c 'trap \"\" TERM; echo $$; exec sleep 1000' &);"

/* ---- daemons that die */

/* A daemon in a process of its own; it spawns and goes on until somebody kills it. Reports the program's pid on `report`. */
struct mini {
	struct fixture *f;
	int report;
};

static void mini_on_started(void *ctx, pid_t pid)
{
	const struct mini *mini = ctx;
	if (write(mini->report, &pid, sizeof(pid)) != (ssize_t)sizeof(pid))
		_exit(3);
}

static void mini_on_ended(void *ctx, const struct proc_end *end)
{
	(void)ctx;
	(void)end;
}

static pid_t mini_fork(struct fixture *f, const struct proc_spec *spec, int report)
{
	static const struct proc_ops ops = { .on_started = mini_on_started, .on_ended = mini_on_ended };
	pid_t pid = fork();
	if (pid != 0)
		return pid;
	struct mini mini = { f, report };
	struct proc *proc;
	struct err err = ERR_INIT;
	struct event_base *base = event_base_new();
	if (proc_spawn(base, f->shim, spec, &ops, &mini, &proc, &err) != 0)
		_exit(4);
	event_base_dispatch(base);
	_exit(5);
}

static void mini_kill(pid_t daemon)
{
	int status;
	kill(daemon, SIGKILL);
	assert_int_equal(waitpid(daemon, &status, 0), daemon);
	assert_true(WIFSIGNALED(status));
}

/* A daemon spawned `spec`, saw its start, and was killed. */
static pid_t spawn_by_a_dead_daemon(struct fixture *f, const struct proc_spec *spec)
{
	int report[2];
	pid_t pid = 0;
	assert_int_equal(pipe2(report, O_CLOEXEC), 0);
	pid_t daemon = mini_fork(f, spec, report[1]);
	assert_int_equal(read(report[0], &pid, sizeof(pid)), (ssize_t)sizeof(pid));
	close(report[0]);
	close(report[1]);
	mini_kill(daemon);
	return pid;
}

static void still_running(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { 0 };
	struct shell shell;
	pid_t pid = spawn_by_a_dead_daemon(f, &shell_init(&shell, f, "main", "sleep 1000")->spec);
	struct proc *proc = adopt(f, "main", &seen);
	assert_int_equal(proc_pid(proc), pid); /* also before the shim has answered */
	run_until(f, &seen.started, 1);
	assert_int_equal(seen.pid, pid);
	assert_int_equal(proc_pid(proc), pid);
	assert_true(process_exists(proc_shim_pid(proc)));
	assert_int_equal(seen.ended, 0);
	/* and again: daemons in sequence */
	proc_free(proc);
	seen = (struct seen){ 0 };
	proc = adopt(f, "main", &seen);
	run_until(f, &seen.started, 1);
	proc_stop(proc, 5000);
	run_until(f, &seen.ended, 1);
	assert_int_equal(seen.end.signal, SIGTERM);
	finish(f, proc, &seen);
}

static void ended_meanwhile(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { 0 };
	struct shell shell;
	int in[2];
	assert_int_equal(pipe2(in, O_CLOEXEC), 0);
	struct proc_fd fds[] = { { in[0], 0 } };
	shell_init(&shell, f, "main", "read x; exit 6")->spec.fds = fds;
	shell.spec.fd_count = 1;
	spawn_by_a_dead_daemon(f, &shell.spec);
	assert_int_equal(write(in[1], "\n", 1), 1);
	for (int i = 0; i < DEADLINE_MS && !file_exists(f, "main.end"); i++)
		pause_ms(1);
	struct proc *proc = adopt(f, "main", &seen);
	assert_int_equal(proc_pid(proc), 0);
	run_until(f, &seen.ended, 1);
	assert_int_equal(seen.started, 0);
	assert_int_equal(seen.end.code, 6);
	close(in[0]);
	close(in[1]);
	finish(f, proc, &seen);
}

static void ends_while_adopted(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { 0 };
	struct shell shell;
	pid_t pid = spawn_by_a_dead_daemon(f, &shell_init(&shell, f, "main", "sleep 1000")->spec);
	struct proc *proc = adopt(f, "main", &seen);
	run_until(f, &seen.started, 1);
	kill(pid, SIGSEGV);
	run_until(f, &seen.ended, 1);
	assert_int_equal(seen.end.signal, SIGSEGV);
	finish(f, proc, &seen);
}

/* The record outlives a shim that was killed after the end. */
static void end_is_read_late(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { 0 };
	struct shell shell;
	struct proc *proc = spawn(f, &shell_init(&shell, f, "main", "exit 8")->spec, &seen);
	run_until(f, &seen.ended, 1);
	pid_t shim = proc_shim_pid(proc);
	proc_free(proc);
	kill(shim, SIGKILL);
	assert_int_equal(waitpid(shim, NULL, 0), shim);
	seen = (struct seen){ 0 };
	proc = adopt(f, "main", &seen);
	run_until(f, &seen.ended, 1);
	assert_int_equal(seen.end.code, 8);
	assert_false(seen.end.shim_died);
	finish(f, proc, &seen);
}

static void nothing_there(void **state)
{
	struct fixture *f = *state;
	struct err err = ERR_INIT;
	struct proc *proc = NULL;
	assert_int_equal(proc_adopt(f->base, f->run_dir, "main", &seen_ops, NULL, &proc, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	/* a daemon died between its lock and its fork */
	close(openat(f->run_dir, "main.lock", O_CREAT | O_RDWR | O_CLOEXEC, 0600));
	err = (struct err)ERR_INIT;
	assert_int_equal(proc_adopt(f->base, f->run_dir, "main", &seen_ops, NULL, &proc, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	assert_int_equal(count_dir(f->dir), 0);
	assert_int_equal(proc_adopt(f->base, f->run_dir, "../x", &seen_ops, NULL, &proc, &err), -1);
	assert_int_equal(err.code, ERR_INVALID_ARGUMENT);
}

/* ---- held descriptors */

static void held_descriptors(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { 0 };
	struct shell shell;
	struct err err = ERR_INIT;
	char line[64];
	int data[2], other[2], fd = -1;
	assert_int_equal(pipe2(data, O_CLOEXEC) | pipe2(other, O_CLOEXEC), 0);
	struct proc_fd fds[] = { { data[1], 1 } };
	struct proc_held held[] = { { "other", other[0] }, { "data.write", data[1] } };
	shell_init(&shell, f, "main", "exec sleep 1000")->spec.fds = fds;
	shell.spec.fd_count = 1;
	shell.spec.held = held;
	shell.spec.held_count = 2;
	spawn_by_a_dead_daemon(f, &shell.spec);
	close(data[1]);
	close(other[0]);
	struct proc *proc = adopt(f, "main", &seen);
	/* asked before the news was read: it is told all the same */
	assert_int_equal(proc_held_fd(proc, "data.write", &fd, &err), 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	assert_int_equal(seen.started, 0);
	run_until(f, &seen.started, 1);
	assert_int_equal(write(fd, "through\n", 8), 8);
	read_line(data[0], line, sizeof(line));
	assert_string_equal(line, "through\n");
	close(fd);
	assert_int_equal(proc_held_fd(proc, "absent", &fd, &err), -1);
	assert_int_equal(err.code, ERR_NOT_FOUND);
	/* kept beyond the end, dropped with the release */
	proc_stop(proc, 0);
	run_until(f, &seen.ended, 1);
	assert_int_equal(proc_held_fd(proc, "data.write", &fd, &err), 0);
	close(fd);
	assert_int_equal(write(other[1], "x", 1), 1);
	finish(f, proc, &seen);
	assert_int_equal(write(other[1], "x", 1), -1);
	assert_int_equal(errno, EPIPE);
	assert_int_equal(read(data[0], line, 1), 0);
	close(data[0]);
	close(other[1]);
}

static void held_is_asked_of_a_stopped_shim(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { 0 };
	struct shell shell;
	struct err err = ERR_INIT;
	int fd;
	struct proc *proc = spawn(f, &shell_init(&shell, f, "main", "sleep 1000")->spec, &seen);
	run_until(f, &seen.started, 1);
	kill(proc_shim_pid(proc), SIGSTOP);
	uint64_t before = clock_monotonic_ms();
	assert_int_equal(proc_held_fd(proc, "any", &fd, &err), -1);
	assert_int_equal(err.code, ERR_DEADLINE_EXCEEDED);
	assert_true(clock_monotonic_ms() - before < 3000);
	proc_stop(proc, 0); /* wakes it */
	run_until(f, &seen.ended, 1);
	assert_false(seen.end.shim_died);
	finish(f, proc, &seen);
}

/* In a child, as `uid`: connects and returns how many bytes it was told; 255: could not connect. */
static int told_as(const struct fixture *f, uid_t uid)
{
	int status;
	pid_t pid = fork();
	if (pid == 0) {
		char buf[1024];
		if (setresuid(uid, uid, uid) != 0)
			_exit(254);
		int fd = proc_connect(f->run_dir, "main");
		if (fd < 0)
			_exit(255);
		fcntl(fd, F_SETFL, 0);
		_exit(recv(fd, buf, sizeof(buf), 0) > 0 ? 1 : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void other_uid_is_refused(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { 0 };
	struct shell shell;
	if (geteuid() != 0)
		return; /* needs two identities */
	struct proc *proc = spawn(f, &shell_init(&shell, f, "main", "sleep 1000")->spec, &seen);
	run_until(f, &seen.started, 1);
	assert_int_equal(told_as(f, 0), 1);
	assert_int_equal(chmod(f->dir, 0755), 0);
	assert_int_equal(told_as(f, 1234), 255); /* by its mode */
	assert_int_equal(fchmodat(f->run_dir, "main.sock", 0666, 0), 0);
	assert_int_equal(told_as(f, 1234), 0); /* by the peer's uid */
	finish(f, proc, &seen);
}

/* ---- the shim is killed */

static void assert_shim_died(struct fixture *f, struct proc *proc, struct seen *seen)
{
	run_until(f, &seen->ended, 1);
	assert_true(seen->end.shim_died);
	assert_int_equal(seen->end.code, -1);
	proc_release(proc);
	run_until(f, &seen->released, 1);
	assert_int_equal(count_dir(f->dir), 0);
	proc_free(proc);
	assert_true(reap_all(3000)); /* whoever was left is dead: we are their reaper now */
}

static struct proc *spawn_with_strays(struct fixture *f, struct seen *seen, pid_t strays[3])
{
	struct shell shell;
	char line[64];
	int out[2];
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	struct proc_fd fds[] = { { out[1], 1 } };
	/* the last one has lost the mark, but not the session */
	shell_init(&shell, f, "main", STRAY STRAY "env -i sh -c 'echo $$; exec sleep 1000' & wait")->spec.fds = fds;
	shell.spec.fd_count = 1;
	struct proc *proc = spawn(f, &shell.spec, seen);
	run_until(f, &seen->started, 1);
	for (int i = 0; i < 3; i++) {
		read_line(out[0], line, sizeof(line));
		strays[i] = (pid_t)strtol(line, NULL, 10);
		assert_true(strays[i] > 1);
	}
	close(out[0]);
	close(out[1]);
	return proc;
}

static void shim_is_killed(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { 0 };
	pid_t strays[3];
	struct proc *proc = spawn_with_strays(f, &seen, strays);
	kill(proc_shim_pid(proc), SIGKILL);
	assert_shim_died(f, proc, &seen);
	for (int i = 0; i < 3; i++)
		assert_false(process_exists(strays[i]));
}

static void shim_is_killed_without_a_daemon(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { 0 };
	struct shell shell;
	char line[64];
	int out[2];
	assert_int_equal(pipe2(out, O_CLOEXEC), 0);
	struct proc_fd fds[] = { { out[1], 1 } };
	shell_init(&shell, f, "main", STRAY "wait; sleep 1000")->spec.fds = fds;
	shell.spec.fd_count = 1;
	struct proc *proc = spawn(f, &shell.spec, &seen);
	run_until(f, &seen.started, 1);
	read_line(out[0], line, sizeof(line));
	pid_t shim = proc_shim_pid(proc), stray = (pid_t)strtol(line, NULL, 10);
	proc_free(proc);
	kill(shim, SIGKILL);
	assert_int_equal(waitpid(shim, NULL, 0), shim);
	assert_true(process_exists(stray));
	seen = (struct seen){ 0 };
	proc = adopt(f, "main", &seen);
	assert_shim_died(f, proc, &seen);
	assert_int_equal(seen.started, 0);
	assert_false(process_exists(stray));
	close(out[0]);
	close(out[1]);
}

/* A process of the same mark under another program's value is left alone. */
static void others_are_spared(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { 0 }, other_seen = { 0 };
	struct shell shell, other;
	shell_init(&other, f, "other", "sleep 1000");
	char longer[80];
	snprintf(longer, sizeof(longer), "%s2", f->mark);
	other.envp[1] = longer;
	struct proc *other_proc = spawn(f, &other.spec, &other_seen);
	struct proc *proc = spawn(f, &shell_init(&shell, f, "main", "sleep 1000")->spec, &seen);
	run_until(f, &other_seen.started, 1);
	run_until(f, &seen.started, 1);
	kill(proc_shim_pid(proc), SIGKILL);
	run_until(f, &seen.ended, 1);
	assert_true(seen.end.shim_died);
	finish(f, proc, &seen);
	assert_int_equal(other_seen.ended, 0);
	assert_true(process_exists(other_seen.pid));
	finish(f, other_proc, &other_seen);
}

/* Recorded before a reboot: the numbers mean nobody now. */
static void record_of_an_earlier_boot(void **state)
{
	struct fixture *f = *state;
	struct seen seen = { 0 };
	char record[512];
	pid_t bystander = fork();
	if (bystander == 0) {
		pause();
		_exit(0);
	}
	int len = snprintf(
		record, sizeof(record),
		"pwemu-run 1\npid %d\nstart 1\nboot 00000000-0000-0000-0000-000000000000\nshim 7\nshim_start 1\nuid 0\nmark a:1:b\nend\n",
		(int)bystander);
	int fd = openat(f->run_dir, "main.run", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	assert_int_equal(write(fd, record, (size_t)len), len);
	close(fd);
	struct proc *proc = adopt(f, "main", &seen);
	run_until(f, &seen.ended, 1);
	assert_true(seen.end.shim_died);
	assert_true(process_exists(bystander));
	kill(bystander, SIGKILL);
	finish(f, proc, &seen);
}

/* ---- any moment */

static void random_pause(unsigned max_us)
{
	nanosleep(&(struct timespec){ .tv_nsec = (long)((unsigned)random() % max_us) * 1000 }, NULL);
}

static void daemon_is_killed_at_any_moment(void **state)
{
	struct fixture *f = *state;
	int adopted = 0, report = open("/dev/null", O_WRONLY | O_CLOEXEC);
	srandom(1);
	for (int i = 0; i < 300; i++) {
		struct seen seen = { 0 };
		struct shell shell;
		struct err err = ERR_INIT;
		struct proc *proc;
		shell_init(&shell, f, "main", "sleep 1000");
		pid_t daemon = mini_fork(f, &shell.spec, report);
		random_pause(2500);
		mini_kill(daemon);
		if (proc_adopt(f->base, f->run_dir, "main", &seen_ops, &seen, &proc, &err) == 0) {
			adopted++;
			run_until(f, &seen.started, 1);
			proc_stop(proc, 0);
			run_until(f, &seen.ended, 1);
			assert_false(seen.end.shim_died);
			finish(f, proc, &seen);
		} else {
			assert_int_equal(err.code, ERR_NOT_FOUND);
		}
		assert_true(reap_all(3000));
		assert_int_equal(count_dir(f->dir), 0);
	}
	assert_true(adopted > 0 && adopted < 300); /* both were met */
	close(report);
}

static void shim_is_killed_at_any_moment(void **state)
{
	struct fixture *f = *state;
	srandom(2);
	for (int i = 0; i < 100; i++) {
		struct seen seen = { 0 };
		struct shell shell;
		struct proc *proc = spawn(f, &shell_init(&shell, f, "main", "sleep 1000")->spec, &seen);
		random_pause(1500);
		kill(proc_shim_pid(proc), SIGKILL);
		run_until(f, &seen.ended, 1);
		assert_true(seen.end.shim_died);
		finish(f, proc, &seen);
		assert_true(reap_all(3000));
		assert_int_equal(count_dir(f->dir), 0);
	}
}

/* Both at once, at the end of a program. */
static void daemon_is_killed_at_the_end(void **state)
{
	struct fixture *f = *state;
	int report = open("/dev/null", O_WRONLY | O_CLOEXEC);
	srandom(3);
	for (int i = 0; i < 100; i++) {
		struct seen seen = { 0 };
		struct shell shell;
		struct err err = ERR_INIT;
		struct proc *proc;
		pid_t daemon = mini_fork(f, &shell_init(&shell, f, "main", "exit 5")->spec, report);
		random_pause(4000);
		mini_kill(daemon);
		if (proc_adopt(f->base, f->run_dir, "main", &seen_ops, &seen, &proc, &err) == 0) {
			run_until(f, &seen.ended, 1);
			assert_int_equal(seen.end.code, 5);
			finish(f, proc, &seen);
		} else {
			assert_int_equal(err.code, ERR_NOT_FOUND);
		}
		assert_true(reap_all(3000));
		assert_int_equal(count_dir(f->dir), 0);
	}
	close(report);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, fixture_setup, fixture_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(still_running),
		TEST(ended_meanwhile),
		TEST(ends_while_adopted),
		TEST(end_is_read_late),
		TEST(nothing_there),
		TEST(held_descriptors),
		TEST(held_is_asked_of_a_stopped_shim),
		TEST(other_uid_is_refused),
		TEST(shim_is_killed),
		TEST(shim_is_killed_without_a_daemon),
		TEST(others_are_spared),
		TEST(record_of_an_earlier_boot),
		TEST(daemon_is_killed_at_any_moment),
		TEST(shim_is_killed_at_any_moment),
		TEST(daemon_is_killed_at_the_end),
	};
	return cmocka_run_group_tests_name("proc_adopt", tests, NULL, NULL);
}
